//! Core modules become components: so rules and policies in Rust are built with what every toolchain has
//! (`wasm32-unknown-unknown`), and need no other program.

use std::borrow::Cow;

use wit_component::ComponentEncoder;

/// The first bytes of a core module: the magic number and the version. Those of a component differ.
const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// No component can be made of a core module: there is no world in it, or it imports what no component does.
#[derive(Debug, thiserror::Error)]
#[error("no component can be made of this core module: {0}")]
pub struct NoWorld(String);

/// Makes a component of a core module, in which `wit-bindgen` has left its world. Anything else stays as
/// it is.
///
/// # Errors
/// [`NoWorld`].
pub fn componentize(bytes: &[u8]) -> Result<Cow<'_, [u8]>, NoWorld> {
    if !bytes.starts_with(CORE) {
        return Ok(Cow::Borrowed(bytes));
    }
    let made = ComponentEncoder::default().module(bytes).and_then(|encoder| encoder.validate(true).encode());
    made.map(Cow::Owned).map_err(|error| NoWorld(format!("{error:#}")))
}
