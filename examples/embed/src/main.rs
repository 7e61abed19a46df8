//! A small CI platform that has Larder mounted in its own server: `embed DATA [ADDRESS]`.
//!
//! What is the platform's: the HTTP server (axum), the storage (`memory.rs`), and the tokens of
//! jobs (`jobs.rs`). What is Larder's: every path that the platform does not know itself.
//!
//! ```console
//! $ cargo run -p larder-example-embed -- /tmp/platform 127.0.0.1:3000
//! $ curl -s localhost:3000/jobs -H 'content-type: application/json' -d '{"repository": "1", "branch": "refs/heads/main"}'
//! {"token":"job-…"}
//! ```
//!
//! A job gets `ACTIONS_RESULTS_URL=http://127.0.0.1:3000/`, `ACTIONS_RUNTIME_TOKEN` with that token,
//! and `ACTIONS_CACHE_SERVICE_V2=true`; `@actions/cache` does the rest.

mod jobs;
mod memory;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use larder::{ClientAddress, Larder, config::Config};
use tokio::signal::unix::{SignalKind, signal};

use self::{jobs::Jobs, memory::MemoryStorage};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments.next().context("usage: embed DATA [ADDRESS]")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());

    let jobs = Jobs::default();
    let larder = larder(&data, &jobs).await.context("starting the cache")?;
    let platform = Router::new()
        .route("/", get(async || "a small CI platform\n"))
        .route("/jobs", post(jobs::begin))
        .route("/jobs/end", post(jobs::end))
        .with_state(jobs)
        .fallback_service(larder.service())
        .layer(middleware::from_fn(tell_address));

    let listener = tokio::net::TcpListener::bind(&address).await.context("listening")?;
    // Before anybody can know of it: a signal must stop it in order, and not kill it.
    let mut terminate = signal(SignalKind::terminate())?;
    announce(listener.local_addr()?)?;
    let service = platform.into_make_service_with_connect_info::<SocketAddr>();
    let asked_to_stop = async move { _ = terminate.recv().await };
    axum::serve(listener, service).with_graceful_shutdown(asked_to_stop).await?;
    // Persists what is in memory. Blocks, so not on a thread that serves.
    tokio::task::spawn_blocking(|| larder.stop()).await?;
    Ok(())
}

/// The cache: the configuration is the program's to make, and nothing is read from the environment.
async fn larder(data: &str, jobs: &Jobs) -> anyhow::Result<Larder> {
    let settings = [("LARDER_DATA", data), ("DEFAULT_ACTIONS_RESULTS_URL", "none")];
    let config = Config::load(None, settings.map(|(name, value)| (name.into(), value.into())))?;
    let builder = Larder::builder(config)
        .storage(Arc::new(MemoryStorage::default()))
        .authenticator(Arc::new(jobs.clone()))
        .without_listener();
    Ok(builder.build().await?)
}

/// Tells Larder who asks, for its limits and its log.
async fn tell_address(mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(address)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
        request.extensions_mut().insert(ClientAddress(address.ip()));
    }
    next.run(request).await
}

fn announce(address: SocketAddr) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}")?;
    Ok(out.flush()?)
}
