#![expect(clippy::unwrap_used, reason = "tests")]

use http::{HeaderMap, HeaderValue};

use super::{Parent, state};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
    values.iter().map(|value| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

fn parent(field: &str) -> Option<Parent> {
    Parent::of(&headers("traceparent", &[field]))
}

#[test]
fn a_parent_is_read_with_its_flag() {
    let sampled = parent(&format!("00-{TRACE}-b7ad6b7169203331-01")).unwrap();
    assert_eq!((sampled.trace_id[0], sampled.span_id[7], sampled.is_sampled), (0x0a, 0x31, true));
    assert!(!parent(&format!("00-{TRACE}-b7ad6b7169203331-00")).unwrap().is_sampled);
    // A later version may have more.
    assert!(parent(&format!("01-{TRACE}-b7ad6b7169203331-03-more")).unwrap().is_sampled);
}

#[test]
fn what_is_malformed_is_no_parent() {
    for wrong in [
        "".to_owned(),
        format!("ff-{TRACE}-b7ad6b7169203331-01"),
        format!("00-{TRACE}-b7ad6b7169203331-01-more"),
        format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
        format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
        format!("00-{TRACE}-0000000000000000-01"),
        format!("00-{TRACE}-b7ad6b7169203331"),
        format!("00-{TRACE}é-b7ad6b716920333-01"),
    ] {
        assert_eq!(
            Parent::of(&HeaderMap::from_iter([(
                "traceparent".parse().unwrap(),
                HeaderValue::from_bytes(wrong.as_bytes()).unwrap()
            )])),
            None,
            "{wrong}"
        );
    }
    let good = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(Parent::of(&headers("traceparent", &[&good, &good])), None);
}

#[test]
fn a_state_that_is_too_long_is_left_out() {
    assert_eq!(state(&headers("tracestate", &["a=1", "b=2"])), "a=1,b=2");
    assert_eq!(state(&headers("tracestate", &[&"x".repeat(513)])), "");
}
