//! The environment variables: which there are, and what each sets.

mod misspelt;

use std::{collections::BTreeMap, ffi::OsString, net::Ipv4Addr};

use toml::Value;

use super::{ConfigError, Provenance, StorageDriver, file::RawSettings};

/// Names the configuration file.
pub(super) const CONFIG_FILE: &str = "LARDER_CONFIG";
/// The filter of the log.
pub(super) const LOG_FILTER: &str = "RUST_LOG";
/// Moves the listener to another port, where `LARDER_LISTEN` is not set.
const NITRO_PORT: &str = "NITRO_PORT";
/// The port as platforms give it, which reach the server from outside: all addresses, unless an
/// address is configured.
const PORT: &str = "PORT";
/// Switches the signing of URLs, on the known server.
const SIGNING_ENABLED: &str = "URL_SIGNING_ENABLED";
/// The one whose empty value means something.
const UPSTREAM: &str = "DEFAULT_ACTIONS_RESULTS_URL";

/// How the text of a variable is read.
#[derive(Clone, Copy)]
pub(super) enum ValueKind {
    Text,
    Number,
    Switch,
    /// Separated by commas.
    List,
}

/// The variables that stand for a setting. The ones without `LARDER_` are names of the known
/// server.
pub(super) const VARIABLES: &[(&str, &str, ValueKind)] = &[
    ("LARDER_DATA", "data", ValueKind::Text),
    ("LARDER_LISTEN", "server.listen", ValueKind::Text),
    ("LARDER_SOCKET_MODE", "server.socket_mode", ValueKind::Text),
    ("LARDER_MANAGEMENT_TLS_CERTIFICATE", "management.tls.certificate", ValueKind::Text),
    ("LARDER_MANAGEMENT_TLS_KEY", "management.tls.key", ValueKind::Text),
    ("LARDER_MANAGEMENT_TLS_CLIENT_CA", "management.tls.client_ca", ValueKind::Text),
    ("LARDER_MANAGEMENT_TLS_CLIENT_CERTIFICATES", "management.tls.client_certificates", ValueKind::Text),
    ("LARDER_TLS_CERTIFICATE", "server.tls.certificate", ValueKind::Text),
    ("LARDER_TLS_KEY", "server.tls.key", ValueKind::Text),
    ("LARDER_TLS_CLIENT_CA", "server.tls.client_ca", ValueKind::Text),
    ("LARDER_TLS_CLIENT_CERTIFICATES", "server.tls.client_certificates", ValueKind::Text),
    ("API_BASE_URL", "server.base_url", ValueKind::Text),
    ("LARDER_THREADS", "server.threads", ValueKind::Number),
    ("LARDER_MAX_CONNECTIONS", "server.max_connections", ValueKind::Number),
    ("LARDER_TRUSTED_PROXIES", "server.trusted_proxies", ValueKind::List),
    ("STORAGE_DRIVER", "storage.driver", ValueKind::Text),
    ("STORAGE_FILESYSTEM_PATH", "storage.filesystem.path", ValueKind::Text),
    ("LARDER_RESERVE_BYTES", "storage.filesystem.reserve_bytes", ValueKind::Number),
    ("LARDER_BUFFER_BYTES", "storage.buffer_bytes", ValueKind::Number),
    ("LARDER_STORAGE_PREFIX", "storage.prefix", ValueKind::Text),
    ("LARDER_STORAGE_DIGESTS", "storage.digests", ValueKind::Text),
    ("STORAGE_S3_BUCKET", "storage.s3.bucket", ValueKind::Text),
    ("STORAGE_S3_SOCKET_TIMEOUT_MS", "storage.s3.timeout_ms", ValueKind::Number),
    ("LARDER_S3_PATH_STYLE", "storage.s3.path_style", ValueKind::Text),
    ("AWS_REGION", "storage.s3.region", ValueKind::Text),
    ("AWS_ENDPOINT_URL", "storage.s3.endpoint", ValueKind::Text),
    ("AWS_ENDPOINT_URL_S3", "storage.s3.endpoint", ValueKind::Text),
    ("AWS_ACCESS_KEY_ID", "storage.s3.access_key_id", ValueKind::Text),
    ("AWS_SECRET_ACCESS_KEY", "storage.s3.secret_access_key", ValueKind::Text),
    ("AWS_SESSION_TOKEN", "storage.s3.session_token", ValueKind::Text),
    ("STORAGE_GCS_BUCKET", "storage.gcs.bucket", ValueKind::Text),
    ("STORAGE_GCS_SERVICE_ACCOUNT_KEY", "storage.gcs.service_account_key", ValueKind::Text),
    ("STORAGE_GCS_ENDPOINT", "storage.gcs.endpoint", ValueKind::Text),
    ("STORAGE_AZBLOB_CONTAINER", "storage.azblob.container", ValueKind::Text),
    ("STORAGE_AZBLOB_CONNECTION_STRING", "storage.azblob.connection_string", ValueKind::Text),
    ("STORAGE_AZBLOB_ACCOUNT", "storage.azblob.account", ValueKind::Text),
    ("STORAGE_AZBLOB_ENDPOINT", "storage.azblob.endpoint", ValueKind::Text),
    ("ENABLE_DIRECT_DOWNLOADS", "downloads.direct", ValueKind::Switch),
    ("LARDER_DIRECT_URL_MINUTES", "downloads.direct_url_minutes", ValueKind::Number),
    ("DB_DRIVER", "database.driver", ValueKind::Text),
    ("DB_SQLITE_PATH", "database.sqlite.path", ValueKind::Text),
    ("LARDER_DB_MAX_CONNECTIONS", "database.max_connections", ValueKind::Number),
    ("LARDER_DB_TIMEOUT_MS", "database.timeout_ms", ValueKind::Number),
    ("LARDER_CASE_SENSITIVE_KEYS", "database.case_sensitive_keys", ValueKind::Switch),
    ("DB_POSTGRES_URL", "database.postgres.url", ValueKind::Text),
    ("DB_POSTGRES_HOST", "database.postgres.host", ValueKind::Text),
    ("DB_POSTGRES_PORT", "database.postgres.port", ValueKind::Number),
    ("DB_POSTGRES_USER", "database.postgres.user", ValueKind::Text),
    ("DB_POSTGRES_PASSWORD", "database.postgres.password", ValueKind::Text),
    ("DB_POSTGRES_DATABASE", "database.postgres.database", ValueKind::Text),
    ("DB_POSTGRES_SSL_MODE", "database.postgres.ssl_mode", ValueKind::Text),
    ("DB_POSTGRES_CA_FILE", "database.postgres.ca_file", ValueKind::Text),
    ("DB_MYSQL_URL", "database.mysql.url", ValueKind::Text),
    ("DB_MYSQL_HOST", "database.mysql.host", ValueKind::Text),
    ("DB_MYSQL_PORT", "database.mysql.port", ValueKind::Number),
    ("DB_MYSQL_USER", "database.mysql.user", ValueKind::Text),
    ("DB_MYSQL_PASSWORD", "database.mysql.password", ValueKind::Text),
    ("DB_MYSQL_DATABASE", "database.mysql.database", ValueKind::Text),
    ("DB_MYSQL_SSL_MODE", "database.mysql.ssl_mode", ValueKind::Text),
    ("DB_MYSQL_CA_FILE", "database.mysql.ca_file", ValueKind::Text),
    (UPSTREAM, "upstream.url", ValueKind::Text),
    ("SKIP_TOKEN_VALIDATION", "auth.skip_validation", ValueKind::Switch),
    ("ACTIONS_TOKEN_ISSUER", "auth.issuers", ValueKind::List),
    ("ACTIONS_TOKEN_JWKS_URL", "auth.jwks_url", ValueKind::Text),
    ("LARDER_JWKS_FILE", "auth.jwks_file", ValueKind::Text),
    ("LARDER_HS256_SECRET", "auth.hs256_secrets", ValueKind::Text),
    ("LARDER_DEFAULT_REPOSITORY", "auth.default_repository", ValueKind::Text),
    ("LARDER_OWNERS", "auth.owners", ValueKind::List),
    ("LARDER_REPOSITORIES", "auth.repositories", ValueKind::List),
    ("LARDER_FACTS", "auth.facts", ValueKind::List),
    ("URL_SIGNING_SECRET", "urls.signing_secret", ValueKind::Text),
    ("URL_SIGNING_SECRET_SECONDARY", "urls.signing_secret_secondary", ValueKind::Text),
    ("LARDER_PARALLEL_DOWNLOAD_URL", "urls.parallel_download_url", ValueKind::Text),
    ("LARDER_POLICY", "policy.component", ValueKind::Text),
    ("LARDER_RULES", "rules.file", ValueKind::Text),
    ("LARDER_RULES_SHADOW", "rules.shadow", ValueKind::Text),
    ("CACHE_CLEANUP_OLDER_THAN_DAYS", "retention.unused_days", ValueKind::Number),
    ("LARDER_NEVER_USED_DAYS", "retention.never_used_days", ValueKind::Number),
    ("LARDER_MAX_AGE_DAYS", "retention.max_age_days", ValueKind::Number),
    ("LARDER_BARRED_HOURS", "retention.barred_hours", ValueKind::Number),
    ("ORPHANED_STORAGE_GRACE_PERIOD_HOURS", "retention.orphan_grace_hours", ValueKind::Number),
    ("LARDER_FULL_SWEEP_HOURS", "retention.full_sweep_hours", ValueKind::Number),
    ("DISABLE_CLEANUP_JOBS", "retention.disable", ValueKind::Switch),
    ("CACHE_MAX_SIZE_BYTES", "capacity.max_bytes", ValueKind::Number),
    ("CACHE_FILESYSTEM_MAX_USAGE_PERCENT", "capacity.max_disk_percent", ValueKind::Number),
    ("LARDER_REPOSITORY_MAX_BYTES", "capacity.repository_max_bytes", ValueKind::Number),
    ("LARDER_WEBHOOK_SECRET", "webhooks.secret", ValueKind::Text),
    ("LARDER_MANAGEMENT_LISTEN", "management.listen", ValueKind::Text),
    ("MANAGEMENT_API_KEY", "management.key", ValueKind::Text),
    ("LARDER_TENANTS_DIR", "tenants.dir", ValueKind::Text),
    ("LARDER_METRICS", "metrics.enabled", ValueKind::Switch),
    ("LARDER_METRICS_COMPAT", "metrics.compat", ValueKind::Text),
    ("LARDER_METRICS_REPOSITORIES", "metrics.repositories", ValueKind::Number),
    ("LARDER_TRACE_DIR", "trace.dir", ValueKind::Text),
    ("LARDER_HISTORY_DAYS", "history.days", ValueKind::Number),
    ("LARDER_HISTORY_ROWS", "history.rows", ValueKind::Number),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_HEADERS", "otlp.headers", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "otlp.protocol", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "otlp.timeout_ms", ValueKind::Number),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "otlp.traces_endpoint", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "otlp.traces_headers", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "otlp.traces_protocol", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "otlp.traces_timeout_ms", ValueKind::Number),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otlp.metrics_endpoint", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "otlp.metrics_headers", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "otlp.metrics_protocol", ValueKind::Text),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "otlp.metrics_timeout_ms", ValueKind::Number),
    ("OTEL_SERVICE_NAME", "otlp.service_name", ValueKind::Text),
    ("OTEL_RESOURCE_ATTRIBUTES", "otlp.resource_attributes", ValueKind::Text),
    ("OTEL_TRACES_EXPORTER", "otlp.traces", ValueKind::Text),
    ("OTEL_METRICS_EXPORTER", "otlp.metrics", ValueKind::Text),
    ("OTEL_TRACES_SAMPLER", "otlp.sampler", ValueKind::Text),
    ("OTEL_TRACES_SAMPLER_ARG", "otlp.sampler_arg", ValueKind::Text),
    ("OTEL_METRIC_EXPORT_INTERVAL", "otlp.metric_interval_ms", ValueKind::Number),
    ("OTEL_SDK_DISABLED", "otlp.disabled", ValueKind::Switch),
    ("LARDER_LOG_FORMAT", "log.format", ValueKind::Text),
    ("DEBUG", "log.debug", ValueKind::Switch),
    ("NODE_EXTRA_CA_CERTS", "tls.ca_file", ValueKind::Text),
    ("LARDER_CA_FILE", "tls.ca_file", ValueKind::Text),
    // As for curl, the names in lower case win.
    ("HTTP_PROXY", "proxy.http", ValueKind::Text),
    ("http_proxy", "proxy.http", ValueKind::Text),
    ("HTTPS_PROXY", "proxy.https", ValueKind::Text),
    ("https_proxy", "proxy.https", ValueKind::Text),
    ("ALL_PROXY", "proxy.all", ValueKind::Text),
    ("all_proxy", "proxy.all", ValueKind::Text),
    ("NO_PROXY", "proxy.no", ValueKind::Text),
    ("no_proxy", "proxy.no", ValueKind::Text),
];

