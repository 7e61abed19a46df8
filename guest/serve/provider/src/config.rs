//! The settings: environment variables, under the names that the native server has for them.
//!
//! One that is unknown or malformed is an error, and so is one of the native server's that has no
//! effect here.

use std::{collections::BTreeMap, num::NonZeroU64};

use crate::{facts::CLAIMS, index::KeyRule};

/// Shortest secret in bytes.
const MIN_SECRET_BYTES: usize = 16;
/// Where requests go that are not for the cache, unless configured.
const GITHUB_RESULTS: &str = "https://results-receiver.actions.githubusercontent.com";
const HOUR_MS: u64 = 60 * 60 * 1000;
/// Most days or hours of a setting: far from overflow when added to a time.
const MAX_DAYS: u64 = 36_500;

/// The variables that have an effect.
const KNOWN: [&str; 23] = [
    "ACTIONS_TOKEN_ISSUER",
    "API_BASE_URL",
    "CACHE_CLEANUP_OLDER_THAN_DAYS",
    "DEBUG",
    "DEFAULT_ACTIONS_RESULTS_URL",
    "LARDER_AUDIENCE",
    "LARDER_CASE_SENSITIVE_KEYS",
    "LARDER_DEFAULT_REPOSITORY",
    "LARDER_FACTS",
    "LARDER_HS256_SECRET",
    "LARDER_IDLE_UPLOAD_MS",
    "LARDER_JWKS_FILE",
    "LARDER_MAX_AGE_DAYS",
    "LARDER_MAX_BYTES",
    "LARDER_OWNERS",
    "LARDER_PARALLEL_DOWNLOAD_URL",
    "LARDER_REPOSITORIES",
    "LARDER_SWEEP_TOKEN",
    "ORPHANED_STORAGE_GRACE_PERIOD_HOURS",
    "RUST_LOG",
    "SKIP_TOKEN_VALIDATION",
    "URL_SIGNING_SECRET",
    "URL_SIGNING_SECRET_SECONDARY",
];

/// Prefixes of the native server's variables: who sets another one expects an effect.
const OURS: [&str; 10] = [
    "ACTIONS_TOKEN_",
    "CACHE_CLEANUP_",
    "DB_",
    "DISABLE_CLEANUP_JOBS",
    "ENABLE_DIRECT_DOWNLOADS",
    "LARDER_",
    "NITRO_PORT",
    "ORPHANED_STORAGE_",
    "STORAGE_",
    "URL_SIGNING_",
];

/// A secret, which `Debug` hides.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Who may use the cache.
#[derive(Clone, Debug, Default)]
pub(crate) struct Auth {
    pub(crate) skip_validation: bool,
    pub(crate) hs256_secret: Option<Secret>,
    /// The issuer whose keys are in `jwks_file`, without a slash at the end.
    pub(crate) issuer: Option<String>,
    /// A path in the directory.
    pub(crate) jwks_file: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) default_repository: Option<String>,
    pub(crate) owners: Vec<String>,
    pub(crate) repositories: Vec<String>,
    /// The claims that are stored with what a job saves.
    pub(crate) facts: Vec<String>,
}

/// All settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) base_url: Option<String>,
    /// Where other requests go; `None`: nowhere.
    pub(crate) upstream: Option<String>,
    pub(crate) auth: Auth,
    pub(crate) signing_secret: Option<Secret>,
    pub(crate) signing_secret_secondary: Option<Secret>,
    pub(crate) parallel_download_url: Option<String>,
    pub(crate) keys: KeyRule,
    pub(crate) unused_days: u64,
    /// An upload without activity for this long yields to another save of its key.
    /// 0: any age.
    pub(crate) max_age_days: u64,
    pub(crate) idle_upload_ms: u64,
    pub(crate) orphan_grace_ms: u64,
    pub(crate) max_bytes: Option<NonZeroU64>,
    pub(crate) sweep_token: Option<String>,
    pub(crate) debug: bool,
    /// Whether lines below a warning are written.
    pub(crate) quiet: bool,
}

/// The variables by name. One that is empty counts as not set, but for the upstream's.
struct Variables(BTreeMap<String, String>);

