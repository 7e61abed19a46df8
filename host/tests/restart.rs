//! Restarts, with the program itself: nobody is refused (fault 2), nobody's port is shared (fault 17), and the limit of open
//! files is kept to (fault 9).

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; killed when it is dropped.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

/// The program on this data. `limits` goes before it in a shell.
fn command(data: &Path, listen: &str, limits: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{limits} exec \"$0\" serve"), env!("CARGO_BIN_EXE_larder")])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LARDER_DATA", data)
        .env("LARDER_LISTEN", listen)
        .env("SKIP_TOKEN_VALIDATION", "true")
        .env("DEFAULT_ACTIONS_RESULTS_URL", "none")
        .env("LARDER_THREADS", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let file = data.join("larder.toml");
    if file.exists() {
        command.env("LARDER_CONFIG", file);
    }
    command
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// Waits for a line with this text.
    fn says(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        let mut seen = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen = seen + &line + "\n",
                Err(_) => panic!("never says `{text}`: {seen}"),
            }
        }
    }

    /// Waits until it listens.
    fn address(&self) -> SocketAddr {
        let line = self.says("listening on http://");
        line.rsplit_once("http://").unwrap().1.parse().unwrap()
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end, and returns all that it says until then, too.
    fn ends(&mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        (status, self.lines.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(file: &str) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("larder.toml"), file).unwrap();
    data
}

/// Asks on a new connection; an error where it is refused or reset.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: any.test\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks again and again, from several threads, until told to stop. Returns how often, and what went wrong.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask_on = move |stop: Arc<AtomicBool>| {
            let (mut count, mut wrong) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                match ask(address) {
                    Ok(answer) if answer.starts_with("HTTP/1.1 200") => {}
                    other => wrong.push(format!("{other:?}")),
                }
                thread::sleep(Duration::from_millis(2));
            }
            (count, wrong)
        };
        let threads = (0..4)
            .map(|_| {
                let stop = stop.clone();
                thread::spawn(move || ask_on(stop))
            })
            .collect();
        Self { stop, threads }
    }

    fn all_were_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let (count, wrong) = thread.join().unwrap();
            assert!(count > 0 && wrong.is_empty(), "{} of {count}: {wrong:?}", wrong.len());
        }
    }
}

