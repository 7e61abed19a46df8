//! What an embedding program may say of a token.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::{Access, Facts, Scope, TokenError};

const NOW_MS: u64 = 1_000_000;

fn facts() -> Facts {
    Facts::try_from(&[("run_id", "7")][..]).unwrap()
}

fn access() -> Access {
    let scope = Scope { name: "refs/heads/main".to_owned(), read: true, write: true };
    Access { repository: "team:42".to_owned(), scopes: vec![scope], expires_ms: NOW_MS + 1, facts: facts() }
}

#[test]
fn access_becomes_claims_with_an_owner_for_each_token() {
    let claims = access().into_claims("one", NOW_MS).unwrap();
    assert_eq!((claims.repository.as_str(), claims.expires_ms), ("team:42", NOW_MS + 1));
    assert_eq!(claims.scopes, access().scopes);
    assert_eq!(claims.owner, access().into_claims("one", NOW_MS).unwrap().owner);
    assert_ne!(claims.owner, access().into_claims("two", NOW_MS).unwrap().owner);
    assert_eq!((claims.facts, claims.issued_ms), (facts(), NOW_MS));
}

#[test]
fn access_out_of_bounds_is_refused() {
    let refused = |access: Access| access.into_claims("token", NOW_MS).unwrap_err();
    for repository in ["", "a b", "a\nb", "ä", &"r".repeat(129)] {
        let access = Access { repository: repository.to_owned(), ..access() };
        assert!(matches!(refused(access), TokenError::BadClaim(_)), "{repository:?}");
    }
    let scope = |bytes: usize| Scope { name: "s".repeat(bytes), read: true, write: false };
    for scopes in [vec![scope(1); 65], vec![scope(1025)]] {
        assert!(matches!(refused(Access { scopes, ..access() }), TokenError::BadClaim(_)));
    }
    assert_eq!(refused(Access { expires_ms: NOW_MS, ..access() }), TokenError::Expired);
}
