//! A simulator, a server and a client, ready for a test.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ironclad_mcp::{
    agents::Rights,
    approvals,
    audit::{AuditLog, Target},
    catalog::Catalog,
    cursor::CursorKey,
    dispatch::{Dispatch, Drain, Grace, Holds, Plans},
    download::DownloadFolder,
    forms::Forms,
    ironclad::{
        self, Head, Receiver, Unsound,
        auth::{Auth, Credentials, Wanted},
        limiter,
        retry::Patience,
    },
    keys::Ring,
    launch_tools::{Choice, Launchers},
    policy,
    record_types::RecordTypes,
    replicas::{Address, Redis, SharedBudget},
    request::ActingUser,
    roster::{LiveRoster, Roster},
    server::{Recognition, Server},
    simulator::{self, Simulator},
    transport::{self, Stop},
    upload::UploadFolders,
};
use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
        ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability, FormElicitationCapability,
        Implementation, ProgressNotificationParam, ProtocolVersion, RequestMetaObject, ServerResult,
    },
    service::{
        ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestContext, RunningService,
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::macros::datetime;
use tokio::{io::DuplexStream, sync::Notify};

/// What a test may set.
pub(crate) struct Setting {
    pub(crate) policy: policy::Settings,
    pub(crate) simulator: simulator::Settings,
    pub(crate) max_result_bytes: usize,
    pub(crate) max_document_bytes: u64,
    pub(crate) max_retries: u32,
    pub(crate) timeout: Duration,
    /// Whether the server keeps to Ironclad's rate limits by itself.
    pub(crate) rate_budget: Option<limiter::Settings>,
    pub(crate) rate_limit_wait: Duration,
    /// How long calls under way may take once the server is told to stop.
    pub(crate) grace: Grace,
    /// Instead of the simulator's own.
    pub(crate) client_secret: Option<String>,
    /// A static token signs in instead of the client, and bodies name the acting user.
    pub(crate) static_token: bool,
    /// Instead of what the published tools need.
    pub(crate) scopes: Option<Vec<String>>,
    /// Instead of the stage's own file.
    pub(crate) audit: Option<PathBuf>,
    /// What the person behind the client says, if it can ask one.
    pub(crate) person: Option<ElicitationAction>,
    /// The client speaks 2026-07-28 instead of opening a session.
    pub(crate) modern: bool,
    /// What the client calls itself.
    pub(crate) agent: &'static str,
    /// What the person waits for before they answer.
    pub(crate) hesitation: Option<Arc<Notify>>,
    /// How many seconds the server's clock is ahead, as far as plans and approvals go.
    pub(crate) later: Arc<AtomicI64>,
    /// The keys that seal, of replicas that were given some; else they follow from the account.
    pub(crate) state_keys: Option<Ring>,
    /// What replicas share, instead of a folder beside the audit log.
    pub(crate) redis: Option<String>,
    /// The typed launch tools that are published.
    pub(crate) launch_tools: Choice,
    pub(crate) template_refresh: Duration,
    /// The folders that documents may be read from.
    pub(crate) upload_folders: Vec<PathBuf>,
    /// The folder that documents may be saved into.
    pub(crate) download_folder: Option<PathBuf>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            policy: policy::Settings { enable_writes: true, ..policy::Settings::default() },
            simulator: simulator::Settings {
                strict: true,
                rate_limits: false,
                clock: Some(datetime!(2026-09-01 09:00 UTC)),
                ..simulator::Settings::default()
            },
            max_result_bytes: 60_000,
            max_document_bytes: 10_000_000,
            max_retries: 0,
            timeout: Duration::from_secs(10),
            rate_budget: None,
            rate_limit_wait: Duration::from_secs(1),
            grace: Grace::TOLD,
            client_secret: None,
            static_token: false,
            scopes: None,
            audit: None,
            person: None,
            modern: false,
            agent: "tests",
            hesitation: None,
            later: Arc::default(),
            state_keys: None,
            redis: None,
            launch_tools: Choice::Off,
            template_refresh: Duration::from_secs(300),
            upload_folders: Vec::new(),
            download_folder: None,
        }
    }
}

/// A client that answers questions as a test wants it.
pub(crate) struct Desk {
    person: Option<ElicitationAction>,
    agent: &'static str,
    hesitation: Option<Arc<Notify>>,
    /// The questions that a server sent.
    pub(crate) questions: Mutex<Vec<String>>,
    /// Told of each question.
    pub(crate) asked: Notify,
    /// Told of each change of the tools.
    pub(crate) news: Notify,
    /// What was told of long calls: how far each is, in words too.
    told: Mutex<Vec<(f64, String)>>,
}

