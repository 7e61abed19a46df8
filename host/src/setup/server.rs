//! The listening side: addresses, limits, and the descriptors that they need.

use std::{sync::Arc, time::Duration};

use larder_otlp::Tracer;

use super::Observed;
use crate::{
    config::{Config, DatabaseDriver, Settings},
    descriptors::{Shares, Wanted},
    engine::InstanceLimits,
    error::StartError,
    registry::SiteTls,
    server::{Capacity, Listener, Server, ServerBounds, ServerSettings},
};

/// Most requests at the upstream at once.
const MAX_FORWARDS: usize = 256;

/// What the configuration wants of the process's descriptors.
pub(crate) fn wanted(config: &Config) -> Wanted {
    let settings = &config.settings;
    let database = match settings.database.driver {
        DatabaseDriver::Sqlite => 0,
        DatabaseDriver::Postgres | DatabaseDriver::Mysql => settings.database.max_connections,
    };
    Wanted {
        connections: settings.server.max_connections,
        may_be_fewer: !config.is_set("server.max_connections"),
        threads: settings.server.thread_count(),
        database,
        has_tenants: settings.tenants.dir.is_some(),
    }
}

/// A server that does not serve yet.
pub(crate) fn server(
    settings: &Settings,
    shares: Shares,
    listener: Option<Listener>,
    (tls, observed): (Option<SiteTls>, &Observed),
    tracer: Option<Arc<Tracer>>,
) -> Result<Server, StartError> {
    let (server, guest) = (&settings.server, InstanceLimits::from(&settings.policy));
    let per_client = match server.max_connections_per_client {
        0 => shares.connections.div_ceil(2),
        count => count.min(shares.connections),
    };
    let settings = ServerSettings {
        data: settings.data.clone(),
        health: observed.health.clone(),
        tracer,
        threads: server.thread_count(),
        base_url: server.base_url.clone(),
        trusted_proxies: server.trusted_proxies.clone(),
        tls,
        socket_mode: server.socket_mode,
        bounds: ServerBounds {
            connections: shares.connections,
            connections_per_client: per_client,
            leaving: shares.leaving,
            requests: shares.requests,
            header_bytes: server.max_header_bytes,
            header_wait: Duration::from_millis(server.header_timeout_ms),
            keep_alive: Duration::from_millis(server.keep_alive_ms),
            idle: Duration::from_millis(server.idle_timeout_ms),
            drain: Duration::from_millis(server.shutdown_ms),
        },
        capacity: Capacity {
            guest_memory_bytes: guest.memory_bytes,
            guest_handles: guest.handles,
            connections: shares.connections,
            // Half of the requests: however many wait for the upstream, the cache is served.
            forwards: MAX_FORWARDS.min(shares.requests / 2),
        },
    };
    Server::new(settings, listener)
        .map_err(|source| StartError::Listen { address: server.listen.clone(), source })
}
