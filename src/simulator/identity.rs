//! Who is calling: bearer tokens, their scopes, and the acting-user rule.
//!
//! Sign-ins live apart from the contract data so that a reset of the data leaves a connected client signed in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::errors::ApiError;
use super::exchange::Actor;
use super::incoming::Incoming;
use super::people::Person;
use super::random::Random;
use super::scopes::Registration;

/// The simulator's one OAuth client.
pub(crate) const CLIENT_ID: &str = "3f6c1f0e-8a57-4b7e-9d21-5c0a7be4d913";
/// Its secret; fixed, since nothing here is worth protecting.
pub(crate) const CLIENT_SECRET: &str = "simulator-client-secret";
/// The company-wide legacy token.
pub(crate) const LEGACY_TOKEN: &str = "simulator-legacy-token";
/// The simulated company.
pub(crate) const COMPANY_ID: &str = "5e9d0c41cdc1927c5c4e0001";
/// Its name.
pub(crate) const COMPANY_NAME: &str = "Cinderford Instruments";

/// How a token was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantKind {
    /// A user consented.
    AuthorizationCode,
    /// The client signed in for itself.
    ClientCredentials,
    /// The company-wide token.
    Legacy,
}

/// What a bearer token stands for.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// How it was obtained.
    pub(crate) kind: GrantKind,
    /// What it may do; the legacy token may do everything.
    pub(crate) scopes: Vec<String>,
    /// The consenting user of an authorization code.
    pub(crate) user_id: Option<String>,
    expires: Option<Instant>,
    revoked: bool,
}

/// A consent waiting to be exchanged, or a refresh token waiting to be used.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// What was consented to.
    pub(crate) scopes: Vec<String>,
    /// Whether the scopes were asked for by name, which decides whether replies list them.
    pub(crate) scope_asked: bool,
    /// Who consented.
    pub(crate) user_id: String,
    /// Where the code was sent; empty for refresh tokens.
    pub(crate) redirect_uri: String,
    /// The PKCE challenge and its method, when one was given.
    pub(crate) challenge: Option<(String, String)>,
    /// When a code stops being valid.
    pub(crate) expires: Option<Instant>,
}

/// All codes and tokens of this simulator.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// What the client was registered with.
    pub(crate) client: Registration,
    /// How long access tokens live that are issued from now on.
    pub(crate) lifetime: Duration,
    random: Random,
    tokens: HashMap<String, Grant>,
    codes: HashMap<String, Pending>,
    refresh: HashMap<String, Pending>,
}

/// A fresh pair of tokens.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The bearer token.
    pub(crate) access: String,
    /// The refresh token; client credentials have none.
    pub(crate) refresh: Option<String>,
    /// Lifetime of the access token, seconds.
    pub(crate) seconds: u64,
}

impl Sessions {
    /// No tokens but the legacy one; issued ones live `token_seconds`.
    pub(crate) fn new(seed: u64, token_seconds: u64, client_scopes: Option<Vec<String>>) -> Self {
        let legacy =
            Grant { kind: GrantKind::Legacy, scopes: Vec::new(), user_id: None, expires: None, revoked: false };
        Self {
            client: Registration::new(client_scopes),
            random: Random::new(seed ^ 0x0A17),
            lifetime: Duration::from_secs(token_seconds),
            tokens: HashMap::from([(LEGACY_TOKEN.to_owned(), legacy)]),
            codes: HashMap::new(),
            refresh: HashMap::new(),
        }
    }

    /// Remembers a consent and gives its code.
    pub(crate) fn add_code(&mut self, consent: Pending) -> String {
        let code = format!("sim-code-{}", self.random.hex(40));
        self.codes.insert(code.clone(), consent);
        code
    }

    /// Takes a code out; a second use finds nothing.
    pub(crate) fn take_code(&mut self, code: &str) -> Option<Pending> {
        self.codes.remove(code)
    }

    /// Takes a refresh token out: the vendor rotates them, so each works once (ironclad-api.md §12).
    pub(crate) fn take_refresh(&mut self, token: &str) -> Option<Pending> {
        self.refresh.remove(token)
    }

    /// Puts a refresh token back that was not spent after all.
    pub(crate) fn restore_refresh(&mut self, token: &str, pending: Pending) {
        self.refresh.insert(token.to_owned(), pending);
    }

    /// Issues tokens for a consent.
    pub(crate) fn issue_for_user(&mut self, consent: &Pending) -> Issued {
        let refresh = format!("sim-refresh-{}", self.random.hex(40));
        let kept = Pending { redirect_uri: String::new(), challenge: None, expires: None, ..consent.clone() };
        self.refresh.insert(refresh.clone(), kept);
        let user = Some(consent.user_id.clone());
        let access = self.issue(GrantKind::AuthorizationCode, consent.scopes.clone(), user);
        Issued { access, refresh: Some(refresh), seconds: self.lifetime.as_secs() }
    }

    /// Issues a client-credentials token.
    pub(crate) fn issue_for_client(&mut self, scopes: Vec<String>) -> Issued {
        let access = self.issue(GrantKind::ClientCredentials, scopes, None);
        Issued { access, refresh: None, seconds: self.lifetime.as_secs() }
    }

    fn issue(&mut self, kind: GrantKind, scopes: Vec<String>, user_id: Option<String>) -> String {
        let access = format!("sim-access-{}", self.random.hex(40));
        let expires = Instant::now().checked_add(self.lifetime);
        self.tokens.insert(access.clone(), Grant { kind, scopes, user_id, expires, revoked: false });
        access
    }

    /// Makes every issued access token expired; the legacy token has no lifetime and refresh tokens stay good.
    pub(crate) fn expire_all(&mut self) -> usize {
        let now = Instant::now();
        let issued = self.tokens.values_mut().filter(|grant| grant.expires.is_some());
        issued.map(|grant| grant.expires = Some(now)).count()
    }

