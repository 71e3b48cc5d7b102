//! Reads a date: ISO 8601, with or without a time.
//!
//! The one form that Ironclad documents is a date-time with an offset (ironclad-api.md §6.1), so a plain date goes out
//! as its midnight in UTC and a date-time without an offset is taken as UTC; both are told to the caller.

use std::borrow::Cow;

use serde_json::Value;
use time::{Date, Month};

use super::{Read, flawed};

const EXPECTED: &str = "a date such as 2026-01-31, or with a time 2026-01-31T09:00:00Z";

/// A date or date-time in ISO 8601.
///
/// # Errors
/// Any other way to write a date (`31.01.2026`), or a day that the calendar does not have.
pub fn date(value: &Value) -> Read<'_> {
    let Some(text) = value.as_str() else { return flawed(value, "no date", EXPECTED) };
    match on_wire(text) {
        Some(wire) if wire == text => Ok(Cow::Borrowed(value)),
        Some(wire) => Ok(Cow::Owned(wire.into())),
        None => flawed(value, "no date", EXPECTED),
    }
}

fn on_wire(text: &str) -> Option<String> {
    let day = text.get(..10)?;
    check_day(day)?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(format!("{day}T00:00:00Z"));
    }
    let rest = rest.strip_prefix(['T', 't'])?;
    let split = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at_checked(split)?;
    Some(format!("{day}T{}{}", clock_on_wire(clock)?, offset_on_wire(offset)?))
}

fn check_day(day: &str) -> Option<Date> {
    let mut parts = day.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = Month::try_from(u8::try_from(digits(parts.next()?, 2)?).ok()?).ok()?;
    let day = u8::try_from(digits(parts.next()?, 2)?).ok()?;
    if parts.next().is_some() {
        return None;
    }
    Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
}

/// `10:00`, `10:00:00` or `10:00:00.5`; the seconds are written out.
fn clock_on_wire(clock: &str) -> Option<String> {
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let hours = digits(parts.next()?, 2).filter(|hours| *hours < 24)?;
    let minutes = digits(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    let given = parts.next();
    if parts.next().is_some() || (given.is_none() && fraction.is_some()) {
        return None;
    }
    let seconds = digits(given.unwrap_or("00"), 2).filter(|seconds| *seconds < 60)?;
    let fraction = match fraction {
        None => String::new(),
        Some(f) if (1..=9).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()) => format!(".{f}"),
        Some(_) => return None,
    };
    Some(format!("{hours:02}:{minutes:02}:{seconds:02}{fraction}"))
}

/// `Z`, `+02:00`, `+0200`, `+02` or nothing, which is UTC.
fn offset_on_wire(offset: &str) -> Option<String> {
    if matches!(offset, "" | "Z" | "z") {
        return Some("Z".into());
    }
    let sign = offset.get(..1)?;
    let rest = offset.get(1..)?;
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        _ => rest.split_once(':')?,
    };
    let hours = digits(hours, 2).filter(|hours| *hours < 24)?;
    let minutes = digits(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}

fn digits(text: &str, count: usize) -> Option<u32> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};

    use super::*;

    #[test]
    fn dates_go_out_as_date_times_with_an_offset() {
        let table = [
            ("2026-01-31", Some("2026-01-31T00:00:00Z")),
            ("2026-01-31T09:30", Some("2026-01-31T09:30:00Z")),
            ("2026-01-31T09:30:15.250", Some("2026-01-31T09:30:15.250Z")),
            ("2026-01-31T09:30:15+02:00", Some("2026-01-31T09:30:15+02:00")),
            ("2026-01-31T09:30:15-0730", Some("2026-01-31T09:30:15-07:30")),
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("2026-02-29", None),
            ("2026-1-31", None),
            ("31.01.2026", None),
            ("01/31/2026", None),
            ("2026-01-31 09:30", None),
            ("2026-01-31T25:00:00Z", None),
            ("2026-01-31T", None),
            ("next Friday", None),
            ("", None),
        ];
        for (given, sent) in table {
            assert_eq!(on_wire(given).as_deref(), sent, "{given}");
        }
    }

    #[test]
    fn a_number_is_no_date() {
        assert!(date(&json!(20_260_131)).unwrap_err()[0].message.contains("no date"));
    }

    proptest! {
        #[test]
        fn whatever_goes_out_is_rfc_3339(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]{2,12}([Zz]|[+-][0-9:]{2,5})?)?") {
            if let Some(wire) = on_wire(&text) {
                prop_assert!(OffsetDateTime::parse(&wire, &Rfc3339).is_ok(), "{}", wire);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = on_wire(&text);
        }
    }
}
