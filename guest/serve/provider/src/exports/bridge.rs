//! `larder:serve/bridge`: what the edge needs.

use std::cell::RefCell;

use wit_bindgen::StreamReader;

use super::{
    Provider, log,
    types::{IncomingRequest, UpstreamResponse},
};
use crate::{
    bindings::{
        exports::larder::{
            cache::{
                log::Level,
                types::{
                    IncomingRequest as IncomingHandle, Object, ObjectBorrow,
                    UpstreamResponse as UpstreamHandle,
                },
            },
            serve::bridge::{EdgeSettings, Guest},
        },
        wasi::http::types::{Request, Response},
    },
    instance,
    storage::read::Opened,
};

impl Guest for Provider {
    async fn prepare() -> Result<EdgeSettings, String> {
        let settings = &instance::prepare().await?.settings;
        Ok(EdgeSettings {
            base_url: settings.base_url.clone(),
            management_token: settings.sweep_token.clone(),
        })
    }

    fn incoming(request: Request, _id: String) -> IncomingHandle {
        let headers = request.get_headers();
        let first = |name: &str| headers.get(name).into_iter().next();
        let content_length =
            first("content-length").and_then(|value| String::from_utf8(value).ok()?.parse().ok());
        let authorization = first("authorization");
        IncomingHandle::new(IncomingRequest {
            authorization,
            content_length,
            request: RefCell::new(Some(request)),
        })
    }

    fn object_size(object: ObjectBorrow<'_>) -> u64 {
        object.get::<Opened>().size_bytes
    }

    fn object_start(object: ObjectBorrow<'_>) -> StreamReader<u8> {
        object.get::<Opened>().start()
    }

    async fn object_finish(object: Object) -> Result<(), String> {
        object.into_inner::<Opened>().send().await
    }

    fn upstream_take(response: UpstreamHandle) -> Response {
        response.into_inner::<UpstreamResponse>().0
    }

    fn log_line(level: Level, line: String) {
        log(level, &line);
    }

    async fn flush_log() {
        log::flush().await;
    }
}
