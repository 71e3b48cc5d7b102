//! The simulator's clock: real time unless a start was fixed.
//!
//! A fixed clock moves on by one millisecond per reading, so two simulators given the same requests write the same
//! timestamps. Seeding pins the clock to a past instant instead, which lets history be made by the ordinary actions.

use time::{Date, OffsetDateTime, macros::format_description};

/// Where the store takes its timestamps from.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    fixed: Option<OffsetDateTime>,
    pinned: Option<OffsetDateTime>,
}

impl Clock {
    /// A clock that starts at `fixed`, or follows real time when there is none.
    pub(crate) const fn new(fixed: Option<OffsetDateTime>) -> Self {
        Self { fixed, pinned: None }
    }

    /// The present instant; moves a fixed clock on.
    pub(crate) fn now(&mut self) -> OffsetDateTime {
        if let Some(pinned) = &mut self.pinned {
            *pinned += time::Duration::milliseconds(1);
            return *pinned;
        }
        let Some(fixed) = &mut self.fixed else { return OffsetDateTime::now_utc() };
        *fixed += time::Duration::milliseconds(1);
        *fixed
    }

    /// The present UTC day, without moving anything on.
    pub(crate) fn today(&self) -> Date {
        self.pinned.or(self.fixed).unwrap_or_else(OffsetDateTime::now_utc).date()
    }

    /// Makes `at` the present until `release`.
    pub(crate) const fn pin(&mut self, at: OffsetDateTime) {
        self.pinned = Some(at);
    }

    /// Moves a pinned clock on; real and fixed ones are left alone.
    pub(crate) fn skip(&mut self, by: time::Duration) {
        if let Some(pinned) = &mut self.pinned {
            *pinned += by;
        }
    }

    /// Returns to the clock's own time.
    pub(crate) const fn release(&mut self) {
        self.pinned = None;
    }
}

/// ISO-8601 UTC with milliseconds, the form of every timestamp of the vendor (ironclad-api.md §0).
pub(crate) fn stamp(at: OffsetDateTime) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // A date next to the end of the calendar has no UTC form; it is written as it stands.
    at.checked_to_offset(time::UtcOffset::UTC)
        .unwrap_or(at)
        .format(&format)
        .unwrap_or_else(|_| String::from("1970-01-01T00:00:00.000Z"))
}

/// Reads a date-time with offset or a plain date (midnight UTC).
pub(crate) fn parse_instant(text: &str) -> Option<OffsetDateTime> {
    use time::format_description::well_known::Rfc3339;
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return at.checked_to_offset(time::UtcOffset::UTC);
    }
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    Some(day.midnight().assume_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_fixed_clock_moves_one_millisecond_per_reading() {
        let mut clock = Clock::new(Some(datetime!(2026-09-01 09:00 UTC)));
        assert_eq!(stamp(clock.now()), "2026-09-01T09:00:00.001Z");
        assert_eq!(stamp(clock.now()), "2026-09-01T09:00:00.002Z");
    }

    #[test]
    fn plain_dates_and_offsets_are_both_read() {
        assert_eq!(parse_instant("2026-09-01"), Some(datetime!(2026-09-01 00:00 UTC)));
        assert_eq!(parse_instant("2026-09-01T02:00:00+02:00"), Some(datetime!(2026-09-01 00:00 UTC)));
        assert_eq!(parse_instant("September"), None);
        assert_eq!(parse_instant("9999-12-31T23:59:59-23:59"), None, "no such instant in UTC");
    }
}