/// Variables of the known server that change nothing here.
const WITHOUT_EFFECT: &[&str] = &["BENCHMARK", "EAGER_MERGE"];

/// Set on many machines for other programs as well: they count where the storage is S3, and are not
/// seen where it is not.
const AMBIENT: &str = "AWS_";

/// Prefixes of this server's variables: an unknown one with such a prefix is an error, because its
/// author expects an effect.
const OURS: [&str; 8] = [
    "LARDER_",
    "STORAGE_FILESYSTEM_",
    "STORAGE_S3_",
    "STORAGE_GCS_",
    "STORAGE_AZBLOB_",
    "DB_SQLITE_",
    "DB_POSTGRES_",
    "DB_MYSQL_",
];

/// Read by the command line, which asks a server (`url` and key); the server itself does not.
pub(super) const CLIENT_URL: &str = "LARDER_URL";
pub(super) const CLIENT_KEY: &str = "LARDER_API_KEY";

/// Used by builds and tests of this project.
const NOT_OURS: [&str; 3] = ["LARDER_CI_", "LARDER_GUEST_", "LARDER_TEST_"];

/// The variables that matter here. One that is empty counts as not set, as in `docker compose`
/// files.
pub(super) struct Variables {
    known: BTreeMap<String, String>,
    /// A variable with an ambient prefix that is a near miss of a known one, which counts where the
    /// known one does.
    ambient_near_miss: Option<ConfigError>,
}

