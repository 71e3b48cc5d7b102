//! SCIM 2.0: list users and look one up (ironclad-api.md §11).

use serde_json::{Value, json};

use super::errors::ApiError;
use super::exchange::{Call, Outcome, Query, Reply};
use super::scim_filter::{ScimFilter, USER_ATTRIBUTES};
use super::store::Store;

/// `GET /scim/v2/Users`; pages are 1-based here, unlike the rest of the API.
pub(crate) fn list(store: &mut Store, call: &Call) -> Outcome {
    let start = number(&call.query, "startIndex", 1)?.max(1);
    let count = number(&call.query, "count", 25)?;
    if count > 1000 {
        return Err(invalid("count must be between 0 and 1000"));
    }
    let filter = match call.query.get("filter").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            ScimFilter::parse(text, &USER_ATTRIBUTES)
                .map_err(|error| ApiError::new(400, "invalidFilter", error.to_string()))?,
        ),
    };
    let mut found: Vec<Value> = store.people.iter().map(|person| person.scim(&call.origin)).collect();
    found.retain(|user| filter.as_ref().is_none_or(|filter| filter.matches(user)));
    let total = found.len();
    let page = found.into_iter().skip(start.saturating_sub(1)).take(count);
    let resources: Vec<Value> = page.map(|user| without(user, &call.query)).collect();
    Ok(Reply::ok(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "Resources": resources,
        "startIndex": start,
        "itemsPerPage": resources.len(),
    })))
}

/// `GET /scim/v2/Users/{id}`.
pub(crate) fn get(store: &mut Store, call: &Call) -> Outcome {
    let id = call.segment(0);
    let Some(person) = store.person(id) else {
        return Err(ApiError::new(404, "notFound", format!("Resource {id} not found")));
    };
    Ok(Reply::ok(without(person.scim(&call.origin), &call.query)))
}

fn invalid(detail: &str) -> ApiError {
    ApiError::new(400, "invalidValue", detail)
}

fn number(query: &Query, name: &str, default: usize) -> Result<usize, ApiError> {
    let Some(text) = query.get(name) else { return Ok(default) };
    text.parse().map_err(|_| invalid(&format!("{name} must be a non-negative integer")))
}

/// The user without `excludedAttributes`; `id` and `schemas` always stay (RFC 7644 §3.9).
fn without(mut user: Value, query: &Query) -> Value {
    let Some(map) = user.as_object_mut() else { return user };
    for name in query.list("excludedAttributes") {
        let name = name.trim();
        if name != "id" && name != "schemas" {
            map.shift_remove(name);
        }
    }
    user
}
