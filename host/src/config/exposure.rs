//! Warnings about who can reach the server, and who may use it.

use http::Uri;

use super::{Settings, effective::Provenances};

/// The issuers of all of github.com: the current one, and the one before.
const PUBLIC_ISSUERS: [&str; 2] =
    ["https://token.actions.githubusercontent.com", "https://vstoken.actions.githubusercontent.com"];

/// Returns the sentences that apply.
pub(super) fn sentences(settings: &Settings, provenances: &Provenances) -> Vec<String> {
    let all = [
        open_to_everybody(settings),
        unreachable(settings, provenances),
        other_scheme(settings, provenances),
    ];
    all.into_iter().flatten().collect()
}

/// Any repository of github.com gets tokens that count here.
pub(super) fn open_to_everybody(settings: &Settings) -> Option<String> {
    let auth = &settings.auth;
    let is_public = |issuer: &str| PUBLIC_ISSUERS.contains(&issuer.trim_end_matches('/'));
    let is_open = !auth.skip_validation
        && auth.issuers.iter().any(|issuer| is_public(&issuer.issuer))
        && auth.owners.is_empty()
        && auth.repositories.is_empty();
    (is_open && is_reachable(settings)).then(|| {
        "EVERY repository on github.com may use this cache: tokens of all its jobs are accepted, and other machines can reach this \
         server. Anyone who can connect to it may fill its storage. Set auth.owners (LARDER_OWNERS) or auth.repositories \
         (LARDER_REPOSITORIES) to the ids or names of yours."
            .to_owned()
    })
}

/// Other machines reach the server: by its listener, or by a proxy in front of it.
fn is_reachable(settings: &Settings) -> bool {
    !settings.server.listen.is_local() || base_host(settings).is_some_and(|(_, host)| !is_this_machine(&host))
}

/// Jobs are told an address that the listener does not have. Before a listener without TLS, `https`
/// is a proxy's; before a Unix socket there always is one.
fn unreachable(settings: &Settings, provenances: &Provenances) -> Option<String> {
    let listen = settings.server.listen.tcp()?;
    let (scheme, host) = base_host(settings)?;
    let is_own = scheme == if settings.server.tls.is_on() { "https" } else { "http" };
    (listen.ip().is_loopback() && is_own && !is_this_machine(&host)).then(|| {
        format!(
            "no runner can connect: jobs are sent to {} ({}), but {} is {listen}, which only this machine can reach. \
             Set LARDER_LISTEN=0.0.0.0:{}, unless a proxy on this machine forwards requests",
            settings.server.base_url.as_deref().unwrap_or_default(),
            provenances.name("server.base_url"),
            provenances.name("server.listen"),
            listen.port()
        )
    })
}

/// Jobs are told to speak without TLS to a listener that has it.
fn other_scheme(settings: &Settings, provenances: &Provenances) -> Option<String> {
    let (scheme, _) = base_host(settings)?;
    (settings.server.tls.is_on() && scheme == "http").then(|| {
        format!(
            "jobs are sent to {} ({}), but this server speaks TLS (server.tls): the URL must begin with https://, unless a \
             proxy is between",
            settings.server.base_url.as_deref().unwrap_or_default(),
            provenances.name("server.base_url"),
        )
    })
}

fn base_host(settings: &Settings) -> Option<(String, String)> {
    let url: Uri = settings.server.base_url.as_ref()?.parse().ok()?;
    Some((url.scheme_str()?.to_owned(), url.host()?.to_ascii_lowercase()))
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
