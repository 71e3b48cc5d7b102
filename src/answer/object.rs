//! Reads one object of a reply: what is skipped, what is added.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{
    Answer, Fields, Shape, ShapeError, WRAPPING_BYTES,
    kept::{Kept, Meter},
};
use crate::manifest;

/// How one object of a reply is read. It owns what it needs, because a large body is read on a thread of its own.
#[derive(Debug, Clone)]
pub(super) struct ObjectShape {
    origin: String,
    omit: Vec<String>,
    page: Option<String>,
    /// Members that are looked at, whether or not they are asked for.
    needed: Vec<String>,
    fields: Option<Fields>,
    /// A write's ids are kept whatever else has no room.
    keeps_ids: bool,
}

impl ObjectShape {
    pub(super) fn new(entry: &manifest::Entry, shape: &Shape<'_>) -> Self {
        let (omit, page) = match &entry.answer {
            manifest::Answer::Object { omit, page, .. } | manifest::Answer::Page { omit, page, .. } => {
                (omit.clone(), page.clone())
            }
            manifest::Answer::Job { omit, .. } => (omit.clone(), None),
            manifest::Answer::Form { .. } | manifest::Answer::Empty {} | manifest::Answer::Document {} => {
                (Vec::new(), None)
            }
        };
        let needed = page.iter().flat_map(|page| manifest::placeholders(page)).map(str::to_owned).collect();
        let (origin, fields) = (shape.origin.to_owned(), shape.fields.clone());
        Self { origin, omit, page, needed, fields, keeps_ids: entry.effect.is_write() }
    }

    /// The same, looking at some more members.
    pub(super) fn looking_at<'a>(mut self, members: impl Iterator<Item = &'a str>) -> Self {
        self.needed.extend(members.map(str::to_owned));
        self
    }

    /// Adds what is ours, and takes out what was only looked at.
    pub(super) fn finish(&self, mut object: Map<String, Value>) -> Map<String, Value> {
        if let Some(url) = self.page.as_deref().and_then(|page| page_url(&self.origin, page, &object)) {
            object.insert("url".into(), url.into());
        }
        match &self.fields {
            Some(fields) => fields.project_object(object),
            None => object,
        }
    }

    fn wanted<'a>(&'a self, member: &str, meter: &'a Meter) -> Option<Kept<'a>> {
        if self.needed.iter().any(|needed| needed == member) {
            return Some(Kept::new(None, meter));
        }
        match &self.fields {
            Some(fields) => Some(Kept::new(Some(fields.below(member)?), meter)),
            None if self.omit.iter().any(|omitted| omitted == member) => None,
            None => Some(Kept::new(None, meter)),
        }
    }
}

/// `ORIGIN/workflow/{id}` with the object's own members put in.
fn page_url(origin: &str, page: &str, object: &Map<String, Value>) -> Option<String> {
    let mut url = origin.to_owned();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        url.push_str(before);
        url.push_str(object.get(name)?.as_str()?);
        rest = after;
    }
    url.push_str(rest);
    Some(url)
}

/// Reads a reply that is one object.
#[derive(Debug, Clone)]
pub struct ObjectReader {
    shape: ObjectShape,
    max_bytes: usize,
}

impl ObjectReader {
    /// A reader of an entry's reply.
    #[must_use]
    pub fn new(entry: &manifest::Entry, shape: &Shape<'_>) -> Self {
        Self { shape: ObjectShape::new(entry, shape), max_bytes: shape.max_bytes }
    }

    /// Reads the reply, and shapes it.
    ///
    /// # Errors
    /// It is no JSON object, or the result is past the limit; a write that succeeded is cut to its ids instead.
    pub fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<Answer, ShapeError> {
        let meter = Meter::for_result(self.max_bytes);
        let object = ObjectSeed { shape: &self.shape, meter: &meter }.deserialize(&mut *json)?;
        json.end()?;
        let answer = Answer::new(self.shape.finish(object).into());
        let bytes = answer.bytes() + WRAPPING_BYTES;
        if bytes <= self.max_bytes && !meter.is_exceeded() {
            return Ok(answer);
        }
        if self.shape.keeps_ids {
            Ok(ids_alone(answer.structured, self.max_bytes))
        } else {
            Err(ShapeError::TooLarge { bytes: bytes.max(self.max_bytes) })
        }
    }
}

/// Shapes a reply that is one object.
///
/// # Errors
/// As [`ObjectReader::read`].
pub fn object(entry: &manifest::Entry, body: &[u8], shape: &Shape<'_>) -> Result<Answer, ShapeError> {
    ObjectReader::new(entry, shape).read(&mut serde_json::Deserializer::from_slice(body))
}

/// The longest id that a cut answer holds.
const LONGEST_ID: usize = 200;

/// The most ids that are read of a write's answer past its limit.
const MOST_SPARED: usize = 32;

fn is_id(member: &str) -> bool {
    member == "id" || member == "url" || member.ends_with("Id")
}

/// What is left of a successful write's answer that is past the limit: ids and `url`.
fn ids_alone(structured: Value, max_bytes: usize) -> Answer {
    let short = |value: &Value| value.as_str().is_some_and(|text| text.len() <= LONGEST_ID);
    let Value::Object(mut members) = structured else { return Answer::new(structured) };
    members.retain(|name, value| is_id(name) && short(value));
    let mut cut = Map::from_iter([("truncated".to_owned(), true.into())]);
    let own = ["id", "url"].into_iter().filter_map(|name| members.shift_remove_entry(name)).collect::<Vec<_>>();
    for (name, value) in own.into_iter().chain(members) {
        cut.insert(name.clone(), value);
        if !Answer::new(cut.clone().into()).fits(max_bytes) {
            cut.shift_remove(&name);
            break;
        }
    }
    Answer::new(cut.into())
}

/// Reads one object, skipping the members that nobody wants.
#[derive(Clone, Copy)]
pub(super) struct ObjectSeed<'a> {
    pub(super) shape: &'a ObjectShape,
    pub(super) meter: &'a Meter,
}

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ObjectSeed<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        let mut spared = 0;
        while let Some(name) = members.next_key::<String>()? {
            let an_id = Meter::new(4 * LONGEST_ID);
            let spares = self.shape.keeps_ids && is_id(&name) && self.meter.is_exceeded() && spared < MOST_SPARED;
            let meter = if spares { &an_id } else { self.meter };
            spared += usize::from(spares);
            let kept = match self.shape.wanted(&name, meter) {
                Some(kept) => members.next_value_seed(kept)?,
                None => members.next_value::<IgnoredAny>().map(|_| None)?,
            };
            if let Some(value) = kept
                && meter.take(name.len())
            {
                object.insert(name, value);
            }
        }
        Ok(object)
    }
}
