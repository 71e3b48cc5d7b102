//! Rules that hold for every operation: identity, paging, limits, strict mode, bad input.

use super::*;

#[tokio::test]
async fn authentication_comes_before_routing() {
    let mut bench = Bench::new().await;
    bench.get("/no/such/path").await.refused(404, "NOT_FOUND");
    bench.token = "wrong".into();
    for path in ["/no/such/path", "/workflows"] {
        assert_eq!(bench.get(path).await.refused(401, "UNAUTHORIZED")["message"], "invalid authentication token");
    }
    assert_eq!(bench.get("/scim/v2/Nothing").await.status, 401);
}

#[tokio::test]
async fn client_credentials_must_name_a_known_user() {
    let mut bench = Bench::new().await;
    bench.user = None;
    bench.get("/workflows").await.refused(400, "MISSING_PARAM");
    bench.user = Some("nobody@simulator.example".into());
    bench.get("/workflows").await.refused(404, "NOT_FOUND");
    assert_eq!(bench.get("/scim/v2/Users").await.body["status"], "404");
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused() {
    let mut bench = Bench::new().await;
    let grant = bench.client_token("public.records.readRecords").await;
    bench.token = grant["access_token"].as_str().expect("token").to_owned();
    bench.get("/records?pageSize=1").await.ok();
    bench.get("/workflows").await.refused(403, "FORBIDDEN");
    bench.get("/webhooks/verification-key").await;
    assert_eq!(bench.get("/scim/v2/Users").await.body["status"], "403");
}

#[tokio::test]
async fn a_legacy_token_needs_people_in_bodies() {
    let mut bench = Bench::new().await;
    bench.token = bench.simulator.credentials().access_token;
    bench.user = None;
    bench.get("/workflows?pageSize=1").await.ok();
    let mut body = json!({ "template": NDA, "attributes": nda("Legacy Ltd") });
    assert_eq!(bench.post("/workflows", body.clone()).await.refused(400, "MISSING_PARAM")["param"], "creator");
    body["creator"] = json!({ "type": "email", "email": MAYA });
    let workflow = bench.post("/workflows", body).await.ok();
    bench.approve(&workflow).await.refused(400, "MISSING_PARAM");
}

#[tokio::test]
async fn pages_cover_everything_once() {
    let bench = Bench::new().await;
    let mut seen = std::collections::HashSet::new();
    let mut page = 0;
    loop {
        let body = bench.get(&format!("/records?page={page}&pageSize=70")).await.ok();
        for record in body["list"].as_array().expect("list") {
            assert!(seen.insert(record["id"].as_str().expect("id").to_owned()));
        }
        page += 1;
        if page * 70 >= body["count"].as_u64().expect("count") {
            break;
        }
    }
    let count = bench.get("/records?pageSize=1").await.ok()["count"].as_u64().expect("count");
    assert_eq!(seen.len() as u64, count);
    assert_eq!(bench.get("/records?page=99999").await.ok()["list"], json!([]));
    bench.get("/records?pageSize=101").await.refused(400, "INVALID_PARAM");
}

#[tokio::test]
async fn strict_mode_refuses_what_is_otherwise_ignored() {
    let lenient = Bench::new().await;
    assert_eq!(lenient.get("/workflows?limit=3").await.ok()["pageSize"], 20);
    let strict = Bench::with(Settings { strict: true, ..quiet() }).await;
    assert_eq!(strict.get("/workflows?limit=3").await.refused(400, "INVALID_PARAM")["param"], "limit");
    let workflow = strict.launch_nda("Strict Co").await;
    let pause = format!("/workflows/{}/pause", workflow["id"].as_str().expect("id"));
    let body = json!({ "comment": { "message": "x", "notify": true } });
    assert_eq!(strict.post(&pause, body).await.refused(400, "INVALID_PARAM")["param"], "comment.notify");
    assert_eq!(strict.post(&pause, comment()).await.status, 204);
}

#[tokio::test]
async fn unknown_launch_members_are_refused_in_any_mode() {
    let bench = Bench::new().await;
    let body = json!({ "template": NDA, "attributes": nda("Extra Co"), "note": 1 });
    assert_eq!(bench.post("/workflows", body).await.refused(400, "INVALID_PARAM")["param"], "note");
}

#[tokio::test]
async fn limits_are_announced_and_enforced() {
    let bench = Bench::with(Settings { rate_limits: true, ..quiet() }).await;
    let first = bench.get("/workflows?pageSize=1").await;
    assert_eq!(first.header("x-ratelimit-limit"), Some("400"));
    assert_eq!(first.header("x-ratelimit-remaining"), Some("399"));
    assert!(first.header("x-ratelimit-reset").is_some());
    bench.post("/__simulator/rate-limits", json!({ "limits": { "pub:workflows:write": 1 } })).await.ok();
    bench.launch_nda("First").await;
    let refused = bench.post("/workflows", json!({})).await;
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    let wait: u64 = refused.header("retry-after").expect("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait));
    refused.refused(429, "TOO_MANY_REQUESTS");
    bench.post("/__simulator/rate-limits", json!({ "enabled": false })).await.ok();
    bench.launch_nda("Second").await;
}

#[tokio::test]
async fn bad_bodies_are_refused_without_harm() {
    let bench = Bench::new().await;
    let deep = "[".repeat(200_000);
    let huge = format!("{{\"template\":\"{}\"}}", "x".repeat(6 * 1024 * 1024));
    for body in [deep.into_bytes(), b"\xff\xfe{".to_vec(), b"{\"a\":".to_vec(), b"null".to_vec()] {
        let request = bench.request(Method::POST, "/workflows").header("content-type", "application/json").body(body);
        Answer::read(request.send().await.expect("answer")).await.refused(400, "INVALID_PARAM");
    }
    let request = bench.request(Method::POST, "/workflows").header("content-type", "application/json").body(huge);
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), 400);
    }
    let request = bench.request(Method::POST, "/workflows").header("content-type", "multipart/form-data").body("x");
    Answer::read(request.send().await.expect("answer")).await.refused(400, "INVALID_PARAM");
    for path in ["/workflows/%ff%00", "/records/..%2f..", "/workflows?filter=%ff((((", "/records?lastUpdated=x"] {
        assert!(bench.get(path).await.status.is_client_error(), "{path}");
    }
    bench.get("/workflows?pageSize=1").await.ok();
}

