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
