use std::{fmt, io};

use super::*;

/// An error with a text and a cause.
#[derive(Debug)]
struct Told(&'static str, Option<Box<Told>>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|cause| cause as &dyn Error)
    }
}

fn told(texts: &[&'static str]) -> Told {
    Told(texts[0], (texts.len() > 1).then(|| told(&texts[1..]).into()))
}

#[test]
fn a_chain_has_all_causes() {
    assert_eq!(chain(&told(&["alone"])), "alone");
    assert_eq!(chain(&told(&["no entry", "no row", "no disk"])), "no entry: no row: no disk");
}

#[test]
fn what_an_error_repeats_of_its_causes_stands_once() {
    assert_eq!(chain(&told(&["no entry: no disk", "no disk"])), "no entry: no disk");
    assert_eq!(
        chain(&told(&["no entry", "no disk", "no disk", "", "no power"])),
        "no entry: no disk: no power"
    );
}

#[test]
fn a_cause_is_found_by_its_type() {
    let wrapped = io::Error::other(io::Error::other(told(&["a", "b"])));
    assert!(causes(&wrapped).any(<dyn Error>::is::<Told>));
    assert!(!causes(&told(&["a", "b"])).any(<dyn Error>::is::<io::Error>));
}
