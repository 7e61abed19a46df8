//! The release binary in a process of its own.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use larder_tests::SECRET;
use tempfile::TempDir;

use crate::usage::Usage;

/// Longest wait for a start. The first one compiles the policy, perhaps on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Docker kills a process that has not ended 10 s after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(3);

/// How to start a server.
#[derive(Clone, Default)]
pub struct Setup {
    /// Environment variables, in addition to the suite's own.
    pub variables: Vec<(String, String)>,
    /// The content of its configuration file.
    pub file: String,
    /// Its limit of descriptors, soft and hard. Default: this process's.
    pub descriptors: Option<usize>,
    /// The data directory. Default: a temporary one.
    pub data: Option<PathBuf>,
    /// A program that executes it in the same process.
    pub wrapper: Vec<String>,
}

impl Setup {
    /// Adds an environment variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A server.
pub struct Server {
    setup: Setup,
    home: TempDir,
    child: Child,
    address: SocketAddr,
    /// How long the last start took, until the server logged that it listens.
    pub started_in: Duration,
}

impl Server {
    /// Starts a server.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        fs::write(home.path().join("larder.toml"), &setup.file).expect("the configuration is written");
        let begun = Instant::now();
        let mut child = spawn(&setup, home.path(), "127.0.0.1:0");
        let address = listening(&mut child, &log_file(home.path()), 0);
        Self { setup, home, child, address, started_in: begun.elapsed() }
    }

    /// Restarts an ended server on the same address and data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&mut self) {
        let log = log_file(self.home.path());
        let logged = fs::metadata(&log).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
        let begun = Instant::now();
        self.child = spawn(&self.setup, self.home.path(), &self.address.to_string());
        self.address = listening(&mut self.child, &log, logged);
        self.started_in = begun.elapsed();
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// If it does not end within Docker's grace period.
    pub async fn stop(&mut self) -> ExitStatus {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().expect("kill");
        assert!(asked.success(), "the server ended by itself:\n{}", self.log_tail());
        let deadline = Instant::now() + STOP_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it has not ended {STOP_LIMIT:?} after SIGTERM:\n{}",
                self.log_tail()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns scheme and authority of its address.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data_of(&self.setup, self.home.path())
    }

    /// Returns the resources that it uses.
    ///
    /// # Panics
    /// If it has ended.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
            .unwrap_or_else(|error| panic!("{error}: the server ended:\n{}", self.log_tail()))
    }

    /// Returns its log over all starts.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(log_file(self.home.path())).unwrap_or_default()).into_owned()
    }

    /// Returns the last lines of its log, without those of requests.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(home: &Path) -> PathBuf {
    home.join("log")
}

fn data_of(setup: &Setup, home: &Path) -> PathBuf {
    setup.data.clone().unwrap_or_else(|| home.join("data"))
}

fn spawn(setup: &Setup, home: &Path, listen: &str) -> Child {
    let log = File::options().create(true).append(true).open(log_file(home)).expect("its log");
    let mut command = Command::new("sh");
    let limit = setup.descriptors.map(|most| format!("ulimit -n {most}; ")).unwrap_or_default();
    command.args(["-c", &format!("{limit}exec \"$@\""), "sh"]).args(&setup.wrapper);
    command.arg(binary()).arg("serve").arg("--config").arg(home.join("larder.toml")).current_dir(home);
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.env("LARDER_LISTEN", listen).env("LARDER_DATA", data_of(setup, home));
    command
        .env("LARDER_HS256_SECRET", SECRET)
        .env("DEFAULT_ACTIONS_RESULTS_URL", "none")
        .env("LARDER_MANAGEMENT_LISTEN", "off")
        .env("RUST_LOG", "info");
    command.envs(setup.variables.iter().map(|(name, value)| (name, value)));
    command.stdout(log.try_clone().expect("its log")).stderr(log).spawn().expect("it starts")
}

/// Returns the program under test: `LARDER_TEST_BINARY`, or the release build beside this test.
fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("LARDER_TEST_BINARY") {
        return given.into();
    }
    // <target>/release/deps/<this test>
    let own = std::env::current_exe().expect("this program");
    let built = own.parent().and_then(Path::parent).expect("a target folder").join("larder");
    assert!(built.exists(), "no server at {}: run `make build` first", built.display());
    built
}

/// Waits until it logs its address, after the log of earlier starts.
fn listening(child: &mut Child, log: &Path, said: usize) -> SocketAddr {
    const WORDS: &str = "listening on http://";
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(text.get(said..).unwrap_or_default()).into_owned();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        if let Some((_, rest)) = complete.split_once(WORDS) {
            let address = rest.split_whitespace().next().unwrap_or_default();
            return address.parse().unwrap_or_else(|_| panic!("no address: {text}"));
        }
        let ended: io::Result<Option<ExitStatus>> = child.try_wait();
        assert!(matches!(ended, Ok(None)), "it did not start, but ended with {ended:?}:\n{text}");
        assert!(Instant::now() < deadline, "it does not listen after {START_LIMIT:?}:\n{text}");
        std::thread::sleep(POLL);
    }
}
