//! Rules in JavaScript, handed over as text.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, LazyLock};

use larder_rules::{
    Admission, Caller, Entry, Failure, FailureKind, Hit, Interface, Limits, MAX_NUMBER, Member,
    RetentionVerdict, Rules, RulesError, Save, SaveVerdict, Scope, Session, Source, Terms, number,
};
use tempfile::TempDir;

/// QuickJS is compiled once for all tests.
static COMPILED: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().unwrap());

fn load(text: &str) -> Result<Arc<Rules>, RulesError> {
    let source = Source::Script { text: text.to_owned(), name: "rules.js".to_owned() };
    Rules::load(source, Some(COMPILED.path()))
}

fn session(text: &str) -> Session {
    Session::new(load(text).unwrap(), Limits::default())
}

fn scope(name: &str, read: bool, write: bool) -> Scope {
    Scope { name: name.to_owned(), read, write }
}

fn pull_request() -> Caller {
    Caller {
        repository: "github:7".to_owned(),
        scopes: vec![scope("refs/pull/7/merge", true, true), scope("refs/heads/main", true, false)],
        claims: vec![("event_name".to_owned(), "pull_request".to_owned())],
        client: "@actions/cache-4.0.3".to_owned(),
    }
}

fn save(key: &str) -> Save {
    Save { key: key.to_owned(), version: "v".to_owned(), size_kib: None }
}

fn failure<T: std::fmt::Debug>(answer: Result<T, Failure>) -> Failure {
    answer.unwrap_err()
}

#[test]
fn pull_requests_only_read() {
    let mut session = session(
        "export const access = {
           admit({ scopes }) {
             if (!scopes.some(({ name, write }) => write && name.startsWith('refs/pull/'))) return { tag: 'default' };
             return { tag: 'scopes', val: scopes.map((scope) => ({ ...scope, write: false })) };
           },
         };",
    );
    let narrowed = vec![scope("refs/pull/7/merge", true, false), scope("refs/heads/main", true, false)];
    assert_eq!(session.admit(&pull_request()), Ok(Admission::Scopes(narrowed)));
    let push = Caller { scopes: vec![scope("refs/heads/main", true, true)], ..pull_request() };
    assert_eq!(session.admit(&push), Ok(Admission::Default));
    let interfaces: Vec<Interface> = session.rules().interfaces().iter().copied().collect();
    assert_eq!(interfaces, [Interface::Access]);
    assert_eq!(failure(session.judge_save(&push, &save("k"))).kind, FailureKind::NotExported);
}

#[test]
fn every_value_of_the_world_gets_there_and_back() {
    let mut session = session(
        "export const restore = {
           judgeHit: (caller, entry) => ({ tag: 'skip', val: JSON.stringify([caller.client, entry.sizeKib, entry.ageS, entry.idleS, entry.uses, entry.trust, entry.provenance]) }),
         };
         export const save = {
           judgeSave: (caller, key, version, sizeKib) =>
             sizeKib === null
               ? { tag: 'accept', val: { lifetimeS: 3600, labels: [['kind', key], ['version', version]] } }
               : { tag: 'refuse-quietly', val: `${sizeKib} KiB` },
         };
         export const retention = {
           group: (entries) => entries.map(({ key }) => (key.includes('-') ? key.split('-')[0] : undefined)),
           judge: (members) => members.map(({ place }) => place === null ? { tag: 'default' } : place < 2 ? { tag: 'keep' } : { tag: 'remove', val: 'newest-2' }),
           rank: (entries) => entries.map(({ sizeKib, uses }) => sizeKib / (1 + (uses ?? 0))),
         };",
    );
    let entry = Entry {
        key: "npm-1".to_owned(),
        size_kib: number(u64::MAX),
        age_s: MAX_NUMBER,
        idle_s: 2,
        uses: Some(1),
        provenance: vec![("ref".to_owned(), "refs/heads/größe".to_owned())],
        ..Entry::default()
    };
    let said = r#"["@actions/cache-4.0.3",2147483647,2147483647,2,1,"full",[["ref","refs/heads/größe"]]]"#;
    assert_eq!(session.judge_hit(&pull_request(), &entry), Ok(Hit::Skip(said.to_owned())));
    let labels = vec![("kind".to_owned(), "k".to_owned()), ("version".to_owned(), "v".to_owned())];
    let terms = Terms { lifetime_s: Some(3600), labels };
    assert_eq!(session.judge_save(&pull_request(), &save("k")), Ok(SaveVerdict::Accept(terms)));
    let sized = Save { size_kib: Some(5), ..save("k") };
    assert_eq!(
        session.judge_save(&pull_request(), &sized),
        Ok(SaveVerdict::RefuseQuietly("5 KiB".to_owned()))
    );
    let other = Entry { key: "plain".to_owned(), ..Entry::default() };
    let page = [entry.clone(), other];
    assert_eq!(session.group(&page), Ok(vec![Some("npm".to_owned()), None]));
    let members = [Some(0), Some(2), None].map(|place| Member { entry: entry.clone(), place });
    let verdicts =
        [RetentionVerdict::Keep, RetentionVerdict::Remove("newest-2".to_owned()), RetentionVerdict::Default];
    assert_eq!(session.judge(&members), Ok(verdicts.to_vec()));
    assert_eq!(session.rank(&page), Ok(vec![f64::from(MAX_NUMBER) / 2.0, 0.0]));
}

