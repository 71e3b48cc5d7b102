//! MCP over Streamable HTTP at `/mcp`, and the pages that say whether the process is well.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, routing::get, serve::ListenerExt};
use rmcp::{
    ServerHandler,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{LAST_ANSWERS, Stop, TransportError, last_calls};
use crate::server::Server;

/// Where to listen, and whom to believe.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The address.
    pub listen: SocketAddr,
    /// What may stand in `Host`; empty is loopback names.
    pub allowed_hosts: Vec<String>,
    /// What may stand in `Origin`; empty is loopback names.
    pub allowed_origins: Vec<String>,
}

const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
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
    // Without this, every streamed answer waits some 40 ms for a delayed acknowledgement.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
    });
    let (over, cut) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(server.clone().follow_templates(over.clone()));
    let listeners = server.clone();
    let serving = axum::serve(listener, router(handler, server, settings, cut.clone()))
        .with_graceful_shutdown(over.clone().cancelled_owned());
    let last_calls = async {
        last_calls(listeners.drain(), &stop, std::future::pending()).await;
        listeners.end_streams();
        over.cancel();
        tokio::time::sleep(LAST_ANSWERS).await;
        cut.cancel();
    };
    tokio::select! {
        served = async { serving.await } => served?,
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
    let config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_cancellation_token(cut)
        .with_allowed_hosts(or_loopback(&settings.allowed_hosts, LOOPBACK_HOSTS))
        .with_allowed_origins(or_loopback(&settings.allowed_origins, LOOPBACK_ORIGINS))
        .enforce_origin_validation();
    let mcp = StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(LocalSessionManager::default()), config);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(server)
        .route_service("/mcp", mcp)
}

async fn readyz(State(server): State<Server>) -> (StatusCode, &'static str) {
    if server.drain().is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n")
    } else if server.is_ready().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no token can be had from Ironclad\n")
    }
}
