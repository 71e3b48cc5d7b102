//! Reads one page of a list: items are projected while they are read, and those that nobody can be given are passed over.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Shape, ShapeError, WRAPPING_BYTES,
    kept::{Kept, Meter},
    object::{ObjectSeed, ObjectShape},
    travelling_bytes,
};
use crate::{arguments::Args, manifest};

/// The member that tells one item from another.
const ID: &str = "id";

/// One request's part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The place in the whole list of its first item.
    pub start: u64,
    /// How many items it is asked to hold.
    pub size: u64,
    /// How many of its first items are not wanted: they were given before.
    pub skip: u64,
}

impl Page {
    /// The query parameters that bring this page.
    #[must_use]
    pub fn query(self, paging: manifest::Paging) -> Vec<(String, String)> {
        let number = |name: &str, value: u64| (name.to_owned(), value.to_string());
        match paging {
            manifest::Paging::Numbered => {
                vec![number("page", self.start / self.size.max(1)), number("pageSize", self.size)]
            }
            manifest::Paging::Scim => {
                vec![number("startIndex", self.start.saturating_add(1)), number("count", self.size)]
            }
            manifest::Paging::Whole => Vec::new(),
        }
    }
}

/// What one page brought.
#[derive(Debug, Default)]
pub struct PageRead {
    /// The wanted items with their JSON text, as many as fit a result.
    pub(super) items: Vec<(Value, String)>,
    /// How many items of the page were not given before, whether or not they fit.
    pub(super) new: u64,
    /// How many items came.
    pub(super) received: u64,
    /// How many items the whole list has, where Ironclad says so.
    pub(super) total: Option<u64>,
    /// Tells the page from any other by the ids of its items; 0 where they have none.
    pub(super) mark: u64,
    /// The bytes of the item that did not fit.
    pub(super) too_large: Option<usize>,
}

/// Reads a reply that is a page of a list.
#[derive(Debug, Clone)]
pub struct PageReader {
    object: ObjectShape,
    paging: manifest::Paging,
    /// The member that each local filter looks at, and the text wanted in it.
    filters: Vec<(String, String)>,
    page: Page,
    most: u64,
    max_bytes: usize,
}

impl PageReader {
    /// A reader of an entry's page, of which `most` items are wanted at most.
    #[must_use]
    pub fn new(entry: &manifest::Entry, args: &Args, shape: &Shape<'_>, (page, most): (Page, u64)) -> Self {
        let filters: Vec<(String, String)> = item_filters(entry, args).collect();
        let looked_at = filters.iter().map(|(member, _)| member.as_str()).chain([ID]);
        let object = ObjectShape::new(entry, shape).looking_at(looked_at);
        let paging = match &entry.answer {
            manifest::Answer::Page { paging, .. } => *paging,
            manifest::Answer::Object { .. }
            | manifest::Answer::Form { .. }
            | manifest::Answer::Job { .. }
            | manifest::Answer::Empty {}
            | manifest::Answer::Document {} => manifest::Paging::Whole,
        };
        Self { object, paging, filters, page, most, max_bytes: shape.max_bytes }
    }

    /// Reads the page.
    ///
    /// # Errors
    /// The body is not such a list.
    pub fn read<'de, R: serde_json::de::Read<'de>>(
        &self,
        json: &mut serde_json::Deserializer<R>,
    ) -> Result<PageRead, ShapeError> {
        let mut read = json.deserialize_map(ListVisitor(self))?;
        json.end()?;
        if self.paging == manifest::Paging::Whole {
            read.total = Some(read.received);
        }
        Ok(read)
    }

    /// Whether the item at a place of the page was not given before, and belongs to no later page.
    fn is_new(&self, at: u64) -> bool {
        at >= self.page.skip && (self.paging != manifest::Paging::Numbered || at < self.page.size)
    }

    fn passes(&self, item: &Map<String, Value>) -> bool {
        self.filters.iter().all(|(member, text)| contains(item, member, text))
    }
}