/// The error of a setting: a sentence for the operator, without secrets.
type Result<T> = std::result::Result<T, String>;

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// When one is unknown, has no effect here, or is malformed.
    pub(crate) fn read(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let variables = Variables::read(environment)?;
        let level = variables.get("RUST_LOG").unwrap_or("info");
        if !["off", "error", "warn", "info", "debug", "trace"].contains(&level) {
            return Err(format!("RUST_LOG is `{level}`; here it must be error, warn, info or debug"));
        }
        let settings = Self {
            base_url: variables.url("API_BASE_URL")?,
            upstream: variables.upstream()?,
            auth: variables.auth()?,
            signing_secret: variables.secret("URL_SIGNING_SECRET")?,
            signing_secret_secondary: variables.secret("URL_SIGNING_SECRET_SECONDARY")?,
            parallel_download_url: variables.url("LARDER_PARALLEL_DOWNLOAD_URL")?,
            keys: match variables.switch("LARDER_CASE_SENSITIVE_KEYS")? {
                true => KeyRule::Bytes,
                false => KeyRule::AnyCase,
            },
            unused_days: variables.number("CACHE_CLEANUP_OLDER_THAN_DAYS", MAX_DAYS)?.unwrap_or(90),
            max_age_days: variables.number("LARDER_MAX_AGE_DAYS", MAX_DAYS)?.unwrap_or(0),
            idle_upload_ms: variables
                .number("LARDER_IDLE_UPLOAD_MS", MAX_DAYS * 24 * HOUR_MS)?
                .unwrap_or(5 * 60 * 1000)
                .max(1000),
            orphan_grace_ms: HOUR_MS
                * variables
                    .number("ORPHANED_STORAGE_GRACE_PERIOD_HOURS", MAX_DAYS * 24)?
                    .unwrap_or(24)
                    .max(1),
            max_bytes: variables.number("LARDER_MAX_BYTES", u64::MAX)?.and_then(NonZeroU64::new),
            sweep_token: variables.get("LARDER_SWEEP_TOKEN").map(str::to_owned),
            debug: variables.switch("DEBUG")? || ["debug", "trace"].contains(&level),
            quiet: ["off", "error", "warn"].contains(&level),
        };
        if settings.signing_secret_secondary.is_some() && settings.signing_secret.is_none() {
            return Err("URL_SIGNING_SECRET_SECONDARY is set, but URL_SIGNING_SECRET is not".to_owned());
        }
        if settings.sweep_token.as_ref().is_some_and(|token| token.len() < MIN_SECRET_BYTES) {
            return Err(format!("LARDER_SWEEP_TOKEN must have at least {MIN_SECRET_BYTES} bytes"));
        }
        Ok(settings)
    }
}

