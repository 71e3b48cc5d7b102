//! Agents of the settings file: over HTTP by their tokens, over stdio by `--agent`, and followed while the server runs.

use std::time::Duration;

use ironclad_mcp::{
    roster::TokenHash,
    simulator::{self, Simulator},
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    http::{Served, message},
    program::{Home, MODERN, modern},
};
use crate::support::nda;

pub(super) const READER: &str = "token of the reader";
pub(super) const WRITER: &str = "token of the writer";
const OTHER_USER: &str = "teodor.lindahl@simulator.example";

pub(super) fn agent(name: &str, token: &str, rest: &str) -> String {
    format!("[agents.{name}]\ntoken_sha256 = \"{}\"\n{rest}\n", TokenHash::of(token).to_hex())
}

fn reader() -> String {
    agent("reader", READER, "access = { workflows = \"read\" }")
}

fn writer() -> String {
    let rest = format!("access = {{ workflows = \"full\", users = \"read\" }}\nas_user_email = \"{OTHER_USER}\"");
    agent("writer", WRITER, &rest)
}

fn both() -> String {
    format!("auth = \"agents\"\nenable_writes = true\n{}{}", reader(), writer())
}

pub(super) async fn company() -> Simulator {
    let settings = simulator::Settings { strict: true, rate_limits: false, ..simulator::Settings::default() };
    Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

pub(super) fn write(home: &Home, text: &str) {
    std::fs::write(home.path("settings.toml"), text).unwrap();
}

/// A home whose settings file has this text.
pub(super) fn home(text: &str) -> Home {
    let home = Home::new();
    write(&home, text);
    let path = home.path("settings.toml");
    home.with("IRONCLAD_MCP_CONFIG", path.to_str().unwrap())
}

pub(super) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request of 2026-07-28 with a token.
pub(super) async fn ask(served: &Served, token: &str, method: &str, params: Value) -> Response {
    let name = params["name"].as_str().unwrap_or_default().to_owned();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": modern(params)});
    let authorization = bearer(token);
    let mut headers =
        vec![("mcp-protocol-version", MODERN), ("mcp-method", method), ("authorization", authorization.as_str())];
    if !name.is_empty() {
        headers.push(("mcp-name", &name));
    }
    served.post(&headers, &call).send().await.unwrap()
}

async fn call(served: &Served, token: &str, tool: &str, arguments: Value) -> Value {
    message(ask(served, token, "tools/call", json!({"name": tool, "arguments": arguments})).await).await["result"]
        .clone()
}

async fn tools(served: &Served, token: &str) -> Vec<String> {
    let listed = message(ask(served, token, "tools/list", json!({})).await).await;
    assert_eq!(listed["result"]["cacheScope"], "private");
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Opens a session of the era before; its id.
pub(super) async fn session(served: &Served, token: &str) -> String {
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
    let welcome = served.post(&[("authorization", &bearer(token))], &hello).send().await.unwrap();
    let id = welcome.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    message(welcome).await;
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let headers = [("authorization", bearer(token)), ("mcp-session-id", id.clone())];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert!(served.post(&headers, &ready).send().await.unwrap().status().is_success());
    id
}

pub(super) async fn in_session(served: &Served, token: &str, id: &str) -> Response {
    let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}});
    let authorization = bearer(token);
    let headers =
        [("authorization", authorization.as_str()), ("mcp-session-id", id), ("mcp-protocol-version", "2025-11-25")];
    served.post(&headers, &list).send().await.unwrap()
}

/// Asks again until the answer is as wanted; a change of the file takes up to 2 s.
pub(super) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("the change never came")
}

