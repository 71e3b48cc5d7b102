//! Our server against a minimal rmcp server that does the same GET, in the same run on the same machine.
//!
//! Ours has policy, argument checks, shaping and the audit log on. Figures, not assertions: timings never decide a test.

#![expect(clippy::print_stdout, reason = "the figures are the point")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run must stop")]

mod minimal;

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

const STDIO_CALLS: u32 = 5_000;
const HTTP_CLIENTS: usize = 64;
const HTTP_SECONDS: u64 = 5;
const SPAWNS: usize = 31;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [mode, origin, rest @ ..] = arguments.as_slice()
        && mode == "--serve-minimal"
    {
        return runtime.block_on(minimal::serve(origin.clone(), rest.first().cloned()));
    }
    let upstream = runtime.block_on(upstream())?;
    let audit = tempfile::tempdir()?;
    let peers = [Peer::ours(upstream, audit.path().join("audit.jsonl")), Peer::minimal(upstream)?];
    for peer in &peers {
        println!("{}", peer.name);
        println!("  spawn to first tools/list   {:>8.2} ms (median of {SPAWNS})", millis(peer.spawn_to_list()?));
        let stdio = peer.stdio_calls()?;
        println!("  idle over stdio             {:>8.1} MB resident", stdio.idle_megabytes);
        println!("  stdio, one after another    {:>8.0} calls/s", stdio.calls_per_second);
        println!("  stdio, CPU of the server    {:>8.1} us/call", stdio.cpu_micros);
        let http = runtime.block_on(peer.http_calls())?;
        println!("  http, {HTTP_CLIENTS} clients            {:>8.0} calls/s", http.calls_per_second);
        println!("  http, CPU of the server     {:>8.1} us/call", http.cpu_micros);
        println!("  after the load              {:>8.1} MB resident", http.idle_megabytes);
    }
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A stand-in for Ironclad that costs as little as can be: the same workflow for every GET.
async fn upstream() -> Fallible<SocketAddr> {
    let node = |name: String| json!({"type": "string", "displayName": name, "readOnly": true});
    let schema: Map<String, Value> =
        (0..25).map(|n| (format!("attribute{n}"), node(format!("Attribute {n}")))).collect();
    let attributes: Map<String, Value> = (0..20).map(|n| (format!("attribute{n}"), "some value".into())).collect();
    let workflow = json!({
        "id": "6a6b328004308879e7d439b6", "ironcladId": "IC-12", "title": "Mutual NDA with Acme LLC", "step": "Review",
        "status": "active", "schema": schema, "attributes": attributes, "roles": [], "isRevertibleToReview": false,
    });
    let body: &'static str = workflow.to_string().leak();
    let app = axum::Router::new().fallback(move || async move { ([("content-type", "application/json")], body) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// The arguments that make a program serve HTTP at an address.
type HttpArguments = Box<dyn Fn(&str) -> Vec<String>>;

struct Peer {
    name: &'static str,
    program: PathBuf,
    stdio: Vec<String>,
    http: HttpArguments,
    audit: Option<PathBuf>,
}

struct Figures {
    calls_per_second: f64,
    cpu_micros: f64,
    idle_megabytes: f64,
}

impl Peer {
    fn ours(upstream: SocketAddr, audit: PathBuf) -> Self {
        let common = ["--base-url".to_owned(), format!("http://{upstream}"), "--rate-budget".into(), "off".into()];
        let with =
            move |first: &[&str]| first.iter().map(|s| (*s).to_owned()).chain(common.clone()).collect::<Vec<_>>();
        Self {
            name: "ironclad-mcp",
            program: env!("CARGO_BIN_EXE_ironclad-mcp").into(),
            stdio: with(&["stdio"]),
            http: Box::new(move |address| with(&["http", "--listen", address])),
            audit: Some(audit),
        }
    }

    fn minimal(upstream: SocketAddr) -> Fallible<Self> {
        let origin = format!("http://{upstream}");
        let stdio = vec!["--serve-minimal".to_owned(), origin];
        let http = stdio.clone();
        Ok(Self {
            name: "minimal rmcp server",
            program: std::env::current_exe()?,
            stdio,
            http: Box::new(move |address| http.iter().cloned().chain([address.to_owned()]).collect()),
            audit: None,
        })
    }

    fn spawn(&self, arguments: &[String]) -> Fallible<Child> {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("IRONCLAD_ACCESS_TOKEN", "token").env("IRONCLAD_AS_USER_EMAIL", "a@example.com");
        if let Some(audit) = &self.audit {
            command.env("IRONCLAD_AUDIT_LOG", audit);
        }
        Ok(command.spawn()?)
    }

    fn spawn_to_list(&self) -> Fallible<Duration> {
        let mut times = Vec::new();
        for _ in 0..SPAWNS {
            let began = Instant::now();
            let mut session = Session::open(self.spawn(&self.stdio)?)?;
            session.call("tools/list", &json!({}))?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times.get(SPAWNS / 2).copied().unwrap_or_default())
    }

    fn stdio_calls(&self) -> Fallible<Figures> {
        let mut session = Session::open(self.spawn(&self.stdio)?)?;
        session.call("tools/list", &json!({}))?;
        let idle_megabytes = resident_megabytes(session.child.id())?;
        let call = json!({"name": "get_workflow", "arguments": {"workflow_id": "6a6b328004308879e7d439b6"}});
        for _ in 0..100 {
            session.call("tools/call", &call)?;
        }
        let (began, cpu) = (Instant::now(), cpu_seconds(session.child.id())?);
        for _ in 0..STDIO_CALLS {
            session.call("tools/call", &call)?;
        }
        let (time, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(session.child.id())? - cpu);
        let calls = f64::from(STDIO_CALLS);
        Ok(Figures { calls_per_second: calls / time, cpu_micros: cpu * 1e6 / calls, idle_megabytes })
    }

    async fn http_calls(&self) -> Fallible<Figures> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut child = Kill(self.spawn(&(self.http)(&address))?);
        let url = format!("http://{address}/mcp");
        let client = reqwest::Client::new();
        while modern_call(&client, &url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (began, cpu) = (Instant::now(), cpu_seconds(child.0.id())?);
        let until = began + Duration::from_secs(HTTP_SECONDS);
        let clients: Vec<_> = (0..HTTP_CLIENTS)
            .map(|_| {
                let (client, url) = (client.clone(), url.clone());
                tokio::spawn(async move {
                    let mut calls = 0u32;
                    while Instant::now() < until {
                        modern_call(&client, &url).await.expect("an answer");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        let mut calls = 0.0;
        for client in clients {
            calls += f64::from(client.await?);
        }
        let (time, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds(child.0.id())? - cpu);
        let idle_megabytes = resident_megabytes(child.0.id())?;
        child.0.kill()?;
        Ok(Figures { calls_per_second: calls / time, cpu_micros: cpu * 1e6 / calls, idle_megabytes })
    }
}

async fn modern_call(client: &reqwest::Client, url: &str) -> Fallible<()> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "get_workflow", "arguments": {"workflow_id": "6a6b328004308879e7d439b6"},
        "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
                  "io.modelcontextprotocol/clientCapabilities": {}}}});
    let headers = [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "get_workflow"),
    ];
    let request = headers.iter().fold(client.post(url), |request, (name, value)| request.header(*name, *value));
    let reply = request.json(&call).send().await?.error_for_status()?.bytes().await?;
    let answered = reply.windows(8).any(|part| part == b"\"IC-12\",");
    if answered { Ok(()) } else { Err(format!("no workflow: {}", String::from_utf8_lossy(&reply)).into()) }
}

struct Kill(Child);

impl Drop for Kill {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A session over stdio with a server that is killed at its end.
struct Session {
    child: Child,
    replies: BufReader<std::process::ChildStdout>,
    last_id: u64,
}

impl Session {
    fn open(mut child: Child) -> Fallible<Self> {
        let replies = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut session = Self { child, replies, last_id: 0 };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}});
        session.call("initialize", &hello)?;
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(session)
    }

    fn send(&mut self, message: &Value) -> Fallible<()> {
        let stdin = self.child.stdin.as_mut().ok_or("no stdin")?;
        stdin.write_all(format!("{message}\n").as_bytes())?;
        Ok(())
    }

    fn call(&mut self, method: &str, params: &Value) -> Fallible<()> {
        self.last_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}))?;
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        if line.contains("\"result\"") && !line.contains("\"isError\":true") { Ok(()) } else { Err(line.into()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process so far (proc(5): fields 14 and 15, in hundredths of a second).
fn cpu_seconds(pid: u32) -> Fallible<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().ok_or("no stat")?;
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}

fn resident_megabytes(pid: u32) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).ok_or("no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kilobytes / 1024.0)
}
