//! Gets the bearer token of a request, whoever signs in: a static token, a kept login, or the client itself.
//!
//! A token is fetched again shortly before it ends, or when Ironclad refuses it, and once for all who wait. It is never
//! looked into: an egress proxy may have put a stand-in in its place.

mod client;
pub mod endpoint;
pub mod grants;
mod kept;
pub mod login;
pub mod renewal;
pub mod seal;
pub mod sign_in;
pub mod store;
mod user;

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::watch;

use self::{
    client::ByClient,
    endpoint::Endpoint,
    login::Login,
    renewal::{Order, Report},
    sign_in::SignIn,
    store::StoreError,
};
pub use self::{
    grants::{Grants, Wanted},
    kept::Kept,
};
use super::{Client, door::Door};
use crate::{egress::Barred, masking::learn};

/// How a caller signs in.
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
        scopes: Wanted,
    },
    /// A login through the browser that is kept on this machine, and what it may do.
    Login(Box<Kept>, Grants),
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
    Unreachable(#[source] Unreached),
    /// The token endpoint is where this program may not connect to.
    #[error(transparent)]
    Barred(#[from] Barred),
    /// The token endpoint answered something that is no token.
    #[error("the token endpoint answered something that is no token")]
    NoToken,
    /// Ironclad no longer renews the kept login.
    #[error("the kept login has ended: Ironclad renews it no more{}", .description.as_ref().map(|d| format!(" ({d})")).unwrap_or_default())]
    LoginEnded {
        /// Ironclad's explanation.
        description: Option<String>,
    },
    /// The kept login was there when the program began, and is gone.
    #[error("the kept login was forgotten by `logout`")]
    LoggedOut,
    /// The kept login is another person's than when the program began.
    #[error("the kept login was {began_as}'s when this program began, and is {now}'s now")]
    OtherUser {
        /// Whose it was.
        began_as: String,
        /// Whose it is.
        now: String,
    },
    /// The kept login cannot be read or kept.
    #[error("the kept login cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// What kept a request from being answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreached(pub String);

impl AuthError {
    /// What can be done about it. Ironclad's words for a refusal are not RFC 6749's (ironclad-api.md §12).
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::NoCredentials => {
                "the operator must set IRONCLAD_CLIENT_ID and IRONCLAD_CLIENT_SECRET, or IRONCLAD_ACCESS_TOKEN"
            }
            Self::Refused { code, .. } if matches!(code.as_str(), "unauthorized_client" | "invalid_client") => {
                "the operator must check IRONCLAD_CLIENT_ID, IRONCLAD_CLIENT_SECRET and the region: Ironclad does not know \
                 the client, its secret is wrong, or it may not sign in this way"
            }
            Self::Refused { code, .. } if code == "invalid_scope" => {
                "an Ironclad administrator must add the scopes to the client, or the operator leave them out with \
                 --scopes, --toolsets or --exclude-tools"
            }
            Self::Refused { .. } => {
                "the operator must check IRONCLAD_CLIENT_ID, IRONCLAD_CLIENT_SECRET, the scopes of the client and the region"
            }
            Self::Unreachable(_) => "check the network, the proxy and the base URL, and try again",
            Self::Barred(_) => {
                "the operator can list the host in --egress-allow (IRONCLAD_EGRESS_ALLOW), if it is meant"
            }
            Self::NoToken => "the operator must check that the base URL is an Ironclad host",
            Self::LoginEnded { .. } | Self::LoggedOut => {
                "run `ironclad-mcp login` again on the server's machine; the server takes it up by itself"
            }
            Self::OtherUser { .. } => {
                "start the server again to act as the new user, or run `ironclad-mcp login` as the one before"
            }
            Self::Store(_) => "make it readable and writable for the server's user, or run `ironclad-mcp login` again",
        }
    }

    /// The endpoint cannot be reached, by the last cause of an error; its URL is nobody's business.
    pub(super) fn unreachable(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Unreachable(Unreached(cause.to_string()))
    }
}

/// What came of asking for a token, in a word.
fn outcome<T>(asked: &Result<T, AuthError>) -> &'static str {
    match asked {
        Ok(_) => "granted",
        Err(AuthError::Refused { .. }) => "refused",
        Err(_) => "failed",
    }
}

