//! Reads a duration in either of Ironclad's two dialects.
//!
//! Workflows want `{"years": 1, "months": 6}`, records want `P1Y6M` (ironclad-api.md §6); either is taken for both,
//! because they say the same and a model mixes them up. Hours and fractions have no place in either.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Flaw, Read, flawed, number, unknown_members};

const UNITS: [&str; 4] = ["years", "months", "weeks", "days"];
const LETTERS: [char; 4] = ['Y', 'M', 'W', 'D'];
const EXPECTED: &str = "a duration such as {\"years\":1,\"months\":6}, with at least one of years, months, weeks, days";

/// The amount of each unit; `None` where the unit is not given.
type Amounts = [Option<u32>; 4];

/// A duration as workflows want it, an object.
///
/// # Errors
/// Each unit that is unknown, or no whole number of at least 0; no unit at all.
pub fn duration_object(value: &Value) -> Read<'_> {
    if let Some(amounts) = value.as_str().and_then(from_iso) {
        return Ok(Cow::Owned(to_object(&amounts).into()));
    }
    let Some(members) = value.as_object() else { return flawed(value, "no duration", EXPECTED) };
    let amounts = from_object(value, members)?;
    let unchanged = members.values().all(Value::is_u64);
    Ok(if unchanged { Cow::Borrowed(value) } else { Cow::Owned(to_object(&amounts).into()) })
}

/// A duration as records want it, ISO 8601 text.
///
/// # Errors
/// As for [`duration_object`].
pub fn duration_text(value: &Value) -> Read<'_> {
    if value.as_str().and_then(from_iso).is_some() {
        return Ok(Cow::Borrowed(value));
    }
    let Some(members) = value.as_object() else {
        return flawed(value, "no duration", "a duration such as P1Y6M or {\"years\":1,\"months\":6}");
    };
    Ok(Cow::Owned(to_iso(&from_object(value, members)?).into()))
}

fn from_object(value: &Value, members: &Map<String, Value>) -> Result<Amounts, Vec<Flaw>> {
    let mut flaws = unknown_members(members, &UNITS);
    let mut amounts = Amounts::default();
    for (unit, amount) in UNITS.iter().zip(&mut amounts) {
        let Some(given) = members.get(*unit) else { continue };
        *amount = whole(given);
        if amount.is_none() {
            let flaw = Flaw::of(given, "no whole number", format!("a whole number of {unit}, 0 or more"));
            flaws.push(flaw.under(&format!(".{unit}")));
        }
    }
    if flaws.is_empty() && amounts.iter().all(Option::is_none) {
        flaws.push(Flaw::of(value, "no duration", EXPECTED));
    }
    if flaws.is_empty() { Ok(amounts) } else { Err(flaws) }
}

fn whole(value: &Value) -> Option<u32> {
    let number = number(value).ok()?;
    if let Some(whole) = number.as_u64() {
        return u32::try_from(whole).ok();
    }
    // Some clients write every number with a fraction: 12.0 months are 12.
    let text = number.to_string();
    text.strip_suffix(".0")?.parse().ok()
}

fn from_iso(text: &str) -> Option<Amounts> {
    let mut rest = text.strip_prefix('P')?;
    let mut amounts = Amounts::default();
    for (letter, amount) in LETTERS.iter().zip(&mut amounts) {
        let Some((digits, after)) = rest.split_once(*letter) else { continue };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *amount = Some(digits.parse().ok()?);
        rest = after;
    }
    (rest.is_empty() && amounts.iter().any(Option::is_some)).then_some(amounts)
}

fn to_object(amounts: &Amounts) -> Map<String, Value> {
    let given = UNITS.iter().zip(amounts).filter_map(|(unit, amount)| Some((*unit, (*amount)?)));
    given.map(|(unit, amount)| (unit.to_owned(), amount.into())).collect()
}

fn to_iso(amounts: &Amounts) -> String {
    let given = LETTERS.iter().zip(amounts).filter_map(|(letter, amount)| Some(format!("{}{letter}", (*amount)?)));
    std::iter::once("P".to_owned()).chain(given).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn both_dialects_are_taken_for_both() {
        let (object, text) = (json!({"years": 1, "months": 6, "weeks": 0}), json!("P1Y6M0W"));
        assert_eq!(duration_object(&text).unwrap().into_owned(), object);
        assert_eq!(duration_text(&object).unwrap().into_owned(), text);
        assert!(matches!(duration_object(&object), Ok(Cow::Borrowed(_))));
        assert!(matches!(duration_text(&text), Ok(Cow::Borrowed(_))));
        assert_eq!(
            duration_object(&json!({"days": "30", "years": 2.0})).unwrap().into_owned(),
            json!({"years": 2, "days": 30})
        );
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let table = [
            (json!({}), "", "no duration"),
            (json!("1 year"), "", "no duration"),
            (json!("P"), "", "no duration"),
            (json!("PT5H"), "", "no duration"),
            (json!("P1M1Y"), "", "no duration"),
            (json!("P1.5Y"), "", "no duration"),
            (json!(12), "", "no duration"),
            (json!({"months": -1}), ".months", "no whole number"),
            (json!({"months": 1.5}), ".months", "no whole number"),
            (json!({"month": 1}), ".month", "no member"),
        ];
        for (value, below, message) in table {
            for flaws in [duration_object(&value).unwrap_err(), duration_text(&value).unwrap_err()] {
                assert!(flaws.iter().any(|f| f.below == below && f.message.contains(message)), "{value}: {flaws:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_duration_survives_the_way_there_and_back(amounts in any::<[Option<u32>; 4]>()) {
            prop_assume!(amounts.iter().any(Option::is_some));
            prop_assert_eq!(from_iso(&to_iso(&amounts)), Some(amounts));
        }
    }
}
