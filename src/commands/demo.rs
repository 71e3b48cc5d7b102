//! Drives one contract from template to record, as a real MCP client against a real server on the simulator.
//!
//! Two servers are started as a client would start them: one as it is out of the box, to show what it refuses, and one
//! with writes on. Everything printed is what came over the wire.

use std::{fmt::Write as _, io::Write as _, path::Path, process::Stdio, time::Duration};

use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation},
    service::RunningService,
};
use serde_json::{Map, Value, json};
use tokio::process::{Child, Command};

use crate::simulator::{Settings, Simulator};

/// A demonstration that takes longer is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the demonstration broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// The simulator did not start.
    #[error("the simulator did not start: {0}")]
    Simulator(#[from] crate::simulator::SimulatorError),
    /// A server did not start, or a stream broke.
    #[error("a server did not start: {0}")]
    Server(#[from] std::io::Error),
    /// The server did not speak MCP as expected.
    #[error("{tool}: {message}")]
    Call {
        /// What was called.
        tool: String,
        /// What came back.
        message: String,
    },
    /// It took too long.
    #[error("the demonstration took longer than a minute")]
    TooSlow,
}

fn broken(tool: &str, message: impl Into<String>) -> DemoError {
    DemoError::Call { tool: tool.to_owned(), message: message.into() }
}

/// Runs the demonstration and prints each step.
///
/// # Errors
/// Any step that did not go as it must.
pub(super) async fn run() -> Result<(), DemoError> {
    tokio::time::timeout(PATIENCE, story()).await.unwrap_or(Err(DemoError::TooSlow))
}

async fn story() -> Result<(), DemoError> {
    let simulator =
        Simulator::start(([127, 0, 0, 1], 0).into(), Settings { strict: true, ..Settings::default() }).await?;
    say(&format!("The Ironclad simulator runs at {}.\n", simulator.base_url()))?;
    let folder = tempfile::tempdir()?;
    let audit = folder.path().join("audit.jsonl");

    say("== A server as it is out of the box: reads only ==\n")?;
    let reader = Session::open(&simulator, &audit, &[]).await?;
    let names = reader.tools().await?;
    say(&format!("tools/list: {} tools, none of which can change anything\n", names.len()))?;
    let template = find_template(&reader).await?;
    let refused = reader.refused("launch_workflow", json!({"template_id": template, "attributes": {}})).await?;
    say(&format!("launch_workflow is refused: {}\n", reason(&refused)))?;
    reader.close().await?;

    say("\n== A server with --enable-writes ==\n")?;
    let writer = Session::open(&simulator, &audit, &["--enable-writes"]).await?;
    say(&format!("tools/list: {} tools\n", writer.tools().await?.len()))?;
    let workflow = launch(&writer, &template).await?;
    approve(&writer, &workflow).await?;
    sign(&writer, &simulator, &workflow).await?;
    writer.close().await?;

    say("\n== What the audit log says ==\n")?;
    for line in std::fs::read_to_string(&audit)?.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        say(&format!("{}  {}\n", text(&line, "time"), text(&line, "sentence")))?;
    }
    simulator.stop().await;
    say("\nDone. Next: README.md says how to connect Claude Desktop, Claude Code, Cursor or VS Code.\n")
}

async fn find_template(session: &Session) -> Result<String, DemoError> {
    let found = session.answer("list_workflow_schemas", json!({"name_contains": "nda"})).await?;
    let template = found.pointer("/items/0").ok_or_else(|| broken("list_workflow_schemas", "no template"))?;
    say(&format!("list_workflow_schemas: {} has the id {}\n", text(template, "name"), text(template, "id")))?;
    let form = session.answer("get_workflow_schema", json!({"template_id": text(template, "id")})).await?;
    let always = |node: &Value| node.get("required").is_some_and(|required| required == "always");
    let attributes = form.get("schema").and_then(Value::as_object).cloned().unwrap_or_default();
    let required: Vec<&str> = attributes.iter().filter(|(_, node)| always(node)).map(|(id, _)| id.as_str()).collect();
    say(&format!("get_workflow_schema: its form always wants {}\n", required.join(", ")))?;
    Ok(text(template, "id").to_owned())
}

async fn launch(session: &Session, template: &str) -> Result<String, DemoError> {
    let attributes = json!({
        "counterpartyName": "Acme LLC", "effectiveDate": "2026-12-01", "paperSource": "Our paper",
        "counterpartySigner": "Ada Byron", "counterpartySignerEmail": "ada.byron@acme.example",
    });
    let wrong = json!({"template": template, "attributes": "counterpartyName=Acme LLC"});
    let refused = session.refused("launch_workflow", wrong).await?;
    say(&format!("launch_workflow, wrongly: {}\n", reason(&refused)))?;
    for fault in refused.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let (path, message, expected) = (text(fault, "path"), text(fault, "message"), text(fault, "expected"));
        say(&format!("  {path} {message}; expected {expected}\n"))?;
    }
    let mut arguments = json!({"template_id": template, "attributes": attributes, "dry_run": true});
    let tried = session.answer("launch_workflow", arguments.clone()).await?;
    let request = tried.get("request").cloned().unwrap_or_default();
    say(&format!(
        "launch_workflow, mended, as a dry run: would send {} {}\n",
        text(&request, "method"),
        text(&request, "path")
    ))?;
    if let Some(dry_run) = arguments.get_mut("dry_run") {
        *dry_run = false.into();
    }
    let launched = session.answer("launch_workflow", arguments).await?;
    say(&format!(
        "launch_workflow: {} is {} at {}\n",
        text(&launched, "title"),
        text(&launched, "ironcladId"),
        text(&launched, "url")
    ))?;
    Ok(text(&launched, "id").to_owned())
}

