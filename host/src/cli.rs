//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use larder::{TenantName, compiler::Kind};

use crate::manage::{
    CompletionsArgs, KeyArgs, LsArgs, RmArgs, ScrubArgs, ShowArgs, StatsArgs, StatusArgs, VersionArgs,
};

/// A self-hosted GitHub Actions cache server.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) call: Call,
}

/// All that the program is called with.
#[derive(Debug, Subcommand)]
pub(crate) enum Call {
    #[command(flatten)]
    ByOperator(Command),
    /// Compile the component on standard input into a directory: what the server starts for it.
    #[command(hide = true)]
    Compile(CompileArgs),
}

/// The commands that completions list. They would list one that is hidden.
pub(crate) fn listed() -> clap::Command {
    let program = clap::Command::new("larder").version(env!("CARGO_PKG_VERSION"));
    Command::augment_subcommands(program)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Inspect the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Tell why a restore finds what it finds: each attempt at a match, what came near, and the cause of
    /// a miss. Asks the server at `LARDER_URL`; without it reads the server's database and storage beside it.
    Explain(ExplainArgs),
    /// Delete what a run, an actor or a ref has saved, or hold it back: entries and uploads in progress.
    /// Asks the server at `LARDER_URL`; without it works beside a running server, which follows at once. Cancel the run first: who still runs may
    /// save again.
    Revoke(RevokeArgs),
    /// Show how the server is: what is stored, how far back the cache reaches, sweeps.
    Status(StatusArgs),
    /// List entries. The flags are those of `gh cache list`.
    Ls(LsArgs),
    /// Show an entry, and who saved it.
    Show(ShowArgs),
    /// Delete entries: by number, by key, of a run, or all.
    Rm(RmArgs),
    /// Show what takes how much space.
    Stats(StatsArgs),
    /// Sweep the running server now: all of its tenants.
    Sweep(StatusArgs),
    /// Read the objects of all entries back, and compare them with what was recorded while they were stored.
    /// Asks the server at `LARDER_URL`; without it reads the storage in this process, also beside a running
    /// server. Fails if something is bad.
    Scrub(ScrubArgs),
    /// Make, list and revoke keys of the management API.
    Key(KeyArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Print the version.
    Version(VersionArgs),
    /// Check policy components, and exchange that of a server without a restart.
    Policy {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Write rules, check and test them, and exchange those of a server without a restart. Rules are small
    /// decisions in a script: who may do what, what is restored, saved and kept.
    Rules {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: RulesCommand,
    },
    /// Add, list and remove the tenants of a server with several. A running server follows within
    /// seconds.
    Tenant {
        #[command(flatten)]
        file: ConfigFile,
        #[command(subcommand)]
        command: TenantCommand,
    },
}

/// A lookup to be explained.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The repository: owner/name, or its id as in tokens.
    #[arg(short = 'R', long = "repository", value_name = "REPOSITORY")]
    pub(crate) repository: String,
    /// A ref that the job may restore from, such as refs/heads/main; its own first. Repeat it for the
    /// others: the base of a pull request, the default branch.
    #[arg(long = "ref", value_name = "REF", required = true)]
    pub(crate) refs: Vec<String>,
    /// The version that the client asks for, which it computes of paths and compression; all of it.
    /// Without it: that of the newest entry with the key, or of one that comes near.
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Of a server with several tenants the one that it is about.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The key.
    pub(crate) key: String,
    /// The restore keys, in order.
    #[arg(value_name = "RESTORE_KEY")]
    pub(crate) restore_keys: Vec<String>,
}

/// What is revoked: what meets all conditions.
#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("condition").required(true).multiple(true).args(["run", "actor", "git_ref", "scope", "since", "until"])
))]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The repository: owner/name, or its id as in tokens. Without it: all.
    #[arg(short = 'R', long = "repository", value_name = "REPOSITORY")]
    pub(crate) repository: Option<String>,
    /// The number of the run that saved it (`github.run_id`).
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Who started the run that saved it.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// The ref of the job that saved it: a branch, or a whole ref such as refs/pull/7/merge.
    #[arg(long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// The scope that it is in, such as refs/heads/main.
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Option<String>,
    /// Made at this time or later: like 2026-11-26T12:00:00Z, or how long ago, like 2h or 3days.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Made at this time or earlier.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Do not delete entries, but restore them no more, until they are released.
    #[arg(long, conflicts_with = "release")]
    pub(crate) quarantine: bool,
    /// Restore entries in quarantine again.
    #[arg(long)]
    pub(crate) release: bool,
    /// Change nothing, and print what would be changed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Of a server with several tenants the one that it is about.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is compiled, and how.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// `policy` or `rules`.
    #[arg(long)]
    pub(crate) kind: Kind,
    /// Most memory for data.
    #[arg(long)]
    pub(crate) memory_bytes: u64,
    /// The directory of compiled components.
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Write the file of a new tenant. What else it may say: examples/tenant.toml.
    Add(NewTenant),
    /// List the tenants: name, hosts, and what is wrong with the file.
    Ls,
    /// Remove a tenant, with all its entries.
    Rm {
        /// Its name.
        name: String,
    },
}

