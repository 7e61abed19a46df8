//! Checks of the settings together, and settings that are derived from others.

pub(super) mod storage;

use http::Uri;
use larder_common::facts::CLAIMS;

use super::{
    Auth, ConfigError, GITHUB_ISSUER, IssuerConfig, MIN_SECRET_BYTES, Retention, Secret, ServerConfig,
    Settings, allowed_url, effective::Provenances,
};

/// Most days, hours or milliseconds of a setting: far beyond any use, and far from overflow when
/// added to a time.
const MAX_DAYS: u64 = 36_500;
pub(super) const MAX_MS: u64 = MAX_DAYS * 24 * 60 * 60 * 1000;
/// Most rules of `retention.keep_newest`.
const MAX_RULES: usize = 100;

/// Fills in derived settings.
pub(super) fn resolve(settings: &mut Settings, provenances: &Provenances) -> Result<(), ConfigError> {
    let data = settings.data.clone();
    storage::resolve(&mut settings.storage, &data, provenances);
    settings.database.sqlite.path.get_or_insert_with(|| data.join("larder.db"));
    resolve_tenant(settings, provenances)
}

/// Fills in derived settings that each tenant has of its own.
pub(super) fn resolve_tenant(settings: &mut Settings, provenances: &Provenances) -> Result<(), ConfigError> {
    settings.upstream.url =
        settings.upstream.url.take().filter(|url| url != "none").map(|url| without_slashes(&url));
    settings.server.base_url = settings.server.base_url.take().map(|url| without_slashes(&url));
    settings.urls.parallel_download_url =
        settings.urls.parallel_download_url.take().map(|url| without_slashes(&url));
    if settings.auth.facts == ["none"] {
        settings.auth.facts.clear();
    }
    skip_alone(&settings.auth, provenances)?;
    resolve_issuers(&mut settings.auth, provenances)
}

/// Without verification of tokens, settings of trusted issuers have no effect: one of the two is a
/// mistake.
fn skip_alone(auth: &Auth, provenances: &Provenances) -> Result<(), ConfigError> {
    let others = [
        ("auth.issuers", !auth.issuers.is_empty()),
        ("auth.hs256_secrets", !auth.hs256_secrets.is_empty()),
        ("auth.jwks_url", auth.jwks_url.is_some()),
        ("auth.jwks_file", auth.jwks_file.is_some()),
        ("auth.audience", auth.audience.is_some()),
        ("auth.owners", !auth.owners.is_empty()),
        ("auth.repositories", !auth.repositories.is_empty()),
    ];
    match others.iter().find(|(_, is_set)| auth.skip_validation && *is_set) {
        None => Ok(()),
        Some((name, _)) => Err(ConfigError::Contradiction(format!(
            "{} is on, so tokens are not verified, but {} configures their verification; remove one of them",
            provenances.name("auth.skip_validation"),
            provenances.name(name)
        ))),
    }
}

fn resolve_issuers(auth: &mut Auth, provenances: &Provenances) -> Result<(), ConfigError> {
    // An operator with a platform of his own does not mean to admit all of github.com, too.
    if auth.issuers.is_empty() && auth.hs256_secrets.is_empty() && !auth.skip_validation {
        auth.issuers.push(IssuerConfig { issuer: GITHUB_ISSUER.to_owned(), ..IssuerConfig::default() });
    }
    let given = [("auth.jwks_url", auth.jwks_url.is_some()), ("auth.jwks_file", auth.jwks_file.is_some())];
    let given: Vec<_> =
        given.iter().filter(|(_, set)| *set).map(|(name, _)| provenances.name(name)).collect();
    match (given.as_slice(), auth.issuers.as_mut_slice()) {
        ([], _) => Ok(()),
        ([_], [issuer]) if issuer.jwks_url.is_none() && issuer.jwks_file.is_none() => {
            issuer.jwks_url = auth.jwks_url.take();
            issuer.jwks_file = auth.jwks_file.take();
            Ok(())
        }
        ([name], [_]) => Err(ConfigError::Contradiction(format!(
            "{name} is set, but the issuer's table has the location of its keys, too; keep one of them"
        ))),
        ([name], issuers) => Err(ConfigError::Contradiction(format!(
            "{name} needs exactly one issuer, but {} has {}; give each issuer its keys in a table of its own, \
             {{ issuer = \"…\", jwks_url = \"…\" }}",
            provenances.name("auth.issuers"),
            issuers.len()
        ))),
        ([first, second, ..], _) => {
            Err(ConfigError::Contradiction(format!("{first} and {second} are both set; keep one")))
        }
    }
}

