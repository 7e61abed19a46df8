use std::collections::BTreeSet;

use super::{from_env, load};
use crate::config::{Settings, effective::each_setting};

/// The example file with every setting switched on.
fn example() -> String {
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ") && *line != "#";
    let text = include_str!("../../../../examples/larder.toml");
    text.lines().map(|line| if is_setting(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

fn names(table: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    each_setting(table, &mut String::new(), &mut |name, _| {
        names.insert(name.to_owned());
    });
    names
}

#[test]
fn the_example_states_the_defaults() {
    let stated = load(&example(), &[]).unwrap();
    assert_eq!(format!("{:#?}", stated.settings), format!("{:#?}", from_env(&[]).unwrap().settings));
}

#[test]
fn the_example_has_every_setting() {
    let stated = toml::from_str(&example()).unwrap();
    let all = toml::Table::try_from(Settings::default()).unwrap();
    assert_eq!(names(&stated), names(&all));
}

#[test]
fn the_example_is_valid_as_it_is() {
    load(include_str!("../../../../examples/larder.toml"), &[]).unwrap();
}

#[test]
fn the_example_names_every_variable() {
    let text = include_str!("../../../../examples/larder.toml");
    let missing: Vec<_> = crate::config::env::VARIABLES
        .iter()
        .filter(|(name, ..)| !text.contains(name))
        .map(|(name, ..)| name)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
