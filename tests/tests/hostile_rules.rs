//! Rules that misbehave: each answer that is not one is a failure of its kind, and the next question is
//! answered.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fmt::Debug, sync::Arc, time::Duration};

use larder_rules::{
    Admission, Asker, Caller, Entry, Failure,
    FailureKind::{self, Deadline, InvalidAnswer, Memory, Resting, Trap},
    Hit, Interface, Limits, Member, RetentionVerdict, Rules, Save, SaveVerdict, Scope, Session, Source,
};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile-rules.wasm"));

fn rules() -> Arc<Rules> {
    let source = Source::Component { bytes: HOSTILE.to_vec(), name: "hostile".to_owned() };
    Rules::load(source, None).unwrap()
}

fn session() -> Session {
    Session::new(rules(), Limits::default())
}

/// One whose time is not the first limit that is met, on a busy machine either.
fn patient() -> Session {
    Session::new(rules(), Limits { request: Duration::from_secs(10), ..Limits::default() })
}

fn caller(repository: &str) -> Caller {
    let main = Scope { name: "refs/heads/main".to_owned(), read: true, write: false };
    Caller { repository: repository.to_owned(), scopes: vec![main], ..Caller::default() }
}

fn save(key: &str) -> Save {
    Save { key: key.to_owned(), ..Save::default() }
}

fn entry(key: &str) -> Entry {
    Entry { key: key.to_owned(), ..Entry::default() }
}

fn page(key: &str) -> Vec<Entry> {
    vec![entry(key); 1000]
}

fn members(key: &str) -> Vec<Member> {
    page(key).into_iter().map(|entry| Member { entry, place: Some(1) }).collect()
}

/// How a question failed, and with which text.
fn failure<T: Debug>(answer: Result<T, Failure>) -> (FailureKind, String) {
    let failure = answer.unwrap_err();
    (failure.kind, failure.text)
}

#[test]
fn all_four_interfaces_are_there_and_nothing_is_imported() {
    let rules = rules();
    assert_eq!(rules.interfaces().iter().copied().collect::<Vec<_>>(), Interface::ALL);
    // A type-only import is none.
    let imports: Vec<_> =
        rules.imports().iter().filter(|name| !name.starts_with("larder:rules/types")).collect();
    assert!(imports.is_empty(), "{imports:?}");
    assert_eq!(rules.digest().len(), 64);
}

#[test]
fn what_breaks_costs_the_instance_and_nothing_else() {
    let (kind, text) = failure(patient().judge_save(&Caller::default(), &save("memory")));
    assert_eq!((kind, text.contains("more memory than rules may have")), (Memory, true), "{text}");
    let mut session = session();
    let cases = [
        ("trap", Trap, "unreachable"),
        ("recurse", Trap, "call stack exhausted"),
        ("spin", Deadline, "more than 20 ms of CPU time"),
    ];
    for (key, kind, text) in cases {
        let (is, says) = failure(session.judge_save(&Caller::default(), &save(key)));
        assert_eq!(is, kind, "{key}: {says}");
        assert!(says.contains(text), "{key}: {says}");
        assert_eq!(session.memory_bytes(), 0, "{key}");
        assert_eq!(session.judge_save(&Caller::default(), &save("fine")), Ok(SaveVerdict::Default));
    }
}

#[test]
fn answers_that_break_the_bounds_are_refused() {
    let mut session = patient();
    let bad = |(kind, text): (FailureKind, String), means: &str| {
        assert_eq!(kind, InvalidAnswer, "{means}: {text}");
        assert!(text.contains(means), "{means}: {text}");
    };
    let mut admit = |repository: &str| failure(session.admit(&caller(repository)));
    bad(admit("foreign-scope"), "does not have");
    bad(admit("more-than-the-token"), "more than it may do");
    bad(admit("a-scope-twice"), "twice");
    bad(admit("a-million-scopes"), "exhausted");
    bad(admit("no-reason"), "a reason is not");
    let mut judge_save = |key: &str| failure(session.judge_save(&caller("r"), &save(key)));
    bad(judge_save("lifetime"), "a lifetime below");
    bad(judge_save("label-name"), "the name of a label");
    bad(judge_save("label-value"), "control character");
    bad(judge_save("label-twice"), "named twice");
    bad(judge_save("many-labels"), "more than 8");
    let mut judge_hit = |key: &str| failure(session.judge_hit(&caller("r"), &entry(key)));
    bad(judge_hit("long"), "exhausted");
    bad(judge_hit("reason"), "a reason is not");
    bad(judge_hit("control"), "a reason is not");
    bad(failure(session.group(&page("few"))), "0 answers to 1000 questions");
    bad(failure(session.group(&page("many"))), "exhausted");
    bad(failure(session.group(&page("long"))), "1,024 bytes");
    bad(failure(session.judge(&members("few"))), "0 answers to 1000 questions");
    bad(failure(session.judge(&members("no-rule"))), "the text of `remove`");
    bad(failure(session.judge(&members("long"))), "the text of `remove`");
    bad(failure(session.rank(&page("few"))), "0 answers to 1000 questions");
    bad(failure(session.rank(&page("nan"))), "NaN");
    assert_eq!(session.rank(&page("fine")), Ok(vec![0.0; 1000]));
    assert_eq!(session.judge_hit(&caller("r"), &entry("fine")), Ok(Hit::Accept));
}

