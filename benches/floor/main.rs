//! Our server against two floors that do the same GET, in the same run on the same machine: a minimal rmcp server, and a bare
//! proxy of axum and reqwest.
//!
//! Ours has callers' tokens, policy, argument checks, shaping, metrics and the audit log on; only the rate budget is lifted
//! (`--rate-budget off`). Figures, not assertions: timings never decide a test. An answer that is none ends the run.

#![expect(clippy::print_stdout, reason = "the figures are the point")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run must stop")]

mod crowd;
mod minimal;
mod proxy;

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ironclad_mcp::roster::TokenHash;
use serde_json::{Map, Value, json};

type Fallible<T> = Result<T, Box<dyn Error>>;

const STDIO_CALLS: u32 = 5_000;
const HTTP_CLIENTS: usize = 64;
const HTTP_SECONDS: u64 = 5;
const SPAWNS: usize = 31;
/// How many agents there are, of whom one calls.
const AGENTS: usize = 20;
const TOKEN: &str = "token of the bench";

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve-minimal", origin, rest @ ..] => {
            return runtime.block_on(minimal::serve((*origin).to_owned(), rest.first().map(|at| (*at).to_owned())));
        }
        ["--serve-proxy", origin, address] => return runtime.block_on(proxy::serve(origin, address)),
        // For a profiler: the stand-in for Ironclad alone, and a crowd against a server that runs already.
        ["--upstream"] => {
            return runtime.block_on(async {
                println!("{}", upstream().await?);
                std::future::pending().await
            });
        }
        ["--load", url] => {
            let figures = runtime.block_on(load(&reqwest::Client::new(), url, TOKEN))?;
            println!("{} calls/s, p50 {:?}, p99 {:?}", figures.calls_per_second, figures.p50, figures.p99);
            return Ok(());
        }
        ["--crowd", era, url] => {
            let era = if *era == "legacy" { crowd::Era::Legacy } else { crowd::Era::Modern };
            return runtime.block_on(crowd::calls(era, &reqwest::Client::new(), url, TOKEN));
        }
        _ => {}
    }
    let upstream = runtime.block_on(upstream())?;
    let home = tempfile::tempdir()?;
    for peer in [Peer::ours(upstream, home.path())?, Peer::minimal(upstream)?, Peer::proxy(upstream)?] {
        println!("{}", peer.name);
        if let Some(arguments) = &peer.stdio {
            println!(
                "  spawn to first tools/list   {:>8.2} ms (median of {SPAWNS})",
                millis(peer.spawn_to_list(arguments)?)
            );
            let stdio = peer.stdio_calls(arguments)?;
            println!("  idle over stdio             {:>8.1} MB resident", stdio.megabytes);
            println!("  stdio, one after another    {:>8.0} calls/s", stdio.calls_per_second);
            println!("  stdio, CPU of the server    {:>8.1} us/call", stdio.cpu_micros);
        }
        let http = runtime.block_on(peer.http_calls())?;
        println!("  http, {HTTP_CLIENTS} clients            {:>8.0} calls/s", http.calls_per_second);
        println!("  http, p50 and p99           {:>8.2} ms {:>8.2} ms", millis(http.p50), millis(http.p99));
        println!("  http, CPU of the server     {:>8.1} us/call", http.cpu_micros);
        println!("  after the load              {:>8.1} MB resident", http.megabytes);
        if peer.stdio.is_some() {
            for era in [crowd::Era::Modern, crowd::Era::Legacy] {
                let megabytes = runtime.block_on(peer.crowd(era))?;
                println!("  {:<27} {megabytes:>8.1} MB at most", format!("{} {era}", crowd::SIZE));
            }
        }
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
    /// The arguments that make it speak MCP over stdio, if it does.
    stdio: Option<Vec<String>>,
    http: HttpArguments,
    audit: Option<PathBuf>,
    /// What a caller over HTTP brings.
    token: &'static str,
}

#[derive(Default)]
struct Figures {
    calls_per_second: f64,
    cpu_micros: f64,
    megabytes: f64,
    p50: Duration,
    p99: Duration,
}

