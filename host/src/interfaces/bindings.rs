//! The bindings of the cache world, made by wasmtime from `wit/`. Nothing else stands here.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "cache",
    imports: { "larder:cache/log.emit": trappable | store, default: trappable },
    with: {
        "larder:cache/types.incoming-request": crate::interfaces::types::IncomingRequest,
        "larder:cache/types.object": crate::interfaces::types::Object,
        "larder:cache/types.upstream-response": crate::interfaces::types::UpstreamResponse,
        "wasi": wasmtime_wasi::p3::bindings,
    },
    trappable_error_type: {
        "larder:cache/auth.error" => crate::interfaces::errors::AuthCallError,
        "larder:cache/index.error" => crate::interfaces::errors::IndexCallError,
        "larder:cache/http.error" => crate::interfaces::errors::HttpCallError,
        "larder:cache/storage.error" => crate::interfaces::errors::StorageCallError,
    },
    require_store_data_send: true,
});
