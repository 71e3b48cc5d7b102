//! Launch forms: `GET /workflow-schemas` and `GET /workflow-schemas/{id}`.
//!
//! An unknown form is named by the odd parameter `/?form`, and an unknown template is `NOT_FOUND` under HTTP 400;
//! both as the vendor does (ironclad-api.md §8.5, §8.6).

use serde_json::{Value, json};

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Reply};
use super::store::Store;
use super::templates::Template;

/// `GET /workflow-schemas`; `form` is required and the answer is not paginated.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    match call.query.get("form") {
        None => return Err(ApiError::missing("/?form", "missing required query parameter 'form'")),
        Some(form) => check_form(form)?,
    }
    let email = email(store, call);
    let list: Vec<Value> = store.templates.iter().map(|template| shown(template, &email)).collect();
    Ok(Reply::ok(json!({ "list": list })))
}

/// `GET /workflow-schemas/{id}`; `form` may be left out.
pub(crate) fn get(store: &mut Store, call: &Call) -> Outcome {
    check_form(call.query.get("form").unwrap_or("launch"))?;
    let Some(template) = store.template(call.segment(0)) else {
        let message = "workflow  template schema not found";
        return Err(ApiError::new(400, "NOT_FOUND", message).at("templateId"));
    };
    Ok(Reply::ok(shown(&template, &email(store, call))))
}

fn check_form(form: &str) -> Result<(), ApiError> {
    if form == "launch" {
        return Ok(());
    }
    Err(ApiError::invalid("/?form", format!("invalid query value '{form}'; value must be one of [launch]")))
}

/// The acting user's address; a legacy token that names nobody has administrator power.
fn email(store: &Store, call: &Call) -> String {
    let person = store.person(call.user_id()).or(store.people.first());
    person.map(|person| person.email.clone()).unwrap_or_default()
}

fn shown(template: &Template, email: &str) -> Value {
    let permissions: &[&str] = if template.backstage.may_launch(email) { &["launch", "view"] } else { &["view"] };
    json!({
        "id": template.id,
        "name": template.name,
        "schema": template.schema,
        "permissions": permissions,
    })
}
