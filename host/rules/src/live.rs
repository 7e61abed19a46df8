//! A running instance. One call at a time; what goes wrong costs the instance, and nothing else.

use std::time::Duration;

use wasmtime::{
    Store, Trap, WasmBacktrace,
    component::{ComponentExportIndex, ComponentNamedList, Func, Instance, Lift, Lower, TypedFunc},
};

use crate::{
    failure::{Failure, FailureKind},
    limits::Limits,
    rules::{Functions, Rules},
    state::{Cpu, State},
    types::{Admission, Caller, Entry, Hit, Member, RetentionVerdict, SaveVerdict},
};

/// An instance in its store.
pub(crate) struct Live {
    store: Store<State>,
    instance: Instance,
    functions: LiveFunctions,
    /// Stack traces of scripts are told apart from what QuickJS adds to them.
    is_script: bool,
}

/// The functions of an instance, those that are there. Their types were checked by
/// [`Live::check_types`] before the first call.
#[derive(Default)]
struct LiveFunctions {
    admit: Option<Func>,
    judge_hit: Option<Func>,
    judge_save: Option<Func>,
    group: Option<Func>,
    judge: Option<Func>,
    rank: Option<Func>,
}

/// What a call may use: CPU time, and bytes of its answer.
type Budget = (Duration, usize);

type JudgeSave<'a> = (&'a Caller, &'a str, &'a str, Option<u32>);

impl Live {
    /// Starts an instance, and runs the script, if the rules are one.
    pub(crate) fn start(rules: &Rules, limits: &Limits) -> Result<Self, Failure> {
        let (mut store, instantiate) = rules.instantiate(limits);
        begin(&mut store, (limits.request, limits.answer_bytes));
        let is_script = rules.script().is_some();
        let started = instantiate(&mut store);
        let instance = started.map_err(|error| failure(&store, &error, is_script))?;
        if let Some(script) = rules.script() {
            let started = script.start(&mut store, &instance);
            let started = started.map_err(|error| failure(&store, &error, is_script))?;
            started.map_err(|text| Failure::new(FailureKind::Trap, script_text(&text)))?;
        }
        let functions = LiveFunctions::of(&mut store, &instance, &rules.functions);
        Ok(Self { store, instance, functions, is_script })
    }

    /// Asks the template of scripts what the script exports.
    pub(crate) fn script_interfaces(&mut self, index: &ComponentExportIndex) -> Result<Vec<String>, Failure> {
        let called = self
            .instance
            .get_typed_func::<(), (Vec<String>,)>(&mut self.store, index)
            .and_then(|function| function.call(&mut self.store, ()));
        called.map(|(names,)| names).map_err(|error| failure(&self.store, &error, self.is_script))
    }

    /// Checks that the functions have the types of the world.
    pub(crate) fn check_types(&self, functions: &Functions) -> wasmtime::Result<()> {
        let LiveFunctions { admit, judge_hit, judge_save, group, judge, rank } = &self.functions;
        self.check::<(&Caller,), (Admission,)>(functions.admit.is_some(), *admit)?;
        self.check::<(&Caller, &Entry), (Hit,)>(functions.judge_hit.is_some(), *judge_hit)?;
        self.check::<JudgeSave<'_>, (SaveVerdict,)>(functions.judge_save.is_some(), *judge_save)?;
        self.check::<(&[Entry],), (Vec<Option<String>>,)>(functions.group.is_some(), *group)?;
        self.check::<(&[Member],), (Vec<RetentionVerdict>,)>(functions.judge.is_some(), *judge)?;
        self.check::<(&[Entry],), (Vec<f64>,)>(functions.rank.is_some(), *rank)
    }

