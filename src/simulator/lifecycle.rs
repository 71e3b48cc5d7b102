//! Where a contract stands in its life, from nothing but its record's properties (ironclad-api.md §9.3). The rules for
//! `extending` and `activating` are readings of ours: the vendor names the two and does not say when they show.

use serde_json::{Map, Value, json};
use time::Date;

use super::calendar::{Term, day, midnight};
pub(crate) use super::lifecycle_actions::{ActionFault, apply};

/// Days before an event from which a contract shows it.
const NOTICE_DAYS: i64 = 180;
/// Properties that make a record a contract with a lifecycle.
const LIFECYCLE_KEYS: [&str; 5] =
    ["standard_renewalType", "effectiveDate", "expirationDate", "standard_initialTermLength", "standard_executedDate"];

/// Where a contract stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Too little is known to say.
    Unknown,
    /// Signed, and in force only from a later day.
    Executed(Date),
    /// Brought back to life from a later day.
    Activating(Date),
    /// Over.
    Inactive,
    /// In force without an end.
    Evergreen,
    /// In force, and the next event is far off.
    Active(Date),
    /// In force, and about to end.
    Expiring(Date),
    /// In force, and about to renew itself.
    AutoRenewing(Date),
    /// In force, with an agreed extension about to begin.
    Extending(Date),
    /// In force until an agreed day.
    Terminating(Date),
    /// In force until another contract takes its place.
    Superseding(Date),
}

impl Stage {
    /// `status` and `enhancedStatus`.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("indeterminate", "unknown"),
            Self::Executed(_) => ("inactive", "executed"),
            Self::Activating(_) => ("inactive", "activating"),
            Self::Inactive => ("inactive", "inactive"),
            Self::Evergreen => ("active", "evergreen"),
            Self::Active(_) => ("active", "active"),
            Self::Expiring(_) => ("active", "expiring"),
            Self::AutoRenewing(_) => ("active", "auto-renewing"),
            Self::Extending(_) => ("active", "extending"),
            Self::Terminating(_) => ("active", "terminating"),
            Self::Superseding(_) => ("active", "superseding"),
        }
    }

    /// Whether the contract is in force.
    pub(super) fn is_active(self) -> bool {
        self.names().0 == "active"
    }

    /// The day of the next event and the word for it, when the event is near enough to show.
    const fn event(self) -> (Option<Date>, Option<&'static str>) {
        match self {
            Self::Unknown | Self::Inactive | Self::Evergreen => (None, None),
            Self::Active(date) => (Some(date), None),
            Self::Executed(date) => (Some(date), Some("Effective")),
            Self::Activating(date) => (Some(date), Some("Activating")),
            Self::Expiring(date) => (Some(date), Some("Expiring")),
            Self::AutoRenewing(date) => (Some(date), Some("Auto-renewing")),
            Self::Extending(date) => (Some(date), Some("Extending")),
            Self::Terminating(date) => (Some(date), Some("Terminating")),
            Self::Superseding(date) => (Some(date), Some("Superseding")),
        }
    }
}

/// The `contractStatus` of a record with these properties (key to `{type, value}`), or `None` without a lifecycle.
pub(crate) fn contract_status(properties: &Map<String, Value>, today: Date) -> Option<Value> {
    let stage = stage(properties, today)?;
    let (status, enhanced) = stage.names();
    let mut shown = Map::new();
    shown.insert("status".to_owned(), json!(status));
    shown.insert("enhancedStatus".to_owned(), json!(enhanced));
    if let (Some(date), word) = stage.event() {
        let days = (date - today).whole_days().max(0);
        shown.insert("remainingDuration".to_owned(), json!(format!("P{days}D")));
        shown.insert("eventDate".to_owned(), json!(midnight(date)));
        if let Some(word) = word {
            shown.insert("message".to_owned(), json!(format!("{word} on {}", spoken(date))));
        }
    }
    Some(Value::Object(shown))
}

/// Where the contract stands, or `None` when the record has no lifecycle.
pub(super) fn stage(properties: &Map<String, Value>, today: Date) -> Option<Stage> {
    if !LIFECYCLE_KEYS.iter().any(|key| properties.contains_key(*key)) {
        return None;
    }
    let facts = Facts::of(properties);
    if facts.start.is_none() && facts.end.is_none() {
        return Some(Stage::Unknown);
    }
    let ended_early = [facts.termination.map(Stage::Terminating), facts.supersession.map(Stage::Superseding)];
    if let Some(pending) = ended_early.into_iter().flatten().next() {
        let ahead = pending.event().0.is_some_and(|date| date > today);
        return Some(if ahead { pending } else { Stage::Inactive });
    }
    Some(match facts.start {
        Some(start) if start > today && facts.was_ended => Stage::Activating(start),
        Some(start) if start > today => Stage::Executed(start),
        _ => facts.in_force(today),
    })
}

