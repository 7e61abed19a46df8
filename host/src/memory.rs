//! The allocator of the program; who embeds the library chooses for himself.

use std::ptr::null_mut;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As few arenas as there are busy threads on a small machine, and freed memory goes back to the system within a second.
///
/// The allocator looks for a symbol of this name; the text ends with NUL.
// SAFETY: no other item has this name, and its type is what the allocator expects: a pointer to a C string.
#[allow(unsafe_code, non_upper_case_globals)]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub(crate) static malloc_conf: &[u8] =
    b"narenas:4,dirty_decay_ms:500,muzzy_decay_ms:0,background_thread:true\0";

/// Gives freed memory back to the system now: after work that needs much more than what follows, such as compiling a policy.
pub(crate) fn give_back() {
    // 4096 stands for all arenas. That it fails costs nothing: the memory goes back a little later.
    // SAFETY: the name ends with NUL, and this control neither reads nor writes through the other pointers.
    #[allow(unsafe_code)]
    unsafe {
        tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0);
    }
}
