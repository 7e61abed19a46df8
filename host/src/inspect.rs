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

    /// Returns the names of a component's imports, as the parts of it that they are.
    ///
    /// # Errors
    /// [`NotAComponent::Other`].
    pub(crate) fn import_names(component: &[u8]) -> Result<Vec<&str>, NotAComponent> {
        let mut names = Vec::new();
        for section in outermost(component) {
            let Payload::ComponentImportSection(section) = section.map_err(damaged)? else { continue };
            for import in section {
                names.push(import.map_err(damaged)?.name.name);
            }
        }
        Ok(names)
    }

    fn of_component(component: &[u8]) -> Result<Self, NotAComponent> {
        let imports = Self::import_names(component)?.into_iter().map(str::to_owned).collect();
        let mut exports = Vec::new();
        for section in outermost(component) {
            let Payload::ComponentExportSection(section) = section.map_err(damaged)? else { continue };
            for export in section {
                exports.push(export.map_err(damaged)?.name.name.to_owned());
            }
        }
        Ok(Self { imports, exports })
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

fn damaged(error: wasmparser::BinaryReaderError) -> NotAComponent {
    NotAComponent::Other(error.into())
}

/// Returns the sections of a component, and not those of components and modules inside of it.
fn outermost(component: &[u8]) -> impl Iterator<Item = wasmparser::Result<Payload<'_>>> {
    let mut depth = 0_u32;
    Parser::new(0).parse_all(component).filter(move |section| {
        let is_outermost = depth == 0;
        match section {
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            _ => {}
        }
        is_outermost || section.is_err()
    })
}

#[cfg(test)]
mod tests;
