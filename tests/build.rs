//! Builds the policy of an earlier world, the hostile policy, the hostile rules, and the policies of the examples.

#[path = "../host/build/component.rs"]
mod component;

fn main() -> anyhow::Result<()> {
    for watched in [
        "hostile",
        "hostile-rules",
        "older-policy",
        "../examples/policies",
        "../guest/src",
        "build.rs",
        "../host/build",
    ] {
        println!("cargo::rerun-if-changed={watched}");
    }
    component::build("larder-hostile-guest", "hostile.wasm")?;
    component::build("larder-older-policy", "older-policy.wasm")?;
    component::build("larder-policy-http-cache", "http-cache.wasm")?;
    component::build("larder-policy-staged-move", "staged-move.wasm")?;
    component::build("larder-hostile-rules", "hostile-rules.wasm")
}
