//! What a tool manifest holds, and the faults a manifest can have.
//!
//! An entry is the whole definition of one tool: its words, its request, its answer. Schemas, annotations, the README
//! row, policy and retry safety all derive from it, so an entry holds data only: no conditions, no expressions.

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One manifest file: every tool of one access group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where the JSON Schema of this file lies, for editors.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// The access group that the file's tools belong to, as `--access` and `--toolsets` name it.
    pub group: String,
    /// The tools, in the order in which they are published.
    pub tools: Vec<Entry>,
}

/// One tool: one endpoint of Ironclad.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The tool's name, `verb_noun`, at most 40 characters.
    pub name: String,
    /// A short title for people.
    pub title: String,
    /// What it does, when to use it, where its ids come from, what it cannot undo: written for a model choosing a tool.
    /// A write begins with `WRITE: `, an irreversible one with `WRITE, IRREVERSIBLE: `.
    pub description: String,
    /// What a call does to the account.
    pub effect: Effect,
    /// Whether a second, equal call changes nothing more. Reads always are; writes only where this says so.
    #[serde(default)]
    pub idempotent: bool,
    /// The OAuth scope that Ironclad wants for the endpoint.
    pub scope: String,
    /// The vendor's rate-limit bucket that the endpoint draws on.
    pub bucket: String,
    /// The webhook event that a successful call causes, where one is known.
    #[serde(default)]
    pub event: Option<String>,
    /// What a call did, in the past tense, for the audit log; `{argument}` stands for an id.
    pub deed: String,
    /// The read tool that shows whether a write took effect.
    #[serde(default)]
    pub verify_with: Option<String>,
    /// The request that is sent.
    pub request: RequestTemplate,
    /// What must be looked up before the request can be built.
    #[serde(default)]
    pub prepare: Option<Preparation>,
    /// The arguments, in the order in which they are published.
    #[serde(default)]
    pub parameters: IndexMap<String, Parameter>,
    /// What comes back.
    pub answer: Answer,
    /// The access group, filled in from the file.
    #[serde(skip)]
    pub group: String,
}

/// What a call does to the account. It drives annotations, policy, retry safety and the audit level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something that can be changed back.
    Write,
    /// Changes something for good, or reaches a third party.
    Destroy,
}

impl Effect {
    /// Whether the call changes anything.
    #[must_use]
    pub fn is_write(self) -> bool {
        self != Self::Read
    }

    /// How every description of a tool with this effect begins.
    #[must_use]
    pub fn description_prefix(self) -> &'static str {
        match self {
            Self::Read => "",
            Self::Write => "WRITE: ",
            Self::Destroy => "WRITE, IRREVERSIBLE: ",
        }
    }
}

/// The request of an entry before its arguments are put in.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestTemplate {
    /// Which of Ironclad's APIs.
    pub api: Api,
    /// The HTTP method.
    pub method: Method,
    /// The path below the API's root; `{argument}` stands for one whole segment.
    pub path: String,
    /// Query parameters that are always the same.
    #[serde(default)]
    pub query: IndexMap<String, String>,
    /// JSON pointer of the body member that carries the acting user when a static token is used.
    #[serde(default)]
    pub acting_user: Option<String>,
}

/// Which of Ironclad's APIs a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `/public/api/v1`
    Public,
    /// `/scim/v2`
    Scim,
}

impl Api {
    /// The path of the API's root on an Ironclad host.
    #[must_use]
    pub fn root(self) -> &'static str {
        match self {
            Self::Public => "/public/api/v1",
            Self::Scim => "/scim/v2",
        }
    }
}

/// HTTP methods that Ironclad's endpoints use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// The method as it stands in a request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A look-up that has to come before the request is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preparation {
    /// The workflow's schema tells which text in `updates[].value` is JSON and which is text.
    AttributeTypes,
}

/// One argument of a tool.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Where the value goes.
    #[serde(rename = "in")]
    pub place: Place,
    /// The vendor's name of it: a query key, or a JSON pointer into the body or the list item. Without it, the
    /// argument's own name.
    #[serde(default)]
    pub wire: Option<String>,
    /// Whether a call must have it.
    #[serde(default)]
    pub required: bool,
    /// Its JSON Schema, within the profile of `schema_profile.rs`. A node marked `"x-open": true` is published with its
    /// declared type but takes any JSON value.
    pub schema: Map<String, Value>,
    /// Other names that are accepted for a value, and the name that is sent for each.
    #[serde(default)]
    pub aliases: IndexMap<String, String>,
}

/// Where an argument's value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Exactly one segment of the path.
    Path,
    /// The query string; an array is joined by commas.
    Query,
    /// The JSON body.
    Body,
    /// Nowhere: keeps the list items whose member (`wire`) contains the text, whatever the case.
    Item,
}

