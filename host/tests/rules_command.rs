//! `larder rules`, by the program itself: new, check, test; and the rules in `examples/rules`.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;
use tempfile::TempDir;

/// What the commands compile is kept here for the next one.
static HOME: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

fn larder(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env_clear().env("HOME", HOME.path()).current_dir(dir).args(args).output().unwrap()
}

/// Runs it, and returns what it printed.
fn good(dir: &Path, args: &[&str]) -> String {
    let output = larder(dir, args);
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

/// Runs it, and returns what it printed, and why it failed.
fn bad(dir: &Path, args: &[&str]) -> (String, String) {
    let output = larder(dir, args);
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rules")
}

#[test]
fn every_example_is_short_passes_its_check_and_its_cases_and_is_in_the_table() {
    let dir = examples();
    let table = fs::read_to_string(dir.join("README.md")).unwrap();
    let mut scripts = BTreeSet::new();
    for file in fs::read_dir(&dir).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        scripts.extend(name.strip_suffix(".js").map(str::to_owned));
    }
    assert_eq!(scripts.len(), 12, "{scripts:?}");
    for name in scripts {
        let (script, cases) = (format!("{name}.js"), format!("{name}.cases.toml"));
        let text = fs::read_to_string(dir.join(&script)).unwrap();
        assert!(text.lines().count() <= 40, "{script} is long");
        let checked: Value =
            serde_json::from_str(&good(&dir, &["rules", "check", "--json", &script])).unwrap();
        let exports: Vec<_> = checked["exports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| format!("`{}`", name.as_str().unwrap()))
            .collect();
        let row = format!("| [`{script}`]({script}) |");
        let row = table
            .lines()
            .find(|line| line.starts_with(&row))
            .unwrap_or_else(|| panic!("{script} is not in the table"));
        assert!(row.ends_with(&format!("| {} |", exports.join(", "))), "{row}");
        let tested = good(&dir, &["rules", "test", &script, &cases]);
        assert!(tested.ends_with(" passed, 0 failed\n"), "{tested}");
    }
}

#[test]
fn new_rules_pass_their_check_and_their_cases_and_nothing_is_overwritten() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let written = good(dir, &["rules", "new", "mine"]);
    assert!(written.starts_with("mine/rules.js\nmine/cases.toml\n"), "{written}");
    good(dir, &["rules", "check", "mine/rules.js"]);
    good(dir, &["rules", "test", "mine/rules.js", "mine/cases.toml"]);
    // What is commented out works, too.
    let text = fs::read_to_string(dir.join("mine/rules.js")).unwrap();
    let whole: Vec<_> = text
        .lines()
        .map(|line| {
            line.strip_prefix("// ")
                .filter(|rest| rest.starts_with([' ', '}', '/']) || rest.starts_with("export"))
                .unwrap_or(line)
        })
        .collect();
    fs::write(dir.join("whole.js"), whole.join("\n")).unwrap();
    let checked = good(dir, &["rules", "check", "whole.js"]);
    assert!(checked.starts_with("exports access, restore, save, retention\n"), "{checked}");
    fs::write(dir.join("mine/rules.js"), "mine").unwrap();
    fs::remove_file(dir.join("mine/cases.toml")).unwrap();
    let (_, error) = bad(dir, &["rules", "new", "mine"]);
    assert!(error.contains("mine/rules.js: is there already"), "{error}");
    assert_eq!(fs::read_to_string(dir.join("mine/rules.js")).unwrap(), "mine");
    assert!(!dir.join("mine/cases.toml").exists());
    // That these are built as they are written: `rules-languages.test.mjs`.
    for (lang, file) in [("rust", "src/lib.rs"), ("py", "app.py"), ("npm", "package.json")] {
        good(dir, &["rules", "new", lang, "--lang", lang]);
        for file in [file, "wit/world.wit", "wit/deps/larder-rules.wit", "cases.toml"] {
            assert!(dir.join(lang).join(file).exists(), "{lang}: {file}");
        }
    }
}

#[test]
fn a_case_that_fails_is_named_with_what_was_expected_and_what_came() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    good(dir, &["rules", "new"]);
    let cases = fs::read_to_string(dir.join("cases.toml")).unwrap().replace("\"default\"", "\"deny\"");
    fs::write(dir.join("cases.toml"), &cases).unwrap();
    let (out, error) = bad(dir, &["rules", "test", "rules.js", "cases.toml"]);
    let failed = "FAIL  a push is as the token says\n        expected deny\n        got      default\n";
    assert!(out.contains(failed) && out.ends_with("2 passed, 1 failed\n"), "{out}");
    assert_eq!(error, "larder: 1 of the cases failed\n");
    let (out, _) = bad(dir, &["rules", "test", "--json", "rules.js", "cases.toml"]);
    let results: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(results[1]["fault"], serde_json::json!({ "expected": "deny", "got": "default" }));
    // A misspelt field is no case that passes.
    // The scores of `rank` are not what is compared.
    fs::write(dir.join("cases.toml"), "[[case]]\nname = \"r\"\nask = \"rank\"\nexpect = [1, 2]\n").unwrap();
    let (_, error) = bad(dir, &["rules", "test", "rules.js", "cases.toml"]);
    assert!(error.contains("for `rank` the keys in the order in which they go"), "{error}");
    fs::write(dir.join("cases.toml"), cases.replace("scopes =", "scoeps =")).unwrap();
    let (_, error) = bad(dir, &["rules", "test", "rules.js", "cases.toml"]);
    assert!(error.contains("unknown field `scoeps`"), "{error}");
}

