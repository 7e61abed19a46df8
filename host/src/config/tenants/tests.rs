#![expect(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::config::Config;

const GOOD: &str = "[tenant]\nhosts = [\"Acme.Example\"]\n[auth]\nissuers = [\"https://issuer.example\"]\n";

/// The settings of a server with this file.
pub(super) fn server(text: &str) -> Settings {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("larder.toml");
    fs::write(&file, text).unwrap();
    Config::load(Some(&file), std::iter::empty()).unwrap().settings
}

/// Reads files, by name and text.
fn read(server: &Settings, files: &[(&str, &str)]) -> TenantFiles {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    TenantFiles::read(folder.path(), server).unwrap()
}

fn fault(name: &str, text: &str) -> String {
    let read = read(&server(""), &[(name, text)]);
    assert!(read.tenants.is_empty(), "{text}");
    chain(&read.faults[0].1)
}

#[test]
fn a_tenant_inherits_limits_but_neither_secrets_nor_who_may_use_it() {
    let server = server(
        "[auth]\nhs256_secrets = [\"a secret of the server's own\"]\nowners = [\"me\"]\nleeway_ms = 5\nfacts = [\"ref\"]\n\
         [urls]\nsigning_secret = \"a secret for urls alone\"\nupload_url_ms = 7000\n\
         [retention]\nunused_days = 3\nfull_sweep_hours = 9\n[policy]\ndeadline_ms = 77\n[upstream]\nurl = \"none\"\n",
    );
    let read = read(&server, &[("acme.toml", &format!("{GOOD}[policy]\nmemory_bytes = 33554432\n"))]);
    let tenant = &read.tenants[0];
    assert_eq!(
        (tenant.name.as_str(), tenant.own.hosts.as_slice()),
        ("acme", ["acme.example".to_owned()].as_slice())
    );
    let Settings { auth, urls, retention, policy, upstream, .. } = &tenant.settings;
    assert!(auth.hs256_secrets.is_empty() && auth.owners.is_empty() && urls.signing_secret.is_none());
    assert_eq!((auth.leeway_ms, urls.upload_url_ms, retention.unused_days), (5, 7000, 3));
    assert_eq!((retention.full_sweep_hours, policy.deadline_ms, policy.memory_bytes), (9, 77, 32 << 20));
    assert_eq!((upstream.url.as_deref(), auth.facts.as_slice()), (None, ["ref".to_owned()].as_slice()));
}

#[test]
fn what_is_wrong_is_said_with_the_setting() {
    for (name, text, expected) in [
        ("Acme.toml", GOOD, "\"Acme\" is not the name of a tenant"),
        ("default.toml", GOOD, "tenants.hosts"),
        ("a.toml", "[tenant]\nhosts = [\"a\"]\n", "nobody may use this tenant"),
        ("a.toml", "[auth]\nissuers = [\"https://i\"]\n", "no request can reach this tenant"),
        ("a.toml", &GOOD.replace("Acme.Example", "a b"), "`a b` is not a host name"),
        ("a.toml", &format!("{GOOD}[database]\ndriver = \"mysql\"\n"), "unknown field `database`"),
        ("a.toml", &format!("{GOOD}[retention]\nfull_sweep_hours = 1\n"), "is the same for all tenants"),
        ("a.toml", &GOOD.replace("hosts", "max_requests = 0\nhosts"), "tenant.max_requests is 0"),
        ("a.toml", &GOOD.replace("hosts", "cpu_percent = 0\nhosts"), "tenant.cpu_percent is 0"),
        (
            "a.toml",
            &GOOD.replace("hosts", "max_connections = 1000001\nhosts"),
            "tenant.max_connections is 1000001",
        ),
        ("a.toml", &format!("{GOOD}[policy]\ndeadline_ms = 0\n"), "policy.deadline_ms is 0"),
        ("a.toml", &GOOD.replace("hosts", "base_url = \"ftp://x\"\nhosts"), "tenant.base_url is `ftp://x`"),
        ("a.toml", &GOOD.replace("hosts", "listen = [\":0\"]\nhosts"), "a port must be named"),
        ("a.toml", &GOOD.replace("hosts", "listen = \":1\"\nhosts"), "tenant.listen"),
        ("a.toml", &GOOD.replace("hosts", "listen = [true]\nhosts"), "is of type boolean; it must be like"),
        (
            "a.toml",
            &GOOD.replace("hosts", "listen = [\":4000\", \"[::1]:4001\", 4000]\nhosts"),
            "tenant.listen has 0.0.0.0:4000 and 127.0.0.1:4000",
        ),
        ("a.toml", "[tenant\n", "line 1"),
    ] {
        let fault = fault(name, text);
        assert!(fault.contains(expected), "{name}: {text}: {fault}");
    }
}

