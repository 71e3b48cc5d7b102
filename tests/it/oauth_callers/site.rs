//! A whole site for a test: an issuer, a server that takes its tokens, and the simulator behind that.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response as Reply},
    routing::get,
};
use ironclad_mcp::{
    approvals,
    assembly::{self, Assembly},
    config::{self, OauthClient, Options, Secrets},
    server::{Recognition, Server},
    simulator::{self, Simulator},
    transport::{self, CallerCheck, HttpSettings, ResourceServer, Stop},
};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::signer::Signer;

/// The public URL of the server, which proxies would lead to it.
pub(crate) const RESOURCE: &str = "https://mcp.example/mcp";

pub(crate) const MODERN: &str = "2026-07-28";

/// Somebody who works at the simulated company, and who is not whom the server acts as otherwise.
pub(crate) const TEODOR: &str = "teodor.lindahl@simulator.example";

/// What the issuer answers where its keys are.
#[derive(Clone)]
pub(crate) enum Mood {
    Well,
    Down,
    /// It leads elsewhere.
    Leads(String),
    /// It sends more than keys can be.
    Floods,
}

/// An authorization server, as far as a resource server sees it.
pub(crate) struct Idp {
    pub(crate) url: String,
    keys: Mutex<Vec<Value>>,
    mood: Mutex<Mood>,
    /// Where its metadata say that the keys are, if not here.
    keys_at: Mutex<Option<String>>,
    fetches: AtomicUsize,
}

impl Idp {
    pub(crate) async fn start(signers: &[&Signer]) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            keys: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            keys_at: Mutex::default(),
            fetches: AtomicUsize::new(0),
        });
        idp.publish(signers);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .with_state(Arc::clone(&idp));
        tokio::spawn(axum::serve(listener, router).into_future());
        idp
    }

    pub(crate) fn publish(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.jwk()).collect();
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn has_keys_at(&self, url: String) {
        *self.keys_at.lock().unwrap() = Some(url);
    }

    /// How often its keys were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

async fn metadata(State(idp): State<Arc<Idp>>) -> Reply {
    let keys = idp.keys_at.lock().unwrap().clone().unwrap_or_else(|| format!("{}/keys", idp.url));
    Json(json!({"issuer": idp.url, "jwks_uri": keys})).into_response()
}

async fn keys(State(idp): State<Arc<Idp>>) -> Reply {
    idp.fetches.fetch_add(1, Ordering::SeqCst);
    let keys = json!({"keys": *idp.keys.lock().unwrap()});
    let mood = idp.mood.lock().unwrap().clone();
    match mood {
        Mood::Well => Json(keys).into_response(),
        Mood::Down => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Mood::Leads(elsewhere) => (StatusCode::FOUND, [(LOCATION, elsewhere)]).into_response(),
        Mood::Floods => {
            let mut flood = keys;
            flood["x"] = "x".repeat(1024 * 1024).into();
            Json(flood).into_response()
        }
    }
}

pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    pub(crate) idp: Arc<Idp>,
    pub(crate) simulator: Simulator,
    /// How many seconds the server's clock is ahead, as far as tokens go.
    ahead: Arc<AtomicI64>,
    folder: TempDir,
}

impl Site {
    pub(crate) async fn open(signer: &Signer) -> Self {
        Self::with(Idp::start(&[signer]).await, "").await
    }

