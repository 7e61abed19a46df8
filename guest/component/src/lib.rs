//! The component that the server runs unless it is given another: Larder's own policy.

larder_policy::export!(larder_policy::DefaultPolicy);