async fn approve(session: &Session, workflow: &str) -> Result<(), DemoError> {
    let approvals = session.answer("list_workflow_approvals", json!({"workflow_id": workflow})).await?;
    let groups = approvals.get("approvalGroups").and_then(Value::as_array).cloned().unwrap_or_default();
    for reviewer in groups.iter().filter_map(|group| group.get("reviewers")?.as_array()).flatten() {
        let arguments = json!({"workflow_id": workflow, "role_id": text(reviewer, "role"), "status": "approved"});
        session.answer("update_workflow_approval", arguments).await?;
        say(&format!("update_workflow_approval: {} approved\n", text(reviewer, "displayName")))?;
    }
    Ok(())
}

async fn sign(session: &Session, simulator: &Simulator, workflow: &str) -> Result<(), DemoError> {
    let sent = session.answer("send_signature_request", json!({"workflow_id": workflow})).await?;
    let mut signers = String::new();
    for signer in sent.get("signers").and_then(Value::as_array).into_iter().flatten() {
        let _ = write!(signers, " {} ({})", text(signer, "name"), text(signer, "status"));
    }
    say(&format!("send_signature_request: {};{signers}\n", text(&sent, "status")))?;
    // Signing and filing are people's work, for which Ironclad has no endpoint.
    simulator.advance(workflow);
    simulator.advance(workflow);
    say("(everybody signs, and the archiver files it)\n")?;
    let finished = session
        .answer("get_workflow", json!({"workflow_id": workflow, "fields": ["step", "status", "recordIds"]}))
        .await?;
    let record = finished.pointer("/recordIds/0").and_then(Value::as_str);
    let record = record.ok_or_else(|| broken("get_workflow", format!("no record: {finished}")))?;
    say(&format!("get_workflow: step {}, status {}\n", text(&finished, "step"), text(&finished, "status")))?;
    let record = session.answer("get_record", json!({"record_id": record})).await?;
    say(&format!(
        "get_record: {} {}, type {}\n",
        text(&record, "ironcladId"),
        text(&record, "name"),
        text(&record, "type")
    ))
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// An error's message, and what to do about it.
fn reason(error: &Value) -> String {
    format!("{} [{}]. Hint: {}", text(error, "message"), text(error, "code"), text(error, "hint"))
}

fn say(text: &str) -> Result<(), DemoError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// A client's session with a server of its own.
struct Session {
    client: RunningService<RoleClient, ClientConfig>,
    server: Child,
}

impl Session {
    async fn open(simulator: &Simulator, audit: &Path, flags: &[&str]) -> Result<Self, DemoError> {
        let credentials = simulator.credentials();
        let mut command = Command::new(std::env::current_exe()?);
        // Nothing of the person's own settings and credentials takes part.
        command.env_clear();
        command.env("IRONCLAD_BASE_URL", simulator.base_url());
        command
            .env("IRONCLAD_CLIENT_ID", credentials.client_id)
            .env("IRONCLAD_CLIENT_SECRET", credentials.client_secret);
        command.env("IRONCLAD_AS_USER_EMAIL", credentials.as_user_email).env("IRONCLAD_AUDIT_LOG", audit);
        command.arg("stdio").args(flags).args(["--log", "error"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut server = command.spawn()?;
        let pipes = server.stdout.take().zip(server.stdin.take());
        let pipes = pipes.ok_or_else(|| broken("initialize", "the server has no pipes"))?;
        let config =
            ClientConfig::new(ClientCapabilities::default(), Implementation::new("demo", env!("CARGO_PKG_VERSION")));
        let client = config.serve(pipes).await.map_err(|error| broken("initialize", error.to_string()))?;
        Ok(Self { client, server })
    }

    async fn tools(&self) -> Result<Vec<String>, DemoError> {
        let tools = self.client.list_all_tools().await.map_err(|error| broken("tools/list", error.to_string()))?;
        Ok(tools.into_iter().map(|tool| tool.name.into_owned()).collect())
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<(bool, Value), DemoError> {
        let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
        let call = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let result = self.client.call_tool(call).await.map_err(|error| broken(tool, error.to_string()))?;
        Ok((result.is_error == Some(true), result.structured_content.unwrap_or_default()))
    }

    /// The answer of a call that must succeed.
    async fn answer(&self, tool: &str, arguments: Value) -> Result<Value, DemoError> {
        match self.call(tool, arguments).await? {
            (false, answer) => Ok(answer),
            (true, error) => Err(broken(tool, error.to_string())),
        }
    }

    /// The error of a call that must be refused.
    async fn refused(&self, tool: &str, arguments: Value) -> Result<Value, DemoError> {
        match self.call(tool, arguments).await? {
            (true, error) => Ok(error.get("error").cloned().unwrap_or_default()),
            (false, answer) => Err(broken(tool, format!("it was not refused: {answer}"))),
        }
    }

    /// Ends the session as a client does, and waits for the server to end.
    async fn close(mut self) -> Result<(), DemoError> {
        self.client.cancel().await.map_err(|error| broken("close", error.to_string()))?;
        self.server.wait().await?;
        Ok(())
    }
}
