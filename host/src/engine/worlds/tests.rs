#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use larder_common::causes::chain;
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve, SourceMap};

use super::*;
use crate::{
    engine::{Engine, InstanceLimits, LoadError, Policy, TICK},
    testing::tenant,
};

/// The folder of a world below `wit/`.
fn folder(world: World) -> &'static str {
    if world == World::NEWEST { "." } else { world.version() }
}

fn wit(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit").join(folder)
}

/// Makes a component that imports and exports all that a world has, whose functions trap. `edit` changes the
/// texts of the world.
fn component(world: World, edit: impl Fn(&str) -> String) -> Vec<u8> {
    let mut resolve = Resolve::default();
    for dependency in ["deps/clocks", "deps/random"] {
        resolve.push_dir(wit(dependency)).unwrap();
    }
    let mut texts = SourceMap::default();
    for file in fs::read_dir(wit(folder(world))).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            texts.push_str(path.to_str().unwrap(), edit(&fs::read_to_string(&path).unwrap()));
        }
    }
    let package = resolve.push_group(texts.parse().map_err(|(_, error)| error).unwrap()).unwrap();
    let world = resolve.select_world(&[package], Some("cache")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn load(component: &[u8]) -> Result<Policy, LoadError> {
    Engine::start(TICK).unwrap().load(component, None, InstanceLimits::default())
}

/// Why an instance of a component that was loaded does not start.
async fn failure(component: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    let probed = load(component).unwrap().probe(&tenant(folder.path())).await;
    chain(&probed.unwrap_err()).to_string()
}

/// All imports are there, and all exports have the types that the host expects: its first call traps.
#[tokio::test]
async fn each_world_is_taken_whole() {
    for world in World::ALL {
        let why = failure(&component(world, str::to_owned)).await;
        assert!(why.contains("wasm `unreachable` instruction executed"), "{world}: {why}");
    }
}

#[tokio::test]
async fn imports_and_exports_of_other_types_are_found() {
    for world in World::ALL {
        let other_import =
            component(world, |text| text.replace("sign: func(text: string)", "sign: func(text: u64)"));
        let Err(error) = load(&other_import) else { panic!("{world}: an import of another type") };
        assert!(
            matches!(&error, LoadError::World { made_for, .. } if *made_for == world.to_string()),
            "{error}"
        );
        let other_export = component(world, |text| text.replace("received-ms: u64", "received-ms: u32"));
        let why = failure(&other_export).await;
        assert!(why.contains("type mismatch"), "{world}: {why}");
    }
}

#[test]
fn worlds_before_the_oldest_are_refused_by_their_version() {
    for version in ["0.4.0", "0.7.0", "1.0.0"] {
        let other = component(World::OLDEST, |text| text.replace("@0.5.0", &format!("@{version}")));
        let Err(error) = load(&other) else { panic!("{version} was taken") };
        assert_eq!(
            error.to_string(),
            format!("the component is made for larder:cache@{version}; this server takes 0.5.0 to 0.6.0")
        );
    }
}

#[test]
fn only_who_imports_both_questions_asks_rules() {
    let asks = World::ALL.map(|world| load(&component(world, str::to_owned)).unwrap().asks_rules());
    assert_eq!(asks, [false, true]);
    for question in ["judge-hit: async func", "judge-save: func"] {
        let without = component(World::NEWEST, |text| {
            let Some((before, after)) = text.split_once(question) else { return text.to_owned() };
            let (_, after) = after.split_once(';').unwrap();
            format!("{before}other: func();{after}")
        });
        // It imports what there is not.
        assert!(matches!(load(&without), Err(LoadError::World { .. })), "{question}");
        let without = component(World::NEWEST, |text| {
            let Some((before, after)) = text.split_once(question) else { return text.to_owned() };
            format!("{before}{}", after.split_once(';').unwrap().1)
        });
        assert!(!load(&without).unwrap().asks_rules(), "{question}");
    }
}
