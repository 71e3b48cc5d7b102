//! Checks the access token of a caller: a JWT (RFC 7519, RFC 9068) of one issuer, made for this server (pure).
//!
//! The signature is left to `jsonwebtoken`; every claim is checked here, against a time that is given, since the library
//! reads the clock by itself and lets a token without audience or issuer pass. Keys come from the issuer's key set alone:
//! what a token says of keys (`jwk`, `jku`, `x5c`) is not looked at, and no key of a set is ever a shared secret.

pub use jsonwebtoken::Algorithm;
use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::{Map, Value};

use crate::policy::Access;
pub use crate::policy::{READ_SCOPE as READ, WRITE_SCOPE as WRITE};

/// The algorithms that may be allowed: those that need the issuer's private key.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The longest token that is looked at, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// How far the issuer's clock and this one may be apart, in seconds.
const LEEWAY: i64 = 30;

/// The most keys of a set that are looked at.
const MOST_KEYS: usize = 100;

/// The most agents that a token may name.
const MOST_AGENTS: usize = 100;

/// The longest subject, in bytes.
const LONGEST_SUBJECT: usize = 256;

/// The claim that holds an e-mail address where no other is named (OpenID Connect Core §5.1).
const EMAIL: &str = "email";

/// Which tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What `iss` must be, to the letter.
    pub issuer: String,
    /// What `aud` must hold: the URL of this server's MCP endpoint (RFC 8707).
    pub audience: String,
    /// The algorithms that a token may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The claim that the operator vouches for as an e-mail address; `None` is `email`, and only where it is verified.
    pub email_claim: Option<String>,
    /// The claim that names the agent.
    pub agent_claim: Option<String>,
}

/// What a token says that was found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who made the token.
    pub issuer: String,
    /// Whom it stands for, by the issuer's own name for them.
    pub subject: String,
    /// Their verified e-mail address.
    pub email: Option<String>,
    /// The agents that it names; `None` where it has no such claim.
    pub agents: Option<Vec<String>>,
    /// How far its scopes reach.
    pub access: Access,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

impl Claims {
    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self, now: i64) -> bool {
        now >= self.expires.saturating_add(LEEWAY)
    }
}

/// For how many seconds a token that ends then is taken yet.
#[must_use]
pub fn left(expires: i64, now: i64) -> u64 {
    u64::try_from(expires.saturating_add(LEEWAY).saturating_sub(now)).unwrap_or(0)
}

/// Why a token is not taken; the words may be told to whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is larger than any token needs to be.
    #[error("the token is too long")]
    TooLong,
    /// It is no JWT.
    #[error("the token is no JWT")]
    NoJwt,
    /// It is a JWT of another kind, or wants something understood that is not.
    #[error("the token is no access token that is understood here")]
    Kind,
    /// It is signed in a way that is not allowed, or not at all.
    #[error("the token is not signed with an allowed algorithm")]
    Algorithm,
    /// The issuer has no such key.
    #[error("the token is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the signature of the token is wrong")]
    Signature,
    /// It has another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("the token was not made for this server")]
    Audience,
    /// It has ended.
    #[error("the token has expired")]
    Expired,
    /// It has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It does not say when it ends.
    #[error("the token has no sound exp")]
    NoExpiry,
    /// It does not say whom it stands for.
    #[error("the token has no sound sub")]
    NoSubject,
}

/// The public keys of an issuer.
#[derive(Debug, Clone)]
pub struct Keys {
    keys: Vec<Key>,
    /// The set as it was published, to tell a change.
    published: Vec<Value>,
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        self.published == other.published
    }
}

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for.
    algorithm: Option<String>,
    decoding: DecodingKey,
}

impl Keys {
    /// Reads a key set (RFC 7517 §5). Keys of unknown kinds, of other uses and shared secrets are left out.
    #[must_use]
    pub fn read(document: &Value) -> Option<Self> {
        let published: Vec<Value> = document.get("keys")?.as_array()?.iter().take(MOST_KEYS).cloned().collect();
        let keys = published.iter().filter_map(key).collect();
        Some(Self { keys, published })
    }

    /// Whether there is none to check a signature with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token may be signed with: that of its `kid`, or any that fits where it names none.
    fn candidates<'a>(&'a self, id: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| {
            let is_named = id.is_none_or(|id| key.id.as_deref() == Some(id));
            let may_sign = key.algorithm.as_ref().is_none_or(|one| one.parse() == Ok(algorithm));
            is_named && may_sign && key.decoding.family() == algorithm.family()
        };
        self.keys.iter().filter(fits)
    }
}

fn key(published: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(published.clone()).ok()?;
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
    let verifies = jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let is_public = decoding.family() != AlgorithmFamily::Hmac;
    let algorithm = published.get("alg").and_then(Value::as_str).map(str::to_owned);
    (signs && verifies && is_public).then_some(Key { id: jwk.common.key_id, algorithm, decoding })
}

