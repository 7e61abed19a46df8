//! What a component says about itself, without compiling it.

use std::borrow::Cow;

use larder_rules::{
    compiled::{MAGIC, NO_MAGIC},
    core_module::{NoWorld, componentize},
};
use wasmparser::{Parser, Payload};

/// What a component imports and exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The names of its imports, in order.
    pub imports: Vec<String>,
    /// The names of its exports, in order.
    pub exports: Vec<String>,
}

/// These bytes are not a WebAssembly component.
#[derive(Debug, thiserror::Error)]
pub enum NotAComponent {
    /// A core module that says nothing of a world.
    #[error("a core module without a world: build it with `larder-policy`, or make a component of it")]
    Module(#[source] Option<NoWorld>),
    /// Damaged, or something else.
    #[error("not a WebAssembly component")]
    Other(#[source] anyhow::Error),
}

impl Inspection {
    /// Reads the names of a component's imports and exports; of a core module those of the component that
    /// is made of it.
    ///
    /// # Errors
    /// [`NotAComponent`].
    pub fn of(component: &[u8]) -> Result<Self, NotAComponent> {
        if !component.starts_with(MAGIC) {
            return Err(NotAComponent::Other(anyhow::anyhow!(NO_MAGIC)));
        }
        let made = componentize(component).map_err(|error| NotAComponent::Module(Some(error)))?;
        let found = Self::of_component(&made)?;
        if matches!(made, Cow::Owned(_)) && found.exports.is_empty() {
            return Err(NotAComponent::Module(None));
        }
        Ok(found)
    }

    fn of_component(component: &[u8]) -> Result<Self, NotAComponent> {
        let damaged = |error: wasmparser::BinaryReaderError| NotAComponent::Other(error.into());
        let mut found = Self::default();
        // Components and modules are nested: only the outermost one's are wanted.
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            match payload.map_err(damaged)? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        found.imports.push(import.map_err(damaged)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        found.exports.push(export.map_err(damaged)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Returns the version of a package, such as `larder:cache`, that it is made for.
    #[must_use]
    pub fn version_of(&self, package: &str) -> Option<&str> {
        let names = self.imports.iter().chain(&self.exports);
        names
            .filter(|name| name.starts_with(&format!("{package}/")))
            .find_map(|name| name.rsplit_once('@').map(|(_, version)| version))
    }
}

#[cfg(test)]
mod tests;
