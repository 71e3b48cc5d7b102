//! Record actions (`POST /records/{id}/actions`, ironclad-api.md §9.3). They note facts on the record and start nothing.
//! Which action suits which status is only hinted at by the vendor; the table here refuses what makes no sense.

use serde_json::{Map, Value, json};
use time::Date;

use super::calendar::{Term, day, midnight};
use super::lifecycle::{Stage, date, number, stage, term, text};

/// Why an action is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActionFault {
    /// Error code; `NOT_FOUND` goes with HTTP 404, all others with 400.
    pub(crate) code: &'static str,
    /// What is wrong, for people.
    pub(crate) message: String,
    /// The part of the body to blame.
    pub(crate) param: Option<String>,
}

impl ActionFault {
    /// HTTP status of the refusal.
    pub(crate) fn status(&self) -> u16 {
        if self.code == "NOT_FOUND" { 404 } else { 400 }
    }

    fn missing(param: &str) -> Self {
        Self { code: "MISSING_PARAM", message: format!("missing {param}"), param: Some(param.to_owned()) }
    }

    fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self { code: "INVALID_PARAM", message: message.into(), param: Some(param.to_owned()) }
    }

    fn state(message: impl Into<String>) -> Self {
        Self { code: "INVALID_STATE", message: message.into(), param: None }
    }
}

/// Values of `standard_renewalType`.
const RENEWAL_TYPES: [&str; 5] = ["Auto-Renew", "Optional Extension", "Evergreen", "None", "Other"];
/// What `activate` may set besides the renewal type; `editRenewal` may set all but the first and the last.
const RENEWAL_FACTS: [&str; 9] = [
    "effectiveDate",
    "otherRenewalType",
    "expirationDate",
    "standard_initialTermLength",
    "standard_renewalTermLength",
    "standard_renewalsRemaining",
    "standard_renewalOptOutDate",
    "standard_renewalOptOutPeriod",
    "standard_terminationNoticePeriod",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Activate,
    Terminate,
    Supersede,
    Extend,
    CancelAutoRenewal,
    EditRenewal,
    Undo,
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "activate" => Self::Activate,
            "terminate" => Self::Terminate,
            "supersede" => Self::Supersede,
            "extend" => Self::Extend,
            "cancelAutoRenewal" => Self::CancelAutoRenewal,
            "editRenewal" => Self::EditRenewal,
            "undo" => Self::Undo,
            _ => return None,
        })
    }

    const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Activate | Self::EditRenewal => &["standard_renewalType"],
            Self::Terminate => &["standard_terminatedDate", "standard_terminationEffectiveDate"],
            Self::Supersede => &["standard_supersededDate", "standard_supersessionEffectiveDate"],
            Self::Undo => &["standard_undoObligationAction"],
            Self::Extend | Self::CancelAutoRenewal => &[],
        }
    }

    fn allows(self, key: &str) -> bool {
        let optional: &[&str] = match self {
            Self::Activate => &RENEWAL_FACTS,
            Self::EditRenewal => RENEWAL_FACTS.get(1..8).unwrap_or_default(),
            Self::Terminate => &["standard_terminatingRecordId"],
            Self::Supersede => &["standard_supersedingRecordId"],
            Self::Extend => &["standard_renewalTermLength"],
            Self::CancelAutoRenewal | Self::Undo => &[],
        };
        self.required().contains(&key) || optional.contains(&key)
    }
}

/// The record's properties after the action, or why it cannot be taken on the day `today`.
pub(crate) fn apply(
    action: &Value,
    properties: &Map<String, Value>,
    today: Date,
) -> Result<Map<String, Value>, ActionFault> {
    let (kind, given) = read(action)?;
    let Some(stage) = stage(properties, today) else {
        return Err(ActionFault { code: "NOT_FOUND", message: "no obligations found".to_owned(), param: None });
    };
    let mut after = properties.clone();
    match kind {
        Kind::Activate => activate(stage, given, &mut after)?,
        Kind::Terminate | Kind::Supersede => end_early(stage, given, &mut after)?,
        Kind::Extend => extend(stage, given, &mut after)?,
        Kind::CancelAutoRenewal => cancel_auto_renewal(stage, &mut after)?,
        Kind::EditRenewal => {
            in_force(stage)?;
            after.extend(given);
        }
        Kind::Undo => undo(&given, &mut after)?,
    }
    Ok(after)
}

