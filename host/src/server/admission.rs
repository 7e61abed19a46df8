//! Admission: the one place where it is decided how much may be under way at once. Asked before the guest.
//!
//! A guest that runs out of memory or handles is lost, with all calls inside it; so what enters it is bounded such that it
//! cannot. All bounds follow from what the process has ([`Capacity`]). The parts of a guest's memory:
//!
//! | part | what for |
//! |---|---|
//! | 1/8 + 1/32 | heads, and what each call needs besides |
//! | 3/16 + 3/16 | what is made of short bodies (messages) |
//! | 9/32 | what is made of long bodies (block lists) |
//! | 3/16 | itself, and what its allocator cannot use |
//!
//! Where there are two parts the first is divided into the reserves of all connections, as if all were on one thread.

use std::{sync::Arc, time::Duration};

use http::request::Parts;

use crate::message::{Client, Full, Kind, Room, RoomBounds, Rooms, Ticket, Usage};

/// Longest wait for room. Short enough that clients still wait for the answer.
const WAIT: Duration = Duration::from_secs(10);
/// What a call needs in the guest and in the host besides its head, in bytes.
const CALL_BYTES: usize = 2 * 1024;
/// What a header field needs besides its name and value, in bytes.
const FIELD_BYTES: usize = 64;
/// Bodies in memory, in the whole process, in bytes: two of the longest that are read.
const BODY_POOL_BYTES: usize = 16 * MIB;
/// The same, what is reserved for all connections together.
const BODY_RESERVE_BYTES: usize = 8 * MIB;
/// Larger reserves would be of no use: what comes most is a lookup, with a head of some 4 KiB and a body of 300 bytes.
const MAX_HEAD_RESERVE_BYTES: usize = 16 * 1024;
const MAX_BODY_RESERVE_BYTES: usize = 8 * 1024;
const MAX_MESSAGE_RESERVE_BYTES: usize = 12 * 1024;
const MIB: usize = 1024 * 1024;

/// What the process has, from which the bounds follow.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// The memory that one guest may take.
    pub guest_memory_bytes: usize,
    /// The handles that one guest may have.
    pub guest_handles: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Most requests that may be with the upstream at once: each takes a connection, so a descriptor.
    pub forwards: usize,
}

/// The rooms that all threads share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    capacity: Capacity,
    bodies: Arc<Room>,
    forwards: Arc<Room>,
}

/// The admission of one thread, to its guest.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    rooms: Arc<Rooms>,
}

impl Shared {
    pub(super) fn new(capacity: Capacity) -> Self {
        let reserve = (BODY_RESERVE_BYTES / capacity.connections.max(1)).min(MAX_BODY_RESERVE_BYTES);
        // One of the longest bodies for each connection; of forwards an eighth.
        let bodies = bounds(reserve, BODY_POOL_BYTES, BODY_POOL_BYTES / 2);
        let forwards = bounds(0, capacity.forwards, capacity.forwards.div_ceil(8));
        Self {
            capacity,
            bodies: Arc::new(Room::new(Kind::Bodies, bodies)),
            forwards: Arc::new(Room::new(Kind::Forwards, forwards)),
        }
    }
}

impl Admission {
    pub(super) fn new(shared: &Shared) -> Self {
        let Capacity { guest_memory_bytes: memory, guest_handles, connections, .. } = shared.capacity;
        let each = |bytes: usize, most: usize| (bytes / connections.max(1)).min(most);
        let heads_pool = (memory / 32).min(guest_handles / 8 * CALL_BYTES);
        let heads_reserve = each((memory / 8).min(guest_handles / 4 * CALL_BYTES), MAX_HEAD_RESERVE_BYTES);
        let (messages, lists) = (memory / 16 * 3, memory / 32 * 9);
        let heads = bounds(heads_reserve, heads_pool, heads_pool / 8);
        // What waits is in the host's memory only, but a connection may not have others wait behind it.
        let waiting = bounds(heads_reserve, heads_pool, heads_pool / 32);
        let messages = bounds(each(messages, MAX_MESSAGE_RESERVE_BYTES), messages, messages / 2);
        Self {
            rooms: Arc::new(Rooms {
                heads: Room::new(Kind::Heads, heads),
                waiting: Room::new(Kind::Waiting, waiting),
                messages: Room::new(Kind::Messages, messages),
                lists: Room::new(Kind::Lists, bounds(0, lists, lists)),
                bodies: shared.bodies.clone(),
                forwards: shared.forwards.clone(),
            }),
        }
    }

    /// A new connection.
    pub(super) fn client(&self) -> Arc<Client> {
        Arc::new(self.rooms.client())
    }

    /// Lets a request in, once there is room for its head in the guest.
    ///
    /// # Errors
    /// When there is none within the time, or too many wait already.
    pub(super) async fn admit(&self, client: &Arc<Client>, head: &Parts) -> Result<Ticket, Full> {
        let Rooms { heads, waiting, .. } = &*self.rooms;
        let bytes = u32::try_from(weight(head)).unwrap_or(u32::MAX);
        let held = match heads.try_take(client, bytes) {
            Some(held) => held,
            None => {
                let _waits = waiting.try_take(client, bytes).ok_or_else(|| waiting.refuse())?;
                heads.take(client, bytes).await?
            }
        };
        Ok(Ticket::new(self.rooms.clone(), client.clone(), held))
    }

    /// What is taken of each room: those of this thread, then those of all.
    pub(super) fn usage(&self) -> [Usage; 6] {
        let Rooms { heads, waiting, messages, lists, bodies, forwards } = &*self.rooms;
        [heads, waiting, messages, lists, &**bodies, &**forwards].map(Room::usage)
    }
}

/// What is taken of each room, of all threads together.
pub(super) fn sum(admissions: &[Admission]) -> Vec<Usage> {
    let mut threads = admissions.iter().map(Admission::usage);
    let mut sum = threads.next().map(Vec::from).unwrap_or_default();
    for of_thread in threads {
        // Bodies and forwards are everybody's: they are counted once.
        for (total, usage) in sum.iter_mut().zip(of_thread) {
            if !matches!(usage.kind, Kind::Bodies | Kind::Forwards) {
                total.add(usage);
            }
        }
    }
    sum
}

/// What a call takes while it is inside, for its head.
fn weight(head: &Parts) -> usize {
    CALL_BYTES + super::respond::head_bytes(head) + head.headers.len() * FIELD_BYTES
}

fn bounds(reserve: usize, pool: usize, pool_per_connection: usize) -> RoomBounds {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    RoomBounds {
        reserve: number(reserve),
        pool: number(pool),
        pool_per_connection: number(pool_per_connection.max(1)),
        wait: WAIT,
    }
}

#[cfg(test)]
mod tests;
