//! Checks the seven record actions and wraps their values (ironclad-api.md §9.3).
//!
//! The published schema is one object for all seven, since the profile has no unions; which property goes with which
//! action is checked here. Properties may also stand beside `type`, as a model tends to put them.

use serde_json::{Map, Value, json};

use super::{LISTED, placed, unknown, wrap_one};
use crate::{
    error::ArgumentFault,
    suggest::{closest, listed, shorten, shown},
    typed_values::Flaw,
};

/// An action as `POST /records/{id}/actions` takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedAction {
    /// `{"type", "properties"}`, each property wrapped.
    pub action: Value,
    /// What was normalised besides the wrapping; one sentence each.
    pub notes: Vec<String>,
}

struct Property {
    key: &'static str,
    kind: &'static str,
    /// The only values there are; none where any will do.
    options: &'static [&'static str],
}

struct Action {
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const fn property(key: &'static str, kind: &'static str) -> Property {
    Property { key, kind, options: &[] }
}

const RENEWAL_TYPES: [&str; 5] = ["Auto-Renew", "Optional Extension", "Evergreen", "None", "Other"];
const NAMES: [&str; 7] = ["activate", "terminate", "supersede", "extend", "cancelAutoRenewal", "editRenewal", "undo"];

const PROPERTIES: [Property; 16] = [
    Property { key: "standard_renewalType", kind: "string", options: &RENEWAL_TYPES },
    property("otherRenewalType", "string"),
    property("effectiveDate", "date"),
    property("expirationDate", "date"),
    property("standard_initialTermLength", "duration"),
    property("standard_renewalTermLength", "duration"),
    property("standard_renewalsRemaining", "number"),
    property("standard_renewalOptOutDate", "date"),
    property("standard_renewalOptOutPeriod", "duration"),
    property("standard_terminationNoticePeriod", "duration"),
    property("standard_terminatedDate", "date"),
    property("standard_terminationEffectiveDate", "date"),
    property("standard_terminatingRecordId", "string"),
    property("standard_supersededDate", "date"),
    property("standard_supersessionEffectiveDate", "date"),
    property("standard_supersedingRecordId", "string"),
];

const UNDO: Property = Property { key: "standard_undoObligationAction", kind: "string", options: &NAMES };

const ACTIONS: [Action; 7] = [
    Action {
        name: "activate",
        required: &["standard_renewalType"],
        optional: &[
            "otherRenewalType",
            "effectiveDate",
            "expirationDate",
            "standard_initialTermLength",
            "standard_renewalTermLength",
            "standard_renewalsRemaining",
            "standard_renewalOptOutDate",
            "standard_renewalOptOutPeriod",
            "standard_terminationNoticePeriod",
        ],
    },
    Action {
        name: "terminate",
        required: &["standard_terminatedDate", "standard_terminationEffectiveDate"],
        optional: &["standard_terminatingRecordId"],
    },
    Action {
        name: "supersede",
        required: &["standard_supersededDate", "standard_supersessionEffectiveDate"],
        optional: &["standard_supersedingRecordId"],
    },
    Action { name: "extend", required: &[], optional: &["standard_renewalTermLength"] },
    Action { name: "cancelAutoRenewal", required: &[], optional: &[] },
    Action {
        name: "editRenewal",
        required: &["standard_renewalType"],
        optional: &[
            "otherRenewalType",
            "expirationDate",
            "standard_initialTermLength",
            "standard_renewalTermLength",
            "standard_renewalsRemaining",
            "standard_renewalOptOutDate",
            "standard_renewalOptOutPeriod",
        ],
    },
    Action { name: "undo", required: &["standard_undoObligationAction"], optional: &[] },
];

fn properties() -> impl Iterator<Item = &'static Property> {
    PROPERTIES.iter().chain(std::iter::once(&UNDO))
}

