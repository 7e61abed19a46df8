//! Rules: small, pure decisions of an operator (`wit/rules/rules.wit`), in any language.
//!
//! [`Rules::load`] takes a component, or the text of a script in JavaScript. An [`Asker`] has the rules in
//! force and asks them from any thread; a [`Session`] asks some rules on one thread. Every question ends
//! in an answer that was checked or in a [`Failure`], within its [`Limits`]; nothing that rules do harms
//! who asked.
//!
//! Knows nothing of HTTP, of the policy component or of the cache; needs no runtime.

mod asker;
mod breaker;
mod check;
pub mod compiled;
pub mod core_module;
mod engine;
mod failure;
mod limits;
mod live;
mod rules;
mod scope;
mod script;
mod session;
mod shadow;
mod state;
mod stubs;
mod types;

pub use asker::{Asker, InterfaceStatus, Status};
pub use engine::compiling_engine;
pub use failure::{Failure, FailureKind, RulesError};
pub use limits::Limits;
pub use rules::{Rules, Source};
pub use scope::{InvalidScope, ScopeText};
pub use session::{Session, spent, take_spent};
pub use shadow::{Difference, Example, ShadowStatus};
pub use types::{
    Admission, Caller, Entry, Hit, Interface, MAX_NUMBER, Member, Pairs, RetentionVerdict, Save, SaveVerdict,
    Scope, Terms, Trust, number,
};
