//! `larder serve`, mounted as a service in a server of its own, for the suites of real clients:
//! `LARDER_TEST_BINARY` may name it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::print_stdout, reason = "tests")]

use larder::{Larder, config::Config, telemetry};
use larder_tests::accept;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() {
    let config = Config::load(None, std::env::vars_os()).expect("a good configuration");
    let log = &config.settings.log;
    let _log = telemetry::start_logging(log.format, config.log_filter.as_deref(), log.debug).expect("a log");
    let address = config.settings.server.listen.tcp().expect("an address and a port");
    let mut terminate = signal(SignalKind::terminate()).expect("signals");
    let larder = Larder::builder(config).without_listener().build().await.expect("it starts");
    let listener = TcpListener::bind(address).await.expect("the address is free");
    println!("listening on http://{}", listener.local_addr().expect("an address"));
    tokio::select! {
        () = accept(listener, larder.service()) => {}
        _ = terminate.recv() => {}
    }
    tokio::task::spawn_blocking(|| larder.stop()).await.expect("it stops");
}