impl Variables {
    /// Picks the variables that matter, and checks that no other one is a misspelt one of them.
    pub(super) fn read(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut picked = Self { known: BTreeMap::new(), ambient_near_miss: None };
        for (name, value) in all {
            let Ok(name) = name.into_string() else { continue };
            if !matters(&name) {
                picked.check_spelling(&name, value.to_str().unwrap_or_default())?;
                continue;
            }
            let not_text = |_| wrong(&name, "must be UTF-8 text".to_owned());
            let value = value.into_string().map_err(not_text)?;
            check_known(&name, &value)?;
            if (!value.is_empty() || name == UPSTREAM) && !misspelt::is_service_link(&name, &value) {
                picked.known.insert(name, value);
            }
        }
        Ok(picked)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.known.get(name).map(String::as_str)
    }

    fn check_spelling(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let Some(nearest) = misspelt::near_miss(name, known_names()) else { return Ok(()) };
        if misspelt::is_service_link(name, value) {
            return Ok(());
        }
        let error = ConfigError::NearMiss { name: name.to_owned(), nearest };
        if nearest.starts_with(AMBIENT) {
            self.ambient_near_miss.get_or_insert(error);
            return Ok(());
        }
        Err(error)
    }
}

/// Overlays the settings with the variables.
pub(super) fn overlay(variables: &mut Variables, source: &mut RawSettings) -> Result<(), ConfigError> {
    if variables.get("LARDER_LISTEN").is_none() {
        overlay_port(variables, source)?;
    }
    if let Some(text) = variables.get(SIGNING_ENABLED)
        && !switch(SIGNING_ENABLED, text)?
    {
        return Err(wrong(
            SIGNING_ENABLED,
            format!("is `{text}`, but URLs are always signed here; remove it"),
        ));
    }
    for (name, setting, kind) in VARIABLES.iter().filter(|(name, ..)| !name.starts_with(AMBIENT)) {
        set(variables, source, (name, setting, *kind))?;
    }
    if source.settings()?.storage.driver != StorageDriver::S3 {
        return Ok(());
    }
    if let Some(error) = variables.ambient_near_miss.take() {
        return Err(error);
    }
    for (name, setting, kind) in VARIABLES.iter().filter(|(name, ..)| name.starts_with(AMBIENT)) {
        set(variables, source, (name, setting, *kind))?;
    }
    Ok(())
}