enum Source {
    Nobody,
    Token(SecretString),
    Client(Arc<ByClient>),
    Login(Box<Kept>),
}

/// The tokens of one account.
pub struct Auth {
    source: Source,
    grants: watch::Sender<Arc<Grants>>,
}

impl Auth {
    /// The tokens of `credentials` at an Ironclad host.
    #[must_use]
    pub fn new(credentials: Option<Credentials>, origin: &str) -> Self {
        let (source, grants) = match credentials {
            None => (Source::Nobody, Grants::default()),
            Some(Credentials::Token(token)) => (Source::Token(token), Grants::default()),
            Some(Credentials::Login(kept, grants)) => (Source::Login(kept), grants),
            Some(Credentials::Client { id, secret, scopes }) => {
                // What the operator named is all that will be granted; the rest shows with the first token.
                let known = match &scopes {
                    Wanted::Named(scopes) => Grants::of(scopes, None),
                    Wanted::Needed(_) => Grants::default(),
                };
                let endpoint = Endpoint { origin: origin.to_owned(), id, secret };
                (Source::Client(Arc::new(ByClient::new(endpoint, scopes))), known)
            }
        };
        Self { source, grants: watch::Sender::new(Arc::new(grants)) }
    }

    /// Whether a refused token can be replaced by a fresh one.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        matches!(self.source, Source::Client(_) | Source::Login(_))
    }

    /// What the tokens may do, as far as is known, and every change of it.
    #[must_use]
    pub fn grants(&self) -> watch::Receiver<Arc<Grants>> {
        self.grants.subscribe()
    }

    /// The token to use now; `refused` is one that Ironclad would not take.
    ///
    /// # Errors
    /// No token can be had.
    pub async fn token(&self, http: &Door, refused: Option<&SecretString>) -> Result<SecretString, AuthError> {
        match &self.source {
            Source::Nobody => Err(AuthError::NoCredentials),
            Source::Token(token) => Ok(token.clone()),
            Source::Client(client) => client.token(http, refused, &self.grants).await,
            Source::Login(kept) => kept.token(http, refused, &self.grants).await,
        }
    }
}

impl Client {
    /// Fetches a token, if one has to be fetched.
    ///
    /// # Errors
    /// No token can be had.
    pub async fn sign_in(&self) -> Result<SecretString, AuthError> {
        self.auth.token(self.door().map_err(AuthError::unreachable)?, None).await
    }

    /// What the tokens may do, as far as is known, and every change of it.
    #[must_use]
    pub fn grants(&self) -> watch::Receiver<Arc<Grants>> {
        self.auth.grants()
    }

    /// Whether the first token, which is still to come, tells what the tokens may do.
    #[must_use]
    pub fn awaits_grants(&self) -> bool {
        matches!(self.auth.source, Source::Client(_)) && self.auth.grants.borrow().granted.is_none()
    }

    /// Whether a kept login signs in.
    #[must_use]
    pub fn has_login(&self) -> bool {
        matches!(self.auth.source, Source::Login(_))
    }

    /// Who signed in, where a kept login does and Ironclad told.
    #[must_use]
    pub fn login_user(&self) -> Option<&str> {
        match &self.auth.source {
            Source::Login(kept) => kept.user(),
            Source::Nobody | Source::Token(_) | Source::Client(_) => None,
        }
    }

    /// Whether a refused token can be replaced by a fresh one, whose scopes may differ.
    #[must_use]
    pub fn can_renew(&self) -> bool {
        self.auth.can_renew()
    }

    /// Redeems the code of a sign-in through the browser.
    ///
    /// # Errors
    /// Ironclad does not take it.
    pub async fn redeem(&self, sign_in: SignIn, code: &SecretString) -> Result<Login, AuthError> {
        learn(code);
        sign_in.redeem(self.door().map_err(AuthError::unreachable)?, code).await
    }

    /// Renews a kept login for another process.
    pub async fn renew(&self, order: Order) -> Report {
        match self.door() {
            Ok(http) => order.carry_out(http).await,
            Err(error) => Report::Unreachable(error.without_url().to_string()),
        }
    }
}
