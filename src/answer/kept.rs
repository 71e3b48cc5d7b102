//! Reads of foreign JSON only what is wanted, and only so much of it.
//!
//! Two bytes of JSON can become eighty in memory, so what is built is metered while it is read: past the budget, and past
//! the depth that any object of Ironclad's has, the rest is passed over. What nobody wants is never built.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Fields;

/// What one value costs in memory beside its text, about.
pub(super) const NODE_BYTES: usize = 80;

/// The deepest that a value is kept; `serde_json` itself gives up at 128, which would read as malformed.
const DEEPEST: usize = 100;

/// How much may still be kept.
#[derive(Debug)]
pub struct Meter {
    room: usize,
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Meter {
    /// Room for so many bytes of memory.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { room: bytes, left: Cell::new(bytes), exceeded: Cell::new(false) }
    }

    /// Room for whatever fits into a result of so many bytes, and well past it.
    #[must_use]
    pub fn for_result(max_bytes: usize) -> Self {
        // A value takes two bytes of text at least, and every text travels twice.
        Self::new((4 << 20) + max_bytes.saturating_mul(NODE_BYTES / 4 + 1))
    }

    /// Whether something had to be passed over.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.get()
    }

    /// How much was kept, about.
    pub(super) fn taken(&self) -> usize {
        self.room.saturating_sub(self.left.get())
    }

    fn exceed(&self) {
        self.exceeded.set(true);
    }

    pub(super) fn take(&self, bytes: usize) -> bool {
        match self.left.get().checked_sub(bytes.saturating_add(NODE_BYTES)) {
            Some(left) if !self.is_exceeded() => self.left.set(left),
            Some(_) | None => self.exceed(),
        }
        !self.is_exceeded()
    }
}

/// Reads one value, as far as it is wanted; `None` where nothing of it is, or there is no more room.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    fields: Option<&'a Fields>,
    meter: &'a Meter,
    depth: usize,
}

impl<'a> Kept<'a> {
    /// Of a value, what `fields` name; all of it where they are `None`.
    pub(super) fn new(fields: Option<&'a Fields>, meter: &'a Meter) -> Self {
        Self { fields: fields.filter(|fields| !fields.is_whole()), meter, depth: 0 }
    }

    fn below(self, fields: Option<&'a Fields>) -> Self {
        Self { depth: self.depth + 1, ..Self::new(fields, self.meter) }
    }

    fn leaf(self, bytes: usize, value: impl FnOnce() -> Value) -> Option<Value> {
        (self.fields.is_none() && self.meter.take(bytes)).then(value)
    }
}

/// A whole value within a budget; `None` past it.
///
/// # Errors
/// It is no JSON.
pub fn metered<'de, R: serde_json::de::Read<'de>>(
    json: &mut serde_json::Deserializer<R>,
    meter: &Meter,
) -> serde_json::Result<Option<Value>> {
    let value = Kept::new(None, meter).deserialize(&mut *json)?;
    json.end()?;
    Ok(value.filter(|_| !meter.is_exceeded()))
}

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.depth > DEEPEST {
            self.meter.exceed();
        }
        if self.meter.is_exceeded() {
            return json.deserialize_ignored_any(IgnoredAny).map(|_| None);
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.leaf(0, || Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.leaf(0, || value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.leaf(0, || value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.leaf(0, || value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.leaf(0, || value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.leaf(value.len(), || value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        self.meter.take(0);
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(self.below(self.fields))? {
            items.extend(item);
        }
        Ok(Some(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        self.meter.take(0);
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let below = match self.fields {
                None => Some(None),
                Some(fields) => fields.below(&name).map(Some),
            };
            let kept = match below {
                Some(fields) => members.next_value_seed(self.below(fields))?,
                None => members.next_value::<IgnoredAny>().map(|_| None)?,
            };
            if let Some(value) = kept
                && self.meter.take(name.len())
            {
                object.insert(name, value);
            }
        }
        Ok(Some(object.into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str, bytes: usize) -> Option<Value> {
        metered(&mut serde_json::Deserializer::from_str(body), &Meter::new(bytes)).unwrap()
    }

    #[test]
    fn what_has_room_comes_whole_and_what_has_none_does_not_come() {
        let value = json!({"a": [1, -2, 2.5, true, null, "text"], "b": {"c": {}}});
        assert_eq!(read(&value.to_string(), 10_000), Some(value.clone()));
        assert_eq!(read(&value.to_string(), 500), None);
    }

    #[test]
    fn depth_is_no_fault_but_is_not_kept() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(read(&deep, 1 << 20), None);
        let fine = "[".repeat(DEEPEST) + &"]".repeat(DEEPEST);
        assert!(read(&fine, 1 << 20).is_some());
    }

    #[test]
    fn many_small_values_are_metered_by_what_they_take_in_memory() {
        let many = format!("[{}0]", "0,".repeat(50_000));
        assert_eq!(read(&many, 1 << 20), None, "100 kB of text, and 4 MB of values");
    }

    #[test]
    fn what_fits_a_result_always_has_room() {
        for max_bytes in [2_000, 60_000, 1 << 20] {
            // The most values that fit: each two bytes, and the text travels twice.
            let densest = format!("[{}0]", "0,".repeat(max_bytes / 4));
            let meter = Meter::for_result(max_bytes);
            assert!(metered(&mut serde_json::Deserializer::from_str(&densest), &meter).unwrap().is_some());
        }
    }
}
