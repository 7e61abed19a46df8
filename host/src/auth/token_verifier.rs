//! Verification of bearer tokens.

use std::{fmt, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use super::{
    AccessRules, AuthSetupError, Authenticator, Claims, Scope, TokenError,
    allowed::Allowed,
    cache::{Fingerprint, VerifiedTokens, fingerprint},
    claim_names::ClaimNames,
    claims::{ClaimRules, has_expired},
    facts,
    issuers::{Issuer, KeyStatus},
    jwks::Verdict,
    jwt::{Jwt, bearer},
};
use crate::{
    config::{self, MIN_SECRET_BYTES},
    net::Fetch,
};

/// The program's warning when tokens are not verified.
pub const SKIP_WARNING: &str = "SKIP_TOKEN_VALIDATION is on: tokens are NOT verified. Anyone who reaches this server can read \
     and overwrite the caches of every repository. Trust the platform's issuer instead (ACTIONS_TOKEN_ISSUER, \
     ACTIONS_TOKEN_JWKS_URL or LARDER_HS256_SECRET).";

/// The repository of tokens that name none, when tokens are not verified and
/// `auth.default_repository` is not set.
const UNVERIFIED_REPOSITORY: &str = "0";
/// Lifetime of a token without `exp` when tokens are not verified: as long as a job may take.
const UNVERIFIED_LIFETIME_MS: u64 = 6 * 60 * 60 * 1000;

/// Verifies tokens. One for the process, shared by its threads.
///
/// The order of checks: form, algorithm, dates, issuer, signature, then the other claims. An
/// algorithm belongs to one kind of key (HS256 to a configured secret, RS and ES to an issuer's
/// public keys of that type), so that no key can be used with another's algorithm.
///
/// With `auth.skip_validation` a token has to be decodable and its `ac` and `repository_id`, if
/// any, of their form; signature, issuer, audience and dates are not checked, since nothing in such
/// a token is verified. One without `repository_id` belongs to `auth.default_repository`, else to
/// `0`; one without `ac` may read and write the scope with the empty name.
pub(crate) struct TokenVerifier {
    trust: Trust,
    claim_rules: ClaimRules,
    allowed: Allowed,
    verified: VerifiedTokens,
    claim_names: ClaimNames,
    rules: AccessRules,
}

enum Trust {
    Signers(Signers),
    Everyone,
    /// The embedding program decides.
    Caller(Arc<dyn Authenticator>),
}

/// Whose tokens count.
struct Signers {
    issuers: Vec<Arc<Issuer>>,
    /// Keys of HS256.
    secrets: Vec<DecodingKey>,
    /// Goes before the repository ids of tokens that are signed with one of `secrets`.
    secret_prefix: String,
}

impl TokenVerifier {
    /// Makes the configured verifier. Reads key files; fetches no keys yet.
    ///
    /// # Errors
    /// When a key file cannot be read, or a secret is too short.
    pub(crate) fn new(auth: &config::Auth, fetch: &Arc<dyn Fetch>) -> Result<Self, AuthSetupError> {
        let rules = ClaimRules {
            leeway_ms: auth.leeway_ms,
            audience: auth.audience.clone(),
            default_repository: auth.default_repository.clone(),
            facts: facts::kept(&auth.facts),
        };
        let trust = if auth.skip_validation {
            Trust::Everyone
        } else {
            let issuer = |i| Issuer::from_config(i, Arc::clone(fetch)).map(Arc::new);
            Trust::Signers(Signers {
                issuers: auth.issuers.iter().map(issuer).collect::<Result<_, _>>()?,
                secrets: auth.hs256_secrets.iter().map(secret_key).collect::<Result<_, _>>()?,
                secret_prefix: auth.hs256_repository_prefix.clone(),
            })
        };
        let allowed = Allowed::from_config(auth);
        let (verified, claim_names) = (VerifiedTokens::new(rules.leeway_ms), ClaimNames::default());
        let asked = AccessRules::default();
        Ok(Self { trust, verified, claim_rules: rules, allowed, claim_names, rules: asked })
    }

    /// Makes a verifier that asks the embedding program about each token.
    pub(crate) fn of_caller(authenticator: Arc<dyn Authenticator>) -> Self {
        let rules = ClaimRules { leeway_ms: 0, audience: None, default_repository: None, facts: Vec::new() };
        let allowed = Allowed::from_config(&config::Auth::default());
        let (verified, claim_names) = (VerifiedTokens::new(rules.leeway_ms), ClaimNames::default());
        let trust = Trust::Caller(authenticator);
        Self { trust, verified, claim_rules: rules, allowed, claim_names, rules: AccessRules::default() }
    }

    /// The same verifier, which asks these rules about each token.
    #[must_use]
    pub(crate) fn with_rules(self, rules: AccessRules) -> Self {
        Self { rules, ..self }
    }

    /// Returns the claims of a token that is valid at `now_ms` (milliseconds since 1970).
    ///
    /// A valid token is cached until it expires, so this is cheap for all but the first request. It
    /// may wait for the issuer's keys, and is safe to cancel. Must run on a tokio runtime.
    ///
    /// # Errors
    /// See [`TokenError`]. Failures are not cached.
    pub(crate) async fn verify(&self, token: &str, now_ms: u64) -> Result<Arc<Claims>, TokenError> {
        let signers = match &self.trust {
            Trust::Signers(signers) => signers,
            Trust::Everyone => return self.read_unverified(token, now_ms),
            Trust::Caller(caller) => {
                let access = caller.authenticate(token).await?;
                let claims = access.into_claims(token, now_ms)?;
                return self.rules.admit(claims, self.rules.generation())?.into_claims();
            }
        };
        let known_as = fingerprint(token);
        match self.verified.get(&known_as, self.rules.generation(), now_ms)? {
            Some(verified) => verified.into_claims(),
            // Boxed: it is rare, and would make every call's future larger.
            None => Box::pin(self.verify_first(signers, token, known_as, now_ms)).await,
        }
    }

    /// Verifies a token that is not cached, and caches it.
    async fn verify_first(
        &self,
        signers: &Signers,
        token: &str,
        known_as: Fingerprint,
        now_ms: u64,
    ) -> Result<Arc<Claims>, TokenError> {
        let Signers { issuers, secrets, secret_prefix } = signers;
        let generation = self.rules.generation();
        let jwt = Jwt::parse(token)?;
        let algorithm = accepted(jwt.header.algorithm()).ok_or(TokenError::BadSignature)?;
        jwt.claims.check_times(&self.claim_rules, now_ms)?;
        let prefix = if algorithm == Algorithm::HS256 {
            check_secret_signature(&jwt, secrets)?;
            secret_prefix
        } else {
            let issuer = trusted(issuers, jwt.claims.issuer()?)?;
            check_issuer_signature(&jwt, algorithm, issuer, now_ms).await?;
            &issuer.repository_prefix
        };
        let claims = self.read_verified(&jwt, prefix, &known_as, now_ms)?;
        self.claim_names.log(jwt.claims.issuer().ok(), &jwt.payload);
        let verified = self.rules.admit(claims, generation)?;
        self.verified.insert(known_as, verified.clone());
        verified.into_claims()
    }

    fn read_verified(
        &self,
        jwt: &Jwt<'_>,
        prefix: &str,
        known_as: &Fingerprint,
        now_ms: u64,
    ) -> Result<Claims, TokenError> {
        jwt.claims.check_audience(&self.claim_rules)?;
        let missing = || TokenError::BadClaim("ac is missing".to_owned());
        let repository = jwt.claims.repository(&self.claim_rules, prefix)?;
        self.allowed.check(&jwt.claims, prefix, &repository)?;
        Ok(Claims {
            repository,
            scopes: jwt.claims.scopes()?.ok_or_else(missing)?,
            owner: owner(known_as),
            expires_ms: jwt.claims.expires_ms()?,
            issued_ms: jwt.claims.issued_ms(now_ms),
            facts: facts::read(&jwt.payload, &self.claim_rules.facts),
        })
    }

    fn read_unverified(&self, token: &str, now_ms: u64) -> Result<Arc<Claims>, TokenError> {
        let known_as = fingerprint(token);
        let generation = self.rules.generation();
        // One that has expired is accepted, too, and read each time.
        if let Ok(Some(verified)) = self.verified.get(&known_as, generation, now_ms) {
            return verified.into_claims();
        }
        let jwt = Jwt::parse(token)?;
        let default =
            self.claim_rules.default_repository.clone().unwrap_or_else(|| UNVERIFIED_REPOSITORY.to_owned());
        let rules =
            ClaimRules { default_repository: Some(default), leeway_ms: 0, audience: None, facts: Vec::new() };
        let everything = || vec![Scope { name: String::new(), read: true, write: true }];
        let stated = jwt.claims.expires_ms().ok();
        let claims = Claims {
            repository: jwt.claims.repository(&rules, "")?,
            scopes: jwt.claims.scopes()?.unwrap_or_else(everything),
            owner: owner(&known_as),
            expires_ms: stated.unwrap_or(now_ms.saturating_add(UNVERIFIED_LIFETIME_MS)),
            issued_ms: jwt.claims.issued_ms(now_ms),
            facts: facts::read(&jwt.payload, &self.claim_rules.facts),
        };
        self.claim_names.log(jwt.claims.issuer().ok(), &jwt.payload);
        let verified = self.rules.admit(claims, generation)?;
        if stated.is_some_and(|stated| !has_expired(stated, self.claim_rules.leeway_ms, now_ms)) {
            self.verified.insert(known_as, verified.clone());
        }
        verified.into_claims()
    }

    /// Returns the state of the keys of all issuers whose keys are fetched.
    pub(crate) fn key_status(&self, now_ms: u64) -> Vec<KeyStatus> {
        let Trust::Signers(signers) = &self.trust else { return Vec::new() };
        signers.issuers.iter().filter_map(|issuer| issuer.key_status(now_ms)).collect()
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.verified.len()
    }
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier").finish_non_exhaustive()
    }
}

