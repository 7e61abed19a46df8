//! Composes provider, policy and edge to one component, which a stock `wasmtime serve` runs.
//!
//! provider ← policy ← edge, and provider ← edge: what a part imports of `larder:cache` and
//! `larder:serve` comes from the provider, but for the policy's own exports. What is left are imports
//! of WASI.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, types::Package};

/// The provider, as a component.
pub const PROVIDER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/provider.wasm"));
/// The policy: the same component that is in the native server.
pub const POLICY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/policy.wasm"));
/// The edge, as a component.
pub const EDGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/edge.wasm"));

/// The name of the composition's file.
pub const COMPOSED_FILE: &str = "larder-serve.wasm";
/// What the composition exports.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// A part in the graph.
struct Part {
    instance: NodeId,
    imports: Vec<String>,
    exports: Vec<String>,
}

/// Composes the three parts.
///
/// # Errors
/// When a part is no component, or lacks an export that another one needs.
pub fn compose(provider: &[u8], policy: &[u8], edge: &[u8]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let provider = add(&mut graph, "larder:provider", provider)?;
    let policy = add(&mut graph, "larder:policy", policy)?;
    let edge = add(&mut graph, "larder:edge", edge)?;
    link(&mut graph, &policy, &[&provider])?;
    link(&mut graph, &edge, &[&policy, &provider])?;
    let handler = graph.alias_instance_export(edge.instance, HANDLER)?;
    graph.export(handler, HANDLER)?;
    graph.encode(EncodeOptions::default()).context("encoding the composition")
}

fn add(graph: &mut CompositionGraph, name: &str, component: &[u8]) -> Result<Part> {
    let package = Package::from_bytes(name, None, component.to_vec(), graph.types_mut())
        .with_context(|| format!("reading {name}"))?;
    let world = &graph.types()[package.ty()];
    let imports = world.imports.keys().cloned().collect();
    let exports = world.exports.keys().cloned().collect();
    let package = graph.register_package(package)?;
    Ok(Part { instance: graph.instantiate(package), imports, exports })
}

/// Links what a part imports and is not WASI's: to the first of `sources` that exports it.
fn link(graph: &mut CompositionGraph, part: &Part, sources: &[&Part]) -> Result<()> {
    for name in part.imports.iter().filter(|name| name.starts_with("larder:")) {
        let source = sources.iter().find(|source| source.exports.contains(name));
        let source = source.with_context(|| format!("nobody exports {name}"))?;
        let export = graph.alias_instance_export(source.instance, name)?;
        graph.set_instantiation_argument(part.instance, name, export)?;
    }
    Ok(())
}

/// Writes the composition and its three parts to a folder.
///
/// # Errors
/// When they cannot be composed, or the folder cannot be written to.
pub fn write(folder: &Path) -> Result<()> {
    let composed = compose(PROVIDER, POLICY, EDGE)?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let files = [
        ("larder-provider.wasm", PROVIDER),
        ("larder-policy.wasm", POLICY),
        ("larder-edge.wasm", EDGE),
        (COMPOSED_FILE, &composed),
    ];
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
