//! The component that the server runs unless it is given another: Larder's own policy.

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: larder_policy::allocator::Allocator = larder_policy::allocator::Allocator::new();

larder_policy::export!(larder_policy::DefaultPolicy);