/// What the properties say about a contract's life.
struct Facts {
    start: Option<Date>,
    end: Option<Date>,
    renewal_type: Option<String>,
    renewal_term: Option<Term>,
    renewals_left: Option<u64>,
    times_renewed: u64,
    termination: Option<Date>,
    supersession: Option<Date>,
    /// A termination or supersession is on record, in force or overtaken by a new start.
    was_ended: bool,
}

impl Facts {
    fn of(properties: &Map<String, Value>) -> Self {
        let start = date(properties, "effectiveDate").or_else(|| date(properties, "standard_executedDate"));
        let initial = term(properties, "standard_initialTermLength");
        let end = date(properties, "expirationDate").or_else(|| initial.and_then(|term| term.after(start?)));
        let left = number(properties, "standard_renewalsRemaining");
        Self {
            start,
            end,
            renewal_type: text(properties, "standard_renewalType").map(str::to_owned),
            renewal_term: term(properties, "standard_renewalTermLength").filter(|term| !term.is_zero()),
            renewals_left: left.or_else(|| number(properties, "standard_renewalsAllowed")),
            times_renewed: number(properties, "standard_timesRenewed").unwrap_or(0),
            termination: date(properties, "standard_terminationEffectiveDate"),
            supersession: date(properties, "standard_supersessionEffectiveDate"),
            was_ended: ["standard_terminatedDate", "standard_supersededDate"]
                .iter()
                .any(|key| properties.contains_key(*key)),
        }
    }

    fn in_force(&self, today: Date) -> Stage {
        let renewal_type = self.renewal_type.as_deref().unwrap_or("None");
        let (Some(end), false) = (self.end, renewal_type == "Evergreen") else { return Stage::Evergreen };
        let renews = renewal_type == "Auto-Renew" && self.renewals_left != Some(0);
        let end = if renews { self.rolled_over(end, today) } else { end };
        if end < today {
            return Stage::Inactive;
        }
        if let Some(begins) = self.extension_begins(end).filter(|begins| *begins > today) {
            let near = (begins - today).whole_days() <= NOTICE_DAYS;
            return if near { Stage::Extending(begins) } else { Stage::Active(begins) };
        }
        match (end - today).whole_days() <= NOTICE_DAYS {
            false => Stage::Active(end),
            true if renews => Stage::AutoRenewing(end),
            true => Stage::Expiring(end),
        }
    }

    /// The end of the running term of a contract that renews itself.
    fn rolled_over(&self, end: Date, today: Date) -> Date {
        let Some(term) = self.renewal_term else { return end };
        let mut end = end;
        // A term of a day and a very old contract are the longest case worth counting out.
        for _ in 0..self.renewals_left.unwrap_or(4000).min(4000) {
            if end >= today {
                break;
            }
            match term.after(end) {
                Some(next) => end = next,
                None => break,
            }
        }
        end
    }

    /// The day on which the last extension begins, for contracts that have been extended by agreement.
    fn extension_begins(&self, end: Date) -> Option<Date> {
        let by_agreement = self.renewal_type.as_deref() == Some("Optional Extension") && self.times_renewed > 0;
        self.renewal_term.filter(|_| by_agreement)?.before(end)
    }
}

fn spoken(date: Date) -> String {
    let month: String = date.month().to_string().chars().take(3).collect();
    format!("{month} {}, {}", date.day(), date.year())
}

/// The text of a property.
pub(super) fn text<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    properties.get(key)?.get("value")?.as_str()
}

/// The day of a date property.
pub(super) fn date(properties: &Map<String, Value>, key: &str) -> Option<Date> {
    text(properties, key).and_then(day)
}

/// The length of a duration property.
pub(super) fn term(properties: &Map<String, Value>, key: &str) -> Option<Term> {
    text(properties, key).and_then(Term::parse)
}

