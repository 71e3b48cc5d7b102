//! The control endpoints, faults, and the request log.

use super::*;

#[tokio::test]
async fn the_log_shows_what_was_sent_and_whether_it_was_applied() {
    let bench = Bench::new().await;
    bench.launch_nda("Logged").await;
    bench.post("/workflows", json!({ "template": NDA, "attributes": {} })).await.refused(400, "MISSING_PARAM");
    let log = bench.get("/__simulator/requests?operation=launchWorkflow").await.ok();
    let list = log["list"].as_array().expect("list");
    assert_eq!(list.len(), 2);
    assert_eq!((&list[0]["applied"], &list[0]["status"]), (&json!(true), &json!(200)));
    assert_eq!((&list[1]["applied"], &list[1]["code"]), (&json!(false), &json!("MISSING_PARAM")));
    assert_eq!(list[0]["headers"]["authorization"], "Bearer");
    assert_eq!(list[0]["body"]["attributes"]["counterpartyName"], "Logged");
    let whole = bench.get("/__simulator/requests").await.ok().to_string();
    assert!(!whole.contains("simulator-client-secret") && !whole.contains(&bench.token));
    bench.send(Method::DELETE, "/__simulator/requests", json!({})).await;
    assert_eq!(bench.get("/__simulator/requests").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_reset_restores_the_data_and_keeps_the_sign_in() {
    let bench = Bench::new().await;
    let before = bench.get("/__simulator/state").await.ok();
    bench.launch_nda("Temporary").await;
    bench.post("/__simulator/faults", json!("")).await;
    assert_ne!(bench.get("/__simulator/state").await.ok()["counts"], before["counts"]);
    assert_eq!(bench.post("/__simulator/reset", json!({})).await.status, 204);
    assert_eq!(bench.get("/__simulator/state").await.ok(), before);
    bench.get("/workflows?pageSize=1").await.ok();
}

#[tokio::test]
async fn expired_tokens_say_so() {
    let bench = Bench::new().await;
    assert_eq!(bench.post("/__simulator/tokens/expire", json!({})).await.ok()["expired"], 1);
    assert_eq!(bench.get("/workflows").await.refused(401, "UNAUTHORIZED")["message"], "token has expired");
}

#[tokio::test]
async fn events_are_kept_as_webhooks_would_have_got_them() {
    let bench = Bench::new().await;
    bench.post("/webhooks", json!({ "events": ["workflow_launched"], "targetURL": "https://h.example/" })).await;
    let workflow = bench.launch_nda("Event Co").await;
    bench.approve(&workflow).await.ok();
    let events = bench.get("/__simulator/events").await.ok();
    let list = events["list"].as_array().expect("list");
    let find = |name: &str| list.iter().find(|one| one["payload"]["event"] == name).expect(name);
    assert_eq!(find("workflow_launched")["payload"]["workflowID"], workflow["id"]);
    assert_eq!(find("workflow_launched")["deliveries"][0]["targetURL"], "https://h.example/");
    assert_eq!(find("workflow_approval_status_changed")["payload"]["userEmail"], MAYA);
    assert_eq!(find("workflow_step_updated")["deliveries"], json!([]));
}

#[tokio::test]
async fn templates_can_be_republished_and_replaced() {
    let bench = Bench::new().await;
    let republished = bench.post(&format!("/__simulator/templates/{NDA}/republish"), json!({})).await.ok();
    bench.get(&format!("/workflow-schemas/{NDA}")).await.refused(400, "NOT_FOUND");
    let fresh = republished["id"].as_str().expect("id");
    bench.get(&format!("/workflow-schemas/{fresh}")).await.ok();
    let template = json!({
        "id": "aaaaaaaaaaaaaaaaaaaaaaaa", "name": "Tiny",
        "schema": { "counterpartyName": { "type": "string", "displayName": "Name", "required": "always" } },
        "backstage": { "record_type": "imported" },
    });
    bench.post("/__simulator/templates", template).await.ok();
    let body = json!({ "template": "aaaaaaaaaaaaaaaaaaaaaaaa", "attributes": { "counterpartyName": "T" } });
    let workflow = bench.post("/workflows", body).await.ok();
    let advance = format!("/__simulator/workflows/{}/advance", workflow["id"].as_str().expect("id"));
    assert_eq!(bench.post(&advance, json!({})).await.ok()["step"], "Archive");
    bench.post("/__simulator/templates", json!({ "id": 1 })).await.refused(400, "INVALID_PARAM");
}

#[tokio::test]
async fn faults_strike_the_api_and_are_logged_as_not_applied() {
    let bench = Bench::new().await;
    let set = async |text: &'static str| {
        let request = bench.request(Method::POST, "/__simulator/faults").body(text).send().await.expect("answer");
        Answer::read(request).await
    };
    assert_eq!(set("503:count=1,method=POST").await.status, 204);
    let body = json!({ "template": NDA, "attributes": nda("Faulty") });
    assert_eq!(bench.post("/workflows", body.clone()).await.status, 503);
    bench.post("/workflows", body.clone()).await.ok();
    let log = bench.get("/__simulator/requests?operation=launchWorkflow").await.ok();
    let applied: Vec<&Value> = log["list"].as_array().expect("list").iter().map(|one| &one["applied"]).collect();
    assert_eq!(applied, [&json!(false), &json!(true)]);
    set("reset-after:count=1,method=POST").await;
    assert!(bench.request(Method::POST, "/workflows").json(&body).send().await.is_err());
    let log = bench.get("/__simulator/requests?operation=launchWorkflow").await.ok();
    assert_eq!(log["list"][2]["applied"], true, "a reset after acting leaves the workflow launched");
    set("").await;
    bench.get("/workflows?pageSize=1").await.ok();
    assert!(set("earthquake").await.refused(400, "INVALID_PARAM")["message"].as_str().expect("text").contains("429"));
}

/// The log, once a client that left is in it.
async fn somebody_gone(bench: &Bench) -> Vec<Value> {
    loop {
        let log = bench.get("/__simulator/requests?path=/public").await.ok();
        let list = log["list"].as_array().expect("list").clone();
        if list.iter().any(|one| one["gone"] == true) {
            return list;
        }
    }
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_logged_once_with_what_it_did() {
    let cases = [
        ("slow:ms=60000", false, 0, json!("GONE")),
        ("hang", true, 200, Value::Null),
        ("stall", true, 200, Value::Null),
    ];
    let all = cases.map(|(fault, applied, status, code)| async move {
        let bench = Bench::new().await;
        bench.request(Method::POST, "/__simulator/faults").body(fault).send().await.expect("answer");
        let body = json!({ "template": NDA, "attributes": nda("Impatient") });
        let patience = std::time::Duration::from_secs(2);
        let sent = bench.request(Method::POST, "/workflows").json(&body).timeout(patience).send().await;
        if let Ok(begun) = sent {
            assert!(begun.bytes().await.is_err(), "{fault}");
        }
        let log = somebody_gone(&bench).await;
        assert_eq!(log.len(), 1, "{fault}: {log:?}");
        let kind = fault.split(':').next();
        assert_eq!((&log[0]["applied"], log[0]["fault"].as_str()), (&json!(applied), kind), "{fault}");
        assert_eq!((&log[0]["status"], &log[0]["code"]), (&json!(status), &code), "{fault}");
        assert_eq!(log[0]["operation"], "launchWorkflow");
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn open_connections_and_requests_under_way_are_counted() {
    let bench = Bench::new().await;
    let count = async |of: &str| bench.get("/__simulator/connections").await.ok()[of].clone();
    // A client may hold more connections than it needs, and keep them.
    let before = count("open").await.as_u64().expect("number");
    let address = bench.simulator.base_url().trim_start_matches("http://").to_owned();
    let others = futures_util::future::join_all((0..10).map(|_| tokio::net::TcpStream::connect(&address))).await;
    until(async || count("open").await.as_u64() >= Some(before + 10)).await;
    drop(others);
    until(async || count("open").await.as_u64() < Some(before + 10)).await;
    bench.request(Method::POST, "/__simulator/faults").body("hang").send().await.expect("answer");
    assert_eq!(count("requests").await, 1);
    let waiting = tokio::spawn(bench.request(Method::GET, "/workflows").send());
    until(async || count("requests").await == 2).await;
    waiting.abort();
    until(async || count("requests").await == 1).await;
}

/// Waits until something is so that only asking tells.
async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let polling = async { while !holds().await {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), polling).await.expect("it comes to be so");
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let bench = Bench::new().await;
    let address = bench.simulator.base_url().trim_start_matches("http://").parse().expect("address");
    drop(bench.http);
    bench.simulator.stop().await;
    let again = Simulator::start(address, quiet()).await.expect("the port is free");
    assert!(matches!(Simulator::start(address, quiet()).await, Err(super::super::SimulatorError::Listen(..))));
    again.stop().await;
}

#[tokio::test]
async fn revoked_tokens_say_so_and_cannot_be_refreshed() {
    let bench = Bench::new().await;
    bench.post("/__simulator/tokens/revoke", json!({})).await.ok();
    assert_eq!(bench.get("/workflows").await.refused(401, "UNAUTHORIZED")["message"], "token has been revoked");
}

#[tokio::test]
async fn every_listed_control_endpoint_exists() {
    let bench = Bench::new().await;
    let index = bench.get("/__simulator/").await.ok();
    for row in index["control"].as_array().expect("rows") {
        let path = row["path"].as_str().expect("path").replace("{id}", "x");
        let method: Method = row["method"].as_str().expect("method").parse().expect("method");
        let answer = bench.send(method, &path, json!({})).await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(!message.starts_with("no such control endpoint"), "{path}");
    }
}
