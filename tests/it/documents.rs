//! Documents come back byte for byte, however large, and past the limit as a link.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Setting, Stage, nda, text};

const EXHIBIT: &str = "Large Exhibit Review";

/// The arguments that download the simulator's large exhibit.
async fn exhibit(stage: &Stage) -> Value {
    let named = json!({"filter": format!("Equals([name], '{EXHIBIT}')"), "fields": ["id", "attributes.exhibits.key"]});
    let found = stage.ok("list_workflows", named).await;
    let workflow = &found["items"][0];
    json!({"workflow_id": workflow["id"], "document_key": workflow["attributes"]["exhibits"][0]["key"]})
}

/// The same document by plain HTTP, past our client.
async fn directly(stage: &Stage, of: &Value) -> Vec<u8> {
    let credentials = stage.simulator.credentials();
    let (workflow, key) = (text(&of["workflow_id"]), text(&of["document_key"]));
    let path = format!("/public/api/v1/workflows/{workflow}/document/{key}/download");
    let request = stage.http.get(format!("{}{path}", stage.simulator.base_url()));
    let request = request.bearer_auth(credentials.access_token).header("x-as-user-email", credentials.as_user_email);
    request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn structured(result: &CallToolResult) -> &Value {
    assert_ne!(result.is_error, Some(true), "{:?}", result.structured_content);
    result.structured_content.as_ref().unwrap()
}

#[tokio::test]
async fn a_document_of_five_megabytes_comes_back_byte_for_byte() {
    let stage = Stage::with(Setting { max_result_bytes: 2000, ..Setting::default() }).await;
    let of = exhibit(&stage).await;
    let result = stage.call("download_workflow_document", of.clone()).await;
    let about = structured(&result);
    let original = directly(&stage, &of).await;
    assert!(original.len() >= 5 * 1024 * 1024);
    let uri = format!("ironclad://workflows/{}/documents/{}", text(&of["workflow_id"]), text(&of["document_key"]));
    let expected = json!({
        "workflow_id": of["workflow_id"], "document_key": of["document_key"], "filename": format!("{EXHIBIT}.pdf"),
        "media_type": "application/pdf", "size": original.len(), "sha256": sha256(&original), "uri": uri,
    });
    assert_eq!(*about, expected);
    let [ContentBlock::Text(copy), ContentBlock::Resource(embedded)] = result.content.as_slice() else {
        panic!("{} blocks", result.content.len())
    };
    assert_eq!(serde_json::from_str::<Value>(&copy.text).unwrap(), expected);
    let ResourceContents::BlobResourceContents { uri: at, mime_type, blob, .. } = &embedded.resource else {
        panic!("no blob")
    };
    assert_eq!((at, mime_type.as_deref()), (&uri, Some("application/pdf")));
    assert!(STANDARD.decode(blob).unwrap() == original, "the bytes differ");
}

#[tokio::test]
async fn a_document_past_the_limit_is_a_link_that_tells_its_size_and_digest() {
    let stage = Stage::with(Setting { max_document_bytes: 5 * 1024 * 1024 - 1, ..Setting::default() }).await;
    let of = exhibit(&stage).await;
    let result = stage.call("download_workflow_document", of.clone()).await;
    let about = structured(&result);
    let original = directly(&stage, &of).await;
    assert_eq!((&about["size"], &about["sha256"]), (&json!(original.len()), &json!(sha256(&original))));
    let [ContentBlock::Text(_), ContentBlock::ResourceLink(link)] = result.content.as_slice() else {
        panic!("{:?}", result.content)
    };
    assert_eq!(json!(link)["uri"], about["uri"]);
    assert_eq!(
        (json!(link)["mimeType"].clone(), json!(link)["size"].clone()),
        (json!("application/pdf"), json!(original.len()))
    );
}

#[tokio::test]
async fn a_draft_is_a_word_document() {
    let stage = Stage::open().await;
    let launched = stage.launched().await;
    let of = json!({"workflow_id": launched["ironcladId"], "document_key": launched["attributes"]["draft"][0]["key"]});
    let result = stage.call("download_workflow_document", of.clone()).await;
    let about = structured(&result);
    assert_eq!(about["filename"], launched["attributes"]["draft"][0]["filename"]);
    assert_eq!(about["sha256"], sha256(&directly(&stage, &of).await));
    assert!(text(&about["media_type"]).contains("wordprocessingml"), "{about}");
}

#[tokio::test]
async fn a_file_name_keeps_its_letters() {
    let stage = Stage::open().await;
    let mut launch = nda();
    launch["attributes"]["counterpartyName"] = "Müller \"& Söhne\" 株式会社".into();
    let launched = stage.ok("launch_workflow", launch).await;
    let draft = &launched["attributes"]["draft"][0];
    let of = json!({"workflow_id": launched["id"], "document_key": draft["key"]});
    let result = stage.call("download_workflow_document", of).await;
    let filename = text(&structured(&result)["filename"]);
    assert!(filename.contains("Müller") && filename.contains("株式会社"), "{filename} for {draft}");
}

#[tokio::test]
async fn a_document_cut_on_the_way_is_fetched_again_from_its_beginning() {
    let stage = Stage::with(Setting { max_retries: 1, ..Setting::default() }).await;
    let of = exhibit(&stage).await;
    stage.set_faults("cut:count=1").await;
    let result = stage.call("download_workflow_document", of.clone()).await;
    assert_eq!(structured(&result)["sha256"], sha256(&directly(&stage, &of).await));
    stage.set_faults("cut").await;
    assert_eq!(stage.fails("download_workflow_document", of).await["code"], "upstream_unavailable");
}

#[tokio::test]
async fn a_document_that_is_not_there_is_not_found() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    let error = stage.fails("download_workflow_document", json!({"workflow_id": id, "document_key": "none"})).await;
    assert_eq!((&error["code"], &error["status"]), (&json!("not_found"), &json!(404)));
}