    /// The same at an issuer, with more lines at the head of the settings file.
    pub(crate) async fn with(idp: Arc<Idp>, more: &str) -> Self {
        let settings = simulator::Settings { strict: true, rate_limits: false, ..simulator::Settings::default() };
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        std::fs::write(&file, settings_file(&idp.url, more)).unwrap();
        let mut config = config::load(Options {
            config: Some(file),
            base_url: Some(simulator.base_url()),
            audit_log: Some(folder.path().join("audit.jsonl")),
            launch_tools: (!more.contains("launch_tools")).then(|| vec!["off".into()]),
            ..Options::default()
        })
        .unwrap();
        let credentials = simulator.credentials();
        let client = OauthClient { id: credentials.client_id.into(), secret: credentials.client_secret.into() };
        config.secrets = Secrets { access_token: None, client: Some(client) };
        config.state = Some(folder.path().join("state"));
        let oauth = config.oauth.complete(&config.agents).unwrap();
        let Assembly { dispatch, catalog, launchers, roster } = assembly::assemble(config).unwrap();
        let ahead = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&ahead);
        let clock = Arc::new(move || approvals::now() + offset.load(Ordering::SeqCst));
        let resource_server = ResourceServer {
            roster: Arc::clone(&roster),
            issuer: assembly::issuer(&oauth, &dispatch, clock),
            resource: oauth.resource,
            agent: oauth.agent,
        };
        let mut http = HttpSettings::on(([127, 0, 0, 1], 0).into());
        http.callers = Some(CallerCheck::Oauth(Arc::new(resource_server)));
        let server = Server::new(dispatch, catalog, launchers, roster, Recognition::Verified);
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let ready = |address| tell.send(address).unwrap();
            transport::serve_http(server, &http, Stop::default(), ready).await.unwrap();
        });
        let address = told.await.unwrap();
        Self { address, http: reqwest::Client::new(), idp, simulator, ahead, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Lets time pass for tokens and keys.
    pub(crate) fn wait(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Sound claims of Teodor, with others in their place; null takes one away.
    pub(crate) fn claims(&self, others: &Value) -> Value {
        let now = approvals::now() + self.ahead.load(Ordering::SeqCst);
        let mut claims = json!({
            "iss": self.idp.url, "aud": RESOURCE, "sub": "teodor", "exp": now + 600,
            "scope": "openid ironclad:read ironclad:write", "email": TEODOR, "email_verified": true,
        });
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    pub(crate) fn token(&self, signer: &Signer, others: &Value) -> String {
        signer.token(&self.claims(others))
    }

    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        let request = self.http.post(self.url());
        request.header("accept", "application/json, text/event-stream").json(message)
    }

    /// A request of 2026-07-28.
    pub(crate) fn modern(&self, method: &str, mut params: Value) -> RequestBuilder {
        let name = params["name"].as_str().map(str::to_owned);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
            "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        });
        let request = self.post(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}));
        let request = request.header("mcp-protocol-version", MODERN).header("mcp-method", method);
        name.into_iter().fold(request, |request, name| request.header("mcp-name", name))
    }

    /// The same with a token.
    pub(crate) async fn ask(&self, token: &str, method: &str, params: Value) -> Response {
        self.modern(method, params).bearer_auth(token).send().await.unwrap()
    }

    /// The answer to a call with a token: its result, or the protocol's error.
    pub(crate) async fn call(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let answer = message(self.ask(token, "tools/call", json!({"name": tool, "arguments": arguments})).await).await;
        if answer["error"].is_object() { answer["error"].clone() } else { answer["result"].clone() }
    }

    /// The structured content of a call that succeeds.
    pub(crate) async fn ok(&self, token: &str, tool: &str, arguments: Value) -> Value {
        let result = self.call(token, tool, arguments).await;
        assert_eq!(result["isError"], false, "{tool}: {result}");
        result["structuredContent"].clone()
    }

    /// What the simulator was asked, sign-in left out.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let all = self.all_requests().await;
        all.into_iter().filter(|request| !request["path"].as_str().unwrap().starts_with("/oauth/")).collect()
    }

    pub(crate) async fn all_requests(&self) -> Vec<Value> {
        let url = format!("{}/__simulator/requests", self.simulator.base_url());
        let log: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        log["list"].as_array().unwrap().clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The audit log and the log of destinations, as they are.
    pub(crate) fn logs(&self) -> String {
        let read = |name| std::fs::read_to_string(self.path(name)).unwrap_or_default();
        read("audit.jsonl") + &read("audit-egress.jsonl")
    }

    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A settings file for an issuer: whoever signs in is one of the staff, unless their token says otherwise.
pub(crate) fn settings_file(issuer: &str, more: &str) -> String {
    format!(
        r#"auth = "oauth"
enable_writes = true
oauth_issuer = "{issuer}"
oauth_resource = "{RESOURCE}"
oauth_agent = "staff"
oauth_agent_claim = "agent"
{more}
[agents.staff]
access = {{ workflows = "full", workflow-actions = "full", users = "read" }}
[agents.robot]
access = {{ users = "read" }}
as_user_email = "{TEODOR}"
"#
    )
}

/// A JSON answer, plain or as the one event of a stream.
pub(crate) async fn message(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).find(|data| !data.trim().is_empty());
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {status} {text}"))
}
