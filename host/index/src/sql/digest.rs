//! Digests of texts that are too long for a database index.
//!
//! They are stored, so changing them needs a migration.

use aws_lc_rs::digest::{Context, SHA256};
use larder_common::TenantName;

use crate::{KeyRule, Slot};

/// Bytes of a key in the database index. The migrations have the same number.
pub(super) const HEAD_BYTES: usize = 255;

/// Precedes the tenant. No text has this length, so a place of `default`, which begins with the
/// length of its repository, is never one of another tenant.
const TENANT: u64 = u64::MAX;

/// Returns the digest of tenant, repository, scope and version. For the tenant `default` it is as it
/// was before there were tenants.
pub(super) fn place(tenant: &TenantName, repository: &str, scope: &str, version: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    if !tenant.is_default() {
        context.update(&TENANT.to_le_bytes());
        update(&mut context, tenant.as_str());
    }
    for part in [repository, scope, version] {
        update(&mut context, part);
    }
    context.finish().as_ref().to_vec()
}

fn update(context: &mut Context, part: &str) {
    context.update(&(part.len() as u64).to_le_bytes());
    context.update(part.as_bytes());
}

/// Returns the digest of a place and a folded key.
pub(super) fn slot(place: &[u8], key: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(place);
    context.update(key.as_bytes());
    context.finish().as_ref().to_vec()
}

/// Returns the digest of a tenant and a slot's repository, scope and version.
pub(super) fn place_of(tenant: &TenantName, slot: &Slot) -> Vec<u8> {
    place(tenant, &slot.repository, &slot.scope, &slot.version)
}

/// Returns the digest of a tenant's slot.
pub(super) fn digest_of(tenant: &TenantName, of: &Slot, rule: KeyRule) -> Vec<u8> {
    slot(&place_of(tenant, of), &rule.compared(&of.key))
}

/// Returns the part of a key that is in the database index.
fn head(key: &str) -> &[u8] {
    &key.as_bytes()[..key.len().min(HEAD_BYTES)]
}

/// A range of heads: from `low` (inclusive) to `high` (exclusive).
pub(super) struct HeadRange {
    pub(super) low: Vec<u8>,
    pub(super) high: Vec<u8>,
}

/// Returns the heads of the keys that may have this prefix. If the prefix is at most [`HEAD_BYTES`]
/// long, all of them have it.
pub(super) fn head_range(prefix: &str) -> HeadRange {
    let low = head(prefix).to_vec();
    let mut high = low.clone();
    match high.last_mut() {
        // UTF-8 never contains the byte 0xff, so this cannot overflow.
        Some(last) => *last += 1,
        None => high.push(u8::MAX),
    }
    HeadRange { low, high }
}
