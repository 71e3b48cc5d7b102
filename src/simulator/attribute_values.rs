//! The value each attribute type accepts (ironclad-api.md §6.1). Strict where the vendor's documents are clear and lenient
//! in the one place integrators are known to depend on: a money amount may be a numeric string.

use serde_json::{Map, Value};

use super::calendar;

/// Longest text. The vendor lets longer ones launch and trips at the Archive step; refusing at once tells a client sooner.
const LONGEST_TEXT: usize = 32_000;
/// Names the vendor reads as the United States.
const UNITED_STATES: [&str; 5] = ["US", "U.S.A.", "USA", "United States", "United States of America"];

/// Why a value does not suit, without the attribute's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint(pub(crate) String);

type Verdict = Result<(), Complaint>;

/// Checks a value against a node of the launch form or of a workflow's schema; a type unknown here accepts everything.
pub(crate) fn check_typed(node: &Value, id: &str, value: &Value) -> Verdict {
    match node.get("type").and_then(Value::as_str).unwrap_or("string") {
        "string" if id.starts_with("approver") => role(value),
        "string" => text(node, value),
        "boolean" => when(value.is_boolean(), "expected true or false"),
        "number" => when(value.is_number(), "expected a number"),
        "date" => when(
            value.as_str().and_then(calendar::day).is_some(),
            "expected an ISO 8601 date-time with an offset, or a date as YYYY-MM-DD",
        ),
        "email" => when(value.as_str().is_some_and(is_email), "expected an e-mail address"),
        "monetaryAmount" => money(value),
        "duration" => duration(value),
        "address" => address(value),
        "document" => document(value),
        "linkedRecord" | "parentRecord" | "childRecord" => reference(value, "IC-"),
        "entity_reference" => reference(value, "ENTITY-"),
        "array" => list(node, id, value),
        "object" => row(node, value),
        _ => Ok(()),
    }
}

fn no(why: impl Into<String>) -> Verdict {
    Err(Complaint(why.into()))
}

fn when(fine: bool, otherwise: &str) -> Verdict {
    if fine { Ok(()) } else { no(otherwise) }
}

/// Members of an object, when it has no others than `allowed`.
fn members<'a>(value: &'a Value, allowed: &[&str]) -> Result<&'a Map<String, Value>, Complaint> {
    let Some(members) = value.as_object() else {
        return Err(Complaint(format!("expected an object with {}", allowed.join(", "))));
    };
    match members.keys().find(|key| !allowed.contains(&key.as_str())) {
        Some(key) => Err(Complaint(format!("unknown member '{key}'; expected {}", allowed.join(", ")))),
        None => Ok(members),
    }
}

/// The closed list of a node, or `None` when any text will do.
fn closed_list(node: &Value) -> Option<&Vec<Value>> {
    let options = node.get("options")?;
    let values = options.get("values")?.as_array()?;
    (options.get("freeTextAllowed").and_then(Value::as_bool) == Some(false)).then_some(values)
}

fn text(node: &Value, value: &Value) -> Verdict {
    let Some(text) = value.as_str() else { return no("expected a string") };
    if text.chars().count() > LONGEST_TEXT {
        return no("longer than 32000 characters");
    }
    match closed_list(node) {
        Some(values) if !values.contains(value) => no(format!("not one of {}", Value::from(values.clone()))),
        _ => Ok(()),
    }
}

fn role(value: &Value) -> Verdict {
    let is_user = |text: &str| is_hex_id(text) || is_email(text);
    when(value.as_str().is_some_and(is_user), "expected a user id or the e-mail address of a user")
}

fn money(value: &Value) -> Verdict {
    let members = members(value, &["currency", "amount"])?;
    let currency = members.get("currency").and_then(Value::as_str).unwrap_or_default();
    when(
        currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()),
        "currency must be an ISO 4217 code such as USD",
    )?;
    let number = match members.get("amount") {
        Some(Value::Number(_)) => true,
        Some(Value::String(text)) => text.parse::<f64>().is_ok_and(f64::is_finite),
        _ => false,
    };
    when(number, "amount must be a number")
}

fn duration(value: &Value) -> Verdict {
    let members = members(value, &["years", "months", "weeks", "days"])?;
    when(!members.is_empty(), "at least one of years, months, weeks, days is needed")?;
    when(members.values().all(Value::is_u64), "units must be whole numbers, zero or more")
}

fn address(value: &Value) -> Verdict {
    let members = members(value, &["lines", "locality", "region", "postcode", "country"])?;
    let filled = |key: &str| members.get(key).and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
    let lines = members.get("lines").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let written = lines.iter().all(|line| line.as_str().is_some_and(|text| !text.trim().is_empty()));
    when(written && (1..=4).contains(&lines.len()), "lines must hold one to four texts")?;
    let country = members.get("country").and_then(Value::as_str).unwrap_or_default().trim();
    let in_states = UNITED_STATES.iter().any(|name| name.eq_ignore_ascii_case(country));
    let needed: &[&str] =
        if in_states { &["locality", "region", "postcode", "country"] } else { &["locality", "country"] };
    if let Some(key) = needed.iter().find(|key| !filled(key)) {
        return no(format!("{key} is needed"));
    }
    let odd = members.iter().find(|(key, part)| *key != "lines" && !part.is_string());
    odd.map_or(Ok(()), |(key, _)| no(format!("{key} must be a string")))
}

