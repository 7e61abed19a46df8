//! Rules in JavaScript, handed over as text.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, LazyLock};

use larder_rules::{
    Admission, Caller, Entry, Failure, FailureKind, Hit, Interface, Limits, Member, RetentionVerdict, Rules,
    RulesError, Save, SaveVerdict, Scope, Session, Source, Terms,
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
             sizeKib === undefined
               ? { tag: 'accept', val: { lifetimeS: 3600, labels: [['kind', key], ['version', version]] } }
               : { tag: 'refuse-quietly', val: `${sizeKib} KiB` },
         };
         export const retention = {
           group: (entries) => entries.map(({ key }) => (key.includes('-') ? key.split('-')[0] : undefined)),
           judge: (members) => members.map(({ place }) => place === undefined ? { tag: 'default' } : place < 2 ? { tag: 'keep' } : { tag: 'remove', val: 'newest-2' }),
           rank: (entries) => entries.map(({ sizeKib, uses }) => sizeKib / (1 + (uses ?? 0))),
         };",
    );
    let entry = Entry {
        key: "npm-1".to_owned(),
        size_kib: u32::MAX,
        age_s: 3_000_000_000,
        idle_s: 2,
        uses: Some(1),
        provenance: vec![("ref".to_owned(), "refs/heads/größe".to_owned())],
        ..Entry::default()
    };
    let said = r#"["@actions/cache-4.0.3",4294967295,3000000000,2,1,"full",[["ref","refs/heads/größe"]]]"#;
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
    assert_eq!(session.rank(&page), Ok(vec![f64::from(u32::MAX) / 2.0, 0.0]));
}

#[test]
fn an_exception_has_its_text_and_its_line() {
    let mut session = session(
        "export const save = {\n  judgeSave(caller) {\n    return caller.claims.find(([name]) => name === 'nothing')[1];\n  },\n};",
    );
    let failure = failure(session.judge_save(&pull_request(), &save("k")));
    assert_eq!(failure.kind, FailureKind::Trap);
    assert_eq!(failure.line("rules.js"), Some(3), "{failure}");
    assert!(failure.text.contains("TypeError"), "{failure}");
    println!("{failure}");
}

#[test]
fn a_script_that_cannot_start_says_where() {
    let error = load("export const save = {\n  judgeSave( {\n};").unwrap_err();
    println!("{error}");
    let RulesError::Start(failure) = error else { panic!("{error}") };
    assert!(failure.text.contains("SyntaxError"), "{failure}");
    assert_eq!(failure.line("rules.js"), Some(2), "{failure}");
    let error = load("const x = 1;\nthrow new Error('on purpose');").unwrap_err();
    println!("{error}");
    let RulesError::Start(failure) = error else { panic!("{error}") };
    assert!(failure.text.contains("on purpose"), "{failure}");
    assert_eq!(failure.line("rules.js"), Some(2), "{failure}");
    let error = load("import { x } from './other.js';").unwrap_err();
    println!("{error}");
    let error = load("export const access = { admitt: () => ({ tag: 'default' }) };").unwrap_err();
    assert!(error.to_string().contains("access.admit is not a function"), "{error}");
    assert!(matches!(load("const nothing = 1;"), Err(RulesError::Empty)));
}
