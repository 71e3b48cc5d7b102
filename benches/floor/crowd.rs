//! A thousand clients at once, of either era.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{Fallible, modern_call};

/// How many clients there are.
pub(crate) const SIZE: usize = 1000;

/// How often each calls once all are there.
const CALLS: usize = 5;

/// How a client speaks.
#[derive(Clone, Copy)]
pub(crate) enum Era {
    /// 2026-07-28: every request alone.
    Modern,
    /// 2025-11-25: in a session, whose stream is open.
    Legacy,
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modern => "modern clients",
            Self::Legacy => "legacy sessions",
        })
    }
}

/// Has every client call at the same time.
///
/// # Errors
/// The first call that brings no answer.
pub(crate) async fn calls(era: Era, http: &reqwest::Client, url: &str, token: &'static str) -> Fallible<()> {
    let all_there = Arc::new(Barrier::new(SIZE));
    let clients: Vec<_> = (0..SIZE)
        .map(|_| {
            let (http, url, all_there) = (http.clone(), url.to_owned(), Arc::clone(&all_there));
            tokio::spawn(async move {
                let session = match era {
                    Era::Modern => None,
                    Era::Legacy => Some(Session::open(&http, &url, token).await.map_err(|error| error.to_string())),
                };
                all_there.wait().await;
                let served = several(session, &http, &url, token).await.map_err(|error| error.to_string());
                // Nobody leaves before everybody was served.
                all_there.wait().await;
                served
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    Ok(())
}

/// The calls of one client.
async fn several(
    session: Option<Result<Session, String>>,
    http: &reqwest::Client,
    url: &str,
    token: &str,
) -> Fallible<()> {
    let session = session.transpose()?;
    for _ in 0..CALLS {
        match &session {
            None => modern_call(http, url, token).await?,
            Some(session) => session.call(http, url, token).await?,
        }
    }
    Ok(())
}

/// A session, with the stream on which its client is told things.
struct Session {
    id: String,
    _stream: reqwest::Response,
}

impl Session {
    async fn open(http: &reqwest::Client, url: &str, token: &str) -> Fallible<Self> {
        let client = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let welcome = with_token(http.post(url), token).json(&hello).send().await?.error_for_status()?;
        let id = welcome.headers().get("mcp-session-id").ok_or("no session")?.to_str()?.to_owned();
        welcome.bytes().await?;
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        with_token(http.post(url), token)
            .header("mcp-session-id", &id)
            .json(&ready)
            .send()
            .await?
            .error_for_status()?;
        let stream = with_token(http.get(url), token).header("mcp-session-id", &id).send().await?.error_for_status()?;
        Ok(Self { id, _stream: stream })
    }

    async fn call(&self, http: &reqwest::Client, url: &str, token: &str) -> Fallible<()> {
        let params = json!({"name": "get_workflow", "arguments": {"workflow_id": "6a6b328004308879e7d439b6"}});
        let call: Value = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params});
        let request = with_token(http.post(url), token).header("mcp-session-id", &self.id).json(&call);
        let reply = request.send().await?.error_for_status()?.text().await?;
        if reply.contains("IC-12") { Ok(()) } else { Err(format!("no workflow: {reply}").into()) }
    }
}

fn with_token(request: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    let request = request.header("accept", "application/json, text/event-stream");
    if token.is_empty() { request } else { request.bearer_auth(token) }
}