/// The kind of an action and its properties, when its shape is right.
fn read(action: &Value) -> Result<(Kind, Map<String, Value>), ActionFault> {
    let Some(members) = action.as_object() else {
        return Err(ActionFault::invalid("body", "expected an object with type and properties"));
    };
    if let Some(key) = members.keys().find(|key| !["type", "properties"].contains(&key.as_str())) {
        return Err(ActionFault::invalid(key, format!("unknown member {key}")));
    }
    let name = members.get("type").ok_or_else(|| ActionFault::missing("type"))?;
    let kind = name
        .as_str()
        .and_then(Kind::named)
        .ok_or_else(|| ActionFault::invalid("type", format!("unknown record action {name}")))?;
    let given = match members.get("properties") {
        Some(Value::Object(given)) => given.clone(),
        None if kind == Kind::CancelAutoRenewal => Map::new(),
        None => return Err(ActionFault::missing("properties")),
        Some(_) => return Err(ActionFault::invalid("properties", "expected an object")),
    };
    for (key, property) in &given {
        let param = format!("properties.{key}");
        if !kind.allows(key) {
            return Err(ActionFault::invalid(&param, format!("unknown property {key}")));
        }
        check_property(key, property).map_err(|why| ActionFault::invalid(&param, format!("{key}: {why}")))?;
    }
    match kind.required().iter().find(|key| !given.contains_key(**key)) {
        Some(key) => Err(ActionFault::missing(&format!("properties.{key}"))),
        None => Ok((kind, given)),
    }
}

fn check_property(key: &str, property: &Value) -> Result<(), String> {
    let wanted = match key {
        "standard_renewalsRemaining" => "number",
        _ if key.ends_with("Date") => "date",
        _ if key.ends_with("Length") || key.ends_with("Period") => "duration",
        _ => "string",
    };
    let Some(members) = property.as_object().filter(|members| members.len() == 2) else {
        return Err("expected {\"type\": …, \"value\": …}".to_owned());
    };
    if members.get("type").and_then(Value::as_str) != Some(wanted) {
        return Err(format!("type must be {wanted}"));
    }
    let value = members.get("value").ok_or("a value is missing")?;
    let words = value.as_str();
    let fine = match (key, wanted) {
        (_, "number") => value.is_u64(),
        (_, "date") => words.and_then(day).is_some(),
        (_, "duration") => words.and_then(Term::parse).is_some(),
        ("standard_renewalType", _) => words.is_some_and(|word| RENEWAL_TYPES.contains(&word)),
        ("standard_undoObligationAction", _) => words.and_then(Kind::named).is_some(),
        _ => words.is_some_and(|text| !text.trim().is_empty()),
    };
    if fine { Ok(()) } else { Err(format!("{value} is no {wanted} that is accepted here")) }
}

fn in_force(stage: Stage) -> Result<(), ActionFault> {
    if stage.is_active() {
        return Ok(());
    }
    let (_, enhanced) = stage.names();
    Err(ActionFault::state(format!("this action needs an active contract, and the contract is {enhanced}")))
}

fn activate(stage: Stage, given: Map<String, Value>, after: &mut Map<String, Value>) -> Result<(), ActionFault> {
    if stage.is_active() {
        return Err(ActionFault::state("the contract is already active"));
    }
    // The dates on which the contract was ended stay as history; the days from which the end holds must go.
    for key in ["standard_terminationEffectiveDate", "standard_supersessionEffectiveDate"] {
        after.shift_remove(key);
    }
    // A new start or term makes the old end meaningless unless a new one comes with it.
    if given.contains_key("effectiveDate") || given.contains_key("standard_initialTermLength") {
        after.shift_remove("expirationDate");
    }
    after.extend(given);
    Ok(())
}

fn end_early(stage: Stage, given: Map<String, Value>, after: &mut Map<String, Value>) -> Result<(), ActionFault> {
    in_force(stage)?;
    if matches!(stage, Stage::Terminating(_) | Stage::Superseding(_)) {
        return Err(ActionFault::state(format!("the contract is already {}", stage.names().1)));
    }
    after.extend(given);
    Ok(())
}

