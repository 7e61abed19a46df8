//! The claims of a token, and the rules for them.

use serde::Deserialize;
use serde_json::Value;

use super::{Facts, TokenError};

/// Most scopes in one token. GitHub gives two or three.
pub(super) const MAX_SCOPES: usize = 64;
/// Longest name of a scope. A git ref is shorter.
pub(super) const MAX_SCOPE_BYTES: usize = 1024;
/// Longest repository id.
pub(super) const MAX_REPOSITORY_BYTES: usize = 128;

/// The claims of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Whose entries these are: isolates repositories from each other. The issuer's repository id
    /// behind the prefix that is configured for the issuer, or `auth.default_repository`.
    pub repository: String,
    /// In the token's order, which is the order of matching.
    pub scopes: Vec<Scope>,
    /// The token's fingerprint, 32 hexadecimal digits: the same for the same token, and of no other
    /// use.
    pub owner: String,
    /// When the token expires, in milliseconds since 1970. It is accepted for the leeway longer
    /// than that.
    pub expires_ms: u64,
    /// When the token was issued, in milliseconds since 1970; where it does not say so, when it was
    /// first seen.
    pub issued_ms: u64,
    /// What the token says about the job.
    pub facts: Facts,
}

/// What a token allows in one scope (a git ref, usually).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The git ref; empty on platforms that have no scopes.
    pub name: String,
    /// Whether entries may be looked up.
    pub read: bool,
    /// Whether entries may be saved.
    pub write: bool,
}

/// The configured rules.
pub(super) struct ClaimRules {
    pub(super) leeway_ms: u64,
    pub(super) audience: Option<String>,
    pub(super) default_repository: Option<String>,
    /// The claims that are kept as facts.
    pub(super) facts: Vec<&'static str>,
}

/// The claims as they arrived, of any type. Claims that are not needed are not checked.
#[derive(Deserialize)]
pub(super) struct RawClaims {
    iss: Option<Value>,
    aud: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
    repository_id: Option<Value>,
    ac: Option<Value>,
    repository: Option<Value>,
    repository_owner: Option<Value>,
    repository_owner_id: Option<Value>,
    /// Further claims as the text of a JSON object. GitHub may leave it out.
    oidc_extra: Option<Value>,
}

/// The owner and repository that a token names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClaimedIdentity {
    /// The repository's name with its owner's, `owner/name`.
    pub(super) repository: Option<String>,
    /// The owner's name.
    pub(super) owner: Option<String>,
    /// The owner's id.
    pub(super) owner_id: Option<String>,
}

/// The claims that [`ClaimedIdentity`] is made of, in `oidc_extra`.
#[derive(Default, Deserialize)]
struct ExtraClaims {
    repository: Option<Value>,
    repository_owner: Option<Value>,
    repository_owner_id: Option<Value>,
}

/// One element of `ac`, as GitHub and Gitea write it.
#[derive(Deserialize)]
struct RawScope {
    #[serde(rename = "Scope")]
    name: String,
    #[serde(rename = "Permission")]
    permission: u64,
}

/// `Permission` is a set of bits.
const READ: u64 = 1;
const WRITE: u64 = 2;

impl RawClaims {
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenError> {
        // serde_json's own text can quote the token; the place is enough.
        serde_json::from_slice(json).map_err(|e| {
            TokenError::Malformed(format!("the claims are not a JSON object of claims (byte {})", e.column()))
        })
    }

    /// Returns the issuer that the token names.
    pub(super) fn issuer(&self) -> Result<&str, TokenError> {
        match &self.iss {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => Err(bad("iss must be text")),
            None => Err(bad("iss is missing")),
        }
    }

    /// Checks `exp` and `nbf`. The last millisecond that counts is the one before `exp` plus the
    /// leeway.
    pub(super) fn check_times(&self, rules: &ClaimRules, now_ms: u64) -> Result<(), TokenError> {
        if has_expired(self.expires_ms()?, rules.leeway_ms, now_ms) {
            return Err(TokenError::Expired);
        }
        let valid_from_ms = self.nbf.as_ref().map_or(Ok(0), |nbf| time_ms(nbf, "nbf"))?;
        if now_ms.saturating_add(rules.leeway_ms) < valid_from_ms {
            return Err(TokenError::NotYetValid);
        }
        Ok(())
    }

    /// Returns when the token expires.
    pub(super) fn expires_ms(&self) -> Result<u64, TokenError> {
        time_ms(self.exp.as_ref().ok_or_else(|| bad("exp is missing"))?, "exp")
    }

    /// Returns when the token was issued, or became valid; `now_ms` where it does not say so, and at
    /// most that.
    pub(super) fn issued_ms(&self, now_ms: u64) -> u64 {
        let stated = [(&self.iat, "iat"), (&self.nbf, "nbf")];
        let stated = stated.into_iter().find_map(|(claim, name)| time_ms(claim.as_ref()?, name).ok());
        stated.map_or(now_ms, |stated| stated.min(now_ms))
    }

