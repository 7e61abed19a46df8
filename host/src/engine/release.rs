//! The end of an instance. The kernel takes its memory back page by page: 64 MiB take it 2 to 3 ms, in which
//! everybody on the thread waits.

use tokio::runtime::Handle;

/// Memory of an instance that ends where it ran. Taking it back costs less than to wake another thread.
const SMALL_BYTES: usize = 4 << 20;

/// Drops an instance with so many bytes of memory: a large one on a thread for blocking work. What it had of
/// the memory that guests share is only given back then.
pub(super) fn release(instance: impl Send + 'static, bytes: usize) {
    match Handle::try_current() {
        Ok(runtime) if bytes > SMALL_BYTES => drop(runtime.spawn_blocking(move || drop(instance))),
        _ => drop(instance),
    }
}

#[cfg(test)]
mod tests;
