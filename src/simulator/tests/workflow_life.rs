//! The state machine, by legal and illegal moves.

use super::*;

fn path(workflow: &Value, rest: &str) -> String {
    format!("/workflows/{}{rest}", workflow["id"].as_str().expect("id"))
}

#[tokio::test]
async fn a_contract_goes_from_launch_to_its_record() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Whole Life Inc").await;
    assert_eq!(bench.approve(&workflow).await.ok(), json!(true));
    let signing = bench.get(&path(&workflow, "")).await.ok();
    assert_eq!((&signing["step"], &signing["signatures"]["state"]), (&json!("Sign"), &json!("in_progress")));
    assert_eq!(signing["isRevertibleToReview"], true);
    let send = path(&workflow, "/sign-status/send-signature-request");
    let sent = Answer::read(bench.request(Method::POST, &send).send().await.expect("answer")).await.ok();
    assert_eq!(sent["status"], "sent");
    assert_eq!((&sent["signers"][0]["status"], &sent["signers"][1]["status"]), (&json!("sent"), &json!("pending")));
    bench.post(&send, json!({})).await.refused(400, "INVALID_STATE");
    let hook = format!("/__simulator{}", path(&workflow, "/sign"));
    bench.post(&hook, json!({ "signer": "Counterparty Signer" })).await.refused(400, "INVALID_STATE");
    bench.post(&hook, json!({ "signer": "Company Signer" })).await.ok();
    let half = bench.get(&path(&workflow, "")).await.ok();
    assert!(half["attributes"]["partiallySigned"]["key"].is_string());
    assert_eq!(bench.post(&hook, json!({})).await.ok()["step"], "Archive");
    let archived = bench.get(&path(&workflow, "")).await.ok();
    assert!(archived["attributes"]["signed"]["key"].is_string());
    assert!(archived["attributes"].get("partiallySigned").is_none());
    let record_id = archived["recordIds"][0].as_str().expect("record");
    let advance = format!("/__simulator{}", path(&workflow, "/advance"));
    assert_eq!(bench.post(&advance, json!({})).await.ok()["status"], "completed");
    let record = bench.get(&format!("/records/{record_id}")).await.ok();
    assert_eq!(record["ironcladId"], workflow["ironcladId"]);
    assert_eq!(record["source"], json!({ "type": "workflow", "workflowId": workflow["id"] }));
    assert_eq!(record["properties"]["counterpartyName"]["value"], "Whole Life Inc");
    assert_eq!(record["attachments"]["signedCopy"]["contentType"], "application/pdf");
    bench.post(&path(&workflow, "/cancel"), comment()).await.refused(400, "INVALID_STATE");
}

#[tokio::test]
async fn a_paused_workflow_can_be_resumed_and_only_then() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Pause Co").await;
    bench.post(&path(&workflow, "/resume"), comment()).await.refused(400, "INVALID_STATE");
    assert_eq!(bench.post(&path(&workflow, "/pause"), comment()).await.status, 204);
    bench.post(&path(&workflow, "/pause"), comment()).await.refused(400, "INVALID_STATE");
    assert_eq!(bench.get(&path(&workflow, "")).await.ok()["status"], "paused");
    bench.approve(&workflow).await.refused(400, "INVALID_PARAM");
    assert_eq!(bench.post(&path(&workflow, "/resume"), comment()).await.status, 204);
    assert_eq!(bench.get(&path(&workflow, "")).await.ok()["status"], "active");
    let history = bench.get(&path(&workflow, "/approval-requests")).await.ok();
    assert_eq!(history["list"][0]["status"], "Workflow Paused");
    assert_eq!(history["list"][1]["status"], "Pending");
}

