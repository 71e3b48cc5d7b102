//! Records that were imported in bulk long ago: as many as a test wants, each made when somebody looks at it.
//!
//! A hundred thousand records with all their properties would take hundreds of megabytes. These follow from their number,
//! are alike in what records are sorted by, and so stand in one block of every order.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};
use time::macros::datetime;

use super::record_schema;
use super::seed_names::COMPANIES;
use super::store::Record;

/// The most records that are seeded with a history of their own; an archive brings the rest.
pub(crate) const MOST_SEEDED: usize = 1_000;

/// Where the numbers of the archive's Ironclad IDs begin.
const FIRST_NUMBER: u32 = 1_000_000;

const ID_BEFORE: &str = "a7c41de0-0000-4000-8000-";

/// The record at a place of the archive.
pub(crate) fn record(at: usize) -> Record {
    let number = u32::try_from(at).unwrap_or(u32::MAX - FIRST_NUMBER).saturating_add(FIRST_NUMBER);
    let types = record_schema::record_types();
    let kind = types.keys().nth(at % types.len().max(1)).cloned().unwrap_or_default();
    let company = COMPANIES.get(at % COMPANIES.len().max(1)).copied().unwrap_or_default();
    Record {
        id: format!("{ID_BEFORE}{at:012x}"),
        number,
        kind,
        name: format!("Archived agreement {at:07} with {company}"),
        updated: Some(datetime!(2020-01-01 00:00 UTC)),
        properties: properties(at, company),
        source: Some(json!({ "type": "import_project", "importId": "5f0375c4cdc1927c5c4eda7a" })),
        ..Record::default()
    }
}

fn properties(at: usize, company: &str) -> Map<String, Value> {
    let amount = at.wrapping_mul(137) % 900_000 + 1_000;
    let values = [
        ("counterpartyName", json!(company)),
        ("governingLaw", json!("Delaware")),
        ("contractValue", json!({ "currency": "USD", "amount": amount })),
    ];
    let typed = values.into_iter().filter_map(|(key, value)| {
        let kind = record_schema::property_type(key)?;
        Some((key.to_owned(), json!({ "type": kind, "value": value })))
    });
    typed.collect()
}

/// The place of an id in an archive of so many records.
pub(crate) fn place(id: &str, size: usize) -> Option<usize> {
    let by_number = || id.strip_prefix("IC-")?.parse::<usize>().ok()?.checked_sub(FIRST_NUMBER as usize);
    let by_id = || usize::from_str_radix(id.strip_prefix(ID_BEFORE)?, 16).ok();
    by_id().or_else(by_number).filter(|place| *place < size)
}

/// A sorted list of stored records with some of the archive among them.
pub(crate) struct Mixed<'a> {
    stored: Vec<&'a Record>,
    /// How many stored ones come before the archive.
    before: usize,
    /// Places in the archive, in order.
    archived: Archived,
    backwards: bool,
}

/// Which records of the archive are in a list.
pub(crate) enum Archived {
    /// The first so many.
    First(usize),
    /// These.
    Places(Vec<usize>),
}

impl Archived {
    fn len(&self) -> usize {
        match self {
            Self::First(count) => *count,
            Self::Places(places) => places.len(),
        }
    }

    fn at(&self, index: usize) -> Option<usize> {
        match self {
            Self::First(count) => (index < *count).then_some(index),
            Self::Places(places) => places.get(index).copied(),
        }
    }
}

impl<'a> Mixed<'a> {
    /// Puts the archive where `compare` has it; `backwards` where its own order is turned.
    pub(crate) fn new(
        stored: Vec<&'a Record>,
        archived: Archived,
        backwards: bool,
        compare: impl Fn(&Record, &Record) -> Ordering,
    ) -> Self {
        let first = record(0);
        let before = stored.partition_point(|one| compare(one, &first) != Ordering::Greater);
        Self { stored, before, archived, backwards }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.stored.len() + self.archived.len()
    }

    /// Shows the record at a place.
    pub(crate) fn show(&self, at: usize, show: impl Fn(&Record) -> Value) -> Option<Value> {
        let archived = self.archived.len();
        if at < self.before {
            return self.stored.get(at).map(|record| show(record));
        }
        let within = at - self.before;
        if within >= archived {
            return self.stored.get(at - archived).map(|record| show(record));
        }
        let index = if self.backwards { archived - 1 - within } else { within };
        self.archived.at(index).map(|place| show(&record(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_either_form_leads_back_to_its_place() {
        for at in [0, 1, 99_999] {
            let found = record(at);
            assert_eq!(place(&found.id, 100_000), Some(at));
            assert_eq!(place(&found.ironclad_id(), 100_000), Some(at));
            assert_eq!(place(&found.id, at), None);
        }
        assert_eq!(place("IC-300", 100_000), None);
    }
}
