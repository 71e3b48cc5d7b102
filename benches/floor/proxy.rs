//! A bare proxy: axum in front, reqwest behind, one GET, the body passed on. It is no MCP server; it is what the two cost.

use std::{error::Error, sync::Arc};

use axum::{body::Bytes, extract::State, http::StatusCode};

struct Upstream {
    http: reqwest::Client,
    url: String,
}

/// Serves HTTP at `address`.
pub(crate) async fn serve(origin: &str, address: &str) -> Result<(), Box<dyn Error>> {
    let url = format!("{origin}/public/api/v1/workflows/6a6b328004308879e7d439b6");
    let upstream = Arc::new(Upstream { http: reqwest::Client::new(), url });
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, axum::Router::new().fallback(pass).with_state(upstream)).await?;
    Ok(())
}

async fn pass(State(upstream): State<Arc<Upstream>>, _body: Bytes) -> Result<Bytes, StatusCode> {
    let reply = upstream.http.get(&upstream.url).bearer_auth("token").send().await;
    reply.map_err(|_| StatusCode::BAD_GATEWAY)?.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)
}
