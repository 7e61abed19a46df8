//! Builds the hostile policy component, and the hostile rules.

#[path = "../host/build/component.rs"]
mod component;

fn main() -> anyhow::Result<()> {
    for watched in ["hostile", "hostile-rules", "build.rs", "../host/build"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    component::build("larder-hostile-guest", "hostile.wasm")?;
    component::build("larder-hostile-rules", "hostile-rules.wasm")
}