#[tokio::test]
async fn a_comment_is_an_object_with_a_message() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Comment Co").await;
    let pause = path(&workflow, "/pause");
    bench.post(&pause, json!({})).await.refused(400, "MISSING_PARAM");
    bench.post(&pause, json!({ "comment": "text" })).await.refused(400, "INVALID_PARAM");
    bench.post(&pause, json!({ "comment": {} })).await.refused(400, "MISSING_PARAM");
    let stranger = json!({ "comment": { "message": "see <@siobhan.keane@simulator.example>" } });
    bench.post(&pause, stranger).await.refused(400, "INVALID_PARAM");
    let readable = format!("/workflows/{}/pause", workflow["ironcladId"].as_str().expect("id"));
    bench.post(&readable, comment()).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_cancelled_workflow_stays_cancelled() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Gone Ltd").await;
    assert_eq!(bench.post(&path(&workflow, "/cancel"), comment()).await.status, 204);
    let gone = bench.get(&path(&workflow, "")).await.ok();
    assert_eq!((&gone["status"], &gone["isCancelled"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(gone["approvals"]["state"], "not_applicable");
    bench.post(&path(&workflow, "/cancel"), comment()).await.refused(400, "INVALID_STATE");
    bench.post(&path(&workflow, "/resume"), comment()).await.refused(400, "INVALID_STATE");
    let change = json!({ "updates": [{ "action": "set", "path": "additionalNotes", "value": "x" }] });
    bench.patch(&path(&workflow, "/attributes"), change).await.refused(400, "INVALID_STATE");
}

#[tokio::test]
async fn only_the_assigned_approver_approves_and_in_order() {
    let mut bench = Bench::new().await;
    let nda = bench.launch_nda("Order Co").await;
    bench.user = Some("imani.bakari@simulator.example".into());
    bench.approve(&nda).await.refused(400, "INVALID_PARAM");
    bench
        .patch(&path(&nda, "/approvals/approver0"), json!({ "status": "approved" }))
        .await
        .refused(400, "INVALID_PARAM");
    let addendum = json!({
        "template": "5f3d47a2cdc1927c5c4ed005",
        "attributes": {
            "counterpartyName": "Data GmbH",
            "effectiveDate": "2026-10-01",
            "processingPurpose": "Payroll",
            "dataCategories": ["Contact data"],
            "approverb807b9a9ca7728574a61d81e014336ec": "yusuf.demir@simulator.example",
            "role4e2c191ece3b1664dc2a80f1da7728b7": "Astrid Holm",
            "role34f35eea3a91edb2809463ad74adc331": "astrid@data.example",
        },
    });
    let workflow = bench.post("/workflows?useDefaultValues=true", addendum).await.ok();
    let legal = path(&workflow, "/approvals/approverc49daef28c4b8a0020b56c9627d154fa");
    let approved = json!({ "status": "approved" });
    assert_eq!(
        bench.patch(&legal, approved.clone()).await.refused(400, "INVALID_STATE")["message"],
        "This approval cannot be approved out of order"
    );
    let groups = bench.get(&path(&workflow, "/approvals")).await.ok()["approvalGroups"].clone();
    assert_eq!((&groups[0]["status"], &groups[1]["status"]), (&json!("active"), &json!("pending")));
    bench.user = Some("yusuf.demir@simulator.example".into());
    let privacy = path(&workflow, "/approvals/approverb807b9a9ca7728574a61d81e014336ec");
    bench.patch(&privacy, approved.clone()).await.ok();
    bench.patch(&privacy, approved.clone()).await.refused(400, "INVALID_PARAM");
    assert_eq!(bench.patch(&privacy, json!({ "status": "pending" })).await.ok(), json!(true));
    bench.patch(&privacy, json!({ "status": "rejected" })).await.refused(400, "INVALID_PARAM");
    assert_eq!(bench.get(&path(&workflow, "/approvals")).await.ok()["approvalGroups"][0]["status"], "active");
}

#[tokio::test]
async fn a_revert_undoes_approvals_and_is_marked() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Back Co").await;
    let revert = path(&workflow, "/revert-to-review");
    bench.patch(&revert, json!({})).await.refused(400, "INVALID_STATE");
    bench.approve(&workflow).await.ok();
    let response = bench.request(Method::PATCH, &revert).send().await.expect("answer");
    assert_eq!(response.status(), 204);
    let back = bench.get(&path(&workflow, "")).await.ok();
    assert_eq!((&back["step"], &back["attributes"]["reviewRollbacked"]), (&json!("Review"), &json!(true)));
    assert_eq!(back["approvals"]["state"], "in_progress");
    bench.approve(&workflow).await.ok();
    assert_eq!(bench.get(&path(&workflow, "")).await.ok()["step"], "Sign");
}

#[tokio::test]
async fn sign_status_needs_the_sign_step() {
    let mut bench = Bench::new().await;
    let grant = super::oauth::user_token(&bench, "").await;
    bench.token = grant["access_token"].as_str().expect("token").to_owned();
    let workflow = bench.launch_nda("Status Co").await;
    let error = bench.get(&path(&workflow, "/sign-status")).await.refused(400, "INVALID_STATE");
    assert!(error["message"].as_str().expect("message").contains("currently at the Review step"));
    bench.approve(&workflow).await.ok();
    assert_eq!(bench.get(&path(&workflow, "/sign-status")).await.ok()["status"], "not_sent");
}

#[tokio::test]
async fn attribute_changes_are_validated_as_a_whole() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Attribute Co").await;
    let patch =
        async |updates: Value| bench.patch(&path(&workflow, "/attributes"), json!({ "updates": updates })).await;
    let set = |path: &str, value: Value| json!([{ "action": "set", "path": path, "value": value }]);
    let message = async |updates: Value| {
        let error = patch(updates).await.refused(400, "INVALID_PARAM");
        error["message"].as_str().expect("message").to_owned()
    };
    assert!(message(set("counterpartyName", json!("Attribute Co"))).await.starts_with("No information changed"));
    assert_eq!(message(set("colour", json!("red"))).await, "non-existent attribute(s) specified: colour");
    assert_eq!(message(set("readableId", json!("IC-1"))).await, "Cannot patch read-only attribute readableId");
    let remove = json!([{ "action": "remove", "path": "effectiveDate" }]);
    assert_eq!(message(remove).await, "form validation failed, please check schema");
    message(set("paperSource", json!("Counterparty paper"))).await;
    message(set("effectiveDate", json!("soon"))).await;
    let changed = patch(set("term", json!({ "years": 5 }))).await.ok();
    assert_eq!(changed["attributes"]["term"], json!({ "years": 5 }));
    assert_eq!(changed["attributes"]["draft"][0]["versionNumber"], 2);
    assert_eq!(changed["attributes"]["draft"][0]["key"], workflow["attributes"]["draft"][0]["key"]);
}

