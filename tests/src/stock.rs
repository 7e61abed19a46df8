//! The composed component under a stock `wasmtime serve`, in a process of its own.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{RemoteServer, SECRET};

/// Longest start: the component is compiled at the first one.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Ends the server when the test process has ended, however: its standard input is a pipe from it.
const GUARD: &str = r#""$@" </dev/null & server=$!; read -r _; kill -KILL "$server""#;

/// The composed component, written once for this process.
static COMPONENT: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = TempDir::new().expect("a temporary directory");
    larder_serve_compose::write(folder.path()).expect("the parts fit");
    let file = folder.path().join(larder_serve_compose::COMPOSED_FILE);
    (folder, file)
});

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct StockOptions {
    /// The version of wasmtime; `None` is the newest, or the one on the `PATH`.
    pub version: Option<&'static str>,
    /// Further arguments of `wasmtime serve`.
    pub arguments: Vec<String>,
    /// Settings on top of the secret and the base URL.
    pub variables: Vec<(&'static str, String)>,
    /// Leaves out `--dir`.
    pub without_directory: bool,
    /// Leaves out `API_BASE_URL`.
    pub without_base_url: bool,
}

/// A server. Killed when it is dropped, and when the test process ends.
pub struct StockServer {
    guard: Child,
    /// A client of it.
    pub remote: RemoteServer,
    /// Its address.
    pub address: SocketAddr,
    /// Scheme and authority of its address.
    pub base: String,
    log: PathBuf,
}

impl StockServer {
    /// Starts a server on the data in this directory.
    #[must_use]
    pub fn start(data: &Path, options: &StockOptions) -> Self {
        let address = free_address();
        let base = format!("http://{address}");
        let log = data.with_extension(format!("{}.log", address.port()));
        let output = std::fs::File::create(&log).expect("the log is made");
        let mut command = Command::new("bash");
        command.args(["-c", GUARD, "bash"]).arg(wasmtime(options.version)).args(["serve", "-S", "cli=y"]);
        command.args(["--no-logging-prefix", "--addr", &address.to_string()]);
        if !options.without_directory {
            command.arg("--dir").arg(format!("{}::/data", data.display()));
        }
        let mut variables = options.variables.clone();
        if !variables.iter().any(|(name, _)| name.starts_with("SKIP_") || name.contains("JWKS")) {
            variables.push(("LARDER_HS256_SECRET", SECRET.to_owned()));
        }
        if !options.without_base_url {
            variables.push(("API_BASE_URL", base.clone()));
        }
        if !variables.iter().any(|(name, _)| *name == "DEFAULT_ACTIONS_RESULTS_URL") {
            variables.push(("DEFAULT_ACTIONS_RESULTS_URL", "none".to_owned()));
        }
        for (name, value) in variables {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.args(&options.arguments).arg(&COMPONENT.1);
        command.stdin(Stdio::piped()).stdout(output.try_clone().expect("a descriptor")).stderr(output);
        let guard = command.spawn().expect("bash is there");
        let remote = RemoteServer::at(base.clone(), SECRET.to_owned());
        let mut server = Self { guard, remote, address, base, log };
        server.wait_until_it_listens();
        server
    }

    fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let is_over = started.elapsed() > START_LIMIT
                || self.log().contains("Error:")
                || self.guard.try_wait().expect("a child").is_some();
            assert!(!is_over, "it does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it at once, and waits until it is gone.
    pub fn kill(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

impl Drop for StockServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// An address of the loopback interface that is free at the moment.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface");
    listener.local_addr().expect("an address")
}

/// The program, which a script installs where it is missing.
fn wasmtime(version: Option<&str>) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clients/wasmtime.sh");
    let output = Command::new(script).args(version).stderr(Stdio::inherit()).output().expect("bash is there");
    assert!(output.status.success(), "there is no wasmtime");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("wasmtime")
}
