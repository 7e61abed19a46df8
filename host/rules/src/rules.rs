//! Loaded rules: compiled and linked, ready to be started on any thread.

use std::{collections::BTreeSet, fmt, fs, io, path::Path, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use wasmtime::{
    Engine, Store,
    component::{Component, ComponentExportIndex, Instance, InstancePre, Linker},
};

use crate::{
    compiled::{CompileError, Kind, MAGIC, compile_or_reuse},
    core_module,
    engine::RulesEngine,
    failure::{Failure, FailureKind, RulesError},
    limits::Limits,
    live::Live,
    script::{Script, TEMPLATE},
    state::State,
    stubs,
    types::Interface,
};

/// Longest name of rules, in bytes; longer ones are cut.
const MAX_NAME_BYTES: usize = 64;

/// What a script says that it has beside its interfaces: an order of its own.
const OWN_RANK: &str = "retention.rank";

/// Where rules come from.
#[derive(Clone)]
pub enum Source {
    /// A component that exports interfaces of the world, or the core module of one, as compilers make it
    /// for `wasm32-unknown-unknown`.
    Component {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What it is called in logs.
        name: String,
    },
    /// A module of JavaScript that exports an object for each interface.
    Script {
        /// Its text.
        text: String,
        /// What it is called in logs and stack traces: the name of its file.
        name: String,
    },
}

impl Source {
    /// Tells a component from a script by its first bytes.
    ///
    /// # Errors
    /// When it is neither.
    pub fn new(bytes: Vec<u8>, name: impl Into<String>) -> Result<Self, RulesError> {
        let name = name.into();
        if bytes.starts_with(MAGIC) {
            return Ok(Self::Component { bytes, name });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::Script { text, name }),
            Err(_) => Err(RulesError::NotRules(format!("{name} is neither WebAssembly nor text"))),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is neither a component nor a text.
    pub fn read(file: &Path) -> io::Result<Self> {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Self::new(fs::read(file)?, name).map_err(io::Error::other)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Component { name, .. } | Self::Script { name, .. }) = self;
        f.debug_tuple("Source").field(name).finish()
    }
}

/// Rules that can be asked: by an [`Asker`](crate::Asker), which puts them in force, or by a
/// [`Session`](crate::Session) of one's own.
pub struct Rules {
    name: String,
    digest: String,
    interfaces: BTreeSet<Interface>,
    /// Whether `rank` is the author's.
    ranks: bool,
    imports: Vec<String>,
    pre: InstancePre<State>,
    pub(crate) functions: Functions,
    script: Option<Script>,
    /// Keeps the clock ticking.
    engine: Arc<RulesEngine>,
}

/// Where the functions of the world are in the component, those that are there.
#[derive(Default)]
pub(crate) struct Functions {
    pub(crate) admit: Option<ComponentExportIndex>,
    pub(crate) judge_hit: Option<ComponentExportIndex>,
    pub(crate) judge_save: Option<ComponentExportIndex>,
    pub(crate) group: Option<ComponentExportIndex>,
    pub(crate) judge: Option<ComponentExportIndex>,
    pub(crate) rank: Option<ComponentExportIndex>,
    /// Of the template of scripts.
    interfaces: Option<ComponentExportIndex>,
}

impl Functions {
    fn of(component: &Component) -> Self {
        let find = |interface: &str, function: &str| {
            let interface = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&interface), function)
        };
        let of = |interface: Interface, function| find(&exported_name(interface), function);
        Self {
            admit: of(Interface::Access, "admit"),
            judge_hit: of(Interface::Restore, "judge-hit"),
            judge_save: of(Interface::Save, "judge-save"),
            group: of(Interface::Retention, "group"),
            judge: of(Interface::Retention, "judge"),
            rank: of(Interface::Retention, "rank"),
            interfaces: find("larder:script/script", "interfaces"),
        }
    }

    /// The interfaces that are there with all their functions.
    fn interfaces(&self) -> BTreeSet<Interface> {
        let there = |interface: &Interface| match interface {
            Interface::Access => self.admit.is_some(),
            Interface::Restore => self.judge_hit.is_some(),
            Interface::Save => self.judge_save.is_some(),
            Interface::Retention => self.group.is_some() && self.judge.is_some() && self.rank.is_some(),
        };
        Interface::ALL.into_iter().filter(there).collect()
    }
}

fn import_names(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().imports(engine).map(|(name, _)| name.to_owned()).collect()
}

fn exported_name(interface: Interface) -> String {
    format!("larder:rules/{interface}@0.1.0")
}

