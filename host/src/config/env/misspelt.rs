//! Names of variables: misspelt ones of ours, and those of others that must not be taken for such.

use strsim::{damerau_levenshtein, levenshtein};

/// Names of other programs that are as near to one of ours as a slip of the finger.
const OTHERS: [&str; 1] = ["APP_BASE_URL"];

/// What follows in the names of variables that the AWS SDK reads for each of its services.
const ENDPOINTS: &str = "AWS_ENDPOINT_URL_";

/// Returns the known name that this one, which is not known, looks like a misspelling of.
pub(super) fn near_miss(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if OTHERS.contains(&name) || name.starts_with(ENDPOINTS) {
        return None;
    }
    known.into_iter().find(|known| is_near(name, known))
}

/// In a long name two slips count, in a shorter one a single slip, in a short one only two letters
/// that changed places: programs have many short names.
fn is_near(name: &str, known: &str) -> bool {
    let most = match known.len() {
        ..6 => return is_swapped(name, known),
        6..12 => 1,
        12.. => 2,
    };
    name.len().abs_diff(known.len()) <= most && damerau_levenshtein(name, known) <= most
}

fn is_swapped(name: &str, known: &str) -> bool {
    name.len() == known.len() && damerau_levenshtein(name, known) == 1 && levenshtein(name, known) == 2
}

/// Returns whether Docker or Kubernetes sets this variable, for a service or container whose name
/// begins like our variables.
///
/// Kubernetes sets `<service>_SERVICE_HOST`, `<service>_SERVICE_PORT[_<name>]`,
/// `<service>_PORT=tcp://…` and `<service>_PORT_<n>_TCP[_ADDR|_PORT|_PROTO]`; Docker's links
/// `<alias>_PORT…`, `<alias>_NAME=/…` and `<alias>_ENV_…`.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["tcp://", "udp://", "sctp://"];
    let is_link = || PROTOCOLS.iter().any(|protocol| value.starts_with(protocol));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_link())
        || is_port_link(name)
        || (name.ends_with("_NAME") && value.starts_with('/'))
        || name.contains("_ENV_")
}

/// `…_PORT_<n>_<protocol>`, or that with `_ADDR`, `_PORT` or `_PROTO`.
fn is_port_link(name: &str) -> bool {
    let Some((_, rest)) = name.split_once("_PORT_") else { return false };
    let mut parts = rest.split('_');
    let number = parts.next().is_some_and(|n| n.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|p| ["TCP", "UDP", "SCTP"].contains(&p));
    let detail = parts.next().is_none_or(|d| ["ADDR", "PORT", "PROTO"].contains(&d));
    number && protocol && detail && parts.next().is_none()
}
