//! Plain calls of 2026-07-28 are answered without rmcp's service: just as rmcp would answer them.

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{house::House, support::nda};

/// The same request, so that rmcp answers it: it says in another way what it accepts.
fn by_rmcp(request: RequestBuilder) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.headers_mut().insert("accept", "application/json;q=0.9, text/event-stream".parse().unwrap());
    RequestBuilder::from_parts(client, request)
}

/// Status, kind and message of an answer.
async fn told(request: RequestBuilder) -> (StatusCode, Option<String>, Value) {
    let response = request.send().await.unwrap();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, kind, serde_json::from_str(&text).unwrap_or_else(|_| json!(text)))
}

/// A message without what differs each time: the sealed plan, and Ironclad's id of the request.
fn lasting(mut message: Value) -> Value {
    if let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) {
        // It says the same as the structured content.
        result.remove("content");
        for part in [["structuredContent", "plan"], ["structuredContent", "plan_expires"]] {
            result[part[0]].as_object_mut().unwrap().remove(part[1]);
        }
        if let Some(error) = result["structuredContent"].get_mut("error") {
            error.as_object_mut().unwrap().remove("request_id");
        }
    }
    message
}

#[tokio::test]
async fn a_plain_call_is_answered_as_rmcp_answers_it() {
    let house = House::open().await;
    let dry = {
        let mut launch = nda();
        launch["dry_run"] = true.into();
        launch
    };
    for (tool, arguments) in [
        ("list_users", json!({"limit": 2})),
        ("list_users", json!({"limit": "two", "colour": "red"})),
        ("get_workflow", json!({"workflow_id": "6a6b328004308879e7d439b6"})),
        ("get_workflow", json!({})),
        ("launch_workflow", dry),
        ("whoami", json!({})),
        ("no_such_tool", json!({})),
    ] {
        let request = || house.modern_request("tools/call", tool, json!({"name": tool, "arguments": arguments}));
        let (direct, by_rmcp) = (told(request()).await, told(by_rmcp(request())).await);
        assert_eq!((direct.0, &direct.1), (by_rmcp.0, &by_rmcp.1), "{tool} {arguments}");
        assert_eq!(lasting(direct.2), lasting(by_rmcp.2), "{tool} {arguments}");
    }
}

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// A change of a message.
type Change = fn(&mut Value);

/// What is not plain goes to rmcp, which refuses it; a call that it would refuse is never made.
#[tokio::test]
async fn what_rmcp_would_refuse_is_refused() {
    let house = House::open().await;
    let call = json!({"name": "list_users", "arguments": {"limit": 1}});
    let good = || house.modern_request("tools/call", "list_users", call.clone());
    assert_eq!(told(good()).await.0, StatusCode::OK);
    let meta = |change: Change| {
        let (client, request) = good().build_split();
        let request = request.unwrap();
        let mut body: Value = serde_json::from_slice(request.body().unwrap().as_bytes().unwrap()).unwrap();
        change(&mut body);
        RequestBuilder::from_parts(client, request).json(&body)
    };
    let faults: [(&str, Change); 7] = [
        ("no version", |body| drop(body["params"]["_meta"].as_object_mut().unwrap().remove(VERSION))),
        ("another version", |body| body["params"]["_meta"][VERSION] = "2025-11-25".into()),
        ("no capabilities", |body| {
            let meta = body["params"]["_meta"].as_object_mut().unwrap();
            meta.remove("io.modelcontextprotocol/clientCapabilities");
        }),
        ("no _meta", |body| drop(body["params"].as_object_mut().unwrap().remove("_meta"))),
        ("another name", |body| body["params"]["name"] = "whoami".into()),
        ("another method", |body| body["method"] = "tools/list".into()),
        ("another JSON-RPC", |body| body["jsonrpc"] = "1.0".into()),
    ];
    for (what, change) in faults {
        let (status, _, message) = told(meta(change)).await;
        assert!(status.is_client_error(), "{what}: {status} {message}");
        assert!(message.get("result").is_none(), "{what}: {message}");
    }
    for (header, value) in [("mcp-param-region", "eu"), ("content-type", "text/plain"), ("accept", "application/json")]
    {
        let (client, request) = good().build_split();
        let mut request = request.unwrap();
        request.headers_mut().insert(header, value.parse().unwrap());
        let (status, ..) = told(RequestBuilder::from_parts(client, request)).await;
        // A header for a parameter that the tool has not is none of its business.
        assert_eq!(status.is_success(), header == "mcp-param-region", "{header}: {status}");
    }
}

#[tokio::test]
async fn whoever_asks_for_progress_is_answered_too() {
    let house = House::open().await;
    let call = json!({"name": "list_users", "arguments": {"limit": 1}});
    let (client, request) = house.modern_request("tools/call", "list_users", call).build_split();
    let request = request.unwrap();
    let mut body: Value = serde_json::from_slice(request.body().unwrap().as_bytes().unwrap()).unwrap();
    body["params"]["_meta"]["progressToken"] = "p".into();
    let (status, _, message) = told(RequestBuilder::from_parts(client, request).json(&body)).await;
    assert_eq!((status, &message["result"]["structuredContent"]["total"]), (StatusCode::OK, &json!(25)), "{message}");
}
