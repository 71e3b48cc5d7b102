//! Whether a record property is well formed: known, of its metadata type, with a value of that type (§6.2).

use serde_json::Value;

use super::clock::parse_instant;
use super::record_schema;

/// Checks one `{type, value}`.
///
/// # Errors
/// The message to answer with.
pub(crate) fn check_property(key: &str, property: &Value) -> Result<(), String> {
    let Some(expected) = record_schema::property_type(key) else { return Err(format!("unknown property {key}")) };
    let (Some(kind), Some(value)) = (property.get("type").and_then(Value::as_str), property.get("value")) else {
        return Err(format!("property {key} must have a type and a value"));
    };
    if kind != expected {
        return Err(format!("property {key} must have the type {expected}"));
    }
    if suits(kind, value) { Ok(()) } else { Err(format!("invalid {kind} value for property {key}")) }
}

fn suits(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    let member = |name: &str| value.get(name).and_then(Value::as_str);
    match kind {
        "string" | "playbookClause" => text.is_some(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "date" => text.is_some_and(|text| parse_instant(text).is_some()),
        "duration" => text.is_some_and(is_iso_duration),
        "email" => text.is_some_and(|text| text.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'))),
        "monetary_amount" => member("currency").is_some() && value.get("amount").is_some_and(Value::is_number),
        "address" => text.is_some() || value.get("lines").is_some_and(Value::is_array),
        "clause" => value.is_object(),
        "array" => value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(Value::is_string)),
        "reference" => member("recordId").is_some(),
        _ => false,
    }
}

/// `P` and at least one number with a unit of Y, M, W or D.
fn is_iso_duration(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('P') else { return false };
    let mut digits = 0_usize;
    let mut units = 0_usize;
    for c in rest.chars() {
        match c {
            '0'..='9' => digits = digits.saturating_add(1),
            'Y' | 'M' | 'W' | 'D' if digits > 0 => {
                digits = 0;
                units = units.saturating_add(1);
            }
            _ => return false,
        }
    }
    digits == 0 && units > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_property_must_be_known_and_of_its_metadata_type() {
        assert!(check_property("counterpartyName", &json!({ "type": "string", "value": "Acme" })).is_ok());
        let wrong = check_property("counterpartyName", &json!({ "type": "number", "value": 1 })).expect_err("type");
        assert!(wrong.contains("string"));
        assert_eq!(check_property("colour", &json!({})).expect_err("unknown"), "unknown property colour");
    }

    #[test]
    fn durations_are_iso_text() {
        assert!(is_iso_duration("P10Y3M2W1D"));
        for bad in ["", "P", "P1", "1Y", "PY", "P1H"] {
            assert!(!is_iso_duration(bad), "{bad}");
        }
    }
}
