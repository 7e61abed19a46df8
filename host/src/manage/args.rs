//! The arguments of the commands that ask the management API.

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use larder::TenantName;

use crate::cli::ConfigFile;

/// Which server is asked: the one at `LARDER_URL`, with the key in `LARDER_API_KEY`; else the data that the
/// configuration names.
#[derive(Debug, Args)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The origin of the management API; `LARDER_URL` names it, too.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Of a server with several tenants the one that it is about.
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<TenantName>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum SortBy {
    CreatedAt,
    LastAccessedAt,
    SizeInBytes,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Order {
    Asc,
    Desc,
}

/// The flags are those of `gh cache list`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only keys that begin so.
    #[arg(short, long, value_name = "PREFIX")]
    pub(crate) key: Option<String>,
    /// Only of this ref, such as refs/heads/main.
    #[arg(short = 'r', long = "ref", value_name = "REF")]
    pub(crate) git_ref: Option<String>,
    /// Only of this repository: owner/name, or its id as in tokens.
    #[arg(short = 'R', long, value_name = "REPOSITORY")]
    pub(crate) repo: Option<String>,
    /// Most entries that are listed.
    #[arg(short = 'L', long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// What they are sorted by.
    #[arg(short = 'S', long, value_enum, default_value = "last_accessed_at")]
    pub(crate) sort: SortBy,
    /// In which direction.
    #[arg(short = 'O', long, value_enum, default_value = "desc")]
    pub(crate) order: Order,
    /// Print JSON: all fields, or those that are named, separated by commas.
    #[arg(long, value_name = "FIELDS", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "given without a value, given with one, not given")]
    pub(crate) json: Option<Option<String>>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The entry's number.
    pub(crate) id: u64,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["entry", "all", "run"])))]
pub(crate) struct RmArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The entry's number, or its key.
    #[arg(value_name = "ID|KEY")]
    pub(crate) entry: Option<String>,
    /// All entries: of the repository and ref, if they are given.
    #[arg(short, long)]
    pub(crate) all: bool,
    /// All that this run saved (`github.run_id`).
    #[arg(long, value_name = "ID")]
    pub(crate) run: Option<String>,
    /// Only of this repository: owner/name, or its id as in tokens.
    #[arg(short = 'R', long, value_name = "REPOSITORY")]
    pub(crate) repo: Option<String>,
    /// Only of this ref, such as refs/heads/main.
    #[arg(short = 'r', long = "ref", value_name = "REF", conflicts_with = "run")]
    pub(crate) git_ref: Option<String>,
    /// Change nothing, and print what would be deleted.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StatsBy {
    Repository,
    Scope,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What the sums are of.
    #[arg(long, value_enum, default_value = "repository")]
    pub(crate) by: StatsBy,
    /// For scopes: the repository.
    #[arg(short = 'R', long, value_name = "REPOSITORY", required_if_eq("by", "scope"))]
    pub(crate) repo: Option<String>,
    /// Most parts that are listed.
    #[arg(short = 'L', long, value_name = "COUNT", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScrubArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Delete entries whose object is damaged or lost, so that they are misses.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Record the digest of objects of which none is known, as they are now.
    #[arg(long)]
    pub(crate) record: bool,
    /// Read at most so many bytes a second.
    #[arg(long, value_name = "BYTES")]
    pub(crate) rate: Option<u64>,
    /// Only of this repository: owner/name, or its id as in tokens.
    #[arg(short = 'R', long = "repository", value_name = "REPOSITORY")]
    pub(crate) repo: Option<String>,
    /// Begin behind the entry with this number, where an earlier one was broken off.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub(crate) after: u64,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    pub(crate) target: KeyTarget,
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// As [`Target`], without the tenant: keys are the server's.
#[derive(Debug, Args)]
pub(crate) struct KeyTarget {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// The origin of the management API; `LARDER_URL` names it, too.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    Read,
    Delete,
    Admin,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key, and print it once.
    New {
        /// What it permits; each role includes those before it.
        #[arg(long, value_enum)]
        role: Role,
        /// The tenant that it is for. Without it: all.
        #[arg(long, value_name = "NAME")]
        tenant: Option<TenantName>,
        /// Its name, for the log.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key. It counts no more from the next request on.
    Revoke {
        /// Its name.
        name: String,
    },
    /// List the keys, without the keys themselves.
    Ls {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
