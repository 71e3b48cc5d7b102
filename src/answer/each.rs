//! Reads the members of one part of an object one after the other, so that what is made of them is all that is ever held.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::kept::{Kept, Meter, NODE_BYTES};

/// The most memory that one member may take while it is looked at.
const MEMBER_MEMORY: usize = 32 << 20;

/// Hands each member of `part`, a list or an object, to `take`, with its name (empty in a list), its value and about what
/// that takes in memory; `take` says how much of it stays. Whether all had room in `memory` bytes.
///
/// # Errors
/// It is no JSON object with such a part.
pub fn each<'de, R: serde_json::de::Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
    (part, memory): (&'static str, usize),
    take: impl FnMut(String, Value, usize) -> usize,
) -> serde_json::Result<bool> {
    let whole = Whole { part, members: Members { left: Some(memory), take } }.deserialize(&mut *json)?;
    json.end()?;
    Ok(whole)
}

struct Whole<F> {
    part: &'static str,
    members: Members<F>,
}

impl<'de, F: FnMut(String, Value, usize) -> usize> DeserializeSeed<'de> for Whole<F> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, F: FnMut(String, Value, usize) -> usize> Visitor<'de> for Whole<F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with {}", self.part)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<bool, A::Error> {
        let mut found = false;
        while let Some(name) = members.next_key::<String>()? {
            if name == self.part {
                found = true;
                members.next_value_seed(&mut self.members)?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        if found { Ok(self.members.left.is_some()) } else { Err(A::Error::missing_field(self.part)) }
    }
}

struct Members<F> {
    /// The memory that is left; `None` once something had no room.
    left: Option<usize>,
    take: F,
}

impl<F: FnMut(String, Value, usize) -> usize> Members<F> {
    fn add(&mut self, name: String, value: Option<Value>, meter: &Meter) {
        let stays = value.filter(|_| !meter.is_exceeded()).map(|value| (self.take)(name, value, meter.taken()));
        self.left = self.left.zip(stays).and_then(|(left, stays)| left.checked_sub(stays.saturating_add(NODE_BYTES)));
    }
}

impl<'de, F: FnMut(String, Value, usize) -> usize> DeserializeSeed<'de> for &mut Members<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, F: FnMut(String, Value, usize) -> usize> Visitor<'de> for &mut Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while self.left.is_some() {
            let meter = Meter::new(MEMBER_MEMORY);
            let Some(value) = sequence.next_element_seed(Kept::new(None, &meter))? else { return Ok(()) };
            self.add(String::new(), value, &meter);
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while self.left.is_some() {
            let meter = Meter::new(MEMBER_MEMORY);
            let Some(name) = members.next_key()? else { return Ok(()) };
            let value = members.next_value_seed(Kept::new(None, &meter))?;
            self.add(name, value, &meter);
        }
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Taken = Vec<(String, Value)>;

    fn read(body: &str, memory: usize) -> serde_json::Result<(bool, Taken)> {
        let mut taken = Vec::new();
        let take = |name, value, stays| {
            taken.push((name, value));
            stays
        };
        each(&mut serde_json::Deserializer::from_str(body), ("part", memory), take).map(|whole| (whole, taken))
    }

    #[test]
    fn members_of_a_list_and_of_an_object_come_one_by_one_and_other_parts_do_not() {
        let (whole, taken) = read(r#"{"a": {"part": [9]}, "part": [1, {"b": 2}], "c": [3]}"#, 1_000).unwrap();
        assert!(whole);
        assert_eq!(taken, [(String::new(), 1.into()), (String::new(), serde_json::json!({"b": 2}))]);
        let (whole, taken) = read(r#"{"part": {"x": null, "y": "z"}}"#, 1_000).unwrap();
        assert!(whole);
        assert_eq!(taken, [("x".to_owned(), Value::Null), ("y".to_owned(), "z".into())]);
    }

    #[test]
    fn past_its_memory_the_rest_is_read_over() {
        let many = format!(r#"{{"part": [{}0]}}"#, "0,".repeat(100));
        let (whole, taken) = read(&many, 20 * NODE_BYTES).unwrap();
        assert!(!whole && taken.len() < 20, "{}", taken.len());
        let dense = format!(r#"{{"part": [[{}0], 1]}}"#, "0,".repeat(MEMBER_MEMORY / NODE_BYTES));
        let (whole, taken) = read(&dense, usize::MAX).unwrap();
        assert!(!whole && taken.is_empty());
    }

    #[test]
    fn what_is_no_object_with_the_part_is_malformed() {
        for body in ["", "[]", "{}", r#"{"other": []}"#, r#"{"part": 5}"#, r#"{"part": [1"#, r#"{"part": []} x"#] {
            assert!(read(body, 1_000).is_err(), "{body}");
        }
    }
}