#[tokio::test]
async fn every_reply_carries_the_usual_headers() {
    let bench = Bench::new().await;
    let answer = bench.get("/records/metadata").await;
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store, no-cache"));
    assert_eq!(answer.header("x-ironclad-requestid"), answer.header("x-response-id"));
    assert_eq!(answer.header("x-ironclad-requestid").map(str::len), Some(36));
}

#[tokio::test]
async fn two_simulators_with_one_seed_answer_the_same() {
    let (one, two) = (Bench::new().await, Bench::new().await);
    let neutral = |bench: &Bench, value: Value| value.to_string().replace(&bench.simulator.base_url(), "");
    for path in ["/workflows?pageSize=100&status=active,completed,cancelled,paused", "/records?pageSize=100"] {
        assert_eq!(neutral(&one, one.get(path).await.ok()), neutral(&two, two.get(path).await.ok()));
    }
    assert_eq!(neutral(&one, one.launch_nda("Twin").await), neutral(&two, two.launch_nda("Twin").await));
    let other = Bench::with(Settings { seed: 2, ..quiet() }).await;
    let ids = |page: Value| page["list"][0]["id"].clone();
    assert_ne!(ids(one.get("/records").await.ok()), ids(other.get("/records").await.ok()));
}

#[tokio::test]
async fn no_body_makes_any_operation_fall_over() {
    let bench = Bench::new().await;
    let junk = [
        json!(null),
        json!([]),
        json!({}),
        json!({ "template": 1, "attributes": [], "creator": "x", "comment": 7, "updates": [null, 1, {}] }),
        json!({ "template": NDA, "attributes": { "counterpartyName": { "a": [[[]]] }, "draft": [{ "file": 1 }] } }),
        json!({ "updates": [{ "path": "effectiveDate", "value": "9999-12-31T23:59:59-23:59" }], "status": [], "user": 1 }),
        json!({ "type": "terminate", "properties": { "standard_terminatedDate": { "type": "date", "value": 1e300 } } }),
        json!({ "type": "imported", "name": "x", "properties": { "agreementDate": { "type": "date", "value": "0000-01-01" } } }),
        json!({ "links": [{}], "parent": 1, "children": {}, "setParent": { "recordId": "IC-1" }, "events": [1], "targetURL": "::" }),
        json!({ "propertiesToAmend": 1, "addProperties": 1, "removeProperties": [1], "removeParent": "x" }),
    ];
    let workflow = bench.launch_nda("Junk Co").await;
    for operation in crate::simulator::operations::OPERATIONS {
        let id = if operation.path.contains("records") { "IC-1" } else { workflow["id"].as_str().expect("id") };
        let path = operation.path.replace("{id}", id).replace("{roleId}", "owner").replace("{key}", "x");
        let path = path.replace("{asyncJobId}", "x");
        let path = path.strip_prefix("/public/api/v1").unwrap_or(&path);
        let method: Method = operation.method.parse().expect("method");
        for body in &junk {
            let answer = bench.send(method.clone(), path, body.clone()).await;
            assert!(answer.status.as_u16() < 500, "{} {body}: {}", operation.name, answer.status);
        }
    }
    for query in ["page=-1", "pageSize=x", "filter=[[[[", "sortField=", "startIndex=-1", "count=99999999999999999999"] {
        for path in ["/workflows", "/records", "/scim/v2/Users", "/webhooks"] {
            assert!(bench.get(&format!("{path}?{query}")).await.status.as_u16() < 500);
        }
    }
}

#[tokio::test]
async fn a_consenting_user_acts_whatever_the_headers_say() {
    let mut bench = Bench::new().await;
    let grant = super::oauth::user_token(&bench, "").await;
    bench.token = grant["access_token"].as_str().expect("token").to_owned();
    bench.user = Some("nobody@simulator.example".into());
    assert_eq!(bench.get("/oauth/userinfo").await.ok()["email"], MAYA);
}
