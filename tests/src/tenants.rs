//! A server with several tenants.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use http::StatusCode;
use tempfile::TempDir;

use crate::{Job, TestServer};

/// A server with several tenants. The host of each is `NAME.test`, and its secret its name, twelve
/// times.
pub struct TenantServer {
    /// It. The tenant `default` is at no host.
    pub server: TestServer,
}

/// Longest wait until the server follows a change of a file.
const FOLLOWS_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

impl TenantServer {
    /// Starts one with these tenants and environment variables.
    pub async fn start(names: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = TempDir::new().expect("a temporary directory");
        for name in names {
            write(data.path(), name, "");
        }
        Self::start_on(data, variables).await
    }

    /// Starts one on existing data.
    pub async fn start_on(data: TempDir, variables: &[(&str, &str)]) -> Self {
        let dir = data.path().join("tenants.d");
        let dir = dir.to_str().expect("a path in UTF-8").to_owned();
        let variables: Vec<_> =
            variables.iter().copied().chain([("LARDER_TENANTS_DIR", dir.as_str())]).collect();
        Self { server: TestServer::start_on(data, &variables).await }
    }

    /// Writes the file of a tenant, with more lines at its end.
    pub fn write(&self, name: &str, more: &str) {
        write(self.server.data.path(), name, more);
    }

    /// The file of a tenant.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.server.data.path().join("tenants.d").join(format!("{name}.toml"))
    }

    /// A job of a tenant, of its repository 1.
    #[must_use]
    pub fn job(&self, name: &str) -> Job<'_> {
        Job::at(&self.server, &host_of(name), &secret_of(name))
    }

    /// Waits until `GET` of this target at the host of a tenant has this status.
    pub async fn until(&self, name: &str, target: &str, status: StatusCode) {
        let job = self.job(name);
        let is_so = async || job.send("GET", target, &[], "").await.status == status;
        eventually(is_so).await;
    }

    /// Waits until a tenant is served, with its own tokens.
    pub async fn until_served(&self, name: &str) {
        let job = self.job(name);
        eventually(async || job.probe().await == StatusCode::OK).await;
    }
}

/// Waits until the server has followed a change.
///
/// # Panics
/// When it has not within half a minute.
pub async fn eventually(mut is_so: impl AsyncFnMut() -> bool) {
    let until = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(FOLLOWS_WITHIN, until).await.expect("the server follows");
}

/// The host of a tenant.
#[must_use]
pub fn host_of(name: &str) -> String {
    format!("{name}.test")
}

/// The secret of a tenant's tokens.
#[must_use]
pub fn secret_of(name: &str) -> String {
    name.repeat(12)
}

/// Writes the file of a tenant below a data directory.
pub fn write(data: &Path, name: &str, more: &str) {
    write_at(data, name, &host_of(name), &secret_of(name), more);
}

/// Writes the file of a tenant with this host and secret.
pub fn write_at(data: &Path, name: &str, host: &str, secret: &str, more: &str) {
    let text = format!("[tenant]\nhosts = [\"{host}\"]\n[auth]\nhs256_secrets = [\"{secret}\"]\n{more}");
    write_text(data, name, &text);
}

/// Writes the file of a tenant with its secret, with these lines as its section `tenant`.
pub fn write_section(data: &Path, name: &str, section: &str) {
    let secret = secret_of(name);
    write_text(data, name, &format!("[tenant]\n{section}\n[auth]\nhs256_secrets = [\"{secret}\"]\n"));
}

/// Writes the file of a tenant.
pub fn write_text(data: &Path, name: &str, text: &str) {
    let dir = data.join("tenants.d");
    std::fs::create_dir_all(&dir).expect("a directory");
    // As an editor would: a half-written file is never seen.
    let draft = dir.join(format!(".{name}"));
    std::fs::write(&draft, text).expect("the file is written");
    std::fs::rename(draft, dir.join(format!("{name}.toml"))).expect("the file is moved");
}

/// An address of this machine that is free, as far as anybody can know.
#[must_use]
pub fn free_address() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("it has an address")
}
