//! Builds the policy component from `guest/component` and puts it into the program.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]

#[path = "build/component.rs"]
mod component;

fn main() -> anyhow::Result<()> {
    for watched in ["../guest/src", "../guest/component", "../guest/Cargo.toml", "build.rs", "build"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    component::build("larder-guest", "guest.wasm")
}