#[test]
fn a_page_may_take_longer_than_a_question_of_a_request_but_not_for_ever() {
    let limits = Limits { page: Duration::from_millis(60), ..Limits::default() };
    let mut session = Session::new(rules(), limits);
    let (kind, text) = failure(session.group(&page("spin")));
    assert_eq!((kind, text.contains("60 ms")), (Deadline, true), "{text}");
}

#[test]
fn admit_always_asks_a_fresh_instance() {
    let mut session = session();
    for _ in 0..3 {
        let first = Admission::Deny("call 1".to_owned());
        assert_eq!(session.admit(&caller("remember")), Ok(first));
    }
    for call in ["call 1", "call 2"] {
        let said = SaveVerdict::Refuse(call.to_owned());
        assert_eq!(session.judge_save(&caller("r"), &save("remember")), Ok(said));
    }
}

#[test]
fn rules_that_spin_rest_for_this_interface_alone() {
    let asker = Asker::new(Limits::default());
    assert_eq!(failure(asker.judge_save(&caller("r"), &save("fine"))).0, FailureKind::NotExported);
    asker.exchange(Some(rules()));
    for _ in 0..3 {
        assert_eq!(failure(asker.judge_save(&caller("r"), &save("spin"))).0, Deadline);
    }
    assert_eq!(failure(asker.judge_save(&caller("r"), &save("fine"))).0, Resting);
    assert_eq!(asker.judge_hit(&caller("r"), &entry("fine")), Ok(Hit::Accept));
    let status = asker.status().unwrap();
    let save_status = &status.interfaces[Interface::Save as usize];
    assert_eq!((save_status.asked, save_status.failed, save_status.rested), (3, 3, 1));
    assert!(save_status.rests_ms.is_some() && save_status.last_failure.is_some(), "{save_status:?}");
    // Others that are put in force do not pay for it.
    let generation = asker.generation();
    assert!(asker.exchange(Some(rules())).is_some());
    assert_ne!(asker.generation(), generation);
    assert_eq!(asker.judge_save(&caller("r"), &save("fine")), Ok(SaveVerdict::Default));
}

#[test]
fn who_makes_a_rule_throw_does_not_silence_it_for_others() {
    let asker = Asker::new(Limits::default());
    asker.exchange(Some(rules()));
    // The first one starts an instance, too.
    for _ in 0..20 {
        assert_eq!(failure(asker.judge_save(&caller("r"), &save("trap"))).0, Trap);
    }
    assert_eq!(asker.judge_save(&caller("r"), &save("fine")), Ok(SaveVerdict::Default));
}

#[test]
fn in_the_shadow_they_change_no_answer_and_what_waits_for_them_is_bounded() {
    let asker = Asker::new(Limits::default());
    asker.set_shadow(Some(rules()), 100).unwrap();
    let questions = ["trap", "spin", "recurse", "memory", "lifetime", "many-labels", "fine"];
    for turn in 0..2000 {
        // The expensive ones first; more would only take long.
        let key = questions.get(turn).copied().unwrap_or("trap");
        assert_eq!(asker.judge_save(&caller("r"), &save(key)), Ok(SaveVerdict::Default), "{key}");
    }
    for key in ["few", "many", "long", "spin"] {
        let none = vec![None; 1000];
        assert_eq!(asker.group(&page(key)), Ok(none));
        let _ = asker.shadow_group(&page(key));
        let kept = vec![RetentionVerdict::Default; 1000];
        assert_eq!(asker.judge(&members(key), |_| None), Ok(kept));
    }
    // The first of them takes a whole 64 MiB or 20 ms: more come than are answered.
    let status = asker.shadow_status().unwrap();
    assert_eq!(status.offered, 2004);
    assert!(status.dropped > 0 && status.offered - status.dropped - status.answered <= 1024, "{status:?}");
    let began = std::time::Instant::now();
    let settled = loop {
        let status = asker.shadow_status().unwrap();
        if status.answered + status.dropped == status.offered {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(300), "{status:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(settled.rules.interfaces.iter().any(|of| of.failed > 0), "{settled:?}");
    assert!(settled.examples.len() <= 100 && settled.differ > 0, "{settled:?}");
}

#[test]
fn questions_on_many_threads_are_answered_while_rules_are_exchanged() {
    let asker = Asker::new(Limits::default());
    let (one, other) = (rules(), rules());
    asker.exchange(Some(one.clone()));
    std::thread::scope(|scope| {
        let ask = || {
            (0..2000).for_each(|_| assert_eq!(asker.judge_hit(&caller("r"), &entry("k")), Ok(Hit::Accept)));
        };
        let threads = [scope.spawn(ask), scope.spawn(ask)];
        for turn in 0..200 {
            asker.exchange(Some(if turn % 2 == 0 { other.clone() } else { one.clone() }));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