impl Desk {
    async fn open(setting: &Setting, wire: DuplexStream) -> Client {
        let lifecycle = if setting.modern {
            ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
        } else {
            ClientLifecycleMode::Initialize
        };
        let desk = Self {
            person: setting.person.clone(),
            agent: setting.agent,
            hesitation: setting.hesitation.clone(),
            questions: Mutex::default(),
            asked: Notify::new(),
            news: Notify::new(),
            told: Mutex::default(),
        };
        desk.serve_with_lifecycle(wire, lifecycle).await.unwrap()
    }
}

impl ClientHandler for Desk {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        if self.person.is_some() {
            let form = FormElicitationCapability::default();
            capabilities.elicitation = Some(ElicitationCapability::default().with_form(form));
        }
        ClientConfig::new(capabilities, Implementation::new(self.agent, "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        if let ElicitRequestParams::FormElicitationParams { message, .. } = request {
            self.questions.lock().unwrap().push(message);
        }
        self.asked.notify_one();
        if let Some(hesitation) = &self.hesitation {
            hesitation.notified().await;
        }
        let action = self.person.clone().unwrap_or(ElicitationAction::Cancel);
        Ok(ElicitResult::new(action).with_content(json!({})))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _context: NotificationContext<RoleClient>) {
        self.told.lock().unwrap().push((told.progress, told.message.unwrap_or_default()));
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.news.notify_one();
    }
}

pub(crate) type Client = RunningService<RoleClient, Desk>;

/// A client in a session with a server, and the simulator behind both.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) simulator: Simulator,
    pub(crate) http: reqwest::Client,
    log: AuditFile,
    _folder: TempDir,
}

impl Stage {
    /// Everything granted, simulator in strict mode, its clock at a fixed time.
    pub(crate) async fn open() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        let Backstage { wire, simulator, audit, _folder } = Backstage::with(&setting).await;
        let client = Desk::open(&setting, wire).await;
        let http = reqwest::Client::new();
        Self { client, simulator, http, log: AuditFile(audit), _folder }
    }

    /// A client of another server over the same simulator and audit log.
    pub(crate) async fn another(&self, setting: Setting) -> Client {
        let wire = serve(&setting, &self.simulator, self.log.0.clone());
        Desk::open(&setting, wire).await
    }

    /// The default stage with some faults in force.
    pub(crate) async fn with_faults(faults: &str) -> Self {
        let mut setting = Setting::default();
        setting.simulator.faults = Some(faults.to_owned());
        Self::with(setting).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> CallToolResult {
        self.client.call_tool(call_of(tool, &arguments)).await.unwrap()
    }

    /// The structured content of a call that succeeds.
    pub(crate) async fn ok(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_ne!(result.is_error, Some(true), "{tool}: {structured}");
        structured
    }

    /// The same as another agent, which a client of the modern era can be in each call.
    pub(crate) async fn ok_as(&self, agent: &str, tool: &str, arguments: Value) -> Value {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(call_of(tool, &arguments)));
        let handle = self.client.send_cancellable_request(request, by_agent(agent)).await.unwrap();
        let ServerResult::CallToolResult(result) = handle.await_response().await.unwrap() else { panic!("{tool}") };
        let structured = result.structured_content.unwrap();
        assert_ne!(result.is_error, Some(true), "{tool}: {structured}");
        structured
    }

    /// The error object of a call that fails.
    pub(crate) async fn fails(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        let structured = result.structured_content.unwrap();
        assert_eq!(result.is_error, Some(true), "{tool}: {structured}");
        assert_eq!(result.content.len(), 1);
        let text: Value = serde_json::from_str(&result.content[0].as_text().unwrap().text).unwrap();
        assert_eq!(text, structured);
        structured["error"].clone()
    }

    /// What the simulator's log holds, sign-in left out.
    pub(crate) async fn requests(&self) -> Vec<Value> {
        let sign_in = |request: &Value| request["path"].as_str().unwrap().starts_with("/oauth/");
        self.all_requests().await.into_iter().filter(|request| !sign_in(request)).collect()
    }

    /// What the simulator's log holds.
    pub(crate) async fn all_requests(&self) -> Vec<Value> {
        let url = format!("{}/__simulator/requests", self.simulator.base_url());
        let log: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        log["list"].as_array().unwrap().clone()
    }

    /// What the simulator's log holds that is no look-up.
    pub(crate) async fn writes(&self) -> Vec<Value> {
        self.requests().await.into_iter().filter(|request| request["method"] != "GET").collect()
    }

    /// What the servers share beside the audit log.
    pub(crate) fn shared(&self) -> approvals::Folder {
        approvals::Folder::new(&self.log.0.with_file_name("state"))
    }

    /// How often a sign-in was asked for.
    pub(crate) async fn sign_ins(&self) -> usize {
        self.all_requests().await.iter().filter(|request| request["path"] == "/oauth/token").count()
    }

    /// Empties the simulator's log.
    pub(crate) async fn forget_requests(&self) {
        let url = format!("{}/__simulator/requests", self.simulator.base_url());
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// Other faults from now on.
    pub(crate) async fn set_faults(&self, faults: &str) {
        self.control("faults", faults.to_owned()).await;
    }

    /// Posts to one of the simulator's control endpoints.
    pub(crate) async fn control(&self, path: &str, body: String) -> Value {
        let url = format!("{}/__simulator/{path}", self.simulator.base_url());
        let request = self.http.post(url).header("content-type", "application/json").body(body);
        let text = request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// What the client was told of long calls, once it was told so often.
    pub(crate) async fn told_with(&self, count: usize) -> Vec<(f64, String)> {
        let told = || self.client.service().told.lock().unwrap().clone();
        let polling = async {
            while told().len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), polling).await.unwrap();
        told()
    }

    /// A launched NDA.
    pub(crate) async fn launched(&self) -> Value {
        self.ok("launch_workflow", nda()).await
    }

    /// The client apart from the rest, to end it.
    pub(crate) fn parted(self) -> (Client, AuditFile, impl Sized) {
        (self.client, self.log, (self.simulator, self._folder))
    }

    /// The lines of the audit log.
    pub(crate) fn audit(&self) -> Vec<Value> {
        self.log.lines()
    }

    pub(crate) fn audit_text(&self) -> String {
        self.log.text()
    }

    /// The lines of the audit log once one of them satisfies `wanted`.
    pub(crate) async fn audit_with(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log.lines_with(wanted).await
    }
}

