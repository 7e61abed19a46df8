//! The greeting on standard output: how to use the server.

use larder::config::ListenAddress;

/// The kernel's name of this machine (Linux, proc(5)).
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Returns the greeting: where the server listens, and the variable that a runner's jobs need.
pub(crate) fn text(
    address: &ListenAddress,
    is_tls: bool,
    base_url: Option<&str>,
    host_name: Option<&str>,
) -> String {
    let Some(address) = address.tcp() else {
        let url = base_url.unwrap_or("<URL of the proxy in front>");
        return format!("larder: listening on {address}\n{}", usage(url));
    };
    let scheme = if is_tls { "https" } else { "http" };
    let all = if address.ip().is_unspecified() { ", all addresses of this machine" } else { "" };
    let (url, more) = match (base_url, host_name) {
        (Some(base_url), _) => (base_url.to_owned(), ""),
        (None, _) if !address.ip().is_unspecified() => (format!("{scheme}://{address}"), ""),
        (None, Some(name)) => (
            format!("{scheme}://{name}:{}", address.port()),
            "larder: any other name or address of this machine works, too, if job containers can reach it\n",
        ),
        (None, None) => (
            format!("{scheme}://<name or address of this machine>:{}", address.port()),
            "larder: job containers must be able to reach it\n",
        ),
    };
    format!("larder: listening on {scheme}://{address}{all}\n{}{more}", usage(&url))
}

fn usage(url: &str) -> String {
    format!(
        "larder: to use it, give a runner's jobs ACTIONS_RESULTS_URL={url}/ (see README.md, \"Point a runner at it\")\n"
    )
}

/// Returns the name of this machine, if it has one that may stand in a URL.
pub(crate) fn host_name() -> Option<String> {
    let name = std::fs::read_to_string(HOST_NAME).ok()?;
    let name = name.trim();
    let is_usable = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (!name.is_empty() && name != "localhost" && name != "(none)" && name.bytes().all(is_usable))
        .then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
