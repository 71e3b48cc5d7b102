//! The server as an OAuth 2.1 resource server: who a caller's token makes them, and how whoever has none gets one
//! (RFC 9728, RFC 6750 §3).

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use url::Url;

use super::callers::bearer;
use crate::{
    agents::{Agent, Principal},
    caller_token::{Claims, READ, WRITE},
    issuer::{FLOOR, Issuer, Unverified},
    policy::{self, Access},
    roster::{LiveRoster, Roster},
};

/// Where the metadata are (RFC 9728 §3); the resource's own path may follow.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Takes tokens of one issuer.
pub struct ResourceServer {
    /// The agents that callers may be.
    pub roster: Arc<LiveRoster>,
    /// Who checks tokens.
    pub issuer: Arc<Issuer>,
    /// The public URL of `/mcp`.
    pub resource: Url,
    /// The agent of a caller whose token names none.
    pub agent: Option<String>,
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceServer").field("terms", self.issuer.terms()).field("agent", &self.agent).finish()
    }
}

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("send a token of the authorization server as Authorization: Bearer TOKEN")]
    NoToken,
    #[error("one request has one Authorization header")]
    TwoTokens,
    #[error("{0}")]
    Unverified(#[from] Unverified),
    #[error("the token has neither the scope {READ} nor {WRITE}")]
    NoScope,
    #[error("the token names no agent of this server")]
    NoAgent,
    #[error("the token names several agents of this server, and it must be one")]
    ManyAgents,
    #[error(
        "the token has no verified e-mail address, and its agent has no user of its own, so there is nobody to act as"
    )]
    NoUser,
}

