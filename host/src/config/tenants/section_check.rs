//! Checks of the section `[tenant]`.

use super::TenantSection;
use crate::config::{Auth, ConfigError, Settings, check::Check, effective::Provenances, listen::overlap};

impl TenantSection {
    /// Checks the section, and that somebody can use the tenant.
    pub(super) fn check(&self, auth: &Auth) -> Result<(), String> {
        if auth.issuers.is_empty() && auth.hs256_secrets.is_empty() && !auth.skip_validation {
            return Err("nobody may use this tenant: set auth.issuers or auth.hs256_secrets".to_owned());
        }
        if self.hosts.is_empty() && self.listen.is_empty() && !self.by_issuer {
            let how = "set tenant.hosts, tenant.listen or tenant.by_issuer";
            return Err(format!("no request can reach this tenant: {how}"));
        }
        self.check_listen()?;
        self.check_limits()
    }

    fn check_listen(&self) -> Result<(), String> {
        if let Some(address) = self.listen.iter().find(|address| address.is_any_port()) {
            return Err(format!("tenant.listen has {address}; a port must be named, or no client knows it"));
        }
        for (at, address) in self.listen.iter().enumerate() {
            if let Some(other) = self.listen[..at].iter().find(|other| overlap(other, address)) {
                return Err(format!("tenant.listen has {other} and {address}; one listener serves both"));
            }
        }
        Ok(())
    }

    /// Checks that its TLS is complete, and that there is a listener that it is for.
    pub(super) fn check_tls(&self, server: &Settings, provenances: &Provenances) -> Result<(), ConfigError> {
        let section = "tenant.tls";
        Check::new(provenances).listener_tls(section, &self.tls)?;
        let has_own = self.listen.iter().any(|address| address.tcp().is_some());
        let is_shared = server.server.tls.is_on() && !self.hosts.is_empty();
        if !self.tls.is_on() || has_own || is_shared {
            return Ok(());
        }
        let problem = "has no effect: it is for listeners of the tenant's own (tenant.listen), and for its hosts where the \
                       server has TLS (server.tls)";
        Err(ConfigError::Setting { setting: section.to_owned(), problem: problem.to_owned() })
    }

    fn check_limits(&self) -> Result<(), String> {
        if !(1..=1_000_000).contains(&self.max_requests) {
            return Err(format!(
                "tenant.max_requests is {}; it must be from 1 to 1000000",
                self.max_requests
            ));
        }
        if self.max_connections > 1_000_000 {
            return Err(format!(
                "tenant.max_connections is {}; it must be from 0 to 1000000",
                self.max_connections
            ));
        }
        if !(1..=10_000).contains(&self.cpu_percent) {
            return Err(format!("tenant.cpu_percent is {}; it must be from 1 to 10000", self.cpu_percent));
        }
        if self.max_bytes > 1 << 60 {
            return Err(format!(
                "tenant.max_bytes is {}; it must be from 0 to {}",
                self.max_bytes,
                1_u64 << 60
            ));
        }
        Ok(())
    }
}
