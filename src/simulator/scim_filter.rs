//! SCIM filters (RFC 7644 §3.4.2.2) over the JSON of a user or group. The resource is searched as it would be sent, so that
//! whatever a client sees it can also ask for; all texts compare without regard to case, as `userName` and e-mails do.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::scim_filter_reader::read;

/// Attribute paths of a user that can be filtered.
pub(crate) const USER_ATTRIBUTES: [&str; 20] = [
    "schemas",
    "userName",
    "name",
    "name.givenName",
    "name.familyName",
    "title",
    "id",
    "emails",
    "emails.value",
    "emails.type",
    "emails.primary",
    "active",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:ironclad:2.0:User:departmentHead",
    "urn:ietf:params:scim:schemas:extension:ironclad:2.0:User:provider",
    "urn:ietf:params:scim:schemas:extension:ironclad:2.0:User:allowProviderConversion",
    "meta",
    "meta.resourceType",
    "meta.created",
    "meta.lastModified",
];
/// Why a filter is refused: HTTP 400, `scimType` `invalidFilter`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScimFilterError {
    /// The attribute is not one of those known.
    #[error("No matching schema for attribute: {0}")]
    UnknownAttribute(String),
    /// The text is no filter.
    #[error("Invalid filter: {0}")]
    Malformed(String),
}

/// A filter that has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScimFilter {
    root: Node,
}

/// A filter or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    /// `emails[type eq "work"]`
    Within(Path, Box<Self>),
    Present(Path),
    Compare(Path, Operator, Value),
}

/// The operators that compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// An attribute's names from the outside in; the first may be a schema's URN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(pub(super) Vec<String>);

impl ScimFilter {
    /// Reads a filter whose attributes must all be in `known`, which holds full paths such as `emails.type`.
    pub(crate) fn parse(text: &str, known: &[&str]) -> Result<Self, ScimFilterError> {
        read(text, known).map(|root| Self { root })
    }

    /// Whether a resource, as it would be sent, satisfies the filter.
    pub(crate) fn matches(&self, resource: &Value) -> bool {
        self.root.holds(resource)
    }
}

impl Node {
    fn holds(&self, resource: &Value) -> bool {
        match self {
            Self::And(left, right) => left.holds(resource) && right.holds(resource),
            Self::Or(left, right) => left.holds(resource) || right.holds(resource),
            Self::Not(inner) => !inner.holds(resource),
            Self::Within(path, inner) => path.values(resource).into_iter().any(|value| inner.holds(value)),
            Self::Present(path) => path.values(resource).into_iter().any(is_present),
            Self::Compare(path, Operator::NotEqual, wanted) => {
                !path.values(resource).into_iter().any(|value| Operator::Equal.accepts(simple(value), wanted))
            }
            Self::Compare(path, operator, wanted) => {
                path.values(resource).into_iter().any(|value| operator.accepts(simple(value), wanted))
            }
        }
    }
}

/// An object of a list such as `emails` stands for its `value` when it is compared as a whole.
fn simple(value: &Value) -> &Value {
    value.as_object().and_then(|members| member(members, "value")).unwrap_or(value)
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_present),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl Path {
    /// All values at the path; lists on the way are opened.
    fn values<'a>(&self, resource: &'a Value) -> Vec<&'a Value> {
        let mut found = opened(resource);
        for name in &self.0 {
            found = found.into_iter().filter_map(|value| member(value.as_object()?, name)).flat_map(opened).collect();
        }
        found
    }
}

fn opened(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    }
}

