//! A simulator, a server and a client, ready for a test.

use std::sync::Arc;

use ironclad_mcp::{
    audit::{AuditLog, Target},
    catalog::Catalog,
    cursor::CursorKey,
    dispatch::Dispatch,
    ironclad::{
        self, Client,
        auth::{Auth, Credentials},
        retry::Patience,
    },
    policy,
    server::Server,
    simulator::{self, Simulator},
    transport,
};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation},
    service::RunningService,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What a test may set.
pub struct Setting {
    pub policy: policy::Settings,
    pub simulator: simulator::Settings,
    pub max_result_bytes: usize,
    pub max_document_bytes: u64,
    pub max_retries: u32,
    pub timeout: std::time::Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            policy: policy::Settings { enable_writes: true, ..policy::Settings::default() },
            simulator: simulator::Settings { strict: true, ..simulator::Settings::default() },
            max_result_bytes: 60_000,
            max_document_bytes: 10_000_000,
            max_retries: 0,
            timeout: std::time::Duration::from_secs(10),
        }
    }
}

/// A client in a session with a server, and the simulator behind both.
pub struct Stage {
    pub client: RunningService<RoleClient, ClientConfig>,
    pub simulator: Simulator,
    pub folder: TempDir,
    pub http: reqwest::Client,
}

impl Stage {
    /// Everything granted, simulator in strict mode.
    pub async fn open() -> Self {
        Self::with(Setting::default()).await
    }

    pub async fn with(setting: Setting) -> Self {
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), setting.simulator.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let catalog = Arc::new(Catalog::load(None, "").unwrap());
        let dispatch = dispatch(&setting, &simulator, &catalog, &folder);
        let server = Server::new(Arc::new(dispatch), catalog, "stdio");
        let (near, far) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(far);
        tokio::spawn(transport::serve_lines(server, read, write, CancellationToken::new()));
        let info = ClientConfig::new(ClientCapabilities::default(), Implementation::new("tests", "1"));
        let client = info.serve(near).await.unwrap();
        Self { client, simulator, folder, http: reqwest::Client::new() }
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().cloned().unwrap();
        let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        self.client.call_tool(call).await.unwrap()
    }

    /// The structured content of a call that succeeds.
    pub async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_ne!(result.is_error, Some(true), "{tool}: {structured}");
        structured
    }

    /// The error object of a call that fails.
    pub async fn fails(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_eq!(result.is_error, Some(true), "{tool}: {structured}");
        structured["error"].clone()
    }

    /// The requests that reached the simulator, sign-in left out.
    pub async fn requests(&self) -> Vec<Value> {
        let url = format!("{}/__simulator/requests", self.simulator.base_url());
        let log: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        let requests = log.as_array().or_else(|| log["requests"].as_array()).cloned().unwrap();
        requests.into_iter().filter(|request| !request["path"].as_str().unwrap().starts_with("/oauth/")).collect()
    }

    /// The lines of the audit log.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn dispatch(setting: &Setting, simulator: &Simulator, catalog: &Catalog, folder: &TempDir) -> Dispatch {
    let credentials = simulator.credentials();
    let base_url = simulator.base_url();
    let scopes = catalog.scopes(&setting.policy);
    let auth = Auth::new(
        Some(Credentials::Client {
            id: credentials.client_id.clone(),
            secret: credentials.client_secret.into(),
            scopes,
        }),
        &base_url,
    );
    let settings = ironclad::Settings {
        origin: base_url.parse().unwrap(),
        as_user_email: Some(credentials.as_user_email.clone()),
        as_user_id: None,
        timeout: setting.timeout,
        connect_timeout: setting.timeout,
        patience: Patience { max_retries: setting.max_retries, longest_wait: std::time::Duration::from_secs(1) },
    };
    Dispatch {
        policy: setting.policy.clone(),
        client: Client::new(settings, auth).unwrap(),
        audit: Arc::new(AuditLog::new(Target::File(folder.path().join("audit.jsonl")))),
        cursor_key: CursorKey::for_account(&base_url, &credentials.client_id),
        state_key: [7; 32],
        body_user: None,
        as_user: Some(credentials.as_user_email),
        max_result_bytes: setting.max_result_bytes,
        max_document_bytes: setting.max_document_bytes,
    }
}

pub fn nda() -> Value {
    json!({
        "template_id": "5f0375c4cdc1927c5c4ed001",
        "attributes": {"counterpartyName": "Acme LLC", "effectiveDate": "2026-12-01", "paperSource": "Our paper",
            "counterpartySigner": "Ada Byron", "counterpartySignerEmail": "ada@acme.example"}
    })
}
