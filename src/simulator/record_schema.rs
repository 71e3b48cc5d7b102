//! What `GET /records/metadata` answers (ironclad-api.md §8.19). The text is kept as a data file because the ids of
//! template-made properties must match `templates.json` letter by letter.

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// The whole reply: `recordTypes`, `properties`, `attachments`, `links`.
pub(crate) fn records_metadata() -> &'static Map<String, Value> {
    static METADATA: OnceLock<Map<String, Value>> = OnceLock::new();
    METADATA.get_or_init(|| serde_json::from_str(include_str!("records_metadata.json")).unwrap_or_default())
}

/// Record types by key, each with a `displayName`.
pub(crate) fn record_types() -> &'static Map<String, Value> {
    section("recordTypes")
}

/// Record properties by key, each with a snake_case `type` and a `displayName`.
pub(crate) fn record_properties() -> &'static Map<String, Value> {
    section("properties")
}

/// The `type` of a property, or `None` when the company has no such property.
pub(crate) fn property_type(key: &str) -> Option<&'static str> {
    record_properties().get(key)?.get("type")?.as_str()
}

/// The key of the record type that people see under `display_name`.
pub(crate) fn record_type_named(display_name: &str) -> Option<&'static str> {
    let named = |node: &Value| node.get("displayName").and_then(Value::as_str) == Some(display_name);
    record_types().iter().find(|(_, node)| named(node)).map(|(key, _)| key.as_str())
}

fn section(name: &str) -> &'static Map<String, Value> {
    static EMPTY: OnceLock<Map<String, Value>> = OnceLock::new();
    records_metadata().get(name).and_then(Value::as_object).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::templates::templates;

    /// The record type of each attribute type (ironclad-api.md §6.1 against §6.2).
    fn record_counterpart(attribute_type: &str) -> &'static str {
        match attribute_type {
            "monetaryAmount" => "monetary_amount",
            "array" | "string" => "string",
            "entity_reference" => "reference",
            "number" => "number",
            "boolean" => "boolean",
            "date" => "date",
            "duration" => "duration",
            "email" => "email",
            "address" => "address",
            other => panic!("{other} has no counterpart"),
        }
    }

    #[test]
    fn the_four_sections_are_there() {
        let keys: Vec<_> = records_metadata().keys().map(String::as_str).collect();
        assert_eq!(keys, ["recordTypes", "properties", "attachments", "links"]);
        assert_eq!(record_types().len(), 7);
        assert!(section("attachments").contains_key("signedCopy"));
    }

    #[test]
    fn every_property_has_a_known_type_and_a_name() {
        let known = [
            "string",
            "number",
            "boolean",
            "date",
            "duration",
            "email",
            "monetary_amount",
            "address",
            "clause",
            "playbookClause",
            "array",
            "reference",
            "document",
        ];
        for (key, node) in record_properties() {
            assert!(known.contains(&node["type"].as_str().unwrap()), "{key}");
            assert!(!node["displayName"].as_str().unwrap().is_empty(), "{key}");
        }
        assert!(known.iter().all(|kind| record_properties().values().any(|node| node["type"] == *kind)));
    }

    #[test]
    fn templates_feed_properties_that_exist_with_the_right_type() {
        for template in templates() {
            assert!(record_types().contains_key(&template.backstage.record_type), "{}", template.name);
            for (attribute, key) in &template.backstage.property_keys {
                let wanted = match template.schema.get(attribute) {
                    Some(node) => record_counterpart(node["type"].as_str().unwrap()),
                    None => "monetary_amount",
                };
                assert_eq!(property_type(key), Some(wanted), "{} of {}", attribute, template.name);
            }
        }
    }

    #[test]
    fn a_record_type_is_found_by_the_name_people_see() {
        assert_eq!(record_type_named("Vendor Agreement"), Some("vendorAgreement"));
        assert_eq!(record_type_named("vendorAgreement"), None);
    }
}