/// What comes back from an endpoint, and how it is shaped for the caller.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Answer {
    /// One object, passed on as it came.
    Object {
        /// Bulky members that are left out unless `fields` asks for them.
        #[serde(default)]
        omit: Vec<String>,
        /// Path of the object's page on the Ironclad host; `{member}` stands for a member. Answered as `url`.
        #[serde(default)]
        page: Option<String>,
        /// JSON Schemas of the members worth knowing.
        members: Map<String, Value>,
    },
    /// A list, answered as `{items, has_more, next_cursor, total}`.
    Page {
        /// How the endpoint pages.
        paging: Paging,
        /// As for an object, of each item.
        #[serde(default)]
        omit: Vec<String>,
        /// As for an object, of each item.
        #[serde(default)]
        page: Option<String>,
        /// JSON Schemas of the items' members worth knowing.
        members: Map<String, Value>,
    },
    /// Nothing of use (204, or a bare `true`): answered by the ids of the call.
    Empty {},
    /// The bytes of a document.
    Document {},
}

/// How an endpoint pages its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Paging {
    /// `page` and `pageSize` (zero-based, at most 100), `{list, count?}` back.
    Numbered,
    /// SCIM's `startIndex` and `count` (one-based), `{Resources, totalResults}` back (RFC 7644 §3.4.2.4).
    Scim,
    /// The whole `{list}` at once, paged here.
    Whole,
}

impl Paging {
    /// The most items that one request can bring.
    #[must_use]
    pub fn largest_page(self) -> u64 {
        match self {
            Self::Numbered => 100,
            Self::Scim | Self::Whole => 1000,
        }
    }
}

impl Entry {
    /// The names of the arguments that fill path segments, in the path's order.
    pub fn path_arguments(&self) -> impl Iterator<Item = &str> {
        self.request.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Whether the answer is a list.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.answer, Answer::Page { .. })
    }
}

/// One fault of a manifest, with the file it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The tool, or empty where the file itself is at fault.
    pub tool: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tool.as_str() {
            "" => write!(f, "{}: {}", self.file, self.message),
            tool => write!(f, "{}: {tool}: {}", self.file, self.message),
        }
    }
}

/// Reads one manifest file's text.
///
/// # Errors
/// Every fault that the text has: bad JSON is one fault; otherwise all faults of all entries.
pub fn parse(file: &str, text: &str) -> Result<Manifest, Vec<Fault>> {
    let fault = |tool: &str, message: String| Fault { file: file.to_owned(), tool: tool.to_owned(), message };
    let mut manifest: Manifest = serde_json::from_str(text).map_err(|e| vec![fault("", e.to_string())])?;
    for entry in &mut manifest.tools {
        entry.group.clone_from(&manifest.group);
    }
    let faults: Vec<Fault> = manifest
        .tools
        .iter()
        .flat_map(|entry| entry_faults(entry).into_iter().map(|message| fault(&entry.name, message)))
        .collect();
    if faults.is_empty() { Ok(manifest) } else { Err(faults) }
}

fn entry_faults(entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    word_faults(entry, &mut faults);
    path_faults(entry, &mut faults);
    for (name, parameter) in &entry.parameters {
        if RESERVED.contains(&name.as_str()) {
            faults.push(format!("argument {name}: the name is taken by the server itself"));
        }
        if matches!(parameter.place, Place::Body | Place::Item)
            && parameter.wire.as_ref().is_some_and(|wire| !wire.starts_with('/'))
        {
            faults.push(format!("argument {name}: wire must be a JSON pointer, which begins with /"));
        }
        if parameter.place == Place::Path && !parameter.required {
            faults.push(format!("argument {name}: fills a path segment, so it must be required"));
        }
    }
    faults
}

/// Arguments that the server adds to entries by their effect and answer.
const RESERVED: [&str; 4] = ["fields", "dry_run", "cursor", "limit"];

fn word_faults(entry: &Entry, faults: &mut Vec<String>) {
    let prefix = entry.effect.description_prefix();
    let rest = entry.description.strip_prefix(prefix);
    if rest.is_none_or(|text| text.is_empty() || (entry.effect == Effect::Read && text.starts_with("WRITE"))) {
        faults.push(format!("description must begin with {prefix:?}, by its effect"));
    }
    if entry.effect == Effect::Read && entry.request.method != Method::Get {
        faults.push("a read must be a GET".into());
    }
    if entry.effect.is_write() && entry.request.method == Method::Get {
        faults.push("a GET must be a read".into());
    }
    for argument in placeholders(&entry.deed) {
        if !entry.parameters.contains_key(argument) {
            faults.push(format!("deed names {argument}, which is no argument"));
        }
    }
}

fn path_faults(entry: &Entry, faults: &mut Vec<String>) {
    if !entry.request.path.starts_with('/') {
        faults.push("path must begin with /".into());
    }
    for argument in entry.path_arguments() {
        if entry.parameters.get(argument).is_none_or(|p| p.place != Place::Path) {
            faults.push(format!("path names {argument}, which is no argument with \"in\": \"path\""));
        }
    }
    for (name, parameter) in &entry.parameters {
        if parameter.place == Place::Path && !entry.path_arguments().any(|argument| argument == name) {
            faults.push(format!("argument {name}: the path has no {{{name}}}"));
        }
    }
}

/// The names between braces in a text such as `cancelled workflow {workflow_id}`.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

/// The JSON Schema of a manifest file, as `tool-manifests/manifest.schema.json` holds it.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Manifest).to_value()
}
