//! HTTP from clients that mean no good, or no end: what is refused, and that everybody else is served meanwhile.

use std::time::Duration;

use ironclad_mcp::transport::Patience;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::house::{House, MODERN};

/// What the server says until it closes the connection.
async fn last_words(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A connection that is reset has been ended as well.
    let _ =
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await.expect("it was not ended");
    String::from_utf8_lossy(&said).into_owned()
}

fn head(length: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{length}\r\n\r\n"
    )
}

#[tokio::test]
async fn headers_that_do_not_come_end_the_connection() {
    let patience = Patience { head: Duration::from_millis(300), ..Patience::default() };
    let house = House::with(|settings| settings.patience = patience).await;
    let mut slow = house.connection().await;
    slow.write_all(b"POST /mcp HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut silent = house.connection().await;
    house.is_well().await;
    assert!(!last_words(&mut slow).await.contains(" 200 "));
    assert!(last_words(&mut silent).await.is_empty());
    house.is_well().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let patience = Patience { body: Duration::from_millis(300), ..Patience::default() };
    let house = House::with(|settings| settings.patience = patience).await;
    let mut slow = house.connection().await;
    slow.write_all(head("content-length: 100").as_bytes()).await.unwrap();
    slow.write_all(b"{\"jsonrpc\"").await.unwrap();
    house.is_well().await;
    let said = last_words(&mut slow).await;
    assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
}

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_however_it_is_sent() {
    let house = House::open().await;
    let mut told = house.connection().await;
    told.write_all(head("content-length: 1073741824").as_bytes()).await.unwrap();
    let said = last_words(&mut told).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    let mut chunked = house.connection().await;
    chunked.write_all(head("transfer-encoding: chunked").as_bytes()).await.unwrap();
    let (mut read, mut write) = chunked.split();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    let sending = async {
        let mut sent = 0;
        while sent < 1024 && write.write_all(&chunk).await.is_ok() {
            sent += 1;
        }
        sent
    };
    let mut said = Vec::new();
    let hearing = read.read_to_end(&mut said);
    let both = async { tokio::join!(sending, hearing) };
    let (sent, _) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it was not ended");
    assert!(sent < 64, "{sent} MB were taken");
    house.is_well().await;
}

#[tokio::test]
async fn a_hundred_thousand_headers_are_refused() {
    let house = House::open().await;
    let mut stream = house.connection().await;
    let many: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let request = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    let (mut read, mut write) = stream.split();
    let mut said = Vec::new();
    let sending = write.write_all(request.as_bytes());
    let both = async { tokio::join!(sending, read.read_to_end(&mut said)) };
    let _ = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it was not ended");
    let said = String::from_utf8_lossy(&said);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
    house.is_well().await;
}

#[tokio::test]
async fn sessions_are_capped_and_one_that_ends_makes_room() {
    let house = House::with(|settings| settings.max_sessions = 2).await;
    let first = house.session().await.unwrap();
    house.session().await.unwrap();
    let full = house.session().await.unwrap_err();
    assert_eq!(
        (full.status(), full.headers()["retry-after"].to_str().unwrap()),
        (StatusCode::SERVICE_UNAVAILABLE, "5")
    );
    house.is_well().await;
    assert_eq!(house.ping(&first).await, StatusCode::OK);
    let end = house.http.delete(format!("http://{}/mcp", house.address)).header("mcp-session-id", &first);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    house.session().await.unwrap();
    assert_eq!(house.ping(&first).await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn many_at_the_door_do_not_get_past_the_cap() {
    let house = House::with(|settings| settings.max_sessions = 5).await;
    let all = futures_util::future::join_all((0..40).map(|_| house.session())).await;
    let begun = all.iter().filter(|session| session.is_ok()).count();
    assert_eq!(begun, 5);
}

#[tokio::test]
async fn a_session_that_is_idle_ends() {
    let house = House::with(|settings| settings.session_timeout = Duration::from_millis(100)).await;
    let session = house.session().await.unwrap();
    let gone = async {
        // Asking keeps it alive, so it is asked seldom.
        while house.ping(&session).await != StatusCode::NOT_FOUND {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it lives on");
}

#[tokio::test]
async fn pages_of_a_configured_origin_may_use_it_from_a_browser_and_no_others() {
    let house = House::with(|settings| settings.cors_origins = vec!["https://app.example".into()]).await;
    let preflight = async |house: &House, origin: &str| {
        let request = house.http.request(reqwest::Method::OPTIONS, format!("http://{}/mcp", house.address));
        let request = request.header("origin", origin).header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type,mcp-param-region").send().await.unwrap()
    };
    let allowed = |response: &Response| response.headers().get("access-control-allow-origin").cloned();
    let asked = preflight(&house, "https://app.example").await;
    assert_eq!(allowed(&asked).unwrap(), "https://app.example");
    assert_eq!(asked.headers()["access-control-allow-headers"], "content-type,mcp-param-region");
    assert!(allowed(&preflight(&house, "https://evil.example").await).is_none());
    let called = house.modern_request("tools/list", "", json!({})).header("origin", "https://app.example");
    let called = called.send().await.unwrap();
    assert_eq!((called.status(), allowed(&called).unwrap().to_str().unwrap()), (StatusCode::OK, "https://app.example"));
    assert!(called.headers()["access-control-expose-headers"].to_str().unwrap().contains("mcp-session-id"));
    let foreign = house.modern_request("tools/list", "", json!({})).header("origin", "https://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let without = House::open().await;
    assert!(allowed(&preflight(&without, "http://localhost:6274").await).is_none());
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_refused() {
    let house = House::open().await;
    let call = || json!({"name": "list_users", "arguments": {"limit": 1}});
    for (header, value) in
        [("mcp-name", "delete_webhook"), ("mcp-method", "tools/list"), ("mcp-protocol-version", "2025-11-25")]
    {
        let mut request = house.modern_request("tools/call", "list_users", call()).build().unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        let response = house.http.execute(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{header}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], -32020, "{header}: {answer}");
    }
    for missing in ["mcp-name", "mcp-method"] {
        let mut request = house.modern_request("tools/call", "list_users", call()).build().unwrap();
        request.headers_mut().remove(missing);
        let response = house.http.execute(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{missing}");
    }
    house.is_well().await;
}

#[tokio::test]
async fn a_header_that_decides_something_is_refused_twice() {
    let house = House::open().await;
    let session = house.session().await.unwrap();
    for (name, value) in [
        ("host", "localhost"),
        ("host", "evil.example"),
        ("origin", "https://evil.example"),
        ("content-type", "application/json"),
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-method", "tools/list"),
        ("mcp-name", "delete_webhook"),
    ] {
        let call = json!({"name": "list_users", "arguments": {"limit": 1}});
        let mut request = house.modern_request("tools/call", "list_users", call).build().unwrap();
        let first = match name {
            "host" => Some("localhost"),
            "origin" => Some("http://localhost"),
            "mcp-session-id" => Some("another"),
            _ => None,
        };
        for value in first.into_iter().chain([value]) {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        assert_eq!(request.headers().get_all(name).iter().count(), 2, "{name}");
        assert_eq!(house.http.execute(request).await.unwrap().status(), StatusCode::BAD_REQUEST, "{name}: {value}");
    }
    assert_eq!(house.ping(&session).await, StatusCode::OK);
    house.is_well().await;
}

/// A name of somebody else's that leads here is how a page in a browser gets around its own rules.
#[tokio::test]
async fn a_name_that_was_made_to_lead_here_reaches_nothing_in_either_era() {
    let house = House::open().await;
    let session = house.session().await.unwrap();
    let name = format!("rebound.example:{}", house.address.port());
    let leads_here = Client::builder().resolve("rebound.example", house.address).build().unwrap();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}});
    for (header, value) in [("mcp-session-id", session.as_str()), ("mcp-protocol-version", MODERN)] {
        let call =
            leads_here.post(format!("http://{name}/mcp")).header("accept", "application/json, text/event-stream");
        let call = call.header("origin", format!("http://{name}")).header(header, value).json(&list);
        assert_eq!(call.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{header}");
    }
    let plain = json!({"name": "list_users", "arguments": {"limit": 1}});
    let mut plain = house.modern_request("tools/call", "list_users", plain).build().unwrap();
    plain.headers_mut().insert("host", name.parse().unwrap());
    assert_eq!(house.http.execute(plain).await.unwrap().status(), StatusCode::FORBIDDEN, "a plain call");
    let stream = leads_here.get(format!("http://{name}/mcp")).header("accept", "text/event-stream");
    let stream = stream.header("mcp-session-id", &session).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::FORBIDDEN);
    let end = leads_here.delete(format!("http://{name}/mcp")).header("mcp-session-id", &session);
    assert_eq!(end.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(house.ping(&session).await, StatusCode::OK, "it is still there");
}

#[tokio::test]
async fn an_answer_is_json_where_nothing_streams_and_a_stream_where_something_does() {
    let house = House::open().await;
    let kind = |response: &Response| response.headers()["content-type"].to_str().unwrap().to_owned();
    let list = house.modern("tools/list", "", json!({})).await;
    assert_eq!(kind(&list), "application/json");
    let listen = house.modern("subscriptions/listen", "", json!({"notifications": {"toolsListChanged": true}})).await;
    assert_eq!((listen.status(), kind(&listen)), (StatusCode::OK, "text/event-stream".to_owned()));
}