/// Checks an action, and wraps its values; faults name them below `action`.
///
/// # Errors
/// Every fault there is: an unknown type or property, a property of another action, one that is missing or malformed.
pub fn check_action(action: &Value) -> Result<CheckedAction, Vec<ArgumentFault>> {
    let name = action.get("type").unwrap_or(&Value::Null);
    let Some(variant) = ACTIONS.iter().find(|variant| name == variant.name) else { return Err(vec![no_action(name)]) };
    let mut faults = Vec::new();
    let mut notes = Vec::new();
    let mut sent = Map::new();
    for (key, value, path) in given(action, &mut faults) {
        let allowed = || variant.required.iter().chain(variant.optional).copied();
        let known = properties().find(|property| property.key == key && allowed().any(|name| name == key));
        let Some(property) = known else {
            faults.push(misplaced(variant, key, path));
            continue;
        };
        if sent.contains_key(key) {
            faults.push(ArgumentFault::new(path, "is given twice", "it once, within properties"));
            continue;
        }
        match wrap_one(property.kind, value, (&path, &mut notes)).and_then(|wrapped| chosen(property, wrapped)) {
            Ok(wrapped) => drop(sent.insert(key.to_owned(), wrapped)),
            Err(flaws) => {
                faults.extend(flaws.into_iter().map(|flaw| placed(flaw, &path)));
                // It is there, only wrong: it must not be called missing too.
                sent.insert(key.to_owned(), Value::Null);
            }
        }
    }
    for key in variant.required.iter().filter(|key| !sent.contains_key(**key)) {
        let message = format!("is required for {} and missing", variant.name);
        faults.push(ArgumentFault::new(format!("action.properties.{key}"), message, wanted(key)));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let takes_properties = !variant.required.is_empty() || !variant.optional.is_empty();
    let action = if takes_properties { json!({"type": name, "properties": sent}) } else { json!({"type": name}) };
    Ok(CheckedAction { action, notes })
}

fn no_action(name: &Value) -> ArgumentFault {
    let all = NAMES.join(", ");
    let meant = name.as_str().and_then(|name| closest(name, &NAMES));
    let expected =
        meant.map_or_else(|| format!("one of {all}"), |meant| format!("{meant} (did you mean that?), or one of {all}"));
    let message =
        if name.is_null() { "is required and missing".to_owned() } else { format!("{} is no action", shown(name)) };
    ArgumentFault::new("action.type", message, expected)
}

/// Each property with its value and path, those of `properties` first.
fn given<'a>(action: &'a Value, faults: &mut Vec<ArgumentFault>) -> Vec<(&'a str, &'a Value, String)> {
    let nested = action.get("properties");
    if let Some(wrong) = nested.filter(|nested| !nested.is_object()) {
        let message = format!("{} is no object", shown(wrong));
        faults.push(ArgumentFault::new("action.properties", message, "an object of property values"));
    }
    let nested = nested.and_then(Value::as_object).into_iter().flatten();
    let nested = nested.map(|(key, value)| (key.as_str(), value, format!("action.properties.{}", shorten(key, 100))));
    let beside =
        action.as_object().into_iter().flatten().filter(|(key, _)| !matches!(key.as_str(), "type" | "properties"));
    nested.chain(beside.map(|(key, value)| (key.as_str(), value, format!("action.{}", shorten(key, 100))))).collect()
}

fn misplaced(variant: &Action, key: &str, path: String) -> ArgumentFault {
    let allowed: Vec<&str> = variant.required.iter().chain(variant.optional).copied().collect();
    let owners: Vec<&str> =
        ACTIONS.iter().filter(|a| a.required.contains(&key) || a.optional.contains(&key)).map(|a| a.name).collect();
    match (allowed.is_empty(), owners.is_empty()) {
        (true, _) => ArgumentFault::new(path, format!("{} takes no properties", variant.name), "no properties"),
        (false, true) => unknown(key, allowed.into_iter(), path),
        (false, false) => {
            let message = format!("belongs to {}, not to {}", owners.join(" and "), variant.name);
            ArgumentFault::new(path, message, format!("one of {}", listed(allowed, LISTED)))
        }
    }
}

/// Refuses a value that is none of the property's options.
fn chosen(property: &Property, wrapped: Value) -> Result<Value, Vec<Flaw>> {
    let value = wrapped.get("value").and_then(Value::as_str).unwrap_or_default();
    if property.options.is_empty() || property.options.contains(&value) {
        return Ok(wrapped);
    }
    let all = property.options.join(", ");
    let expected = match closest(value, property.options) {
        Some(meant) => format!("{meant:?} (did you mean that?), or one of {all}"),
        None => format!("one of {all}"),
    };
    Err(vec![Flaw::of(&value.into(), "no option", expected)])
}

