//! A server with several tenants.

use std::path::{Path, PathBuf};

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
        let until = async {
            while self.job(name).send("GET", target, &[], "").await.status != status {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(FOLLOWS_WITHIN, until).await.expect("the server follows");
    }
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
    let dir = data.join("tenants.d");
    std::fs::create_dir_all(&dir).expect("a directory");
    let text = format!("[tenant]\nhosts = [\"{host}\"]\n[auth]\nhs256_secrets = [\"{secret}\"]\n{more}");
    // As an editor would: a half-written file is never seen.
    let draft = dir.join(format!(".{name}"));
    std::fs::write(&draft, text).expect("the file is written");
    std::fs::rename(draft, dir.join(format!("{name}.toml"))).expect("the file is moved");
}
