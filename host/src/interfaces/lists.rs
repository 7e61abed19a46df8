//! The calls that take lists of a component, in place of the generated functions: those read a list of any
//! length ([`AtMost`]).

use wasmtime::component::{HasSelf, Linker, LinkerInstance};

use super::{
    at_most::AtMost,
    bindings::larder::cache::{auth, index, rules, storage, types},
    errors::CallError,
    index::{MAX_MARKS, MAX_PROBES},
    state::State,
};

/// The interfaces, with the version of the world.
const INDEX: &str = "larder:cache/index@0.6.0";
const RULES: &str = "larder:cache/rules@0.6.0";
const STORAGE: &str = "larder:cache/storage@0.6.0";
/// Most facts of a reservation: 32 of a token, 9 of rules, and what was lost if there are more.
const MAX_FACTS: usize = 64;
/// Most scopes of a lookup that is explained.
const MAX_SCOPES: usize = 64;

type Host = HasSelf<State>;
type Slot = index::Slot;
type Facts = AtMost<(String, String), MAX_FACTS>;
type Probes = AtMost<index::Probe, MAX_PROBES>;
type Skipped = AtMost<u64, MAX_PROBES>;
type Marks = AtMost<String, MAX_MARKS>;
type BlockIds = AtMost<String, { larder_storage::MAX_BLOCKS }>;
type Scopes = AtMost<auth::Scope, MAX_SCOPES>;

/// Links them, after all generated functions.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    index_calls(&mut linker.instance(INDEX)?)?;
    linker.instance(STORAGE)?.func_wrap_concurrent(
        "commit",
        |accessor, (upload, block_ids): (String, BlockIds)| {
            Box::pin(async move {
                let ids = block_ids.into();
                answer(<Host as storage::HostWithStore<State>>::commit(accessor, upload, ids).await)
            })
        },
    )?;
    linker.instance(RULES)?.func_wrap_concurrent(
        "explain-hit",
        |accessor, (scopes, entry): (Scopes, index::Entry)| {
            Box::pin(async move {
                let scopes = scopes.into();
                answer(<Host as rules::HostWithStore<State>>::explain_hit(accessor, scopes, entry).await)
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn index_calls(linker: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    linker.func_wrap_concurrent(
        "find",
        |accessor, (repository, version, probes, skip): (String, String, Probes, Skipped)| {
            Box::pin(async move {
                let (probes, skip) = (probes.into(), skip.into());
                let found =
                    <Host as index::HostWithStore<State>>::find(accessor, repository, version, probes, skip);
                answer(found.await)
            })
        },
    )?;
    linker.func_wrap_concurrent(
        "reserve",
        |accessor, (slot, owner, facts, trust, now_ms, idle_ms): (Slot, String, Facts, types::Trust, u64, u64)| {
            Box::pin(async move {
                let facts = facts.into();
                let reserved = <Host as index::HostWithStore<State>>::reserve(
                    accessor, slot, owner, facts, trust, now_ms, idle_ms,
                );
                answer(reserved.await)
            })
        },
    )?;
    linker.func_wrap_concurrent("note-refused", |accessor, (marks, now_ms): (Marks, u64)| {
        Box::pin(async move {
            answer(<Host as index::HostWithStore<State>>::note_refused(accessor, marks.into(), now_ms).await)
        })
    })?;
    linker.func_wrap_concurrent("was-refused", |accessor, (marks,): (Marks,)| {
        Box::pin(async move {
            answer(<Host as index::HostWithStore<State>>::was_refused(accessor, marks.into()).await)
        })
    })
}

/// The answer of a call, as the component gets it. A fault ends the instance.
fn answer<V, E>(called: Result<V, CallError<E>>) -> wasmtime::Result<(Result<V, E>,)> {
    match called {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.into_world()?),)),
    }
}
