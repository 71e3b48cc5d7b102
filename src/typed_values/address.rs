//! Reads a postal address by the rules that Ironclad checks on launch (ironclad-api.md §6.1).
//!
//! `lines` may also be one text with line breaks: a table's column has no room for a list in the published schema.

use serde_json::{Map, Value};

use super::{Flaw, Read, flawed, settled, unknown_members};

const MEMBERS: [&str; 5] = ["lines", "locality", "region", "postcode", "country"];
const MOST_LINES: usize = 4;
const EXPECTED: &str = "an address such as {\"lines\":[\"325 5th Street\"],\"locality\":\"San Francisco\",\
                        \"region\":\"California\",\"postcode\":\"94107\",\"country\":\"USA\"}";

/// An address object; region and postcode must be there in the United States only.
///
/// # Errors
/// Each member that is missing, unknown or malformed.
pub fn address(value: &Value) -> Read<'_> {
    let Some(given) = value.as_object() else { return flawed(value, "no address", EXPECTED) };
    let mut flaws = unknown_members(given, &MEMBERS);
    let mut mended = given.clone();
    if let Some(text) = given.get("lines").and_then(Value::as_str) {
        let lines: Vec<Value> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect();
        mended.insert("lines".into(), lines.into());
    }
    flaws.extend(line_flaws(mended.get("lines")));
    for member in ["locality", "country"] {
        flaws.extend(text_flaw(given, member, true));
    }
    let american = given.get("country").and_then(Value::as_str).is_some_and(is_united_states);
    for member in ["region", "postcode"] {
        flaws.extend(text_flaw(given, member, american));
    }
    settled(value, given, mended, flaws)
}

fn line_flaws(lines: Option<&Value>) -> Option<Flaw> {
    let expected = "1 to 4 lines of text, such as [\"325 5th Street\",\"Suite 200\"]";
    let Some(lines) = lines else { return Some(Flaw::missing("lines", expected)) };
    let full = |line: &Value| line.as_str().is_some_and(|text| !text.trim().is_empty());
    let sound = |all: &Vec<Value>| (1..=MOST_LINES).contains(&all.len()) && all.iter().all(full);
    let wrong = !lines.as_array().is_some_and(sound);
    wrong.then(|| Flaw::of(lines, "no list of 1 to 4 address lines", expected).under(".lines"))
}

fn text_flaw(given: &Map<String, Value>, member: &str, needed: bool) -> Option<Flaw> {
    let expected = match member {
        "region" => "the region or state, such as \"California\"",
        "postcode" => "the postcode as text, such as \"94107\"",
        "country" => "the country, such as \"USA\"",
        _ => "the city or town, such as \"San Francisco\"",
    };
    match given.get(member) {
        None => needed.then(|| Flaw::missing(member, expected)),
        Some(value) if value.as_str().is_some_and(|text| !text.trim().is_empty()) => None,
        Some(value) => Some(Flaw::of(value, "no text", expected).under(&format!(".{member}"))),
    }
}

fn is_united_states(country: &str) -> bool {
    let letters: String = country.chars().filter(|c| !c.is_whitespace() && *c != '.').collect();
    matches!(letters.to_lowercase().as_str(), "us" | "usa" | "unitedstates" | "unitedstatesofamerica")
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_united_states_need_more_than_elsewhere() {
        let short = |country: &str| json!({"lines": ["1 Main"], "locality": "X", "country": country});
        assert!(matches!(address(&short("Germany")), Ok(Cow::Borrowed(_))));
        for country in ["USA", "U.S.A.", "United States", "united states of america", "US"] {
            let value = short(country);
            let places: Vec<String> = address(&value).unwrap_err().into_iter().map(|flaw| flaw.below).collect();
            assert_eq!(places, [".region", ".postcode"], "{country}");
        }
    }

    #[test]
    fn lines_as_one_text_are_split() {
        let value = json!({"lines": "1 Main\nFloor 2\n", "locality": "X", "country": "France"});
        assert_eq!(address(&value).unwrap()["lines"], json!(["1 Main", "Floor 2"]));
    }

    #[test]
    fn every_flaw_is_named() {
        let table = [
            (json!("1 Main Street"), ""),
            (json!({"locality": "X", "country": "France"}), ".lines"),
            (json!({"lines": [], "locality": "X", "country": "France"}), ".lines"),
            (json!({"lines": ["a", "b", "c", "d", "e"], "locality": "X", "country": "France"}), ".lines"),
            (json!({"lines": ["a", 5], "locality": "X", "country": "France"}), ".lines"),
            (json!({"lines": ["a"], "country": "France"}), ".locality"),
            (json!({"lines": ["a"], "locality": "X"}), ".country"),
            (json!({"lines": ["a"], "locality": "X", "country": "France", "postcode": 75001}), ".postcode"),
            (json!({"lines": ["a"], "locality": "X", "country": "France", "city": "Paris"}), ".city"),
        ];
        for (value, below) in table {
            assert!(address(&value).unwrap_err().iter().any(|flaw| flaw.below == below), "{value}");
        }
    }
}
