//! Reads the vendor's form into fields.
//!
//! A node that makes no sense is read as an open value rather than refused: one odd field must not cost the template.

use serde_json::{Map, Value};

use super::{ALWAYS_REQUIRED, Field, Fields, Kind, LaunchForm, Required, Type, check, names};
use crate::suggest::shorten;

const LONGEST_LABEL: usize = 100;

pub(super) fn form(schema: &Map<String, Value>) -> LaunchForm {
    let mut warnings = Vec::new();
    let mut nodes = schema.clone();
    // Ironclad wants it even from a template that does not ask for it.
    let settable = nodes.get(ALWAYS_REQUIRED).and_then(|node| node.get("type")).is_some_and(|kind| kind != "formula");
    if !settable {
        let node = serde_json::json!({"type": "string", "displayName": "Counterparty Name"});
        nodes.insert(ALWAYS_REQUIRED.into(), node);
    }
    let mut fields = fields(&nodes, "", &mut warnings);
    if let Some(field) = fields.place(ALWAYS_REQUIRED).and_then(|place| fields.all.get_mut(place)) {
        field.required = Required::Always;
    }
    LaunchForm { fields, warnings }
}

fn fields(nodes: &Map<String, Value>, within: &str, warnings: &mut Vec<String>) -> Fields {
    let names = names::published(nodes.keys().map(String::as_str));
    let mut fields = Fields::default();
    for ((id, node), name) in nodes.iter().zip(names) {
        let path = if within.is_empty() {
            shorten(id, LONGEST_LABEL)
        } else {
            format!("{within}.{}", shorten(id, LONGEST_LABEL))
        };
        let place = fields.all.len();
        fields.places.insert(id.clone(), place);
        fields.places.insert(name.clone(), place);
        fields.all.push(field(id, name, node, (&path, warnings)));
    }
    fields
}

fn field(id: &str, name: String, node: &Value, (path, warnings): (&str, &mut Vec<String>)) -> Field {
    let kind = kind(id, node, path, warnings);
    let element = node.get("elementType");
    let options = node.get("options").or_else(|| element?.get("options"));
    let mut values = option_values(options);
    let mut closed = options.and_then(|options| options.get("freeTextAllowed")) == Some(&Value::Bool(false));
    if id == "paperSource" && values.is_empty() && matches!(kind, Kind::One(Type::Text)) {
        values = vec!["Our paper".into(), "Counterparty paper".into()];
        closed = true;
    }
    Field {
        display_name: display_name(node)
            .or_else(|| Some(label(id)).filter(|name| !name.is_empty()))
            .unwrap_or_else(|| name.clone()),
        required: match node.get("required").and_then(Value::as_str) {
            Some("always") => Required::Always,
            Some("conditional") => Required::Conditional,
            Some(_) | None => Required::Never,
        },
        closed: closed && !values.is_empty(),
        options: values,
        default: node.get("default").filter(|default| !default.is_null() && !check::is_blank(default)).cloned(),
        id: id.to_owned(),
        name,
        kind,
    }
}

fn display_name(node: &Value) -> Option<String> {
    Some(label(node.get("displayName")?.as_str()?)).filter(|name| !name.is_empty())
}

/// One line of printable text.
fn label(text: &str) -> String {
    let cut = shorten(text, LONGEST_LABEL * 4);
    let words: Vec<&str> = cut.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    shorten(&words.join(" "), LONGEST_LABEL)
}

fn option_values(options: Option<&Value>) -> Vec<String> {
    let values = options.and_then(|options| options.get("values")).and_then(Value::as_array);
    let mut seen = std::collections::HashSet::new();
    values
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|text| !text.trim().is_empty() && seen.insert(*text))
        .map(str::to_owned)
        .collect()
}

fn kind(id: &str, node: &Value, path: &str, warnings: &mut Vec<String>) -> Kind {
    let declared = node.get("type").and_then(Value::as_str).unwrap_or_default();
    if let Some(known) = type_of(id, declared) {
        return Kind::One(known);
    }
    let columns = node.get("schema").and_then(Value::as_object);
    match (declared, node.get("elementType"), columns) {
        ("formula", _, _) => Kind::Formula,
        ("array", Some(element), _) => list(kind(id, element, path, warnings)),
        ("object", _, Some(columns)) => Kind::Row(fields(columns, path, warnings)),
        ("array", None, _) => unknown("array without elementType", path, warnings),
        ("object", _, None) => unknown("object without schema", path, warnings),
        _ => unknown(declared, path, warnings),
    }
}

fn list(items: Kind) -> Kind {
    if matches!(items, Kind::Formula) { items } else { Kind::List(Box::new(items)) }
}

fn type_of(id: &str, declared: &str) -> Option<Type> {
    // Ironclad writes most types in camelCase and some with underscores.
    Some(match declared.replace('_', "").to_ascii_lowercase().as_str() {
        "string" if is_user_role(id) => Type::User,
        "string" | "papersource" | "recordtype" => Type::Text,
        "boolean" => Type::Boolean,
        "number" | "integer" => Type::Number,
        "date" => Type::Date,
        "email" => Type::Email,
        "monetaryamount" => Type::Money,
        "duration" => Type::Duration,
        "address" => Type::Address,
        "document" => Type::Document,
        "user" | "userrole" => Type::User,
        "linkedrecord" | "parentrecord" | "childrecord" => Type::Record,
        "entityreference" => Type::Entity,
        _ => return None,
    })
}

fn unknown(declared: &str, path: &str, warnings: &mut Vec<String>) -> Kind {
    let declared = shorten(declared, LONGEST_LABEL);
    warnings.push(format!("{path} has a type that is not known here ({declared:?}); any value of it is passed on"));
    Kind::Open
}

/// `approver` and 32 hex characters (ironclad-api.md §0).
fn is_user_role(id: &str) -> bool {
    let hex = id.strip_prefix("approver").unwrap_or_default();
    hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
