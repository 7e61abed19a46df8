//! What one request has of the server's room, from its admission until its call is over.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    RequestBody,
    room::{Client, Full, Held, Room},
};
use crate::storage::SourceError;

/// Bodies up to this length are short: messages, and most block lists.
const SHORT_BODY_BYTES: u64 = 256 * 1024;
/// What a guest makes of a message, at the most, in bytes for each byte of it: the text, its fields, and the probes of a
/// lookup, which repeat each key for every scope, and twice.
const MESSAGE_FACTOR: u64 = 12;
/// What a guest makes of a list, at the most: its text and its ids, and so much for where 50,000 ids are.
const LIST_FACTOR: u64 = 2;
const LIST_BYTES: u64 = 2 * 1024 * 1024;
/// How long a body may pause, while another one waits for its room.
pub(super) const PRESSED_PAUSE: Duration = Duration::from_secs(5);

/// The rooms that requests of one guest take from.
#[derive(Debug)]
pub struct Rooms {
    /// Heads inside the guest.
    pub heads: Room,
    /// Heads that wait for that.
    pub waiting: Room,
    /// What the guest makes of short bodies.
    pub messages: Room,
    /// What it makes of long ones.
    pub lists: Room,
    /// Bodies in memory, of all guests.
    pub bodies: Arc<Room>,
    /// Requests that are with the upstream, of all guests.
    pub forwards: Arc<Room>,
}

/// Why a body is not in memory.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is too long, or ended early.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There was no room for it.
    #[error(transparent)]
    Full(#[from] Full),
}

/// A request's room: for its head, and for its body once that is read.
#[derive(Debug)]
pub struct Ticket {
    rooms: Arc<Rooms>,
    client: Arc<Client>,
    _head: Held,
    body: Mutex<BodyRoom>,
}

#[derive(Debug, Default)]
struct BodyRoom {
    _bytes: Option<Held>,
    _made_of_it: Option<Held>,
}

impl Rooms {
    /// A new connection.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new([&self.heads, &self.waiting, &self.messages, &self.lists, &self.bodies, &self.forwards])
    }

    /// The longest body for which there can be room.
    fn longest_body(&self) -> u64 {
        let list = u64::from(self.lists.largest()).saturating_sub(LIST_BYTES) / LIST_FACTOR;
        let message = u64::from(self.messages.largest()) / MESSAGE_FACTOR;
        list.max(message.min(SHORT_BODY_BYTES)).min(self.bodies.largest().into())
    }
}

impl Ticket {
    /// The ticket of a request that has room for its head.
    #[must_use]
    pub fn new(rooms: Arc<Rooms>, client: Arc<Client>, head: Held) -> Self {
        Self { rooms, client, _head: head, body: Mutex::default() }
    }

    /// Reads a body into memory, with room for it and for what the guest makes of it, which the ticket keeps. A body that is
    /// in memory has its room already.
    ///
    /// # Errors
    /// When it has more than `limit` bytes or ends early, or there is no room.
    pub async fn read(&self, body: RequestBody, limit: u64) -> Result<Bytes, ReadError> {
        let limit = limit.min(self.rooms.longest_body());
        if body.is_in_memory() {
            return body.read_to_end(limit, &mut Growing::unbounded()).await;
        }
        let mut room = Growing { of: Some((&*self.rooms.bodies, &self.client)), bytes: 0, held: None };
        let bytes = body.read_to_end(limit, &mut room).await?;
        let made_of_it = self.room_for_use(bytes.len() as u64).await?;
        *self.body.lock() = BodyRoom { _bytes: room.held, _made_of_it: Some(made_of_it) };
        Ok(bytes)
    }

    async fn room_for_use(&self, bytes: u64) -> Result<Held, Full> {
        if bytes <= SHORT_BODY_BYTES {
            self.rooms.messages.take(&self.client, amount(MESSAGE_FACTOR * bytes)).await
        } else {
            self.rooms.lists.take(&self.client, amount(LIST_FACTOR * bytes + LIST_BYTES)).await
        }
    }

    /// Takes one of the places of requests that are with the upstream.
    ///
    /// # Errors
    /// When there is none within the time.
    pub async fn forward(&self) -> Result<Held, Full> {
        self.rooms.forwards.take(&self.client, 1).await
    }
}

/// Room for a body, which grows with it.
pub(super) struct Growing<'a> {
    of: Option<(&'a Room, &'a Arc<Client>)>,
    bytes: u64,
    held: Option<Held>,
}

impl Growing<'_> {
    /// For what has its room already.
    pub(super) fn unbounded() -> Self {
        Self { of: None, bytes: u64::MAX, held: None }
    }

    /// Has room for so many bytes.
    pub(super) async fn reach(&mut self, bytes: u64) -> Result<(), Full> {
        let Some((room, client)) = self.of.filter(|_| bytes > self.bytes) else { return Ok(()) };
        let more = room.take(client, amount(bytes - self.bytes)).await?;
        match &mut self.held {
            Some(held) => held.absorb(more),
            held @ None => *held = Some(more),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Has room for so many bytes, and for the growth of a buffer in steps, up to `limit`.
    pub(super) async fn grow(&mut self, bytes: u64, limit: u64) -> Result<(), Full> {
        if bytes <= self.bytes {
            return Ok(());
        }
        self.reach(bytes.max(self.bytes.saturating_mul(2)).min(limit.max(bytes))).await
    }

    /// Gives a body up that pauses while somebody waits for its room. Its connection's reserve is nobody else's.
    pub(super) fn paused(&self) -> Result<(), Full> {
        match self.of {
            Some((room, _)) if room.is_pressed() && self.held.as_ref().is_some_and(Held::is_pooled) => {
                Err(room.refuse())
            }
            _ => Ok(()),
        }
    }
}

fn amount(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
