//! `larder:cache/http`: bodies in memory, and the upstream.

use wit_bindgen::StreamResult;

use super::{
    Provider,
    types::{IncomingRequest, UpstreamResponse},
};
use crate::{
    bindings::{
        exports::larder::cache::{
            http::{Error, Guest},
            log::Level,
            types::{IncomingRequestBorrow, UpstreamResponse as Handle},
        },
        wasi::http::{
            client,
            types::{ErrorCode, Fields, Request, Scheme},
        },
        wit_future,
    },
    instance::instance,
    storage::body::Body,
};

/// Longest body that is read into memory, in bytes, whatever limit the policy passes.
const MAX_BODY_BYTES: u64 = 8 * 1024 * 1024;
/// Bytes that are read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Header fields of one connection only (RFC 9110, 7.6.1), and `host`.
const NOT_FORWARDED: [&str; 8] =
    ["connection", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

impl Guest for Provider {
    async fn read_body(request: IncomingRequestBorrow<'_>, limit: u64) -> Result<Vec<u8>, Error> {
        let body = request.get::<IncomingRequest>().take_body().ok_or(Error::BodyUsed)?;
        read(body, limit.min(MAX_BODY_BYTES)).await
    }

    async fn forward(request: IncomingRequestBorrow<'_>) -> Result<Handle, Error> {
        let upstream = instance().settings.upstream.as_deref().ok_or(Error::NoUpstream)?;
        let incoming = request.get::<IncomingRequest>();
        let request = incoming.request.borrow_mut().take().ok_or(Error::BodyUsed)?;
        let outgoing = outgoing(request, upstream)?;
        match client::send(outgoing).await {
            Ok(response) => Ok(Handle::new(UpstreamResponse(response))),
            Err(error) => {
                super::log(Level::Warn, &format!("upstream unavailable: {error:?}"));
                Err(Error::Unavailable("the upstream service cannot be reached".to_owned()))
            }
        }
    }
}

async fn read(body: Body, limit: u64) -> Result<Vec<u8>, Error> {
    let Body { mut data, end, length } = body;
    if length.is_some_and(|length| length > limit) {
        return Err(Error::TooLarge);
    }
    let mut all = Vec::new();
    loop {
        let (status, bytes) = data.read(Vec::with_capacity(READ_BYTES)).await;
        all.extend_from_slice(&bytes);
        if all.len() as u64 > limit {
            return Err(Error::TooLarge);
        }
        if status == StreamResult::Dropped {
            break;
        }
    }
    end.await.map_err(|_| Error::CutShort)?;
    if length.is_some_and(|length| length != all.len() as u64) {
        return Err(Error::CutShort);
    }
    Ok(all)
}

/// Makes the request to the upstream: the same but for its target and what belongs to a connection.
fn outgoing(request: Request, upstream: &str) -> Result<Request, Error> {
    let (scheme, authority) = match upstream.split_once("://") {
        Some(("http", authority)) => (Scheme::Http, authority),
        Some((_, authority)) => (Scheme::Https, authority),
        None => (Scheme::Https, upstream),
    };
    let fields = forwarded_fields(&request)?;
    let (method, target) = (request.get_method(), request.get_path_with_query());
    let (outcome, reader) = wit_future::new(|| Ok(()));
    drop(outcome);
    let (data, end) = Request::consume_body(request, reader);
    let (outgoing, sent) = Request::new(fields, Some(data), end, None);
    let unusable = |()| Error::Unavailable("the request's target cannot be forwarded".to_owned());
    outgoing.set_method(&method).map_err(unusable)?;
    outgoing.set_scheme(Some(&scheme)).map_err(unusable)?;
    outgoing.set_authority(Some(authority)).map_err(unusable)?;
    outgoing.set_path_with_query(target.as_deref()).map_err(unusable)?;
    wit_bindgen::spawn_local(async move {
        let _: Result<(), ErrorCode> = sent.await;
    });
    Ok(outgoing)
}

fn forwarded_fields(request: &Request) -> Result<Fields, Error> {
    let all = request.get_headers().copy_all();
    let named: Vec<String> = all
        .iter()
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .to_ascii_lowercase()
                .split(',')
                .map(|n| n.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let is_forwarded = |(name, _): &(String, Vec<u8>)| {
        !NOT_FORWARDED.contains(&name.as_str()) && !named.iter().any(|named| named == name)
    };
    let fields: Vec<_> = all.into_iter().filter(is_forwarded).collect();
    Fields::from_list(&fields)
        .map_err(|_| Error::Unavailable("the request's header fields cannot be forwarded".to_owned()))
}
