//! The page `/approvals`: what waits for a person's decision, and what was decided, in a browser.
//!
//! It has a sign-in of its own, apart from MCP: an agent that reaches the port must not approve its own calls. Sessions
//! are sealed cookies that any instance can open. There is no script at all, and the policy sent with each answer lets
//! none run, so whatever a contract says stays text.

mod page;
mod session;

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use self::session::{Session, Sessions};
use super::http::LOOPBACK_HOSTS;
use crate::{
    approvals::{self, Approver, Approvers, Decided, Decision, Shared, is_id},
    audit::{self, AuditLog},
    dispatch::Clock,
    keys::Ring,
};

const STYLE: &str = include_str!("approvals/style.css");

/// What is sent with every answer: nothing runs, nothing is loaded from elsewhere, nothing frames the page.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // With no referrer at all, browsers would send no origin with a form either.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// What the page needs.
pub struct ApprovalsPage {
    /// What waits, and what was decided.
    pub shared: Arc<dyn Shared>,
    /// Where decisions are recorded.
    pub audit: Arc<AuditLog>,
    /// The time.
    pub clock: Clock,
    /// Seal sessions.
    pub keys: Ring,
    /// Who may decide; `None` where there is no state directory.
    pub approvers: Option<Approvers>,
    /// Somebody whose token is good as long as this process.
    pub once: Option<Approver>,
    /// What may stand in `Host`; empty is loopback names.
    pub hosts: Vec<String>,
}

impl std::fmt::Debug for ApprovalsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApprovalsPage").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl ApprovalsPage {
    /// Everybody who may decide now.
    fn everybody(&self) -> Vec<Approver> {
        let kept = self.approvers.as_ref().map(Approvers::all).transpose();
        let kept = kept.unwrap_or_else(|error| {
            tracing::warn!(%error, "the approvers cannot be read, so none of them can sign in");
            None
        });
        kept.into_iter().flatten().chain(self.once.clone()).collect()
    }

    fn sessions(&self) -> Sessions<'_> {
        Sessions { keys: &self.keys, now: (self.clock)() }
    }

    /// The session of a request, if its approver may still decide.
    fn session(&self, headers: &HeaderMap) -> Option<Session> {
        self.sessions().of(headers, &self.everybody())
    }

    /// Whether a name is one that the page is served under, any port or the one that is named.
    fn knows(&self, host: &str) -> bool {
        let bare = host.rsplit_once(':').filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()));
        let bare = bare.map_or(host, |(bare, _)| bare).trim_start_matches('[').trim_end_matches(']');
        let is = |known: &str| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(bare);
        if self.hosts.is_empty() {
            LOOPBACK_HOSTS.into_iter().any(is)
        } else {
            self.hosts.iter().any(|known| is(known))
        }
    }
}

type Desk = State<Arc<ApprovalsPage>>;

/// The page and what it posts to.
pub(super) fn routes(page: Arc<ApprovalsPage>) -> Router {
    Router::new()
        .route("/approvals", get(show))
        .route("/approvals/style.css", get(style))
        .route("/approvals/sign-in", post(sign_in))
        .route("/approvals/sign-out", post(sign_out))
        .route("/approvals/decide/{id}", post(decide))
        .layer(middleware::from_fn_with_state(Arc::clone(&page), guard))
        .layer(axum::extract::DefaultBodyLimit::max(16 * 1024))
        .with_state(page)
}

/// Refuses foreign hosts, and forms that were not sent from the page itself.
async fn guard(State(page): Desk, request: Request, next: Next) -> Response {
    let mut response = match fault(&page, request.method(), request.headers()) {
        Some(why) => refusal(StatusCode::FORBIDDEN, why),
        None => next.run(request).await,
    };
    response.headers_mut().extend(HEADERS);
    response
}

