//! The error bodies of the Public API, SCIM and OAuth.
//!
//! One type serves the Public API and SCIM: the dispatcher picks the body's shape from the path, so an operation
//! never has to know which envelope its caller expects (ironclad-api.md §3, §11).

use serde_json::{Value, json};

/// A refusal, as the vendor would word it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: u16,
    /// One of the vendor's codes, or a SCIM type.
    pub(crate) code: &'static str,
    /// Text for people.
    pub(crate) message: String,
    /// The parameter at fault; for missing attributes a JSON array in a string.
    pub(crate) param: Option<String>,
    /// The attribute whose value is bad (`metadata.keyPath`).
    pub(crate) key_path: Option<String>,
}

impl ApiError {
    /// A refusal without a parameter.
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), param: None, key_path: None }
    }

    /// 400 `INVALID_PARAM`.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_PARAM", message).at(param)
    }

    /// 400 `MISSING_PARAM`.
    pub(crate) fn missing(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, "MISSING_PARAM", message).at(param)
    }

    /// 400 `INVALID_STATE`: the vendor answers wrong-state requests with 400 (ironclad-api.md §3).
    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_STATE", message)
    }

    /// 404 `NOT_FOUND`.
    pub(crate) fn not_found(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(404, "NOT_FOUND", message).at(param)
    }

    /// 403 `FORBIDDEN`.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, "FORBIDDEN", message)
    }

    /// 401 `UNAUTHORIZED`.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, "UNAUTHORIZED", message)
    }

    /// The same refusal naming a parameter.
    #[must_use]
    pub(crate) fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The Public API's envelope.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "code": self.code, "message": self.message });
        if let Some(map) = body.as_object_mut() {
            if let Some(param) = &self.param {
                map.insert("param".into(), json!(param));
            }
            if let Some(key_path) = &self.key_path {
                map.insert("metadata".into(), json!({ "keyPath": key_path }));
            }
        }
        body
    }

    /// SCIM's envelope: status as text, detail left out on 403 and 409 (ironclad-api.md §11).
    pub(crate) fn scim_body(&self) -> Value {
        let mut body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"] });
        if let Some(map) = body.as_object_mut() {
            if matches!(self.code, "invalidFilter" | "invalidValue") {
                map.insert("scimType".into(), json!(self.code));
            }
            if !matches!(self.status, 403 | 409) {
                map.insert("detail".into(), json!(self.message));
            }
            map.insert("status".into(), json!(self.status.to_string()));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_envelope_carries_param_and_key_path_only_when_known() {
        let plain = ApiError::forbidden("access forbidden");
        assert_eq!(plain.body(), json!({ "code": "FORBIDDEN", "message": "access forbidden" }));
        let mut full = ApiError::invalid("attributes", "bad");
        full.key_path = Some("effectiveDate".into());
        assert_eq!(full.body()["metadata"]["keyPath"], "effectiveDate");
        assert_eq!(full.body()["param"], "attributes");
    }

    #[test]
    fn scim_errors_write_the_status_as_text() {
        let body = ApiError::new(400, "invalidFilter", "No matching schema for attribute: x").scim_body();
        assert_eq!(body["status"], "400");
        assert_eq!(body["scimType"], "invalidFilter");
        assert!(ApiError::forbidden("no").scim_body().get("detail").is_none());
    }
}
