//! Starts the program with an environment of its own, and speaks to it line by line.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use ironclad_mcp::simulator::Simulator;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::JoinHandle,
};

/// Longer than anything here takes, but for a program that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const MODERN: &str = "2026-07-28";

/// A home of its own for every program: nothing of the tester's environment or files is seen.
pub(super) struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// How a program ended, and what it said.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    pub(super) fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }
}

impl Home {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let environment = [("HOME", path.clone()), ("XDG_STATE_HOME", format!("{path}/state"))];
        Self { folder, environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Credentials of a simulator that runs in the test.
    pub(super) fn at(self, simulator: &Simulator) -> Self {
        let credentials = simulator.credentials();
        self.with("IRONCLAD_BASE_URL", &simulator.base_url())
            .with("IRONCLAD_CLIENT_ID", &credentials.client_id)
            .with("IRONCLAD_CLIENT_SECRET", &credentials.client_secret)
            .with("IRONCLAD_AS_USER_EMAIL", &credentials.as_user_email)
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.path().join("state/ironclad-mcp/audit.jsonl")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ironclad-mcp"));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs the program to its end, with nothing on stdin.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ended {
        let running = self.command(arguments).stdin(Stdio::null()).output();
        let output = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts a stdio server and opens a session of the legacy era with it.
    pub(super) async fn open(&self, arguments: &[&str]) -> Session {
        let mut session = self.start(arguments);
        session.initialize().await;
        session
    }

    /// Starts a stdio server.
    pub(super) fn start(&self, arguments: &[&str]) -> Session {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let said = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.unwrap();
            text
        });
        Session {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            said,
            child,
            next_id: 0,
            seen: String::new(),
        }
    }
}

/// A stdio server and its client's side.
pub(super) struct Session {
    pub(super) child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    said: JoinHandle<String>,
    next_id: u64,
    /// Everything that came on stdout.
    seen: String,
}

impl Session {
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).await.unwrap();
        stdin.write_all(b"\n").await.unwrap();
        stdin.flush().await.unwrap();
    }

    pub(super) async fn send(&mut self, message: &Value) {
        self.send_bytes(message.to_string().as_bytes()).await;
    }

    /// The next line of stdout, which must be a message.
    pub(super) async fn receive(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await.expect("no answer").unwrap();
        let line = line.expect("the server has gone");
        self.seen.push_str(&line);
        self.seen.push('\n');
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
        message
    }

    pub(super) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        loop {
            let answer = self.receive().await;
            // Word that the tools changed may come at any time.
            if answer.get("method").is_none() {
                assert_eq!(answer["id"], id, "{answer}");
                return answer;
            }
        }
    }

    /// Sends a request without waiting for its answer.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    pub(super) async fn initialize(&mut self) -> Value {
        let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}});
        let welcome = self.request("initialize", hello).await;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        welcome["result"].clone()
    }

    /// The result of a call.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({"name": tool, "arguments": arguments})).await;
        answer["result"].clone()
    }

    /// A call that works, to show that the server is well.
    pub(super) async fn is_well(&mut self) {
        let users = self.call("list_users", json!({"limit": 1})).await;
        assert_eq!(users["structuredContent"]["total"], 25, "{users}");
    }

    pub(super) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Sends the program a signal.
    pub(super) async fn kill(&self, signal: &str) {
        kill(&self.child, signal).await;
    }

    /// Waits for the program to end, and gives what it said on stdout and stderr.
    pub(super) async fn ended(self, within: Duration) -> Ended {
        let ended = self.ended_with_text(within).await;
        for line in ended.stdout.lines() {
            serde_json::from_str::<Value>(line).unwrap();
        }
        ended
    }

    /// The same for a program that prints something else than messages.
    pub(super) async fn ended_with_text(mut self, within: Duration) -> Ended {
        let status = tokio::time::timeout(within, self.child.wait()).await.expect("it did not end in time").unwrap();
        while let Some(line) = self.stdout.next_line().await.unwrap() {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        Ended { status, stdout: self.seen, stderr: self.said.await.unwrap() }
    }
}

/// Sends a program a signal.
pub(super) async fn kill(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id().unwrap());
    let sent = Command::new("sh").args(["-c", &kill]).status().await.unwrap();
    assert!(sent.success());
}

/// Waits until the simulator has so many requests under way.
pub(super) async fn requests_under_way(simulator: &Simulator, count: u64) {
    let http = reqwest::Client::new();
    let url = format!("{}/__simulator/connections", simulator.base_url());
    let polling = async {
        loop {
            let open: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
            // This one is under way as well.
            if open["requests"].as_u64().unwrap() > count {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.expect("the requests did not come");
}

/// The parameters of a request of 2026-07-28.
pub(super) fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    });
    params
}

/// Waits until the server has signed in, which is the first thing that a call does.
pub(super) async fn signed_in(simulator: &Simulator) {
    let http = reqwest::Client::new();
    let url = format!("{}/__simulator/requests", simulator.base_url());
    loop {
        let log: Value = http.get(&url).send().await.unwrap().json().await.unwrap();
        if log["count"].as_u64().unwrap() > 0 {
            return;
        }
    }
}