    fn check<P, R>(&self, is_exported: bool, function: Option<Func>) -> wasmtime::Result<()>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        wasmtime::ensure!(is_exported == function.is_some(), "an export is not a function");
        function.map_or(Ok(()), |function| function.typed::<P, R>(&self.store).map(drop))
    }

    pub(crate) fn admit(&mut self, limits: &Limits, caller: &Caller) -> Option<Result<Admission, Failure>> {
        let budget = (limits.request, limits.answer_bytes);
        self.call(self.functions.admit?, budget, (caller,))
    }

    pub(crate) fn judge_hit(
        &mut self,
        limits: &Limits,
        caller: &Caller,
        entry: &Entry,
    ) -> Option<Result<Hit, Failure>> {
        let budget = (limits.request, limits.answer_bytes);
        self.call(self.functions.judge_hit?, budget, (caller, entry))
    }

    pub(crate) fn judge_save(
        &mut self,
        limits: &Limits,
        question: JudgeSave<'_>,
    ) -> Option<Result<SaveVerdict, Failure>> {
        let budget = (limits.request, limits.answer_bytes);
        self.call(self.functions.judge_save?, budget, question)
    }

    pub(crate) fn group(
        &mut self,
        limits: &Limits,
        entries: &[Entry],
    ) -> Option<Result<Vec<Option<String>>, Failure>> {
        self.call(self.functions.group?, (limits.page, limits.page_answer_bytes), (entries,))
    }

    pub(crate) fn judge(
        &mut self,
        limits: &Limits,
        members: &[Member],
    ) -> Option<Result<Vec<RetentionVerdict>, Failure>> {
        self.call(self.functions.judge?, (limits.page, limits.page_answer_bytes), (members,))
    }

    pub(crate) fn rank(&mut self, limits: &Limits, entries: &[Entry]) -> Option<Result<Vec<f64>, Failure>> {
        self.call(self.functions.rank?, (limits.page, limits.page_answer_bytes), (entries,))
    }

    /// Calls a function of the instance, of which `P` and `R` are the types. An instance whose call
    /// failed must not be called again.
    fn call<P, R>(&mut self, function: Func, budget: Budget, params: P) -> Option<Result<R, Failure>>
    where
        P: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        begin(&mut self.store, budget);
        // SAFETY: `check_types` has compared these types with those of the component.
        let function = unsafe { TypedFunc::<P, (R,)>::new_unchecked(function) };
        let called = function.call(&mut self.store, params);
        Some(called.map(|(answer,)| answer).map_err(|error| failure(&self.store, &error, self.is_script)))
    }

    /// Bytes of its linear memory, which never shrinks.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.store.data().memory.used
    }
}

impl LiveFunctions {
    fn of(store: &mut Store<State>, instance: &Instance, functions: &Functions) -> Self {
        let mut find = |index: &Option<ComponentExportIndex>| instance.get_func(&mut *store, index.as_ref()?);
        Self {
            admit: find(&functions.admit),
            judge_hit: find(&functions.judge_hit),
            judge_save: find(&functions.judge_save),
            group: find(&functions.group),
            judge: find(&functions.judge),
            rank: find(&functions.rank),
        }
    }
}

/// Prepares the store for a call.
fn begin(store: &mut Store<State>, (cpu, answer_bytes): Budget) {
    store.data_mut().cpu = Cpu::begin(cpu);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(answer_bytes);
}

/// Says why a call failed: in the words of the rules, if they left any.
fn failure(store: &Store<State>, error: &wasmtime::Error, is_script: bool) -> Failure {
    let state = store.data();
    let stderr = String::from_utf8_lossy(&state.stderr);
    let said = match &state.reported {
        Some(reported) => reported.trim_end().to_owned(),
        None if is_script => script_text(&stderr),
        None => stderr.trim().to_owned(),
    };
    let is_trap = error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<WasmBacktrace>().is_some();
    let (kind, own) = if state.cpu.was_exceeded {
        (FailureKind::Deadline, Some(error.root_cause().to_string()))
    } else if state.memory.was_denied {
        (FailureKind::Memory, Some("more memory than rules may have".to_owned()))
    } else if is_trap {
        (FailureKind::Trap, said.is_empty().then(|| engine_text(error)))
    } else {
        (FailureKind::InvalidAnswer, Some(error.root_cause().to_string()))
    };
    let texts = own.into_iter().chain(Some(said).filter(|said| !said.is_empty()));
    Failure::new(kind, texts.collect::<Vec<_>>().join("\n"))
}

/// What the engine says of a trap, with the functions that it was in.
fn engine_text(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<WasmBacktrace>() {
        Some(backtrace) => format!("{}\n{backtrace}", error.root_cause()).trim_end().to_owned(),
        None => error.root_cause().to_string(),
    }
}

/// What goes before the text of an exception while a script starts.
const ADDED: [&str; 3] = [
    "Failed to evaluate user JavaScript module: ",
    "Failed to declare JavaScript module: ",
    "Failed to evaluate JavaScript module: ",
];

/// The exception in what QuickJS writes, without what the language that it is written in adds.
fn script_text(text: &str) -> String {
    let is_added = |line: &&str| line.starts_with("thread '") || line.starts_with("note: run with `RUST_");
    let own = ADDED.iter().fold(text, |text, added| text.strip_prefix(added).unwrap_or(text));
    let lines: Vec<&str> = own.lines().filter(|line| !is_added(line)).collect();
    lines.join("\n").trim().to_owned()
}
