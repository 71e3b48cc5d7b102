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
    /// What the result's `_meta` says of the answer.
    pub meta: Map<String, Value>,
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
        Self { structured, text, resource: None, meta: Map::new() }
    }

    /// The same with only the members asked for; a document's content stays.
    #[must_use]
    pub fn narrowed(self, fields: Option<&Fields>) -> Self {
        match (fields, self.structured) {
            (Some(fields), Value::Object(members)) => {
                Self { resource: self.resource, meta: self.meta, ..Self::new(fields.project_object(members).into()) }
            }
            (_, structured) => Self { structured, ..self },
        }
    }

    /// The same answer with another member beside it; an empty list is left out.
    #[must_use]
    pub fn with(self, name: &str, value: Value) -> Self {
        let says = value.as_array().is_none_or(|items| !items.is_empty());
        let mut structured = self.structured;
        if let Value::Object(members) = &mut structured
            && says
        {
            members.insert(name.to_owned(), value);
        }
        Self { resource: self.resource, meta: self.meta, ..Self::new(structured) }
    }

    /// The same answer with what would change beside it, where that is known.
    #[must_use]
    pub fn with_diff(self, diff: Option<Vec<Value>>) -> Self {
        match (self.structured, diff) {
            (Value::Object(mut members), Some(diff)) => {
                members.insert("diff".into(), diff.into());
                Self { resource: self.resource, meta: self.meta, ..Self::new(members.into()) }
            }
            (structured, _) => Self { structured, ..self },
        }
    }

    /// The same answer with what the caller should know beside it.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        if let Value::Object(members) = &mut self.structured
            && !notes.is_empty()
        {
            members.insert("notes".into(), notes.into());
            self.text = self.structured.to_string();
        }
        self
    }

    /// The bytes that travel: the structured content and its text copy, which is escaped once more.
    #[must_use]
    pub fn bytes(&self) -> usize {
        travelling_bytes(&self.text)
    }

    /// Whether the result, its wrapping included, keeps to a limit.
    #[must_use]
    pub fn fits(&self, max_bytes: usize) -> bool {
        self.bytes() + WRAPPING_BYTES <= max_bytes
    }
}

fn travelling_bytes(text: &str) -> usize {
    let escapes = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 * text.len() + escapes
}

/// The most bytes of a result beside its content: member names, content type, the list envelope, the server's stamp.
const WRAPPING_BYTES: usize = 500;

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

/// Dotted paths to keep, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// A path ends here, so everything below is kept, whatever longer paths say.
    whole: bool,
    members: BTreeMap<String, Self>,
}

impl Fields {
    /// The fields that a call asks for, if it asks for any.
    #[must_use]
    pub fn of(args: &Args) -> Option<Self> {
        let paths = args.texts("fields").filter(|paths| !paths.is_empty())?;
        let mut root = Self::default();
        for path in paths {
            let mut node = &mut root;
            for step in path.split('.') {
                node = node.members.entry(step.to_owned()).or_default();
            }
            node.whole = true;
        }
        Some(root)
    }

    fn names(&self, member: &str) -> bool {
        self.below(member).is_some()
    }

    /// What is asked for of a member, whose own name may hold dots (SCIM's schema URNs do).
    fn below(&self, member: &str) -> Option<&Self> {
        member.split('.').try_fold(self, |node, step| node.members.get(step))
    }

