//! Each operation once, in the shape clients rely on.

use super::*;

#[tokio::test]
async fn workflows_are_listed_newest_first_and_active_unless_asked_otherwise() {
    let bench = Bench::new().await;
    let page = bench.get("/workflows?pageSize=100").await.ok();
    assert!(page["list"].as_array().expect("list").iter().all(|workflow| workflow["status"] == "active"));
    let all = bench.get("/workflows?status=active,paused,completed,cancelled&pageSize=100").await.ok();
    assert_eq!(all["count"], 61);
    let list = all["list"].as_array().expect("list");
    for (status, step) in [
        ("active", "Review"),
        ("active", "Sign"),
        ("active", "Archive"),
        ("paused", "Review"),
        ("cancelled", "Review"),
        ("cancelled", "Sign"),
        ("completed", "Complete"),
    ] {
        assert!(list.iter().any(|one| one["status"] == status && one["step"] == step), "{status} {step}");
    }
    let created: Vec<&str> = list.iter().filter_map(|one| one["created"].as_str()).collect();
    assert!(created.windows(2).all(|pair| pair[0] >= pair[1]));
}

#[tokio::test]
async fn a_workflow_is_read_by_either_id() {
    let bench = Bench::new().await;
    let first = bench.get("/workflows?pageSize=1").await.ok()["list"][0].clone();
    for id in [&first["id"], &first["ironcladId"]] {
        assert_eq!(bench.get(&format!("/workflows/{}", id.as_str().expect("id"))).await.ok()["title"], first["title"]);
    }
    let error = bench.get("/workflows/aaaaaaaaaaaaaaaaaaaaaaaa").await.refused(404, "NOT_FOUND");
    assert_eq!(error["param"], "workflowId");
}

#[tokio::test]
async fn a_launch_answers_200_with_the_workflow_in_review() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Acme LLC").await;
    assert_eq!(workflow["title"], "Mutual NDA with Acme LLC");
    assert_eq!((&workflow["step"], &workflow["status"]), (&json!("Review"), &json!("active")));
    assert_eq!(workflow["approvals"]["state"], "in_progress");
    assert_eq!(workflow["signatures"]["state"], "not_started");
    assert_eq!(workflow["creator"]["email"], MAYA);
    let draft = &workflow["attributes"]["draft"][0];
    assert_eq!(draft["versionNumber"], 1);
    assert_eq!(workflow["attributes"]["effectiveDate"], "2026-10-01T00:00:00.000Z");
    assert!(workflow["attributes"].get("term").is_none(), "defaults are filled only when asked for");
    assert!(workflow.get("recordIds").is_none());
    let filled = bench
        .post("/workflows?useDefaultValues=true", json!({ "template": NDA, "attributes": nda("Acme LLC") }))
        .await
        .ok();
    assert_eq!(filled["attributes"]["term"], json!({ "years": 2 }));
}

#[tokio::test]
async fn a_multipart_launch_takes_its_files_from_named_parts() {
    let bench = Bench::new().await;
    let mut attributes = nda("Paper Co");
    attributes["paperSource"] = json!("Counterparty paper");
    attributes["draft"] = json!([{ "file": "TheirDraft" }]);
    let data = json!({ "template": NDA, "attributes": attributes }).to_string();
    let file = reqwest::multipart::Part::bytes(b"their words".to_vec())
        .file_name("théirs.docx")
        .mime_str("application/octet-stream")
        .expect("type");
    let form = reqwest::multipart::Form::new().text("data", data).part("TheirDraft", file);
    let sent = bench.request(Method::POST, "/workflows").multipart(form).send().await.expect("answer");
    let workflow = Answer::read(sent).await.ok();
    let draft = &workflow["attributes"]["draft"][0];
    assert_eq!(draft["filename"], "théirs.docx");
    assert_eq!(draft["lastModified"]["author"]["email"], MAYA);
    let path = draft["download"].as_str().expect("path").trim_start_matches("/public/api/v1");
    let bytes = bench.request(Method::GET, path).send().await.expect("download").bytes().await.expect("bytes");
    assert_eq!(bytes.as_ref(), b"their words");
    let json_body = bench.post("/workflows", json!({ "template": NDA, "attributes": attributes })).await;
    json_body.refused(400, "INVALID_PARAM");
}

