//! Documents that go along with a launch, and launches that become jobs.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ironclad_mcp::policy;
use serde_json::{Value, json};

use crate::support::{Setting, Stage, nda, text};

pub(crate) const PDF: &[u8] = b"%PDF-1.7 a contract";

/// An NDA with these documents as its draft.
pub(crate) fn with_draft(draft: Value) -> Value {
    let mut launch = nda();
    launch["attributes"]["paperSource"] = "Counterparty paper".into();
    launch["attributes"]["draft"] = draft;
    launch
}

fn all_groups() -> Setting {
    let policy = policy::Settings { enable_writes: true, toolsets: vec!["all".into()], ..policy::Settings::default() };
    Setting { policy, ..Setting::default() }
}

/// The launches among the requests: path and content type.
async fn launches(stage: &Stage) -> Vec<String> {
    let requests = stage.requests().await;
    let posts = requests.iter().filter(|request| request["method"] == "POST");
    posts.map(|request| text(&request["path"]).to_owned()).collect()
}

/// A stage whose one open folder holds `nda.pdf`, with a document outside of it.
async fn with_folder() -> (Stage, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("open")).unwrap();
    std::fs::write(folder.path().join("open/nda.pdf"), PDF).unwrap();
    std::fs::write(folder.path().join("secret.pdf"), PDF).unwrap();
    let stage = Stage::with(Setting { upload_folders: vec![folder.path().join("open")], ..Setting::default() }).await;
    (stage, folder)
}

/// The bytes of a workflow's first draft, as Ironclad gives them back.
async fn kept(stage: &Stage, workflow: &Value) -> (String, Vec<u8>) {
    let draft = &workflow["attributes"]["draft"][0];
    let arguments = json!({"workflow_id": workflow["id"], "document_key": draft["key"]});
    let result = stage.call("download_workflow_document", arguments).await;
    let resource = serde_json::to_value(&result.content[1]).unwrap();
    let bytes = STANDARD.decode(text(&resource["resource"]["blob"])).unwrap();
    (text(&result.structured_content.unwrap()["filename"]).to_owned(), bytes)
}

#[tokio::test]
async fn a_local_file_arrives_byte_for_byte() {
    let (stage, _folder) = with_folder().await;
    let workflow = stage.ok("launch_workflow", with_draft(json!([{"path": "nda.pdf"}]))).await;
    assert_eq!(kept(&stage, &workflow).await, ("nda.pdf".into(), PDF.to_vec()));
    assert_eq!(launches(&stage).await, ["/public/api/v1/workflows"]);
}

#[tokio::test]
async fn a_document_in_base64_arrives_byte_for_byte() {
    let stage = Stage::open().await;
    let document = json!({"filename": "paper.pdf", "content_base64": STANDARD.encode(PDF)});
    let workflow = stage.ok("launch_workflow", with_draft(json!([document]))).await;
    assert_eq!(kept(&stage, &workflow).await, ("paper.pdf".into(), PDF.to_vec()));
}

#[tokio::test]
async fn a_file_outside_of_the_open_folders_stays_there() {
    let (stage, folder) = with_folder().await;
    let secret = folder.path().join("secret.pdf");
    for path in ["../secret.pdf", secret.to_str().unwrap(), "missing.pdf"] {
        let error = stage.fails("launch_workflow", with_draft(json!([{"path": path}]))).await;
        assert_eq!((text(&error["code"]), text(&error["outcome"])), ("invalid_arguments", "not_sent"));
        assert_eq!(text(&error["errors"][0]["path"]), "attributes.draft[0].path", "{error}");
    }
    let closed = Stage::open().await;
    let error = closed.fails("launch_workflow", with_draft(json!([{"path": secret}]))).await;
    assert!(text(&error["errors"][0]["message"]).contains("reads no local files"), "{error}");
    assert!(launches(&stage).await.is_empty() && launches(&closed).await.is_empty());
}

#[tokio::test]
async fn a_dry_run_shows_names_and_sizes_and_never_what_a_document_holds() {
    let stage = Stage::open().await;
    let content = STANDARD.encode(PDF);
    let mut launch = with_draft(json!([{"filename": "paper.pdf", "content_base64": content}]));
    launch["dry_run"] = true.into();
    let shown = stage.ok("launch_workflow", launch).await;
    let request = &shown["request"];
    assert_eq!(request["body"]["attributes"]["draft"], json!([{"file": "file0"}]));
    let file = json!({"part": "file0", "filename": "paper.pdf", "media_type": "application/pdf", "size": PDF.len()});
    assert_eq!(request["files"], json!([file]));
    assert!(!shown.to_string().contains(&content));
    assert!(launches(&stage).await.is_empty());
}

