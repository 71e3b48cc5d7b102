//! Ironclad's token endpoint: the three grants, and how its refusals read.
//!
//! Ironclad answers a wrong secret with 403 `unauthorized_client`, and a spent refresh token or code with 403
//! `invalid_grant`, where RFC 6749 §5.2 has 401 and 400 (ironclad-api.md §12); so the word decides, and not the status.

use std::time::Duration;

use oauth2::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    TokenResponse, TokenUrl,
    basic::{BasicClient, BasicTokenResponse},
};
use secrecy::{ExposeSecret, SecretString};

use super::AuthError;
use crate::{
    egress::Barred,
    ironclad::door::{Door, DoorError},
    masking::learned,
};

/// How long a token is used whose lifetime Ironclad did not say.
const UNSAID_LIFETIME: Duration = Duration::from_secs(3600);

/// The longest answer that is read: tokens are a few hundred bytes.
const MAX_BYTES: usize = 64 * 1024;

/// An OAuth client at an Ironclad host.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The host's origin.
    pub origin: String,
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
}

/// What the token endpoint gave.
#[derive(Debug)]
pub struct Issued {
    /// The bearer token.
    pub access: SecretString,
    /// The refresh token, where the grant has one.
    pub refresh: Option<SecretString>,
    /// How long the bearer token lives.
    pub lifetime: Duration,
    /// Its scopes, where they are told.
    pub scopes: Option<Vec<String>>,
}

/// A question to a person in a browser, and what proves that the answer belongs to it.
pub struct Asked {
    /// The page to open.
    pub url: String,
    /// Comes back with the answer.
    pub state: CsrfToken,
    /// Goes with the code, where PKCE is used.
    pub verifier: Option<PkceCodeVerifier>,
}

type Configured = BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

impl Endpoint {
    fn client(&self) -> Result<Configured, AuthError> {
        let token_url = TokenUrl::new(format!("{}/oauth/token", self.origin)).map_err(|_| AuthError::NoToken)?;
        Ok(BasicClient::new(ClientId::new(self.id.clone()))
            .set_client_secret(ClientSecret::new(self.secret.expose_secret().to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(token_url))
    }

    /// A token by client credentials (RFC 6749 §4.4).
    ///
    /// # Errors
    /// No token is given.
    pub async fn by_client(&self, http: &Door, scopes: &[String]) -> Result<Issued, AuthError> {
        let client = self.client()?;
        let request = client.exchange_client_credentials().add_scopes(scopes.iter().cloned().map(Scope::new));
        let send = |request| bridge(http.clone(), request);
        Ok(issued(&request.request_async(&send).await.map_err(refusal)?))
    }

    /// The next pair for a refresh token, which is spent by it.
    ///
    /// # Errors
    /// No token is given.
    pub async fn by_refresh(&self, http: &Door, refresh: &SecretString) -> Result<Issued, AuthError> {
        let client = self.client()?;
        let refresh = RefreshToken::new(refresh.expose_secret().to_owned());
        let request = client.exchange_refresh_token(&refresh);
        let send = |request| bridge(http.clone(), request);
        Ok(issued(&request.request_async(&send).await.map_err(refusal)?))
    }

    /// The page where a person allows `scopes`, with the answer sent to `redirect`.
    ///
    /// # Errors
    /// The origin or the redirect is no URL.
    pub fn consent(&self, redirect: &str, scopes: &[String], pkce: bool) -> Result<Asked, AuthError> {
        let authorize = oauth2::AuthUrl::new(format!("{}/oauth/authorize", self.origin));
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| AuthError::NoToken)?;
        let client = BasicClient::new(ClientId::new(self.id.clone()))
            .set_auth_uri(authorize.map_err(|_| AuthError::NoToken)?)
            .set_redirect_uri(redirect);
        let mut request =
            client.authorize_url(CsrfToken::new_random).add_scopes(scopes.iter().cloned().map(Scope::new));
        let mut verifier = None;
        if pkce {
            let (challenge, kept) = PkceCodeChallenge::new_random_sha256();
            request = request.set_pkce_challenge(challenge);
            verifier = Some(kept);
        }
        let (url, state) = request.url();
        Ok(Asked { url: url.to_string(), state, verifier })
    }

    /// The first pair, for the code that a person's browser brought.
    ///
    /// # Errors
    /// No token is given.
    pub async fn by_code(
        &self,
        http: &Door,
        code: &SecretString,
        (redirect, verifier): (&str, Option<PkceCodeVerifier>),
    ) -> Result<Issued, AuthError> {
        let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| AuthError::NoToken)?;
        let client = self.client()?.set_redirect_uri(redirect);
        let mut request = client.exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()));
        if let Some(verifier) = verifier {
            request = request.set_pkce_verifier(verifier);
        }
        let send = |request| bridge(http.clone(), request);
        Ok(issued(&request.request_async(&send).await.map_err(refusal)?))
    }
}

