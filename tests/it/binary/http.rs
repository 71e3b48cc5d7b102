//! `http`: who is let in, what is served, and that it ends when told to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use ironclad_mcp::simulator::{self, Simulator};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use super::program::{Home, MODERN, modern, signed_in};

/// A server over HTTP, with the simulator inside it.
pub(super) struct Served {
    pub(super) child: Child,
    pub(super) url: String,
    pub(super) http: Client,
    pub(super) home: Home,
    /// What it says on stderr.
    pub(super) said: Arc<Mutex<String>>,
}

impl Served {
    async fn start() -> Self {
        Self::at(Home::new().with("IRONCLAD_SIMULATOR", "true")).await
    }

    pub(super) async fn at(home: Home) -> Self {
        let mut child = home.command(&["http", "--listen", "127.0.0.1:0"]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            loop {
                let line = said.next_line().await.unwrap().expect("it ended");
                if let Some(url) = line.strip_prefix("listening on ") {
                    return url.to_owned();
                }
            }
        };
        let url = tokio::time::timeout(Duration::from_secs(20), listening).await.unwrap();
        // Somebody must listen, or else the server would be told that nobody does.
        let text = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&text);
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, url, http: Client::new(), home, said: text }
    }

    pub(super) async fn page(&self, path: &str) -> Response {
        self.http.get(self.url.replace("/mcp", path)).send().await.unwrap()
    }

    pub(super) fn post(&self, headers: &[(&str, &str)], message: &Value) -> reqwest::RequestBuilder {
        let request = self.http.post(&self.url).header("accept", "application/json, text/event-stream").json(message);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// The answer to a request of 2026-07-28.
    async fn modern(&self, headers: &[(&str, &str)]) -> Response {
        self.modern_call("list_users", &json!({"limit": 1}), headers).send().await.unwrap()
    }

    /// A call in a request of 2026-07-28.
    pub(super) fn modern_call(
        &self,
        tool: &str,
        arguments: &Value,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let params = modern(json!({"name": tool, "arguments": arguments}));
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let own = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/call"), ("mcp-name", tool)];
        self.post(&[&own, headers].concat(), &call)
    }
}

/// A JSON answer, plain or as the one event of a stream.
pub(super) async fn message(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).find(|data| !data.trim().is_empty());
    serde_json::from_str(data.unwrap_or(&text)).unwrap_or_else(|error| panic!("{error}: {status} {text}"))
}

#[tokio::test]
async fn both_eras_are_served() {
    let served = Served::start().await;
    let answer = message(served.modern(&[]).await).await;
    assert_eq!(answer["result"]["structuredContent"]["total"], 25, "{answer}");
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}});
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello});
    let welcome = served.post(&[], &hello).send().await.unwrap();
    let session = welcome.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    assert_eq!(message(welcome).await["result"]["serverInfo"]["name"], "ironclad-mcp");
    let mut headers = vec![("mcp-protocol-version", "2025-06-18")];
    if let Some(id) = &session {
        headers.push(("mcp-session-id", id));
    }
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert!(served.post(&headers, &ready).send().await.unwrap().status().is_success());
    let call =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_users", "arguments": {}}});
    let answer = message(served.post(&headers, &call).send().await.unwrap()).await;
    assert_eq!(answer["result"]["structuredContent"]["total"], 25, "{answer}");
}

