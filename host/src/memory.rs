//! The program's allocator. The library leaves the choice to the program that embeds it.

use std::ptr::null_mut;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As few arenas as a small machine has busy threads; freed memory is returned to the system within
/// half a second.
///
/// The allocator looks for a symbol of this name. The text ends with NUL.
// SAFETY: no other item has this name, and its type is what the allocator expects: a pointer to a C
// string.
#[expect(non_upper_case_globals, reason = "the name is the allocator's")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static malloc_conf: &[u8] =
    b"narenas:4,dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:true\0";

/// Returns freed memory to the system at once, after work that needed far more than the work that
/// follows, such as compiling a policy.
pub(crate) fn purge() {
    // 4096 stands for all arenas. A failure is harmless: the memory is returned a little later.
    // SAFETY: the name ends with NUL, and this control neither reads nor writes through the other
    // pointers.
    unsafe {
        tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0);
    }
}
