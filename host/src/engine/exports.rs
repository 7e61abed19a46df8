//! The functions that a component exports, with the types of its version of the world.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, Lift, Lower, TypedFunc,
    types::ComponentItem,
};

use super::World;
use crate::{
    interfaces::{
        answers::{Explained, Ids, Response, Selection, Tiers, Verdicts},
        bindings::{
            exports::larder::cache::{explain, retention},
            larder::cache::{index, types},
        },
        state::State,
        v0_5,
    },
    log_throttle::Throttle,
};

/// Where a component has its exports. The same for all of its instances.
#[derive(Clone)]
pub(super) struct ExportPlaces {
    world: World,
    /// Whether it can ask all that rules decide about requests.
    pub(super) asks_rules: bool,
    handle: ComponentExportIndex,
    is_repeatable: ComponentExportIndex,
    select_entries: ComponentExportIndex,
    review_entries: ComponentExportIndex,
    review_uploads: ComponentExportIndex,
    room_tiers: ComponentExportIndex,
    make_room: ComponentExportIndex,
    explain: ComponentExportIndex,
}

/// The exports of an instance.
pub(super) struct Exports {
    /// Whether the component can ask all that rules decide about requests.
    pub(super) asks_rules: bool,
    /// Lines about requests that were refused because it cannot.
    pub(super) refusals: Throttle,
    pub(super) handle: Handle,
    pub(super) is_repeatable: TypedFunc<(String, String), (bool,)>,
    pub(super) select_entries: TypedFunc<(u64, Vec<index::Entry>), (Selection,)>,
    pub(super) review_entries: TypedFunc<(u64, Vec<retention::Candidate>, retention::Roots), (Verdicts,)>,
    pub(super) review_uploads: TypedFunc<(u64, Vec<index::Upload>), (Ids,)>,
    pub(super) room_tiers: TypedFunc<(retention::RoomNeeded,), (Tiers,)>,
    pub(super) make_room: TypedFunc<(u64, retention::RoomNeeded, Vec<retention::Candidate>), (Ids,)>,
    pub(super) explain: Explain,
}

/// `handler.handle`.
#[derive(Clone, Copy)]
pub(super) enum Handle {
    V0_5(TypedFunc<(v0_5::Request,), (v0_5::Response,)>),
    V0_6(TypedFunc<(types::Request,), (Response,)>),
}

/// `explain.explain`.
#[derive(Clone, Copy)]
pub(super) enum Explain {
    V0_5(TypedFunc<(u64, explain::Query), (v0_5::Explained,)>),
    V0_6(TypedFunc<(u64, explain::Query), (Explained,)>),
}

impl ExportPlaces {
    /// Finds the exports of a component.
    ///
    /// # Errors
    /// When one is missing.
    pub(super) fn of(component: &Component, world: World) -> wasmtime::Result<Self> {
        let place = |interface: &str, name: &str| {
            let interface = world.interface(interface);
            let instance = component.get_export_index(None, &interface);
            let function = instance.and_then(|instance| component.get_export_index(Some(&instance), name));
            function.ok_or_else(|| wasmtime::format_err!("no export `{name}` of `{interface}`"))
        };
        Ok(Self {
            world,
            asks_rules: asks_rules(component),
            handle: place("handler", "handle")?,
            is_repeatable: place("handler", "is-repeatable")?,
            select_entries: place("retention", "select-entries")?,
            review_entries: place("retention", "review-entries")?,
            review_uploads: place("retention", "review-uploads")?,
            room_tiers: place("retention", "room-tiers")?,
            make_room: place("retention", "make-room")?,
            explain: place("explain", "explain")?,
        })
    }

    /// Returns the exports of an instance of the component.
    ///
    /// # Errors
    /// When one has other types than those of its version of the world.
    pub(super) fn load(
        &self,
        store: &mut wasmtime::Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports> {
        let (handle, explain) = match self.world {
            World::V0_5 => (
                Handle::V0_5(typed(store, instance, &self.handle)?),
                Explain::V0_5(typed(store, instance, &self.explain)?),
            ),
            World::V0_6 => (
                Handle::V0_6(typed(store, instance, &self.handle)?),
                Explain::V0_6(typed(store, instance, &self.explain)?),
            ),
        };
        Ok(Exports {
            asks_rules: self.asks_rules,
            refusals: Throttle::default(),
            handle,
            is_repeatable: typed(store, instance, &self.is_repeatable)?,
            select_entries: typed(store, instance, &self.select_entries)?,
            review_entries: typed(store, instance, &self.review_entries)?,
            review_uploads: typed(store, instance, &self.review_uploads)?,
            room_tiers: typed(store, instance, &self.room_tiers)?,
            make_room: typed(store, instance, &self.make_room)?,
            explain,
        })
    }
}

/// Returns whether a component imports the questions about what is restored and what is saved. Entries that
/// rules gave a lifetime to are a matter of both.
fn asks_rules(component: &Component) -> bool {
    let (engine, ty) = (component.engine(), component.component_type());
    let rules = ty.get_import(engine, &World::NEWEST.interface("rules"));
    match rules.map(|rules| rules.ty) {
        Some(ComponentItem::ComponentInstance(rules)) => {
            ["judge-hit", "judge-save"].iter().all(|question| rules.get_export(engine, question).is_some())
        }
        _ => false,
    }
}

fn typed<P, R>(
    store: &mut wasmtime::Store<State>,
    instance: &Instance,
    place: &ComponentExportIndex,
) -> wasmtime::Result<TypedFunc<P, R>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    instance.get_typed_func(store, place)
}
