//! Reads the vendor's form into fields.
//!
//! A node that makes no sense is read as an open value rather than refused: one odd field must not cost the template.

use std::{borrow::Cow, collections::HashMap};

use serde_json::{Map, Value};

use super::{ALWAYS_REQUIRED, Field, Fields, Kind, LaunchForm, Required, Type, check, names};
use crate::suggest::shorten;

const LONGEST_LABEL: usize = 100;

pub(super) fn form(schema: &Map<String, Value>) -> LaunchForm {
    let mut warnings = Vec::new();
    let mut nodes = Cow::Borrowed(schema);
    // Ironclad wants it even from a template that does not ask for it.
    let settable = nodes.get(ALWAYS_REQUIRED).and_then(|node| node.get("type")).is_some_and(|kind| kind != "formula");
    if !settable {
        let node = serde_json::json!({"type": "string", "displayName": "Counterparty Name"});
        nodes.to_mut().insert(ALWAYS_REQUIRED.into(), node);
    }
    let mut fields = fields(&nodes, Place::Form, &mut warnings);
    if let Some(field) = fields.place(ALWAYS_REQUIRED).and_then(|place| fields.all.get_mut(place)) {
        field.required = Required::Always;
    }
    LaunchForm { fields, warnings }
}

/// Where a node stands, for the warnings.
#[derive(Clone, Copy)]
enum Place<'a> {
    Form,
    Field(&'a Self, &'a str),
}

impl Place<'_> {
    fn path(self) -> String {
        match self {
            Self::Form => String::new(),
            Self::Field(Self::Form, id) => shorten(id, LONGEST_LABEL),
            Self::Field(within, id) => {
                shorten(&format!("{}.{}", within.path(), shorten(id, LONGEST_LABEL)), 4 * LONGEST_LABEL)
            }
        }
    }
}

fn fields(nodes: &Map<String, Value>, within: Place<'_>, warnings: &mut Vec<String>) -> Fields {
    let names = names::published(nodes.keys().map(String::as_str));
    let mut fields = Fields { all: Vec::with_capacity(nodes.len()), places: HashMap::with_capacity(nodes.len()) };
    for ((id, node), name) in nodes.iter().zip(names) {
        let place = fields.all.len();
        fields.places.insert(id.clone(), place);
        if name != *id {
            fields.places.insert(name.clone(), place);
        }
        fields.all.push(field(name, node, Place::Field(&within, id), warnings));
    }
    fields
}

fn field(name: String, node: &Value, place: Place<'_>, warnings: &mut Vec<String>) -> Field {
    let id = if let Place::Field(_, id) = place { id } else { "" };
    let kind = kind(node, place, warnings);
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
    let mut label = String::with_capacity(text.len().min(LONGEST_LABEL));
    let cut = text.char_indices().nth(4 * LONGEST_LABEL).map_or(text, |(end, _)| text.get(..end).unwrap_or_default());
    for word in cut.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !label.is_empty() {
            label.push(' ');
        }
        label.push_str(word);
    }
    if label.len() > LONGEST_LABEL { shorten(&label, LONGEST_LABEL) } else { label }
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

fn kind(node: &Value, place: Place<'_>, warnings: &mut Vec<String>) -> Kind {
    let declared = node.get("type").and_then(Value::as_str).unwrap_or_default();
    if let Some(known) = type_of(declared) {
        let is_role = matches!(place, Place::Field(_, id) if is_user_role(id));
        return Kind::One(if known == Type::Text && is_role { Type::User } else { known });
    }
    let columns = node.get("schema").and_then(Value::as_object);
    match (declared, node.get("elementType"), columns) {
        ("formula", _, _) => Kind::Formula,
        ("array", Some(element), _) => list(kind(element, place, warnings)),
        ("object", _, Some(columns)) => Kind::Row(fields(columns, place, warnings)),
        ("array", None, _) => unknown("array without elementType", place, warnings),
        ("object", _, None) => unknown("object without schema", place, warnings),
        _ => unknown(declared, place, warnings),
    }
}

fn list(items: Kind) -> Kind {
    if matches!(items, Kind::Formula) { items } else { Kind::List(Box::new(items)) }
}

/// Ironclad writes these in camelCase and `entity_reference` with an underscore; both are read for each.
fn type_of(declared: &str) -> Option<Type> {
    Some(match declared {
        "string" | "paperSource" | "paper_source" | "recordType" | "record_type" => Type::Text,
        "boolean" => Type::Boolean,
        "number" | "integer" => Type::Number,
        "date" => Type::Date,
        "email" => Type::Email,
        "monetaryAmount" | "monetary_amount" => Type::Money,
        "duration" => Type::Duration,
        "address" => Type::Address,
        "document" => Type::Document,
        "user" | "userRole" | "user_role" => Type::User,
        "linkedRecord" | "linked_record" | "parentRecord" | "parent_record" | "childRecord" | "child_record" => {
            Type::Record
        }
        "entityReference" | "entity_reference" => Type::Entity,
        _ => return None,
    })
}

fn unknown(declared: &str, place: Place<'_>, warnings: &mut Vec<String>) -> Kind {
    let (path, declared) = (place.path(), shorten(declared, LONGEST_LABEL));
    warnings.push(format!("{path} has a type that is not known here ({declared:?}); any value of it is passed on"));
    Kind::Open
}

/// `approver` and 32 hex characters (ironclad-api.md §0).
fn is_user_role(id: &str) -> bool {
    let hex = id.strip_prefix("approver").unwrap_or_default();
    hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