#[test]
fn a_host_and_an_issuer_are_one_tenants() {
    let server = server("[tenants]\nhosts = [\"cache.example\"]\n");
    let other_host = GOOD.replace("Acme", "B");
    let by_issuer = |text: &str| text.replace("hosts", "by_issuer = true\nhosts");
    for (first, second, expected) in [
        (GOOD.to_owned(), GOOD.to_owned(), "the host acme.example is claimed by the tenants a and b"),
        (by_issuer(GOOD), by_issuer(&other_host), "the issuer https://issuer.example is claimed"),
        (
            GOOD.to_owned(),
            GOOD.replace("Acme", "cache"),
            "the host cache.example is claimed by the tenants default",
        ),
    ] {
        let read = read(&server, &[("a.toml", &first), ("b.toml", &second)]);
        assert_eq!((read.tenants.len(), read.faults.len()), (1, 1), "{second}");
        assert!(chain(&read.faults[0].1).contains(expected), "{:?}", read.faults);
    }
    // Without `by_issuer` any number of tenants trust one issuer.
    assert_eq!(read(&server, &[("a.toml", GOOD), ("b.toml", &other_host)]).tenants.len(), 2);
}

#[test]
fn an_address_is_one_tenants_and_not_the_servers() {
    let server = server("[server]\nlisten = \"127.0.0.1:4000\"\n");
    let at = |address: &str| GOOD.replace("hosts = [\"Acme.Example\"]", &format!("listen = [\"{address}\"]"));
    for (first, second, expected) in [
        (
            "127.0.0.1:5000",
            "127.0.0.1:5000",
            Some("the address 127.0.0.1:5000 is claimed by the tenants a and b"),
        ),
        ("127.0.0.1:5000", ":5000", Some("the address 0.0.0.0:5000 is claimed by the tenants a and b")),
        ("[::]:5000", "127.0.0.1:5000", Some("claimed by the tenants a and b")),
        ("5000", "4000", Some("the server itself listens on 127.0.0.1:4000")),
        ("5000", "0.0.0.0:4000", Some("tenant.listen has 0.0.0.0:4000, but the server")),
        (":5000", "[::1]:5000", None),
        ("127.0.0.2:4000", "127.0.0.1:5000", None),
    ] {
        let read = read(&server, &[("a.toml", &at(first)), ("b.toml", &at(second))]);
        let fault = read.faults.first().map(|(_, fault)| chain(fault));
        let is_expected = |expected: &str| fault.as_ref().is_some_and(|fault| fault.contains(expected));
        assert!(expected.map_or(fault.is_none(), is_expected), "{first}, {second}: {fault:?}");
        assert_eq!(read.tenants.len() + read.faults.len(), 2);
    }
}

#[test]
fn other_files_are_no_tenants() {
    let read = read(&server(""), &[(".a.toml", "x"), ("a.toml~", "x"), ("README", "x"), ("b.removed", "x")]);
    assert!(read.tenants.is_empty() && read.faults.is_empty());
}

#[test]
fn the_example_states_the_defaults_of_a_tenant() {
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let example = include_str!("../../../../examples/tenant.toml");
    let stated: String = example
        .lines()
        .map(|line| if is_setting(&line) { &line[1..] } else { line })
        .fold(String::new(), |text, line| text + line + "\n");
    let stated: TenantFile = toml::from_str(&stated).unwrap();
    let defaults = TenantFile::default();
    assert_eq!(format!("{:?}", stated.tenant), format!("{:?}", defaults.tenant));
    assert_eq!(format!("{:?}", stated.policy), format!("{:?}", defaults.policy));
    assert_eq!(format!("{:?}", stated.retention), format!("{:?}", defaults.retention));
    assert_eq!(format!("{:?}", stated.urls), format!("{:?}", defaults.urls));
    // Not set in truth: with the section the tenant has a storage of its own.
    assert_eq!(stated.storage, Some(Storage::default()));
}
