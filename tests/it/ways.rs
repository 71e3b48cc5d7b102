//! The four ways in which a real client reaches the server: both eras, over lines and over Streamable HTTP.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ironclad_mcp::{
    server::Server,
    simulator::Simulator,
    transport::{self, HttpSettings, Stop},
};
use rmcp::{
    ClientHandler, RoleClient,
    model::{
        CallToolRequest, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest, Implementation,
        ProgressNotificationParam, ProtocolVersion, ServerResult,
    },
    service::{
        ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestHandle, RunningService,
    },
    transport::StreamableHttpClientTransport,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, Setting, call_of};

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) http: bool,
    pub(crate) modern: bool,
}

pub(crate) const WAYS: [Way; 4] = [
    Way { http: false, modern: false },
    Way { http: false, modern: true },
    Way { http: true, modern: false },
    Way { http: true, modern: true },
];

/// A client that keeps what it hears of its calls.
#[derive(Clone, Default)]
pub(crate) struct Listener {
    heard: Arc<Mutex<Vec<ProgressNotificationParam>>>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("tests", "1"))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.heard.lock().unwrap().push(told);
    }
}

/// A server, its simulator, and a client that came one of the ways.
pub(crate) struct Lane {
    pub(crate) client: RunningService<RoleClient, Listener>,
    pub(crate) simulator: Simulator,
    pub(crate) stop: Stop,
    listener: Listener,
    http: reqwest::Client,
    audit: PathBuf,
    _folder: TempDir,
}

impl Lane {
    pub(crate) async fn open(way: Way, setting: Setting) -> Self {
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), setting.simulator.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let audit = folder.path().join("audit.jsonl");
        let server = support::server(&setting, &simulator, audit.clone());
        let (stop, listener) = (Stop::default(), Listener::default());
        let lifecycle = if way.modern {
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
        } else {
            ClientLifecycleMode::Initialize
        };
        let client = if way.http {
            let url = served(server, stop.clone()).await;
            let transport = StreamableHttpClientTransport::from_uri(url);
            listener.clone().serve_with_lifecycle(transport, lifecycle).await.unwrap()
        } else {
            let (wire, far) = tokio::io::duplex(1 << 20);
            let (read, write) = tokio::io::split(far);
            tokio::spawn(transport::serve_lines(server, read, write, stop.clone()));
            listener.clone().serve_with_lifecycle(wire, lifecycle).await.unwrap()
        };
        Self { client, simulator, stop, listener, http: reqwest::Client::new(), audit, _folder: folder }
    }

    /// Sends a call, and does not wait for its answer.
    pub(crate) async fn begin(&self, tool: &str, arguments: &Value) -> RequestHandle<RoleClient> {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of(tool, arguments)));
        self.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap()
    }

    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> CallToolResult {
        let answer = self.begin(tool, arguments).await.await_response().await.unwrap();
        let ServerResult::CallToolResult(result) = answer else { panic!("{answer:?}") };
        result
    }

    /// The progress that the client was told, in the order in which it came.
    pub(crate) fn heard(&self) -> Vec<ProgressNotificationParam> {
        self.listener.heard.lock().unwrap().clone()
    }

    async fn page(&self, path: &str) -> Value {
        let url = format!("{}/__simulator/{path}", self.simulator.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn control(&self, path: &str, body: &str) {
        let url = format!("{}/__simulator/{path}", self.simulator.base_url());
        let request = self.http.post(url).header("content-type", "application/json").body(body.to_owned());
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// The requests of the API, sign-in left out.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let log = self.page("requests").await;
        let list = log["list"].as_array().unwrap().iter();
        list.filter(|request| !request["path"].as_str().unwrap().starts_with("/oauth")).cloned().collect()
    }

    /// How often a sign-in was asked for.
    pub(crate) async fn sign_ins(&self) -> usize {
        let log = self.page("requests?path=/oauth/token").await;
        log["list"].as_array().unwrap().len()
    }

    /// Waits until something is so that only asking tells.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        let polling = async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), polling).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    /// Waits until the simulator has so many requests under way.
    pub(crate) async fn until_under_way(&self, count: u64) {
        // The question itself is under way as well.
        let count = json!(count + 1);
        self.until("requests under way", async || self.page("connections").await["requests"] == count).await;
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Serves over HTTP; the address of `/mcp`.
async fn served(server: Server, stop: Stop) -> String {
    let settings = HttpSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
        cors_origins: Vec::new(),
        max_sessions: 10,
        session_timeout: Duration::from_secs(300),
        patience: transport::Patience::default(),
        callers: None,
    };
    let (tell, told) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let ready = |address| tell.send(address).unwrap();
        transport::serve_http(server, &settings, stop, ready).await.unwrap();
    });
    format!("http://{}/mcp", told.await.unwrap())
}