/// Returns the issuer that a bearer token names. Nothing is verified.
pub(crate) fn issuer_of(authorization: Option<&[u8]>) -> Option<String> {
    let jwt = Jwt::parse(bearer(authorization).ok()?).ok()?;
    jwt.claims.issuer().ok().map(str::to_owned)
}

/// Returns the algorithm of this name, if it is one that is accepted. `none` is not.
fn accepted(name: Option<&str>) -> Option<Algorithm> {
    match name? {
        "RS256" => Some(Algorithm::RS256),
        "RS384" => Some(Algorithm::RS384),
        "RS512" => Some(Algorithm::RS512),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "HS256" => Some(Algorithm::HS256),
        _ => None,
    }
}

fn trusted<'a>(issuers: &'a [Arc<Issuer>], name: &str) -> Result<&'a Arc<Issuer>, TokenError> {
    issuers.iter().find(|issuer| issuer.is(name)).ok_or_else(|| TokenError::untrusted(name))
}

async fn check_issuer_signature(
    jwt: &Jwt<'_>,
    algorithm: Algorithm,
    issuer: &Arc<Issuer>,
    now_ms: u64,
) -> Result<(), TokenError> {
    let id = jwt.header.kid.as_deref();
    let keys = issuer.keys(algorithm, id, now_ms).await?;
    match keys.check(algorithm, id, jwt.signed, jwt.signature) {
        Verdict::Good => Ok(()),
        Verdict::Bad | Verdict::NoKey => Err(TokenError::BadSignature),
    }
}

fn check_secret_signature(jwt: &Jwt<'_>, secrets: &[DecodingKey]) -> Result<(), TokenError> {
    let made_with =
        |key: &DecodingKey| crypto::verify(jwt.signature, jwt.signed, key, Algorithm::HS256).unwrap_or(false);
    if secrets.iter().any(made_with) { Ok(()) } else { Err(TokenError::BadSignature) }
}

fn secret_key(secret: &config::Secret) -> Result<DecodingKey, AuthSetupError> {
    let refuse = |problem| AuthSetupError::Secret { setting: "auth.hs256_secrets", problem };
    let bytes = secret.key_bytes().map_err(|problem| refuse(problem.to_owned()))?;
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(refuse(format!("each must have at least {MIN_SECRET_BYTES} bytes")));
    }
    Ok(DecodingKey::from_secret(&bytes))
}

pub(super) fn owner(known_as: &Fingerprint) -> String {
    hex::encode(&known_as[..16])
}
