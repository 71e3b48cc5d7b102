//! Sessions over HTTP: what a client that lost its connection can come back for, and what ends when.

use std::time::Duration;

use ironclad_mcp::simulator;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::{house::House, support::Setting};

fn slow(ms: u32) -> Setting {
    let default = Setting::default();
    let faults = Some(format!("slow:path=/scim/v2/Users,ms={ms}"));
    Setting { simulator: simulator::Settings { faults, ..default.simulator }, ..default }
}

fn call(id: u32) -> Value {
    let params = json!({"name": "list_users", "arguments": {"limit": 1}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

impl House {
    async fn ask(&self, session: &str, message: &Value) -> Response {
        self.post(message).header("mcp-session-id", session).send().await.unwrap()
    }

    /// The stream of a session, from an event on.
    async fn back(&self, session: &str, event: &str) -> Response {
        let stream = self.http.get(format!("http://{}/mcp", self.address)).header("accept", "text/event-stream");
        stream.header("mcp-session-id", session).header("last-event-id", event).send().await.unwrap()
    }
}

/// The id of the event that a stream opens with.
async fn opening(stream: &mut Response) -> String {
    let mut read = String::new();
    loop {
        if let Some((_, rest)) = read.split_once("id: ")
            && let Some((id, _)) = rest.split_once('\n')
        {
            return id.to_owned();
        }
        let part = stream.chunk().await.unwrap().expect("the stream ended");
        read.push_str(std::str::from_utf8(&part).unwrap());
    }
}

async fn rest(stream: Response) -> String {
    tokio::time::timeout(Duration::from_secs(20), stream.text()).await.expect("the stream goes on").unwrap()
}

#[tokio::test]
async fn an_answer_whose_connection_broke_is_there_for_whoever_comes_back() {
    let house = House::of(slow(300), |_| {}).await;
    let session = house.session().await.unwrap();
    let mut stream = house.ask(&session, &call(5)).await;
    let event = opening(&mut stream).await;
    drop(stream);
    let answer = rest(house.back(&session, &event).await).await;
    assert!(answer.contains("\"total\":25") && answer.contains("\"id\":5"), "{answer}");
    // It was read, so it is kept no longer.
    assert!(!rest(house.back(&session, &event).await).await.contains("result"));
    let other = house.session().await.unwrap();
    assert!(!rest(house.back(&other, &event).await).await.contains("result"), "it is another session's");
}

#[tokio::test]
async fn a_call_that_is_taken_back_ends_its_stream_without_an_answer() {
    let house = House::of(slow(5_000), |_| {}).await;
    let session = house.session().await.unwrap();
    let mut stream = house.ask(&session, &call(6)).await;
    opening(&mut stream).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 6}});
    assert_eq!(house.ask(&session, &cancel).await.status(), StatusCode::ACCEPTED);
    let began = std::time::Instant::now();
    assert!(!rest(stream).await.contains("result"));
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(house.ping(&session).await, StatusCode::OK, "the session goes on");
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams() {
    let house = House::of(slow(5_000), |_| {}).await;
    let session = house.session().await.unwrap();
    let mut of_call = house.ask(&session, &call(7)).await;
    opening(&mut of_call).await;
    let listening = house.http.get(format!("http://{}/mcp", house.address)).header("accept", "text/event-stream");
    let listening = listening.header("mcp-session-id", &session).send().await.unwrap();
    assert_eq!(listening.status(), StatusCode::OK);
    let end = house.http.delete(format!("http://{}/mcp", house.address)).header("mcp-session-id", &session);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(!rest(of_call).await.contains("result"));
    rest(listening).await;
    assert_eq!(house.ping(&session).await, StatusCode::NOT_FOUND);
}

/// A call that takes longer than a session may be idle is no idleness.
#[tokio::test]
async fn a_session_at_work_is_not_idle() {
    let house = House::of(slow(1_000), |settings| settings.session_timeout = Duration::from_millis(200)).await;
    let session = house.session().await.unwrap();
    let answer = rest(house.ask(&session, &call(8)).await).await;
    assert!(answer.contains("\"total\":25"), "{answer}");
}

#[tokio::test]
async fn requests_of_one_session_run_side_by_side() {
    let house = House::of(slow(500), |_| {}).await;
    let session = house.session().await.unwrap();
    let began = std::time::Instant::now();
    let calls = (10..20).map(|id| {
        let (house, session) = (&house, &session);
        async move { rest(house.ask(session, &call(id)).await).await.contains(&format!("\"id\":{id}")) }
    });
    assert!(futures_util::future::join_all(calls).await.into_iter().all(|right| right));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