#[test]
fn an_exception_has_its_text_and_its_line() {
    let mut session = session(
        "export const save = {\n  judgeSave(caller) {\n    return caller.claims.find(([name]) => name === 'nothing')[1];\n  },\n};",
    );
    let failure = failure(session.judge_save(&pull_request(), &save("k")));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert_eq!(failure.line("rules.js"), Some(3), "{failure}");
    let text = "TypeError: cannot read property '1' of undefined\n    at judgeSave (rules.js:3:26)";
    assert_eq!(failure.text, text);
}

#[test]
fn a_script_that_cannot_start_says_where() {
    let error = load("export const save = {\n  judgeSave( {\n};").unwrap_err();
    let RulesError::Start(failure) = error else { panic!("{error}") };
    assert_eq!(failure.text, "Error: Unexpected token ';'\n    at rules.js:3:2");
    assert_eq!(failure.line("rules.js"), Some(3));
    let error = load("const x = 1;\nthrow new Error('on purpose');").unwrap_err();
    let told = error.at("rules.js", "folder/rules.js");
    assert!(told.starts_with("folder/rules.js:2: ") && told.contains("on purpose"), "{told}");
    let RulesError::Start(failure) = error else { panic!("{error}") };
    assert!(failure.text.contains("on purpose"), "{failure}");
    assert_eq!(failure.line("rules.js"), Some(2), "{failure}");
    let error = load("import { x } from './other.js';").unwrap_err();
    assert!(error.at("rules.js", "rules.js").starts_with("rules.js: "), "{error}");
    assert!(error.to_string().contains("./other.js"), "{error}");
    let error = load("export const access = { admitt: () => ({ tag: 'default' }) };").unwrap_err();
    assert!(error.to_string().contains("access.admit is not a function"), "{error}");
    assert!(matches!(load("const nothing = 1;"), Err(RulesError::Empty)));
    let error = load("throw new Error('\\u001b[31mred\\u0007');").unwrap_err();
    let told = error.at("rules.js", "rules.js");
    assert!(told.contains("\u{fffd}[31mred\u{fffd}") && !told.contains(['\u{1b}', '\u{7}']), "{told}");
}

/// A rule that is misspelt is not there, and what it was to refuse would be allowed.
#[test]
fn a_misspelt_export_is_an_error() {
    for (text, said) in [
        ("export const saves = { judgeSave: () => ({ tag: 'default' }) };", "`saves` is none of access, "),
        (
            "export const save = { judgeSave: () => ({ tag: 'default' }) }; export const Access = {};",
            "`Access` is none of",
        ),
        ("export default { restores: { judgeHit: () => ({ tag: 'accept' }) } };", "`restores` is none of"),
        (
            "export const retention = { judges: (members) => members };",
            "retention has none of group, judge, rank",
        ),
        ("export const save = { judges: () => ({ tag: 'default' }) };", "save.judgeSave is not a function"),
    ] {
        let Err(error) = load(text) else { panic!("{text}") };
        let error = error.at("rules.js", "rules.js");
        assert!(error.contains(said), "{text}: {error}");
    }
    let fine = "const helper = 1; export default { save: { most: helper, judgeSave() { return { tag: 'default' }; } } };";
    load(fine).unwrap();
}