fn set(
    variables: &Variables,
    source: &mut RawSettings,
    (name, setting, kind): (&'static str, &str, ValueKind),
) -> Result<(), ConfigError> {
    if let Some(text) = variables.get(name) {
        source.set(setting, value(name, text, kind)?, Provenance::Variable(name));
    }
    Ok(())
}

/// Returns a warning for each variable that is set and has no effect.
pub(super) fn without_effect(variables: &Variables) -> Vec<String> {
    let mut warnings: Vec<String> = WITHOUT_EFFECT
        .iter()
        .filter(|name| variables.get(name).is_some())
        .map(|name| format!("{name} is set but has no effect in this version"))
        .collect();
    let shadowed = [(NITRO_PORT, "LARDER_LISTEN"), ("NODE_EXTRA_CA_CERTS", "LARDER_CA_FILE")];
    for (name, by) in shadowed {
        if variables.get(name).is_some() && variables.get(by).is_some() {
            warnings.push(format!("{name} is set but has no effect because {by} is set, too"));
        }
    }
    warnings
}

fn matters(name: &str) -> bool {
    is_ours(name) || known_names().any(|known| known == name) || WITHOUT_EFFECT.contains(&name)
}

/// All names with an effect.
fn known_names() -> impl Iterator<Item = &'static str> {
    let settings = VARIABLES.iter().map(|(name, ..)| *name);
    settings.chain([CONFIG_FILE, NITRO_PORT, PORT, SIGNING_ENABLED, LOG_FILTER, CLIENT_URL, CLIENT_KEY])
}

