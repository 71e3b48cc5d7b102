//! Shapes Ironclad's reply into what the caller gets: the list envelope, projection, the size cap, `url`.
//!
//! Bulky members are skipped while the reply is parsed rather than removed afterwards, so a page of workflows never holds
//! its launch forms in memory. A result counts with both of its copies, structured and text (DESIGN, decision 8).

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::{arguments::Args, manifest, request::Request};

/// What a successful call gives its caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The structured content; always an object.
    pub structured: Value,
    /// The same as JSON text.
    pub text: String,
    /// A document's content, which goes beside the structured content.
    pub resource: Option<Resource>,
}

/// A document in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The bytes, in base64.
    Blob {
        /// `ironclad://workflows/{id}/documents/{key}`
        uri: String,
        /// The media type.
        media_type: String,
        /// The bytes in standard base64.
        base64: String,
    },
    /// A link, where the bytes are too many.
    Link {
        /// `ironclad://workflows/{id}/documents/{key}`
        uri: String,
        /// The file's name.
        name: String,
        /// The media type.
        media_type: String,
        /// Its size in bytes, where Ironclad said.
        size: Option<u64>,
    },
}

impl Answer {
    /// An answer of structured content alone.
    #[must_use]
    pub fn new(structured: Value) -> Self {
        let text = structured.to_string();
        Self { structured, text, resource: None }
    }

    /// The bytes that travel: the structured content and its text copy, which is escaped once more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        travelling_bytes(&self.text)
    }
}

fn travelling_bytes(text: &str) -> usize {
    let escapes = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 * text.len() + escapes
}

/// The bytes of a result beside its content: member names, content type, the list envelope.
const WRAPPING_BYTES: usize = 300;

/// What an answer is shaped by.
#[derive(Debug, Clone)]
pub struct Shape<'a> {
    /// The Ironclad host, for `url`.
    pub origin: &'a str,
    /// The most bytes that a result may have.
    pub max_bytes: usize,
    /// The members to keep.
    pub fields: Option<Fields>,
}

/// Why a reply cannot be shaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The body is not the JSON that the endpoint answers with.
    #[error("the body is not the JSON that the endpoint answers with")]
    Malformed,
    /// The result would be larger than the limit.
    #[error("the result would take {bytes} bytes")]
    TooLarge {
        /// How large it would be.
        bytes: usize,
    },
}

/// Dotted paths to keep, as a tree; an empty node keeps everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Self>);

impl Fields {
    /// The fields that a call asks for, if it asks for any.
    #[must_use]
    pub fn of(args: &Args) -> Option<Self> {
        let paths = args.texts("fields").filter(|paths| !paths.is_empty())?;
        let mut root = Self::default();
        for path in paths {
            let mut node = &mut root;
            for step in path.split('.') {
                node = node.0.entry(step.to_owned()).or_default();
            }
        }
        Some(root)
    }

    fn names(&self, member: &str) -> bool {
        self.0.contains_key(member)
    }