impl Operator {
    /// The operator with this name.
    pub(super) fn named(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "co" => Self::Contains,
            "sw" => Self::StartsWith,
            "ew" => Self::EndsWith,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn accepts(self, value: &Value, wanted: &Value) -> bool {
        if let (Some(value), Some(wanted)) = (value.as_str(), wanted.as_str()) {
            let (value, wanted) = (value.to_lowercase(), wanted.to_lowercase());
            return match self {
                Self::Contains => value.contains(&wanted),
                Self::StartsWith => value.starts_with(&wanted),
                Self::EndsWith => value.ends_with(&wanted),
                // The times of SCIM are all UTC with milliseconds, so their order is that of their texts.
                Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::GreaterOrEqual
                | Self::Less
                | Self::LessOrEqual => self.accepts_order(value.cmp(&wanted)),
            };
        }
        match (value.as_f64(), wanted.as_f64()) {
            (Some(value), Some(wanted)) => value.partial_cmp(&wanted).is_some_and(|order| self.accepts_order(order)),
            _ => self == Self::Equal && value == wanted,
        }
    }

    const fn accepts_order(self, order: Ordering) -> bool {
        match self {
            Self::Equal => matches!(order, Ordering::Equal),
            Self::NotEqual => !matches!(order, Ordering::Equal),
            Self::Greater => matches!(order, Ordering::Greater),
            Self::GreaterOrEqual => matches!(order, Ordering::Greater | Ordering::Equal),
            Self::Less => matches!(order, Ordering::Less),
            Self::LessOrEqual => matches!(order, Ordering::Less | Ordering::Equal),
            Self::Contains | Self::StartsWith | Self::EndsWith => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::simulator::people::people;

    fn ask(text: &str) -> Result<bool, ScimFilterError> {
        let maya = people()[0].scim("http://127.0.0.1");
        ScimFilter::parse(text, &USER_ATTRIBUTES).map(|filter| filter.matches(&maya))
    }

    #[track_caller]
    fn yes(text: &str) {
        assert_eq!(ask(text), Ok(true), "{text}");
    }

    #[track_caller]
    fn no(text: &str) {
        assert_eq!(ask(text), Ok(false), "{text}");
    }

    #[test]
    fn every_operator_does_what_it_says() {
        yes("userName eq \"Maya.Ortiz@simulator.example\"");
        no("USERNAME EQ \"someone@simulator.example\"");
        yes("userName ne \"someone@simulator.example\"");
        yes("userName co \"ortiz\"");
        yes("title sw \"director\"");
        yes("title ew \"operations\"");
        yes("title pr");
        yes("active eq true");
        no("active eq false");
        yes("meta.created gt \"2020-01-01T00:00:00Z\" and meta.created lt \"2030-01-01T00:00:00Z\"");
        yes("meta.created ge \"2020\" and meta.created le \"2030\"");
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        yes("active eq true or active eq false and title eq \"x\"");
        no("(active eq true or active eq false) and title eq \"x\"");
        yes("not (title eq \"x\") and active eq true");
        no("not (active eq true or title eq \"x\")");
    }

    #[test]
    fn lists_match_when_one_of_their_members_does() {
        yes("emails eq \"maya.ortiz@simulator.example\"");
        yes("emails.value co \"MAYA\"");
        yes("emails[type eq \"work\" and value co \"maya\"]");
        no("emails[type eq \"home\"]");
        yes("emails[not (type eq \"home\")] and name.familyName eq \"ortiz\"");
        no("emails.type ne \"work\"");
    }

    #[test]
    fn extensions_are_reached_by_their_urn() {
        yes("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"Legal\"");
        yes("urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"maya\"");
        no("urn:ietf:params:scim:schemas:extension:ironclad:2.0:User:provider eq \"local\"");
    }

    #[test]
    fn an_unknown_attribute_is_named_as_it_was_written() {
        assert_eq!(ask("nickName eq \"x\"").unwrap_err().to_string(), "No matching schema for attribute: nickName");
        assert_eq!(ask("emails[size eq 1]"), Err(ScimFilterError::UnknownAttribute("size".to_owned())));
    }

    #[test]
    fn text_that_is_no_filter_is_refused() {
        for text in [
            "",
            "userName",
            "userName eq",
            "userName eq maya",
            "userName like \"x\"",
            "userName eq \"x",
            "(active eq true",
            "active eq true)",
            "active eq true active",
            "not active eq true",
            "emails[type eq \"work\"",
            "userName eq [1]",
        ] {
            assert!(matches!(ask(text), Err(ScimFilterError::Malformed(_))), "{text}");
        }
        assert!(ask(&"(".repeat(10_000)).is_err());
    }

    /// Attribute paths of a group that can be filtered.
    const GROUP_ATTRIBUTES: [&str; 11] = [
        "schemas",
        "displayName",
        "id",
        "externalId",
        "members",
        "members.type",
        "members.value",
        "meta",
        "meta.resourceType",
        "meta.created",
        "meta.lastModified",
    ];

    #[test]
    fn groups_have_attributes_of_their_own() {
        let group = json!({ "displayName": "Legal", "members": [{ "type": "User", "value": "1" }, { "type": "User", "value": "2" }] });
        let filter =
            ScimFilter::parse("members.value eq \"2\" and displayName eq \"legal\"", &GROUP_ATTRIBUTES).unwrap();
        assert!(filter.matches(&group));
        assert!(ScimFilter::parse("userName pr", &GROUP_ATTRIBUTES).is_err());
    }

    #[test]
    fn escapes_in_quotes_are_those_of_json() {
        let filter = ScimFilter::parse(r#"displayName eq "a \"b\" \\""#, &GROUP_ATTRIBUTES).unwrap();
        assert!(filter.matches(&json!({ "displayName": "A \"B\" \\" })));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = ask(&text);
        }

        #[test]
        fn no_row_of_tokens_panics(words in prop::collection::vec(
            prop_oneof![Just("userName"), Just("emails"), Just("["), Just("]"), Just("("), Just(")"), Just("eq"), Just("pr"),
                Just("not"), Just("and"), Just("or"), Just("\"a\""), Just("1"), Just("\\"), Just("\"")], 0..16)) {
            let _ = ask(&words.join(" "));
        }
    }
}
