#![expect(clippy::unwrap_used, clippy::undocumented_unsafe_blocks, reason = "tests")]

use std::{
    alloc::{GlobalAlloc, Layout},
    ptr::NonNull,
};

use proptest::prelude::*;

use super::{Allocator, KEPT_BYTES, LARGEST, LISTS, STEP};

/// A block as its owner sees it: all of it holds one byte.
struct Held {
    block: NonNull<u8>,
    layout: Layout,
    byte: u8,
}

impl Held {
    fn take(allocator: &Allocator, layout: Layout, byte: u8) -> Self {
        let block = NonNull::new(unsafe { allocator.alloc(layout) }).unwrap();
        assert_eq!(block.as_ptr().addr() % layout.align(), 0);
        unsafe { block.write_bytes(byte, layout.size()) };
        Self { block, layout, byte }
    }

    fn grow(&mut self, allocator: &Allocator, size: usize) {
        let block = unsafe { allocator.realloc(self.block.as_ptr(), self.layout, size) };
        self.block = NonNull::new(block).unwrap();
        self.check(self.layout.size().min(size));
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
        unsafe { self.block.write_bytes(self.byte, size) };
    }

    fn check(&self, size: usize) {
        let bytes = unsafe { std::slice::from_raw_parts(self.block.as_ptr(), size) };
        assert!(bytes.iter().all(|byte| *byte == self.byte));
    }

    fn give_back(self, allocator: &Allocator) {
        self.check(self.layout.size());
        unsafe { allocator.dealloc(self.block.as_ptr(), self.layout) };
    }
}

/// Gives the standard library what the lists hold: a test leaks nothing.
fn drain(allocator: &Allocator) {
    for class in 0..LISTS {
        while unsafe { allocator.list(class) }.first.is_some() {
            let block = unsafe { allocator.alloc(super::block(class)) };
            unsafe { std::alloc::System.dealloc(block, super::block(class)) };
        }
    }
}

proptest! {
    #[test]
    fn no_block_is_handed_out_twice(steps in proptest::collection::vec((0_u8..4, 1_usize..2_200, 0_u32..7, any::<u8>()), 1..400)) {
        let allocator = Allocator::new();
        let mut held: Vec<Held> = Vec::new();
        for (step, size, align, byte) in steps {
            let at = size % held.len().max(1);
            match step {
                0 if !held.is_empty() => held.swap_remove(at).give_back(&allocator),
                1 if !held.is_empty() => held[at].grow(&allocator, size),
                _ => held.push(Held::take(&allocator, Layout::from_size_align(size, 1 << align).unwrap(), byte)),
            }
        }
        for block in held {
            block.give_back(&allocator);
        }
        drain(&allocator);
    }
}

#[test]
fn a_freed_block_is_the_next_of_its_size() {
    let allocator = Allocator::new();
    let layout = Layout::from_size_align(40, 8).unwrap();
    let first = Held::take(&allocator, layout, 1);
    let place = first.block;
    first.give_back(&allocator);
    let next = Held::take(&allocator, Layout::from_size_align(33, 1).unwrap(), 2);
    assert_eq!(next.block, place);
    next.give_back(&allocator);
    drain(&allocator);
}

#[test]
fn lists_are_bounded() {
    let allocator = Allocator::new();
    for size in [1, STEP, 100, LARGEST] {
        let layout = Layout::from_size_align(size, 1).unwrap();
        let many: Vec<Held> = (0..4_000).map(|_| Held::take(&allocator, layout, 3)).collect();
        many.into_iter().for_each(|block| block.give_back(&allocator));
    }
    for class in 0..LISTS {
        let kept = unsafe { allocator.list(class) }.blocks * (class + 1) * STEP;
        assert!(kept < KEPT_BYTES + (class + 1) * STEP, "{kept} bytes in list {class}");
    }
    drain(&allocator);
}