impl Peer {
    fn ours(upstream: SocketAddr, home: &Path) -> Fallible<Self> {
        let common = ["--base-url".to_owned(), format!("http://{upstream}"), "--rate-budget".into(), "off".into()];
        let with = |first: &[&str]| first.iter().map(|s| (*s).to_owned()).chain(common.clone()).collect::<Vec<_>>();
        let settings = home.join("settings.toml");
        let agents = (0..AGENTS).map(|n| {
            let hash = TokenHash::of(&if n == 0 { TOKEN.to_owned() } else { format!("token {n}") }).to_hex();
            format!("[agents.agent{n}]\ntoken_sha256 = \"{hash}\"\naccess = {{ workflows = \"read\" }}\n")
        });
        std::fs::write(&settings, format!("auth = \"agents\"\n{}", agents.collect::<String>()))?;
        let http = with(&["http", "--config", settings.to_str().ok_or("a path")?, "--listen"]);
        let stdio = Some(with(&["stdio"]));
        Ok(Self {
            name: "ironclad-mcp",
            program: env!("CARGO_BIN_EXE_ironclad-mcp").into(),
            stdio,
            http: Box::new(move |address| {
                let at = http.iter().position(|word| word == "--listen").map_or(0, |at| at + 1);
                let (before, after) = http.split_at(at);
                [before, &[address.to_owned()], after].concat()
            }),
            audit: Some(home.join("audit.jsonl")),
            token: TOKEN,
        })
    }

    fn minimal(upstream: SocketAddr) -> Fallible<Self> {
        let origin = format!("http://{upstream}");
        let stdio = vec!["--serve-minimal".to_owned(), origin];
        let http = stdio.clone();
        Ok(Self {
            name: "minimal rmcp server",
            program: std::env::current_exe()?,
            stdio: Some(stdio),
            http: Box::new(move |address| http.iter().cloned().chain([address.to_owned()]).collect()),
            audit: None,
            token: "",
        })
    }

    fn proxy(upstream: SocketAddr) -> Fallible<Self> {
        let origin = format!("http://{upstream}");
        Ok(Self {
            name: "bare axum and reqwest",
            program: std::env::current_exe()?,
            stdio: None,
            http: Box::new(move |address| vec!["--serve-proxy".to_owned(), origin.clone(), address.to_owned()]),
            audit: None,
            token: "",
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

    fn spawn_to_list(&self, arguments: &[String]) -> Fallible<Duration> {
        let mut times = Vec::new();
        for _ in 0..SPAWNS {
            let began = Instant::now();
            let mut session = Session::open(self.spawn(arguments)?)?;
            session.call("tools/list", &json!({}))?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times.get(SPAWNS / 2).copied().unwrap_or_default())
    }

    fn stdio_calls(&self, arguments: &[String]) -> Fallible<Figures> {
        let mut session = Session::open(self.spawn(arguments)?)?;
        session.call("tools/list", &json!({}))?;
        let megabytes = megabytes(session.child.id(), "VmRSS")?;
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
        Ok(Figures { calls_per_second: calls / time, cpu_micros: cpu * 1e6 / calls, megabytes, ..Figures::default() })
    }

    /// Starts it over HTTP, and waits until it answers.
    async fn serve(&self) -> Fallible<(Kill, String, reqwest::Client)> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let child = Kill(self.spawn(&(self.http)(&address))?);
        let url = format!("http://{address}/mcp");
        let client = reqwest::Client::new();
        while modern_call(&client, &url, self.token).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok((child, url, client))
    }

    async fn http_calls(&self) -> Fallible<Figures> {
        let (child, url, client) = self.serve().await?;
        let cpu = cpu_seconds(child.0.id())?;
        let load = load(&client, &url, self.token).await?;
        let cpu = cpu_seconds(child.0.id())? - cpu;
        let cpu_micros = cpu * 1e6 / (load.calls_per_second * HTTP_SECONDS as f64);
        Ok(Figures { cpu_micros, megabytes: megabytes(child.0.id(), "VmRSS")?, ..load })
    }

    /// The most memory that it takes with a crowd of one era at once.
    async fn crowd(&self, era: crowd::Era) -> Fallible<f64> {
        let (child, url, client) = self.serve().await?;
        crowd::calls(era, &client, &url, self.token).await?;
        megabytes(child.0.id(), "VmHWM")
    }
}

/// What clients that call again and again get out of a server.
async fn load(client: &reqwest::Client, url: &str, token: &'static str) -> Fallible<Figures> {
    let began = Instant::now();
    let until = began + Duration::from_secs(HTTP_SECONDS);
    let clients: Vec<_> = (0..HTTP_CLIENTS)
        .map(|_| {
            let (client, url) = (client.clone(), url.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    modern_call(&client, &url, token).await.expect("an answer");
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await?);
    }
    let calls_per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    Ok(Figures { calls_per_second, p50: at(50), p99: at(99), ..Figures::default() })
}

async fn modern_call(client: &reqwest::Client, url: &str, token: &str) -> Fallible<()> {
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
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
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

/// A figure of proc(5)'s status: `VmRSS` is what is resident now, `VmHWM` the most that ever was.
fn megabytes(pid: u32, figure: &str) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(figure)).ok_or("no such figure")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
    Ok(kilobytes / 1024.0)
}
