//! The built-in component conforms to the world in `wit/`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::{collections::BTreeSet, path::Path};

use wit_component::DecodedWasm;
use wit_parser::{Resolve, WorldId, WorldItem, WorldKey};

fn names<'a>(
    resolve: &Resolve,
    items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> BTreeSet<String> {
    items.map(|(key, _)| resolve.name_world_key(key)).collect()
}

fn imports_and_exports(resolve: &Resolve, world: WorldId) -> (BTreeSet<String>, BTreeSet<String>) {
    let world = &resolve.worlds[world];
    (names(resolve, world.imports.iter()), names(resolve, world.exports.iter()))
}

fn described() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(&wit).expect("the world can be read");
    let world = resolve.packages[package].worlds["cache"];
    imports_and_exports(&resolve, world)
}

fn built(component: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component).expect("a component")
    else {
        panic!("not a component")
    };
    imports_and_exports(&resolve, world)
}

#[test]
fn the_component_exports_what_the_world_exports_and_imports_no_more_than_it_offers() {
    let (offered, wanted) = described();
    let (imports, exports) = built(larder::BUILT_IN_POLICY);
    assert_eq!(exports, wanted);
    let extra: Vec<_> = imports.difference(&offered).collect();
    assert!(extra.is_empty(), "imports that the world does not offer: {extra:?}");
    for needed in ["storage", "index", "auth", "http", "settings", "log", "types"] {
        let name = format!("larder:cache/{needed}@0.6.0");
        assert!(imports.contains(&name), "{name} is not used: the policy is not in the component");
    }
}