/// Checks values that are of the right type.
pub(super) fn settings(settings: &Settings, provenances: &Provenances) -> Result<(), ConfigError> {
    let check = Check::new(provenances);
    check.numbers(settings)?;
    check.keep_newest(&settings.retention)?;
    check.connections(&settings.server)?;
    check.listener_tls("server.tls", &settings.server.tls)?;
    check.listener_tls("management.tls", &settings.management.tls)?;
    check.tls_has_listener(settings)?;
    check.origin_url("server.base_url", settings.server.base_url.as_deref())?;
    check.origin_url("upstream.url", settings.upstream.url.as_deref())?;
    check.parallel_url("urls.parallel_download_url", settings.urls.parallel_download_url.as_deref())?;
    check
        .that("data", !settings.data.as_os_str().is_empty(), || "is empty; it must be a folder".to_owned())?;
    check.signing_secret("urls.signing_secret", settings.urls.signing_secret.as_ref())?;
    check.signing_secret("urls.signing_secret_secondary", settings.urls.signing_secret_secondary.as_ref())?;
    if settings.urls.signing_secret_secondary.is_some() && settings.urls.signing_secret.is_none() {
        let secondary = provenances.name("urls.signing_secret_secondary");
        return Err(ConfigError::Contradiction(format!(
            "{secondary} is set, but urls.signing_secret is not"
        )));
    }
    check.webhook_secret(settings.webhooks.secret.as_ref())?;
    check.signing_secret("management.key", settings.management.key.as_ref())?;
    check.storage(&settings.storage)?;
    check.capacity(&settings.capacity)?;
    check.trace(&settings.trace)?;
    check.otlp(&settings.otlp)?;
    check.auth(&settings.auth)
}

pub(super) struct Check<'a>(&'a Provenances);

impl<'a> Check<'a> {
    pub(super) fn new(provenances: &'a Provenances) -> Self {
        Self(provenances)
    }
}

