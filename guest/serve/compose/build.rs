//! Builds the three parts from source.

#[path = "../../../host/build/component.rs"]
mod component;

fn main() -> anyhow::Result<()> {
    for watched in [
        "../provider",
        "../edge",
        "../wit",
        "../../src",
        "../../component",
        "../../Cargo.toml",
        "../../../host/src/auth",
        "../../../host/build",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={watched}");
    }
    component::build("larder-serve-provider", "provider.wasm")?;
    component::build("larder-guest", "policy.wasm")?;
    component::build("larder-serve-edge", "edge.wasm")
}