#[tokio::test]
async fn missing_answers_are_all_named_at_once() {
    let bench = Bench::new().await;
    let body = json!({ "template": NDA, "attributes": { "paperSource": "Counterparty paper" } });
    let error = bench.post("/workflows", body).await.refused(400, "MISSING_PARAM");
    let ids: Vec<String> = serde_json::from_str(error["param"].as_str().expect("param")).expect("JSON text");
    for id in ["counterpartyName", "effectiveDate", "draft", "counterpartySigner"] {
        assert!(ids.iter().any(|missing| missing == id), "{id} in {ids:?}");
    }
    let mut attributes = nda("Acme");
    attributes["effectiveDate"] = json!("soon");
    let error = bench.post("/workflows", json!({ "template": NDA, "attributes": attributes })).await;
    assert_eq!(error.refused(400, "INVALID_PARAM")["metadata"]["keyPath"], "effectiveDate");
}

#[tokio::test]
async fn schemas_are_listed_with_permissions_of_the_acting_user() {
    let mut bench = Bench::new().await;
    let list = bench.get("/workflow-schemas?form=launch").await.ok();
    assert_eq!(list["list"].as_array().expect("list").len(), 6);
    assert!(list.get("count").is_none());
    let one = bench.get(&format!("/workflow-schemas/{NDA}")).await.ok();
    assert_eq!(one["permissions"], json!(["launch", "view"]));
    assert!(one.get("backstage").is_none());
    bench.get("/workflow-schemas").await.refused(400, "MISSING_PARAM");
    assert_eq!(bench.get("/workflow-schemas?form=x").await.refused(400, "INVALID_PARAM")["param"], "/?form");
    bench.get("/workflow-schemas/aaaaaaaaaaaaaaaaaaaaaaaa").await.refused(400, "NOT_FOUND");
    bench.user = Some("priya.raghunathan@simulator.example".into());
    let order_form = bench.get("/workflow-schemas/5f4e9c35cdc1927c5c4ed006").await.ok();
    assert_eq!(order_form["permissions"], json!(["view"]));
}

#[tokio::test]
async fn approval_requests_tell_the_history_with_actors_on_request() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("History Ltd").await;
    let path = format!("/workflows/{}/approval-requests", workflow["ironcladId"].as_str().expect("id"));
    let pending = bench.get(&path).await.ok();
    assert_eq!(pending["list"][0]["status"], "Pending");
    assert!(pending["list"][0].get("endTime").is_none());
    bench.approve(&workflow).await.ok();
    let done = bench.get(&format!("{path}?actorDetails=true&requestType=role")).await.ok();
    assert_eq!(done["list"][0]["status"], "Approved");
    assert_eq!(done["list"][0]["actorDetails"]["userEmail"], MAYA);
    assert!(done["list"][0]["duration"].is_i64());
}

