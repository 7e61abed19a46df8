//! An allocator for components: lists of free blocks by size, before the one of the standard library.
//!
//! `static A: Allocator = Allocator::new()` with `#[global_allocator]` puts it in place, as the built-in component does.
//!
//! A look-up allocates some 150 times, nearly always a few dozen bytes that are soon free again. The standard library's
//! allocator (dlmalloc) looks for the best place for each; here a freed block is the next one of its size. Each list keeps
//! at most 16 KiB; what is more goes back, so all lists together keep less than 1 MiB of memory from other uses.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::UnsafeCell,
    ptr::{self, NonNull},
};

/// Sizes are rounded up to a multiple of this, which is also the alignment that every block has.
const STEP: usize = 16;
/// Larger blocks are the standard library's alone.
const LARGEST: usize = 1024;
/// The number of lists.
const LISTS: usize = LARGEST / STEP;
/// Most bytes that a list keeps.
const KEPT_BYTES: usize = 16 * 1024;

/// The allocator. For programs with one thread, as a component is: it has no locks.
#[derive(Debug)]
pub struct Allocator {
    lists: UnsafeCell<[List; LISTS]>,
}

/// Free blocks of a size.
#[derive(Clone, Copy, Debug)]
struct List {
    first: Option<NonNull<Free>>,
    blocks: usize,
}

/// A free block: it holds where the next one is.
struct Free {
    next: Option<NonNull<Free>>,
}

// SAFETY: a component has one thread, and no function of the allocator calls another that allocates from it.
#[cfg(target_family = "wasm")]
unsafe impl Sync for Allocator {}

impl Allocator {
    /// With nothing in its lists.
    #[must_use]
    pub const fn new() -> Self {
        Self { lists: UnsafeCell::new([List { first: None, blocks: 0 }; LISTS]) }
    }

    /// The list of blocks for a layout, and its number; `None` where the standard library's allocator has them.
    #[inline]
    fn class(layout: Layout) -> Option<usize> {
        (layout.size() <= LARGEST && layout.align() <= STEP).then(|| layout.size().saturating_sub(1) / STEP)
    }

    /// # Safety
    /// The result must be dropped before the next call.
    #[inline]
    #[expect(clippy::mut_from_ref, reason = "one thread")]
    unsafe fn list(&self, class: usize) -> &mut List {
        // SAFETY: one thread, and one reference at a time (the caller's promise); a class is below `LISTS`.
        unsafe { (*self.lists.get()).get_unchecked_mut(class) }
    }
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

/// The layout of all blocks of a class.
#[inline]
fn block(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size at most `LARGEST`.
    unsafe { Layout::from_size_align_unchecked((class + 1) * STEP, STEP) }
}

// SAFETY: a block is in a list or handed out, never both; all blocks of a list have its layout.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what is in a list is free and large enough; the promises of the caller are those of `System`.
        unsafe {
            let Some(class) = Self::class(layout) else { return System.alloc(layout) };
            let list = self.list(class);
            let Some(free) = list.first else { return System.alloc(block(class)) };
            list.first = free.as_ref().next;
            list.blocks -= 1;
            free.as_ptr().cast()
        }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the block was handed out for a layout of the same class, and is the caller's no more.
        unsafe {
            let Some(class) = Self::class(layout) else { return System.dealloc(pointer, layout) };
            let list = self.list(class);
            if list.blocks * (class + 1) * STEP >= KEPT_BYTES {
                return System.dealloc(pointer, block(class));
            }
            let free = NonNull::new_unchecked(pointer.cast::<Free>());
            free.write(Free { next: list.first });
            list.first = Some(free);
            list.blocks += 1;
        }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; both blocks have room for the smaller of both sizes, and do not overlap.
        unsafe {
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            match (Self::class(layout), Self::class(wanted)) {
                (None, None) => System.realloc(pointer, layout, size),
                (old, new) if old == new => pointer,
                _ => {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        ptr::copy_nonoverlapping(pointer, moved, layout.size().min(size));
                        self.dealloc(pointer, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
