#![expect(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

mod allowed;
mod claims;
mod facts;
mod issuers;
mod signing;
mod support;
mod tokens;
