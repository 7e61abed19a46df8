//! What an instance reads once: settings, directory, keys.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use crate::{
    auth::{KeySet, TokenVerifier, UrlSigner},
    bindings::wasi::{cli::environment, clocks::system_clock, random::random},
    config::Settings,
    directory::{self, Directory, wasi::WasiDirectory},
    index::Index,
    storage::Storage,
};

/// The file that says how the directory is laid out.
const FORMAT_FILE: &str = "larder.json";
/// The key of signed URLs, which is made once.
const KEY_FILE: &str = "url-key";
const KEY_BYTES: u64 = 32;

/// The parts of an instance.
pub(crate) struct Instance {
    pub(crate) settings: Settings,
    pub(crate) index: Index<WasiDirectory>,
    pub(crate) storage: Storage<WasiDirectory>,
    pub(crate) directory: WasiDirectory,
    pub(crate) tokens: TokenVerifier,
    pub(crate) signer: UrlSigner,
}

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Format {
    format: u32,
    /// How keys are compared.
    keys: String,
}

thread_local! {
    static INSTANCE: Cell<Option<&'static Instance>> = const { Cell::new(None) };
}

/// Returns the instance's parts.
///
/// # Panics
/// When [`prepare`] has not succeeded, which an edge calls first: a trap.
#[expect(clippy::expect_used, reason = "a contract of the world, and there is nothing to go on with")]
pub(crate) fn instance() -> &'static Instance {
    INSTANCE.get().expect("the edge calls bridge.prepare first")
}

/// Returns the settings, if they could be read.
pub(crate) fn settings() -> Option<&'static Settings> {
    INSTANCE.get().map(|instance| &instance.settings)
}

/// Makes the instance's parts, once.
///
/// # Errors
/// When a setting, the directory or a key is not usable. The text is for the operator.
pub(crate) async fn prepare() -> Result<&'static Instance, String> {
    if let Some(ready) = INSTANCE.get() {
        return Ok(ready);
    }
    let made = Instance::make().await?;
    if let Some(ready) = INSTANCE.get() {
        return Ok(ready);
    }
    // For as long as the component's instance lives.
    let made: &'static Instance = Box::leak(Box::new(made));
    INSTANCE.set(Some(made));
    Ok(made)
}

impl Instance {
    async fn make() -> Result<Self, String> {
        let settings = Settings::read(environment::get_environment())?;
        let directory = WasiDirectory::preopened()?;
        check_format(directory, &settings).await?;
        let keys = match &settings.auth.jwks_file {
            Some(file) => Some(read_keys(directory, file).await?),
            None => None,
        };
        let own_key = match &settings.signing_secret {
            Some(secret) => secret.0.clone(),
            None => own_key(directory).await?,
        };
        let secondary = settings.signing_secret_secondary.as_ref().map(|secret| secret.0.as_slice());
        let max_bytes = settings.max_bytes.map(std::num::NonZeroU64::get);
        let storage = Storage::new(directory, max_bytes, now_us, random_number);
        let counted = storage.capacity().prepare().await;
        counted.map_err(|error| format!("the stored bytes cannot be counted: {error:?}"))?;
        Ok(Self {
            tokens: TokenVerifier::new(&settings.auth, keys),
            signer: UrlSigner::new(&own_key, secondary),
            index: Index::new(directory, settings.keys, now_us, random_number),
            storage,
            directory,
            settings,
        })
    }
}

/// Checks that the directory is of this layout and rule of comparing keys, or marks an empty one.
async fn check_format(directory: WasiDirectory, settings: &Settings) -> Result<(), String> {
    let ours = Format { format: 1, keys: settings.keys.name().to_owned() };
    let json = serde_json::to_vec(&ours).map_err(|error| error.to_string())?;
    let found = once(directory, FORMAT_FILE, &json).await?;
    let found: Format =
        serde_json::from_slice(&found).map_err(|error| format!("{FORMAT_FILE} is damaged: {error}"))?;
    if found.format != ours.format {
        return Err(format!("the directory has format {}, and this is format {}", found.format, ours.format));
    }
    if found.keys != ours.keys {
        return Err(format!(
            "the directory was made for LARDER_CASE_SENSITIVE_KEYS={}, which cannot be changed",
            found.keys == "bytes"
        ));
    }
    Ok(())
}

async fn read_keys(directory: WasiDirectory, file: &str) -> Result<KeySet, String> {
    let content = directory.read(file).await.map_err(|error| format!("LARDER_JWKS_FILE: {error}"))?;
    let content = content.ok_or_else(|| format!("LARDER_JWKS_FILE: there is no {file} in the directory"))?;
    KeySet::parse(&content.bytes).map_err(|problem| format!("LARDER_JWKS_FILE: {file}: {problem}"))
}

async fn own_key(directory: WasiDirectory) -> Result<Vec<u8>, String> {
    let key = once(directory, KEY_FILE, &random::get_random_bytes(KEY_BYTES)).await?;
    if key.len() as u64 == KEY_BYTES { Ok(key) } else { Err(format!("{KEY_FILE} is damaged")) }
}

/// Returns the content of a file, which is made with `fresh` if there is none: whole at once, by one
/// of all instances.
async fn once(directory: WasiDirectory, path: &str, fresh: &[u8]) -> Result<Vec<u8>, String> {
    let unusable = |error| format!("the directory of --dir cannot be used: {error}");
    if let Some(content) = directory.read(path).await.map_err(unusable)? {
        return Ok(content.bytes);
    }
    let private = format!("tmp/{:016x}", random_number());
    let make = async {
        directory::create(&directory, &private, fresh).await?;
        directory.sync(&private).await?;
        directory.link(&private, path).await?;
        directory.unlink(&private).await?;
        directory.sync(".").await?;
        directory.read(path).await
    };
    let content = make.await.map_err(unusable)?;
    content.map(|content| content.bytes).ok_or_else(|| format!("{path} cannot be made"))
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let now = system_clock::now();
    u64::try_from(now.seconds).unwrap_or(0).saturating_mul(1_000_000) + u64::from(now.nanoseconds / 1000)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    now_us() / 1000
}

pub(crate) fn random_number() -> u64 {
    random::get_random_u64()
}