    /// Revokes every issued access token and forgets every refresh token: all users must sign in again.
    pub(crate) fn revoke_all(&mut self) -> usize {
        self.refresh.clear();
        let issued = self.tokens.values_mut().filter(|grant| grant.expires.is_some());
        issued.map(|grant| grant.revoked = true).count()
    }

    /// The grant behind the request's bearer token.
    ///
    /// # Errors
    /// 401 `UNAUTHORIZED`, saying whether the token is unknown, revoked or expired.
    pub(crate) fn authenticate(&self, request: &Incoming) -> Result<Grant, ApiError> {
        let header = request.header("authorization").unwrap_or_default();
        let token = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let found = token.and_then(|(_, token)| self.tokens.get(token.trim()));
        let Some(grant) = found else { return Err(ApiError::unauthorized("invalid authentication token")) };
        if grant.revoked {
            return Err(ApiError::unauthorized("token has been revoked"));
        }
        match grant.expires {
            Some(at) if Instant::now() >= at => Err(ApiError::unauthorized("token has expired")),
            Some(_) | None => Ok(grant.clone()),
        }
    }
}

impl Grant {
    /// Refuses an operation the token was not granted.
    ///
    /// # Errors
    /// 403 `FORBIDDEN` naming the scope.
    pub(crate) fn require(&self, scope: &str) -> Result<(), ApiError> {
        if self.kind == GrantKind::Legacy || self.scopes.iter().any(|granted| granted == scope) {
            return Ok(());
        }
        Err(ApiError::forbidden(format!("access forbidden: the token lacks the scope {scope}")))
    }

    /// Whom the request acts as (ironclad-api.md §2): the consenting user, or the one the headers name.
    ///
    /// # Errors
    /// 400 `MISSING_PARAM` when a client-credentials token names nobody; 404 `NOT_FOUND` for an unknown user.
    pub(crate) fn acting(&self, request: &Incoming, people: &[Person]) -> Result<Actor, ApiError> {
        if self.kind == GrantKind::AuthorizationCode {
            // The consenting user acts; the headers are not even looked at.
            let tags = vec!["oauth", "authorizationCode"];
            return Ok(Actor { user_id: self.user_id.clone(), legacy: false, tags });
        }
        let user_id = named_user(request, people)?;
        if self.kind == GrantKind::Legacy {
            return Ok(Actor { user_id, legacy: true, tags: Vec::new() });
        }
        if user_id.is_none() {
            let message = "a client credentials token must name the acting user: x-as-user-email or x-as-user-id";
            return Err(ApiError::missing("x-as-user-email", message));
        }
        Ok(Actor { user_id, legacy: false, tags: vec!["oauth", "clientCredentials"] })
    }
}

fn named_user(request: &Incoming, people: &[Person]) -> Result<Option<String>, ApiError> {
    if let Some(id) = request.header("x-as-user-id") {
        let found = people.iter().find(|person| person.id == id);
        return found.map(|person| Some(person.id.clone())).ok_or_else(|| unknown_user("x-as-user-id"));
    }
    let Some(email) = request.header("x-as-user-email") else { return Ok(None) };
    let found = people.iter().find(|person| person.email.eq_ignore_ascii_case(email));
    found.map(|person| Some(person.id.clone())).ok_or_else(|| unknown_user("x-as-user-email"))
}

fn unknown_user(header: &str) -> ApiError {
    ApiError::not_found(header, "user does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::exchange::Query;
    use crate::simulator::people::people;
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn request(headers: &[(&'static str, &str)]) -> Incoming {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("header"));
        }
        Incoming {
            method: "GET".into(),
            path: "/".into(),
            query: Query::default(),
            headers: map,
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn a_client_credentials_token_must_name_an_acting_user() {
        let mut sessions = Sessions::new(1, 60, None);
        let token = format!("Bearer {}", sessions.issue_for_client(vec!["a".into()]).access);
        let everyone = people();
        let nobody = request(&[("authorization", &token)]);
        let grant = sessions.authenticate(&nobody).expect("issued");
        assert_eq!(grant.acting(&nobody, &everyone).expect_err("nobody").code, "MISSING_PARAM");
        let stranger = request(&[("x-as-user-email", "nobody@simulator.example")]);
        assert_eq!(grant.acting(&stranger, &everyone).expect_err("stranger").status, 404);
        let maya = request(&[("x-as-user-email", "MAYA.ORTIZ@simulator.example")]);
        assert_eq!(grant.acting(&maya, &everyone).expect("maya").user_id, Some(everyone[0].id.clone()));
    }

    #[test]
    fn expiring_tokens_leaves_the_legacy_one() {
        let mut sessions = Sessions::new(1, 60, None);
        let token = format!("Bearer {}", sessions.issue_for_client(Vec::new()).access);
        assert_eq!(sessions.expire_all(), 1);
        let error = sessions.authenticate(&request(&[("authorization", &token)])).expect_err("expired");
        assert_eq!(error.message, "token has expired");
        let legacy = format!("bearer {LEGACY_TOKEN}");
        assert!(sessions.authenticate(&request(&[("authorization", &legacy)])).is_ok());
    }

    #[test]
    fn a_token_without_the_scope_is_forbidden() {
        let mut sessions = Sessions::new(1, 60, None);
        let token = format!("Bearer {}", sessions.issue_for_client(vec!["public.records.readRecords".into()]).access);
        let grant = sessions.authenticate(&request(&[("authorization", &token)])).expect("issued");
        assert!(grant.require("public.records.readRecords").is_ok());
        assert_eq!(grant.require("public.workflows.cancel").expect_err("scope").status, 403);
    }
}
