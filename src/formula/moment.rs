//! Reads the dates of a formula: `Date`, `Today` and `RelativeDate`.
//!
//! Integrations disagree on their arguments (ironclad-api.md §4), so the older forms are read too; only the
//! three-argument ones are written.

use super::{
    Moment, Unit, calendar_day, day,
    read::{MAX_DEPTH, Read, Reader, no_function},
};

impl Reader<'_> {
    pub(super) fn moment(&mut self, depth: usize) -> Read<Moment> {
        if depth > MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.spaces();
        let start = self.at;
        let name = self.word();
        let moments = ["Date", "Today", "RelativeDate"];
        let Some(function) = moments.iter().find(|function| function.eq_ignore_ascii_case(name)) else {
            return self.fail_at(start, no_function(name, &moments));
        };
        self.expect('(', &format!("a ( is missing after {function}"))?;
        let moment = match *function {
            "Today" => Moment::Today,
            "Date" => self.day(start)?,
            _ => self.relative(depth)?,
        };
        self.expect(')', &format!("{function} ends here with a )"))?;
        Ok(moment)
    }

    /// `2026, 1, 31`, or `'2026-01-31'` as an older integration has it.
    fn day(&mut self, start: usize) -> Read<Moment> {
        let found = match self.peek() {
            Some(quote @ ('\'' | '"')) => day(&self.quoted(quote)?.0),
            Some(_) | None => {
                let year = self.whole()?;
                self.expect(',', "Date takes year, month and day: Date(2026, 1, 31)")?;
                let month = self.whole()?;
                self.expect(',', "Date takes year, month and day: Date(2026, 1, 31)")?;
                calendar_day(year, month, self.whole()?)
            }
        };
        match found {
            Some(day) => Ok(Moment::Day(day)),
            None => {
                self.fail_at(start, "the calendar has no such day; Date takes year, month and day: Date(2026, 1, 31)")
            }
        }
    }

    /// `Today(), -7, 'days'`; without the first argument it is counted from today.
    fn relative(&mut self, depth: usize) -> Read<Moment> {
        let from = if self.peek().is_some_and(char::is_alphabetic) {
            let from = self.moment(depth + 1)?;
            self.expect(',', "RelativeDate takes a date, a number and a unit: RelativeDate(Today(), -7, 'days')")?;
            from
        } else {
            Moment::Today
        };
        let amount = self.whole()?;
        self.expect(',', "the unit is missing: 'days', 'weeks', 'months' or 'years'")?;
        self.spaces();
        let start = self.at;
        let text = match self.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote)?.0,
            Some(_) | None => self.word().to_owned(),
        };
        let text = text.trim().to_ascii_lowercase();
        let singular = |unit: &Unit| unit.name().strip_suffix('s') == Some(text.as_str());
        match Unit::ALL.into_iter().find(|unit| unit.name() == text || singular(unit)) {
            Some(unit) => Ok(Moment::Relative(Box::new(from), amount, unit)),
            None => self.fail_at(start, "the unit is 'days', 'weeks', 'months' or 'years'"),
        }
    }

    fn whole(&mut self) -> Read<i64> {
        self.spaces();
        let start = self.at;
        let quote = self.rest().chars().next().filter(|c| matches!(c, '\'' | '"'));
        let text = match quote {
            Some(quote) => self.quoted(quote)?.0,
            None => self.number().to_owned(),
        };
        text.parse().or_else(|_| self.fail_at(start, "a whole number goes here"))
    }
}