fn wanted(key: &str) -> String {
    let Some(property) = properties().find(|property| property.key == key) else { return "a value".into() };
    match (property.kind, property.options) {
        ("date", _) => "a date such as 2026-01-31".into(),
        ("duration", _) => "a duration such as P1Y".into(),
        ("number", _) => "a number".into(),
        (_, []) => "text".into(),
        (_, options) => format!("one of {}", options.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(action: &Value) -> String {
        let faults = check_action(action).unwrap_err();
        faults.iter().map(|f| format!("{}: {} | {}\n", f.path, f.message, f.expected.as_deref().unwrap())).collect()
    }

    #[test]
    fn plain_wrapped_and_flat_values_go_out_alike() {
        let expected = json!({"type": "terminate", "properties": {
            "standard_terminatedDate": {"type": "date", "value": "2026-01-31T00:00:00Z"},
            "standard_terminationEffectiveDate": {"type": "date", "value": "2026-02-28T00:00:00Z"}}});
        let plain = json!({"type": "terminate", "properties": {
            "standard_terminatedDate": "2026-01-31", "standard_terminationEffectiveDate": "2026-02-28"}});
        let flat = json!({"type": "terminate", "standard_terminatedDate": "2026-01-31", "standard_terminationEffectiveDate": "2026-02-28"});
        for action in [&expected, &plain, &flat] {
            assert_eq!(check_action(action).unwrap().action, expected, "{action}");
        }
        assert_eq!(check_action(&plain).unwrap().notes.len(), 2);
    }

    #[test]
    fn each_action_has_its_least_form() {
        let date = "2026-01-31T00:00:00Z";
        let table = [
            json!({"type": "activate", "properties": {"standard_renewalType": {"type": "string", "value": "None"}}}),
            json!({"type": "terminate", "properties": {"standard_terminatedDate": {"type": "date", "value": date},
                   "standard_terminationEffectiveDate": {"type": "date", "value": date}}}),
            json!({"type": "supersede", "properties": {"standard_supersededDate": {"type": "date", "value": date},
                   "standard_supersessionEffectiveDate": {"type": "date", "value": date}}}),
            json!({"type": "extend", "properties": {}}),
            json!({"type": "cancelAutoRenewal"}),
            json!({"type": "editRenewal", "properties": {"standard_renewalType": {"type": "string", "value": "Evergreen"}}}),
            json!({"type": "undo", "properties": {"standard_undoObligationAction": {"type": "string", "value": "terminate"}}}),
        ];
        for action in table {
            assert_eq!(check_action(&action).unwrap(), CheckedAction { action, notes: vec![] });
        }
        assert_eq!(
            check_action(&json!({"type": "extend"})).unwrap().action,
            json!({"type": "extend", "properties": {}})
        );
        assert_eq!(
            check_action(&json!({"type": "cancelAutoRenewal", "properties": {}})).unwrap().action,
            json!({"type": "cancelAutoRenewal"})
        );
    }

    #[test]
    fn what_is_wrong_is_named_in_full() {
        assert!(
            refused(&json!({"type": "Terminate"}))
                .contains("action.type: \"Terminate\" is no action | terminate (did you mean")
        );
        assert!(refused(&json!({})).contains("action.type: is required and missing"));
        assert!(refused(&json!("terminate")).contains("action.type"));
        let faults = refused(
            &json!({"type": "terminate", "properties": {"standard_terminatedDate": "soon", "effectiveDate": "2026-01-01", "standard_terminatedDat": 1}}),
        );
        let lines: Vec<&str> = faults.lines().collect();
        assert_eq!(
            lines,
            [
                "action.properties.standard_terminatedDate: \"soon\" is no date | a date such as 2026-01-31, or with a time 2026-01-31T09:00:00Z",
                "action.properties.effectiveDate: belongs to activate, not to terminate | one of standard_terminatedDate, standard_terminationEffectiveDate, standard_terminatingRecordId",
                "action.properties.standard_terminatedDat: is no property here | standard_terminatedDate (did you mean that?)",
                "action.properties.standard_terminationEffectiveDate: is required for terminate and missing | a date such as 2026-01-31",
            ]
        );
        let renewal = refused(&json!({"type": "activate", "properties": {"standard_renewalType": "auto-renew"}}));
        assert!(renewal.contains("\"Auto-Renew\" (did you mean that?)"), "{renewal}");
        assert!(refused(&json!({"type": "cancelAutoRenewal", "properties": {"x": 1}})).contains("takes no properties"));
        let twice = json!({"type": "extend", "standard_renewalTermLength": "P1Y", "properties": {"standard_renewalTermLength": "P2Y"}});
        assert!(refused(&twice).contains("given twice"));
        assert!(refused(&json!({"type": "extend", "properties": 5})).contains("5 is no object"));
    }
}
