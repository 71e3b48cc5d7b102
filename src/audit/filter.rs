//! Which lines of the audit log are asked for.

use time::{Date, Duration, OffsetDateTime, Time, format_description::well_known::Rfc3339, macros::format_description};

use super::read::Line;

/// What a line must be, in the words of whoever asks; a member that is `None` asks nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// From this time on.
    pub since: Option<&'a str>,
    /// Up to this time.
    pub until: Option<&'a str>,
    /// By this agent.
    pub agent: Option<&'a str>,
    /// By this caller, as their authorization server names them.
    pub caller: Option<&'a str>,
    /// Of this tool.
    pub tool: Option<&'a str>,
    /// So decided.
    pub decision: Option<&'a str>,
    /// About this id.
    pub object: Option<&'a str>,
}

/// The same, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    agent: Option<String>,
    caller: Option<String>,
    tool: Option<String>,
    decision: Option<String>,
    object: Option<String>,
}

/// A time that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no time; give one such as 2026-01-31T12:00:00Z, a date, or an age such as 24h or 7d")]
pub struct NoTime {
    /// `since` or `until`.
    pub which: &'static str,
    /// What was given.
    pub text: String,
}

impl Filter {
    /// What is wanted at the time `now`, from which ages count.
    ///
    /// # Errors
    /// A time that is none.
    pub fn new(wanted: Wanted<'_>, now: OffsetDateTime) -> Result<Self, NoTime> {
        let time = |which, text: Option<&str>, of_date: Time| {
            let no_time = |text: &str| NoTime { which, text: text.to_owned() };
            text.map(|text| instant(text, now, of_date).ok_or_else(|| no_time(text))).transpose()
        };
        Ok(Self {
            since: time("since", wanted.since, Time::MIDNIGHT)?,
            until: time("until", wanted.until, Time::MAX)?,
            agent: wanted.agent.map(str::to_owned),
            caller: wanted.caller.map(str::to_owned),
            tool: wanted.tool.map(str::to_owned),
            decision: wanted.decision.map(str::to_owned),
            object: wanted.object.map(str::to_owned),
        })
    }

    /// Whether a line is asked for.
    #[must_use]
    pub fn matches(&self, line: &Line) -> bool {
        let equal = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        equal(self.agent.as_deref(), &line.agent)
            && self.caller.as_deref().is_none_or(|caller| line.caller.as_deref() == Some(caller))
            && equal(self.tool.as_deref(), &line.tool)
            && equal(self.decision.as_deref(), &line.decision)
            && self.object.as_ref().is_none_or(|id| line.object.values().any(|value| value.as_str() == Some(id)))
            && self.is_in_time(&line.time)
    }

    fn is_in_time(&self, text: &str) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        OffsetDateTime::parse(text, &Rfc3339).is_ok_and(|time| {
            self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time <= until)
        })
    }
}

/// A time, a date with `of_date` as its time of day, or an age before `now`.
fn instant(text: &str, now: OffsetDateTime, of_date: Time) -> Option<OffsetDateTime> {
    let text = text.trim();
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    if let Ok(date) = Date::parse(text, &format_description!("[year]-[month]-[day]")) {
        return Some(date.with_time(of_date).assume_utc());
    }
    now.checked_sub(Duration::seconds(age(text)?))
}

/// The seconds of an age such as `90m`, `24h` or `7d`.
pub fn age(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-03-10 12:00 UTC);

    #[test]
    fn times_are_read_in_every_form() {
        let table = [
            ("2026-03-09T08:00:00Z", Some(datetime!(2026-03-09 08:00 UTC))),
            ("2026-03-09T08:00:00+02:00", Some(datetime!(2026-03-09 06:00 UTC))),
            ("2026-03-09", Some(datetime!(2026-03-09 00:00 UTC))),
            ("24h", Some(datetime!(2026-03-09 12:00 UTC))),
            ("7d", Some(datetime!(2026-03-03 12:00 UTC))),
            ("90m", Some(datetime!(2026-03-10 10:30 UTC))),
            ("2w", Some(datetime!(2026-02-24 12:00 UTC))),
            ("-1h", None),
            ("yesterday", None),
            ("9223372036854775807w", None),
            ("7", None),
            ("d", None),
            ("", None),
            ("7é", None),
        ];
        for (text, expected) in table {
            assert_eq!(instant(text, NOW, Time::MIDNIGHT), expected, "{text}");
        }
    }

    #[test]
    fn a_last_date_is_included_to_its_end() {
        let until = instant("2026-03-09", NOW, Time::MAX);
        let filter = Filter { until, ..Filter::default() };
        assert!(filter.is_in_time("2026-03-09T23:59:59.999Z"));
        assert!(!filter.is_in_time("2026-03-10T00:00:00.000Z"));
        assert!(!filter.is_in_time("no time"));
    }

    #[test]
    fn every_filter_can_leave_a_line_out() {
        let line = r#"{"time":"2026-03-09T12:00:00Z","agent":"claude","caller":"u1","tool":"get_workflow","decision":"allowed",
            "object":{"workflow_id":"abc"}}"#;
        let line: Line = serde_json::from_str(line).unwrap();
        assert!(Filter::default().matches(&line));
        let right = Filter {
            since: Some(datetime!(2026-03-09 00:00 UTC)),
            until: Some(NOW),
            agent: Some("claude".into()),
            caller: Some("u1".into()),
            tool: Some("get_workflow".into()),
            decision: Some("allowed".into()),
            object: Some("abc".into()),
        };
        assert!(right.matches(&line));
        let wrong = [
            Filter { since: Some(NOW), ..right.clone() },
            Filter { until: Some(datetime!(2026-03-09 00:00 UTC)), ..right.clone() },
            Filter { agent: Some("cli".into()), ..right.clone() },
            Filter { caller: Some("u2".into()), ..right.clone() },
            Filter { tool: Some("get_record".into()), ..right.clone() },
            Filter { decision: Some("denied".into()), ..right.clone() },
            Filter { object: Some("ab".into()), ..right.clone() },
        ];
        for filter in wrong {
            assert!(!filter.matches(&line), "{filter:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_for_a_time(text in ".*") {
            let _ = instant(&text, NOW, Time::MIDNIGHT);
        }
    }
}
