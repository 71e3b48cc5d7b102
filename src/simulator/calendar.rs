//! Dates and ISO 8601 durations as the vendor writes them. A date-time counts as the day it is in its own offset: a contract
//! dated `2026-01-01T00:00:00-05:00` begins on the first of January wherever the reader sits.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, Duration, Month, OffsetDateTime};

/// The calendar day of a plain date (`2026-09-01`) or of a date-time with an offset; `None` for anything else.
pub(crate) fn day(text: &str) -> Option<Date> {
    if text.len() == 10 {
        return Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    }
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::date)
}

/// The first instant of a day as the vendor prints it: `2026-09-14T00:00:00.000Z`.
pub(crate) fn midnight(date: Date) -> String {
    format!("{:04}-{:02}-{:02}T00:00:00.000Z", date.year(), u8::from(date.month()), date.day())
}

/// The date `months` later (or earlier), on the last day of the month when the day does not exist there.
pub(crate) fn plus_months(date: Date, months: i64) -> Option<Date> {
    let count = i64::from(date.year()).checked_mul(12)?.checked_add(i64::from(u8::from(date.month())) - 1)?;
    let count = count.checked_add(months)?;
    let year = i32::try_from(count.div_euclid(12)).ok()?;
    let month = Month::try_from(u8::try_from(count.rem_euclid(12) + 1).ok()?).ok()?;
    if !(0..=9999).contains(&year) {
        return None;
    }
    Date::from_calendar_date(year, month, date.day().min(month.length(year))).ok()
}

/// The date `days` later (or earlier).
pub(crate) fn plus_days(date: Date, days: i64) -> Option<Date> {
    // Ten thousand years of days; beyond that the multiplication inside `Duration::days` would overflow and panic.
    if days.abs() > 3_660_000 {
        return None;
    }
    date.checked_add(Duration::days(days)).filter(|date| (0..=9999).contains(&date.year()))
}

/// A length of time in calendar units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// Whole months, years included.
    pub(crate) months: i64,
    /// Whole days, weeks included.
    pub(crate) days: i64,
}

impl Term {
    /// Reads `P10Y3M2W1D`; at least one unit, in that order, no time of day.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('P')?;
        let mut term = Self { months: 0, days: 0 };
        let mut units = "YMWD";
        if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            let (digits, tail) = rest.split_at_checked(end)?;
            let count: i64 = digits.parse::<u32>().ok()?.into();
            let unit = tail.chars().next()?;
            units = units.split_once(unit)?.1;
            match unit {
                'Y' => term.months += count * 12,
                'M' => term.months += count,
                'W' => term.days += count * 7,
                _ => term.days += count,
            }
            rest = tail.get(1..)?;
        }
        Some(term)
    }

    /// The end of a term that begins on `date`.
    pub(crate) fn after(self, date: Date) -> Option<Date> {
        plus_days(plus_months(date, self.months)?, self.days)
    }

    /// The beginning of a term that ends on `date`.
    pub(crate) fn before(self, date: Date) -> Option<Date> {
        plus_months(plus_days(date, -self.days)?, -self.months)
    }

    /// Whether the term has no length at all.
    pub(crate) const fn is_zero(self) -> bool {
        self.months == 0 && self.days == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    #[test]
    fn a_day_is_read_from_dates_and_date_times_alone() {
        assert_eq!(day("2026-09-01"), Some(date!(2026 - 09 - 01)));
        assert_eq!(day("2026-01-01T00:00:00-05:00"), Some(date!(2026 - 01 - 01)));
        assert_eq!(day("2026-01-01T23:30:00.250Z"), Some(date!(2026 - 01 - 01)));
        for wrong in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-02-30",
            "2026-09-01T10:00:00",
            "09/01/2026",
            "2026-9-1",
            "2026-09-01 10:00:00Z",
        ] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn months_end_where_the_month_ends() {
        assert_eq!(plus_months(date!(2024 - 01 - 31), 1), Some(date!(2024 - 02 - 29)));
        assert_eq!(plus_months(date!(2024 - 01 - 31), -2), Some(date!(2023 - 11 - 30)));
        assert_eq!(plus_months(date!(2024 - 01 - 31), i64::MAX), None);
        assert_eq!(plus_days(date!(2024 - 01 - 31), i64::MIN + 1), None);
    }

    #[test]
    fn durations_are_read_in_their_order_only() {
        assert_eq!(Term::parse("P10Y3M2W1D"), Some(Term { months: 123, days: 15 }));
        assert_eq!(Term::parse("P30D").and_then(|term| term.after(date!(2026 - 01 - 01))), Some(date!(2026 - 01 - 31)));
        assert_eq!(Term::parse("P1Y").and_then(|term| term.before(date!(2026 - 01 - 01))), Some(date!(2025 - 01 - 01)));
        assert!(Term::parse("P0D").is_some_and(Term::is_zero));
        for wrong in ["", "P", "1Y", "PY", "P1D1Y", "P1Y1Y", "PT1H", "P1.5Y", "P-1D", "P1", "P99999999999Y", "P1é"] {
            assert_eq!(Term::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn midnight_is_printed_with_milliseconds() {
        assert_eq!(midnight(date!(2026 - 09 - 04)), "2026-09-04T00:00:00.000Z");
    }

    proptest! {
        #[test]
        fn no_text_and_no_number_panics(text in "\\PC{0,24}", months: i64, days: i64) {
            let _ = (day(&text), Term::parse(&text), Term::parse(&format!("P{text}")));
            let _ = (plus_months(date!(2026 - 01 - 31), months), plus_days(date!(2026 - 01 - 31), days.max(i64::MIN + 1)));
        }
    }
}