/// An audit log on disk.
pub(crate) struct AuditFile(PathBuf);

impl AuditFile {
    fn lines(&self) -> Vec<Value> {
        let text = self.text();
        // A line may be under way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// The lines once one of them satisfies `wanted`; a call that the client gave up is recorded late.
    pub(crate) async fn lines_with(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let polling = async {
            loop {
                let lines = self.lines();
                if lines.iter().any(&wanted) {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), polling).await.unwrap()
    }
}

/// A server on the far end of a wire, with the simulator behind it.
pub(crate) struct Backstage {
    pub(crate) wire: DuplexStream,
    pub(crate) simulator: Simulator,
    audit: PathBuf,
    _folder: TempDir,
}

impl Backstage {
    pub(crate) async fn with(setting: &Setting) -> Self {
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), setting.simulator.clone()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let audit = setting.audit.clone().unwrap_or_else(|| folder.path().join("audit.jsonl"));
        let wire = serve(setting, &simulator, audit.clone());
        Self { wire, simulator, audit, _folder: folder }
    }
}

/// A server of its own over a simulator.
pub(crate) fn server(setting: &Setting, simulator: &Simulator, audit: PathBuf) -> Server {
    let catalog = Arc::new(Catalog::load(None, "").unwrap());
    let dispatch = dispatch(setting, simulator, &catalog, audit);
    let user = ActingUser { email: Some(simulator.credentials().as_user_email), id: None };
    let rights = Rights { policy: setting.policy.clone(), user, ..Rights::default() };
    let roster = LiveRoster::new(Roster::anybody(rights));
    let launchers = Launchers::new(setting.launch_tools.clone(), setting.template_refresh, String::new());
    Server::new(Arc::new(dispatch), catalog, launchers, roster, Recognition::Anybody("stdio"))
}

/// Starts a server; what comes back is the client's end of the wire.
fn serve(setting: &Setting, simulator: &Simulator, audit: PathBuf) -> DuplexStream {
    let server = server(setting, simulator, audit);
    let (wire, far) = tokio::io::duplex(1 << 20);
    let (read, write) = tokio::io::split(far);
    tokio::spawn(transport::serve_lines(server, read, write, Stop::default()));
    wire
}

/// Plans are shared by all servers that write the same audit log.
fn plans(setting: &Setting, audit: &Path, redis: Option<Arc<Redis>>) -> Plans {
    let shared: Arc<dyn approvals::Shared> = match redis {
        Some(redis) => redis,
        None => approvals::below(Some(audit.with_file_name("state"))),
    };
    let plans = Plans::new(&state_keys(setting), shared, Duration::from_secs(24 * 60 * 60));
    let later = Arc::clone(&setting.later);
    Plans { clock: Arc::new(move || approvals::now() + later.load(Ordering::SeqCst)), ..plans }
}

fn state_keys(setting: &Setting) -> Ring {
    setting.state_keys.clone().unwrap_or([7; 32].into())
}

fn dispatch(setting: &Setting, simulator: &Simulator, catalog: &Arc<Catalog>, audit: PathBuf) -> Dispatch {
    let credentials = simulator.credentials();
    let base_url = simulator.base_url();
    let named = setting.scopes.clone().map(Wanted::Named);
    let scopes = named.unwrap_or_else(|| Wanted::Needed(catalog.scopes(&setting.policy)));
    let secret = setting.client_secret.clone().unwrap_or(credentials.client_secret);
    let id = credentials.client_id.clone();
    let sign_in = if setting.static_token {
        Credentials::Token(credentials.access_token.into())
    } else {
        Credentials::Client { id, secret: secret.into(), scopes }
    };
    let auth = Auth::new(Some(sign_in), &base_url);
    let settings = ironclad::Settings {
        origin: base_url.parse().unwrap(),
        timeout: setting.timeout,
        connect_timeout: setting.timeout,
        patience: Patience {
            max_retries: setting.max_retries,
            longest_wait: setting.rate_limit_wait,
            longest_retry: Duration::from_secs(120),
        },
        rate_budget: setting.rate_budget.clone(),
    };
    let redis = setting.redis.as_ref().map(|url| {
        let address = Address::read(url).unwrap();
        Arc::new(Redis::new(&address, (&base_url, &credentials.client_id)).unwrap())
    });
    let by_account = || CursorKey::for_account(&base_url, &credentials.client_id);
    let client = ironclad::Client::new(settings, auth);
    let client = match &redis {
        Some(redis) => client.together(Arc::new(SharedBudget::new(Arc::clone(redis), Duration::from_secs(60))), 8),
        None => client,
    };
    Dispatch {
        catalog: Arc::clone(catalog),
        client,
        forms: Forms::new(setting.template_refresh).shared(redis.clone()),
        records: RecordTypes::new(setting.template_refresh),
        drain: Drain::new(setting.grace),
        holds: Holds::default(),
        cursor_key: setting.state_keys.as_ref().map_or_else(by_account, CursorKey::derive),
        state_keys: state_keys(setting),
        plans: plans(setting, &audit, redis),
        audit: Arc::new(AuditLog::new(Target::File(audit))),
        user_in_bodies: setting.static_token,
        max_result_bytes: setting.max_result_bytes,
        max_document_bytes: setting.max_document_bytes,
        upload_folders: UploadFolders::new(setting.upload_folders.clone()),
        download_folder: DownloadFolder::new(setting.download_folder.clone()),
    }
}

pub(crate) fn call_of(tool: &str, arguments: &Value) -> CallToolRequestParams {
    CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments.as_object().cloned().unwrap())
}

