//! Warnings about who can reach the server, and who may use it.

use http::Uri;

use super::{Settings, effective::Provenances};

/// The issuers of all of github.com: the current one, and the one before.
const PUBLIC_ISSUERS: [&str; 2] =
    ["https://token.actions.githubusercontent.com", "https://vstoken.actions.githubusercontent.com"];

/// Returns the sentences that apply.
pub(super) fn sentences(settings: &Settings, provenances: &Provenances) -> Vec<String> {
    [open_to_everybody(settings), unreachable(settings, provenances)].into_iter().flatten().collect()
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
    !settings.server.listen.ip().is_loopback()
        || base_host(settings).is_some_and(|(_, host)| !is_this_machine(&host))
}

/// Jobs are told an address that the listener does not have. Behind `https` there is a proxy: this
/// server has no TLS.
fn unreachable(settings: &Settings, provenances: &Provenances) -> Option<String> {
    let listen = settings.server.listen;
    let (scheme, host) = base_host(settings)?;
    (listen.ip().is_loopback() && scheme == "http" && !is_this_machine(&host)).then(|| {
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
