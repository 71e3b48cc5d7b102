//! Makes the JSON Schema of the argument `attributes`.
//!
//! The profile allows five levels and the argument sits on the second, so a table's columns are the last level. What
//! would go deeper is published as JSON text, which the check decodes: a lossy schema is better than a missing field.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{ALWAYS_REQUIRED, Conditional, Field, Fields, Kind, LaunchForm, Required, Translation, Type, describe};

/// Where the argument `attributes` sits; a tool's root is 1.
const ATTRIBUTES_DEPTH: usize = 2;
const MAX_DEPTH: usize = 5;
const MAX_ENUM: usize = 200;
/// An enum that is longer costs a model more than a refused guess.
const MAX_ENUM_BYTES: usize = 8_000;

/// Marks a node that takes more than its published type says (`tool_schema.rs` strips it).
const OPEN: &str = "x-open";

pub(super) fn translate(form: &LaunchForm, use_default_values: bool, learned: &BTreeSet<String>) -> Translation {
    let mut ids = IndexMap::new();
    published_ids(&form.fields, "", &mut ids);
    let conditional = form.fields.all.iter().filter(|field| field.required == Required::Conditional);
    Translation {
        schema: object(&form.fields, ATTRIBUTES_DEPTH, &Asked { use_default_values, learned: Some(learned) }),
        ids,
        conditional: conditional
            .map(|field| Conditional {
                id: field.id.clone(),
                display_name: field.display_name.clone(),
                learned: learned.contains(&field.id),
            })
            .collect(),
        warnings: form.warnings.clone(),
    }
}

/// What the schema is asked to say besides the form itself.
pub(super) struct Asked<'a> {
    use_default_values: bool,
    /// `None` inside a table.
    learned: Option<&'a BTreeSet<String>>,
}

impl Asked<'_> {
    pub(super) fn has_learned(&self, field: &Field) -> bool {
        self.learned.is_some_and(|learned| learned.contains(&field.id))
    }

    fn requires(&self, field: &Field) -> bool {
        let filled = self.use_default_values && field.default.is_some() && field.id != ALWAYS_REQUIRED;
        field.required == Required::Always && !(filled && self.learned.is_some())
    }
}

fn published_ids(fields: &Fields, within: &str, ids: &mut IndexMap<String, String>) {
    for field in &fields.all {
        let path = format!("{within}{}", field.name);
        if field.name != field.id {
            ids.insert(path.clone(), field.id.clone());
        }
        if let Some(columns) = field.kind.columns() {
            published_ids(columns, &format!("{path}."), ids);
        }
    }
}

fn object(fields: &Fields, depth: usize, asked: &Asked<'_>) -> Map<String, Value> {
    let settable = || fields.all.iter().filter(|field| !matches!(field.kind, Kind::Formula));
    let properties: Map<String, Value> =
        settable().map(|field| (field.name.clone(), property(field, depth + 1, asked).into())).collect();
    let required: Vec<Value> =
        settable().filter(|field| asked.requires(field)).map(|field| field.name.as_str().into()).collect();
    let mut schema =
        Map::from_iter([("type".to_owned(), "object".into()), ("properties".to_owned(), properties.into())]);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn property(field: &Field, depth: usize, asked: &Asked<'_>) -> Map<String, Value> {
    let listed = field.closed && fits_enum(&field.options);
    let shape = shape(field, &field.kind, depth, listed);
    let as_text = shape.is_none();
    let mut node = shape.unwrap_or_else(open);
    let style = describe::Style { listed, as_text, in_table: asked.learned.is_none() };
    node.insert("description".into(), describe::field(field, asked, style).into());
    node
}

fn open() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "string".into()), (OPEN.to_owned(), true.into())])
}

fn fits_enum(options: &[String]) -> bool {
    (1..=MAX_ENUM).contains(&options.len()) && options.iter().map(String::len).sum::<usize>() <= MAX_ENUM_BYTES
}

/// The schema of a kind without its description; `None` where it does not fit in the levels that are left.
fn shape(field: &Field, kind: &Kind, depth: usize, listed: bool) -> Option<Map<String, Value>> {
    match kind {
        Kind::One(one) => single(field, *one, depth, listed),
        Kind::List(_) | Kind::Row(_) if depth > MAX_DEPTH => None,
        Kind::List(inner) => {
            let items = shape(field, inner, depth + 1, listed)?;
            Some(Map::from_iter([
                ("type".to_owned(), "array".into()),
                ("items".to_owned(), items.into()),
                ("minItems".to_owned(), 1.into()),
            ]))
        }
        Kind::Row(columns) => Some(object(columns, depth, &Asked { use_default_values: false, learned: None })),
        Kind::Formula | Kind::Open => Some(open()),
    }
}

fn single(field: &Field, one: Type, depth: usize, listed: bool) -> Option<Map<String, Value>> {
    let leaf = |kind: &str| Some(Map::from_iter([("type".to_owned(), Value::from(kind))]));
    match one {
        Type::Text if listed => {
            let mut node = leaf("string")?;
            node.insert("enum".into(), field.options.as_slice().into());
            Some(node)
        }
        Type::Text | Type::Date | Type::Email | Type::User | Type::Record | Type::Entity => leaf("string"),
        Type::Boolean => leaf("boolean"),
        Type::Number => leaf("number"),
        Type::Money | Type::Duration | Type::Address | Type::Document if depth > MAX_DEPTH => None,
        Type::Money => {
            let members = json!({"currency": {"type": "string"}, "amount": {"type": "number"}});
            Some(members_schema(members, &["currency", "amount"]))
        }
        Type::Duration => {
            let units = ["years", "months", "weeks", "days"].map(|unit| (unit.to_owned(), json!({"type": "integer"})));
            Some(members_schema(Map::from_iter(units).into(), &[]))
        }
        Type::Address => {
            let text = json!({"type": "string"});
            let lines = if depth < MAX_DEPTH { json!({"type": "array", "items": text}) } else { text.clone() };
            let members = json!({"lines": lines, "locality": text, "region": text, "postcode": text, "country": text});
            Some(members_schema(members, &["lines", "locality", "country"]))
        }
        Type::Document => {
            let text = json!({"type": "string"});
            let members = json!({"url": text, "path": text, "filename": text, "content_base64": text});
            Some(members_schema(members, &[]))
        }
    }
}

fn members_schema(properties: Value, required: &[&str]) -> Map<String, Value> {
    let mut node = Map::from_iter([("type".to_owned(), "object".into()), ("properties".to_owned(), properties)]);
    if !required.is_empty() {
        node.insert("required".into(), required.into());
    }
    node
}
