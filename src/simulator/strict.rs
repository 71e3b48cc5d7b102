//! Strict mode: refuse what the vendor silently ignores.
//!
//! The vendor drops unknown query parameters without a word (ironclad-api.md §4), so a misspelt filter looks like
//! "everything matches". Tests run strict to see such mistakes.

use serde_json::{Map, Value};

use super::errors::ApiError;
use super::exchange::{Payload, Query};

/// Refuses the first query parameter that the operation does not take.
///
/// # Errors
/// 400 `INVALID_PARAM` naming it.
pub(crate) fn check_query(query: &Query, known: &[&str]) -> Result<(), ApiError> {
    match query.names().find(|name| !known.contains(name)) {
        Some(name) => Err(ApiError::invalid(name, format!("unknown query parameter '{name}'"))),
        None => Ok(()),
    }
}

/// Refuses the first body member outside `known`: names, `parent.child` for members of an object and
/// `parent[].child` for members of each object in an array. Members without listed children are not looked into.
///
/// # Errors
/// 400 `INVALID_PARAM` naming it.
pub(crate) fn check_body(payload: &Payload, known: &[&str]) -> Result<(), ApiError> {
    match payload {
        Payload::Json(Value::Object(map)) => check_members(map, "", known),
        Payload::Json(_) | Payload::Empty | Payload::Parts(_) | Payload::Unreadable(_) => Ok(()),
    }
}

fn check_members(map: &Map<String, Value>, prefix: &str, known: &[&str]) -> Result<(), ApiError> {
    for (name, value) in map {
        let full = format!("{prefix}{name}");
        if !known.contains(&full.as_str()) {
            return Err(ApiError::invalid(full.clone(), format!("unknown parameter '{full}'")));
        }
        check_children(value, &full, known)?;
    }
    Ok(())
}

fn check_children(value: &Value, full: &str, known: &[&str]) -> Result<(), ApiError> {
    let object = format!("{full}.");
    let array = format!("{full}[].");
    if let Value::Object(map) = value
        && known.iter().any(|name| name.starts_with(&object))
    {
        return check_members(map, &object, known);
    }
    if let Value::Array(items) = value
        && known.iter().any(|name| name.starts_with(&array))
    {
        for map in items.iter().filter_map(Value::as_object) {
            check_members(map, &array, known)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PATCH: &[&str] = &["updates", "updates[].path", "comment", "user", "user.email"];

    #[test]
    fn unknown_query_parameters_are_named() {
        let error = check_query(&Query::parse("page=1&limit=3"), &["page"]).expect_err("limit");
        assert_eq!(error.param.as_deref(), Some("limit"));
    }

    #[test]
    fn unknown_members_are_found_at_every_listed_level() {
        for (body, at) in [
            (json!({ "update": [] }), "update"),
            (json!({ "updates": [{ "path": "a" }, { "pth": "a" }] }), "updates[].pth"),
            (json!({ "user": { "mail": "x" } }), "user.mail"),
        ] {
            let error = check_body(&Payload::Json(body), PATCH).expect_err(at);
            assert_eq!(error.param.as_deref(), Some(at));
        }
    }

    #[test]
    fn free_form_members_are_not_looked_into() {
        assert!(check_body(&Payload::Json(json!({ "comment": { "anything": 1 } })), PATCH).is_ok());
    }
}
