//! Which tool a key is of, as a word of a bounded set.
//!
//! Keys of caches begin with what made them, among words that say where: `Linux-cargo-<hash>`,
//! `node-cache-Linux-x64-npm-<hash>`, `v0-rust-test-<hash>`, `setup-go-…`. The first part that is
//! not such a word, a number or a hash is the tool's.

/// Longest name of a tool, in bytes.
const MAX_BYTES: usize = 24;
/// Parts of a key that are looked at.
const MAX_PARTS: usize = 8;
/// Least hexadecimal digits of a hash.
const HASH_DIGITS: usize = 8;

/// A key of numbers.
pub(crate) const NUMBER: &str = "_num";
/// A key of hashes.
pub(crate) const HASH: &str = "_hash";
/// Anything else.
pub(crate) const OTHER: &str = "_other";

/// What says where or what for, and not of which tool. In lower case.
const COMMON: [&str; 24] = [
    "linux", "macos", "windows", "ubuntu", "debian", "alpine", "darwin", "win32", "x64", "x86", "amd64",
    "arm64", "aarch64", "arm", "x86_64", "setup", "cache", "caches", "ci", "build", "deps", "prod", "dev",
    "main",
];

/// Returns the tool of a key: a part of the key as it stands there, or one of the words above.
pub(crate) fn tool(key: &str) -> &str {
    let parts = key.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|part| !part.is_empty());
    let mut nothing = OTHER;
    for part in parts.take(MAX_PARTS) {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            nothing = if nothing == OTHER { NUMBER } else { nothing };
        } else if is_hash(part) {
            nothing = HASH;
        } else if part.len() > MAX_BYTES || !part.is_ascii() {
            return OTHER;
        } else if part.len() > 1 && !is_version(part) && !is_common(part) {
            return part;
        }
    }
    nothing
}

fn is_common(part: &str) -> bool {
    COMMON.iter().any(|common| common.eq_ignore_ascii_case(part))
}

/// `v1`, `v02`.
fn is_version(part: &str) -> bool {
    part.strip_prefix(['v', 'V']).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_hash(part: &str) -> bool {
    part.len() >= HASH_DIGITS
        && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        && part.bytes().any(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