impl Variables {
    fn read(environment: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut known = BTreeMap::new();
        for (name, value) in environment {
            if KNOWN.contains(&name.as_str()) {
                if !value.is_empty() || name == "DEFAULT_ACTIONS_RESULTS_URL" {
                    known.insert(name, value);
                }
            } else if let Some(problem) = unknown(&name) {
                return Err(problem);
            }
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn switch(&self, name: &str) -> Result<bool> {
        match self.get(name).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(format!("{name} is `{other}`; it must be true, false, 1 or 0")),
        }
    }

    fn number(&self, name: &str, most: u64) -> Result<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| *number <= most);
        number.map(Some).ok_or_else(|| format!("{name} is `{text}`; it must be a whole number up to {most}"))
    }

    fn list(&self, name: &str) -> Vec<String> {
        let items = self.get(name).unwrap_or_default().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// An origin: scheme, host and port, and nothing else.
    fn url(&self, name: &str) -> Result<Option<String>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let url = text.trim_end_matches('/');
        let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_plain = |authority: &str| {
            !authority.is_empty()
                && authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        };
        match authority.filter(|authority| is_plain(authority)) {
            Some(_) => Ok(Some(url.to_owned())),
            None => Err(format!("{name} must be a URL without a path, such as https://cache.example.com")),
        }
    }

    fn upstream(&self) -> Result<Option<String>> {
        match self.get("DEFAULT_ACTIONS_RESULTS_URL") {
            None => Ok(Some(GITHUB_RESULTS.to_owned())),
            Some("" | "none") => Ok(None),
            Some(_) => self.url("DEFAULT_ACTIONS_RESULTS_URL"),
        }
    }

    fn secret(&self, name: &str) -> Result<Option<Secret>> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let Some(text) = self.get(name) else { return Ok(None) };
        let bytes = match text.strip_prefix("base64:") {
            None => text.as_bytes().to_vec(),
            Some(encoded) => STANDARD
                .decode(encoded)
                .map_err(|_| format!("{name} starts with `base64:` and is not base64"))?,
        };
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(format!("{name} must have at least {MIN_SECRET_BYTES} bytes"));
        }
        Ok(Some(Secret(bytes)))
    }

    fn facts(&self) -> Result<Vec<String>> {
        let listed = self.list("LARDER_FACTS");
        match listed.iter().find(|name| !CLAIMS.contains(&name.as_str())) {
            _ if listed.is_empty() => Ok(CLAIMS.map(str::to_owned).to_vec()),
            _ if listed == ["none"] => Ok(Vec::new()),
            None => Ok(listed),
            Some(unknown) => Err(format!(
                "LARDER_FACTS has `{unknown}`; it must be none, or some of {}",
                CLAIMS.join(", ")
            )),
        }
    }

    fn auth(&self) -> Result<Auth> {
        let issuers = self.list("ACTIONS_TOKEN_ISSUER");
        let auth = Auth {
            skip_validation: self.switch("SKIP_TOKEN_VALIDATION")?,
            hs256_secret: self.secret("LARDER_HS256_SECRET")?,
            issuer: issuers.first().map(|issuer| issuer.strip_suffix('/').unwrap_or(issuer).to_owned()),
            jwks_file: self.get("LARDER_JWKS_FILE").map(str::to_owned),
            audience: self.get("LARDER_AUDIENCE").map(str::to_owned),
            default_repository: self.get("LARDER_DEFAULT_REPOSITORY").map(str::to_owned),
            owners: self.list("LARDER_OWNERS"),
            repositories: self.list("LARDER_REPOSITORIES"),
            facts: self.facts()?,
        };
        if auth.issuer.is_some() != auth.jwks_file.is_some() || issuers.len() > 1 {
            return Err(
                "ACTIONS_TOKEN_ISSUER and LARDER_JWKS_FILE belong together: one issuer, and the file \
                        of its keys in the directory of --dir"
                    .to_owned(),
            );
        }
        let is_inside = |path: &String| !path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if auth.jwks_file.as_ref().is_some_and(|path| !is_inside(path)) {
            return Err("LARDER_JWKS_FILE must be the name of a file in the directory of --dir".to_owned());
        }
        let verified = auth.hs256_secret.is_some() || auth.jwks_file.is_some();
        let restricted = auth.audience.is_some() || !auth.owners.is_empty() || !auth.repositories.is_empty();
        match auth.skip_validation {
            true if verified || restricted => {
                Err("SKIP_TOKEN_VALIDATION is on, so tokens are not verified, \
                                                   but another variable configures their verification; \
                                                   remove one of them"
                    .to_owned())
            }
            false if !verified => Err("no token can be verified: set LARDER_HS256_SECRET, or \
                                       ACTIONS_TOKEN_ISSUER and LARDER_JWKS_FILE, or, where everybody may \
                                       do everything, SKIP_TOKEN_VALIDATION=true"
                .to_owned()),
            _ => Ok(auth),
        }
    }
}

/// Why a variable that is not known is an error; `None` for one that is not the server's.
fn unknown(name: &str) -> Option<String> {
    let is_ours = OURS.iter().any(|prefix| name.starts_with(prefix));
    let is_of_tests = name.starts_with("LARDER_TEST_") || name.starts_with("LARDER_CI_");
    let hint = match name {
        _ if !is_ours || is_of_tests => return None,
        "LARDER_DATA" | "STORAGE_FILESYSTEM_PATH" => "; the directory is that of --dir",
        "LARDER_LISTEN" | "NITRO_PORT" => "; the address is that of --addr",
        "ACTIONS_TOKEN_JWKS_URL" => "; fetch the keys into the directory of --dir and name LARDER_JWKS_FILE",
        _ => "",
    };
    Some(format!("{name} is set, which is unknown or has no effect under wasmtime serve{hint}"))
}

#[cfg(test)]
mod tests;
