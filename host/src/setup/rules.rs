//! The rules that a configuration names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use larder_common::{causes::chain, clock::Clock};
use larder_rules::{Asker, Limits, Rules, RulesError, Source as Text};

use crate::{
    config::Settings,
    engine::PolicyInForce,
    error::StartError,
    exchange::{
        Exchange, ExchangeHandle, Held, NO_RULES, RulesExchange, ShadowExchange, Source, Unreadable, Wanted,
        known,
    },
    versions::{InForce, Version, Versions},
};

/// The rules of the tenant `default`, when the server starts.
pub(crate) struct StartingRules {
    /// `None`: the embedding program has brought them.
    source: Option<Source>,
    cache: PathBuf,
    held: Held<Option<Arc<Rules>>>,
}

impl StartingRules {
    /// Loads `given`, else the chosen version, the configured file, or none. If that does not load, or has gone back by
    /// itself: what was in force before, but never none.
    ///
    /// # Errors
    /// When it cannot be read or loaded, and there is nothing before it.
    pub(crate) fn load(settings: &Settings, given: Option<Text>) -> Result<Self, StartError> {
        let cache = settings.data.join("compiled");
        if let Some(given) = given {
            return Self::given(given, cache);
        }
        let source = source_of(settings);
        let (wanted, rules) = choose(&source, &cache)?;
        let Wanted { content, version, source: from } = wanted;
        let record = InForce { version, source: from, since_ms: Clock::system().now_ms() };
        if let Some(rules) = &rules {
            log(rules, &record.source);
            let stored = source.versions.store(&content, &record.version.name);
            if let Err(error) = stored.and_then(|_| source.versions.record(record.clone())) {
                tracing::warn!(%error, "cannot write down which rules are in force");
            }
        }
        Ok(Self { source: Some(source), cache, held: Held { record, loaded: rules } })
    }

    /// Loads what the embedding program has brought. No file and no choice is followed then.
    fn given(given: Text, cache: PathBuf) -> Result<Self, StartError> {
        let (content, name) = match &given {
            Text::Component { bytes, name } => (bytes.as_slice(), name.clone()),
            Text::Script { text, name } => (text.as_bytes(), name.clone()),
        };
        let version = Source::version(content, &name);
        let record = InForce { version, source: "call".to_owned(), since_ms: Clock::system().now_ms() };
        let loaded = Rules::load(given, Some(&cache));
        let rules = loaded.map_err(|source| StartError::Rules { path: name.into(), source })?;
        log(&rules, &record.source);
        Ok(Self { source: None, cache, held: Held { record, loaded: Some(rules) } })
    }

    pub(crate) fn rules(&self) -> Option<Arc<Rules>> {
        self.held.loaded.clone()
    }

    /// Returns what exchanges the rules of this asker beside this policy, and how to ask for it.
    pub(crate) fn follow(
        self,
        asker: &Asker,
        policy: &PolicyInForce,
    ) -> (Exchange<RulesExchange>, ExchangeHandle) {
        let Self { source, cache, held } = self;
        let policy = policy.clone();
        let policy_asks = Box::new(move || policy.current().asks_rules());
        Exchange::new(RulesExchange { asker: asker.clone(), cache, policy_asks }, source, held)
    }
}

fn source_of(settings: &Settings) -> Source {
    Source {
        versions: Versions::of_rules(&settings.data),
        file: settings.rules.file.clone(),
        built_in: NO_RULES,
    }
}

/// Loads what is wanted, or what was in force before. Writes nothing down.
fn choose(source: &Source, cache: &Path) -> Result<(Wanted, Option<Arc<Rules>>), StartError> {
    let wanted = source.wanted().map_err(|Unreadable { path, source }| StartError::Path { path, source })?;
    let rejection = match source.versions.rejection(&wanted.version) {
        Some(reason) => reason,
        None => match load(&wanted.content, &wanted.version.name, cache) {
            Ok(rules) => return Ok((wanted, rules)),
            Err(error) => chain(&error).to_string(),
        },
    };
    if let Some(found) = earlier(source, &wanted, &rejection, cache) {
        return Ok(found);
    }
    let rules = load(&wanted.content, &wanted.version.name, cache);
    let path = source.file.clone().unwrap_or_else(|| source.versions.choice_file());
    Ok((wanted, rules.map_err(|source| StartError::Rules { path, source })?))
}