#[tokio::test]
async fn two_agents_have_tools_and_acting_users_of_their_own() {
    let simulator = company().await;
    let served = Served::at(home(&both()).at(&simulator)).await;
    let (reads, writes) = (tools(&served, READER).await, tools(&served, WRITER).await);
    assert!(reads.contains(&"get_workflow".into()) && reads.contains(&"whoami".into()), "{reads:?}");
    assert!(!reads.contains(&"launch_workflow".into()) && !reads.contains(&"list_users".into()), "{reads:?}");
    assert!(writes.contains(&"launch_workflow".into()) && writes.contains(&"list_users".into()), "{writes:?}");
    assert!(!writes.contains(&"list_records".into()), "{writes:?}");
    let denied = call(&served, READER, "list_users", json!({})).await;
    let error = &denied["structuredContent"]["error"];
    assert_eq!(error["code"], "access_denied");
    assert!(error["message"].as_str().unwrap().contains("agents.reader.access.users=off"), "{error}");
    for (token, user) in [(READER, simulator.credentials().as_user_email), (WRITER, OTHER_USER.to_owned())] {
        let who = call(&served, token, "whoami", json!({})).await;
        assert_eq!(who["structuredContent"]["acting_user"], user, "{who}");
        assert_eq!(call(&served, token, "list_workflows", json!({"limit": 1})).await["isError"], false);
        let url = format!("{}/__simulator/requests", simulator.base_url());
        let log: Value = served.http.get(url).send().await.unwrap().json().await.unwrap();
        let last =
            log["list"].as_array().unwrap().iter().rfind(|one| one["path"] == "/public/api/v1/workflows").unwrap();
        assert_eq!(last["headers"]["x-as-user-email"], user, "{last}");
        assert!(!last.to_string().contains(token), "a caller's token goes no further");
    }
    let log = std::fs::read_to_string(served.home.audit_log()).unwrap();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let denied = lines.iter().find(|line| line["decision"] == "denied").unwrap();
    assert_eq!((&denied["agent"], &denied["rule"]), (&json!("reader"), &json!("agents.reader.access.users=off")));
    assert!(lines.iter().any(|line| line["agent"] == "writer" && line["as_user"] == OTHER_USER));
    assert!(!log.contains(READER) && !log.contains(WRITER));
}

