//! What a component is given that was built with WASI in it: standard streams that are kept, so that an
//! exception has a text; a clock that stands still; random numbers that are none; no arguments, no
//! environment, no files. Any other import is an error that names it, when it is called. Nothing here
//! waits.

use wasmtime::{
    Engine, StoreContextMut,
    component::{Component, Linker, LinkerInstance, Resource, ResourceType, Val},
};

use crate::{
    script,
    state::{MAX_STDERR, State},
};

/// A standard stream. Of the type that [`Linker::define_unknown_imports_as_traps`] gives to each
/// resource, because other interfaces repeat it.
type Stream = ();

/// What each "random" byte is.
const NOT_RANDOM: u8 = 4;
/// Most "random" bytes at once.
const MAX_RANDOM: u64 = 4096;

/// Links what `component` imports.
pub(crate) fn link(
    engine: &Engine,
    linker: &mut Linker<State>,
    component: &Component,
) -> wasmtime::Result<()> {
    let imports = component.component_type();
    for (name, _) in imports.imports(engine) {
        let interface = name.split('@').next().unwrap_or_default();
        if !script::link(linker, name)? && interface.starts_with("wasi:") {
            link_wasi(&mut linker.instance(name)?, interface)?;
        }
    }
    linker.define_unknown_imports_as_traps(component)
}

fn link_wasi(linker: &mut LinkerInstance<'_, State>, interface: &str) -> wasmtime::Result<()> {
    match interface {
        "wasi:io/streams" => link_streams(linker),
        "wasi:cli/stdout" => linker.func_wrap("get-stdout", |_, ()| Ok((Resource::<Stream>::new_own(1),))),
        "wasi:cli/stderr" => linker.func_wrap("get-stderr", |_, ()| Ok((Resource::<Stream>::new_own(2),))),
        "wasi:cli/environment" => {
            linker.func_wrap("get-environment", |_, ()| Ok((Vec::<(String, String)>::new(),)))?;
            linker.func_wrap("get-arguments", |_, ()| Ok((Vec::<String>::new(),)))?;
            linker.func_wrap("initial-cwd", |_, ()| Ok((None::<String>,)))
        }
        "wasi:clocks/wall-clock" => returns(linker, "now", || {
            Val::Record(vec![("seconds".into(), Val::U64(0)), ("nanoseconds".into(), Val::U32(0))])
        }),
        "wasi:clocks/monotonic-clock" => linker.func_wrap("now", |_, ()| Ok((0u64,))),
        "wasi:random/random" => {
            linker.func_wrap("get-random-bytes", |_, (count,): (u64,)| Ok((not_random(count),)))?;
            linker.func_wrap("get-random-u64", |_, ()| Ok((u64::from(NOT_RANDOM),)))
        }
        "wasi:random/insecure-seed" => {
            linker.func_wrap("insecure-seed", |_, ()| Ok(((u64::from(NOT_RANDOM), u64::from(NOT_RANDOM)),)))
        }
        "wasi:filesystem/preopens" => returns(linker, "get-directories", || Val::List(Vec::new())),
        "wasi:cli/terminal-stdin" => returns(linker, "get-terminal-stdin", || Val::Option(None)),
        "wasi:cli/terminal-stdout" => returns(linker, "get-terminal-stdout", || Val::Option(None)),
        "wasi:cli/terminal-stderr" => returns(linker, "get-terminal-stderr", || Val::Option(None)),
        _ => Ok(()),
    }
}

fn not_random(count: u64) -> Vec<u8> {
    vec![NOT_RANDOM; usize::try_from(count.min(MAX_RANDOM)).unwrap_or(0)]
}

fn link_streams(linker: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    linker.resource("output-stream", ResourceType::host::<Stream>(), |_, _| Ok(()))?;
    method(linker, "check-write", |_, _| Some(Box::new(Val::U64(MAX_STDERR as u64))))?;
    for name in ["write", "blocking-write-and-flush"] {
        method(linker, name, |store, params| {
            if let Some(Val::List(bytes)) = params.get(1) {
                let bytes = bytes.iter().take(MAX_STDERR).map_while(|byte| match byte {
                    Val::U8(byte) => Some(*byte),
                    _ => None,
                });
                let bytes: Vec<u8> = bytes.collect();
                store.data_mut().write(&bytes);
            }
            None
        })?;
    }
    method(linker, "flush", |_, _| None)?;
    method(linker, "blocking-flush", |_, _| None)
}

/// A method of `output-stream` that succeeds with what `call` returns.
fn method(
    linker: &mut LinkerInstance<'_, State>,
    name: &str,
    call: impl Fn(&mut StoreContextMut<'_, State>, &[Val]) -> Option<Box<Val>> + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    linker.func_new(&format!("[method]output-stream.{name}"), move |mut store, _, params, results| {
        // A borrowed handle that comes as a value has to be given back, else the call fails.
        if let Some(Val::Resource(handle)) = params.first() {
            handle.resource_drop(&mut store)?;
        }
        results[0] = Val::Result(Ok(call(&mut store, params)));
        Ok(())
    })
}

/// A function without parameters that always returns the same.
fn returns(
    linker: &mut LinkerInstance<'_, State>,
    name: &str,
    value: impl Fn() -> Val + Send + Sync + 'static,
) -> wasmtime::Result<()> {
    linker.func_new(name, move |_, _, _, results| {
        results[0] = value();
        Ok(())
    })
}
