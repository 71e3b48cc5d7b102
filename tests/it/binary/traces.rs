//! Traces of the program, as a collector receives them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};

use super::{
    http::{Served, message},
    program::{Home, modern},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    async fn start() -> Self {
        let received = Arc::default();
        let keep = async |State(received): State<Arc<Mutex<Vec<Value>>>>, Json(body): Json<Value>| {
            received.lock().unwrap().push(body);
            Json(json!({}))
        };
        let app = Router::new().route("/v1/traces", post(keep)).with_state(Arc::clone(&received));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, received }
    }

    /// A program that sends its traces here, as JSON.
    fn home(&self) -> Home {
        let home = Home::new().with("IRONCLAD_SIMULATOR", "true").with("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url);
        home.with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").with("OTEL_BSP_SCHEDULE_DELAY", "50")
    }

    fn spans(&self) -> Vec<Value> {
        let bodies = self.received.lock().unwrap();
        let resources = bodies.iter().flat_map(|body| body["resourceSpans"].as_array().unwrap().clone());
        let scopes = resources.flat_map(|resource| resource["scopeSpans"].as_array().unwrap().clone());
        scopes.flat_map(|scope| scope["spans"].as_array().unwrap().clone()).collect()
    }

    /// Waits for a span of this name.
    async fn span(&self, name: &str) -> Value {
        let looking = async {
            loop {
                if let Some(span) = self.spans().into_iter().find(|span| span["name"] == name) {
                    return span;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap_or_else(|_| panic!("no span {name}"))
    }

    fn text(&self) -> String {
        Value::from(self.received.lock().unwrap().clone()).to_string()
    }
}

fn attribute(span: &Value, name: &str) -> Value {
    let attributes = span["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == name);
    found.map(|found| found["value"].as_object().unwrap().values().next().unwrap().clone()).unwrap_or_default()
}

/// A number of OTLP's JSON, which writes 64 bits as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A call that carries the caller's trace in its `_meta`.
fn joined(tool: &str, arguments: &Value) -> Value {
    let mut params = modern(json!({"name": tool, "arguments": arguments}));
    params["_meta"]["traceparent"] = traceparent().into();
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
}

#[tokio::test]
async fn a_call_and_its_request_are_spans_of_the_callers_trace() {
    let collector = Collector::start().await;
    let served =
        Served::at(collector.home().with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=tests")).await;
    let id = "6a6b328004308879e7d43fff";
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "get_workflow")];
    let call = served.post(&headers, &joined("get_workflow", &json!({"workflow_id": id})));
    let result = message(call.send().await.unwrap()).await["result"].clone();
    assert_eq!(result["isError"], true, "{result}");
    let span = collector.span("execute_tool get_workflow").await;
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)), "{span}");
    assert_eq!(attribute(&span, "ironclad.code"), "not_found");
    assert_eq!(attribute(&span, "gen_ai.tool.name"), "get_workflow");
    let own = span["spanId"].as_str().unwrap();
    assert_eq!(result["_meta"]["traceparent"], format!("00-{TRACE}-{own}-01"), "{result}");
    let request = collector.span("GET").await;
    assert_eq!((&request["traceId"], request["parentSpanId"].as_str()), (&json!(TRACE), Some(own)), "{request}");
    assert_eq!(number(&attribute(&request, "http.response.status_code")), Some(404), "{request}");
    let text = collector.text();
    assert!(text.contains("\"ironclad-mcp\"") && text.contains("deployment.environment.name"), "{text}");
    assert!(!text.contains(id) && !text.contains("@simulator.example") && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test]
async fn the_trace_may_come_in_a_header_and_a_call_without_one_begins_its_own() {
    let collector = Collector::start().await;
    let served = Served::at(collector.home().with("OTEL_SERVICE_NAME", "contracts")).await;
    let (header, limit) = (traceparent(), json!({"limit": 1}));
    let call = served.modern_call("list_users", &limit, &[("traceparent", &header)]);
    message(call.send().await.unwrap()).await;
    assert_eq!(collector.span("execute_tool list_users").await["traceId"], TRACE);
    for wrong in ["", "00-0-0-01", "garbage"] {
        let call = served.modern_call("list_webhooks", &json!({}), &[("traceparent", wrong)]);
        let answer = message(call.send().await.unwrap()).await;
        assert!(answer["result"]["_meta"].get("traceparent").is_none(), "{answer}");
    }
    let span = collector.span("execute_tool list_webhooks").await;
    assert_ne!(span["traceId"], TRACE);
    assert_eq!(span["parentSpanId"].as_str().unwrap_or_default(), "");
    assert!(collector.text().contains("\"contracts\""));
}

#[tokio::test]
async fn over_stdio_the_last_spans_are_sent_before_the_program_ends() {
    let collector = Collector::start().await;
    // Nothing is sent by the clock.
    let home = collector.home().with("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut session = home.start(&["stdio"]);
    let call = joined("list_users", &json!({"limit": 1}));
    let answer = session.request("tools/call", call["params"].clone()).await;
    assert!(
        answer["result"]["_meta"]["traceparent"].as_str().unwrap().starts_with(&format!("00-{TRACE}-")),
        "{answer}"
    );
    session.hang_up();
    assert_eq!(session.ended(Duration::from_secs(60)).await.code(), 0);
    let names: Vec<Value> = collector.spans().iter().map(|span| span["name"].clone()).collect();
    assert!(names.contains(&json!("execute_tool list_users")) && names.contains(&json!("GET")), "{names:?}");
}

#[tokio::test]
async fn without_a_collector_or_where_it_is_said_so_nothing_is_traced() {
    let collector = Collector::start().await;
    for (name, value) in
        [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]
    {
        let mut session = collector.home().with(name, value).start(&["stdio"]);
        let call = joined("list_users", &json!({"limit": 1}));
        let answer = session.request("tools/call", call["params"].clone()).await;
        assert!(answer["result"]["_meta"].get("traceparent").is_none(), "{name}: {answer}");
        session.hang_up();
        session.ended(Duration::from_secs(60)).await;
    }
    assert_eq!(collector.spans(), Vec::<Value>::new());
    let ended = collector.home().with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc").run(&["stdio"]).await;
    assert!(ended.code() == 2 && ended.stderr.contains("OTEL_EXPORTER_OTLP"), "{}", ended.stderr);
}
