//! JavaScript as text: QuickJS with the bindings of the world and without a script (`build.rs`), which is
//! handed the text when an instance starts.

use std::sync::Arc;

use wasmtime::{
    Store,
    component::{Instance, Linker, LinkerInstance},
};

use crate::state::State;

/// QuickJS with the world's bindings.
pub(crate) const TEMPLATE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quickjs.wasm"));
/// The interface by which QuickJS asks for modules.
const LOADER: &str = "local:init/module-loader";
/// The interface by which a script says why it ends.
const AUTHOR: &str = "larder:script/author";

/// What QuickJS needs before the first module; other worlds have streams in it.
const SHIM: &str = "const wit = globalThis.wit = {};\n";
/// The first module, and what stands in it for the name of the script.
const ENTRY: &str = include_str!("script/entry.js");
const PLACEHOLDER: &str = "SCRIPT";
const ENTRY_NAME: &str = "larder:rules/entry.js";

/// A script, before it has run.
#[derive(Clone)]
pub(crate) struct Script {
    /// Its name in stack traces.
    pub(crate) name: Arc<str>,
    text: Arc<str>,
}

impl Script {
    pub(crate) fn new(name: &str, text: String) -> Self {
        // It stands between quotes in the first module.
        let name: String = name.chars().filter(|c| !c.is_control() && !"'\\".contains(*c)).collect();
        Self { name: name.into(), text: text.into() }
    }

    /// Runs the script once, in an instance that has just been made: from then on its functions can
    /// be called. The inner error is the script's.
    pub(crate) fn start(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Result<(), String>> {
        let init = instance
            .get_typed_func::<(&str, &str, Option<&str>, bool), (Result<(), String>,)>(&mut *store, "init")?;
        let entry = ENTRY.replace(PLACEHOLDER, &self.name);
        let (started,) = init.call(store, (SHIM, &entry, Some(ENTRY_NAME), false))?;
        Ok(started)
    }
}

/// Links an interface that only the template imports. Returns whether it is one.
pub(crate) fn link(linker: &mut Linker<State>, name: &str) -> wasmtime::Result<bool> {
    match name {
        LOADER => link_loader(&mut linker.instance(name)?).map(|()| true),
        AUTHOR => linker
            .instance(name)?
            .func_wrap("report", |mut store, (text,): (String,)| {
                store.data_mut().report(text);
                Ok(())
            })
            .map(|()| true),
        _ => Ok(false),
    }
}

/// The loader of modules: there is one, the script itself.
fn link_loader(linker: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    linker.func_wrap("resolve", |store, (_from, name): (String, String)| {
        let known = store.data().script.as_ref().filter(|script| *script.name == *name);
        Ok((known.map(|_| name.clone()).ok_or_else(|| format!("there is no module `{name}` here")),))
    })?;
    linker.func_wrap("load", |store, (name,): (String,)| {
        let script = store.data().script.as_ref().filter(|script| *script.name == *name);
        Ok((script
            .map(|script| script.text.to_string())
            .ok_or_else(|| format!("there is no module `{name}`")),))
    })
}