/// A stage whose large exhibit has so many bytes.
async fn with_exhibit_of(bytes: u64, setting: Setting) -> (Stage, Value) {
    let stage = Stage::with(setting).await;
    let of = exhibit(&stage).await;
    stage.control("large-exhibit", json!({ "bytes": bytes }).to_string()).await;
    (stage, of)
}

fn saving(of: &Value) -> Value {
    let mut saving = of.clone();
    saving["save"] = true.into();
    saving
}

#[tokio::test]
async fn a_large_document_is_saved_whole_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting { download_folder: Some(folder.path().to_owned()), ..Setting::default() };
    let (stage, of) = with_exhibit_of(20_000_000, setting).await;
    let original = directly(&stage, &of).await;
    assert_eq!(original.len(), 20_000_000);
    for name in [format!("{EXHIBIT}.pdf"), format!("{EXHIBIT} (2).pdf")] {
        let result = stage.call("download_workflow_document", saving(&of)).await;
        let about = structured(&result);
        let path = folder.path().join(&name);
        assert_eq!(about["path"], path.to_str().unwrap());
        assert_eq!((&about["size"], &about["sha256"]), (&json!(original.len()), &json!(sha256(&original))));
        assert!(std::fs::read(&path).unwrap() == original, "the bytes differ");
        let [ContentBlock::Text(_), ContentBlock::ResourceLink(_)] = result.content.as_slice() else {
            panic!("{} blocks", result.content.len())
        };
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left there");
}

