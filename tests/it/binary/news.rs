//! Clients learn by themselves that what they may see has changed, in both eras; and how long a list keeps is no promise
//! that the next change of the settings file breaks.

use std::{collections::BTreeSet, time::Duration};

use ironclad_mcp::simulator::{self, Simulator};
use reqwest::Response;
use serde_json::{Value, json};

use super::{
    agents::{READER, WRITER, agent, ask, bearer, home, in_session, session, until, write},
    http::{Served, message},
    program::{Home, MODERN, Session, modern},
};

/// Longer than a change of the file takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

const EVERYTHING: [&str; 3] = ["tools", "prompts", "resources"];

/// The messages of an answer that goes on.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    fn of(response: Response) -> Self {
        assert!(response.status().is_success(), "{response:?}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next message; `None` once the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("nothing comes")
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect();
                self.text = rest.to_owned();
                if !data.is_empty() {
                    return Some(serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits until it was told that each of these lists changed.
    async fn told(&mut self, lists: &[&str]) {
        let mut missing = methods(lists);
        while !missing.is_empty() {
            let message = self.next().await.expect("the stream ended");
            missing.remove(message["method"].as_str().unwrap_or_default());
        }
    }

    /// What comes until it ends.
    async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        rest
    }
}

fn methods(lists: &[&str]) -> BTreeSet<String> {
    lists.iter().map(|list| format!("notifications/{list}/list_changed")).collect()
}

/// The stream on which the client of a session is told what it did not ask for.
async fn listening(served: &Served, token: &str, id: &str) -> Stream {
    let stream = served.http.get(&served.url).header("accept", "text/event-stream");
    let stream = stream.header("authorization", bearer(token)).header("mcp-session-id", id);
    Stream::of(stream.header("mcp-protocol-version", "2025-11-25").send().await.unwrap())
}

/// What a client of 2026-07-28 asks to be told.
fn wishes(lists: &[&str]) -> Value {
    lists.iter().map(|list| (format!("{list}ListChanged"), json!(true))).collect::<serde_json::Map<_, _>>().into()
}

async fn subscribed(served: &Served, token: &str, lists: &[&str]) -> Stream {
    let wishes = json!({ "notifications": wishes(lists) });
    let mut stream = Stream::of(ask(served, token, "subscriptions/listen", wishes).await);
    let first = stream.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    stream
}

/// A settings file with these agents' access. Some agent has records from the start, so their scopes are asked for.
fn granting(agents: &[(&str, &str, &str)]) -> String {
    let agents = agents.iter().map(|(name, token, access)| agent(name, token, &format!("access = {{ {access} }}")));
    format!("auth = \"agents\"\nenable_writes = true\n{}", agents.collect::<String>())
}

const WORKFLOWS: &str = "workflows = \"read\"";
const MORE: &str = "workflows = \"read\", records = \"read\"";

fn before() -> String {
    granting(&[("reader", READER, WORKFLOWS), ("writer", WRITER, MORE)])
}

/// The reader is granted more: other tools, another prompt, another resource.
fn more() -> String {
    granting(&[("reader", READER, MORE), ("writer", WRITER, MORE)])
}

/// The reader is taken out, and the writer granted less.
fn less() -> String {
    granting(&[("writer", WRITER, WORKFLOWS)])
}

#[tokio::test]
async fn a_change_of_the_file_is_told_over_http_and_the_streams_of_who_is_taken_out_end() {
    let served = Served::at(home(&before()).with("IRONCLAD_SIMULATOR", "true")).await;
    let id = session(&served, READER).await;
    let mut of_session = listening(&served, READER, &id).await;
    let mut of_stream = subscribed(&served, READER, &EVERYTHING).await;
    let mut of_prompts = subscribed(&served, READER, &["prompts"]).await;
    let mut of_writer = subscribed(&served, WRITER, &["tools"]).await;
    write(&served.home, &more());
    of_session.told(&EVERYTHING).await;
    of_stream.told(&EVERYTHING).await;
    let news = of_prompts.next().await.unwrap();
    assert_eq!(news["method"], "notifications/prompts/list_changed", "it asked for nothing else: {news}");
    assert!(in_session(&served, READER, &id).await.text().await.unwrap().contains("\"name\":\"list_records\""));
    // The stream of who is there still goes on.
    write(&served.home, &less());
    of_writer.told(&["tools"]).await;
    assert!(of_session.rest().await.iter().all(|message| message.get("method").is_some()));
    for stream in [of_stream, of_prompts] {
        let end = stream.rest().await.pop().unwrap();
        assert!(end.get("result").is_some(), "a stream of this revision ends with its result: {end}");
    }
    let again = served.http.get(&served.url).header("accept", "text/event-stream").header("mcp-session-id", &id);
    assert_eq!(again.header("authorization", bearer(READER)).send().await.unwrap().status(), 401);
}

/// Receives until each of these lists was told to have changed.
async fn told(session: &mut Session, lists: &[&str]) {
    let mut missing = methods(lists);
    while !missing.is_empty() {
        let news = session.receive().await;
        missing.remove(news["method"].as_str().unwrap_or_default());
    }
}

#[tokio::test]
async fn a_change_of_the_file_is_told_over_stdio_in_both_eras() {
    let home = home(&before()).with("IRONCLAD_SIMULATOR", "true");
    let mut old = home.open(&["stdio", "--agent", "reader"]).await;
    let listed = old.request("tools/list", json!({})).await.to_string();
    assert!(!listed.contains("\"name\":\"list_records\""), "{listed}");
    let mut new = home.start(&["stdio", "--agent", "reader"]);
    let listen = new.ask("subscriptions/listen", modern(json!({ "notifications": wishes(&EVERYTHING) }))).await;
    assert_eq!(new.receive().await["method"], "notifications/subscriptions/acknowledged");
    write(&home, &more());
    told(&mut old, &EVERYTHING).await;
    told(&mut new, &EVERYTHING).await;
    let listed = old.request("tools/list", json!({})).await.to_string();
    assert!(listed.contains("\"name\":\"list_records\""), "{listed}");
    write(&home, &less());
    loop {
        let last = new.receive().await;
        if last["id"] == listen {
            assert!(last.get("result").is_some(), "{last}");
            break;
        }
    }
    told(&mut old, &["tools"]).await;
    let denied = old.call("list_workflows", json!({})).await;
    assert_eq!(denied["structuredContent"]["error"]["code"], "access_denied", "{denied}");
}

async fn hints(served: &Served, method: &str) -> (u64, String) {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": modern(json!({}))});
    let headers = [("mcp-protocol-version", MODERN), ("mcp-method", method)];
    let result = message(served.post(&headers, &request).send().await.unwrap()).await["result"].clone();
    let scope = result["cacheScope"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
    (result["ttlMs"].as_u64().unwrap_or_else(|| panic!("{result}")), scope)
}

const LISTS: [&str; 4] = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];

#[tokio::test]
async fn a_list_keeps_no_longer_than_nothing_can_change_it() {
    let settings = simulator::Settings { strict: true, rate_limits: false, ..simulator::Settings::default() };
    let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    // Before the first token nobody knows what it is good for.
    let served = Served::at(Home::new().at(&simulator)).await;
    for list in ["tools/list", "prompts/list", "resources/templates/list"] {
        assert_eq!(hints(&served, list).await, (0, "private".into()), "{list}");
    }
    assert_eq!(hints(&served, "server/discover").await, (300_000, "public".into()));
    served.modern_call("list_users", &json!({"limit": 1}), &[]).send().await.unwrap().text().await.unwrap();
    for list in LISTS {
        let expected = if list == "resources/list" { 30_000 } else { 300_000 };
        assert_eq!(hints(&served, list).await, (expected, "private".into()), "{list}");
    }
    // The templates are fetched again after so long.
    let launching = Home::new().at(&simulator).with("IRONCLAD_ENABLE_WRITES", "true");
    let served = Served::at(launching.with("IRONCLAD_TEMPLATE_REFRESH", "40")).await;
    let (ttl, _) = until(async || Some(hints(&served, "tools/list").await).filter(|(ttl, _)| *ttl > 0)).await;
    assert!(ttl <= 40_000, "{ttl}");
    // The settings file is followed.
    let home = home("template_refresh = 600\n").at(&simulator);
    let served = Served::at(home).await;
    served.modern_call("list_users", &json!({"limit": 1}), &[]).send().await.unwrap().text().await.unwrap();
    for list in LISTS {
        assert_eq!(hints(&served, list).await, (2000, "private".into()), "{list}");
    }
}