/// A tenant to be added.
#[derive(Debug, Args)]
pub(crate) struct NewTenant {
    /// Its name: 1 to 63 of a-z, 0-9 and -.
    pub(crate) name: String,
    /// A host name at which it is served.
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,
    /// An address on which the server listens for it alone, such as :3001.
    #[arg(long = "listen", value_name = "ADDRESS")]
    pub(crate) listen: Vec<String>,
    /// Whose tokens are accepted, for example https://token.actions.githubusercontent.com.
    #[arg(long = "issuer", value_name = "URL", required = true)]
    pub(crate) issuers: Vec<String>,
    /// Serve it at any other host, too, for tokens of its issuers.
    #[arg(long)]
    pub(crate) by_issuer: bool,
    /// Whose repositories may use it: an id or a name. Without this and --repository: all.
    #[arg(long = "owner", value_name = "OWNER")]
    pub(crate) owners: Vec<String>,
    /// A repository that may use it: an id, or a name like owner/name.
    #[arg(long = "repository", value_name = "REPOSITORY")]
    pub(crate) repositories: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Write a crate to begin with: a policy in Rust that overrides parts of Larder's own, and cases.
    New {
        /// Where; files that are there are left alone.
        dir: PathBuf,
        /// Where the crate `larder-policy` is, which no registry has: the folder `guest` of Larder's sources, or
        /// the URL of their repository.
        #[arg(long, value_name = "FOLDER|URL")]
        library: String,
    },
    /// Show a component's world, imports, exports, size and digest.
    Inspect {
        /// The component.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Run a component in a server of its own, with data that is thrown away, and ask it what clients ask:
    /// saves, restores, misses, bad requests.
    Check {
        /// The component, or a core module of `wasm32-unknown-unknown`.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send the requests of a file to a component, in a server of its own, and compare the answers.
    Test {
        /// The component, or a core module of `wasm32-unknown-unknown`.
        file: PathBuf,
        /// The requests, in TOML: what `larder policy new` writes explains itself.
        cases: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check a component, and put it in force. A running server follows at once, and no request is lost.
    Use(UseArgs),
    /// Put in force again what was in force before. It stays the choice until `use --configured`; a second
    /// rollback undoes the first.
    Rollback,
    /// Show what is in force, what was before, and what went back because it failed.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Write files to begin with: rules, cases, and what the language needs.
    New {
        /// Where; files that are there are left alone.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// The language.
        #[arg(long, value_enum, default_value = "js")]
        lang: Language,
    },
    /// Ask rules what is usual and what is odd: do they answer, in time, and always the same?
    Check {
        /// A script in JavaScript, a component, or a core module of `wasm32-unknown-unknown`.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask rules what a file of cases says, and compare the answers.
    Test {
        /// A script in JavaScript, a component, or a core module of `wasm32-unknown-unknown`.
        file: PathBuf,
        /// The cases.
        cases: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replay a trace of a server (`trace.dir`): what would the built-in policy, rules, other orders of
    /// deletion or another size have done? Hit ratio, bytes, and why what was missed.
    Replay(ReplayArgs),
    /// Check rules, and put them in force, in place of those that are. A running server follows at once, and no
    /// request is lost.
    Use(RulesUseArgs),
    /// Ask rules beside those in force, and only compare: what they answer changes nothing. `status` shows
    /// where they differ. A running server follows at once.
    Shadow(RulesShadowArgs),
    /// Put in force again what was in force before. It stays the choice until `use --configured`; a second
    /// rollback undoes the first.
    Rollback,
    /// Show what is in force, what was before, what went back because it failed, and what those in the
    /// shadow would have decided otherwise.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What is replayed.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// A file of a trace, or a directory of them; may be repeated.
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) trace: Vec<PathBuf>,
    /// Rules: a script in JavaScript, or a component; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Vec<PathBuf>,
    /// Another order in which entries are deleted: lru, s3-fifo, size-aware, keep-newest or default-branch;
    /// may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Vec<String>,
    /// How much may be stored, such as 100GiB; without it `capacity.max_bytes`.
    #[arg(long, value_name = "SIZE")]
    pub(crate) size: Option<String>,
    /// Of a trace of several tenants the one that is replayed.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the hit ratio over time.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// A language for rules.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Language {
    /// JavaScript: a text file, with nothing to build.
    Js,
    /// JavaScript as a component, by componentize-qjs: for what is bundled of several files or packages.
    Npm,
    /// Rust: the fastest.
    Rust,
    /// Python, by componentize-py.
    Py,
}

/// The rules that are put in force.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["file", "configured"])))]
pub(crate) struct RulesUseArgs {
    /// A script in JavaScript, or a component. It is copied into the data directory.
    pub(crate) file: Option<PathBuf>,
    /// Cases that it must pass.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) cases: Option<PathBuf>,
    /// What the configuration says: a file, or no rules.
    #[arg(long)]
    pub(crate) configured: bool,
}

/// The rules that are put in the shadow.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["file", "off", "configured"])))]
pub(crate) struct RulesShadowArgs {
    /// A script in JavaScript, or a component. It is copied into the data directory.
    pub(crate) file: Option<PathBuf>,
    /// None, whatever the configuration says.
    #[arg(long)]
    pub(crate) off: bool,
    /// What the configuration says: a file, or none.
    #[arg(long)]
    pub(crate) configured: bool,
}

/// What is put in force.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["file", "configured"])))]
pub(crate) struct UseArgs {
    /// The file. It is copied into the data directory.
    pub(crate) file: Option<PathBuf>,
    /// Ask it what this file says (`larder policy test`), and not what all clients ask: for a policy that is not
    /// for all jobs.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) cases: Option<PathBuf>,
    /// What the configuration says, or what is built in.
    #[arg(long)]
    pub(crate) configured: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// A policy component to use instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Rules: a script in JavaScript, or a component (wit/rules).
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,
    /// Adopt a storage that holds objects of another database: objects without an entry in this one
    /// are deleted.
    #[arg(long)]
    pub(crate) adopt_storage: bool,
    /// Rewrite a database server's rows for another `database.case_sensitive_keys`: of keys that become
    /// one the newest is kept. All other servers on the database must be stopped.
    #[arg(long)]
    pub(crate) rewrite_keys: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective configuration with secrets masked, or the first error in it.
    Check(ConfigFile),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file; `LARDER_CONFIG` names it, too.
    #[arg(long = "config", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}