/// Checks a token at a time in seconds since 1970.
///
/// # Errors
/// The first thing that is wrong; nothing that a token claims is looked at before its signature is known to be right.
pub fn check(token: &str, keys: &Keys, terms: &Terms, now: i64) -> Result<Claims, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong);
    }
    let claims = signed(token, keys, terms)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(&terms.issuer) {
        return Err(TokenError::Issuer);
    }
    if !texts(claims.get("aud")).any(|audience| same_resource(audience, &terms.audience)) {
        return Err(TokenError::Audience);
    }
    let expires = claims.get("exp").and_then(seconds).ok_or(TokenError::NoExpiry)?;
    let begins = claims.get("nbf").map(|nbf| seconds(nbf).ok_or(TokenError::NotYet)).transpose()?;
    if begins.is_some_and(|begins| begins > now.saturating_add(LEEWAY)) {
        return Err(TokenError::NotYet);
    }
    let sound =
        |subject: &&str| (1..=LONGEST_SUBJECT).contains(&subject.len()) && !subject.chars().any(char::is_control);
    let claims = Claims {
        issuer: terms.issuer.clone(),
        subject: text("sub").filter(sound).ok_or(TokenError::NoSubject)?.to_owned(),
        email: email(&claims, terms.email_claim.as_deref()),
        agents: terms.agent_claim.as_ref().and_then(|name| claims.get(name)).map(agents),
        access: access(&claims),
        expires,
    };
    if claims.has_ended(now) { Err(TokenError::Expired) } else { Ok(claims) }
}

/// The claims of a token whose signature is right.
fn signed(token: &str, keys: &Keys, terms: &Terms) -> Result<Map<String, Value>, TokenError> {
    let Ok(header) = decode_header(token) else {
        // An algorithm that the library does not know, such as none, is no fault of form.
        return Err(if is_jwt(token) { TokenError::Algorithm } else { TokenError::NoJwt });
    };
    if !terms.algorithms.contains(&header.alg) || !ALGORITHMS.contains(&header.alg) {
        return Err(TokenError::Algorithm);
    }
    let kind = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
    let is_known = matches!(kind.trim_start_matches("application/"), "jwt" | "at+jwt");
    if !is_known || header.crit.is_some() {
        return Err(TokenError::Kind);
    }
    let mut validation = Validation::new(header.alg);
    // All of them are checked by the caller of this.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let mut found = false;
    for key in keys.candidates(header.kid.as_deref(), header.alg) {
        found = true;
        if let Ok(read) = decode::<Map<String, Value>>(token, &key.decoding, &validation) {
            return Ok(read.claims);
        }
    }
    Err(if found { TokenError::Signature } else { TokenError::UnknownKey })
}

/// Whether a text has the outer form of a JWT.
fn is_jwt(token: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    token.starts_with("ey") && token.split('.').count() == 3 && token.split('.').all(plain)
}

/// A text, or those of an array.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, many) = (value.and_then(Value::as_str), value.and_then(Value::as_array));
    one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str))
}

/// A slash at the end is no other resource.
fn same_resource(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
    bare(one) == bare(other)
}

/// A time in seconds; some issuers give fractions (RFC 7519 §2, NumericDate).
fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let whole = |number: f64| (0.0..1e15).contains(&number).then_some(number as i64);
    value.as_i64().filter(|number| *number >= 0).or_else(|| value.as_f64().and_then(whole))
}

/// The address of the claim that the operator named, or the one that the issuer has verified.
fn email(claims: &Map<String, Value>, named: Option<&str>) -> Option<String> {
    let name = named.unwrap_or(EMAIL);
    let is_verified = || match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    let address = claims.get(name)?.as_str()?;
    let (before, host) = address.split_once('@')?;
    let plain = address.len() <= 254 && address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    let is_address = plain && !before.is_empty() && !host.is_empty() && !host.contains('@');
    (is_address && (name != EMAIL || is_verified())).then(|| address.to_owned())
}

fn agents(claim: &Value) -> Vec<String> {
    texts(Some(claim)).take(MOST_AGENTS).map(str::to_owned).collect()
}

/// How far the scopes reach, by `scope` (RFC 9068 §2.2.3) or `scp`, as other issuers call it.
fn access(claims: &Map<String, Value>) -> Access {
    let scopes = ["scope", "scp"].into_iter().flat_map(|name| texts(claims.get(name))).flat_map(str::split_whitespace);
    scopes.fold(Access::Off, |access, scope| match scope {
        WRITE => Access::Full,
        READ => access.max(Access::Read),
        _ => access,
    })
}

#[cfg(test)]
#[path = "caller_token/tests.rs"]
pub(crate) mod tests;
