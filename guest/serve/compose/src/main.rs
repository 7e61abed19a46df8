//! `larder-serve-compose FOLDER`: writes `larder-serve.wasm` and its three parts.

use std::path::PathBuf;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    larder_serve_compose::write(&folder.context("usage: larder-serve-compose FOLDER")?)
}
