//! Gets the bearer token of a request: a static one, or one by client credentials, fetched once for all who wait.
//!
//! A token is fetched again shortly before it ends, or when Ironclad refuses it. Ironclad answers a wrong secret with
//! 403 `unauthorized_client`, where RFC 6749 §5.2 has 401 (ironclad-api.md §12).

use std::time::{Duration, Instant};

use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, RequestTokenError, Scope, TokenResponse, TokenUrl,
    basic::BasicClient,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

/// How a caller signs in.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A bearer token that is used as it is.
    Token(SecretString),
    /// OAuth 2.0 client credentials (RFC 6749 §4.4).
    Client {
        /// The client's id.
        id: String,
        /// The client's secret.
        secret: SecretString,
        /// The scopes asked for.
        scopes: Vec<String>,
    },
}

/// Why no token can be had.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No credentials are set.
    #[error("no credentials are set")]
    NoCredentials,
    /// Ironclad refuses to give one; its own words.
    #[error("Ironclad refused to issue a token: {code}{}", .description.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// OAuth's error code.
        code: String,
        /// Its explanation.
        description: Option<String>,
    },
    /// The token endpoint cannot be reached.
    #[error("the token endpoint cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The token endpoint answered something that is no token.
    #[error("the token endpoint answered something that is no token")]
    NoToken,
}

struct Fetched {
    token: SecretString,
    /// When to fetch the next one.
    until: Instant,
}

/// The tokens of one account.
pub struct Auth {
    credentials: Option<Credentials>,
    token_url: String,
    fetched: Mutex<Option<Fetched>>,
}

/// How long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a token is used whose lifetime Ironclad did not say.
const UNSAID_LIFETIME: Duration = Duration::from_secs(3600);

impl Auth {
    /// The tokens of `credentials` at an Ironclad host.
    #[must_use]
    pub fn new(credentials: Option<Credentials>, origin: &str) -> Self {
        Self { credentials, token_url: format!("{origin}/oauth/token"), fetched: Mutex::new(None) }
    }

    /// Whether a refused token can be replaced by a fresh one.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        matches!(self.credentials, Some(Credentials::Client { .. }))
    }

    /// The token to use now; `refused` is one that Ironclad would not take.
    ///
    /// # Errors
    /// No token can be had.
    pub async fn token(
        &self,
        http: &reqwest::Client,
        refused: Option<&SecretString>,
    ) -> Result<SecretString, AuthError> {
        let (id, secret, scopes) = match &self.credentials {
            None => return Err(AuthError::NoCredentials),
            Some(Credentials::Token(token)) => return Ok(token.clone()),
            Some(Credentials::Client { id, secret, scopes }) => (id, secret, scopes),
        };
        // Held while fetching: whoever else needs the token waits here for the same one.
        let mut fetched = self.fetched.lock().await;
        if let Some(known) = fetched.as_ref()
            && known.until > Instant::now()
            && refused.is_none_or(|refused| refused.expose_secret() != known.token.expose_secret())
        {
            return Ok(known.token.clone());
        }
        let fresh =
            Box::pin(fetch(http.clone(), self.token_url.clone(), (id.clone(), secret.clone()), scopes.clone())).await?;
        let token = fresh.token.clone();
        *fetched = Some(fresh);
        Ok(token)
    }
}

async fn fetch(
    http: reqwest::Client,
    token_url: String,
    (id, secret): (String, SecretString),
    scopes: Vec<String>,
) -> Result<Fetched, AuthError> {
    let token_url = TokenUrl::new(token_url).map_err(|_| AuthError::NoToken)?;
    let client = BasicClient::new(ClientId::new(id))
        .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(token_url);
    let request = client.exchange_client_credentials().add_scopes(scopes.into_iter().map(Scope::new));
    let send = move |request| bridge(http.clone(), request);
    let reply = request.request_async(&send).await.map_err(refusal)?;
    let lifetime = reply.expires_in().unwrap_or(UNSAID_LIFETIME);
    Ok(Fetched {
        token: SecretString::from(reply.access_token().secret().clone()),
        until: Instant::now() + lifetime.saturating_sub(MARGIN).max(lifetime / 2),
    })
}

type TokenError = RequestTokenError<reqwest::Error, oauth2::basic::BasicErrorResponse>;

fn refusal(error: TokenError) -> AuthError {
    match error {
        RequestTokenError::ServerResponse(reply) => {
            AuthError::Refused { code: reply.error().to_string(), description: reply.error_description().cloned() }
        }
        RequestTokenError::Request(error) => AuthError::Unreachable(error.without_url()),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => AuthError::NoToken,
    }
}

/// oauth2's own reqwest feature pins an older reqwest, so requests pass through our client by hand.
async fn bridge(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let reply = http.execute(request.try_into()?).await?;
    // Trouble over there says nothing about our credentials, and may pass.
    let in_trouble = reply.status().is_server_error() || reply.status() == http::StatusCode::TOO_MANY_REQUESTS;
    let reply = if in_trouble { reply.error_for_status()? } else { reply };
    let mut bridged = http::Response::new(Vec::new());
    *bridged.status_mut() = reply.status();
    *bridged.headers_mut() = reply.headers().clone();
    *bridged.body_mut() = reply.bytes().await?.to_vec();
    Ok(bridged)
}
