//! Builds the hostile policy component.

#[path = "../host/build/component.rs"]
mod component;

fn main() -> anyhow::Result<()> {
    for watched in ["hostile", "build.rs", "../host/build"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    component::build("larder-hostile-guest", "hostile.wasm")
}