impl Rules {
    /// Compiles and links rules, and starts them once. What was compiled is kept in `compiled_dir`,
    /// a directory that only this program writes. The first script in it takes seconds of CPU, the next
    /// ones milliseconds.
    ///
    /// # Errors
    /// When they do not fit the world, or do not start within the default [`Limits`].
    pub fn load(source: Source, compiled_dir: Option<&Path>) -> Result<Arc<Self>, RulesError> {
        let engine = RulesEngine::shared()?;
        let compile = |bytes: &[u8]| {
            let compiled = compile_or_reuse(&engine.engine, bytes, compiled_dir, Kind::Rules);
            compiled.map_err(|error| match error {
                CompileError::NotAComponent(error) => RulesError::NotRules(format!("{error:#}")),
                CompileError::Failed(why) => RulesError::NotCompiled(why),
            })
        };
        let hash = |content: &[u8]| hex::encode(digest(&SHA256, content));
        let (mut name, digest, component, script) = match source {
            Source::Component { bytes, name } => {
                let digest = hash(&bytes);
                let component = core_module::componentize(&bytes);
                let component = component.map_err(|error| RulesError::NotRules(error.to_string()))?;
                (name, digest, compile(&component)?, None)
            }
            Source::Script { text, name } => {
                let (digest, script) = (hash(text.as_bytes()), Script::new(&name, text));
                (name, digest, compile(TEMPLATE)?, Some(script))
            }
        };
        name.truncate(name.floor_char_boundary(MAX_NAME_BYTES));
        let mut rules = Self::link(engine, &component, script)?;
        rules.name = name;
        rules.digest = digest;
        rules.check_start()?;
        Ok(Arc::new(rules))
    }

    fn link(
        engine: Arc<RulesEngine>,
        component: &Component,
        script: Option<Script>,
    ) -> Result<Self, RulesError> {
        let world = |error: wasmtime::Error| RulesError::World(format!("{error:#}"));
        let mut linker = Linker::new(&engine.engine);
        stubs::link(&engine.engine, &mut linker, component).map_err(world)?;
        let pre = linker.instantiate_pre(component).map_err(world)?;
        let functions = Functions::of(component);
        // Those of the template are not the author's.
        let imports = if script.is_none() { import_names(&engine.engine, component) } else { Vec::new() };
        let interfaces = functions.interfaces();
        let (name, digest) = Default::default();
        let ranks = functions.rank.is_some();
        Ok(Self { name, digest, interfaces, ranks, imports, pre, functions, script, engine })
    }

    /// Starts an instance, checks the types of its functions, and learns which interfaces a script
    /// has.
    fn check_start(&mut self) -> Result<(), RulesError> {
        let limits = Limits::default();
        let mut live = Live::start(self, &limits).map_err(RulesError::Start)?;
        if let (Some(index), true) = (&self.functions.interfaces, self.script.is_some()) {
            let names = live.script_interfaces(index).map_err(RulesError::Start)?;
            self.interfaces.retain(|interface| names.iter().any(|name| name == interface.name()));
            self.ranks = names.iter().any(|name| name == OWN_RANK);
        }
        if self.interfaces.is_empty() {
            return Err(RulesError::Empty);
        }
        live.check_types(&self.functions).map_err(|error| RulesError::World(format!("{error:#}")))
    }

    /// What they are called: the name of their file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the file, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Which questions they answer.
    #[must_use]
    pub fn interfaces(&self) -> &BTreeSet<Interface> {
        &self.interfaces
    }

    /// Returns whether they answer the questions of an interface.
    #[must_use]
    pub fn answers(&self, interface: Interface) -> bool {
        self.interfaces.contains(&interface)
    }

    /// Returns whether they decide about requests: about what is restored, or saved.
    #[must_use]
    pub fn decide_requests(&self) -> bool {
        self.answers(Interface::Restore) || self.answers(Interface::Save)
    }

    /// Returns whether they have an order of their own to make room in. A script that leaves `rank` out has
    /// none.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.ranks && self.answers(Interface::Retention)
    }

    /// What a component imports: WASI's standard streams and clocks have stand-ins, anything else
    /// fails when it is called. Empty for scripts, and for components that are as the world says.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Whether they are a script.
    #[must_use]
    pub fn is_script(&self) -> bool {
        self.script.is_some()
    }

    /// Makes a store and an instance in it. A script has not run yet.
    pub(crate) fn instantiate(
        &self,
        limits: &Limits,
    ) -> (Store<State>, impl FnOnce(&mut Store<State>) -> wasmtime::Result<Instance>) {
        let store = State::store(&self.engine.engine, limits, self.script.as_ref());
        (store, |store| self.pre.instantiate(store))
    }

    pub(crate) fn script(&self) -> Option<&Script> {
        self.script.as_ref()
    }

    /// A failure that cannot be the rules'.
    pub(crate) fn not_exported(&self, interface: Interface) -> Failure {
        let text = format!("{} does not export `{interface}`", self.name);
        Failure::new(FailureKind::NotExported, text).of(interface)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