fn is_ours(name: &str) -> bool {
    OURS.iter().any(|prefix| name.starts_with(prefix))
}

fn check_known(name: &str, value: &str) -> Result<(), ConfigError> {
    let foreign =
        NOT_OURS.iter().any(|prefix| name.starts_with(prefix)) || misspelt::is_service_link(name, value);
    if !is_ours(name) || foreign || known_names().any(|known| known == name) {
        return Ok(());
    }
    let ours = known_names().filter(|known| is_ours(known));
    let nearest = ours.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or(CONFIG_FILE);
    Err(ConfigError::UnknownVariable { name: name.to_owned(), nearest })
}

fn value(name: &str, text: &str, kind: ValueKind) -> Result<Value, ConfigError> {
    Ok(match kind {
        ValueKind::Text => Value::String(text.to_owned()),
        ValueKind::Switch => Value::Boolean(switch(name, text)?),
        ValueKind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        ValueKind::Number => {
            let number = text.trim().parse().ok().filter(|n: &i64| *n >= 0);
            Value::Integer(
                number.ok_or_else(|| wrong(name, format!("is `{text}`; it must be a whole number")))?,
            )
        }
    })
}

fn switch(name: &str, text: &str) -> Result<bool, ConfigError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(wrong(name, format!("is `{text}`; it must be true, false, 1 or 0"))),
    }
}

/// Sets only the port. `PORT` implies all addresses if no address is configured: a platform that
/// sets it reaches the server from another machine or container.
fn overlay_port(variables: &Variables, source: &mut RawSettings) -> Result<(), ConfigError> {
    let (name, text, is_open) = match (variables.get(NITRO_PORT), variables.get(PORT)) {
        (Some(text), _) => (NITRO_PORT, text, false),
        (None, Some(text)) => (PORT, text, !source.provenances.is_set("server.listen")),
        (None, None) => return Ok(()),
    };
    let port = text
        .trim()
        .parse()
        .map_err(|_| wrong(name, format!("is `{text}`; it must be a port number from 0 to 65535")))?;
    let listen = source.settings()?.server.listen;
    let Some(mut address) = listen.tcp() else {
        return Err(wrong(name, format!("is set, but the server listens on {listen}; remove one of them")));
    };
    if is_open {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    address.set_port(port);
    source.set("server.listen", Value::String(address.to_string()), Provenance::Variable(name));
    Ok(())
}

fn wrong(name: &str, problem: String) -> ConfigError {
    ConfigError::Setting { setting: name.to_owned(), problem }
}