fn extend(stage: Stage, given: Map<String, Value>, after: &mut Map<String, Value>) -> Result<(), ActionFault> {
    in_force(stage)?;
    if text(after, "standard_renewalType") != Some("Optional Extension") {
        return Err(ActionFault::state("only contracts with an optional extension can be extended"));
    }
    let left = number(after, "standard_renewalsRemaining");
    if left == Some(0) {
        return Err(ActionFault::state("no extension remains"));
    }
    after.extend(given);
    let length = term(after, "standard_renewalTermLength")
        .ok_or_else(|| ActionFault::missing("properties.standard_renewalTermLength"))?;
    let end =
        length.after(end_of_term(after)?).ok_or_else(|| ActionFault::state("the extension leaves the calendar"))?;
    let renewed = number(after, "standard_timesRenewed").unwrap_or(0) + 1;
    put(after, "expirationDate", "date", &json!(midnight(end)));
    put(after, "standard_timesRenewed", "number", &json!(renewed));
    if let Some(left) = left {
        put(after, "standard_renewalsRemaining", "number", &json!(left - 1));
    }
    Ok(())
}

/// The day on which the running term ends.
fn end_of_term(properties: &Map<String, Value>) -> Result<Date, ActionFault> {
    let start = || date(properties, "effectiveDate").or_else(|| date(properties, "standard_executedDate"));
    date(properties, "expirationDate")
        .or_else(|| term(properties, "standard_initialTermLength")?.after(start()?))
        .ok_or_else(|| ActionFault::state("the contract has no end that could be moved"))
}

fn cancel_auto_renewal(stage: Stage, after: &mut Map<String, Value>) -> Result<(), ActionFault> {
    in_force(stage)?;
    if text(after, "standard_renewalType") != Some("Auto-Renew") {
        return Err(ActionFault::state("the contract does not renew itself"));
    }
    // The end of the running term must stay what it is now that renewals are no longer counted out.
    if let Stage::AutoRenewing(end) | Stage::Active(end) = stage {
        put(after, "expirationDate", "date", &json!(midnight(end)));
    }
    put(after, "standard_renewalType", "string", &json!("None"));
    Ok(())
}

/// Takes an action back as far as the properties still tell what it was.
fn undo(given: &Map<String, Value>, after: &mut Map<String, Value>) -> Result<(), ActionFault> {
    let name = text(given, "standard_undoObligationAction").unwrap_or_default().to_owned();
    let nothing = || ActionFault::state(format!("there is no {name} to undo"));
    match Kind::named(&name).ok_or_else(nothing)? {
        Kind::Terminate => take_back(
            after,
            ["standard_terminationEffectiveDate", "standard_terminatedDate", "standard_terminatingRecordId"],
        )
        .ok_or_else(nothing),
        Kind::Supersede => take_back(
            after,
            ["standard_supersessionEffectiveDate", "standard_supersededDate", "standard_supersedingRecordId"],
        )
        .ok_or_else(nothing),
        Kind::Extend => {
            let renewed = number(after, "standard_timesRenewed").filter(|times| *times > 0).ok_or_else(nothing)?;
            let length = term(after, "standard_renewalTermLength").ok_or_else(nothing)?;
            let end = date(after, "expirationDate").and_then(|end| length.before(end)).ok_or_else(nothing)?;
            put(after, "expirationDate", "date", &json!(midnight(end)));
            put(after, "standard_timesRenewed", "number", &json!(renewed - 1));
            if let Some(left) = number(after, "standard_renewalsRemaining") {
                put(after, "standard_renewalsRemaining", "number", &json!(left.saturating_add(1)));
            }
            Ok(())
        }
        Kind::CancelAutoRenewal => {
            let cancelled = text(after, "standard_renewalType") == Some("None");
            if !cancelled || !after.contains_key("standard_renewalTermLength") {
                return Err(nothing());
            }
            put(after, "standard_renewalType", "string", &json!("Auto-Renew"));
            Ok(())
        }
        Kind::Activate | Kind::EditRenewal | Kind::Undo => Err(nothing()),
    }
}

fn take_back(after: &mut Map<String, Value>, keys: [&str; 3]) -> Option<()> {
    let [effective, ..] = keys;
    after.get(effective)?;
    for key in keys {
        after.shift_remove(key);
    }
    Some(())
}

