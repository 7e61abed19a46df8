//! The program `larder`: the command line around the library.

mod cli;
mod explain_command;
mod greeting;
mod manage;
#[cfg(feature = "jemalloc")]
mod memory;
mod policy_command;
mod revoke_command;
mod rules_command;
mod tenant_files;
mod version_commands;

use std::{
    fmt::Write as _,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Parser;
use larder::{
    Larder,
    compiler::{self, CompilerProgram},
    config::{Config, inherited_listeners},
    telemetry::{self, LogGuard},
};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

use cli::{Call, Cli, Command, CompileArgs, ConfigCommand, ServeArgs, TenantCommand};

fn main() -> ExitCode {
    let command = match Cli::parse().call {
        Call::ByOperator(command) => command,
        Call::Compile(CompileArgs { kind, memory_bytes, dir }) => {
            return ExitCode::from(compiler::run(kind, memory_bytes, &dir));
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "larder: {}", escaped(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve(args),
        Command::Config { command: ConfigCommand::Check(file) } => {
            let config = Config::from_process(file.path.as_deref())?;
            say(&config.effective_toml())?;
            let exposure = config.exposure();
            let mut warnings = config.warnings.iter().chain(&exposure);
            warnings.try_for_each(|warning| say(&format!("# warning: {warning}\n")))?;
            check_tenants(&config)
        }
        Command::Explain(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            say(&runtime.block_on(Box::pin(explain_command::explain(args)))?)
        }
        Command::Revoke(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            say(&runtime.block_on(Box::pin(revoke_command::revoke(args)))?)
        }
        Command::Status(args) => ask(manage::status(args)),
        Command::Ls(args) => ask(manage::ls(args)),
        Command::Show(args) => ask(manage::show(args)),
        Command::Rm(args) => ask(manage::rm(args)),
        Command::Stats(args) => ask(manage::stats(args)),
        Command::Sweep(args) => ask(manage::sweep(args)),
        Command::Scrub(args) => scrub(args),
        Command::Key(args) => ask(manage::key(args)),
        Command::Completions(args) => Ok(std::io::stdout().lock().write_all(&manage::completions(&args))?),
        Command::Version(args) => say(&manage::version(&args)),
        Command::Policy { file, command } => {
            say(&policy_command::run(&Config::from_process(file.path.as_deref())?, command)?)
        }
        Command::Rules { file, command } => {
            say(&rules_command::run(|| Ok(Config::from_process(file.path.as_deref())?), command)?)
        }
        Command::Tenant { file, command } => {
            let config = Config::from_process(file.path.as_deref())?;
            match command {
                TenantCommand::Add(new) => say(&format!("{}\n", tenant_files::add(&config, &new)?.display())),
                TenantCommand::Ls => say(&tenant_files::list(&config)?),
                TenantCommand::Rm { name } => tenant_files::remove(&config, &name),
            }
        }
    }
}

/// Prints what a command returns.
fn ask(answer: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    say(&runtime.block_on(Box::pin(answer))?)
}

/// Prints what a scrub found, and fails if something is bad.
fn scrub(args: manage::ScrubArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(Box::pin(manage::scrub(args)))?;
    say(&found.text)?;
    anyhow::ensure!(found.is_good, "objects are damaged, lost or cannot be read");
    Ok(())
}

/// Prints the tenants, and fails if one has a fault.
fn check_tenants(config: &Config) -> anyhow::Result<()> {
    if config.settings.tenants.dir.is_none() {
        return Ok(());
    }
    for tenant in config.tenants()? {
        say(&format!("# tenant {}: {}\n", tenant.name, tenant.fault.as_deref().unwrap_or("good")))?;
        anyhow::ensure!(tenant.fault.is_none(), "the file of the tenant {} has a fault", tenant.name);
    }
    Ok(())
}

/// This very program, also where its file has been replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What compiling a component may take: several times what the largest take that toolchains of rules make.
const COMPILER_MEMORY_BYTES: u64 = 1 << 30;
/// And for how long. On a machine that is busy it takes long.
const COMPILER_DEADLINE: Duration = Duration::from_secs(300);

/// Components are compiled in processes of their own, with nothing of what the server holds.
fn compile_elsewhere() {
    compiler::set_program(Some(CompilerProgram {
        command: vec![OWN_PROGRAM.into(), "compile".into()],
        memory_bytes: COMPILER_MEMORY_BYTES,
        deadline: COMPILER_DEADLINE,
    }));
}

/// Runs the server until a signal to stop.
fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let inherited = inherited_listeners().context("taking over the supervisor's sockets")?;
    let mut config = Config::from_process(args.file.path.as_deref())?;
    if let Some(policy) = args.policy {
        config = config.with_policy(policy);
    }
    if let Some(rules) = args.rules {
        config = config.with_rules(rules);
    }
    config.adopt_storage = args.adopt_storage;
    config.rewrite_keys = args.rewrite_keys;
    let _log = start_logging(&config)?;
    warn(&config);
    compile_elsewhere();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (base_url, exposed) = (config.settings.server.base_url.clone(), greeting::host_name());
    let is_tls = config.settings.server.tls.is_on();
    let builder = Larder::builder(config).listeners(inherited);
    // Before anybody can be served: a signal must stop the server in order, and not kill it.
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let started = runtime.block_on(async {
        select! {
            biased;
            started = builder.build() => started.map(Some),
            () = signals.next() => Ok(None),
        }
    })?;
    let Some(larder) = started else { return Ok(()) };
    #[cfg(feature = "jemalloc")]
    memory::purge();
    if let Some(address) = larder.listen_address() {
        say(&greeting::text(address, is_tls, base_url.as_deref(), exposed.as_deref()))?;
    }
    runtime.block_on(signals.reloading(&larder));
    tracing::info!("stopping: waiting for requests in flight; a second signal aborts them");
    let stopping = runtime.spawn_blocking(|| larder.stop());
    let ended = runtime.block_on(async {
        select! {
            stopped = stopping => stopped.map_err(Into::into),
            () = signals.next() => Ok(()),
        }
    });
    // After a second signal the work of the first one is not waited for.
    runtime.shutdown_background();
    ended
}

fn start_logging(config: &Config) -> anyhow::Result<LogGuard> {
    let log = &config.settings.log;
    telemetry::start_logging(log.format, config.log_filter.as_deref(), log.debug).context("parsing RUST_LOG")
}

fn warn(config: &Config) {
    for warning in config.warnings.iter().chain(&config.exposure()) {
        tracing::warn!("{warning}");
    }
    if config.settings.auth.skip_validation {
        tracing::warn!("{}", larder::SKIP_WARNING);
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(escaped(text).as_bytes())?;
    Ok(out.flush()?)
}

/// Escapes control characters, but for those of lines and columns, as JSON does, so that JSON means the same. What is
/// printed has parts that others chose, such as a component's responses and keys of jobs: they must not steer a
/// terminal.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\t') {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A time in UTC, to the second.
fn time(ms: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(ms);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The signals to stop, and the one to look for changes.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop. Meanwhile SIGHUP has the server look for changed files.
    async fn reloading(&mut self, larder: &Larder) {
        loop {
            select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => larder.reload(),
            }
        }
    }

    async fn next(&mut self) {
        select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