#[tokio::test]
async fn without_an_agents_token_nothing_is_served() {
    let served = Served::at(home(&both()).with("IRONCLAD_SIMULATOR", "true")).await;
    for (headers, expected) in [
        (vec![], r#"Bearer realm="ironclad-mcp""#),
        (vec![("authorization", "Bearer wrong")], "invalid_token"),
        (vec![("authorization", "Basic cmVhZGVyOng=")], "invalid_token"),
        (vec![("authorization", "Bearer wrong"), ("authorization", "Bearer token of the reader")], "invalid_token"),
    ] {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
        let refused = served.post(&headers, &list).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{headers:?}");
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.starts_with("Bearer ") && challenge.contains(expected), "{challenge}");
    }
    let get = served.http.get(&served.url).header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(get.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(served.page("/healthz").await.status(), StatusCode::OK, "whether it is up is no secret");
}

#[tokio::test]
async fn a_session_is_its_agents_and_nobody_elses() {
    let served = Served::at(home(&both()).with("IRONCLAD_SIMULATOR", "true")).await;
    let id = session(&served, READER).await;
    assert_eq!(in_session(&served, READER, &id).await.status(), StatusCode::OK);
    assert_eq!(in_session(&served, WRITER, &id).await.status(), StatusCode::NOT_FOUND);
    let end = served.http.delete(&served.url).header("mcp-session-id", &id);
    let stolen = end.try_clone().unwrap().header("authorization", bearer(WRITER)).send().await.unwrap();
    assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
    assert_eq!(in_session(&served, READER, &id).await.status(), StatusCode::OK, "it is still there");
    assert!(end.header("authorization", bearer(READER)).send().await.unwrap().status().is_success());
    assert_eq!(in_session(&served, READER, &id).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_change_of_the_file_takes_effect_without_dropping_a_session() {
    let served = Served::at(home(&both()).with("IRONCLAD_SIMULATOR", "true")).await;
    let (of_reader, of_writer) = (session(&served, READER).await, session(&served, WRITER).await);
    write(&served.home, &format!("auth = \"agents\"\nenable_writes = true\ntimeout = 7\n{}", reader()));
    until(async || {
        let status = in_session(&served, WRITER, &of_writer).await.status();
        (status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    assert_eq!(in_session(&served, READER, &of_reader).await.status(), StatusCode::OK, "the other one goes on");
    until(async || served.said.lock().unwrap().contains("timeout").then_some(())).await;
    // A broken file changes nothing, and its fault is named.
    write(&served.home, &format!("auth = \"agents\"\n{}\n[agents.reader.acess]\n", reader()));
    until(async || served.said.lock().unwrap().contains("acess").then_some(())).await;
    assert_eq!(in_session(&served, READER, &of_reader).await.status(), StatusCode::OK);
    // Mended, and with more: the same session sees the new list.
    let more = agent("reader", READER, "access = { workflows = \"read\", records = \"read\" }");
    write(&served.home, &format!("auth = \"agents\"\n{more}"));
    until(async || {
        let listed = in_session(&served, READER, &of_reader).await.text().await.unwrap();
        listed.contains("list_records").then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_may_call_is_said_and_never_guessed() {
    let table: [(&str, &[&str], &str); 5] = [
        ("", &["--listen", "0.0.0.0:0"], "--auth agents"),
        ("auth = \"none\"", &["--listen", "[::]:0"], "--auth agents"),
        ("auth = \"agents\"", &["--listen", "0.0.0.0:0"], "no agent has a token"),
        ("auth = \"agents\"\n[agents.bot]", &["--listen", "127.0.0.1:0"], "no agent has a token"),
        ("[agents.bot]", &["--listen", "127.0.0.1:0"], "agents are configured"),
    ];
    for (file, listen, told) in table {
        let ended = home(file).run(&[&["http", "--simulator"], listen].concat()).await;
        assert_eq!(ended.code(), 2, "{file}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{file}: {}", ended.stderr);
    }
    let home = home(&both());
    let mut open = home.command(&["http", "--simulator", "--listen", "0.0.0.0:0"]).spawn().unwrap();
    let mut said = tokio::io::BufReader::new(open.stderr.take().unwrap());
    let mut line = String::new();
    let listening = async {
        while !line.contains("listening on") {
            line.clear();
            assert!(tokio::io::AsyncBufReadExt::read_line(&mut said, &mut line).await.unwrap() > 0, "it ended");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listening).await.unwrap();
}

#[tokio::test]
async fn stdio_acts_as_the_agent_that_it_names() {
    let home = home(&both()).with("IRONCLAD_SIMULATOR", "true");
    for arguments in [&["stdio", "--agent", "reader"][..], &["--agent", "reader"], &["--agent", "reader", "stdio"]] {
        let mut session = home.open(arguments).await;
        let told = session.call("whoami", json!({})).await;
        assert_eq!(told["structuredContent"]["agent"], "reader", "{told}");
        let denied = session.call("launch_workflow", json!({"template_id": "x", "attributes": {}})).await;
        assert_eq!(denied["structuredContent"]["error"]["code"], "access_denied", "{denied}");
    }
    for (arguments, told) in [
        (&["stdio"][..], "--agent NAME; there are: reader, writer"),
        (&["stdio", "--agent", "ghost"], "no such agent"),
        (&["http", "--agent", "reader"], "--agent"),
        (&["--agent", "reader", "check"], "--agent is for"),
    ] {
        let ended = home.run(arguments).await;
        assert_eq!(ended.code(), 2, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{arguments:?}: {}", ended.stderr);
    }
    let none = Home::new().run(&["call", "whoami", "--agent", "reader"]).await;
    assert!(none.code() == 2 && none.stderr.contains("no agents are configured"), "{}", none.stderr);
    let called = home.run(&["call", "whoami", "--agent", "writer"]).await;
    assert_eq!((called.code(), &called.json()["agent"]), (0, &json!("writer")), "{}", called.stderr);
    let listed = home.run(&["tools", "--agent", "reader", "--format", "mcp"]).await;
    assert!(
        listed.stdout.contains("get_workflow") && !listed.stdout.contains("launch_workflow\""),
        "{}",
        listed.stdout
    );
}

#[tokio::test]
async fn agent_add_makes_a_token_that_serves() {
    let home = home("auth = \"agents\"\n").with("IRONCLAD_SIMULATOR", "true");
    let made = home.run(&["agent", "add", "bot"]).await;
    assert_eq!(made.code(), 0, "{}", made.stderr);
    let token = made.stdout.lines().find_map(|line| line.trim().strip_prefix("icmcp_")).unwrap();
    let token = format!("icmcp_{token}");
    let table = made.stdout.split_once("[agents.bot]").unwrap().1;
    assert!(!table.contains(&token), "the file gets the hash alone");
    write(&home, &format!("auth = \"agents\"\n[agents.bot]{table}"));
    let again = home.run(&["agent", "add", "bot"]).await;
    assert!(again.code() == 2 && again.stderr.contains("already"), "{}", again.stderr);
    let wrong = home.run(&["agent", "add", "no good"]).await;
    assert!(wrong.code() == 2 && wrong.stderr.contains("letters"), "{}", wrong.stderr);
    let served = Served::at(home).await;
    let told = call(&served, &token, "whoami", json!({})).await;
    assert_eq!(told["structuredContent"]["agent"], "bot", "{told}");
}

#[tokio::test]
async fn faults_of_agents_are_named() {
    let hash = TokenHash::of("x").to_hex();
    let table = [
        ("[agents.bot]\nshrae = 5".to_owned(), "shrae"),
        ("[agents.bot]\nshare = 0".into(), "share"),
        ("[agents.bot]\ntoken_sha256 = \"abc\"".into(), "token_sha256"),
        ("[agents.bot]\nas_user_email = \"maria\"".into(), "as_user_email"),
        ("[agents.bot.access]\nworkflow = \"read\"".into(), "[agents.bot] access names workflow"),
        ("[agents.bot.access]\nworkflows = \"some\"".into(), "some"),
        ("[agents.bot]\ntools = [\"get_workfow\"]".into(), "[agents.bot] tools names get_workfow"),
        ("[agents.\"a b\"]".into(), "a b"),
        (format!("[agents.a]\ntoken_sha256 = \"{hash}\"\n[agents.b]\ntoken_sha256 = \"{hash}\""), "is the token of a"),
    ];
    for (file, told) in table {
        let ended = home(&file).run(&["stdio", "--simulator", "--agent", "bot"]).await;
        assert_eq!(ended.code(), 2, "{file}: {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{file}: {}", ended.stderr);
    }
}

/// A tenth of the forty writes a minute is four.
#[tokio::test]
async fn an_agent_uses_its_share_of_the_budget_and_leaves_the_rest_to_others() {
    let company = company().await;
    let access = "access = { workflows = \"full\" }";
    let small = agent("small", READER, &format!("{access}\nshare = 10"));
    let settings = format!("auth = \"agents\"\nenable_writes = true\n{small}{}", agent("large", WRITER, access));
    let served = Served::at(home(&settings).at(&company).with("IRONCLAD_RATE_LIMIT_WAIT", "0")).await;
    let launch = async |token: &str| call(&served, token, "launch_workflow", nda()).await["structuredContent"].clone();
    for _ in 0..4 {
        assert!(launch(READER).await["id"].is_string());
    }
    let refused = launch(READER).await["error"].clone();
    assert_eq!((&refused["code"], &refused["outcome"]), (&json!("rate_limited"), &json!("not_sent")), "{refused}");
    assert!((1..=60).contains(&refused["retry_after_s"].as_u64().unwrap()), "{refused}");
    for _ in 0..20 {
        assert!(launch(WRITER).await["id"].is_string(), "the other agent has the rest");
    }
}

/// While sessions that ended are looked for, others begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_begin_at_once_all_stay_with_their_agent() {
    let company = company().await;
    let served = Served::at(home(&both()).at(&company)).await;
    let sessions = futures_util::future::join_all((0..300).map(|_| session(&served, WRITER))).await;
    for answer in futures_util::future::join_all(sessions.iter().map(|id| in_session(&served, WRITER, id))).await {
        assert_eq!(answer.status(), StatusCode::OK);
    }
    for stranger in futures_util::future::join_all(sessions.iter().map(|id| in_session(&served, READER, id))).await {
        assert_eq!(stranger.status(), StatusCode::NOT_FOUND);
    }
}