#[tokio::test]
async fn a_document_that_does_not_come_whole_leaves_nothing_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting { download_folder: Some(folder.path().to_owned()), ..Setting::default() };
    let (stage, of) = with_exhibit_of(1_000_000, setting).await;
    stage.set_faults("cut").await;
    assert_eq!(stage.fails("download_workflow_document", saving(&of)).await["code"], "upstream_unavailable");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_folder_nothing_is_fetched_that_should_be_saved() {
    let stage = Stage::open().await;
    let of = exhibit(&stage).await;
    stage.forget_requests().await;
    let error = stage.fails("download_workflow_document", saving(&of)).await;
    assert_eq!((&error["code"], &error["errors"][0]["path"]), (&json!("invalid_arguments"), &json!("save")));
    assert!(text(&error["hint"]).contains("--download-dir"), "{error}");
    assert!(stage.all_requests().await.is_empty());
}

#[tokio::test]
async fn a_folder_that_is_gone_is_said_to_be_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let stage = Stage::with(Setting { download_folder: Some(gone), max_retries: 3, ..Setting::default() }).await;
    let of = exhibit(&stage).await;
    stage.forget_requests().await;
    let error = stage.fails("download_workflow_document", saving(&of)).await;
    assert_eq!(error["code"], "invalid_arguments");
    assert!(text(&error["message"]).contains("not saved"), "{error}");
    let downloads = stage.requests().await.iter().filter(|one| text(&one["path"]).contains("/document/")).count();
    assert_eq!(downloads, 1, "that is no reason to fetch it again");
}

/// Reads a document as a resource.
async fn read(stage: &Stage, of: &Value) -> Result<rmcp::model::ReadResourceResult, rmcp::ErrorData> {
    let uri = format!("ironclad://workflows/{}/documents/{}", text(&of["workflow_id"]), text(&of["document_key"]));
    match stage.client.read_resource(rmcp::model::ReadResourceRequestParams::new(uri)).await {
        Ok(result) => Ok(result),
        Err(rmcp::service::ServiceError::McpError(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_was_a_link_is_read_as_a_resource_up_to_a_bound() {
    let (stage, of) = with_exhibit_of(12_000_000, Setting { max_document_bytes: 1_000, ..Setting::default() }).await;
    let result = stage.call("download_workflow_document", of.clone()).await;
    assert!(matches!(result.content.as_slice(), [ContentBlock::Text(_), ContentBlock::ResourceLink(_)]));
    let contents = read(&stage, &of).await.unwrap().contents;
    let [ResourceContents::BlobResourceContents { blob, .. }] = contents.as_slice() else { panic!("no blob") };
    assert_eq!(sha256(&STANDARD.decode(blob).unwrap()), text(&structured(&result)["sha256"]));
    stage.control("large-exhibit", json!({"bytes": 20_000_001}).to_string()).await;
    let error = read(&stage, &of).await.unwrap_err();
    let data = error.data.unwrap();
    assert_eq!(data["error"]["code"], "response_too_large");
    assert!(text(&data["error"]["hint"]).contains("--download-dir"), "{data}");
}

/// A large document on a slow line is no request without an answer.
#[tokio::test]
async fn a_document_may_take_longer_than_a_request_while_its_bytes_keep_coming() {
    let timeout = std::time::Duration::from_secs(2);
    let stage = Stage::with(Setting { timeout, max_result_bytes: 2000, ..Setting::default() }).await;
    let of = exhibit(&stage).await;
    let original = directly(&stage, &of).await;
    stage.set_faults("trickle:ms=300").await;
    let about = stage.ok("download_workflow_document", of.clone()).await;
    assert_eq!((&about["size"], &about["sha256"]), (&json!(original.len()), &json!(sha256(&original))));
    for fault in ["trickle:ms=60000", "stall", "hang"] {
        stage.set_faults(fault).await;
        let error = stage.fails("download_workflow_document", of.clone()).await;
        assert_eq!(error["code"], "upstream_unavailable", "{fault}: {error}");
        assert!(text(&error["message"]).contains("in time"), "{fault}: {error}");
    }
    stage.set_faults("trickle:ms=300").await;
    let error = stage.fails("get_workflow", json!({"workflow_id": of["workflow_id"]})).await;
    assert_eq!(error["code"], "upstream_unavailable", "{error}");
}
