//! What a question costs, as text. Ignored, because figures of a busy machine say nothing:
//! `cargo test --release --workspace --test rules_cost -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use larder_rules::{Asker, Caller, Entry, Interface, Limits, Member, Rules, Save, Scope, Session, Source};

const RUST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile-rules.wasm"));

const JAVASCRIPT: &str = "
const value = (pairs, name) => pairs.find(([key]) => key === name)?.[1];
export const access = { admit: ({ claims }) => (value(claims, 'event_name') === 'x' ? { tag: 'deny', val: 'x' } : { tag: 'default' }) };
export const restore = { judgeHit: ({ claims }, { provenance }) =>
  value(claims, 'workflow') === 'release' && value(provenance, 'ref_protected') !== 'true' ? { tag: 'skip', val: 'no' } : { tag: 'accept' } };
export const save = { judgeSave: ({ claims }) => (value(claims, 'event_name') === 'x' ? { tag: 'refuse', val: 'x' } : { tag: 'default' }) };
export const retention = { judge: (members) => members.map(({ place }) => (place >= 3 ? { tag: 'remove', val: 'newest-3' } : { tag: 'default' })) };";

/// Pages of 1,000 entries that stand for a sweep.
const SWEPT_PAGES: u32 = 100;

/// CPU time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// The median of five rounds of `count` calls, for one call.
fn median(count: u32, mut call: impl FnMut()) -> Duration {
    let mut rounds: Vec<Duration> = (0..5)
        .map(|_| {
            let began = Instant::now();
            (0..count).for_each(|_| call());
            began.elapsed() / count
        })
        .collect();
    rounds.sort();
    rounds[2]
}

fn pairs(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), "some-value".to_owned())).collect()
}

fn print(language: &str, rules: &Arc<Rules>) {
    let names = ["actor", "event_name", "ref", "ref_protected", "repository", "workflow"];
    let scope = Scope { name: "refs/heads/main".to_owned(), read: true, write: true };
    let caller = Caller {
        repository: "github:1".to_owned(),
        scopes: vec![scope],
        claims: pairs(&names),
        client: "@actions/cache-4.0.3".to_owned(),
    };
    let key = "npm-linux-x64-0123456789abcdef".to_owned();
    let entry = Entry { key: key.clone(), provenance: pairs(&names), ..Entry::default() };
    let save = Save { key, version: "v".repeat(64), size_kib: Some(7) };
    let page: Vec<Member> =
        (0..1000).map(|place| Member { entry: entry.clone(), place: Some(place % 7) }).collect();
    let asker = Asker::new(Limits::default());
    asker.exchange(Some(rules.clone()));
    let rows = [
        ("admit, a fresh instance", median(50, || drop(asker.admit(&caller).unwrap()))),
        ("judge-hit", median(2000, || drop(asker.judge_hit(&caller, &entry).unwrap()))),
        ("judge-save", median(2000, || drop(asker.judge_save(&caller, &save).unwrap()))),
        ("judge, a page of 1,000", median(20, || drop(asker.judge(&page, |_| None).unwrap()))),
    ];
    for (question, took) in rows {
        println!("{language:<12} {question:<26} {:>9.1} µs", took.as_nanos() as f64 / 1000.0);
    }
    // With the first question of a thread, whose instance is made anew.
    let exchanged = median(50, || {
        asker.exchange(Some(rules.clone()));
        drop(asker.judge_hit(&caller, &entry).unwrap());
    });
    println!("{language:<12} {:<26} {:>9.1} µs", "an exchange", exchanged.as_nanos() as f64 / 1000.0);
    // Groups and verdicts, in pages.
    let entries: Vec<Entry> = page.iter().map(|member| member.entry.clone()).collect();
    let before = cpu_time();
    for _ in 0..SWEPT_PAGES {
        drop(asker.group(&entries).unwrap());
        drop(asker.judge(&page, |_| None).unwrap());
    }
    let of_a_million = (cpu_time() - before).as_secs_f64() * 1000.0 / f64::from(SWEPT_PAGES);
    println!("{language:<12} {:<26} {of_a_million:>9.2} s of CPU", "a sweep of a million");
    // What a shadow costs the one who asks: the question and the answer are copied and handed over, or dropped
    // once as many wait as may.
    let built_in = Asker::new(Limits::default());
    built_in.set_shadow(Some(rules.clone()), 100).unwrap();
    let offered = median(200, || drop(built_in.judge_hit(&caller, &entry).unwrap()));
    let full = median(20_000, || drop(built_in.judge_hit(&caller, &entry).unwrap()));
    for (question, took) in [("offered to a shadow", offered), ("offered to a full one", full)] {
        println!("{language:<12} {question:<26} {:>9.1} µs", took.as_nanos() as f64 / 1000.0);
    }
    println!("{language:<12} {:?}", built_in.shadow_status().map(|of| (of.offered, of.answered, of.dropped)));
    let mut session = Session::new(rules.clone(), Limits::default());
    session.judge_hit(&caller, &entry).unwrap();
    println!("{language:<12} {:<26} {:>9} KiB", "memory of an instance", session.memory_bytes() / 1024);
}

#[test]
#[ignore = "a measurement"]
fn what_a_question_costs() {
    let none = Asker::default();
    println!(
        "{:<12} {:<26} {:>9.4} µs",
        "no rules",
        "",
        median(1_000_000, || {
            std::hint::black_box(none.is_asked(Interface::Restore));
        })
        .as_nanos() as f64
            / 1000.0
    );
    let rust = Source::Component { bytes: RUST.to_vec(), name: "rust".to_owned() };
    print("Rust", &Rules::load(rust, None).unwrap());
    let compiled = tempfile::TempDir::new().unwrap();
    for what in ["compiled", "from the file"] {
        let script = Source::Script { text: JAVASCRIPT.to_owned(), name: "rules.js".to_owned() };
        let began = Instant::now();
        let rules = Rules::load(script, Some(compiled.path())).unwrap();
        println!("{:<12} load, {what:<20} {:>9.1} ms", "JavaScript", began.elapsed().as_secs_f64() * 1000.0);
        if what == "from the file" {
            print("JavaScript", &rules);
        }
    }
}
