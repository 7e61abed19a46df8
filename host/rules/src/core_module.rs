//! Core modules become components: so rules in Rust are built with what every toolchain has
//! (`wasm32-unknown-unknown`), and need no other program.

use wit_component::ComponentEncoder;

use crate::failure::RulesError;

/// The first bytes of a core module: the magic number and the version. Those of a component differ.
const CORE: &[u8] = b"\0asm\x01\0\0\0";

/// Makes a component of a core module, in which `wit-bindgen` has left its world. Anything else stays as
/// it is.
///
/// # Errors
/// When there is no world in it, or it imports what no component does.
pub(crate) fn componentize(bytes: Vec<u8>) -> Result<Vec<u8>, RulesError> {
    if !bytes.starts_with(CORE) {
        return Ok(bytes);
    }
    let made = ComponentEncoder::default().module(&bytes).and_then(|encoder| encoder.validate(true).encode());
    made.map_err(|error| {
        RulesError::NotRules(format!("no component can be made of this core module: {error:#}"))
    })
}