impl ResourceServer {
    /// Who makes a request.
    ///
    /// # Errors
    /// The answer to somebody who is not let in.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<Agent, Response> {
        let admitted = match token(headers) {
            Ok(token) => match self.issuer.verify(token).await {
                Ok(claims) => agent_of(&claims, self.agent.as_deref(), &self.roster.now()),
                Err(unverified) => Err(unverified.into()),
            },
            Err(refusal) => Err(refusal),
        };
        admitted.map_err(|refusal| {
            tracing::debug!("a caller was not let in: {refusal}");
            self.answer(&refusal)
        })
    }

    /// The pages that say where tokens are had; anybody may read them, from a browser as well.
    pub(super) fn pages(self: &Arc<Self>) -> Router {
        let metadata = self.metadata();
        let page = get(move || async move { ([(CACHE_CONTROL, "max-age=3600")], Json(metadata)) });
        let mut paths = vec![WELL_KNOWN.to_owned(), format!("{WELL_KNOWN}/mcp"), self.metadata_url().path().to_owned()];
        paths.sort();
        paths.dedup();
        let pages = paths.iter().fold(Router::new(), |pages, path| pages.route(path, page.clone()));
        pages.layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET]).allow_headers(AllowHeaders::any()))
    }

    fn metadata(&self) -> Value {
        let terms = self.issuer.terms();
        json!({
            "resource": terms.audience,
            "authorization_servers": [terms.issuer],
            "scopes_supported": [READ, WRITE],
            "bearer_methods_supported": ["header"],
            "resource_name": "ironclad-mcp",
        })
    }

    /// The public URL of the metadata: the well-known place goes between host and path.
    fn metadata_url(&self) -> Url {
        let mut url = self.resource.clone();
        url.set_path(&format!("{WELL_KNOWN}{}", self.resource.path().trim_end_matches('/')));
        url
    }

    fn answer(&self, refusal: &Refusal) -> Response {
        let (status, error, scope) = match refusal {
            Refusal::NoToken => (StatusCode::UNAUTHORIZED, None, Some(self.wanted())),
            Refusal::TwoTokens => (StatusCode::BAD_REQUEST, Some("invalid_request"), None),
            Refusal::Unverified(Unverified::Token(_)) => {
                (StatusCode::UNAUTHORIZED, Some("invalid_token"), Some(self.wanted()))
            }
            Refusal::Unverified(Unverified::NoKeys) => {
                let wait = [(RETRY_AFTER, HeaderValue::from(FLOOR))];
                return (StatusCode::SERVICE_UNAVAILABLE, wait, format!("{refusal}\n")).into_response();
            }
            Refusal::NoScope => (StatusCode::FORBIDDEN, Some("insufficient_scope"), Some(READ.to_owned())),
            // Another token of the same issuer would not help, so no client is sent for one.
            Refusal::NoAgent | Refusal::ManyAgents | Refusal::NoUser => (StatusCode::FORBIDDEN, None, None),
        };
        let mut response = (status, format!("{refusal}\n")).into_response();
        let description = error.map(|_| refusal.to_string());
        if let Some(challenge) = self.challenge(scope.as_deref(), error, description.as_deref()) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// What to tell somebody whose token lacks a scope for what they call; reads are within writes, and asked for with them.
    pub(super) fn beyond(&self, scope: &str) -> Option<HeaderValue> {
        let all = if scope == WRITE { format!("{READ} {WRITE}") } else { scope.to_owned() };
        self.challenge(Some(&all), Some("insufficient_scope"), Some(&format!("the token lacks {scope}")))
    }

    /// RFC 6750 §3, with the place of the metadata (RFC 9728 §5.1).
    fn challenge(&self, scope: Option<&str>, error: Option<&str>, description: Option<&str>) -> Option<HeaderValue> {
        let mut challenge = format!(r#"Bearer resource_metadata="{}""#, self.metadata_url());
        for (name, value) in [("scope", scope), ("error", error), ("error_description", description)] {
            if let Some(value) = value {
                challenge.push_str(&format!(r#", {name}="{value}""#));
            }
        }
        // All of it is ours, or was checked with the settings: plain text without quotes.
        HeaderValue::try_from(challenge).ok()
    }

    /// The scopes that a token should have to be of full use here.
    fn wanted(&self) -> String {
        let writes = self.roster.now().rights().any(|rights| policy::grants_writes(&rights.policy));
        if writes { format!("{READ} {WRITE}") } else { READ.to_owned() }
    }
}

/// The token of a request; it is in one header (RFC 6750 §2.1), and nowhere else.
fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    if headers.get_all(AUTHORIZATION).iter().count() > 1 {
        return Err(Refusal::TwoTokens);
    }
    bearer(headers).ok_or(Refusal::NoToken)
}

/// The agent that a token makes its bearer, as themselves and within its scopes. Nothing is guessed: one agent is named, or
/// the one of the settings serves where the token names none.
fn agent_of(claims: &Claims, default: Option<&str>, roster: &Roster) -> Result<Agent, Refusal> {
    if claims.access == Access::Off {
        return Err(Refusal::NoScope);
    }
    let agent = match &claims.agents {
        None => roster.by_name(default.ok_or(Refusal::NoAgent)?).ok_or(Refusal::NoAgent)?,
        Some(named) => {
            let mut named: Vec<&String> = named.iter().collect();
            named.sort();
            named.dedup();
            let mut known = named.into_iter().filter_map(|name| roster.by_name(name));
            match (known.next(), known.next()) {
                (Some(agent), None) => agent,
                (None, _) => return Err(Refusal::NoAgent),
                (Some(_), Some(_)) => return Err(Refusal::ManyAgents),
            }
        }
    };
    let principal = Principal {
        issuer: claims.issuer.clone(),
        subject: claims.subject.clone(),
        email: claims.email.clone(),
        access: claims.access,
        expires: claims.expires,
    };
    agent.on_behalf_of(Arc::new(principal)).ok_or(Refusal::NoUser)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{agents::Rights, caller_token::TokenError, request::ActingUser};

    fn roster() -> Roster {
        let own = |email: &str| ActingUser { email: Some(email.into()), id: None };
        let agent = |name: &str, rights| (name.to_owned(), (None, rights));
        Roster::of(BTreeMap::from([
            agent("bot", Rights { user_is_brought: true, ..Rights::default() }),
            agent("robot", Rights { user: own("robot@example.com"), ..Rights::default() }),
        ]))
    }

    fn claims(email: Option<&str>, agents: Option<&[&str]>) -> Claims {
        Claims {
            issuer: "https://login.example".into(),
            subject: "maria".into(),
            email: email.map(str::to_owned),
            agents: agents.map(|all| all.iter().map(|name| (*name).to_owned()).collect()),
            access: Access::Read,
            expires: 0,
        }
    }

    #[test]
    fn a_token_names_one_agent_or_the_settings_do() {
        let email = Some("maria@example.com");
        type Case<'a> = (Option<&'a [&'a str]>, Option<&'a str>, Result<&'a str, Refusal>);
        let table: [Case<'_>; 9] = [
            (None, Some("bot"), Ok("bot")),
            (None, None, Err(Refusal::NoAgent)),
            (None, Some("ghost"), Err(Refusal::NoAgent)),
            (Some(&["robot"]), Some("bot"), Ok("robot")),
            (Some(&["robot", "robot", "staff"]), None, Ok("robot")),
            (Some(&["staff"]), Some("bot"), Err(Refusal::NoAgent)),
            (Some(&["Bot"]), Some("bot"), Err(Refusal::NoAgent)),
            (Some(&[]), Some("bot"), Err(Refusal::NoAgent)),
            (Some(&["bot", "robot"]), Some("bot"), Err(Refusal::ManyAgents)),
        ];
        for (named, default, expected) in table {
            let found = agent_of(&claims(email, named), default, &roster()).map(|agent| agent.name);
            assert_eq!(found, expected.map(str::to_owned), "{named:?} {default:?}");
        }
        let none = Claims { access: Access::Off, ..claims(email, None) };
        assert_eq!(agent_of(&none, Some("bot"), &roster()).unwrap_err(), Refusal::NoScope);
    }

    #[test]
    fn a_caller_acts_as_themselves_or_as_the_agents_own_user() {
        let user = |email, agent| {
            agent_of(&claims(email, Some(&[agent])), None, &roster())
                .map(|agent| agent.user().name().map(str::to_owned))
        };
        let maria = Ok(Some("maria@example.com".to_owned()));
        assert_eq!(user(Some("maria@example.com"), "bot"), maria);
        assert_eq!(user(Some("maria@example.com"), "robot"), maria);
        assert_eq!(user(None, "robot"), Ok(Some("robot@example.com".to_owned())));
        assert_eq!(user(None, "bot"), Err(Refusal::NoUser));
    }

    #[test]
    fn who_calls_is_the_agent_and_the_subject() {
        let of = |subject: &str, agent: &str| {
            let claims = Claims { subject: subject.into(), ..claims(Some("maria@example.com"), Some(&[agent])) };
            agent_of(&claims, None, &roster()).unwrap().identity().to_owned()
        };
        assert_eq!(of("maria", "bot"), of("maria", "bot"));
        assert_ne!(of("maria", "bot"), of("mario", "bot"));
        assert_ne!(of("maria", "bot"), of("maria", "robot"));
    }

    #[test]
    fn no_words_of_a_refusal_break_out_of_the_header() {
        let tokens = [
            TokenError::TooLong,
            TokenError::NoJwt,
            TokenError::Kind,
            TokenError::Algorithm,
            TokenError::UnknownKey,
            TokenError::Signature,
            TokenError::Issuer,
            TokenError::Audience,
            TokenError::Expired,
            TokenError::NotYet,
            TokenError::NoExpiry,
            TokenError::NoSubject,
        ];
        let all = tokens.map(|error| Refusal::from(Unverified::from(error)));
        for refusal in all.into_iter().chain([Refusal::TwoTokens, Refusal::NoScope]) {
            let told = refusal.to_string();
            assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')), "{told}");
        }
    }
}