/// What one question leaves behind is not there for `admit`, and `admit` costs the others no start.
#[test]
fn admit_is_asked_of_an_instance_of_its_own() {
    let mut session = session(
        "let asked = 0;
         const count = () => { asked += 1; return String(asked); };
         export const access = { admit: () => ({ tag: 'deny', val: count() }) };
         export const save = { judgeSave: () => ({ tag: 'refuse', val: count() }) };",
    );
    let mut saved = || session.judge_save(&pull_request(), &save("k"));
    assert_eq!([saved(), saved()], ["1", "2"].map(|number| Ok(SaveVerdict::Refuse(number.to_owned()))));
    for _ in 0..2 {
        assert_eq!(session.admit(&pull_request()), Ok(Admission::Deny("1".to_owned())));
    }
    let saved = session.judge_save(&pull_request(), &save("k"));
    assert_eq!(saved, Ok(SaveVerdict::Refuse("3".to_owned())));
}

/// What hostile rules can do in JavaScript.
#[test]
fn a_script_that_misbehaves_costs_its_instance_and_nothing_else() {
    let mut session = Session::new(
        load(
            "const deep = (n) => 1 + deep(n + 1);
             const hoard = () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); };
             const answers = {
               throw: () => { throw new Error('on purpose'); },
               'unknown-tag': () => ({ tag: 'allow' }),
               'foreign-type': () => ({ tag: 'refuse', val: 7 }),
               spin: () => { for (;;); },
               recurse: () => ({ tag: 'refuse', val: String(deep(0)) }),
               memory: hoard,
               long: () => ({ tag: 'refuse', val: 'x'.repeat(8 << 20) }),
               'a-million': () => ({ tag: 'accept', val: { labels: Array(1e6).fill(['a', 'b']) } }),
               lifetime: () => ({ tag: 'accept', val: { lifetimeS: -1, labels: [] } }),
               clock: () => ({ tag: 'refuse', val: `${Date.now()} ${Math.random() === Math.random()}` }),
             };
             export const save = { judgeSave: (caller, key) => answers[key]?.() ?? { tag: 'default' } };
             export const retention = { rank: (entries) => entries.map(() => NaN), group: () => [] };",
        )
        .unwrap(),
        Limits { request: std::time::Duration::from_secs(2), ..Limits::default() },
    );
    let kinds = [
        ("throw", FailureKind::Trap),
        ("unknown-tag", FailureKind::Trap),
        ("foreign-type", FailureKind::Trap),
        ("spin", FailureKind::Deadline),
        ("recurse", FailureKind::Trap),
        ("memory", FailureKind::Memory),
        ("long", FailureKind::InvalidAnswer),
        // Of what QuickJS makes of it for the host there is more than its memory holds.
        ("a-million", FailureKind::Memory),
        ("lifetime", FailureKind::InvalidAnswer),
    ];
    let mut wrong = Vec::new();
    for (key, kind) in kinds {
        let failure = failure(session.judge_save(&pull_request(), &save(key)));
        if failure.kind != kind || failure.text.is_empty() || failure.text.len() > 4200 {
            wrong.push(format!("{key}: {failure}"));
        }
        let fine = session.judge_save(&pull_request(), &save("fine"));
        assert_eq!(fine, Ok(SaveVerdict::Default), "after {key}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The clock stands still, so a decision is the same at any time.
    let once = session.judge_save(&pull_request(), &save("clock"));
    session.refresh();
    assert_eq!(session.judge_save(&pull_request(), &save("clock")), once);
    assert!(matches!(&once, Ok(SaveVerdict::Refuse(text)) if text == "0 false"), "{once:?}");
    let page = [Entry::default()];
    assert!(failure(session.rank(&page)).text.contains("NaN"));
    assert!(failure(session.group(&page)).text.contains("0 answers to 1 questions"));
    // A function that the script leaves out.
    let member = Member { entry: Entry::default(), place: None };
    assert_eq!(session.judge(&[member]), Ok(vec![RetentionVerdict::Default]));
}

#[test]
fn only_an_order_of_its_own_is_asked_for_to_make_room() {
    let with_order = load("export const retention = { rank: (entries) => entries.map(() => 1) };").unwrap();
    let without = load("export const retention = { group: (entries) => entries.map(() => null) };").unwrap();
    let of_others = load("export const save = { judgeSave: () => ({ tag: 'default' }) };").unwrap();
    assert_eq!((with_order.ranks(), without.ranks(), of_others.ranks()), (true, false, false));
}