fn put(properties: &mut Map<String, Value>, key: &str, kind: &str, value: &Value) {
    properties.insert(key.to_owned(), json!({ "type": kind, "value": value }));
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::simulator::lifecycle::{ActionFault, apply, contract_status};

    const TODAY: Date = date!(2026 - 06 - 01);

    fn dated(value: &str) -> Value {
        json!({ "type": "date", "value": value })
    }

    /// A contract that ends on the first of October 2026.
    fn contract(renewal_type: &str) -> Map<String, Value> {
        let value = json!({
            "effectiveDate": dated("2025-10-01"),
            "standard_initialTermLength": { "type": "duration", "value": "P1Y" },
            "standard_renewalType": { "type": "string", "value": renewal_type },
            "standard_renewalTermLength": { "type": "duration", "value": "P6M" },
            "standard_renewalsRemaining": { "type": "number", "value": 1 },
        });
        value.as_object().unwrap().clone()
    }

    fn terminate(on: &str) -> Value {
        json!({ "type": "terminate", "properties": {
            "standard_terminatedDate": dated("2026-05-20"), "standard_terminationEffectiveDate": dated(on) } })
    }

    fn activate_from(on: &str) -> Value {
        json!({ "type": "activate", "properties": {
            "standard_renewalType": { "type": "string", "value": "None" }, "effectiveDate": dated(on) } })
    }

    fn undo_of(name: &str) -> Value {
        json!({ "type": "undo", "properties": { "standard_undoObligationAction": { "type": "string", "value": name } } })
    }

    fn run(action: &Value, properties: &Map<String, Value>) -> Map<String, Value> {
        apply(action, properties, TODAY).unwrap()
    }

    fn refusal(action: &Value, properties: &Map<String, Value>) -> ActionFault {
        apply(action, properties, TODAY).unwrap_err()
    }

    fn enhanced(properties: &Map<String, Value>) -> Value {
        contract_status(properties, TODAY).unwrap()["enhancedStatus"].clone()
    }

    #[test]
    fn a_record_without_a_lifecycle_has_no_obligations() {
        let fault = refusal(&terminate("2026-07-01"), &Map::new());
        assert_eq!((fault.code, fault.message.as_str(), fault.status()), ("NOT_FOUND", "no obligations found", 404));
    }

    #[test]
    fn terminating_keeps_the_contract_active_until_its_day() {
        assert_eq!(enhanced(&run(&terminate("2026-07-01"), &contract("None"))), "terminating");
        let over = run(&terminate("2026-06-01"), &contract("None"));
        assert_eq!(enhanced(&over), "inactive");
        assert_eq!(refusal(&terminate("2026-08-01"), &over).code, "INVALID_STATE");
    }

    #[test]
    fn a_contract_can_be_ended_only_once() {
        let ending = run(&terminate("2026-07-01"), &contract("None"));
        let supersede = json!({ "type": "supersede", "properties": {
            "standard_supersededDate": dated("2026-05-20"), "standard_supersessionEffectiveDate": dated("2026-09-01"),
            "standard_supersedingRecordId": { "type": "string", "value": "IC-9" } } });
        assert_eq!(refusal(&supersede, &ending).code, "INVALID_STATE");
        assert_eq!(enhanced(&run(&supersede, &contract("None"))), "superseding");
    }

    #[test]
    fn an_ended_contract_can_be_activated_now_or_later() {
        let over = run(&terminate("2026-06-01"), &contract("None"));
        assert_eq!(enhanced(&run(&activate_from("2026-09-01"), &over)), "activating");
        assert_eq!(enhanced(&run(&activate_from("2026-06-01"), &over)), "active");
        assert_eq!(refusal(&activate_from("2026-06-01"), &contract("None")).code, "INVALID_STATE");
    }

    #[test]
    fn an_extension_moves_the_end_and_uses_itself_up() {
        let extend = json!({ "type": "extend", "properties": {} });
        let extended = run(&extend, &contract("Optional Extension"));
        assert_eq!(text(&extended, "expirationDate"), Some("2027-04-01T00:00:00.000Z"));
        assert_eq!(enhanced(&extended), "extending");
        assert_eq!(refusal(&extend, &extended).message, "no extension remains");
        assert_eq!(refusal(&extend, &contract("None")).code, "INVALID_STATE");
        assert_eq!(refusal(&json!({ "type": "extend" }), &contract("None")).param.as_deref(), Some("properties"));
    }

    #[test]
    fn a_cancelled_auto_renewal_lets_the_contract_expire() {
        let cancel = json!({ "type": "cancelAutoRenewal" });
        assert_eq!(enhanced(&contract("Auto-Renew")), "auto-renewing");
        let cancelled = run(&cancel, &contract("Auto-Renew"));
        assert_eq!(enhanced(&cancelled), "expiring");
        assert_eq!(refusal(&cancel, &cancelled).code, "INVALID_STATE");
        let with_property =
            json!({ "type": "cancelAutoRenewal", "properties": { "effectiveDate": dated("2026-01-01") } });
        assert_eq!(refusal(&with_property, &contract("Auto-Renew")).param.as_deref(), Some("properties.effectiveDate"));
    }

    #[test]
    fn editing_the_renewal_sets_what_was_given() {
        let edit = json!({ "type": "editRenewal", "properties": { "standard_renewalType": { "type": "string", "value": "Evergreen" } } });
        assert_eq!(enhanced(&run(&edit, &contract("None"))), "evergreen");
        let mut too_much = edit.clone();
        too_much["properties"]["effectiveDate"] = dated("2026-01-01");
        assert_eq!(refusal(&too_much, &contract("None")).message, "unknown property effectiveDate");
        too_much["properties"].as_object_mut().unwrap().remove("effectiveDate");
        too_much["properties"]["standard_terminationNoticePeriod"] = json!({ "type": "duration", "value": "P30D" });
        assert_eq!(refusal(&too_much, &contract("None")).code, "INVALID_PARAM");
    }

    #[test]
    fn what_can_be_told_from_the_properties_can_be_undone() {
        for (action, renewal_type) in [
            (terminate("2026-07-01"), "None"),
            (json!({ "type": "extend", "properties": {} }), "Optional Extension"),
            (json!({ "type": "cancelAutoRenewal", "properties": {} }), "Auto-Renew"),
        ] {
            let before = contract(renewal_type);
            let name = action["type"].as_str().unwrap();
            let back = run(&undo_of(name), &run(&action, &before));
            assert_eq!(enhanced(&back), enhanced(&before), "{name}");
        }
        for name in ["terminate", "supersede", "extend", "activate", "editRenewal", "undo"] {
            assert_eq!(refusal(&undo_of(name), &contract("None")).code, "INVALID_STATE", "{name}");
        }
    }

    #[test]
    fn the_shape_of_an_action_is_checked_before_the_record() {
        let bad = |action: Value| refusal(&action, &Map::new());
        assert_eq!(bad(json!([])).code, "INVALID_PARAM");
        assert_eq!(bad(json!({ "properties": {} })).param.as_deref(), Some("type"));
        assert_eq!(bad(json!({ "type": "renew", "properties": {} })).param.as_deref(), Some("type"));
        assert_eq!(bad(json!({ "type": "terminate", "note": 1 })).param.as_deref(), Some("note"));
        assert_eq!(bad(json!({ "type": "activate", "properties": [] })).param.as_deref(), Some("properties"));
        let missing =
            bad(json!({ "type": "terminate", "properties": { "standard_terminatedDate": dated("2026-01-01") } }));
        assert_eq!((missing.code, missing.status()), ("MISSING_PARAM", 400));
        assert_eq!(missing.param.as_deref(), Some("properties.standard_terminationEffectiveDate"));
    }

    #[test]
    fn property_values_are_checked_against_their_types() {
        let with = |key: &str, property: Value| json!({ "type": "activate", "properties": { "standard_renewalType": { "type": "string", "value": "None" }, key: property } });
        for (key, property) in [
            ("effectiveDate", json!("2026-01-01")),
            ("effectiveDate", json!({ "type": "string", "value": "2026-01-01" })),
            ("effectiveDate", json!({ "type": "date", "value": "soon" })),
            ("effectiveDate", json!({ "type": "date", "value": "2026-01-01", "note": 1 })),
            ("standard_renewalTermLength", json!({ "type": "duration", "value": { "years": 1 } })),
            ("standard_renewalsRemaining", json!({ "type": "number", "value": -1 })),
            ("standard_renewalType", json!({ "type": "string", "value": "Sometimes" })),
            ("counterpartyName", json!({ "type": "string", "value": "x" })),
        ] {
            let fault = refusal(&with(key, property.clone()), &contract("None"));
            assert_eq!((fault.code, fault.param), ("INVALID_PARAM", Some(format!("properties.{key}"))), "{property}");
        }
    }
}
