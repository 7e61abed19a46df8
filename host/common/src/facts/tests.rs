#![allow(clippy::unwrap_used, reason = "tests")]

use super::{
    CLAIMS, Facts, InvalidFact, LIFETIME, MAX_FACTS, MAX_NAME_BYTES, MAX_TOTAL_BYTES, MAX_VALUE_BYTES,
};

fn facts(pairs: &[(&str, &str)]) -> Result<Facts, InvalidFact> {
    Facts::try_from(pairs)
}

#[test]
fn the_order_of_adding_does_not_matter() {
    let made = facts(&[("run_id", "7"), ("actor", "me=you"), ("run", "x y")]).unwrap();
    assert_eq!(made, facts(&[("run", "x y"), ("run_id", "7"), ("actor", "me=you")]).unwrap());
    let listed: Vec<_> = made.iter().collect();
    assert_eq!(listed, [("actor", "me=you"), ("run", "x y"), ("run_id", "7")]);
    assert_eq!((made.get("run_id"), made.get("run_"), made.get("")), (Some("7"), None, None));
    assert!(!made.is_empty() && Facts::default().is_empty());
}

#[test]
fn what_is_no_fact_changes_nothing() {
    let mut made = facts(&[("a", "1")]).unwrap();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for name in ["", "a", "a b", "a=b", "a\n", "ä", &long] {
        assert_eq!(made.insert(name, "1"), Err(InvalidFact::Name), "{name}");
    }
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    for value in ["", "a\nb", "\0", "\u{85}", "\r", &long] {
        assert_eq!(made.insert("b", value), Err(InvalidFact::Value), "{value:?}");
    }
    assert_eq!(made, facts(&[("a", "1")]).unwrap());
    made.insert(&"x".repeat(MAX_NAME_BYTES), &"ä".repeat(MAX_VALUE_BYTES / 2)).unwrap();
}

#[test]
fn number_and_sum_are_bounded() {
    let mut made = Facts::default();
    for number in 0..MAX_FACTS {
        made.insert(&format!("n{number}"), "1").unwrap();
    }
    assert_eq!(made.insert("more", "1"), Err(InvalidFact::TooMany));
    let mut made = Facts::default();
    for name in ["a", "b", "c"] {
        made.insert(name, &"x".repeat(MAX_VALUE_BYTES)).unwrap();
    }
    let left = MAX_TOTAL_BYTES - 3 * (MAX_VALUE_BYTES + 1) - 1;
    assert_eq!(made.insert("d", &"x".repeat(left + 1)), Err(InvalidFact::TooLong));
    made.insert("d", &"x".repeat(left)).unwrap();
    assert_eq!(made.insert("e", "x"), Err(InvalidFact::TooLong));
}

#[test]
fn what_rules_add_does_not_take_the_place_of_what_the_token_says() {
    let mut made = Facts::default();
    for number in 0..MAX_FACTS {
        made.insert(&format!("n{number}"), &"x".repeat(100)).unwrap();
        made.insert(&format!("label.n{number}"), &"x".repeat(100)).unwrap();
    }
    assert_eq!(made.insert("label.more", "1"), Err(InvalidFact::TooMany));
    assert_eq!(made.insert(LIFETIME, "60"), Err(InvalidFact::TooMany));
    let json = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), made);
}

#[test]
fn json_and_back() {
    for made in [
        Facts::default(),
        facts(&[("ref", "refs/heads/\"ä\\u{1f980}\""), ("run_id", "18446744073709551615")]).unwrap(),
    ] {
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&json).unwrap(), made, "{json}");
    }
    assert_eq!(
        serde_json::to_string(&facts(&[("b", "2"), ("a", "1")]).unwrap()).unwrap(),
        r#"{"a":"1","b":"2"}"#
    );
    for wrong in ["", "[]", "{\"a\":1}", "{\"a\":\"\"}", "{\"a b\":\"1\"}"] {
        assert!(serde_json::from_str::<Facts>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_claims_are_names_of_facts_and_fit_together() {
    let pairs = CLAIMS.map(|name| (name, "1"));
    assert_eq!(facts(&pairs).unwrap().iter().count(), CLAIMS.len());
}

#[test]
fn of_a_name_that_json_has_twice_the_last_value_counts_and_any_order_will_do() {
    let read = |json: &str| serde_json::from_str::<Facts>(json);
    let made = facts(&[("a", "1"), ("b", "3"), ("c", "x\"y")]).unwrap();
    for json in [
        r#"{"a":"1","b":"3","c":"x\"y"}"#,
        r#"{"b":"2","c":"x\u0022y","b":"4","a":"1","b":"3"}"#,
        r#" { "b" : "2" , "b" : "3", "\u0061": "1", "c":"x\"y" } "#,
    ] {
        assert_eq!(read(json).unwrap(), made, "{json}");
        assert_eq!(serde_json::from_reader::<_, Facts>(json.as_bytes()).unwrap(), made, "{json}");
    }
    let many: Vec<_> = (0..=MAX_FACTS).rev().map(|number| format!("\"n{number}\":\"1\"")).collect();
    assert!(read(&format!("{{{}}}", many.join(","))).is_err());
    assert!(read(&format!("{{{}}}", many[1..].join(","))).is_ok());
}