#[tokio::test]
async fn it_says_that_it_is_up_and_ready() {
    let served = Served::start().await;
    for page in ["/healthz", "/readyz"] {
        assert_eq!(served.page(page).await.status(), StatusCode::OK, "{page}");
    }
    assert_eq!(served.page("/secrets").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn it_says_that_it_is_not_ready_without_a_token() {
    let home = Home::new().with("IRONCLAD_SIMULATOR", "false").with("IRONCLAD_BASE_URL", "http://127.0.0.1:9");
    let home = home.with("IRONCLAD_CLIENT_ID", "id").with("IRONCLAD_CLIENT_SECRET", "secret");
    let served = Served::at(home.with("IRONCLAD_AS_USER_ID", "6411a000")).await;
    assert_eq!(served.page("/healthz").await.status(), StatusCode::OK);
    assert_eq!(served.page("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_name_that_was_allowed_is_let_in() {
    let home = Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_ALLOWED_HOSTS", "mcp.example");
    let served = Served::at(home.with("IRONCLAD_ALLOWED_ORIGINS", "https://app.example")).await;
    let both = [("host", "mcp.example"), ("origin", "https://app.example")];
    assert_eq!(served.modern(&both).await.status(), StatusCode::OK);
    let other = [("host", "mcp.example"), ("origin", "https://evil.example")];
    assert_eq!(served.modern(&other).await.status(), StatusCode::FORBIDDEN);
}

/// A page in the user's browser must not reach the server by a name that leads here, or from its own origin.
#[tokio::test]
async fn a_wrong_host_or_origin_is_refused() {
    let served = Served::start().await;
    for (header, value) in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "http://localhost.evil.example"),
        ("origin", "null"),
    ] {
        assert_eq!(served.modern(&[(header, value)]).await.status(), StatusCode::FORBIDDEN, "{header}: {value}");
    }
    for (header, value) in [("host", "localhost"), ("origin", "http://localhost:3000"), ("origin", "http://127.0.0.1")]
    {
        assert_eq!(served.modern(&[(header, value)]).await.status(), StatusCode::OK, "{header}: {value}");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_and_the_next_call_works() {
    let served = Served::start().await;
    let headers = [("mcp-protocol-version", MODERN), ("content-type", "application/json")];
    for body in ["garbage".to_owned(), "[".repeat(100_000), "{}".into(), "null".into(), "\u{0}".into()] {
        let request =
            headers.iter().fold(served.http.post(&served.url), |request, (name, value)| request.header(*name, *value));
        let request = request.header("accept", "application/json, text/event-stream");
        let status = request.body(body.clone()).send().await.unwrap().status();
        assert!(status.is_client_error(), "{status} for {}", &body[..body.len().min(20)]);
    }
    assert_eq!(served.modern(&[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_call_whose_client_went_away_is_recorded() {
    let settings = simulator::Settings { faults: Some("slow:ms=60000".into()), ..Default::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let served = Served::at(Home::new().at(&simulator)).await;
    let call = tokio::time::timeout(Duration::from_secs(20), served.modern(&[]));
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        () = signed_in(&simulator) => {}
    }
    let recorded = async {
        loop {
            let log = std::fs::read_to_string(served.home.audit_log()).unwrap_or_default();
            if let Some(line) = log.lines().next() {
                return serde_json::from_str::<Value>(line).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let line = tokio::time::timeout(Duration::from_secs(10), recorded).await.expect("no line");
    assert_eq!((&line["tool"], &line["outcome"]), (&json!("list_users"), &json!("cancelled")));
}

#[tokio::test]
async fn an_address_that_others_can_reach_is_refused() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8000"] {
        let ended = Home::new().run(&["http", "--simulator", "--listen", address]).await;
        assert_eq!(ended.code(), 2, "{address}: {}", ended.stderr);
        assert!(ended.stderr.contains("--listen") && ended.stderr.contains("authentication"), "{}", ended.stderr);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn it_ends_at_once_and_well_when_told_to() {
    for signal in ["TERM", "INT"] {
        let mut served = Served::start().await;
        served.modern(&[]).await.bytes().await.unwrap();
        let kill = format!("kill -{signal} {}", served.child.id().unwrap());
        tokio::process::Command::new("sh").args(["-c", &kill]).status().await.unwrap();
        let status = tokio::time::timeout(Duration::from_secs(2), served.child.wait()).await.expect("in time").unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn readyz_tells_that_redis_cannot_be_reached() {
    let home = Home::new().with("IRONCLAD_SIMULATOR", "true").with("IRONCLAD_REDIS", "redis://127.0.0.1:9");
    let served = Served::at(home).await;
    let ready = served.page("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = ready.text().await.unwrap();
    assert!(text.starts_with("Redis cannot be reached: ") && text.contains("reads go on"), "{text}");
    assert_eq!(served.page("/healthz").await.status(), StatusCode::OK);
}
