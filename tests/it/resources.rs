//! Resources: what is listed, what is read, under the same policy and audit as tools, in both eras.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ironclad_mcp::policy;
use rmcp::{
    ErrorData, ServiceError,
    model::{ErrorCode, ReadResourceRequestParams, ReadResourceResult, ResourceContents},
};
use serde_json::{Value, json};

use crate::support::{Client, NDA, Setting, Stage, text};

async fn read(client: &Client, uri: &str) -> ReadResourceResult {
    client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap_or_else(|error| panic!("{uri}: {error}"))
}

async fn refused(client: &Client, uri: &str) -> ErrorData {
    match client.read_resource(ReadResourceRequestParams::new(uri)).await {
        Err(ServiceError::McpError(error)) => error,
        other => panic!("{uri}: {other:?}"),
    }
}

fn json_of(result: &ReadResourceResult, uri: &str) -> Value {
    let [ResourceContents::TextResourceContents { uri: at, mime_type, text, .. }] = result.contents.as_slice() else {
        panic!("{:?}", result.contents)
    };
    assert_eq!((at.as_str(), mime_type.as_deref()), (uri, Some("application/json")));
    serde_json::from_str(text).unwrap()
}

/// The URI templates that are listed.
async fn templates(client: &Client) -> Vec<String> {
    client.list_all_resource_templates().await.unwrap().into_iter().map(|template| template.uri_template).collect()
}

#[tokio::test]
async fn what_a_tool_reads_a_resource_reads_too() {
    for modern in [false, true] {
        let stage = Stage::with(Setting { modern, ..Setting::default() }).await;
        let id = stage.launched().await["id"].clone();
        let record = stage.ok("list_records", json!({"limit": 1})).await["items"][0]["id"].clone();
        for (uri, tool, arguments) in [
            (format!("ironclad://workflows/{}", text(&id)), "get_workflow", json!({"workflow_id": id})),
            (format!("ironclad://records/{}", text(&record)), "get_record", json!({"record_id": record})),
            (format!("ironclad://workflow-schemas/{NDA}"), "get_workflow_schema", json!({"template_id": NDA})),
        ] {
            let result = read(&stage.client, &uri).await;
            assert_eq!(json_of(&result, &uri), stage.ok(tool, arguments).await, "{uri}");
            let result = serde_json::to_value(&result).unwrap();
            let hints = (&result["ttlMs"], &result["cacheScope"]);
            let name = &result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"];
            if modern {
                assert_eq!((hints, name), ((&json!(0), &json!("private")), &json!("ironclad-mcp")), "{result}");
            } else {
                assert_eq!((hints, name), ((&Value::Null, &Value::Null), &Value::Null), "{result}");
            }
        }
    }
}

#[tokio::test]
async fn a_document_is_read_as_its_bytes_by_the_uri_that_its_download_tells() {
    let stage = Stage::open().await;
    let launched = stage.launched().await;
    let of = json!({"workflow_id": launched["ironcladId"], "document_key": launched["attributes"]["draft"][0]["key"]});
    let about = stage.ok("download_workflow_document", of).await;
    let uri = text(&about["uri"]);
    let result = read(&stage.client, uri).await;
    let [ResourceContents::BlobResourceContents { uri: at, mime_type, blob, .. }] = result.contents.as_slice() else {
        panic!("{:?}", result.contents)
    };
    assert_eq!((at.as_str(), mime_type.as_deref()), (uri, about["media_type"].as_str()));
    assert_eq!(STANDARD.decode(blob).unwrap().len(), about["size"]);
}