/// The simulator's "Mutual NDA" template.
pub(crate) const NDA: &str = "5f0375c4cdc1927c5c4ed001";

pub(crate) fn nda() -> Value {
    json!({
        "template_id": NDA,
        "attributes": {"counterpartyName": "Acme LLC", "effectiveDate": "2026-12-01", "paperSource": "Our paper",
            "counterpartySigner": "Ada Byron", "counterpartySignerEmail": "ada@acme.example"}
    })
}

/// One of the simulator's templates, to be changed and given back to it.
pub(crate) fn template(name: &str) -> Value {
    let all: Vec<Value> = serde_json::from_str(include_str!("../../src/simulator/templates.json")).unwrap();
    all.into_iter().find(|template| template["name"] == name).unwrap()
}

/// The id and the plan of a call that waits for a person, from its error.
pub(crate) fn waiting(error: &Value) -> (String, String) {
    let hint = text(&error["hint"]);
    let id = hint.split("ironclad-mcp approve ").nth(1).unwrap_or_else(|| panic!("{error}")).split('`').next().unwrap();
    let plan = hint.split("with plan \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    (id.to_owned(), plan.to_owned())
}

/// The text of a JSON value that must be a string.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The options of a request that an agent of this name makes, in the modern era.
pub(crate) fn by_agent(name: &str) -> PeerRequestOptions {
    let mut meta = RequestMetaObject::default();
    meta.set_client_info(Implementation::new(name, "1"));
    let mut options = PeerRequestOptions::no_options();
    options.meta = Some(meta);
    options
}

/// Collects the body of an answer, for tests of the client alone.
#[derive(Default)]
pub(crate) struct Collected(Vec<u8>);

impl Receiver for Collected {
    type Answer = Vec<u8>;

    fn begin(&mut self, _head: &Head) {
        self.0.clear();
    }

    fn push(&mut self, chunk: &[u8]) -> bool {
        self.0.extend_from_slice(chunk);
        true
    }

    fn finish(&mut self) -> Result<Vec<u8>, Unsound> {
        Ok(std::mem::take(&mut self.0))
    }
}