fn document(value: &Value) -> Verdict {
    let members = members(value, &["url", "file"])?;
    let web = |text: &str| {
        url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
    };
    match (members.get("url"), members.get("file")) {
        (Some(Value::String(text)), None) => when(web(text), "url must be an http or https address"),
        (None, Some(Value::String(part))) => when(!part.is_empty(), "file must name a part of the form"),
        _ => no("expected {\"url\": …} or {\"file\": …}"),
    }
}

fn reference(value: &Value, prefix: &str) -> Verdict {
    let readable = |text: &str| {
        text.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let fine = value.as_str().is_some_and(|text| readable(text) || is_uuid(text));
    when(fine, &format!("expected {prefix}<number> or a UUID"))
}

fn list(node: &Value, id: &str, value: &Value) -> Verdict {
    let Some(items) = value.as_array() else { return no("expected an array") };
    let Some(element) = node.get("elementType") else { return Ok(()) };
    // The options of a multi-select stand on the array, not on its elements (ironclad-api.md §6.1).
    let chosen_from = if node.get("options").is_some() { node } else { element };
    let is_text = element.get("type").and_then(Value::as_str) == Some("string");
    for (index, item) in items.iter().enumerate() {
        let verdict = if is_text { text(chosen_from, item) } else { check_typed(element, id, item) };
        verdict.map_err(|Complaint(why)| Complaint(format!("item {}: {why}", index + 1)))?;
    }
    Ok(())
}

fn row(node: &Value, value: &Value) -> Verdict {
    let Some(cells) = value.as_object() else { return no("expected an object, one member for each column") };
    let Some(columns) = node.get("schema").and_then(Value::as_object) else { return Ok(()) };
    for (id, cell) in cells {
        let Some(column) = columns.get(id) else { return no(format!("unknown column '{id}'")) };
        check_typed(column, id, cell).map_err(|Complaint(why)| Complaint(format!("column {id}: {why}")))?;
    }
    let always = |node: &Value| node.get("required").and_then(Value::as_str) == Some("always");
    // An untouched table is one empty row, so a row without any cell lacks nothing.
    let gap = columns.iter().find(|(id, column)| !cells.is_empty() && always(column) && !cells.contains_key(*id));
    gap.map_or(Ok(()), |(id, _)| no(format!("column {id} is needed")))
}

/// Whether a text looks like an e-mail address: something, one `@`, a domain with a dot.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let labels_fine = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    !local.is_empty()
        && text.len() <= 254
        && labels_fine
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control() || "<>,;\"".contains(letter))
        && !domain.contains('@')
}

