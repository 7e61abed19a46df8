//! HTTP messages on their way between the server and the component. Their bytes stay in the host.
//!
//! `server/` makes requests and sends responses; `interfaces/` reads request bodies and makes response bodies; `engine/` passes
//! both on. Knows nothing of wasmtime or WIT.

mod body;
mod client_gone;
mod context;
mod outcome;
mod record;
mod response;
mod room;
mod ticket;

pub use body::RequestBody;
pub use client_gone::{ClientGone, ClientGuard};
pub use context::{ReplayBody, Request, RequestContext};
pub use outcome::Outcome;
pub use record::RequestRecord;
pub use response::{Outgoing, Response, error_response, unavailable};
pub use room::{Client, Full, Held, Kind, Room, RoomBounds, Usage};
pub use ticket::{ReadError, Rooms, Ticket};

#[cfg(test)]
mod tests;
