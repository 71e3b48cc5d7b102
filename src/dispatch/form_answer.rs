//! Answers a template with what a model needs to launch it: the form as JSON Schema, and an example that passes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Shape, ShapeError},
    forms::Template,
};

/// Shapes the reply of `GET /workflow-schemas/{id}`; the raw form goes where the whole would be too large.
pub(super) fn shape(
    mut raw: Map<String, Value>,
    shape: &Shape<'_>,
    (learned, user): (&BTreeSet<String>, Option<&str>),
) -> Result<Answer, ShapeError> {
    let template = Template::read(&raw).ok_or(ShapeError::Malformed)?;
    raw.insert("template_id".into(), template.id.into());
    raw.insert("launchable".into(), template.launchable.into());
    if let Some(form) = &template.form {
        let translation = form.attributes_schema(false, learned);
        let conditional = translation.conditional.iter().map(|attribute| {
            json!({"id": attribute.id, "display_name": attribute.display_name, "asked_for_before": attribute.learned})
        });
        raw.insert("conditional".into(), conditional.collect());
        raw.insert("attributes_schema".into(), crate::tool_schema::published(&translation.schema).into());
        raw.insert("example".into(), form.example_for(user).into());
        if !translation.ids.is_empty() {
            raw.insert("attribute_ids".into(), json!(translation.ids));
        }
        if !translation.warnings.is_empty() {
            raw.insert("warnings".into(), translation.warnings.into());
        }
    }
    let mut answer = match &shape.fields {
        Some(fields) => Answer::new(fields.project_object(raw).into()),
        None => Answer::new(raw.into()),
    };
    if !answer.fits(shape.max_bytes) && shape.fields.is_none() {
        if let Value::Object(members) = &mut answer.structured {
            members.remove("schema");
        }
        answer = Answer::new(answer.structured);
    }
    if answer.fits(shape.max_bytes) { Ok(answer) } else { Err(ShapeError::TooLarge { bytes: answer.bytes() }) }
}