/// Whether a text is a 24-digit id.
pub(crate) fn is_hex_id(text: &str) -> bool {
    text.len() == 24 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text is a UUID in its usual form.
pub(crate) fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fine(kind: &str, value: impl Into<Value>) -> bool {
        check_typed(&json!({ "type": kind }), "x", &value.into()).is_ok()
    }

    #[test]
    fn plain_types_take_their_own_json_only() {
        assert!(fine("boolean", json!(true)) && !fine("boolean", json!("true")));
        assert!(fine("number", json!(1.5)) && !fine("number", json!("1.5")));
        assert!(fine("string", json!("a")) && !fine("string", json!(1)) && !fine("string", Value::Null));
        assert!(fine("string", json!("é".repeat(32_000))) && !fine("string", json!("e".repeat(32_001))));
    }

    #[test]
    fn dates_need_an_offset_or_no_time_at_all() {
        assert!(fine("date", json!("2021-05-11T17:16:53-07:00")) && fine("date", json!("2026-09-01")));
        assert!(
            !fine("date", json!("2021-05-11T17:16:53"))
                && !fine("date", json!("11 May 2021"))
                && !fine("date", json!(20210511))
        );
    }

    #[test]
    fn addresses_of_e_mail_have_one_at_sign_and_a_dotted_domain() {
        for good in ["a@b.co", "first.last+tag@sub.domain.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b.co", "a@b", "a@@b.co", "a b@c.co", "a@b..co", "a@.co", "<a@b.co>", "a@b.co,c@d.co"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn money_is_a_currency_code_and_a_number() {
        assert!(fine("monetaryAmount", json!({ "currency": "USD", "amount": 25.37 })));
        assert!(fine("monetaryAmount", json!({ "currency": "EUR", "amount": "25.37" })));
        for bad in [
            json!(25),
            json!({ "currency": "usd", "amount": 1 }),
            json!({ "currency": "DOLLAR", "amount": 1 }),
            json!({ "amount": 1 }),
            json!({ "currency": "USD" }),
            json!({ "currency": "USD", "amount": "lots" }),
            json!({ "currency": "USD", "amount": "inf" }),
            json!({ "currency": "USD", "amount": 1, "unit": "k" }),
        ] {
            assert!(!fine("monetaryAmount", bad.clone()), "{bad}");
        }
    }

    #[test]
    fn durations_are_objects_of_whole_units() {
        assert!(
            fine("duration", json!({ "years": 1, "months": 2, "weeks": 3, "days": 4 }))
                && fine("duration", json!({ "days": 0 }))
        );
        for bad in [json!({}), json!("P1Y"), json!({ "years": -1 }), json!({ "years": 1.5 }), json!({ "hours": 1 })] {
            assert!(!fine("duration", bad.clone()), "{bad}");
        }
    }

    #[test]
    fn american_addresses_need_a_region_and_a_postcode() {
        let american = json!({ "lines": ["1 Low Street"], "locality": "Reno", "region": "Nevada", "postcode": "89501", "country": "U.S.A." });
        assert!(fine("address", american.clone()));
        for key in ["lines", "locality", "region", "postcode", "country"] {
            let mut without = american.clone();
            without.as_object_mut().unwrap().remove(key);
            // Without a country the address is of nowhere, and still refused.
            assert!(!fine("address", without), "{key}");
        }
        assert!(fine("address", json!({ "lines": ["Weg 2"], "locality": "Bremen", "country": "Germany" })));
        assert!(!fine(
            "address",
            json!({ "lines": ["1", "2", "3", "4", "5"], "locality": "Bremen", "country": "Germany" })
        ));
        assert!(!fine(
            "address",
            json!({ "lines": ["1"], "locality": "Bremen", "country": "Germany", "postcode": 28195 })
        ));
        assert!(!fine("address", json!("Weg 2, Bremen")));
    }

    #[test]
    fn documents_are_an_address_or_a_part_never_both() {
        assert!(
            fine("document", json!({ "url": "https://a.example/b.docx" }))
                && fine("document", json!({ "file": "Draft" }))
        );
        for bad in [
            json!({ "url": "ftp://a.example/b" }),
            json!({ "url": "b.docx" }),
            json!({ "file": "" }),
            json!({}),
            json!({ "url": "https://a.example", "file": "Draft" }),
            json!({ "base64": "AAAA" }),
            json!("https://a.example/b.docx"),
        ] {
            assert!(!fine("document", bad.clone()), "{bad}");
        }
    }

    #[test]
    fn references_take_readable_ids_and_uuids() {
        for kind in ["linkedRecord", "parentRecord", "childRecord"] {
            assert!(fine(kind, json!("IC-456")) && fine(kind, json!("ee254b45-6789-4891-8c99-f06caaae8d7b")), "{kind}");
            assert!(!fine(kind, json!("IC-")) && !fine(kind, json!("456")) && !fine(kind, json!("ENTITY-1")), "{kind}");
        }
        assert!(fine("entity_reference", json!("ENTITY-1")) && !fine("entity_reference", json!("IC-1")));
    }

    #[test]
    fn a_user_role_takes_an_id_or_an_address() {
        let role = |value: Value| check_typed(&json!({ "type": "string" }), "approver00", &value).is_ok();
        assert!(
            role(json!("6a6b328004308879e7d439b6")) && role(json!("maya@simulator.example")) && !role(json!("Maya"))
        );
    }

    #[test]
    fn closed_lists_refuse_other_words_and_open_ones_do_not() {
        let node =
            |free: bool| json!({ "type": "string", "options": { "values": ["A", "B"], "freeTextAllowed": free } });
        assert!(
            check_typed(&node(false), "x", &json!("A")).is_ok() && check_typed(&node(false), "x", &json!("a")).is_err()
        );
        assert!(check_typed(&node(true), "x", &json!("Z")).is_ok());
        let many = json!({ "type": "array", "options": { "values": ["A"], "freeTextAllowed": false }, "elementType": { "type": "string" } });
        assert!(check_typed(&many, "x", &json!(["A"])).is_ok() && check_typed(&many, "x", &json!(["A", "Z"])).is_err());
        assert!(check_typed(&many, "x", &json!("A")).is_err());
    }

    #[test]
    fn tables_check_each_cell_by_its_column() {
        let node = json!({ "type": "array", "elementType": { "type": "object", "schema": {
            "item": { "type": "string", "required": "always" }, "fee": { "type": "monetaryAmount", "required": "never" } } } });
        let verdict = |value: Value| check_typed(&node, "x", &value);
        assert!(verdict(json!([{ "item": "Desk", "fee": { "currency": "USD", "amount": 1 } }])).is_ok());
        assert!(verdict(json!([{}])).is_ok() && verdict(json!([])).is_ok());
        assert!(verdict(json!([{ "item": "Desk", "colour": "red" }])).is_err());
        assert!(verdict(json!([{ "fee": { "currency": "USD", "amount": 1 } }])).is_err());
        let Complaint(why) = verdict(json!([{ "item": "a" }, { "item": "b", "fee": 3 }])).unwrap_err();
        assert!(why.starts_with("item 2: column fee:"), "{why}");
    }
}
