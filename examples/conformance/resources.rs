//! The resources that the suite reads.

use rmcp::model::{Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::tools::PNG;

pub(crate) fn all() -> Vec<Resource> {
    let uris = ["test://static-text", "test://static-binary", "test://watched-resource"];
    uris.map(|uri| Resource::new(uri, uri.trim_start_matches("test://")).with_description("A fixture.")).into()
}

pub(crate) fn template() -> ResourceTemplate {
    ResourceTemplate::new("test://template/{id}/data", "template").with_description("A fixture.")
}

pub(crate) fn read(uri: &str) -> Option<ResourceContents> {
    let contents = match uri {
        "test://static-text" => ResourceContents::text("This is the content of the static text resource.", uri),
        "test://watched-resource" => ResourceContents::text("Nobody changes it.", uri),
        "test://static-binary" => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
    };
    Some(contents)
}
