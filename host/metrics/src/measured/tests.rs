//! No method of a trait is forgotten: one with a default would run without its driver.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, fs, path::Path};

/// The methods of the last trait, or of all implementations, in a file.
fn methods(file: &str, from: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (_, text) = text.split_once(from).unwrap();
    let after_fn = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))
    });
    after_fn.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn every_method_of_a_storage_is_passed_on() {
    let (of_trait, passed) = (
        methods("../storage/src/lib.rs", "pub trait Storage"),
        methods("src/measured/storage.rs", "measured! {"),
    );
    assert!(of_trait.len() > 15, "{of_trait:?}");
    assert_eq!(of_trait, passed);
}

#[test]
fn every_method_of_an_index_is_passed_on() {
    let (of_trait, passed) =
        (methods("../index/src/lib.rs", "pub trait Index"), methods("src/measured/index.rs", "measured! {"));
    assert!(of_trait.len() > 40, "{of_trait:?}");
    assert_eq!(of_trait, passed);
}

#[test]
fn every_method_of_a_catalogue_is_passed_on() {
    let (of_trait, passed) = (
        methods("../index/src/catalogue.rs", "pub trait Catalogue"),
        methods("src/measured/catalogue.rs", "impl Catalogue for MeasuredIndex"),
    );
    assert!(of_trait.len() > 6, "{of_trait:?}");
    assert_eq!(of_trait, passed);
}
