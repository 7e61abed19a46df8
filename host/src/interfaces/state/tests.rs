#![expect(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::testing::tenant;

const MIB: usize = 1 << 20;

/// A component with eight memories had eight times as much as the operator allowed.
#[tokio::test]
async fn all_memories_of_a_component_are_limited_together() {
    let folder = TempDir::new().unwrap();
    let mut state = State::new(tenant(folder.path()), 64 * MIB, 100);
    let mut grow = |from, to| state.limiter().memory_growing(from, to, None).unwrap();
    assert!(grow(0, 40 * MIB));
    assert!(!grow(0, 40 * MIB), "the second memory");
    assert!(grow(0, 20 * MIB));
    assert!(!grow(20 * MIB, 25 * MIB));
    assert!(grow(20 * MIB, 24 * MIB));
    assert_eq!(state.memory_in_use(), 64 * MIB);
}