    fn project(&self, value: Value) -> Option<Value> {
        if self.0.is_empty() {
            return Some(value);
        }
        match value {
            Value::Object(members) => Some(Value::Object(self.project_object(members))),
            Value::Array(items) => Some(items.into_iter().filter_map(|item| self.project(item)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    fn project_object(&self, members: Map<String, Value>) -> Map<String, Value> {
        let kept = members.into_iter().filter_map(|(name, value)| {
            let kept = self.0.get(&name)?.project(value)?;
            Some((name, kept))
        });
        kept.collect()
    }
}

/// How one object of a reply is read: what is skipped, what is added.
struct ObjectShape<'a> {
    omit: &'a [String],
    page: Option<&'a str>,
    /// Members that a local filter looks at.
    filtered: Vec<&'a str>,
    shape: &'a Shape<'a>,
}

impl ObjectShape<'_> {
    fn keeps(&self, member: &str) -> bool {
        let asked = self.shape.fields.as_ref().map(|fields| fields.names(member));
        let needed = self.filtered.contains(&member)
            || self.page.is_some_and(|page| manifest::placeholders(page).any(|name| name == member));
        asked.unwrap_or_else(|| !self.omit.iter().any(|name| name == member)) || needed
    }

    fn finish(&self, mut object: Map<String, Value>) -> Map<String, Value> {
        if let Some(url) = self.page.and_then(|page| page_url(self.shape.origin, page, &object)) {
            object.insert("url".into(), url.into());
        }
        match &self.shape.fields {
            Some(fields) => fields.project_object(object),
            None => object,
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

/// Shapes a reply that is one object.
///
/// # Errors
/// The body is no JSON object, or the result is past the limit; a write that succeeded is cut to its ids instead.
pub fn object(entry: &manifest::Entry, body: &[u8], shape: &Shape<'_>) -> Result<Answer, ShapeError> {
    let none = Vec::new();
    let (omit, page) = match &entry.answer {
        manifest::Answer::Object { omit, page, .. } => (omit, page.as_deref()),
        manifest::Answer::Page { .. } | manifest::Answer::Empty {} | manifest::Answer::Document {} => (&none, None),
    };
    let shaper = ObjectShape { omit, page, filtered: Vec::new(), shape };
    let mut json = serde_json::Deserializer::from_slice(body);
    let object = ObjectSeed(&shaper).deserialize(&mut json).map_err(|_| ShapeError::Malformed)?;
    json.end().map_err(|_| ShapeError::Malformed)?;
    let answer = Answer::new(shaper.finish(object).into());
    let bytes = answer.bytes() + WRAPPING_BYTES;
    if bytes <= shape.max_bytes {
        return Ok(answer);
    }
    if entry.effect.is_write() {
        Ok(Answer::new(ids_alone(answer.structured)))
    } else {
        Err(ShapeError::TooLarge { bytes })
    }
}

/// What is left of a successful write's answer that is past the limit: ids and `url`.
fn ids_alone(structured: Value) -> Value {
    let Value::Object(members) = structured else { return structured };
    let is_id = |name: &str| name == "id" || name == "url" || name.ends_with("Id");
    let short = |value: &Value| value.as_str().is_some_and(|text| text.len() <= 200);
    let mut kept: Map<String, Value> =
        members.into_iter().filter(|(name, value)| is_id(name) && short(value)).collect();
    kept.insert("truncated".into(), true.into());
    kept.into()
}

/// The answer of a write whose reply holds nothing (or a bare `true`): the ids of the call.
///
/// # Errors
/// The body is not even JSON, so something else than Ironclad answered.
pub fn empty(entry: &manifest::Entry, args: &Args, body: &[u8]) -> Result<Answer, ShapeError> {
    if !body.trim_ascii().is_empty() {
        serde_json::from_slice::<IgnoredAny>(body).map_err(|_| ShapeError::Malformed)?;
    }
    let mut members = Map::from_iter([("done".to_owned(), true.into())]);
    for name in entry.path_arguments() {
        if let Some(id) = args.get(name) {
            members.insert(name.to_owned(), id.clone());
        }
    }
    Ok(Answer::new(members.into()))
}

/// Which part of a list a call wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The place in the whole list of the first item wanted.
    pub offset: u64,
    /// How many items at most.
    pub limit: u64,
}

impl Window {
    /// The query parameters that bring this window, by the endpoint's paging.
    ///
    /// A page of `limit` items that holds the offset: where the offset is not on a page's edge (the size cap cut a page
    /// short, or `limit` changed on the way) the page's first items are skipped.
    #[must_use]
    pub fn query(self, paging: manifest::Paging) -> Vec<(String, String)> {
        let number = |name: &str, value: u64| (name.to_owned(), value.to_string());
        match paging {
            manifest::Paging::Numbered => {
                vec![number("page", self.offset / self.limit), number("pageSize", self.limit)]
            }
            manifest::Paging::Scim => {
                vec![number("startIndex", self.offset.saturating_add(1)), number("count", self.limit)]
            }
            manifest::Paging::Whole => Vec::new(),
        }
    }

    fn skipped(self, paging: manifest::Paging) -> u64 {
        match paging {
            manifest::Paging::Numbered => self.offset % self.limit,
            manifest::Paging::Scim => 0,
            manifest::Paging::Whole => self.offset,
        }
    }
}

/// Shapes a reply that is a list; `seal` makes the cursor of an offset.
///
/// # Errors
/// The body is not such a list, or not even one item fits the limit.
pub fn page(
    entry: &manifest::Entry,
    args: &Args,
    body: &[u8],
    shape: &Shape<'_>,
    (window, seal): (Window, &dyn Fn(u64) -> String),
) -> Result<Answer, ShapeError> {
    let manifest::Answer::Page { paging, omit, page, .. } = &entry.answer else { return Err(ShapeError::Malformed) };
    let filters: Vec<(&str, String)> = item_filters(entry, args).collect();
    let filtered = filters.iter().map(|(member, _)| *member).collect();
    let shaper = ObjectShape { omit, page: page.as_deref(), filtered, shape };
    let mut list = ListSeed::parse(body, &shaper)?;
    let received = list.items.len() as u64;
    if *paging == manifest::Paging::Whole {
        list.items.retain(|item| filters.iter().all(|(member, text)| contains(item, member, text)));
        list.total = Some(list.items.len() as u64);
    }
    let start = usize::try_from(window.skipped(*paging)).unwrap_or(usize::MAX);
    let wanted = usize::try_from(window.limit).unwrap_or(usize::MAX);
    let available = list.items.len().saturating_sub(start).min(wanted);
    let mut fitted = Fitted::new(shape.max_bytes);
    for item in list.items.into_iter().skip(start).take(wanted) {
        if !fitted.add(Value::Object(shaper.finish(item))) {
            break;
        }
    }
    let given = fitted.items.len();
    if given == 0 && available > 0 {
        return Err(ShapeError::TooLarge { bytes: fitted.bytes });
    }
    let next = window.offset.saturating_add(given as u64);
    let more_behind = list.total.map_or(received >= window.limit, |total| next < total);
    let has_more = given > 0 && (given < available || more_behind);
    Ok(fitted.envelope(has_more.then(|| seal(next)), list.total))
}

/// Items that fit the size limit together, and their JSON text.
struct Fitted {
    items: Vec<Value>,
    text: String,
    bytes: usize,
    max_bytes: usize,
}

impl Fitted {
    fn new(max_bytes: usize) -> Self {
        Self { items: Vec::new(), text: r#"{"items":["#.to_owned(), bytes: WRAPPING_BYTES, max_bytes }
    }

    fn add(&mut self, item: Value) -> bool {
        let text = item.to_string();
        self.bytes += travelling_bytes(&text) + 2;
        if self.bytes > self.max_bytes {
            return false;
        }
        if !self.items.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(&text);
        self.items.push(item);
        true
    }

    fn envelope(mut self, next_cursor: Option<String>, total: Option<u64>) -> Answer {
        self.text.push(']');
        let mut rest = Map::from_iter([("has_more".to_owned(), Value::Bool(next_cursor.is_some()))]);
        if let Some(cursor) = next_cursor {
            rest.insert("next_cursor".into(), cursor.into());
        }
        if let Some(total) = total {
            rest.insert("total".into(), total.into());
        }
        let mut structured = Map::with_capacity(4);
        structured.insert("items".into(), Value::Array(self.items));
        for (name, value) in rest {
            self.text.push_str(&format!(",\"{name}\":{value}"));
            structured.insert(name, value);
        }
        self.text.push('}');
        Answer { structured: structured.into(), text: self.text, resource: None }
    }
}

/// The local filters of a call: the member each looks at, and the text wanted in it.
fn item_filters<'a>(entry: &'a manifest::Entry, args: &'a Args) -> impl Iterator<Item = (&'a str, String)> {
    let local = entry.parameters.iter().filter(|(_, parameter)| parameter.place == manifest::Place::Item);
    local.filter_map(|(name, parameter)| {
        let text = args.text(name)?.to_lowercase();
        Some((parameter.wire.as_deref().unwrap_or(name).trim_start_matches('/'), text))
    })
}

fn contains(item: &Map<String, Value>, member: &str, wanted: &str) -> bool {
    item.get(member).and_then(Value::as_str).is_some_and(|text| text.to_lowercase().contains(wanted))
}

/// The answer of a dry run: the request that would have been sent.
#[must_use]
pub fn dry_run(request: &Request) -> Answer {
    Answer::new(json!({ "dry_run": true, "request": request.to_json() }))
}

/// Reads one object, skipping the members that nobody wants.
struct ObjectSeed<'a>(&'a ObjectShape<'a>);

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
        while let Some(name) = members.next_key::<String>()? {
            if self.0.keeps(&name) {
                object.insert(name, members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// Reads a list reply: `{list, count?}` or `{Resources, totalResults}`.
struct ListSeed<'a>(&'a ObjectShape<'a>);

#[derive(Default)]
struct List {
    items: Vec<Map<String, Value>>,
    total: Option<u64>,
}

impl<'a> ListSeed<'a> {
    fn parse(body: &[u8], shaper: &'a ObjectShape<'a>) -> Result<List, ShapeError> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let list = json.deserialize_map(Self(shaper)).map_err(|_| ShapeError::Malformed)?;
        json.end().map_err(|_| ShapeError::Malformed)?;
        Ok(list)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page of items")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<List, A::Error> {
        let mut list = List::default();
        let mut found = false;
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "list" | "Resources" => {
                    list.items = members.next_value_seed(ItemsSeed(self.0))?;
                    found = true;
                }
                "count" | "totalResults" => list.total = members.next_value::<Value>()?.as_u64(),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        // RFC 7644 §3.4.2: Resources may be left out where nothing matched.
        if found || list.total == Some(0) { Ok(list) } else { Err(serde::de::Error::missing_field("list")) }
    }
}

struct ItemsSeed<'a>(&'a ObjectShape<'a>);

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_> {
    type Value = Vec<Map<String, Value>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_> {
    type Value = Vec<Map<String, Value>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(ObjectSeed(self.0))? {
            items.push(item);
        }
        Ok(items)
    }
}