/// The whole number of a number property.
pub(super) fn number(properties: &Map<String, Value>, key: &str) -> Option<u64> {
    let value = properties.get(key)?.get("value")?;
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::date;

    use super::*;

    const TODAY: Date = date!(2026 - 06 - 01);

    fn record(pairs: &[(&str, Value)]) -> Map<String, Value> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), json!({ "type": "x", "value": value }))).collect()
    }

    fn enhanced(pairs: &[(&str, Value)]) -> String {
        let status = contract_status(&record(pairs), TODAY).unwrap();
        format!("{}/{}", status["status"].as_str().unwrap(), status["enhancedStatus"].as_str().unwrap())
    }

    #[test]
    fn a_record_without_lifecycle_properties_has_no_status() {
        assert_eq!(contract_status(&record(&[("agreementDate", json!("2026-01-01"))]), TODAY), None);
    }

    #[test]
    fn a_renewal_type_alone_leaves_the_status_open() {
        assert_eq!(enhanced(&[("standard_renewalType", json!("None"))]), "indeterminate/unknown");
    }

    #[test]
    fn without_an_end_a_contract_is_evergreen() {
        assert_eq!(enhanced(&[("effectiveDate", json!("2026-01-01"))]), "active/evergreen");
        let evergreen = json!("Evergreen");
        let pairs = [("standard_renewalType", evergreen), ("expirationDate", json!("2020-01-01"))];
        assert_eq!(enhanced(&pairs), "active/evergreen");
    }

    #[test]
    fn the_end_follows_from_the_start_and_the_initial_term() {
        let pairs = |start: &str| [("effectiveDate", json!(start)), ("standard_initialTermLength", json!("P1Y"))];
        assert_eq!(enhanced(&pairs("2026-05-01T00:00:00-07:00")), "active/active");
        assert_eq!(enhanced(&pairs("2025-08-01")), "active/expiring");
        assert_eq!(enhanced(&pairs("2024-08-01")), "inactive/inactive");
        assert_eq!(enhanced(&pairs("2026-08-01")), "inactive/executed");
    }

    #[test]
    fn the_executed_date_stands_in_for_a_missing_effective_date() {
        assert_eq!(enhanced(&[("standard_executedDate", json!("2026-01-01"))]), "active/evergreen");
    }

    #[test]
    fn an_event_shows_from_180_days_before() {
        let on =
            |end: Date| enhanced(&[("effectiveDate", json!("2020-01-01")), ("expirationDate", json!(midnight(end)))]);
        assert_eq!(on(TODAY + time::Duration::days(180)), "active/expiring");
        assert_eq!(on(TODAY + time::Duration::days(181)), "active/active");
        assert_eq!(on(TODAY), "active/expiring");
        assert_eq!(on(TODAY - time::Duration::days(1)), "inactive/inactive");
    }

    #[test]
    fn an_auto_renewing_contract_says_when() {
        let pairs = [
            ("effectiveDate", json!("2023-07-01")),
            ("standard_initialTermLength", json!("P1Y")),
            ("standard_renewalType", json!("Auto-Renew")),
            ("standard_renewalTermLength", json!("P1Y")),
        ];
        let status = contract_status(&record(&pairs), TODAY).unwrap();
        assert_eq!(status["enhancedStatus"], "auto-renewing");
        assert_eq!(status["message"], "Auto-renewing on Jul 1, 2026");
        assert_eq!(status["remainingDuration"], "P30D");
        assert_eq!(status["eventDate"], "2026-07-01T00:00:00.000Z");
    }

    #[test]
    fn renewals_run_out() {
        let pairs = |left: u64| {
            [
                ("effectiveDate", json!("2023-07-01")),
                ("standard_initialTermLength", json!("P1Y")),
                ("standard_renewalType", json!("Auto-Renew")),
                ("standard_renewalTermLength", json!("P1Y")),
                ("standard_renewalsRemaining", json!(left)),
            ]
        };
        assert_eq!(enhanced(&pairs(0)), "inactive/inactive");
        assert_eq!(enhanced(&pairs(1)), "inactive/inactive");
        assert_eq!(enhanced(&pairs(2)), "active/auto-renewing");
    }

    #[test]
    fn termination_and_supersession_hold_until_their_day() {
        let ended = |key: &'static str, on: &str| enhanced(&[("effectiveDate", json!("2020-01-01")), (key, json!(on))]);
        assert_eq!(ended("standard_terminationEffectiveDate", "2026-06-02"), "active/terminating");
        assert_eq!(ended("standard_terminationEffectiveDate", "2026-06-01"), "inactive/inactive");
        assert_eq!(ended("standard_supersessionEffectiveDate", "2027-06-02"), "active/superseding");
    }

    #[test]
    fn an_agreed_extension_shows_until_it_begins() {
        let pairs = [
            ("effectiveDate", json!("2025-09-01")),
            ("expirationDate", json!("2027-09-01")),
            ("standard_renewalType", json!("Optional Extension")),
            ("standard_renewalTermLength", json!("P1Y")),
            ("standard_timesRenewed", json!(1)),
        ];
        assert_eq!(enhanced(&pairs), "active/extending");
    }

    #[test]
    fn a_contract_brought_back_for_later_is_activating() {
        let pairs = [("effectiveDate", json!("2026-09-01")), ("standard_terminatedDate", json!("2026-01-01"))];
        assert_eq!(enhanced(&pairs), "inactive/activating");
    }

    proptest! {
        #[test]
        fn no_value_panics(start in "\\PC{0,12}", length in "P[0-9]{1,12}[YMWD]", left: f64) {
            let pairs = [
                ("effectiveDate", json!("2000-01-01")), ("standard_executedDate", json!(start)),
                ("standard_initialTermLength", json!(length.clone())), ("standard_renewalTermLength", json!(length)),
                ("standard_renewalType", json!("Auto-Renew")), ("standard_renewalsRemaining", json!(left)),
            ];
            prop_assert!(contract_status(&record(&pairs), TODAY).is_some());
        }
    }
}