#[tokio::test]
async fn a_document_to_fetch_makes_the_launch_a_job_that_is_waited_for() {
    let stage = Stage::open().await;
    stage.control("async-launch", json!({"milliseconds": 1200}).to_string()).await;
    let workflow = stage.ok("launch_workflow", with_draft(json!([{"url": "https://files.example/nda.docx"}]))).await;
    assert_eq!(workflow["step"], "Review");
    assert!(text(&workflow["url"]).ends_with(&format!("/workflow/{}", text(&workflow["id"]))), "{workflow}");
    assert!(workflow.get("schema").is_none());
    assert_eq!(launches(&stage).await, ["/public/api/v1/workflows/async"]);
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["outcome"], &line["object"]["id"]), (&json!("ok"), &workflow["id"]), "{line}");
}

#[tokio::test]
async fn a_job_that_fails_reads_like_a_launch_that_is_refused() {
    let stage = Stage::open().await;
    let error = stage.fails("launch_workflow", with_draft(json!([{"url": "https://nowhere.invalid/nda.docx"}]))).await;
    assert_eq!((text(&error["code"]), text(&error["outcome"])), ("rejected", "refused"), "{error}");
    assert!(text(&error["message"]).contains("CONTENT_UNAVAILABLE"), "{error}");
}

#[tokio::test]
async fn a_job_that_outlasts_the_time_is_of_unknown_outcome_and_names_itself() {
    let stage = Stage::with(Setting { timeout: Duration::from_millis(1500), ..Setting::default() }).await;
    stage.control("async-launch", json!({"milliseconds": 60_000}).to_string()).await;
    let error = stage.fails("launch_workflow", with_draft(json!([{"url": "https://files.example/nda.docx"}]))).await;
    assert_eq!((text(&error["code"]), text(&error["outcome"])), ("outcome_unknown", "unknown"), "{error}");
    let hint = text(&error["hint"]);
    assert!(hint.contains("get_launch_status") && hint.contains("list_workflows"), "{hint}");
}

#[tokio::test]
async fn the_async_group_is_published_only_by_name() {
    let tools = Stage::open().await.client.list_all_tools().await.unwrap();
    assert!(tools.iter().all(|tool| !["launch_workflow_async", "get_launch_status"].contains(&&*tool.name)));
    let stage = Stage::with(all_groups()).await;
    let tools = stage.client.list_all_tools().await.unwrap();
    assert_eq!(tools.len(), 30);
}

#[tokio::test]
async fn a_job_is_started_and_its_status_is_read() {
    let stage = Stage::with(all_groups()).await;
    stage.control("async-launch", json!({"milliseconds": 60_000}).to_string()).await;
    let started = stage.ok("launch_workflow_async", nda()).await;
    let running = stage.ok("get_launch_status", json!({"async_job_id": started["asyncJobId"]})).await;
    assert_eq!(running, json!({"status": "in_progress"}));
    stage.control("async-launch", json!({"milliseconds": 0}).to_string()).await;
    let quick = stage.ok("launch_workflow_async", nda()).await;
    let done = stage.ok("get_launch_status", json!({"async_job_id": quick["asyncJobId"]})).await;
    assert_eq!(done["status"], "success");
    assert!(text(&done["workflow"]["url"]).contains("/workflow/"), "{done}");
    assert!(done["workflow"].get("schema").is_none() && done.get("requestPayload").is_none());
    let unknown = stage.fails("get_launch_status", json!({"async_job_id": "nothing"})).await;
    assert_eq!(text(&unknown["code"]), "not_found");
}

#[tokio::test]
async fn the_async_launch_keeps_to_the_form_and_takes_no_files() {
    let stage = Stage::with(all_groups()).await;
    let mut wrong = nda();
    wrong["attributes"]["paperSource"] = "Their paper".into();
    let error = stage.fails("launch_workflow_async", wrong).await;
    assert_eq!(text(&error["errors"][0]["path"]), "attributes.paperSource");
    let document = json!([{"filename": "paper.pdf", "content_base64": STANDARD.encode(PDF)}]);
    let error = stage.fails("launch_workflow_async", with_draft(document)).await;
    assert!(text(&error["errors"][0]["message"]).contains("takes no files"), "{error}");
    assert!(launches(&stage).await.is_empty());
}

#[tokio::test]
async fn a_failed_job_is_an_error_with_the_faults_of_its_launch() {
    let stage = Stage::with(all_groups()).await;
    stage.control("async-launch", json!({"milliseconds": 0}).to_string()).await;
    let mut launch = nda();
    launch["attributes"]["draft"] = json!([{"url": "https://nowhere.invalid/nda.docx"}]);
    let started = stage.ok("launch_workflow_async", launch).await;
    let error = stage.fails("get_launch_status", json!({"async_job_id": started["asyncJobId"]})).await;
    assert_eq!(text(&error["outcome"]), "refused", "{error}");
    assert!(text(&error["message"]).contains("Ironclad did not launch it"), "{error}");
}
