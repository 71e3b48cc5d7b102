//! A server over HTTP in this process, and what clients of either era send it by hand.

use std::{net::SocketAddr, time::Duration};

use ironclad_mcp::{
    simulator::Simulator,
    transport::{self, HttpSettings, Stop},
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::{Setting, server};

pub(crate) const MODERN: &str = "2026-07-28";

/// A server over HTTP in this process.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) http: Client,
    _simulator: Simulator,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        Self::of(Setting::default(), change).await
    }

    pub(crate) async fn of(setting: Setting, change: impl FnOnce(&mut HttpSettings)) -> Self {
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), setting.simulator.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server = server(&setting, &simulator, folder.path().join("audit.jsonl"));
        let listen = ([127, 0, 0, 1], 0).into();
        let mut settings =
            HttpSettings { max_sessions: 100, session_timeout: Duration::from_secs(60), ..HttpSettings::on(listen) };
        change(&mut settings);
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let ready = |address| tell.send(address).unwrap();
            transport::serve_http(server, &settings, Stop::default(), ready).await.unwrap();
        });
        let address = told.await.unwrap();
        Self { address, http: Client::new(), _simulator: simulator, _folder: folder }
    }

    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        let request = self.http.post(format!("http://{}/mcp", self.address));
        request.header("accept", "application/json, text/event-stream").json(message)
    }

    pub(crate) async fn modern(&self, method: &str, name: &str, params: Value) -> Response {
        self.modern_request(method, name, params).send().await.unwrap()
    }

    pub(crate) fn modern_request(&self, method: &str, name: &str, mut params: Value) -> RequestBuilder {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        });
        let request = self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        let request = request.header("mcp-protocol-version", MODERN).header("mcp-method", method);
        if name.is_empty() { request } else { request.header("mcp-name", name) }
    }

    /// Everybody else is served.
    pub(crate) async fn is_well(&self) {
        let call = json!({"name": "list_users", "arguments": {"limit": 1}});
        let answer: Value = self.modern("tools/call", "list_users", call).await.json().await.unwrap();
        assert_eq!(answer["result"]["structuredContent"]["total"], 25, "{answer}");
    }

    /// Begins a session; its id, where there is room.
    pub(crate) async fn session(&self) -> Result<String, Response> {
        let client = json!({"name": "tests", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let welcome = self.post(&hello).send().await.unwrap();
        if !welcome.status().is_success() {
            return Err(welcome);
        }
        let id = welcome.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let ready = self.post(&ready).header("mcp-session-id", &id).send().await.unwrap();
        assert!(ready.status().is_success(), "{ready:?}");
        Ok(id)
    }

    pub(crate) async fn ping(&self, session: &str) -> StatusCode {
        let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
        self.post(&ping).header("mcp-session-id", session).send().await.unwrap().status()
    }

    pub(crate) async fn connection(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}
