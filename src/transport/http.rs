//! MCP over Streamable HTTP at `/mcp`, and the pages that say whether the process is well.

mod bounds;
mod callers;
mod connections;
mod cors;
mod direct;
mod front;
mod metrics;
mod oauth;
pub(super) mod proxies;
mod sessions;
mod streams;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    routing::{any, get},
};
use ipnet::IpNet;
use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::metrics::Scrapers;
use self::{
    bounds::Gate,
    callers::Callers,
    direct::Direct,
    front::Front,
    sessions::{Manager, Sessions},
};
pub use self::{callers::CallerCheck, oauth::ResourceServer};
use super::{ApprovalsPage, LAST_ANSWERS, Stop, TransportError, approvals, last_calls};
use crate::server::Server;

/// Where to listen, whom to believe, and how much to take on.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address.
    pub listen: SocketAddr,
    /// Which tokens callers must bring; `None` asks for none.
    pub callers: Option<CallerCheck>,
    /// What may stand in `Host`; empty is loopback names.
    pub allowed_hosts: Vec<String>,
    /// What may stand in `Origin`; empty is loopback names.
    pub allowed_origins: Vec<String>,
    /// The origins whose pages may use the server from a browser; they may stand in `Origin` as well.
    pub cors_origins: Vec<String>,
    /// The most sessions at once.
    pub max_sessions: usize,
    /// How long a session may be idle.
    pub session_timeout: Duration,
    /// How long a client may take to send the head or the body of a request.
    pub patience: Patience,
    /// The page where people decide; `None` is without.
    pub approvals: Option<Arc<ApprovalsPage>>,
    /// Who may read `/metrics`.
    pub scrapers: Scrapers,
    /// The proxies whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl HttpSettings {
    /// What goes where nothing else is said: callers from this machine, whoever they are.
    #[must_use]
    pub fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            callers: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            cors_origins: Vec::new(),
            max_sessions: 2000,
            session_timeout: Duration::from_secs(1800),
            patience: Patience::default(),
            approvals: None,
            scrapers: Scrapers::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To send the head of a request; so also how long a connection may be idle.
    pub head: Duration,
    /// To send the body.
    pub body: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(60), body: Duration::from_secs(30) }
    }
}

/// What this machine is called by itself.
pub const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const LOOPBACK_ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// Serves clients until the server is told to stop and the calls under way have ended. `ready` learns the address.
///
/// Meanwhile connections are still taken: whoever asks `/readyz` or calls a tool is told, and goes elsewhere.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve_http(
    server: Server,
    settings: &HttpSettings,
    stop: Stop,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), TransportError> {
    serve(server.clone(), server, settings, stop, ready).await
}

/// The same with another handler in front of the server's own, which is that of the conformance suite's fixtures.
///
/// # Errors
/// As [`serve_http`].
#[cfg(feature = "conformance")]
pub async fn serve_http_as(
    handler: impl ServerHandler + Clone,
    server: Server,
    settings: &HttpSettings,
    stop: Stop,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), TransportError> {
    serve(handler, server, settings, stop, ready).await
}

async fn serve(
    handler: impl ServerHandler + Clone,
    server: Server,
    settings: &HttpSettings,
    stop: Stop,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), TransportError> {
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|source| TransportError::Listen { address: settings.listen, source })?;
    ready(listener.local_addr()?);
    let (over, cut) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(server.clone().follow_templates(over.clone()));
    let listeners = server.clone();
    let router = router(handler, server, settings, cut.clone());
    let site = connections::Site { router, trusted: settings.trusted_proxies.as_slice().into() };
    let bounds = connections::Bounds { head: settings.patience.head, ..connections::Bounds::default() };
    let serving = connections::serve(listener, site, bounds, over.clone());
    let last_calls = async {
        last_calls(listeners.drain(), &stop, std::future::pending()).await;
        listeners.end_streams();
        over.cancel();
        tokio::time::sleep(LAST_ANSWERS).await;
        cut.cancel();
    };
    tokio::select! {
        () = serving => {}
        () = last_calls => {}
    }
    Ok(())
}

fn router(
    handler: impl ServerHandler + Clone,
    server: Server,
    settings: &HttpSettings,
    cut: CancellationToken,
) -> Router {
    let or_loopback = |given: &[String], loopback: [&str; 3]| -> Vec<String> {
        if given.is_empty() { loopback.map(str::to_owned).to_vec() } else { given.to_vec() }
    };
    let hosts = or_loopback(&settings.allowed_hosts, LOOPBACK_HOSTS);
    let direct = Direct::new(server.clone(), &hosts);
    let mut origins = or_loopback(&settings.allowed_origins, LOOPBACK_ORIGINS);
    origins.extend(settings.cors_origins.iter().cloned());
    let requests = bounds::Bounds { body: settings.patience.body, ..bounds::Bounds::default() };
    let config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_cancellation_token(cut.clone())
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins)
        .enforce_origin_validation()
        .with_max_request_body_bytes(requests.body_bytes);
    let sessions = sessions::Bounds { most: settings.max_sessions, idle: settings.session_timeout };
    let sessions = Sessions::new(sessions, cut);
    let figures =
        metrics::Page { server: server.clone(), sessions: Arc::clone(&sessions), scrapers: settings.scrapers };
    let figures = Router::new().route("/metrics", get(metrics::metrics)).with_state(figures);
    let manager = Manager { handler: handler.clone(), server: server.clone(), sessions: Arc::clone(&sessions) };
    let mcp = StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(manager), config);
    let callers = settings.callers.clone().map(|check| Arc::new(Callers { check, sessions: Arc::clone(&sessions) }));
    if let Some(callers) = callers.clone() {
        tokio::spawn(async move { callers.end_orphans().await });
    }
    let front = Arc::new(Front { server: server.clone(), callers, gate: Gate::new(requests), sessions, direct, mcp });
    let answer = move |request: Request| {
        let front = Arc::clone(&front);
        async move { front.answer(request).await }
    };
    let mcp = Router::new().route("/mcp", any(answer));
    let mcp = match cors::layer(&settings.cors_origins) {
        Some(cors) => mcp.layer(cors),
        None => mcp,
    };
    let page = settings.approvals.clone().map(approvals::routes).unwrap_or_default();
    let metadata = match &settings.callers {
        Some(CallerCheck::Oauth(server)) => server.pages(),
        Some(CallerCheck::Agents(_)) | None => Router::new(),
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(server)
        .merge(figures)
        .merge(mcp)
        .merge(page)
        .merge(metadata)
}

async fn readyz(State(server): State<Server>) -> (StatusCode, String) {
    if server.drain().is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n".into());
    }
    match server.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
