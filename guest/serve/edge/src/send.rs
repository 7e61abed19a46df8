//! Responses to `wasi:http`.
//!
//! A task outlives the call: the host drops an instance without tasks after a second, and would cut
//! the body. It fills the body, tells the host how it ended, and writes the log.

use crate::{
    bindings::{
        larder::{
            cache::types::{Object, UpstreamResponse},
            serve::bridge::{self, Level},
        },
        wasi::http::types::{ErrorCode, Fields, Response},
        wit_future, wit_stream,
    },
    checks::{self, is_hop_by_hop},
    convert::now_ms,
    record::RequestRecord,
};

/// The body of a response.
pub(crate) enum Body {
    Empty,
    Bytes(Vec<u8>),
    Object(Object),
}

/// A response of the server itself: JSON in Twirp's form, which every client can read.
pub(crate) fn error_response(
    record: RequestRecord,
    status: u16,
    code: &str,
    why: &str,
) -> Result<Response, ErrorCode> {
    let json = serde_json::json!({ "code": code, "msg": why }).to_string().into_bytes();
    json_response(record, status, json)
}

pub(crate) fn json_response(
    record: RequestRecord,
    status: u16,
    json: Vec<u8>,
) -> Result<Response, ErrorCode> {
    let mut fields = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-ms-request-id".to_owned(), record.id.clone()),
        ("content-length".to_owned(), json.len().to_string()),
    ];
    if status == 503 {
        fields.push(("retry-after".to_owned(), "1".to_owned()));
    }
    let body = if record.method == "HEAD" { Body::Empty } else { Body::Bytes(json) };
    respond(record, status, &fields, body)
}

/// Makes a response whose status and fields were checked.
pub(crate) fn respond(
    mut record: RequestRecord,
    status: u16,
    fields: &checks::Fields,
    body: Body,
) -> Result<Response, ErrorCode> {
    let list: Vec<_> =
        fields.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers = Fields::from_list(&list).map_err(|error| internal(format!("{error:?}")))?;
    let (end_writer, end) = wit_future::new(|| Err(internal("the instance failed".to_owned())));
    let (mut writer, mut object, contents) = (
        None,
        None,
        match body {
            Body::Empty => None,
            Body::Bytes(_) | Body::Object(_) => Some(body),
        },
    );
    let contents = match contents {
        None | Some(Body::Empty) => None,
        Some(Body::Bytes(bytes)) => {
            record.bytes = Some(bytes.len() as u64);
            let (bytes_writer, reader) = wit_stream::new::<u8>();
            writer = Some((bytes_writer, bytes));
            Some(reader)
        }
        Some(Body::Object(content)) => {
            record.bytes = Some(bridge::object_size(&content));
            let reader = bridge::object_start(&content);
            object = Some(content);
            Some(reader)
        }
    };
    let (response, sent) = Response::new(headers, contents, end);
    response.set_status_code(status).map_err(|()| internal(format!("status {status}")))?;
    record.status = status;
    wit_bindgen::spawn_local(async move {
        if let Some((mut writer, bytes)) = writer {
            writer.write_all(bytes).await;
        }
        let filled = match object {
            Some(object) => bridge::object_finish(object).await,
            None => Ok(()),
        };
        let _ = end_writer.write(filled.clone().map(|()| None).map_err(internal)).await;
        let sent = sent.await.map_err(|error| format!("{error:?}"));
        log(&record, filled.and(sent)).await;
    });
    Ok(response)
}

/// Passes the upstream's response on, with these fields added.
pub(crate) fn pass_on(
    mut record: RequestRecord,
    upstream: UpstreamResponse,
    added: checks::Fields,
) -> Result<Response, ErrorCode> {
    let upstream = bridge::upstream_take(upstream);
    let status = upstream.get_status_code();
    let fields: Vec<_> = upstream
        .get_headers()
        .copy_all()
        .into_iter()
        .filter(|(name, _)| !is_hop_by_hop(name) && !added.iter().any(|(other, _)| other == name))
        .chain(added.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())))
        .collect();
    let headers = Fields::from_list(&fields).map_err(|error| internal(format!("{error:?}")))?;
    let (outcome, reader) = wit_future::new(|| Ok(()));
    drop(outcome);
    let (data, end) = Response::consume_body(upstream, reader);
    let (response, sent) = Response::new(headers, Some(data), end);
    response.set_status_code(status).map_err(|()| internal(format!("status {status}")))?;
    record.status = status;
    wit_bindgen::spawn_local(async move {
        let sent = sent.await.map_err(|error| format!("{error:?}"));
        log(&record, sent).await;
    });
    Ok(response)
}

/// Writes the request's line, and all that was logged meanwhile.
async fn log(record: &RequestRecord, sent: Result<(), String>) {
    let problem = sent.as_ref().err().map(String::as_str);
    let level = if record.is_failure() || problem.is_some() { Level::Warn } else { Level::Info };
    bridge::log_line(level, &record.line(now_ms(), problem));
    bridge::flush_log().await;
}

fn internal(why: String) -> ErrorCode {
    ErrorCode::InternalError(Some(why))
}