#[test]
fn a_check_finds_what_remembers_throws_spins_and_answers_out_of_bounds() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let judge_save = |body: &str| {
        format!(
            "let calls = 0;\nexport const save = {{\n  judgeSave(caller, key) {{\n    {body}\n  }},\n}};\n"
        )
    };
    for (body, said) in [
        ("return { tag: 'refuse', val: `call ${++calls}` };", "is not pure"),
        ("return caller.claims.find(([name]) => name === 'actor')[1] && { tag: 'default' };", "trap"),
        ("for (;;);", "deadline"),
        ("return { tag: 'refuse', val: key.repeat(100) };", "invalid-answer"),
        ("return { tag: 'perhaps' };", "save: "),
    ] {
        fs::write(dir.join("rules.js"), judge_save(body)).unwrap();
        let (out, error) = bad(dir, &["rules", "check", "rules.js"]);
        let line = out.lines().find(|line| line.starts_with("FAIL"));
        assert!(line.is_some_and(|line| line.contains(said)), "{body}: {out}");
        assert!(error.contains("of the checks failed"), "{error}");
        assert!(out.contains("judge-save: the longest key"), "the others are asked, too: {out}");
    }
    // With its line.
    fs::write(dir.join("rules.js"), judge_save("return caller.nothing.at;")).unwrap();
    let (out, _) = bad(dir, &["rules", "check", "rules.js"]);
    assert!(out.contains("of undefined") && out.contains("rules.js:4"), "{out}");
    fs::write(dir.join("rules.js"), "export const save = {\n  judgeSave( {\n};\n").unwrap();
    let (_, error) = bad(dir, &["rules", "check", "rules.js"]);
    assert!(error.starts_with("larder: rules.js:") && error.contains("at rules.js:"), "{error}");
    let (_, error) = bad(dir, &["rules", "check", "none.js"]);
    assert!(error.contains("none.js: cannot be read"), "{error}");
}

/// As the world says: among equals the one that was not used for longest.
#[test]
fn entries_of_the_same_rank_go_in_the_order_of_their_last_use() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let rank = "export const retention = { rank: (entries) => entries.map(({ key }) => (key === 'first' ? 1 : 0)) };";
    fs::write(dir.join("rules.js"), rank).unwrap();
    let entry = |key: &str, idle_s: u32| format!("{{ key = \"{key}\", idle-s = {idle_s} }}");
    let entries = [entry("new", 1), entry("old", 3), entry("first", 2), entry("older", 9)].join(", ");
    let case = format!(
        "[[case]]\nname = \"ties\"\nask = \"rank\"\nentries = [{entries}]\nexpect = [\"first\", \"older\", \"old\", \"new\"]\n"
    );
    fs::write(dir.join("cases.toml"), case).unwrap();
    good(dir, &["rules", "test", "rules.js", "cases.toml"]);
}

#[test]
fn columns_of_rules_with_the_same_name_are_told_apart_by_their_paths() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut arguments = vec!["rules", "replay", "--size", "1GiB", "--trace", "trace.jsonl"];
    for path in ["a/rules.js", "b/rules.js", "alone.js"] {
        fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
        fs::write(dir.join(path), "export const access = { admit: () => ({ tag: 'default' }) };").unwrap();
        arguments.extend(["--rules", path]);
    }
    let event = r#"{"time_ms":1800000000000,"kind":"lookup","status":200,"outcome":"miss","tenant":"default","repository":"1","key":"k","version":"v","scopes":["refs/heads/main=rw"]}"#;
    fs::write(dir.join("trace.jsonl"), event).unwrap();
    let out = good(dir, &arguments);
    for name in ["a/rules.js", "b/rules.js", "alone.js"] {
        assert!(out.contains(name), "{out}");
    }
}

#[test]
fn only_rules_that_pass_are_put_in_force_and_a_rollback_needs_something_before() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    good(dir, &["rules", "new"]);
    let used = good(dir, &["rules", "use", "rules.js", "--cases", "cases.toml"]);
    assert!(
        used.starts_with("chosen: ")
            && used.contains("rules.js; no server has ./data, so it is in force from the next start on"),
        "{used}"
    );
    let status: Value = serde_json::from_str(&good(dir, &["rules", "status", "--json"])).unwrap();
    assert_eq!((&status["chosen"]["name"], &status["running"]), (&"rules.js".into(), &false.into()));
    fs::write(dir.join("bad.js"), "export const save = { judgeSave: () => { throw new Error('no'); } };")
        .unwrap();
    let (_, error) = bad(dir, &["rules", "use", "bad.js"]);
    assert!(error.contains("failed its check, and is not used"), "{error}");
    assert_eq!(
        good(dir, &["rules", "status"]).lines().next().unwrap().split_whitespace().last(),
        Some("rules.js")
    );
    let (_, error) = bad(dir, &["rules", "rollback"]);
    assert_eq!(error, "larder: nothing was in force before\n");
    good(dir, &["rules", "use", "--configured"]);
    assert!(good(dir, &["rules", "status"]).starts_with("chosen    nothing"));
}