    fn project(&self, value: Value) -> Option<Value> {
        if self.whole {
            return Some(value);
        }
        match value {
            Value::Object(members) => Some(Value::Object(self.project_object(members))),
            Value::Array(items) => Some(items.into_iter().filter_map(|item| self.project(item)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// The members that are asked for.
    #[must_use]
    pub fn project_object(&self, members: Map<String, Value>) -> Map<String, Value> {
        let kept = members.into_iter().filter_map(|(name, value)| {
            let kept = self.below(&name)?.project(value)?;
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
        manifest::Answer::Job { omit, .. } => (omit, None),
        manifest::Answer::Page { .. }
        | manifest::Answer::Form { .. }
        | manifest::Answer::Empty {}
        | manifest::Answer::Document {} => (&none, None),
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
                vec![number("page", self.offset / self.limit.max(1)), number("pageSize", self.limit)]
            }
            manifest::Paging::Scim => {
                vec![number("startIndex", self.offset.saturating_add(1)), number("count", self.limit)]
            }
            manifest::Paging::Whole => Vec::new(),
        }
    }

    fn skipped(self, paging: manifest::Paging) -> u64 {
        match paging {
            manifest::Paging::Numbered => self.offset % self.limit.max(1),
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
        Answer { structured: structured.into(), text: self.text, resource: None, meta: Map::new() }
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

#[cfg(test)]
mod tests {
    use manifest::Paging;
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: &str = "https://na1.ironcladapp.com";

    fn entry(effect: &str, answer: &Value) -> manifest::Entry {
        let (prefix, method) = if effect == "read" { ("", "GET") } else { ("WRITE: ", "POST") };
        let manifest = json!({"group": "things", "tools": [{
            "name": "any_thing", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
            "scope": "s", "bucket": "other", "deed": "did it", "answer": answer,
            "request": {"api": "public", "method": method, "path": "/things/{thing_id}"},
            "parameters": {
                "thing_id": {"in": "path", "required": true, "schema": {"type": "string"}},
                "name_contains": {"in": "item", "wire": "/name", "schema": {"type": "string"}}}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn workflow(effect: &str) -> manifest::Entry {
        entry(effect, &json!({"kind": "object", "omit": ["schema"], "page": "/workflow/{id}", "members": {}}))
    }

    fn list(paging: &str) -> manifest::Entry {
        let page =
            json!({"kind": "page", "paging": paging, "omit": ["schema"], "page": "/workflow/{id}", "members": {}});
        entry("read", &page)
    }

    fn args(values: &Value) -> Args {
        let mut args = Args::default();
        for (name, value) in values.as_object().unwrap() {
            args.replace(name, value.clone());
        }
        args
    }

    fn shape(max_bytes: usize, fields: &[&str]) -> Shape<'static> {
        Shape { origin: ORIGIN, max_bytes, fields: Fields::of(&args(&json!({ "fields": fields }))) }
    }

    /// One object, projected.
    fn shaped(value: &Value, fields: &[&str]) -> Value {
        object(&workflow("read"), value.to_string().as_bytes(), &shape(60_000, fields)).unwrap().structured
    }

    /// The bytes of the whole result that a client gets, stamped as the newest revision has it.
    fn result_bytes(answer: &Answer) -> usize {
        let result = json!({"resultType": "complete", "content": [{"type": "text", "text": answer.text}],
            "structuredContent": answer.structured, "isError": false, "_meta": {"io.modelcontextprotocol/serverInfo":
                {"name": "ironclad-mcp", "title": "Ironclad", "version": "0.1.0"}}});
        result.to_string().len()
    }

    /// What Ironclad would answer to a window's query; `counts` says whether it tells the total.
    fn reply(items: &[Value], window: Window, paging: Paging, counts: bool) -> Vec<u8> {
        let query = window.query(paging);
        let number = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.parse().unwrap());
        let part = |from: usize, size: usize| items.iter().skip(from).take(size).cloned().collect::<Vec<_>>();
        let mut body = match paging {
            Paging::Numbered => {
                let size: usize = number("pageSize").unwrap();
                assert!(size <= 100, "Ironclad's largest page");
                json!({"page": 0, "list": part(number("page").unwrap() * size, size), "count": items.len()})
            }
            Paging::Scim => {
                let (from, size) = (number("startIndex").unwrap(), number("count").unwrap());
                json!({"Resources": part(from - 1, size), "totalResults": items.len()})
            }
            Paging::Whole => json!({ "list": items }),
        };
        if !counts {
            body.as_object_mut().unwrap().shift_remove("count");
            body.as_object_mut().unwrap().shift_remove("totalResults");
        }
        body.to_string().into_bytes()
    }

    const PAGINGS: [(&str, Paging); 3] =
        [("numbered", Paging::Numbered), ("scim", Paging::Scim), ("whole", Paging::Whole)];

    /// The offset that a cursor of these tests stands for; it is as long as a real one.
    fn seal(offset: u64) -> String {
        format!("{offset:043}")
    }

    fn first_page(entry: &manifest::Entry, values: &Value, body: &Value, fields: &[&str]) -> Value {
        let window = Window { offset: 0, limit: 20 };
        let body = body.to_string();
        page(entry, &args(values), body.as_bytes(), &shape(60_000, fields), (window, &seal)).unwrap().structured
    }

    #[test]
    fn a_member_whose_own_name_holds_dots_can_be_asked_for() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let root = Fields::of(&args(&json!({"fields": [format!("{urn}.department")]}))).unwrap();
        let user = json!({"id": "1", urn: {"department": "Legal", "other": 1}});
        let kept = root.project_object(user.as_object().cloned().unwrap());
        assert_eq!(Value::Object(kept), json!({urn: {"department": "Legal"}}));
    }

    #[test]
    fn an_object_is_passed_on_without_its_bulky_members_and_with_its_url() {
        let body =
            json!({"id": "w1", "status": "some new status", "schema": {"a": {"type": "string"}}, "x": [1, null]});
        let expected =
            json!({"id": "w1", "status": "some new status", "x": [1, null], "url": format!("{ORIGIN}/workflow/w1")});
        assert_eq!(shaped(&body, &[]), expected);
    }

    #[test]
    fn an_object_without_the_member_that_its_url_needs_has_none() {
        assert_eq!(shaped(&json!({"title": "x"}), &[]), json!({"title": "x"}));
        assert_eq!(shaped(&json!({"id": 5}), &[]), json!({"id": 5}));
    }

    #[test]
    fn fields_keep_what_they_name_and_bring_back_what_is_left_out() {
        let body = json!({"id": "w1", "title": "t", "schema": {"a": {"type": "string"}, "b": {}},
            "attributes": {"fee": {"amount": 5, "currency": "USD"}, "draft": [{"key": "k1", "v": 1}, {"key": "k2"}, 7]},
            "roles": [], "step": "Review"});
        let url = format!("{ORIGIN}/workflow/w1");
        let table: [(&[&str], Value); 12] = [
            (&["title"], json!({"title": "t"})),
            (&["id", "step"], json!({"id": "w1", "step": "Review"})),
            (&["url"], json!({ "url": url })),
            (&["schema"], json!({"schema": {"a": {"type": "string"}, "b": {}}})),
            (&["schema.a"], json!({"schema": {"a": {"type": "string"}}})),
            (&["attributes.fee.amount"], json!({"attributes": {"fee": {"amount": 5}}})),
            (&["attributes.draft.key"], json!({"attributes": {"draft": [{"key": "k1"}, {"key": "k2"}]}})),
            (
                &["attributes.fee", "attributes.fee.amount"],
                json!({"attributes": {"fee": {"amount": 5, "currency": "USD"}}}),
            ),
            (&["schema.b", "schema"], json!({"schema": {"a": {"type": "string"}, "b": {}}})),
            (&["title.x"], json!({})),
            (&["nothing", "roles.id"], json!({"roles": []})),
            (&[""], json!({})),
        ];
        for (fields, expected) in table {
            assert_eq!(shaped(&body, fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_document_is_narrowed_beside_its_content() {
        let resource = Resource::Link { uri: "u".into(), name: "n".into(), media_type: "m".into(), size: None };
        let document =
            Answer { resource: Some(resource.clone()), ..Answer::new(json!({"size": 3, "sha256": "x", "uri": "u"})) };
        assert_eq!(document.clone().narrowed(None), document);
        let narrow = document.narrowed(shape(2_000, &["size"]).fields.as_ref());
        assert_eq!((narrow.structured, narrow.text.as_str()), (json!({"size": 3}), "{\"size\":3}"));
        assert_eq!(narrow.resource, Some(resource));
    }

    #[test]
    fn a_list_is_one_envelope_whichever_api_is_behind_it() {
        let items = [json!({"id": "a", "schema": 1}), json!({"id": "b"})];
        let expected = json!({"has_more": false, "total": 2, "items": [
            {"id": "a", "url": format!("{ORIGIN}/workflow/a")}, {"id": "b", "url": format!("{ORIGIN}/workflow/b")}]});
        let bodies = [
            ("numbered", json!({"page": 0, "pageSize": 20, "count": 2, "list": items})),
            ("scim", json!({"schemas": ["x"], "totalResults": 2, "Resources": items, "startIndex": 1})),
            ("whole", json!({ "list": items })),
        ];
        for (paging, body) in bodies {
            assert_eq!(first_page(&list(paging), &json!({}), &body, &[]), expected, "{paging}");
        }
    }

    #[test]
    fn total_is_absent_where_ironclad_does_not_say() {
        let items: Vec<Value> = (0..20).map(|n| json!({"id": n.to_string()})).collect();
        let full = first_page(&list("numbered"), &json!({}), &json!({ "list": items }), &[]);
        assert_eq!(
            (full.get("total"), &full["has_more"], &full["next_cursor"]),
            (None, &json!(true), &json!(seal(20)))
        );
        let short = first_page(&list("numbered"), &json!({}), &json!({"list": items[..19]}), &[]);
        assert_eq!((&short["has_more"], short.get("next_cursor")), (&json!(false), None));
    }

    #[test]
    fn an_empty_list_ends_the_walk_even_where_the_total_promises_more() {
        let empty = json!({"items": [], "has_more": false, "total": 7});
        assert_eq!(first_page(&list("numbered"), &json!({}), &json!({"list": [], "count": 7}), &[]), empty);
        let none = json!({"items": [], "has_more": false, "total": 0});
        assert_eq!(first_page(&list("scim"), &json!({}), &json!({"totalResults": 0}), &[]), none);
    }

    #[test]
    fn items_are_projected_and_filtered_by_members_that_fields_leave_out() {
        let body = json!({"list": [{"id": "1", "name": "Mutual NDA"}, {"id": "2", "name": "Order"}, {"id": "3"},
            {"id": "4", "name": "nda, one way"}]});
        let values = json!({"name_contains": "NDA"});
        let found = first_page(&list("whole"), &values, &body, &["id"]);
        assert_eq!(found, json!({"items": [{"id": "1"}, {"id": "4"}], "has_more": false, "total": 2}));
    }

    #[test]
    fn windows_ask_in_the_words_of_each_paging() {
        let asked = |offset, limit, paging| {
            let query = Window { offset, limit }.query(paging);
            query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
        };
        assert_eq!(asked(0, 20, Paging::Numbered), "page=0&pageSize=20");
        assert_eq!(asked(47, 20, Paging::Numbered), "page=2&pageSize=20");
        assert_eq!(asked(0, 25, Paging::Scim), "startIndex=1&count=25");
        assert_eq!(asked(47, 25, Paging::Scim), "startIndex=48&count=25");
        assert_eq!(asked(47, 25, Paging::Whole), "");
        assert_eq!(asked(5, 0, Paging::Numbered), "page=5&pageSize=0", "no panic");
        assert_eq!(asked(u64::MAX, 1, Paging::Scim), format!("startIndex={}&count=1", u64::MAX));
    }

    #[test]
    fn a_list_past_the_limit_is_cut_at_an_item_and_goes_on_there() {
        let items: Vec<Value> = (0..10).map(|n| json!({"id": n.to_string(), "text": "x".repeat(400)})).collect();
        for (name, paging) in PAGINGS {
            let window = Window { offset: 0, limit: 10 };
            let body = reply(&items, window, paging, true);
            let cut = page(&list(name), &Args::default(), &body, &shape(4_000, &[]), (window, &seal)).unwrap();
            let given = cut.structured["items"].as_array().unwrap().len();
            assert!((1..10).contains(&given), "{name}: {given}");
            assert_eq!(cut.structured["next_cursor"], seal(given as u64), "{name}");
            assert!(result_bytes(&cut) <= 4_000, "{name}");
            assert_eq!(cut.structured["items"][given - 1]["text"], "x".repeat(400), "{name}: items stay whole");
        }
    }

    #[test]
    fn an_item_that_fits_no_page_is_refused_with_its_size() {
        let body = json!({"list": [{"id": "1", "text": "x".repeat(3_000)}], "count": 1}).to_string();
        let window = Window { offset: 0, limit: 20 };
        let refused = |fields: &[&str]| {
            page(&list("numbered"), &Args::default(), body.as_bytes(), &shape(2_000, fields), (window, &seal))
        };
        assert!(matches!(refused(&[]), Err(ShapeError::TooLarge { bytes }) if bytes > 6_000));
        assert!(refused(&["id"]).is_ok(), "fields bring it below the limit");
    }

    #[test]
    fn a_read_past_the_limit_is_too_large_and_fields_narrow_it() {
        let body = json!({"id": "w1", "text": "x".repeat(3_000)}).to_string();
        let read = |fields: &[&str]| object(&workflow("read"), body.as_bytes(), &shape(2_000, fields));
        assert!(matches!(read(&[]), Err(ShapeError::TooLarge { bytes }) if bytes > 6_000));
        assert_eq!(read(&["id"]).unwrap().structured, json!({"id": "w1"}));
    }

    #[test]
    fn a_write_past_the_limit_is_cut_to_its_ids_and_says_so() {
        let body =
            json!({"id": "w1", "ironcladId": "IC-1", "title": "t", "recordIds": ["r"], "companyId": "x".repeat(300),
            "attributes": {"a": "x".repeat(3_000)}})
            .to_string();
        let cut = object(&workflow("write"), body.as_bytes(), &shape(2_000, &[])).unwrap();
        let url = format!("{ORIGIN}/workflow/w1");
        assert_eq!(cut.structured, json!({"id": "w1", "ironcladId": "IC-1", "url": url, "truncated": true}));
        assert_eq!(serde_json::from_str::<Value>(&cut.text).unwrap(), cut.structured);
    }

    #[test]
    fn a_write_that_returns_nothing_is_answered_by_the_ids_of_its_call() {
        let entry = entry("write", &json!({"kind": "empty"}));
        let values = args(&json!({"thing_id": "t1", "comment": "x"}));
        for body in ["", " \n", "true", "{}", "null", "\"ok\""] {
            let answer = empty(&entry, &values, body.as_bytes()).unwrap();
            assert_eq!(answer.structured, json!({"done": true, "thing_id": "t1"}), "{body:?}");
        }
        for body in ["<html>", "tru", "{} {}", "{"] {
            assert_eq!(empty(&entry, &values, body.as_bytes()), Err(ShapeError::Malformed), "{body:?}");
        }
    }

    #[test]
    fn a_dry_run_shows_the_request() {
        let request = crate::request::build(&workflow("write"), &args(&json!({"thing_id": "t1"})), None);
        let request_json = json!({"method": "POST", "path": "/public/api/v1/things/t1"});
        assert_eq!(dry_run(&request).structured, json!({"dry_run": true, "request": request_json}));
    }

    #[test]
    fn a_body_that_is_not_the_endpoints_is_malformed() {
        let window = Window { offset: 0, limit: 20 };
        let as_page = |body: &str| {
            page(&list("numbered"), &Args::default(), body.as_bytes(), &shape(60_000, &[]), (window, &seal))
        };
        let bodies =
            ["", "<html>", "true", "null", "[]", "\"text\"", "{", "{\"id\":\"w1\"", "{\"id\":\"w1\"} x", "\u{feff}{}"];
        for body in bodies {
            let as_object = object(&workflow("read"), body.as_bytes(), &shape(60_000, &[]));
            assert_eq!(as_object, Err(ShapeError::Malformed), "{body:?}");
            assert_eq!(as_page(body), Err(ShapeError::Malformed), "{body:?}");
        }
        for body in ["{}", "{\"count\":3}", "{\"list\":null}", "{\"list\":{}}", "{\"list\":[1]}", "{\"list\":[{}],"] {
            assert_eq!(as_page(body), Err(ShapeError::Malformed), "{body:?}");
        }
        let invalid = object(&workflow("read"), b"{\"id\":\"\xff\"}", &shape(60_000, &[]));
        assert_eq!(invalid, Err(ShapeError::Malformed));
    }

    #[test]
    fn json_of_any_depth_is_refused_or_skipped_and_never_overflows() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        let kept = format!("{{\"id\":\"w1\",\"x\":{deep}}}");
        assert_eq!(object(&workflow("read"), kept.as_bytes(), &shape(60_000, &[])), Err(ShapeError::Malformed));
        let skipped = format!("{{\"id\":\"w1\",\"schema\":{deep}}}");
        let answer = object(&workflow("read"), skipped.as_bytes(), &shape(60_000, &["id"])).unwrap();
        assert_eq!(answer.structured, json!({"id": "w1"}));
        assert!(empty(&entry("write", &json!({"kind": "empty"})), &Args::default(), deep.as_bytes()).is_ok());
    }

    #[test]
    fn numbers_come_through_as_ironclad_wrote_them() {
        let body =
            r#"{"a":25.37,"b":1234.5600000000002,"c":0.30000000000000004,"d":9007199254740993,"e":1.0,"f":-0.1}"#;
        let answer = object(&workflow("read"), body.as_bytes(), &shape(60_000, &[])).unwrap();
        assert_eq!(answer.text, body);
    }

    fn any_item() -> impl Strategy<Value = String> {
        prop_oneof![".{0,40}", "[\"\\\\\\n\\t]{0,200}", "x{0,400}"]
    }

    /// Walks a whole list by its cursors, each page with the next limit and size cap, and gives the ids in order.
    fn walk((name, paging): (&str, Paging), texts: &[String], counts: bool, steps: &[(u64, usize)]) -> Vec<u64> {
        let items: Vec<Value> =
            texts.iter().enumerate().map(|(id, text)| json!({"id": id.to_string(), "n": id, "text": text})).collect();
        let entry = list(name);
        let (mut offset, mut found) = (0, Vec::new());
        for (limit, max_bytes) in steps.iter().copied().cycle().take(4 * texts.len() + 4) {
            let window = Window { offset, limit };
            let body = reply(&items, window, paging, counts);
            let answer = page(&entry, &Args::default(), &body, &shape(max_bytes, &[]), (window, &seal)).unwrap();
            assert!(result_bytes(&answer) <= max_bytes, "{} > {max_bytes}", result_bytes(&answer));
            assert_eq!(serde_json::from_str::<Value>(&answer.text).unwrap(), answer.structured);
            let page = answer.structured["items"].as_array().unwrap();
            assert!(page.len() as u64 <= limit);
            found.extend(page.iter().map(|item| item["n"].as_u64().unwrap()));
            assert_eq!(answer.structured["has_more"], answer.structured.get("next_cursor").is_some());
            let Some(cursor) = answer.structured.get("next_cursor") else { return found };
            offset = cursor.as_str().unwrap().parse().unwrap();
        }
        panic!("the walk does not end: {found:?}")
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), "[ab\"]{0,3}".prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let members = prop::collection::vec(("[abc]", inner.clone()), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Whether every leaf of `part` lies at the same names in `whole`.
    fn is_part(part: &Value, whole: &Value) -> bool {
        match (part, whole) {
            (Value::Object(part), Value::Object(whole)) => {
                part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_part(value, whole)))
            }
            (Value::Array(part), Value::Array(whole)) => {
                part.iter().all(|value| whole.iter().any(|w| is_part(value, w)))
            }
            (part, whole) => part == whole,
        }
    }

    proptest! {
        #[test]
        fn cursors_walk_a_list_exactly_once_whatever_the_limits_and_cuts(
            paging in 0usize..3, counts: bool, texts in prop::collection::vec(any_item(), 0..40),
            steps in prop::collection::vec((1u64..=100, 2_000usize..20_000), 1..6),
        ) {
            let found = walk(PAGINGS[paging], &texts, counts || paging == 2, &steps);
            prop_assert_eq!(found, (0..texts.len() as u64).collect::<Vec<_>>());
        }

        #[test]
        fn a_result_never_passes_its_limit(text in any_item(), repeats in 1usize..60, max_bytes in 2_000usize..9_000) {
            let body = json!({"id": "w1", "text": text.repeat(repeats)}).to_string();
            for effect in ["read", "write"] {
                if let Ok(answer) = object(&workflow(effect), body.as_bytes(), &shape(max_bytes, &[])) {
                    prop_assert!(result_bytes(&answer) <= max_bytes);
                    prop_assert_eq!(&serde_json::from_str::<Value>(&answer.text).unwrap(), &answer.structured);
                } else {
                    prop_assert_eq!(effect, "read");
                }
            }
        }

        #[test]
        fn the_bytes_of_an_answer_are_counted_as_they_travel(value in any_json()) {
            let answer = Answer::new(value);
            let text = Value::from(answer.text.as_str()).to_string();
            prop_assert_eq!(answer.bytes(), answer.text.len() + text.len() - 2);
        }

        #[test]
        fn a_projection_is_a_part_of_the_object_and_asking_for_more_never_gives_less(
            value in any_json(),
            paths in prop::collection::vec("[abc](\\.[abc]){0,2}", 1..4),
            more in "[abc](\\.[abc])?",
        ) {
            let body = json!({ "a": value, "b": [value] });
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let narrow = shaped(&body, &paths);
            let wide = shaped(&body, &[&paths[..], &[&more]].concat());
            prop_assert!(is_part(&narrow, &body), "{narrow}");
            prop_assert!(is_part(&narrow, &wide), "{narrow} and {wide}");
        }

        #[test]
        fn no_body_makes_shaping_panic(body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60), "[{}\\[\\]\",:a0-9]{0,60}".prop_map(String::into_bytes),
            any_json().prop_map(|value| json!({"list": value, "count": value}).to_string().into_bytes()),
        ], offset: u64, limit: u64) {
            let window = Window { offset, limit };
            let _ = object(&workflow("read"), &body, &shape(2_000, &["a.b"]));
            for (name, _) in PAGINGS {
                let _ = page(&list(name), &Args::default(), &body, &shape(2_000, &[]), (window, &seal));
            }
        }
    }
}