fn issued(reply: &BasicTokenResponse) -> Issued {
    let texts = |scopes: &Vec<Scope>| scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    Issued {
        access: learned(SecretString::from(reply.access_token().secret().clone())),
        refresh: reply.refresh_token().map(|token| learned(SecretString::from(token.secret().clone()))),
        lifetime: reply.expires_in().unwrap_or(UNSAID_LIFETIME),
        scopes: reply.scopes().map(texts),
    }
}

type TokenError = RequestTokenError<Unanswered, oauth2::basic::BasicErrorResponse>;

fn refusal(error: TokenError) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(reply) => {
            AuthError::Refused { code: reply.error().to_string(), description: reply.error_description().cloned() }
        }
        RequestTokenError::Request(Unanswered::Barred(barred)) => AuthError::Barred(barred),
        RequestTokenError::Request(Unanswered::Broken(error)) => AuthError::unreachable(error),
        RequestTokenError::Request(Unanswered::TooLong)
        | RequestTokenError::Parse(..)
        | RequestTokenError::Other(_) => AuthError::NoToken,
    }
}

/// Why a request to the endpoint brought no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Barred(#[from] Barred),
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
    #[error("the answer is too long")]
    TooLong,
}

impl From<DoorError> for Unanswered {
    fn from(error: DoorError) -> Self {
        match error {
            DoorError::Barred(barred) => Self::Barred(barred),
            DoorError::Http(error) => Self::Broken(error),
        }
    }
}

/// oauth2's own reqwest feature pins an older reqwest, so requests pass through our client by hand.
async fn bridge(http: Door, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
    let reply = http.execute(request.try_into()?).await?;
    // Trouble over there says nothing about our credentials, and may pass.
    let in_trouble = reply.status().is_server_error() || reply.status() == http::StatusCode::TOO_MANY_REQUESTS;
    let mut reply = if in_trouble { reply.error_for_status()? } else { reply };
    let mut bridged = http::Response::new(Vec::new());
    *bridged.status_mut() = reply.status();
    *bridged.headers_mut() = reply.headers().clone();
    while let Some(chunk) = reply.chunk().await? {
        if bridged.body().len() + chunk.len() > MAX_BYTES {
            return Err(Unanswered::TooLong);
        }
        bridged.body_mut().extend_from_slice(&chunk);
    }
    Ok(bridged)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint { origin: "https://na1.ironcladapp.com".into(), id: "id".into(), secret: "hush".into() }
    }

    #[test]
    fn the_page_of_consent_has_all_that_ironclad_wants_and_no_secret() {
        let scopes = ["a.b".to_owned(), "a.c".to_owned()];
        let asked = endpoint().consent("http://localhost:8976/callback", &scopes, true).unwrap();
        let url = Url::parse(&asked.url).unwrap();
        let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/oauth/authorize");
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], "id");
        assert_eq!(query["redirect_uri"], "http://localhost:8976/callback");
        assert_eq!(query["scope"], "a.b a.c");
        assert_eq!(query["state"], *asked.state.secret());
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(asked.verifier.is_some() && !asked.url.contains("hush"));
    }

    #[test]
    fn pkce_can_be_left_out() {
        let asked = endpoint().consent("http://localhost:1/callback", &[], false).unwrap();
        assert!(asked.verifier.is_none());
        assert!(!asked.url.contains("code_challenge") && !asked.url.contains("scope"), "{}", asked.url);
    }
}