/// The rules that a server with these settings has in force, for a look beside it. Writes nothing down.
///
/// # Errors
/// When they cannot be read or loaded, and there are none of before.
pub(super) fn rules_in_force(settings: &Settings) -> Result<Option<Arc<Rules>>, StartError> {
    let (_, rules) = choose(&source_of(settings), &settings.data.join("compiled"))?;
    Ok(rules)
}

/// Returns what exchanges the rules in the shadow, and how to ask for it. Its first look loads them: the
/// start does not wait for them, and none that cannot be loaded ends it.
pub(crate) fn follow_shadow(
    settings: &Settings,
    asker: &Asker,
) -> (Exchange<ShadowExchange>, ExchangeHandle) {
    let source = Source {
        versions: Versions::of_shadow_rules(&settings.data),
        file: settings.rules.shadow.clone(),
        built_in: NO_RULES,
    };
    let record = InForce {
        version: Version::of(NO_RULES.0, NO_RULES.1),
        source: known::BUILT_IN.to_owned(),
        since_ms: Clock::system().now_ms(),
    };
    let cache = settings.data.join("compiled");
    let exchanged = ShadowExchange { asker: asker.clone(), cache, percent: settings.rules.shadow_percent() };
    Exchange::new(exchanged, Some(source), Held { record, loaded: None })
}

/// No bytes are no rules.
fn load(content: &[u8], name: &str, cache: &Path) -> Result<Option<Arc<Rules>>, RulesError> {
    if content.is_empty() {
        return Ok(None);
    }
    Rules::load(Text::new(content.to_vec(), name)?, Some(cache)).map(Some)
}

/// Returns the latest of the earlier versions that loads. No rules are none of them: that would open what
/// the wanted ones close.
fn earlier(
    source: &Source,
    wanted: &Wanted,
    reason: &str,
    cache: &Path,
) -> Option<(Wanted, Option<Arc<Rules>>)> {
    let known = source.earlier(wanted).into_iter().filter(|(_, content)| !content.is_empty());
    known.into_iter().find_map(|(known, content)| {
        let rules = load(&content, &known.version.name, cache).ok()?;
        tracing::error!(
            wanted = wanted.version.short(), source = wanted.source, reason, version = known.version.short(),
            "the wanted rules cannot be used: those that were in force before are; `larder rules status` has more"
        );
        Some((Wanted { content, version: known.version, source: known.source }, rules))
    })
}

fn log(rules: &Rules, source: &str) {
    let interfaces: Vec<&str> = rules.interfaces().iter().map(|interface| interface.name()).collect();
    tracing::info!(source, digest = rules.digest(), interfaces = interfaces.join(","), "rules are in force");
}

/// Reads and compiles the configured rules of a tenant; `None` where there are none.
///
/// # Errors
/// When the file cannot be read, is no rules, or does not start.
pub(crate) fn load_rules(settings: &Settings) -> Result<Option<Arc<Rules>>, StartError> {
    let Some(file) = &settings.rules.file else { return Ok(None) };
    let source = Text::read(file).map_err(|source| StartError::Path { path: file.clone(), source })?;
    let rules = Rules::load(source, Some(&settings.data.join("compiled")));
    let rules = rules.map_err(|source| StartError::Rules { path: file.clone(), source })?;
    log(&rules, &file.display().to_string());
    Ok(Some(rules))
}

/// Reads and compiles the rules in the shadow of a tenant; `None` where there are none, or none that can be
/// loaded: nothing depends on them.
pub(crate) fn load_shadow(settings: &Settings) -> Option<Arc<Rules>> {
    let file = settings.rules.shadow.as_ref()?;
    let load = || -> Result<Arc<Rules>, StartError> {
        let source = Text::read(file).map_err(|source| StartError::Path { path: file.clone(), source })?;
        let rules = Rules::load(source, Some(&settings.data.join("compiled")));
        rules.map_err(|source| StartError::Rules { path: file.clone(), source })
    };
    load().inspect_err(|error| tracing::error!(error = chain(error), "there are no rules in the shadow")).ok()
}

/// What asks these rules, and those in the shadow.
pub(super) fn asker(rules: Option<Arc<Rules>>, shadow: Option<Arc<Rules>>, percent: u8) -> Asker {
    let asker = Asker::new(Limits::default());
    asker.exchange(rules);
    if shadow.is_some()
        && let Err(error) = asker.set_shadow(shadow, percent)
    {
        tracing::error!(error = chain(&error), "there are no rules in the shadow");
    }
    asker
}
