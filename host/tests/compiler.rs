//! Components are compiled in a process of its own, and what becomes of it does not become of the server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    convert::Infallible,
    error::Error,
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use larder::{
    BUILT_IN_POLICY, ExchangeError, Larder,
    compiler::{CompilerProgram, set_program},
    config::Config,
    rules::{Rules, RulesError, Source},
};
use tempfile::TempDir;
use tower_service::Service as _;

const LARDER: &str = env!("CARGO_BIN_EXE_larder");
/// Enough for all that the tests compile.
const MEMORY: u64 = 1 << 30;
/// The smallest component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// A shell that has the arguments of the compiler in `$@`, and its directory in `$dir`.
fn shell(text: &str, memory_bytes: u64, deadline: Duration) {
    let text = format!("for dir; do :; done; {text}");
    let command = vec!["/bin/sh".into(), "-c".into(), text.into(), "sh".into()];
    set_program(Some(CompilerProgram { command, memory_bytes, deadline }));
}

/// A shell that compiles, and notes that it did.
fn compiles(memory_bytes: u64) {
    let text = format!("echo \"$2\" >> \"${{dir%/*}}/asked\"; exec {LARDER} compile \"$@\"");
    shell(&text, memory_bytes, Duration::from_secs(300));
}

/// The built-in policy as another component.
fn variant(mark: u8) -> Vec<u8> {
    [BUILT_IN_POLICY, &[0, 3, 1, b'x', mark]].concat()
}

fn reason(exchanged: Result<(), ExchangeError>) -> String {
    let error = exchanged.unwrap_err();
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn server(data: &Path) -> Larder {
    let settings = [
        ("LARDER_DATA", data.to_str().unwrap()),
        ("LARDER_THREADS", "1"),
        ("DEFAULT_ACTIONS_RESULTS_URL", "none"),
        ("LARDER_HS256_SECRET", "a secret of more than thirty-two bytes"),
    ];
    let config = Config::load(None, settings.map(|(name, value)| (name.into(), value.into()))).unwrap();
    Box::pin(Larder::builder(config).without_listener().build()).await.unwrap()
}

fn load(content: &[u8], name: &str, dir: &Path) -> Result<Arc<Rules>, RulesError> {
    Rules::load(Source::new(content.to_vec(), name).unwrap(), Some(dir))
}

/// All in one test: the program is the process's.
#[tokio::test]
async fn what_becomes_of_the_process_that_compiles_does_not_become_of_the_server() {
    let folder = TempDir::new().unwrap();
    let data = folder.path();
    let (dir, asked) = (data.join("compiled"), || fs::read_to_string(data.join("asked")).unwrap_or_default());
    compiles(MEMORY);
    let larder = server(data).await;
    assert_eq!(asked(), "policy\n");
    larder.exchange_policy(variant(1)).await.unwrap();
    assert_eq!(asked(), "policy\npolicy\n");
    // What was compiled before is not compiled again.
    larder.exchange_policy(BUILT_IN_POLICY.to_vec()).await.unwrap();
    assert_eq!(asked(), "policy\npolicy\n");

    let why = reason(larder.exchange_policy(b"no component".to_vec()).await);
    assert!(why.starts_with(": not a WebAssembly component: "), "{why}");
    // The program's own limit, which the compiler reaches.
    compiles(24 << 20);
    let why = reason(larder.exchange_policy(variant(2)).await);
    assert!(
        why.starts_with(": the component was not compiled: ") && why.contains("it may have 24 MiB"),
        "{why}"
    );
    shell("echo half > \"$dir/x.$$.tmp\"; kill -9 $$", MEMORY, Duration::from_secs(300));
    let why = reason(larder.exchange_policy(variant(2)).await);
    assert!(why.contains("was not compiled: its process was ended by signal 9"), "{why}");
    shell("echo half > \"$dir/x.$$.tmp\"; exec sleep 600", MEMORY, Duration::from_millis(300));
    let why = reason(larder.exchange_policy(variant(2)).await);
    assert!(why.ends_with("was not compiled: it took more than 0.3 s"), "{why}");
    let drafts =
        fs::read_dir(&dir).unwrap().flatten().filter(|file| file.path().extension() == Some("tmp".as_ref()));
    assert_eq!(drafts.count(), 0);
    // The policy that was in force still answers.
    let request = http::Request::get("/health").header("host", "here").body(Full::new(Bytes::new())).unwrap();
    let Ok::<_, Infallible>(response) = larder.service().call(request).await;
    assert_eq!(response.status(), http::StatusCode::OK);
    // Rules go the same way.
    let error = load(COMPONENT, "rules.wasm", &dir).unwrap_err();
    assert!(error.to_string().ends_with("not compiled: it took more than 0.3 s"), "{error}");
    compiles(MEMORY);
    assert!(matches!(load(COMPONENT, "rules.wasm", &dir), Err(RulesError::Empty)));
    assert!(asked().ends_with("\nrules\n"), "{}", asked());

    // Where there is no such program this process compiles, also where the directory is no directory.
    set_program(Some(CompilerProgram {
        command: vec![data.join("none").into()],
        memory_bytes: MEMORY,
        deadline: Duration::from_secs(300),
    }));
    assert!(matches!(load(b"\0asm\x0d\0\x01\0\0\x01\0", "rules.wasm", &dir), Err(RulesError::Empty)));
    compiles(MEMORY);
    let file = data.join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(load(COMPONENT, "rules.wasm", &file), Err(RulesError::Empty)));
    larder.stop();
}

#[test]
fn the_program_compiles_in_a_process_of_its_own_when_it_serves() {
    let folder = TempDir::new().unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut server = Command::new(LARDER);
    server.env_clear().current_dir(folder.path()).arg("serve").stdout(Stdio::piped()).stderr(log);
    server.env("LARDER_LISTEN", "127.0.0.1:0").env("LARDER_THREADS", "1");
    server.env("LARDER_MANAGEMENT_LISTEN", "off");
    server.env("LARDER_HS256_SECRET", "a secret of more than thirty-two bytes");
    let mut server = server.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    // The log is written by a thread of its own: it is whole at the end.
    rustix::process::kill_process(rustix::process::Pid::from_child(&server), rustix::process::Signal::TERM)
        .unwrap();
    server.wait().unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("compiled the policy in a process of its own"), "{log}");
}