#[tokio::test]
async fn records_are_listed_filtered_sorted_and_read() {
    let bench = Bench::new().await;
    let page = bench.get("/records?pageSize=100&sortField=name&sortDirection=ASC").await.ok();
    assert!(page["count"].as_u64().expect("count") >= 290, "{}", page["count"]);
    let list = page["list"].as_array().expect("list");
    let names: Vec<&str> = list.iter().filter_map(|record| record["name"].as_str()).collect();
    assert!(names.windows(2).all(|pair| pair[0] <= pair[1]));
    let ndas = bench.get("/records?types=mutualNda,orderForm&pageSize=100").await.ok();
    assert!(
        ndas["list"]
            .as_array()
            .expect("list")
            .iter()
            .all(|one| one["type"] == "mutualNda" || one["type"] == "orderForm")
    );
    let filter = "(And(Contains([counterpartyName], 'acme'), IsNotEmpty([agreementDate])))";
    let response = bench.request(Method::GET, "/records").query(&[("filter", filter)]).send().await.expect("answer");
    let found = Answer::read(response).await.ok();
    assert!(found["count"].as_u64().expect("count") > 0);
    for bad in ["Equals([colour], 'red')", "Equals([name]", "Equals([type], 'mutualNda')"] {
        let response = bench.request(Method::GET, "/records").query(&[("filter", bad)]).send().await.expect("answer");
        Answer::read(response).await.refused(400, "INVALID_PARAM");
    }
    let id = list[0]["ironcladId"].as_str().expect("id");
    assert_eq!(bench.get(&format!("/records/{id}")).await.ok()["id"], list[0]["id"]);
    bench.get("/records/IC-999999").await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn seeded_records_show_many_contract_states() {
    let bench = Bench::new().await;
    let mut seen = std::collections::BTreeSet::new();
    let mut amended = 0;
    for page in 0..4 {
        let page = bench.get(&format!("/records?pageSize=100&page={page}")).await.ok();
        for record in page["list"].as_array().expect("list") {
            seen.insert(record["contractStatus"]["enhancedStatus"].as_str().unwrap_or("none").to_owned());
            amended += usize::from(record.get("amendments").is_some());
        }
    }
    for status in ["active", "expiring", "auto-renewing", "evergreen", "inactive", "terminating", "executed", "none"] {
        assert!(seen.contains(status), "{status} in {seen:?}");
    }
    assert!(amended > 10);
}

#[tokio::test]
async fn an_amendment_shows_on_its_parent_with_the_original_value() {
    let bench = Bench::new().await;
    let money = |amount: u32| json!({ "type": "monetary_amount", "value": { "currency": "USD", "amount": amount } });
    let parent = json!({ "type": "orderForm", "name": "Parent", "properties": { "contractValue": money(100) } });
    let parent = bench.post("/records", parent).await.ok();
    let child = json!({
        "type": "orderForm", "name": "Amendment", "properties": { "contractValue": money(150) },
        "parent": { "recordId": parent["id"], "parentLinkType": "amendment" },
        "propertiesToAmend": { "contractValue": { "amendmentType": "replace" } },
    });
    let child = bench.post("/records", child).await.ok();
    let shown = bench.get(&format!("/records/{}", parent["id"].as_str().expect("id"))).await.ok();
    assert_eq!(shown["properties"]["contractValue"]["value"]["amount"], 150);
    assert_eq!(shown["properties"]["contractValue"]["originalValue"]["amount"], 100);
    assert_eq!(shown["amendments"], json!([child["ironcladId"]]));
    assert_eq!(shown["childIds"], json!([child["id"]]));
}

#[tokio::test]
async fn records_are_created_and_changed_with_checked_properties() {
    let bench = Bench::new().await;
    let text = |value: &str| json!({ "type": "string", "value": value });
    let body = json!({ "type": "mutualNda", "name": "By hand", "properties": { "governingLaw": text("Ireland") } });
    let record = bench.post("/records", body).await.ok();
    assert!(record.get("source").is_none());
    let path = format!("/records/{}", record["ironcladId"].as_str().expect("id"));
    let address = json!({ "lines": ["1 High St"], "locality": "York", "postcode": "YO1", "country": "UK" });
    let change = json!({
        "name": "Renamed",
        "addProperties": { "counterpartyAddress": { "type": "address", "value": address } },
        "removeProperties": ["governingLaw"],
    });
    let changed = bench.patch(&path, change).await.ok();
    assert_eq!(changed["name"], "Renamed");
    assert_eq!(changed["properties"]["counterpartyAddress"]["value"], "1 High St, York, YO1, UK");
    assert!(changed["properties"].get("governingLaw").is_none());
    let object = bench.get(&format!("{path}?addressAsObject=true")).await.ok();
    assert_eq!(object["properties"]["counterpartyAddress"]["value"], address);
    let error = bench.patch(&path, json!({ "addProperties": { "colour": text("red") } })).await;
    assert_eq!(error.refused(400, "INVALID_PARAM")["message"], "unknown property colour");
    bench.patch(&path, json!({ "updates": [] })).await.refused(400, "INVALID_PARAM");
    let wrong = json!({ "type": "treaty", "name": "x", "properties": {} });
    assert_eq!(bench.post("/records", wrong).await.refused(400, "INVALID_PARAM")["param"], "type");
}

#[tokio::test]
async fn metadata_names_types_and_properties() {
    let bench = Bench::new().await;
    let metadata = bench.get("/records/metadata").await.ok();
    assert_eq!(metadata["properties"]["counterpartyName"]["type"], "string");
    assert!(metadata["recordTypes"]["mutualNda"]["displayName"].is_string());
}

#[tokio::test]
async fn a_record_action_is_echoed_and_needs_a_lifecycle() {
    let bench = Bench::new().await;
    let date = |value: &str| json!({ "type": "date", "value": value });
    let properties = json!({
        "effectiveDate": date("2026-01-01T00:00:00Z"),
        "expirationDate": date("2028-01-01T00:00:00Z"),
        "standard_renewalType": { "type": "string", "value": "None" },
    });
    let body = json!({ "type": "mutualNda", "name": "Live", "properties": properties });
    let id = bench.post("/records", body).await.ok()["id"].as_str().expect("id").to_owned();
    let action = json!({ "type": "terminate", "properties": {
        "standard_terminatedDate": date("2026-08-31T00:00:00Z"),
        "standard_terminationEffectiveDate": date("2026-10-31T00:00:00Z"),
    } });
    assert_eq!(bench.post(&format!("/records/{id}/actions"), action.clone()).await.ok(), action);
    let status = bench.get(&format!("/records/{id}")).await.ok()["contractStatus"]["enhancedStatus"].clone();
    assert_eq!(status, "terminating");
    let bare = bench.post("/records", json!({ "type": "imported", "name": "Bare", "properties": {} })).await.ok();
    let path = format!("/records/{}/actions", bare["id"].as_str().expect("id"));
    assert_eq!(bench.post(&path, action).await.refused(404, "NOT_FOUND")["message"], "no obligations found");
}

#[tokio::test]
async fn the_large_exhibit_downloads_five_megabytes_of_pdf() {
    let bench = Bench::new().await;
    let filter = "Equals([name], 'Large Exhibit Review')";
    let response = bench.request(Method::GET, "/workflows").query(&[("filter", filter)]).send().await.expect("answer");
    let found = Answer::read(response).await.ok();
    let id = found["list"][0]["id"].as_str().expect("id");
    let documents = bench.get(&format!("/workflows/{id}/documents")).await.ok();
    let exhibit = &documents["excludedFromSignaturePacketDocuments"][0];
    let path = exhibit["download"].as_str().expect("path").trim_start_matches("/public/api/v1");
    let response = bench.request(Method::GET, path).send().await.expect("download");
    assert_eq!(response.headers()["content-type"], "application/pdf");
    assert!(response.headers()["content-disposition"].to_str().expect("text").contains("Large Exhibit Review.pdf"));
    let bytes = response.bytes().await.expect("bytes");
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() >= 5 * 1024 * 1024);
    let draft = documents["signaturePacketDocuments"][0]["key"].as_str().expect("key");
    let word = bench.request(Method::GET, &format!("/workflows/{id}/document/{draft}/download")).send().await;
    assert!(word.expect("download").bytes().await.expect("bytes").starts_with(b"PK"));
    bench.get(&format!("/workflows/{id}/document/none/download")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn webhooks_are_created_listed_changed_and_deleted() {
    let bench = Bench::new().await;
    let body = json!({ "events": ["workflow_launched"], "targetURL": "https://hooks.example/in" });
    let created = bench.post("/webhooks", body.clone()).await;
    assert_eq!(created.status, 201);
    let id = created.body["id"].as_str().expect("id").to_owned();
    assert_eq!(bench.post("/webhooks", body).await.refused(400, "INVALID_PARAM")["param"], "tagetURL");
    let list = bench.get("/webhooks").await.ok();
    assert!(list.get("count").is_none());
    assert_eq!(list["list"].as_array().expect("list").len(), 1);
    let changed = bench.patch(&format!("/webhooks/{id}"), json!({ "status": "disabled" })).await.ok();
    assert_eq!(changed["status"], "disabled");
    assert_eq!(bench.get(&format!("/webhooks/{id}")).await.ok()["statusLastUpdatedBy"], changed["statusLastUpdatedBy"]);
    for body in [
        json!({ "events": ["contract_status_changed"], "targetURL": "https://a.example" }),
        json!({ "events": [], "targetURL": "https://a.example" }),
        json!({ "events": ["*"], "targetURL": "http://a.example" }),
    ] {
        bench.post("/webhooks", body).await.refused(400, "INVALID_PARAM");
    }
    assert_eq!(bench.send(Method::DELETE, &format!("/webhooks/{id}"), json!({})).await.status, 204);
    bench.get(&format!("/webhooks/{id}")).await.refused(404, "NOT_FOUND");
    let key = bench.get("/webhooks/verification-key").await;
    assert_eq!(key.header("content-type"), Some("application/x-pem-file; charset=utf-8"));
    assert!(key.body.as_str().expect("text").starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[tokio::test]
async fn scim_lists_filters_and_finds_users() {
    let bench = Bench::new().await;
    let all = bench.get("/scim/v2/Users?count=10&startIndex=21").await;
    assert_eq!(all.header("content-type"), Some("application/scim+json"));
    let all = all.ok();
    assert_eq!((&all["totalResults"], &all["itemsPerPage"]), (&json!(25), &json!(5)));
    let filter = format!("userName eq \"{MAYA}\"");
    let response = bench.request(Method::GET, "/scim/v2/Users").query(&[("filter", &filter)]).send().await;
    let found = Answer::read(response.expect("answer")).await.ok();
    let id = found["Resources"][0]["id"].as_str().expect("id");
    let one = bench.get(&format!("/scim/v2/Users/{id}?excludedAttributes=meta,emails")).await.ok();
    assert_eq!(one["userName"], MAYA);
    assert!(one.get("meta").is_none() && one.get("id").is_some());
    let missing = bench.get("/scim/v2/Users/aaaaaaaaaaaaaaaaaaaaaaaa").await;
    assert_eq!((missing.status.as_u16(), &missing.body["status"]), (404, &json!("404")));
    let bad = bench.request(Method::GET, "/scim/v2/Users").query(&[("filter", "nickName eq \"x\"")]).send().await;
    let bad = Answer::read(bad.expect("answer")).await;
    assert_eq!((bad.status.as_u16(), &bad.body["scimType"]), (400, &json!("invalidFilter")));
}

#[tokio::test]
async fn an_asynchronous_launch_fails_with_200_and_succeeds_with_a_workflow() {
    let bench = Bench::new().await;
    bench.post("/__simulator/async-launch", json!({ "milliseconds": 0 })).await;
    let start = async |attributes: Value| {
        let body = json!({ "template": NDA, "attributes": attributes });
        let accepted = bench.post("/workflows/async", body).await.ok();
        let id = accepted["asyncJobId"].as_str().expect("id");
        bench.get(&format!("/workflows/async/{id}")).await.ok()
    };
    let done = start(nda("Later Ltd")).await;
    assert_eq!(done["status"], "success");
    assert_eq!(done["workflow"]["title"], "Mutual NDA with Later Ltd");
    let failed = start(json!({})).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("MISSING_PARAM")));
    bench.post("/__simulator/async-launch", json!({ "milliseconds": 3_600_000 })).await;
    assert_eq!(start(nda("Never Ltd")).await["status"], "in_progress");
    bench.get("/workflows/async/none").await.refused(404, "NOT_FOUND");
}