fn fault(page: &ApprovalsPage, method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !page.knows(host) {
        return Some("This name is not one that the page is served under.");
    }
    let own = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).is_some_and(|(_, from)| from == host);
    (method == Method::POST && !own).then_some("The form was not sent from this page.")
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Html(page::refusal(why).into_string())).into_response()
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

/// What the page says of what was just done.
#[derive(Deserialize, Default)]
struct Said {
    #[serde(default)]
    said: String,
    #[serde(default)]
    id: String,
}

async fn show(State(page): Desk, headers: HeaderMap, Query(said): Query<Said>) -> Response {
    let Some(session) = page.session(&headers) else {
        let nobody = page.everybody().is_empty();
        return Html(page::sign_in(said.said == "wrong", nobody).into_string()).into_response();
    };
    let all = match page.shared.all().await {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "the approvals cannot be read");
            return refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The approvals cannot be read; the server's log says why.",
            );
        }
    };
    let told = all.iter().find(|one| one.id == said.id && is_id(&said.id)).map(|one| (said.said.as_str(), one));
    let csrf = page.sessions().csrf(&session);
    let view = page::View { who: &session.name, csrf: &csrf, now: (page.clock)(), told };
    Html(page::approvals(&view, &all).into_string()).into_response()
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

async fn sign_in(State(page): Desk, headers: HeaderMap, Form(form): Form<SignIn>) -> Response {
    let Some(approver) = page.everybody().into_iter().find(|one| one.has(&form.token)) else {
        tracing::warn!("a sign-in to the approvals page was refused");
        return Redirect::to("/approvals?said=wrong").into_response();
    };
    match page.sessions().cookie(&approver, &headers) {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], Redirect::to("/approvals")).into_response(),
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, "The system gives no random bytes."),
    }
}

#[derive(Deserialize)]
struct SignOut {
    csrf: String,
}

async fn sign_out(State(page): Desk, headers: HeaderMap, Form(form): Form<SignOut>) -> Response {
    if page.session(&headers).is_none_or(|session| !page.sessions().is_csrf(&session, &form.csrf)) {
        return refusal(StatusCode::FORBIDDEN, "The form is not of this session; go back and reload the page.");
    }
    ([(header::SET_COOKIE, session::ENDED)], Redirect::to("/approvals")).into_response()
}

#[derive(Deserialize)]
struct DecideForm {
    csrf: String,
    decision: String,
    #[serde(default)]
    reason: String,
}

async fn decide(
    State(page): Desk,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(form): Form<DecideForm>,
) -> Response {
    let Some(session) = page.session(&headers) else {
        return refusal(StatusCode::UNAUTHORIZED, "You are not signed in, or no longer; nothing was decided.");
    };
    if !page.sessions().is_csrf(&session, &form.csrf) {
        return refusal(StatusCode::FORBIDDEN, "The form is not of this session; go back and reload the page.");
    }
    let approved = match form.decision.as_str() {
        "approve" => true,
        "decline" => false,
        _ => return refusal(StatusCode::BAD_REQUEST, "That is no decision."),
    };
    let reason: String = form.reason.trim().chars().filter(|c| !c.is_control()).take(300).collect();
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    let decision = Decision { approved, by: session.name, at: (page.clock)(), reason };
    let said = match approvals::decide(&*page.shared, &id, decision).await {
        Ok(Decided::Now(approval)) => {
            if let Err(error) = audit::decided(&page.audit, &approval) {
                tracing::warn!(%error, "the audit log cannot be written");
            }
            if approved { "approved" } else { "declined" }
        }
        Ok(Decided::Before(_)) => "before",
        Ok(Decided::Unknown) => return refusal(StatusCode::NOT_FOUND, "There is no such approval."),
        Err(error) => {
            tracing::warn!(%error, "a decision cannot be written");
            return refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The decision cannot be written; the server's log says why.",
            );
        }
    };
    Redirect::to(&format!("/approvals?said={said}&id={id}")).into_response()
}
