//! The linter of every published schema.
//!
//! One schema outside the profile makes some clients refuse the whole catalogue, so the profile is what all of Claude,
//! OpenAI, Gemini, VS Code and Copilot Studio accept (CONTRACT, "Every tool"). The same rules hold for shipped manifests
//! and for schemas made at run time.

use serde_json::{Map, Value};

/// The deepest nesting of object and array levels, with the root as 1.
const MAX_DEPTH: usize = 5;
const MAX_ENUM: usize = 200;
const MAX_DESCRIPTION: usize = 1024;
const MAX_TOOL_NAME: usize = 40;
const MAX_PROPERTY_NAME: usize = 64;

const TYPES: [&str; 6] = ["object", "array", "string", "number", "integer", "boolean"];

/// Keywords that at least one client cannot read, at any level.
const FORBIDDEN: [&str; 15] = [
    "$ref",
    "$defs",
    "definitions",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "const",
    "patternProperties",
    "prefixItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
];

/// Every fault of a tool's name and description.
#[must_use]
pub fn tool_faults(name: &str, description: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.is_empty() || name.len() > MAX_TOOL_NAME || !name.chars().all(letters) {
        faults.push(format!("tool name {name:?} must be 1 to {MAX_TOOL_NAME} letters, digits, _ and -"));
    }
    if description.is_empty() || description.chars().count() > MAX_DESCRIPTION {
        faults.push(format!("the description must have 1 to {MAX_DESCRIPTION} characters"));
    }
    faults
}

/// Every fault of an `inputSchema`, each with the JSON pointer of its node.
#[must_use]
pub fn schema_faults(schema: &Map<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        faults.push("/: the root must have type object".into());
    }
    if schema.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty) {
        faults.push("/: the root must have at least one property".into());
    }
    node_faults(schema, "", 1, &mut faults);
    faults
}

fn node_faults(node: &Map<String, Value>, at: &str, depth: usize, faults: &mut Vec<String>) {
    let mut fault = |message: String| faults.push(format!("{}: {message}", if at.is_empty() { "/" } else { at }));
    for keyword in FORBIDDEN.iter().filter(|keyword| node.contains_key(**keyword)) {
        fault(format!("{keyword} is outside the profile"));
    }
    let kind = node.get("type").and_then(Value::as_str).filter(|kind| TYPES.contains(kind));
    let Some(kind) = kind else { return fault(format!("type must be one of {}", TYPES.join(", "))) };
    if depth > MAX_DEPTH && matches!(kind, "object" | "array") {
        return fault(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    if node.get("enum").and_then(Value::as_array).is_some_and(|values| values.is_empty() || values.len() > MAX_ENUM) {
        fault(format!("enum must have 1 to {MAX_ENUM} values"));
    }
    if node.get("description").and_then(Value::as_str).is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        fault(format!("description is longer than {MAX_DESCRIPTION} characters"));
    }
    if node.get("format").is_some_and(|format| format != "date-time") {
        fault("format may only be date-time".into());
    }
    if node.contains_key("additionalProperties") && !node.get("additionalProperties").is_some_and(Value::is_boolean) {
        fault("additionalProperties may only be true or false".into());
    }
    if kind == "array" && !node.get("items").is_some_and(Value::is_object) {
        fault("an array must have items".into());
    }
    required_faults(node, &mut fault);
    child_faults(node, at, depth, faults);
}

fn required_faults(node: &Map<String, Value>, fault: &mut impl FnMut(String)) {
    let properties = node.get("properties").and_then(Value::as_object);
    for name in node.get("required").and_then(Value::as_array).into_iter().flatten() {
        let declared = name.as_str().is_some_and(|name| properties.is_some_and(|all| all.contains_key(name)));
        if !declared {
            fault(format!("required names {name}, which is no property"));
        }
    }
}

fn child_faults(node: &Map<String, Value>, at: &str, depth: usize, faults: &mut Vec<String>) {
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}/properties/{name}");
        if !is_property_name(name) {
            faults.push(format!("{at}: the name must match ^[A-Za-z_][A-Za-z0-9_]{{0,63}}$"));
        }
        match child.as_object() {
            Some(child) => node_faults(child, &at, depth + 1, faults),
            None => faults.push(format!("{at}: must be an object")),
        }
    }
    if let Some(items) = node.get("items").and_then(Value::as_object) {
        node_faults(items, &format!("{at}/items"), depth + 1, faults);
    }
}

/// Whether a name can be a property's name within the profile.
#[must_use]
pub fn is_property_name(name: &str) -> bool {
    name.len() <= MAX_PROPERTY_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(schema: &Value) -> String {
        schema_faults(schema.as_object().unwrap()).join("\n")
    }

    #[test]
    fn a_plain_schema_has_no_fault() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "format": "date-time"},
            "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "integer", "minimum": 1}}}}}});
        assert_eq!(faults(&schema), "");
    }

    #[test]
    fn each_rule_of_the_profile_is_kept() {
        let property = |node: Value| json!({"type": "object", "properties": {"a": node}});
        let table = [
            (json!({"type": "string"}), "root must have type object"),
            (json!({"type": "object"}), "at least one property"),
            (property(json!({"type": ["string", "null"]})), "type must be one of"),
            (property(json!({"type": "null"})), "type must be one of"),
            (property(json!({})), "type must be one of"),
            (property(json!({"type": "array"})), "must have items"),
            (property(json!({"type": "string", "format": "email"})), "format may only be"),
            (property(json!({"type": "string", "const": "x"})), "const is outside"),
            (property(json!({"type": "string", "enum": vec!["x"; 201]})), "1 to 200 values"),
            (property(json!({"type": "number", "exclusiveMinimum": 1})), "exclusiveMinimum is outside"),
            (property(json!({"type": "object", "additionalProperties": {"type": "string"}})), "only be true or false"),
            (json!({"type": "object", "properties": {"a-b": {"type": "string"}}}), "the name must match"),
            (json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]}), "no property"),
            (property(json!({"type": "string", "description": "x".repeat(1025)})), "longer than 1024"),
        ];
        for (schema, expected) in table {
            assert!(faults(&schema).contains(expected), "{schema} gave {:?}", faults(&schema));
        }
    }

    #[test]
    fn depth_counts_object_and_array_levels_with_the_root_as_one() {
        let nest = |levels: usize| {
            (1..levels).fold(
                json!({"type": "object", "properties": {"leaf": {"type": "string"}}}),
                |inner, _| json!({"type": "object", "properties": {"inner": inner}}),
            )
        };
        assert_eq!(faults(&nest(5)), "");
        assert!(faults(&nest(6)).contains("nested deeper than 5"));
    }

    #[test]
    fn forbidden_keywords_are_found_at_any_level() {
        for keyword in FORBIDDEN {
            let node = json!({"type": "string", keyword: {}});
            let schema = json!({"type": "object", "properties": {"a": {"type": "array", "items": node}}});
            assert!(faults(&schema).contains(keyword), "{keyword}");
        }
    }
}
