//! What the operator's rules leave of a token: asked once for each token that was verified, before it
//! goes into the cache of tokens.

use std::sync::Arc;

use larder_common::{
    clock::Clock,
    event::{Event, EventKind},
};
use larder_rules::{Admission, Asker, Caller, Interface};

use super::{Claims, Scope, TokenError, cache::Verified};
use crate::{config::FailureChoice, trace::Tracer};

/// What the client is told where rules fail. The log says why.
const RULES_FAILED: &str = "the rules of this server failed";

/// The rules of a tenant, asked about tokens.
#[derive(Clone, Default)]
pub(crate) struct AccessRules {
    asker: Asker,
    on_failure: FailureChoice,
    trace: Arc<Tracer>,
}

impl AccessRules {
    pub(crate) fn new(asker: Asker, on_failure: FailureChoice, trace: Arc<Tracer>) -> Self {
        Self { asker, on_failure, trace }
    }

    /// Changes when other rules are put in force: then a token is asked about again.
    pub(super) fn generation(&self) -> u64 {
        self.asker.generation()
    }

    /// Asks what a token may do. `generation` is that of before its verification, so that rules which
    /// were exchanged meanwhile are asked again at its next use.
    ///
    /// # Errors
    /// [`TokenError::NotAllowed`] where the rules fail and the operator wants a refusal.
    pub(super) fn admit(&self, claims: Claims, generation: u64) -> Result<Verified, TokenError> {
        let admitted = |claims| Verified { claims: Arc::new(claims), denied: None, generation };
        if !self.asker.is_asked(Interface::Access) {
            return Ok(admitted(claims));
        }
        match self.asker.admit(&rules_caller(&claims)) {
            Ok(Admission::Default) => Ok(admitted(claims)),
            Ok(Admission::Scopes(scopes)) => {
                let scopes = scopes.into_iter().map(Scope::from).collect();
                Ok(admitted(Claims { scopes, ..claims }))
            }
            Ok(Admission::Deny(reason)) => {
                tracing::info!(repository = claims.repository, reason, "the rules deny a token");
                self.trace.record(|| denied(&claims, &reason));
                Ok(Verified { denied: Some(reason.into()), ..admitted(claims) })
            }
            Err(failure) => {
                let (kind, error) = (failure.kind.name(), failure.text.as_str());
                let held = self.on_failure;
                tracing::error!(kind, error, on_failure = ?held, "the rules failed at a token");
                match held {
                    FailureChoice::Builtin => Ok(admitted(claims)),
                    FailureChoice::Refuse => Err(TokenError::NotAllowed(RULES_FAILED.to_owned())),
                }
            }
        }
    }
}

fn denied(claims: &Claims, reason: &str) -> Event {
    Event {
        repository: claims.repository.clone(),
        scopes: claims.scopes.iter().map(Scope::to_string).collect(),
        reason: Some(reason.to_owned()),
        facts: claims.facts.clone(),
        ..Event::new(EventKind::Deny, Clock::system().now_ms())
    }
}

/// Who has a token, as the rules see it.
pub(crate) fn rules_caller(claims: &Claims) -> Caller {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Caller {
        repository: claims.repository.clone(),
        scopes: claims.scopes.iter().cloned().map(Into::into).collect(),
        claims: claims.facts.iter().map(owned).collect(),
        client: String::new(),
    }
}
