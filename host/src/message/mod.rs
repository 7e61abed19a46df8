//! An HTTP message on its way between the server and the component: its bytes stay here.
//!
//! Used by `server/` (makes requests, sends responses) and by `interfaces/` (takes request bodies, makes response bodies).
//! Knows nothing of wasmtime or WIT.

mod body;
mod client_gone;
mod outcome;
mod record;
mod response;
mod room;
mod ticket;

pub use body::RequestBody;
pub use client_gone::{ClientGone, ClientGuard};
pub use outcome::Outcome;
pub use record::RequestRecord;
pub use response::{Outgoing, Response, error_response, unavailable};
pub use room::{Client, Full, Held, Kind, Room, RoomBounds, Usage};
pub use ticket::{ReadError, Rooms, Ticket};

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ::http::request::Parts;

/// A request, ready for a component.
pub struct Request {
    /// Where clients reach this server: scheme and authority.
    pub origin: String,
    /// When its head arrived, in milliseconds since 1970.
    pub received_ms: u64,
    /// Its head.
    pub head: Arc<Parts>,
    /// Its body.
    pub body: RequestBody,
    /// What the request log will say; names the request.
    pub record: Arc<RequestRecord>,
    /// Whether the client still waits for the answer.
    pub client: ClientGone,
    /// Its room.
    pub ticket: Ticket,
}
