//! The versions of policy and rules of the tenant `default`: what `larder policy use` and `larder rules use` do, by
//! the same functions and files. The running server follows them.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;
use larder_common::causes::chain;
use larder_management::{Fault, VersionInfo, VersionedKind, VersionsInfo};
use larder_rules::{Rules, Source};
use tokio::sync::Mutex;

use crate::{
    config::Config,
    exchange::{ExchangeHandle, NO_RULES, is_no_rules, known},
    larder::Exchanges,
    policy_check, rules_check,
    versions::{ChoiceError, Chooser, Followed, Follower, InForce, Version, Versions},
};

/// Longest text of what is wrong, in bytes.
const MAX_FAULT_BYTES: usize = 8 * 1024;

/// Exchanges policy and rules.
pub(crate) struct Versioning {
    config: Config,
    /// Those of a server that runs.
    exchanges: Option<Exchanges>,
    /// Held by a change: one at a time.
    changing: Arc<Mutex<()>>,
}

impl Versioning {
    pub(crate) fn new(config: &Config, exchanges: Option<Exchanges>) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), exchanges, changing: Arc::default() })
    }

    fn data(&self) -> &Path {
        &self.config.settings.data
    }

    fn versions(&self, kind: VersionedKind) -> Versions {
        match kind {
            VersionedKind::Policy => Versions::of_policy(self.data()),
            VersionedKind::Rules => Versions::of_rules(self.data()),
            VersionedKind::Shadow => Versions::of_shadow_rules(self.data()),
        }
    }

    fn handle(&self, kind: VersionedKind) -> Option<&ExchangeHandle> {
        let Exchanges { policy, rules, shadow } = self.exchanges.as_ref()?;
        Some(match kind {
            VersionedKind::Policy => policy,
            VersionedKind::Rules => rules,
            VersionedKind::Shadow => shadow,
        })
    }

    /// Says what is in force, what is chosen, and what was in force. `loaded` says what is in force where no server
    /// runs.
    pub(super) fn told(
        &self,
        kind: VersionedKind,
        loaded: impl FnOnce() -> Option<VersionInfo>,
    ) -> Result<VersionsInfo, Fault> {
        let versions = self.versions(kind);
        let now = self.handle(kind).map(ExchangeHandle::in_force);
        let chosen = versions.chosen().map_err(|error| unavailable(&error))?.map(|version| VersionInfo {
            refused: versions.rejection(&version),
            digest: version.digest,
            name: version.name,
            ..VersionInfo::default()
        });
        let known = now.as_ref().map(|now| &now.version);
        let is_now = |earlier: &InForce| known.is_some_and(|now| now.digest == earlier.version.digest);
        let earlier = versions.history().into_iter().filter(|earlier| !is_now(earlier));
        let in_force = match &now {
            Some(now) => Some(told(&versions, now)).filter(|now| !is_no_rules(&now.digest)),
            None => loaded(),
        };
        Ok(VersionsInfo {
            in_force,
            chosen,
            // A damaged history is logged by the next exchange, and named by `rollback`.
            previous: versions.previous(known).ok().flatten().map(|before| told(&versions, &before)),
            earlier: earlier.map(|earlier| told(&versions, &earlier)).collect(),
        })
    }

    /// Checks a version, chooses it, and waits until it is in force. One that cannot be used changes nothing. No
    /// content: no rules.
    pub(super) async fn put(
        self: &Arc<Self>,
        kind: VersionedKind,
        name: String,
        content: Bytes,
    ) -> Result<VersionInfo, Fault> {
        self.change(kind, move |this| {
            match kind {
                VersionedKind::Policy => this.check_policy(&content)?,
                VersionedKind::Rules | VersionedKind::Shadow if !content.is_empty() => {
                    this.check_rules(&content, &name)?;
                }
                VersionedKind::Rules | VersionedKind::Shadow => {}
            }
            let name = if content.is_empty() { NO_RULES.1 } else { &name };
            this.chosen(kind, |chooser, server| chooser.choose(&content, name, server))
        })
        .await
    }

    /// Chooses what was in force before.
    pub(super) async fn roll_back(self: &Arc<Self>, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        self.change(kind, move |this| {
            let now = this.handle(kind).map(|handle| handle.in_force().version);
            this.chosen(kind, |chooser, server| chooser.roll_back(now.as_ref(), server))
        })
        .await
    }

    /// Takes the choice back: what the configuration names is in force, else what is built in.
    pub(super) async fn put_configured(self: &Arc<Self>, kind: VersionedKind) -> Result<VersionInfo, Fault> {
        self.change(kind, move |this| {
            let followed = this.chooser(kind).choose_none(this.follower(kind)).map_err(fault)?;
            match (followed, this.handle(kind)) {
                (Followed::InForce, Some(handle)) => Ok(told(&this.versions(kind), &handle.in_force())),
                _ => Ok(VersionInfo::default()),
            }
        })
        .await
    }

    /// Runs a change on a thread that may block, to its end also if the caller goes.
    async fn change(
        self: &Arc<Self>,
        kind: VersionedKind,
        change: impl FnOnce(&Self) -> Result<VersionInfo, Fault> + Send + 'static,
    ) -> Result<VersionInfo, Fault> {
        if self.handle(kind).is_some_and(|handle| !handle.is_followed()) {
            let why = format!("the program that this server is a part of provides the {kind}");
            return Err(Fault::Unsupported(why));
        }
        let Ok(alone) = self.changing.clone().try_lock_owned() else {
            return Err(Fault::exchange_under_way());
        };
        let this = self.clone();
        let changed = tokio::task::spawn_blocking(move || {
            let _alone = alone;
            change(&this)
        });
        changed
            .await
            .unwrap_or_else(|_| Err(Fault::Unavailable("the thread of the exchange ended".to_owned())))
    }

    fn chooser(&self, kind: VersionedKind) -> Chooser<'_> {
        Chooser { data: self.data(), versions: self.versions(kind) }
    }

    /// The running server: by its exchange where it is this one, else by its files.
    fn follower(&self, kind: VersionedKind) -> &dyn Follower {
        self.handle(kind).map_or(&(), |handle| handle)
    }

    fn chosen(
        &self,
        kind: VersionedKind,
        choose: impl FnOnce(&Chooser<'_>, &dyn Follower) -> Result<(Version, Followed), ChoiceError>,
    ) -> Result<VersionInfo, Fault> {
        let (Version { digest, name }, followed) =
            choose(&self.chooser(kind), self.follower(kind)).map_err(fault)?;
        Ok(match (followed, self.handle(kind)) {
            (Followed::InForce, Some(handle)) => told(&self.versions(kind), &handle.in_force()),
            _ => VersionInfo { digest, name, ..VersionInfo::default() },
        })
    }

    fn check_policy(&self, component: &[u8]) -> Result<(), Fault> {
        let checked = policy_check::run(policy_check::check(&self.config, component));
        let checked = checked.map_err(|error| refused(&format!("{error:#}")))?;
        if !checked.is_good() {
            let faults =
                checked.rows.iter().filter_map(|row| Some(format!("{}: {}", row.name, row.fault.as_ref()?)));
            let faults: Vec<_> = faults.collect();
            return Err(refused(&format!("it does not keep to the protocol\n{}", faults.join("\n"))));
        }
        checked.keep_compiled(&self.data().join("compiled")).map_err(|error| unavailable(&error))
    }

    fn check_rules(&self, content: &[u8], name: &str) -> Result<(), Fault> {
        let compiled = self.data().join("compiled");
        let load = || Rules::load(Source::new(content.to_vec(), name)?, Some(&compiled));
        let rules = load().map_err(|error| refused(&error.at(name, name)))?;
        let faults = rules_check::check(&rules).faults();
        if !faults.is_empty() {
            return Err(refused(&format!("{name} failed its check\n{}", faults.join("\n"))));
        }
        Ok(())
    }
}

fn unavailable(error: &io::Error) -> Fault {
    Fault::Unavailable(chain(error).to_string())
}

fn refused(text: &str) -> Fault {
    Fault::Refused(text[..text.floor_char_boundary(MAX_FAULT_BYTES)].to_owned())
}

fn fault(error: ChoiceError) -> Fault {
    match error {
        ChoiceError::Io(error) => unavailable(&error),
        ChoiceError::NothingBefore | ChoiceError::Overtaken { .. } => Fault::Conflict(error.to_string()),
        ChoiceError::Refused { .. } => refused(&error.to_string()),
        ChoiceError::NotTaken(_) => Fault::Late(error.to_string()),
    }
}

/// Says what is known of a version. The path of a configured file is nobody's business here.
fn told(versions: &Versions, known: &InForce) -> VersionInfo {
    let source = match known.source.as_str() {
        source @ (known::CHOSEN | known::BUILT_IN | known::BY_CALL) => source,
        _ => "configured",
    };
    VersionInfo {
        digest: known.version.digest.clone(),
        name: known.version.name.clone(),
        source: Some(source.to_owned()),
        since_ms: Some(known.since_ms),
        refused: versions.rejection(&known.version),
    }
}