#[tokio::test]
async fn a_running_workflow_overwrites_what_was_written_to_its_record() {
    let bench = Bench::new().await;
    let workflow = bench.launch_nda("Owner Co").await;
    let advance = format!("/__simulator{}", path(&workflow, "/advance"));
    bench.post(&advance, json!({})).await.ok();
    assert_eq!(bench.post(&advance, json!({})).await.ok()["step"], "Archive");
    let record = format!("/records/{}", workflow["ironcladId"].as_str().expect("id"));
    bench.patch(&record, json!({ "name": "Renamed in vain" })).await.ok();
    bench.post(&advance, json!({})).await.ok();
    assert_eq!(bench.get(&record).await.ok()["name"], workflow["title"]);
    bench.patch(&record, json!({ "name": "Renamed for good" })).await.ok();
    assert_eq!(bench.get(&record).await.ok()["name"], "Renamed for good");
    let file = format!("{record}/attachments/signedCopy");
    let bytes = bench.request(Method::GET, &file).send().await.expect("answer").bytes().await.expect("bytes");
    assert!(bytes.starts_with(b"%PDF-"));
}

#[tokio::test]
async fn a_workflow_without_signers_goes_straight_to_archive() {
    let mut bench = Bench::new().await;
    let attributes = json!({
        "counterpartyName": "Vendor GmbH",
        "recordType": "Order Form",
        "vendorAddress": { "lines": ["Kaiweg 2"], "locality": "Bremen", "country": "Germany" },
        "vendorContactEmail": "v@vendor.example",
        "vendorEntity": "ENTITY-1",
        "serviceRegions": ["Europe"],
    });
    let body = json!({ "template": "5f2c8e91cdc1927c5c4ed004", "attributes": attributes });
    let workflow = bench.post("/workflows?useDefaultValues=true", body).await.ok();
    assert_eq!(workflow["attributes"]["draft"][0]["versionNumber"], 1);
    assert_eq!(workflow["schema"]["draft"]["type"], "array");
    let hydrated = bench.get(&path(&workflow, "?hydrateEntities=true")).await.ok();
    assert!(hydrated["attributes"]["vendorEntity"]["name"].is_string());
    bench.user = Some("rosalind.achebe@simulator.example".into());
    bench.approve(&workflow).await.ok();
    let archived = bench.get(&path(&workflow, "")).await.ok();
    assert_eq!((&archived["step"], &archived["signatures"]["state"]), (&json!("Archive"), &json!("not_applicable")));
    let record = bench.get(&format!("/records/{}", archived["recordIds"][0].as_str().expect("id"))).await.ok();
    assert_eq!(record["type"], "orderForm");
    assert_eq!(record["properties"]["entity_reference"]["value"]["readableId"], "ENTITY-1");
}

