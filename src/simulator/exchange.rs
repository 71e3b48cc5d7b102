//! One request as an operation sees it, and its reply.
//!
//! The dispatcher has read the body and checked identity before an operation runs; operations stay synchronous so
//! that the store's lock is never held across an await.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::documents_source::DocumentSource;
use super::errors::ApiError;

/// A request, authenticated and routed.
#[derive(Debug)]
pub(crate) struct Call {
    /// `http://host:port` of this simulator.
    pub(crate) origin: String,
    /// Whom the request acts as.
    pub(crate) actor: Actor,
    /// The path's captured segments, percent-decoded.
    pub(crate) path: Vec<String>,
    /// The query string.
    pub(crate) query: Query,
    /// The body.
    pub(crate) payload: Payload,
}

/// The identity a request carries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Actor {
    /// The acting user; none only for a legacy token that named nobody.
    pub(crate) user_id: Option<String>,
    /// Whether the company-wide legacy token was used.
    pub(crate) legacy: bool,
    /// Tags a webhook made with this credential carries.
    pub(crate) tags: Vec<&'static str>,
}

/// A request body.
#[derive(Debug, Default)]
pub(crate) enum Payload {
    /// No bytes at all.
    #[default]
    Empty,
    /// JSON text that parsed.
    Json(Value),
    /// `multipart/form-data`.
    Parts(Vec<Part>),
    /// Something else; the text says why it could not be read.
    Unreadable(String),
}

/// One part of a multipart body.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The form field's name.
    pub(crate) name: String,
    /// The file name, for files.
    pub(crate) filename: Option<String>,
    /// The part's own content type.
    pub(crate) content_type: Option<String>,
    /// The content.
    pub(crate) bytes: Bytes,
}

impl Call {
    /// The n-th captured path segment, empty when there is none.
    pub(crate) fn segment(&self, index: usize) -> &str {
        self.path.get(index).map_or("", String::as_str)
    }

    /// The acting user's id, empty for a legacy token that named nobody.
    pub(crate) fn user_id(&self) -> &str {
        self.actor.user_id.as_deref().unwrap_or_default()
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 400 when the body is missing, unreadable or not an object.
    pub(crate) fn object(&self) -> Result<&Map<String, Value>, ApiError> {
        match &self.payload {
            Payload::Json(Value::Object(map)) => Ok(map),
            Payload::Empty => Err(ApiError::missing("body", "a JSON body is required")),
            Payload::Unreadable(why) => Err(ApiError::invalid("body", why.clone())),
            Payload::Json(_) | Payload::Parts(_) => Err(ApiError::invalid("body", "the body must be a JSON object")),
        }
    }
}

/// A parsed query string; repeated names are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the text after `?`; bytes that are not UTF-8 become replacement characters.
    pub(crate) fn parse(raw: &str) -> Self {
        Self(url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// The first value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`, split at commas: the vendor takes one comma list, one client repeats the key (§4).
    pub(crate) fn list(&self, name: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(key, _)| key == name);
        values.flat_map(|(_, value)| value.split(',')).filter(|item| !item.is_empty()).collect()
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// All pairs, in order.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A boolean parameter, false when absent.
    ///
    /// # Errors
    /// 400 when it is neither `true` nor `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::invalid(name, format!("invalid query value '{other}'; expected a boolean"))),
        }
    }
}

/// What an operation answers.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: ReplyBody,
    /// Extra headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Whether the request changed state; the request log shows it.
    pub(crate) applied: bool,
}

/// A reply's body.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Value),
    /// Text of a given content type.
    Text(&'static str, String),
    /// A document, rendered after the store is unlocked.
    Document(Box<DocumentSource>),
}

impl Reply {
    /// 200 with JSON, nothing changed.
    pub(crate) const fn ok(body: Value) -> Self {
        Self { status: 200, body: ReplyBody::Json(body), headers: Vec::new(), applied: false }
    }

    /// 200 with JSON after a change of state.
    pub(crate) const fn changed(body: Value) -> Self {
        Self { status: 200, body: ReplyBody::Json(body), headers: Vec::new(), applied: true }
    }

    /// 204 after a change of state.
    pub(crate) const fn no_content() -> Self {
        Self { status: 204, body: ReplyBody::Empty, headers: Vec::new(), applied: true }
    }

    /// Text of `content_type`, nothing changed.
    pub(crate) const fn text(content_type: &'static str, text: String) -> Self {
        Self { status: 200, body: ReplyBody::Text(content_type, text), headers: Vec::new(), applied: false }
    }

    /// JSON with another status.
    #[must_use]
    pub(crate) const fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same reply with one more header.
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What every operation returns.
pub(crate) type Outcome = Result<Reply, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_parameter_may_be_joined_or_repeated() {
        let joined = Query::parse("status=active,paused");
        let repeated = Query::parse("status=active&status=paused");
        assert_eq!(joined.list("status"), ["active", "paused"]);
        assert_eq!(repeated.list("status"), ["active", "paused"]);
    }

    #[test]
    fn a_flag_is_true_or_false_and_nothing_else() {
        assert_eq!(Query::parse("a=true").flag("a"), Ok(true));
        assert_eq!(Query::parse("").flag("a"), Ok(false));
        assert!(Query::parse("a=1").flag("a").is_err());
    }
}
