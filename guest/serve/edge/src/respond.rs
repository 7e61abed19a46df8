//! The path of a request: from `wasi:http` to the policy and back.

use crate::{
    bindings::{
        exports::wasi::http::handler::Guest,
        larder::{
            cache::{
                handler,
                types::{Payload, Response as CacheResponse},
            },
            serve::bridge::{self, Level},
        },
        wasi::http::types::{ErrorCode, Request, Response},
    },
    checks::{InvalidResponse, LengthRule, MAX_BODY_BYTES, check_fields, check_response},
    convert,
    record::RequestRecord,
    send::{self, Body},
    sweep,
};

struct Edge;
crate::bindings::export!(Edge with_types_in crate::bindings);

impl Guest for Edge {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let mut record = convert::record(&request);
        let settings = match bridge::prepare().await {
            Ok(settings) => settings,
            Err(problem) => {
                bridge::log_line(Level::Error, &format!("cannot serve: {problem}"));
                let why = format!("the server is not set up: {problem}");
                return send::error_response(record, 503, "unavailable", &why);
            }
        };
        if sweep::is_asked(&settings, &record) {
            return sweep::respond(record, &request, &settings).await;
        }
        let converted = match convert::request(request, &record, &settings) {
            Ok(converted) => converted,
            Err(bad) => {
                if bad.status >= 500 {
                    bridge::log_line(Level::Error, &format!("cannot serve: {}", bad.why));
                }
                return send::error_response(record, bad.status, bad.code, bad.why);
            }
        };
        let mut response = handler::handle(converted).await;
        record.outcome = response.outcome.take();
        respond(record, response)
    }
}

/// Checks the policy's response and sends it.
fn respond(record: RequestRecord, response: CacheResponse) -> Result<Response, ErrorCode> {
    let CacheResponse { status, mut headers, payload, outcome: _ } = response;
    let is_head = record.method == "HEAD";
    let checked = match payload {
        Payload::Upstream(upstream) => match check_fields(&headers) {
            Ok(()) => return send::pass_on(record, upstream, headers),
            Err(invalid) => Err(invalid),
        },
        Payload::Object(object) => {
            let rule = LengthRule::Exactly(bridge::object_size(&object));
            check_response(status, &mut headers, &rule).map(|()| Body::Object(object))
        }
        Payload::Bytes(bytes) if bytes.len() > MAX_BODY_BYTES => Err(InvalidResponse::TooLarge(bytes.len())),
        Payload::Bytes(bytes) => check_response(status, &mut headers, &LengthRule::Set(bytes.len() as u64))
            .map(|()| if is_head { Body::Empty } else { Body::Bytes(bytes) }),
        Payload::Empty => {
            let rule = match status {
                204 => LengthRule::None,
                304 => LengthRule::Optional,
                _ if is_head => LengthRule::Optional,
                _ => LengthRule::Set(0),
            };
            check_response(status, &mut headers, &rule).map(|()| Body::Empty)
        }
    };
    match checked {
        Ok(body) => send::respond(record, status, &headers, body),
        Err(invalid) => {
            let why = "the policy component returned an invalid response";
            bridge::log_line(Level::Error, &format!("{why}: {invalid:?}"));
            send::error_response(record, 500, "internal", why)
        }
    }
}
