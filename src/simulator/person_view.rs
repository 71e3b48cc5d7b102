//! A user as workflows show them.

use serde_json::{Value, json};

use super::people::Person;

/// The `creator` of a workflow.
pub(crate) fn creator(person: &Person) -> Value {
    json!({
        "id": person.id,
        "displayName": person.display_name(),
        "email": person.email,
        "title": person.title,
        "username": person.email,
        "metadata": {},
    })
}

/// One assignee of a role; `userName` is the full name, not the sign-in name (ironclad-api.md §8.1).
pub(crate) fn assignee(person: &Person) -> Value {
    json!({ "userName": person.display_name(), "userId": person.id, "email": person.email })
}
