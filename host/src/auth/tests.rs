#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_pass_by_value)]

mod allowed;
mod claims;
mod issuers;
mod signing;
mod support;
mod tokens;