    /// Checks `aud`, where an audience is configured.
    pub(super) fn check_audience(&self, rules: &ClaimRules) -> Result<(), TokenError> {
        let Some(expected) = &rules.audience else { return Ok(()) };
        let named = match &self.aud {
            Some(Value::String(one)) => one == expected,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(expected)),
            _ => false,
        };
        if named { Ok(()) } else { Err(bad("aud does not name this server's audience")) }
    }

    /// Returns whose entries these are.
    pub(super) fn repository(&self, rules: &ClaimRules, prefix: &str) -> Result<String, TokenError> {
        let id = match &self.repository_id {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            Some(_) => return Err(bad("repository_id must be text or a whole number")),
            // It is of this issuer, too: without the prefix it could be the id of another one's
            // repository.
            None => rules.default_repository.clone().ok_or_else(|| bad("repository_id is missing"))?,
        };
        // No `:`, so that no id can be read as another issuer's prefix and id.
        let form = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
        if !(1..=MAX_REPOSITORY_BYTES).contains(&id.len()) || !id.bytes().all(form) {
            return Err(bad("repository_id is not of the form of an id"));
        }
        Ok(format!("{prefix}{id}"))
    }

    /// Returns whose token it is: by the claims themselves, else by those in `oidc_extra`.
    pub(super) fn identity(&self) -> ClaimedIdentity {
        let extra: ExtraClaims = match &self.oidc_extra {
            Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_default(),
            Some(object) => Deserialize::deserialize(object).unwrap_or_default(),
            None => ExtraClaims::default(),
        };
        let repository = text(self.repository.as_ref()).or_else(|| text(extra.repository.as_ref()));
        let owner = text(self.repository_owner.as_ref()).or_else(|| text(extra.repository_owner.as_ref()));
        let of_repository = || Some(repository.as_ref()?.split_once('/')?.0.to_owned());
        ClaimedIdentity {
            owner: owner.or_else(of_repository),
            owner_id: text(self.repository_owner_id.as_ref())
                .or_else(|| text(extra.repository_owner_id.as_ref())),
            repository,
        }
    }

    /// Returns the scopes, in order; `None` when there is no `ac`.
    pub(super) fn scopes(&self) -> Result<Option<Vec<Scope>>, TokenError> {
        let raw: Vec<RawScope> = match &self.ac {
            None => return Ok(None),
            Some(Value::String(json)) => serde_json::from_str(json).map_err(|_| not_a_list())?,
            Some(list) => Deserialize::deserialize(list).map_err(|_| not_a_list())?,
        };
        if raw.len() > MAX_SCOPES {
            return Err(bad(&format!("ac has more than {MAX_SCOPES} scopes")));
        }
        raw.into_iter().map(scope).collect::<Result<_, _>>().map(Some)
    }
}

/// A claim that is text, or a whole number.
pub(super) fn text(claim: Option<&Value>) -> Option<String> {
    match claim? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// Returns whether a token that expires then has expired now.
pub(super) fn has_expired(expires_ms: u64, leeway_ms: u64, now_ms: u64) -> bool {
    now_ms >= expires_ms.saturating_add(leeway_ms)
}

fn scope(raw: RawScope) -> Result<Scope, TokenError> {
    if raw.name.len() > MAX_SCOPE_BYTES {
        return Err(bad(&format!("ac has a scope of more than {MAX_SCOPE_BYTES} bytes")));
    }
    let write = raw.permission & WRITE != 0;
    // Gitea has no scopes: it gives every job the one with the empty name and the permission
    // "write", and means both (services/actions/auth.go).
    let read = raw.permission & READ != 0 || (write && raw.name.is_empty());
    Ok(Scope { name: raw.name, read, write })
}

/// Seconds since 1970, whole or not (RFC 7519 NumericDate), in milliseconds.
fn time_ms(value: &Value, claim: &str) -> Result<u64, TokenError> {
    let Value::Number(seconds) = value else { return Err(bad(&format!("{claim} must be a number"))) };
    match (seconds.as_u64(), seconds.as_f64()) {
        (Some(whole), _) => Ok(whole.saturating_mul(1000)),
        // A cast from f64 saturates: times before 1970 become 0.
        (None, Some(fraction)) => Ok((fraction * 1000.0) as u64),
        (None, None) => Err(bad(&format!("{claim} must be a number"))),
    }
}

fn not_a_list() -> TokenError {
    bad("ac must be a list of {\"Scope\", \"Permission\"}")
}

pub(super) fn bad(problem: &str) -> TokenError {
    TokenError::BadClaim(problem.to_owned())
}
