//! Whether a set of answers may launch a template, or change a running workflow. Bad values are reported one at a time but
//! missing answers all at once, because that is what clients of the vendor had to learn to parse (ironclad-api.md §3).

use serde_json::{Map, Value, json};

use super::attribute_values::{Complaint, check_typed};
use super::templates::Backstage;

/// The attribute that every template needs (ironclad-api.md §6.1).
const ALWAYS_NEEDED: &str = "counterpartyName";

/// How a launch wants its answers completed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LaunchOptions {
    /// Fill questions left open from the form's defaults (`useDefaultValues`).
    pub(crate) use_defaults: bool,
}

/// Why a launch or an attribute change is refused; always HTTP 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchFault {
    /// `MISSING_PARAM` or `INVALID_PARAM`.
    pub(crate) code: &'static str,
    /// What is wrong, for people.
    pub(crate) message: String,
    /// `attributes`, or for missing answers the JSON text of an array of attribute ids.
    pub(crate) param: Option<String>,
    /// The one attribute with a bad value.
    pub(crate) key_path: Option<String>,
}

impl LaunchFault {
    /// Attributes that the form does not have.
    pub(crate) fn unknown_attributes(ids: &[&str]) -> Self {
        Self::invalid(format!("non-existent attribute(s) specified: {}", ids.join(", ")), None)
    }

    /// An attribute that the simulator computes.
    pub(crate) fn read_only(id: &str) -> Self {
        Self::invalid(format!("Cannot patch read-only attribute {id}"), Some(id))
    }

    /// Questions that need an answer.
    pub(crate) fn missing(ids: &[String]) -> Self {
        Self {
            code: "MISSING_PARAM",
            message: "missing required attribute(s)".to_owned(),
            param: Some(json!(ids).to_string()),
            key_path: None,
        }
    }

    fn invalid(message: String, id: Option<&str>) -> Self {
        Self { code: "INVALID_PARAM", message, param: Some("attributes".to_owned()), key_path: id.map(str::to_owned) }
    }
}

/// The answers completed with defaults, or the first reason they cannot launch the form.
pub(crate) fn check(
    form: &Map<String, Value>,
    backstage: &Backstage,
    attributes: &Map<String, Value>,
    options: LaunchOptions,
) -> Result<Map<String, Value>, LaunchFault> {
    if let Some(id) = attributes.keys().find(|id| backstage.formulas.contains_key(*id)) {
        return Err(LaunchFault::read_only(id));
    }
    let known = |id: &str| form.contains_key(id) || id == ALWAYS_NEEDED;
    let unknown: Vec<&str> = attributes.keys().map(String::as_str).filter(|id| !known(id)).collect();
    if !unknown.is_empty() {
        return Err(LaunchFault::unknown_attributes(&unknown));
    }
    for (id, value) in attributes {
        check_value(form.get(id).unwrap_or(&Value::Null), id, value)?;
    }
    let mut completed = attributes.clone();
    if options.use_defaults {
        fill_defaults(form, backstage, &mut completed);
    }
    let missing = missing(form, backstage, &completed);
    if missing.is_empty() { Ok(completed) } else { Err(LaunchFault::missing(&missing)) }
}

/// Whether one value suits its schema node; also for `PATCH …/attributes`.
pub(crate) fn check_value(node: &Value, id: &str, value: &Value) -> Result<(), LaunchFault> {
    check_typed(node, id, value)
        .map_err(|Complaint(why)| LaunchFault::invalid(format!("invalid value for attribute {id}: {why}"), Some(id)))
}

/// The ids of all questions that need an answer and have none, in the order of the form.
pub(crate) fn missing(
    form: &Map<String, Value>,
    backstage: &Backstage,
    attributes: &Map<String, Value>,
) -> Vec<String> {
    let needed = |id: &str, node: &Value| match node.get("required").and_then(Value::as_str) {
        _ if id == ALWAYS_NEEDED => true,
        Some("always") => true,
        Some("conditional") => backstage.conditions.get(id).is_some_and(|condition| condition.holds(attributes)),
        _ => false,
    };
    let unanswered = |id: &str| attributes.get(id).is_none_or(is_blank);
    let mut ids: Vec<String> =
        form.iter().filter(|(id, node)| needed(id, node) && unanswered(id)).map(|(id, _)| id.clone()).collect();
    if !form.contains_key(ALWAYS_NEEDED) && unanswered(ALWAYS_NEEDED) {
        ids.insert(0, ALWAYS_NEEDED.to_owned());
    }
    ids
}