/// The local filters of a call: the member each looks at, and the text wanted in it.
fn item_filters<'a>(entry: &'a manifest::Entry, args: &'a Args) -> impl Iterator<Item = (String, String)> + use<'a> {
    let local = entry.parameters.iter().filter(|(_, parameter)| parameter.place == manifest::Place::Item);
    local.filter_map(|(name, parameter)| {
        let text = args.text(name)?.to_lowercase();
        Some((parameter.wire.as_deref().unwrap_or(name).trim_start_matches('/').to_owned(), text))
    })
}

fn contains(item: &Map<String, Value>, member: &str, wanted: &str) -> bool {
    item.get(member).and_then(Value::as_str).is_some_and(|text| text.to_lowercase().contains(wanted))
}

/// Reads a list reply: `{list, count?}` or `{Resources, totalResults}`.
struct ListVisitor<'a>(&'a PageReader);

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = PageRead;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of items")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<PageRead, A::Error> {
        let mut list = None;
        let mut total = None;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "list" | "Resources" => list = Some(members.next_value_seed(ItemsSeed(self.0))?),
                "count" | "totalResults" => {
                    let meter = Meter::new(1_000);
                    total = members.next_value_seed(Kept::new(None, &meter))?.and_then(|total| total.as_u64());
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        match list {
            Some(list) => Ok(PageRead { total, ..list }),
            // RFC 7644 §3.4.2: Resources may be left out where nothing matched.
            None if total == Some(0) => Ok(PageRead { total, ..PageRead::default() }),
            None => Err(serde::de::Error::missing_field("list")),
        }
    }
}

struct ItemsSeed<'a>(&'a PageReader);

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_> {
    type Value = PageRead;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_> {
    type Value = PageRead;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut taking = Taking {
            reader: self.0,
            read: PageRead::default(),
            bytes: WRAPPING_BYTES,
            ids: Sha256::new(),
            has_ids: false,
        };
        while sequence.next_element_seed(&mut taking)?.is_some() {}
        Ok(taking.finish())
    }
}

/// The items of a page, one after the other.
struct Taking<'a> {
    reader: &'a PageReader,
    read: PageRead,
    bytes: usize,
    ids: Sha256,
    has_ids: bool,
}

impl Taking<'_> {
    fn is_full(&self) -> bool {
        self.read.too_large.is_some()
    }

    fn note(&mut self, item: &Map<String, Value>) {
        if let Some(id) = item.get(ID).and_then(Value::as_str) {
            self.ids.update((id.len() as u64).to_be_bytes());
            self.ids.update(id);
            self.has_ids = true;
        }
    }

    fn finish(mut self) -> PageRead {
        let digest: [u8; 32] = self.ids.finalize().into();
        self.read.mark = digest.first_chunk().filter(|_| self.has_ids).map_or(0, |first| u64::from_be_bytes(*first));
        self.read
    }

    /// Keeps an item, if it fits beside those before it.
    fn take(&mut self, item: Map<String, Value>, meter: &Meter) {
        let item = Value::Object(self.reader.object.finish(item));
        let text = item.to_string();
        self.bytes += travelling_bytes(&text) + 2;
        if self.bytes > self.reader.max_bytes || meter.is_exceeded() {
            self.read.too_large = Some(self.bytes.max(self.reader.max_bytes));
        } else {
            self.read.items.push((item, text));
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Taking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        // An item is built only if it may be given, or a filter has to look at it.
        let is_new = self.reader.is_new(self.read.received);
        let wanted = is_new && self.read.new < self.reader.most && !self.is_full();
        let meter = Meter::for_result(self.reader.max_bytes);
        let item = if wanted || !self.reader.filters.is_empty() {
            ObjectSeed { shape: &self.reader.object, meter: &meter }.deserialize(json)?
        } else {
            json.deserialize_map(IdVisitor)?
        };
        if !self.reader.passes(&item) {
            return Ok(());
        }
        self.note(&item);
        if wanted {
            self.take(item, &meter);
        }
        self.read.received += 1;
        self.read.new += u64::from(is_new);
        Ok(())
    }
}

/// Reads of an object its id alone.
struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let meter = Meter::new(1_000);
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == ID {
                let id = members.next_value_seed(Kept::new(None, &meter))?;
                object.extend(id.map(|id| (name, id)));
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}