#[tokio::test]
async fn a_related_record_must_exist_and_is_linked_when_filed() {
    let bench = Bench::new().await;
    let parent = bench.post("/records", json!({ "type": "imported", "name": "MSA", "properties": {} })).await.ok();
    let mut attributes = json!({
        "counterpartyName": "Child SA",
        "parentAgreement": "IC-99999",
        "projectName": "Rollout",
        "startDate": "2026-10-01T00:00:00+02:00",
        "feeModel": "Fixed fee",
        "projectLead": "lead@child.example",
        "deliverables": [{ "deliverableName": "Plan", "quantity": 1, "fee": { "currency": "EUR", "amount": "12.5" } }],
        "roled278fc9d6d5dfb123db9ce0eab686b6c": "Camille Roux",
        "role4174200658e2225d4f9d3eb7c6ff0172": "camille@child.example",
    });
    let body = |attributes: &Value| json!({ "template": "5f1b20d7cdc1927c5c4ed003", "attributes": attributes });
    let error = bench.post("/workflows", body(&attributes)).await.refused(400, "INVALID_PARAM");
    assert_eq!(error["metadata"]["keyPath"], "parentAgreement");
    attributes["parentAgreement"] = parent["ironcladId"].clone();
    let workflow = bench.post("/workflows", body(&attributes)).await.ok();
    assert_eq!(workflow["attributes"]["parentAgreement"]["recordId"], parent["id"]);
    assert_eq!(workflow["attributes"]["deliverables"][0]["fee"]["amount"], 12.5);
    assert_eq!(workflow["attributes"]["staffing"], json!([{}]), "an untouched table reads back like this");
    let advance = format!("/__simulator{}", path(&workflow, "/advance"));
    for _ in 0..3 {
        bench.post(&advance, json!({})).await.ok();
    }
    let child = bench.get(&format!("/records/{}", workflow["ironcladId"].as_str().expect("id"))).await.ok();
    assert_eq!(child["parentId"], parent["id"]);
    let shown = bench.get(&format!("/records/{}", parent["id"].as_str().expect("id"))).await.ok();
    assert_eq!(shown["childIds"], json!([child["id"]]), "filed twice, listed once");
}

#[tokio::test]
async fn an_unreachable_document_url_is_reported_as_unavailable() {
    let bench = Bench::new().await;
    let mut attributes = nda("Url Co");
    attributes["paperSource"] = json!("Counterparty paper");
    attributes["draft"] = json!([{ "url": "https://files.invalid/draft.docx" }]);
    let body = |attributes: &Value| json!({ "template": NDA, "attributes": attributes });
    bench.post("/workflows", body(&attributes)).await.refused(400, "CONTENT_UNAVAILABLE");
    attributes["draft"] = json!([{ "url": "https://files.example/draft.docx" }]);
    let workflow = bench.post("/workflows", body(&attributes)).await.ok();
    assert_eq!(workflow["attributes"]["draft"][0]["filename"], "draft.docx");
}