/// Whether a value answers nothing: an empty text, an empty list, or the `[{}]` of an untouched table.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.iter().all(|item| item.as_object().is_some_and(Map::is_empty)),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn fill_defaults(form: &Map<String, Value>, backstage: &Backstage, attributes: &mut Map<String, Value>) {
    for (id, node) in form {
        let Some(default) = node.get("default") else { continue };
        let out_of_sight = node.get("required").and_then(Value::as_str) == Some("conditional")
            && backstage.conditions.get(id).is_none_or(|condition| !condition.holds(attributes));
        if !attributes.contains_key(id) && !out_of_sight {
            attributes.insert(id.clone(), default.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simulator::templates::{Template, templates};

    const PLAIN: LaunchOptions = LaunchOptions { use_defaults: false };

    fn named(name: &str) -> Template {
        templates().into_iter().find(|template| template.name == name).unwrap()
    }

    fn launch(
        template: &Template,
        attributes: &Value,
        options: LaunchOptions,
    ) -> Result<Map<String, Value>, LaunchFault> {
        check(&template.schema, &template.backstage, attributes.as_object().unwrap(), options)
    }

    fn nda_answers() -> Value {
        json!({
            "counterpartyName": "Bramble & Finch Ltd",
            "effectiveDate": "2026-10-01",
            "paperSource": "Our paper",
            "counterpartySigner": "Ada Finch",
            "counterpartySignerEmail": "ada@bramble.example",
        })
    }

    #[test]
    fn complete_answers_come_back_unchanged() {
        let answers = nda_answers();
        assert_eq!(&launch(&named("Mutual NDA"), &answers, PLAIN).unwrap(), answers.as_object().unwrap());
    }

    #[test]
    fn all_missing_answers_are_named_at_once() {
        let fault = launch(&named("Mutual NDA"), &json!({ "paperSource": "Counterparty paper" }), PLAIN).unwrap_err();
        assert_eq!(fault.code, "MISSING_PARAM");
        let ids: Vec<String> = serde_json::from_str(&fault.param.unwrap()).unwrap();
        assert_eq!(
            ids,
            ["counterpartyName", "effectiveDate", "draft", "counterpartySigner", "counterpartySignerEmail"]
        );
        assert_eq!(fault.key_path, None);
    }

    #[test]
    fn a_conditional_answer_is_needed_only_when_its_condition_holds() {
        let mut answers = nda_answers();
        answers["paperSource"] = json!("Counterparty paper");
        let fault = launch(&named("Mutual NDA"), &answers, PLAIN).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("[\"draft\"]"));
        answers["draft"] = json!([{ "url": "https://files.bramble.example/nda.docx" }]);
        assert!(launch(&named("Mutual NDA"), &answers, PLAIN).is_ok());
    }

    #[test]
    fn blank_answers_are_missing_answers() {
        let mut answers = nda_answers();
        answers["counterpartyName"] = json!("  ");
        let fault = launch(&named("Mutual NDA"), &answers, PLAIN).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("[\"counterpartyName\"]"));
        assert!(is_blank(&json!([{}])) && is_blank(&json!([])) && !is_blank(&json!([{ "a": 1 }])));
    }

    #[test]
    fn a_form_without_a_counterparty_needs_one_all_the_same() {
        let mut template = named("Mutual NDA");
        template.schema.clear();
        let fault = launch(&template, &json!({}), PLAIN).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("[\"counterpartyName\"]"));
        assert!(launch(&template, &json!({ "counterpartyName": "A" }), PLAIN).is_ok());
    }

    #[test]
    fn unknown_attributes_are_all_named() {
        let mut answers = nda_answers();
        answers["colour"] = json!("red");
        answers["size"] = json!(1);
        let fault = launch(&named("Mutual NDA"), &answers, PLAIN).unwrap_err();
        assert_eq!(fault.message, "non-existent attribute(s) specified: colour, size");
        assert_eq!(fault.param.as_deref(), Some("attributes"));
    }

    #[test]
    fn a_bad_value_is_named_by_its_key_path() {
        let mut answers = nda_answers();
        answers["effectiveDate"] = json!("next week");
        let fault = launch(&named("Mutual NDA"), &answers, PLAIN).unwrap_err();
        assert_eq!((fault.code, fault.key_path.as_deref()), ("INVALID_PARAM", Some("effectiveDate")));
        assert_eq!(fault.param.as_deref(), Some("attributes"));
    }

    #[test]
    fn a_formula_can_never_be_set() {
        let fault = launch(&named("Order Form"), &json!({ "orderTotal": 1 }), PLAIN).unwrap_err();
        assert_eq!(fault.message, "Cannot patch read-only attribute orderTotal");
    }

    #[test]
    fn defaults_fill_only_what_was_left_open() {
        let options = LaunchOptions { use_defaults: true };
        let mut answers = nda_answers();
        assert_eq!(launch(&named("Mutual NDA"), &answers, options).unwrap()["term"], json!({ "years": 2 }));
        answers["term"] = json!({ "months": 9 });
        assert_eq!(launch(&named("Mutual NDA"), &answers, options).unwrap()["term"], json!({ "months": 9 }));
    }

    #[test]
    fn a_default_can_satisfy_a_required_question() {
        let order = named("Order Form");
        let fault = |options| launch(&order, &json!({}), options).unwrap_err().param.unwrap();
        assert!(fault(PLAIN).contains("seats"));
        assert!(!fault(LaunchOptions { use_defaults: true }).contains("seats"));
    }

    #[test]
    fn every_default_of_every_template_passes_its_own_check() {
        for template in templates() {
            for (id, node) in &template.schema {
                if let Some(default) = node.get("default") {
                    assert_eq!(check_value(node, id, default), Ok(()), "{id} of {}", template.name);
                }
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            "\\PC{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let key =
                prop_oneof![Just("lines".to_owned()), Just("amount".to_owned()), Just("days".to_owned()), "[a-z]{1,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_value_panics_any_check(value in any_json()) {
            for template in templates() {
                for (id, node) in &template.schema {
                    let _ = check_value(node, id, &value);
                }
            }
        }
    }
}