/// A request whose body stops in the middle.
fn half_sent(address: SocketAddr) -> TcpStream {
    let claims =
        r#"{"ac":"[{\"Scope\":\"main\",\"Permission\":3}]","repository_id":"1","nbf":1,"exp":99999999999}"#;
    let [head, claims] = [r#"{"alg":"none"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /twirp/github.actions.results.api.v1.CacheService/CreateCacheEntry HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\nauthorization: Bearer {head}.{claims}.\r\ncontent-length: 100\r\n\r\n{{"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // It must not be answered, or it would hold nothing up.
    assert_eq!(stream.read(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    stream
}

impl Program {
    /// Stops it, with a request in flight, and returns the process that follows it: it starts before
    /// that if `early`, else after.
    fn followed(mut self, data: &Path, address: SocketAddr, early: bool) -> Self {
        let _slow = half_sent(address);
        if !early {
            self.terminate();
        }
        let next = Self::start(command(data, &address.to_string(), ""));
        if early {
            next.says("waiting for it to stop");
            self.terminate();
        }
        assert!(self.ends().0.success());
        assert_eq!(next.address(), address);
        next
    }
}

/// Fault 2: the next process is there before the first one is told to stop, and after.
#[test]
fn nobody_is_refused_while_one_process_follows_another() {
    let data = data("[server]\nshutdown_ms = 1500\n");
    let mut running = Program::start(command(data.path(), "127.0.0.1:0", ""));
    let address = running.address();
    let clients = Clients::start(address);
    for early in [true, false, true] {
        running = running.followed(data.path(), address, early);
    }
    clients.all_were_answered();
}

/// The listener of a tenant is handed over with the server's own.
#[test]
fn nobody_is_refused_at_the_listener_of_a_tenant() {
    let data = data("");
    let of_tenant = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = data.path().join("tenants.d");
    std::fs::create_dir(&dir).unwrap();
    let file = format!(
        "[tenant]\nlisten = [\"{of_tenant}\"]\n[auth]\nhs256_secrets = [\"of no importance here\"]\n"
    );
    std::fs::write(dir.join("acme.toml"), file).unwrap();
    let settings =
        format!("[server]\nshutdown_ms = 1500\n[tenants]\nhosts = [\"x\"]\ndir = \"{}\"\n", dir.display());
    std::fs::write(data.path().join("larder.toml"), settings).unwrap();
    let mut running = Program::start(command(data.path(), "127.0.0.1:0", ""));
    let address = running.address();
    let (clients, of_server) = (Clients::start(of_tenant), Clients::start(address));
    for early in [true, false] {
        running = running.followed(data.path(), address, early);
    }
    clients.all_were_answered();
    of_server.all_were_answered();
}

/// A stream of events ends in order, before the process does.
#[test]
fn a_stream_ends_in_order_when_another_process_follows() {
    let data = data(
        "[server]\nshutdown_ms = 1500\n[management]\nlisten = \"127.0.0.1:0\"\nkey = \"the key of an administrator\"\n",
    );
    let running = Program::start(command(data.path(), "127.0.0.1:0", ""));
    // The two lines come in any order.
    let (mut address, mut management) = (None, None);
    while address.is_none() || management.is_none() {
        let line = running.says("listen");
        if let Some((_, of_server)) = line.rsplit_once("listening on http://") {
            address = Some(of_server.parse().unwrap());
        } else if line.contains("the management API listens") {
            let (_, rest) = line.split_once("address=").unwrap();
            management = rest.split_whitespace().next().map(str::to_owned);
        }
    }
    let mut stream = TcpStream::connect(management.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "GET /api/v1/requests HTTP/1.1\r\nhost: x\r\nx-api-key: the key of an administrator\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("alive_ms")));
    let next = running.followed(data.path(), address.unwrap(), true);
    // The last chunk, which a stream that is cut does not have. Before it comes what ends with the process.
    let rest: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(rest.last().map(String::as_str), Some("0"), "{rest:?}");
    drop(next);
}

/// Fault 2: the supervisor's socket outlives the process.
#[test]
fn nobody_is_refused_where_the_supervisor_has_the_socket() {
    let data = data("");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || {
        let mut command =
            command(data.path(), "127.0.0.1:1", "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$;");
        command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
        Program::start(command)
    };
    let mut running = start();
    assert_eq!(running.address(), address);
    let clients = Clients::start(address);
    for _ in 0..3 {
        running.terminate();
        assert!(running.ends().0.success());
        running = start();
        running.address();
    }
    clients.all_were_answered();
}

/// Fault 2: idle connections hold nothing up, a request that does not end holds the stop up less long than Docker waits.
#[test]
fn a_stop_is_bounded_and_idle_connections_close_at_once() {
    let data = data("");
    let mut program = Program::start(command(data.path(), "127.0.0.1:0", ""));
    let address = program.address();
    let mut idle = TcpStream::connect(address).unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(idle.read(&mut [0; 4096]).unwrap() > 0);
    let _silent = TcpStream::connect(address).unwrap();
    let mut half_head = TcpStream::connect(address).unwrap();
    half_head.write_all(b"GET /hea").unwrap();
    let begin = Instant::now();
    program.terminate();
    idle.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(idle.read(&mut [0; 64]).unwrap(), 0);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert!(program.ends().0.success());
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());

    let mut program = Program::start(command(data.path(), "127.0.0.1:0", ""));
    let address = program.address();
    let _slow: Vec<_> = (0..4).map(|_| half_sent(address)).collect();
    ask(address).unwrap();
    let begin = Instant::now();
    program.terminate();
    assert!(program.ends().0.success());
    assert!(begin.elapsed() < Duration::from_millis(9500), "{:?}", begin.elapsed());
}

/// Fault 17: it took part of the requests.
#[test]
fn a_second_server_on_the_port_does_not_start() {
    let (one, other) = (data(""), data(""));
    let first = Program::start(command(one.path(), "127.0.0.1:0", ""));
    let address = first.address().to_string();
    let begin = Instant::now();
    let (status, output) = Program::start(command(other.path(), &address, "")).ends();
    assert!(
        !status.success() && output.contains("cannot listen on") && output.contains(&address),
        "{output}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
}

/// Fault 9.
#[test]
fn the_limit_of_open_files_is_raised_and_kept_to() {
    for limits in ["ulimit -Sn 64; ulimit -Hn 1024;", "ulimit -n 256;"] {
        let data = data("");
        let program = Program::start(command(data.path(), "127.0.0.1:0", limits));
        let address = program.address();
        // More than there is room for: the silent ones make room.
        let mut open = Vec::new();
        for _ in 0..1100 {
            open.push(TcpStream::connect(address).unwrap());
            if open.len() % 50 == 0 {
                let answer = ask(address).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200"), "{limits} {}: {answer}", open.len());
            }
        }
        let log: Vec<_> = program.lines.try_iter().filter(|line| line.contains("WARN")).collect();
        assert!(log.len() <= 4, "{log:?}");
    }
    let data = data("[server]\nmax_connections = 1000\n");
    let (status, output) = Program::start(command(data.path(), "127.0.0.1:0", "ulimit -n 256;")).ends();
    assert!(!status.success(), "{output}");
    let said: Vec<_> = output.lines().filter(|line| line.starts_with("larder: ")).collect();
    assert!(said.len() == 1 && said[0].contains("256") && said[0].contains("max_connections"), "{output}");
}
