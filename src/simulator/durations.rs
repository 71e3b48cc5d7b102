//! Durations: objects on workflows, ISO-8601 text on records (ironclad-api.md §15.5).

use serde_json::Value;

/// `{"years":1,"days":4}` as `P1Y4D`; none when it is no duration object.
pub(crate) fn iso(value: &Value) -> Option<String> {
    let map = value.as_object()?;
    let mut text = String::from("P");
    for (unit, letter) in [("years", 'Y'), ("months", 'M'), ("weeks", 'W'), ("days", 'D')] {
        let amount = map.get(unit).and_then(Value::as_u64).unwrap_or_default();
        if amount > 0 {
            text.push_str(&format!("{amount}{letter}"));
        }
    }
    Some(if text == "P" { String::from("P0D") } else { text })
}

/// The whole years of a duration object, at least one, for yearly prices.
pub(crate) fn years(value: &Value) -> f64 {
    let part = |unit: &str| value.get(unit).and_then(Value::as_f64).unwrap_or_default();
    let total = part("years") + part("months") / 12.0 + part("weeks") / 52.0 + part("days") / 365.0;
    if total > 0.0 { total } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_become_iso_text() {
        assert_eq!(iso(&json!({ "years": 10, "months": 3, "weeks": 2, "days": 1 })).as_deref(), Some("P10Y3M2W1D"));
        assert_eq!(iso(&json!({ "days": 0 })).as_deref(), Some("P0D"));
        assert_eq!(iso(&json!("P1Y")), None);
    }
}