impl Check<'_> {
    pub(super) fn that(
        &self,
        name: &str,
        holds: bool,
        problem: impl FnOnce() -> String,
    ) -> Result<(), ConfigError> {
        if holds {
            Ok(())
        } else {
            Err(ConfigError::Setting { setting: self.0.name(name), problem: problem() })
        }
    }

    fn numbers(&self, settings: &Settings) -> Result<(), ConfigError> {
        let Settings {
            server,
            storage,
            rules,
            database,
            downloads,
            upstream,
            auth,
            urls,
            policy,
            retention,
            tenants,
            ..
        } = settings;
        let ranges = [
            ("server.threads", server.threads as u64, 0, 1024),
            ("server.max_connections", server.max_connections as u64, 1, 1_000_000),
            ("server.header_timeout_ms", server.header_timeout_ms, 1, MAX_MS),
            ("server.keep_alive_ms", server.keep_alive_ms, 1, MAX_MS),
            ("server.idle_timeout_ms", server.idle_timeout_ms, 1, MAX_MS),
            ("server.shutdown_ms", server.shutdown_ms, 0, MAX_MS),
            ("server.max_header_bytes", server.max_header_bytes as u64, 8 * 1024, 1024 * 1024),
            ("storage.buffer_bytes", storage.buffer_bytes, 1024 * 1024, 1 << 40),
            ("storage.filesystem.reserve_bytes", storage.filesystem.reserve_bytes, 0, 1 << 50),
            ("database.max_connections", database.max_connections as u64, 1, 10_000),
            ("database.timeout_ms", database.timeout_ms, 100, 600_000),
            ("storage.s3.timeout_ms", storage.s3.timeout_ms, 100, MAX_MS),
            ("storage.gcs.timeout_ms", storage.gcs.timeout_ms, 100, MAX_MS),
            ("storage.azblob.timeout_ms", storage.azblob.timeout_ms, 100, MAX_MS),
            // Signatures of the services are valid for a week at most; a policy may request a day.
            ("downloads.direct_url_minutes", downloads.direct_url_minutes, 1, 24 * 60),
            ("upstream.connect_timeout_ms", upstream.connect_timeout_ms, 1, MAX_MS),
            ("auth.leeway_ms", auth.leeway_ms, 0, 60 * 60 * 1000),
            ("rules.shadow_percent", rules.shadow_percent, 1, 100),
            ("urls.upload_url_ms", urls.upload_url_ms, 1000, MAX_MS),
            ("urls.download_url_ms", urls.download_url_ms, 1000, MAX_MS),
            ("policy.memory_bytes", policy.memory_bytes, 1024 * 1024, 4 << 30),
            ("policy.deadline_ms", policy.deadline_ms, 1, MAX_MS),
            ("retention.unused_days", retention.unused_days, 0, MAX_DAYS),
            ("retention.never_used_days", retention.never_used_days, 0, MAX_DAYS),
            ("retention.max_age_days", retention.max_age_days, 0, MAX_DAYS),
            ("retention.barred_hours", retention.barred_hours, 0, MAX_DAYS * 24),
            ("retention.departed_entries", retention.departed_entries as u64, 0, 10_000_000),
            ("retention.idle_upload_ms", retention.idle_upload_ms, 1000, MAX_MS),
            ("retention.orphan_grace_hours", retention.orphan_grace_hours, 1, MAX_DAYS * 24),
            ("retention.full_sweep_hours", retention.full_sweep_hours, 1, 24 * 365),
            ("retention.sweep_interval_ms", retention.sweep_interval_ms, 1000, MAX_MS),
            ("tenants.max_instances", tenants.max_instances as u64, 1, 10_000),
            ("tenants.idle_ms", tenants.idle_ms, 1, MAX_MS),
            ("tenants.guest_memory_bytes", tenants.guest_memory_bytes, 1024 * 1024, 1 << 40),
        ];
        self.ranges(&ranges)
    }

    /// Checks numbers: name, value, least and most.
    pub(super) fn ranges(&self, ranges: &[(&str, u64, u64, u64)]) -> Result<(), ConfigError> {
        for (name, value, least, most) in ranges {
            self.that(name, (least..=most).contains(&value), || {
                format!("is {value}; it must be from {least} to {most}")
            })?;
        }
        Ok(())
    }

    fn keep_newest(&self, retention: &Retention) -> Result<(), ConfigError> {
        let rules = &retention.keep_newest;
        self.that("retention.keep_newest", rules.len() <= MAX_RULES, || {
            format!("has {} rules; it may have {MAX_RULES}", rules.len())
        })?;
        self.that("retention.keep_newest", rules.iter().all(|rule| rule.keep > 0), || {
            "has a rule that keeps none; keep must be at least 1".to_owned()
        })
    }

    /// Refuses limits on connections at which clients would lock each other out.
    fn connections(&self, server: &ServerConfig) -> Result<(), ConfigError> {
        let (all, each) = (server.max_connections, server.max_connections_per_client);
        let least = server.threads.max(1) + 1;
        self.that("server.max_connections", all >= least, || {
            format!("is {all}; it must be more than the number of threads (at least {least})")
        })?;
        self.that("server.max_connections_per_client", each <= all, || {
            format!("is {each}; it must not be more than server.max_connections, which is {all}")
        })
    }

    /// An origin: clients drop a path (they resolve `/twirp/…` against it), and a query would end
    /// up in every URL.
    fn origin_url(&self, name: &str, url: Option<&str>) -> Result<(), ConfigError> {
        let Some(text) = url else { return Ok(()) };
        let url: Option<Uri> = text.parse().ok();
        let parts = url
            .as_ref()
            .and_then(|url| Some((url.scheme_str()?, url.authority()?.as_str(), url.path(), url.query())));
        let fault = match parts {
            None => "it must be like https://cache.example.com",
            Some((scheme, ..)) if !["http", "https"].contains(&scheme) => {
                "it must start with http:// or https://"
            }
            Some((_, authority, ..)) if authority.contains('@') => "it must not hold a user name or password",
            Some((.., Some(_))) => "it must not have a query",
            Some((.., path, None)) if path != "/" => {
                "it must not have a path, because clients drop it; give the server a host name or port of its own"
            }
            Some(_) if text.contains('#') => "it must not have a fragment",
            Some(_) => return Ok(()),
        };
        self.that(name, false, || format!("is {}; {fault}", shown(text)))
    }

    /// `@actions/cache` reads in parallel only from hosts with this suffix: another one would have
    /// no effect.
    fn parallel_url(&self, name: &str, url: Option<&str>) -> Result<(), ConfigError> {
        const SUFFIX: &str = ".blob.core.windows.net";
        self.origin_url(name, url)?;
        let host = url.and_then(|url| url.parse::<Uri>().ok()?.host().map(str::to_ascii_lowercase));
        self.that(name, host.is_none_or(|host| host.ends_with(SUFFIX)), || {
            format!("is {}; its host must end with {SUFFIX}", shown(url.unwrap_or_default()))
        })
    }

    fn signing_secret(&self, name: &str, secret: Option<&Secret>) -> Result<(), ConfigError> {
        let long = secret.is_none_or(|s| s.expose().len() >= MIN_SECRET_BYTES);
        self.that(name, long, || format!("is too short; it must have at least {MIN_SECRET_BYTES} characters"))
    }

    fn webhook_secret(&self, secret: Option<&Secret>) -> Result<(), ConfigError> {
        let name = "webhooks.secret";
        let Some(secret) = secret else { return Ok(()) };
        let bytes = secret.key_bytes().map_err(|problem| ConfigError::Setting {
            setting: self.0.name(name),
            problem: problem.to_owned(),
        })?;
        self.that(name, bytes.len() >= MIN_SECRET_BYTES, || {
            format!("is too short; it must have at least {MIN_SECRET_BYTES} bytes")
        })
    }

    fn auth(&self, auth: &Auth) -> Result<(), ConfigError> {
        let secrets = "auth.hs256_secrets";
        for secret in &auth.hs256_secrets {
            let bytes = secret.key_bytes().map_err(|problem| ConfigError::Setting {
                setting: self.0.name(secrets),
                problem: problem.to_owned(),
            })?;
            self.that(secrets, bytes.len() >= MIN_SECRET_BYTES, || {
                format!("holds a secret that is too short; each must have at least {MIN_SECRET_BYTES} bytes")
            })?;
        }
        for issuer in &auth.issuers {
            self.issuer(issuer)?;
        }
        self.prefix("auth.hs256_repository_prefix", &auth.hs256_repository_prefix)?;
        self.apart(auth)?;
        self.default_repository(auth)?;
        self.facts(auth)?;
        self.allowed(auth)
    }

    fn facts(&self, auth: &Auth) -> Result<(), ConfigError> {
        let unknown = auth.facts.iter().find(|name| !CLAIMS.contains(&name.as_str()));
        self.that("auth.facts", unknown.is_none(), || {
            let unknown = unknown.map_or("", String::as_str);
            format!("has `{unknown}`; it may have none (`none`), or some of {}", CLAIMS.join(", "))
        })
    }

    /// The ids of platforms are numbers. With a number, tokens without a repository would share the
    /// entries of a real repository.
    fn default_repository(&self, auth: &Auth) -> Result<(), ConfigError> {
        let Some(repository) = &auth.default_repository else { return Ok(()) };
        self.that("auth.default_repository", is_repository(repository), || {
            format!("is `{repository}`; it must be 1 to 128 of A-Z, a-z, 0-9, `_`, `-`, `.` and `/`")
        })?;
        let is_id = repository.bytes().all(|b| b.is_ascii_digit());
        self.that("auth.default_repository", auth.issuers.is_empty() || !is_id, || {
            format!("is `{repository}`, which may be the id of an issuer's repository; give it a name with a letter")
        })
    }

    fn allowed(&self, auth: &Auth) -> Result<(), ConfigError> {
        for (name, list, is_one) in [
            ("auth.owners", &auth.owners, is_owner as fn(&str) -> bool),
            ("auth.repositories", &auth.repositories, is_allowed_repository),
        ] {
            if let Some(wrong) = list.iter().find(|text| !is_one(text)) {
                let form = if name == "auth.owners" {
                    "an id or a name"
                } else {
                    "an id, or a name like `owner/name`"
                };
                return self.that(name, false, || {
                    format!("has `{wrong}`; each must be {form}, behind the issuer's repository_prefix if it has one")
                });
            }
        }
        Ok(())
    }

    fn issuer(&self, issuer: &IssuerConfig) -> Result<(), ConfigError> {
        let name = "auth.issuers";
        let text = &issuer.issuer;
        // Without discovery the issuer is only compared, and need not be a URL.
        let found = issuer.jwks_file.is_some() || issuer.jwks_url.is_some() || is_plain_https(text);
        self.that(name, found && !text.is_empty(), || {
            format!(
                "has {}; an issuer must be an https URL (http only to a loopback address) without a query",
                shown(text)
            )
        })?;
        let url = issuer.jwks_url.as_deref();
        let named = if self.0.variable("auth.jwks_url").is_some() { "auth.jwks_url" } else { name };
        self.that(named, url.is_none_or(|url| allowed_url(url).is_some()), || {
            format!(
                "has {}; keys must be at an https URL (http only to a loopback address)",
                shown(url.unwrap_or_default())
            )
        })?;
        self.that(name, issuer.jwks_url.is_none() || issuer.jwks_file.is_none(), || {
            format!("has jwks_url and jwks_file for {}; keep one of them", shown(text))
        })?;
        self.prefix(name, &issuer.repository_prefix)
    }

    fn prefix(&self, name: &str, prefix: &str) -> Result<(), ConfigError> {
        let form = prefix.is_empty() || prefix.strip_suffix(':').is_some_and(is_repository);
        self.that(name, form, || {
            format!("has the repository prefix `{prefix}`; it must be letters, digits, `_`, `-`, `.` or `/` and end with `:`")
        })
    }

    /// Repositories of different platforms must not share a number: one could read the other's
    /// entries.
    fn apart(&self, auth: &Auth) -> Result<(), ConfigError> {
        let platforms =
            auth.issuers.iter().map(|i| (host(&i.issuer), i.repository_prefix.as_str(), "auth.issuers"));
        let secrets = (!auth.hs256_secrets.is_empty()).then_some((
            None,
            auth.hs256_repository_prefix.as_str(),
            "auth.hs256_repository_prefix",
        ));
        let sources: Vec<_> = platforms.chain(secrets).collect();
        for (at, (host, prefix, name)) in sources.iter().enumerate() {
            let other = sources[..at]
                .iter()
                .find(|(other, same, _)| same == prefix && (host.is_none() || other != host));
            self.that(name, other.is_none(), || {
                "would let repositories of two platforms share their ids; give each issuer but one a repository_prefix \
                 in a table of its own, { issuer = \"…\", repository_prefix = \"ghes:\" }, or set \
                 auth.hs256_repository_prefix for tokens that are signed with a secret"
                    .to_owned()
            })?;
        }
        Ok(())
    }
}

/// A URL for an error; not shown when it may hold a password.
fn shown(url: &str) -> String {
    if url.contains('@') { "a URL with a user name".to_owned() } else { format!("`{url}`") }
}

fn host(issuer: &str) -> Option<String> {
    issuer.parse::<Uri>().ok()?.authority().map(|a| a.as_str().to_ascii_lowercase())
}

fn is_plain_https(issuer: &str) -> bool {
    allowed_url(issuer).is_some_and(|url| url.query().is_none()) && !issuer.contains('#')
}

fn is_repository(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
}

/// An id or a name, behind a prefix if there is one.
fn is_owner(text: &str) -> bool {
    let bare = text.rsplit_once(':').map_or(text, |(_, bare)| bare);
    is_repository(bare) && !bare.contains('/')
}

fn is_allowed_repository(text: &str) -> bool {
    is_repository(text.rsplit_once(':').map_or(text, |(_, bare)| bare))
}

fn without_slashes(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}