#[tokio::test]
async fn a_template_is_listed_where_its_tool_is_granted() {
    let stage = Stage::open().await;
    let all = [
        "ironclad://workflows/{id}",
        "ironclad://workflow-schemas/{id}",
        "ironclad://records/{id}",
        "ironclad://workflows/{id}/documents/{key}",
    ];
    assert_eq!(templates(&stage.client).await, all);
    let access = [("records".to_owned(), policy::Access::Off)].into();
    let excluded = vec!["get_workflow".to_owned()];
    let policy = policy::Settings { access, exclude_tools: excluded, ..policy::Settings::default() };
    let narrowed = stage.another(Setting { policy, ..Setting::default() }).await;
    assert_eq!(templates(&narrowed).await, [all[1], all[3]]);
    stage.forget_requests().await;
    for uri in ["ironclad://records/abc", "ironclad://workflows/IC-1"] {
        let error = refused(&narrowed, uri).await;
        assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{error:?}");
        let data = error.data.unwrap();
        assert_eq!((&data["uri"], &data["error"]["code"]), (&json!(uri), &json!("access_denied")), "{data}");
    }
    assert!(stage.requests().await.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_an_error_in_the_words_of_the_era() {
    for (modern, code) in [(false, ErrorCode::RESOURCE_NOT_FOUND), (true, ErrorCode::INVALID_PARAMS)] {
        let stage = Stage::with(Setting { modern, ..Setting::default() }).await;
        for uri in [
            "ironclad://workflows/aaaaaaaaaaaaaaaaaaaaaaaa",
            "ironclad://workflow-schemas/none",
            "ironclad://workflows",
            "ironclad://workflows/IC-1/documents",
            "ironclad://unicorns/1",
            "https://example.com/",
            "",
        ] {
            let error = refused(&stage.client, uri).await;
            assert_eq!(error.code, code, "{uri}: {error:?}");
            assert_eq!(error.data.unwrap()["uri"], uri);
        }
    }
}

#[tokio::test]
async fn an_id_in_a_uri_is_checked_as_an_argument_is() {
    let stage = Stage::open().await;
    for id in ["", "..", "%2E%2E", "a%2Fb", "a%2fb", "a%5Cb", "a%3Fb", "a?b", "a%23b", "a%20b", "%25", "%zz", "%00"] {
        let uri = format!("ironclad://workflows/{id}");
        let error = refused(&stage.client, &uri).await;
        assert_eq!(error.code, ErrorCode::INVALID_PARAMS, "{uri}: {error:?}");
        let data = error.data.unwrap();
        assert_eq!(data["error"]["errors"][0]["path"], "workflow_id", "{uri}: {data}");
    }
    assert!(stage.requests().await.is_empty());
    let percent = stage.launched().await["ironcladId"].as_str().unwrap().replace('-', "%2D");
    let uri = format!("ironclad://workflows/{percent}");
    assert_eq!(json_of(&read(&stage.client, &uri).await, &uri)["title"], "Mutual NDA with Acme LLC");
}

#[tokio::test]
async fn a_read_is_recorded_as_its_tools_call_is() {
    let stage = Stage::open().await;
    let id = stage.launched().await["id"].clone();
    read(&stage.client, &format!("ironclad://workflows/{}", text(&id))).await;
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["tool"], &line["object"]), (&json!("get_workflow"), &json!({"workflow_id": id})), "{line}");
    assert_eq!((&line["decision"], &line["outcome"]), (&json!("allowed"), &json!("ok")));
    let policy = policy::Settings { exclude_tools: vec!["get_workflow".into()], ..policy::Settings::default() };
    let narrowed = stage.another(Setting { policy, ..Setting::default() }).await;
    refused(&narrowed, "ironclad://workflows/IC-1").await;
    let line = stage.audit().pop().unwrap();
    assert_eq!((&line["decision"], &line["code"]), (&json!("denied"), &json!("access_denied")), "{line}");
}

#[tokio::test]
async fn a_failed_read_says_what_a_tool_would() {
    let stage = Stage::with_faults("503").await;
    let error = refused(&stage.client, "ironclad://workflows/IC-1").await;
    assert_eq!(error.code, ErrorCode::INTERNAL_ERROR, "{error:?}");
    let data = error.data.unwrap();
    assert_eq!((&data["error"]["code"], &data["error"]["status"]), (&json!("upstream_unavailable"), &json!(503)));
}

#[tokio::test]
async fn lists_of_resources_come_whole_and_tell_how_long_they_keep() {
    let stage = Stage::with(Setting { modern: true, static_token: true, ..Setting::default() }).await;
    let list = serde_json::to_value(stage.client.list_resource_templates(None).await.unwrap()).unwrap();
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(300_000), &json!("private")), "{list}");
    let cursor = rmcp::model::PaginatedRequestParams::default().with_cursor(Some("xyz".into()));
    let Err(ServiceError::McpError(error)) = stage.client.list_resource_templates(Some(cursor)).await else {
        panic!("a cursor was taken")
    };
    assert_eq!(error.code, ErrorCode::INVALID_PARAMS);
}

#[tokio::test]
async fn launch_forms_and_open_workflows_are_listed_with_their_names() {
    let stage = Stage::with(Setting { modern: true, ..Setting::default() }).await;
    let list = serde_json::to_value(stage.client.list_resources(None).await.unwrap()).unwrap();
    assert_eq!((&list["ttlMs"], &list["cacheScope"]), (&json!(30_000), &json!("private")));
    let resources = list["resources"].as_array().unwrap();
    let form = resources.iter().find(|resource| resource["uri"] == format!("ironclad://workflow-schemas/{NDA}"));
    assert_eq!(form.unwrap()["title"], "Launch form: Mutual NDA");
    let open: Vec<&Value> =
        resources.iter().filter(|resource| text(&resource["uri"]).starts_with("ironclad://workflows/IC-")).collect();
    let listed =
        stage.ok("list_workflows", json!({"status": ["active", "paused"], "limit": 100, "fields": ["id"]})).await;
    assert_eq!(open.len(), listed["items"].as_array().unwrap().len());
    for resource in [form.unwrap(), open[0]] {
        read(&stage.client, text(&resource["uri"])).await;
    }
    stage.forget_requests().await;
    stage.client.list_all_resources().await.unwrap();
    assert!(stage.requests().await.is_empty(), "what was looked up is kept");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_not_listed_and_no_failure() {
    let stage = Stage::with_faults("503").await;
    assert!(stage.client.list_all_resources().await.unwrap().is_empty());
    let policy = policy::Settings { exclude_tools: vec!["list_workflows".into()], ..policy::Settings::default() };
    let narrowed = Stage::with(Setting { policy, ..Setting::default() }).await;
    let uris: Vec<String> =
        narrowed.client.list_all_resources().await.unwrap().into_iter().map(|resource| resource.uri.clone()).collect();
    assert!(uris.len() == 6 && uris.iter().all(|uri| uri.starts_with("ironclad://workflow-schemas/")), "{uris:?}");
}
