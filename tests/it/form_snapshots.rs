//! Launch forms as the JSON Schemas that a model sees: our own templates by heart, the vendor's examples where they lie.

use std::{collections::BTreeSet, path::Path};

use ironclad_mcp::{launch_form::LaunchForm, schema_profile, tool_schema};
use serde_json::{Map, Value, json};

use crate::support::Stage;

#[tokio::test]
async fn each_template_of_the_simulator_as_json_schema() {
    let stage = Stage::open().await;
    let templates = stage.ok("list_workflow_schemas", json!({})).await["items"].as_array().cloned().unwrap();
    assert_eq!(templates.len(), 6);
    for template in templates {
        let form = stage.ok("get_workflow_schema", json!({"template_id": template["id"]})).await;
        let name = form["name"].as_str().unwrap().to_lowercase().replace(' ', "_");
        let seen = json!({
            "attributes_schema": form["attributes_schema"],
            "conditional": form["conditional"],
            "example": form["example"],
        });
        insta::assert_json_snapshot!(format!("form__{name}"), seen);
    }
}

/// The forms in a file of examples: one template, or a list of them.
fn forms(file: &Value) -> Vec<&Map<String, Value>> {
    let list = file["list"].as_array().map(Vec::as_slice).unwrap_or(std::slice::from_ref(file));
    list.iter().filter_map(|template| template["schema"].as_object()).collect()
}

#[test]
fn the_vendors_example_forms_keep_the_profile_and_their_examples_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/examples");
    if !folder.is_dir() {
        eprintln!("skipped: ../shared/reference/examples is not there; the snapshots of our own forms still hold");
        return;
    }
    let nothing = BTreeSet::new();
    let mut seen = 0;
    for file in ["workflow-schema-nda.json", "workflow-schema-msa.json", "workflow-schemas-list.json"] {
        let parsed: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap();
        for (index, raw) in forms(&parsed).into_iter().enumerate() {
            let form = LaunchForm::parse(raw);
            let translation = form.attributes_schema(false, &nothing);
            let schema = json!({"type": "object", "properties": {"attributes": translation.schema}});
            let schema = tool_schema::published(schema.as_object().unwrap());
            assert_eq!(schema_profile::schema_faults(&schema), Vec::<String>::new());
            assert_eq!(translation.warnings, Vec::<String>::new());
            form.check(&form.example(), false, &nothing).unwrap();
            let name =
                format!("form__example_{}_{index}", file.trim_start_matches("workflow-").replace(['-', '.'], "_"));
            insta::assert_json_snapshot!(name, schema["properties"]["attributes"]);
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
}
