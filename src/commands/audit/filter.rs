//! Which lines of the audit log are asked for.

use time::{Date, Duration, OffsetDateTime, Time, format_description::well_known::Rfc3339, macros::format_description};

use super::format::Line;
use crate::cli::AuditArgs;

/// What a line must be; a member that is `None` asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) since: Option<OffsetDateTime>,
    pub(super) until: Option<OffsetDateTime>,
    pub(super) agent: Option<String>,
    pub(super) tool: Option<String>,
    pub(super) decision: Option<&'static str>,
    pub(super) object: Option<String>,
}

impl Filter {
    /// What the command line asks for at the time `now`.
    ///
    /// # Errors
    /// A time that is none.
    pub(super) fn new(args: &AuditArgs, now: OffsetDateTime) -> Result<Self, String> {
        let time = |flag: &str, text: Option<&str>, of_date: Time| {
            text.map(|text| instant(text, now, of_date).ok_or_else(|| wrong_time(flag, text))).transpose()
        };
        Ok(Self {
            since: time("--since", args.since.as_deref(), Time::MIDNIGHT)?,
            until: time("--until", args.until.as_deref(), Time::MAX)?,
            agent: args.agent.clone(),
            tool: args.tool.clone(),
            decision: args.decision.map(crate::cli::DecisionFilter::as_str),
            object: args.object.clone(),
        })
    }

    /// Whether a line is asked for.
    pub(super) fn matches(&self, line: &Line) -> bool {
        let equal = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        equal(self.agent.as_deref(), &line.agent)
            && equal(self.tool.as_deref(), &line.tool)
            && equal(self.decision, &line.decision)
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

fn wrong_time(flag: &str, text: &str) -> String {
    format!("{flag}: {text:?} is no time; give one such as 2026-01-31T12:00:00Z, a date, or an age such as 24h or 7d")
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
    now.checked_sub(Duration::seconds(number.checked_mul(seconds)?))
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
        let line = r#"{"time":"2026-03-09T12:00:00Z","agent":"claude","tool":"get_workflow","decision":"allowed",
            "object":{"workflow_id":"abc"}}"#;
        let line: Line = serde_json::from_str(line).unwrap();
        assert!(Filter::default().matches(&line));
        let right = Filter {
            since: Some(datetime!(2026-03-09 00:00 UTC)),
            until: Some(NOW),
            agent: Some("claude".into()),
            tool: Some("get_workflow".into()),
            decision: Some("allowed"),
            object: Some("abc".into()),
        };
        assert!(right.matches(&line));
        let wrong = [
            Filter { since: Some(NOW), ..right.clone() },
            Filter { until: Some(datetime!(2026-03-09 00:00 UTC)), ..right.clone() },
            Filter { agent: Some("cli".into()), ..right.clone() },
            Filter { tool: Some("get_record".into()), ..right.clone() },
            Filter { decision: Some("denied"), ..right.clone() },
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
