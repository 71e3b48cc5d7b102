//! What a tool manifest holds, and the faults a manifest can have.
//!
//! An entry is the whole definition of one tool: its words, its request, its answer. Schemas, annotations, the README
//! row, policy and retry safety all derive from it, so an entry holds data only: no conditions, no expressions.

mod preview;
mod resource;

use std::fmt;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use preview::{Preview, Subject, Told};
pub use resource::{Resource, Source};

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
    #[serde(default)]
    pub scope: String,
    /// The vendor's rate-limit bucket that the endpoint draws on.
    #[serde(default)]
    pub bucket: String,
    /// The webhook event that a successful call causes, where one is known.
    #[serde(default)]
    pub event: Option<String>,
    /// What a call did, in the past tense, for the audit log; `{argument}` stands for an id.
    pub deed: String,
    /// The read call that shows whether a write took effect.
    #[serde(default)]
    pub verify_with: Option<Look>,
    /// The request that is sent; an entry has this or `local`.
    #[serde(default)]
    pub request: RequestTemplate,
    /// What this server answers by itself, without Ironclad; the entry has no request, scope and bucket then.
    #[serde(default)]
    pub local: Option<Local>,
    /// What must be looked up before the request can be built.
    #[serde(default)]
    pub prepare: Option<Preparation>,
    /// What a dry run and a question to a person tell of a write.
    #[serde(default)]
    pub preview: Option<Preview>,
    /// The arguments, in the order in which they are published.
    #[serde(default)]
    pub parameters: IndexMap<String, Parameter>,
    /// What comes back.
    pub answer: Answer,
    /// Where what is read can be had as a resource as well.
    #[serde(default)]
    pub resource: Option<Resource>,
    /// The access group, filled in from the file.
    #[serde(skip)]
    pub group: String,
}

/// A read call that shows whether a write took effect.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// The read tool.
    pub tool: String,
    /// Its arguments; `{argument}` stands for the write's own argument, `{sent_at}` for the time when it was sent.
    #[serde(default)]
    pub arguments: Map<String, Value>,
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

/// What this server answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Local {
    /// Who calls, and what they may do.
    Whoami,
    /// What the audit log holds.
    SearchAuditLog,
}

/// The request of an entry before its arguments are put in; empty where the entry answers locally.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// `/public/api/v1`
    #[default]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    #[default]
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
    /// The workflow's own schema tells what its attributes take, and its state whether they can be changed at all.
    AttributeTypes,
    /// The template's launch form tells which attributes a launch takes.
    LaunchForm,
    /// The records metadata tells the type of each property that a record is given.
    RecordProperties,
    /// An action on a record is checked and its values are wrapped; nothing is looked up.
    RecordAction,
    /// The arguments `filter` and `where` become one formula over records.
    RecordFilter,
    /// The arguments `filter` and `where` become one formula over workflows.
    WorkflowFilter,
}

impl Entry {
    /// Every scope that a call needs: the endpoint's own, and that of the look-up before it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let lookup = self.prepare.and_then(Preparation::scope);
        let own = std::iter::once(self.scope.as_str()).chain(lookup);
        own.filter(|scope| self.local.is_none() && !scope.is_empty())
    }
}

impl Preparation {
    /// The scope that the look-up itself needs; none where there is no look-up, or it only makes an error clearer.
    #[must_use]
    pub fn scope(self) -> Option<&'static str> {
        match self {
            Self::AttributeTypes => Some("public.workflows.readWorkflows"),
            Self::LaunchForm => Some("public.workflows.readSchemas"),
            Self::RecordProperties => Some("public.records.readSchemas"),
            Self::RecordAction | Self::RecordFilter | Self::WorkflowFilter => None,
        }
    }
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
    /// Nowhere: the server reads it to answer by itself.
    Local,
    /// Nowhere by itself: conditions that the entry's `prepare` joins to the argument `filter`.
    Conditions,
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
    /// A template with its launch form, answered as a JSON Schema with an example besides.
    Form {
        /// JSON Schemas of the members worth knowing.
        members: Map<String, Value>,
    },
    /// How a launch job stands; a failed one is an error.
    Job {
        /// Bulky members that are left out unless `fields` asks for them.
        #[serde(default)]
        omit: Vec<String>,
        /// JSON Schemas of the members worth knowing.
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

/// Reads one manifest file's text; what its entries say is not looked at yet.
///
/// # Errors
/// The text is no manifest.
pub fn parse(file: &str, text: &str) -> Result<Manifest, Fault> {
    let mut manifest: Manifest = serde_json::from_str(text).map_err(|error| Fault {
        file: file.to_owned(),
        tool: String::new(),
        message: error.to_string(),
    })?;
    for entry in &mut manifest.tools {
        entry.group.clone_from(&manifest.group);
    }
    Ok(manifest)
}

/// Every fault of what an entry says; those of its published schema are `schema_profile.rs`'s to find.
#[must_use]
pub fn entry_faults(entry: &Entry) -> Vec<String> {
    let mut faults = Vec::new();
    word_faults(entry, &mut faults);
    path_faults(entry, &mut faults);
    local_faults(entry, &mut faults);
    if let Some(preview) = &entry.preview {
        let known = |name: &str| entry.parameters.contains_key(name);
        let has_path = entry.path_arguments().next().is_some();
        faults.extend(preview.faults(known, has_path, entry.effect == Effect::Destroy));
        if !entry.effect.is_write() {
            faults.push("a read has no preview".into());
        }
    }
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
const RESERVED: [&str; 7] = ["fields", "dry_run", "plan", "force_after_unknown", "cursor", "limit", "save"];

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

/// An entry that is answered here asks nothing of Ironclad, and every other one does.
fn local_faults(entry: &Entry, faults: &mut Vec<String>) {
    if entry.local.is_none() {
        if entry.scope.is_empty() || entry.bucket.is_empty() {
            faults.push("scope and bucket must be named".into());
        }
        if entry.parameters.values().any(|parameter| parameter.place == Place::Local) {
            faults.push("an argument with \"in\": \"local\" needs an entry that is answered here".into());
        }
        return;
    }
    if entry.request != RequestTemplate::default() || !entry.scope.is_empty() || !entry.bucket.is_empty() {
        faults.push("what is answered here has no request, scope or bucket".into());
    }
    if entry.effect.is_write() || !matches!(entry.answer, Answer::Object { .. } | Answer::Page { .. }) {
        faults.push("what is answered here is a read, and its answer an object or a page".into());
    }
    if entry.parameters.values().any(|parameter| parameter.place != Place::Local) {
        faults.push("what is answered here has arguments with \"in\": \"local\" only".into());
    }
}

fn path_faults(entry: &Entry, faults: &mut Vec<String>) {
    if entry.local.is_some() {
        return;
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = "things.json";

    /// A manifest of one good tool, with `value` put at `pointer`.
    fn with(pointer: &str, value: Value) -> Value {
        let mut manifest = json!({"group": "things", "tools": [{
            "name": "get_thing", "title": "Get a thing", "description": "Reads a thing.", "effect": "read",
            "scope": "public.things.read", "bucket": "other", "deed": "read thing {thing_id}",
            "request": {"api": "public", "method": "GET", "path": "/things/{thing_id}"},
            "parameters": {"thing_id": {"in": "path", "required": true, "schema": {"type": "string"}}},
            "answer": {"kind": "object", "members": {}}}]});
        let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", "group"));
        manifest.pointer_mut(parent).unwrap()[name] = value;
        manifest
    }

    fn faults(manifest: &Value) -> Vec<String> {
        let manifest = match parse(FILE, &manifest.to_string()) {
            Ok(manifest) => manifest,
            Err(fault) => return vec![fault.to_string()],
        };
        let named =
            |entry: &Entry| entry_faults(entry).into_iter().map(|fault| format!("{}: {fault}", entry.name)).collect();
        manifest.tools.iter().flat_map(|entry| -> Vec<String> { named(entry) }).collect()
    }

    #[test]
    fn a_tool_belongs_to_the_group_of_its_file() {
        let manifest = parse(FILE, &with("", json!("things")).to_string()).unwrap();
        assert_eq!(manifest.tools[0].group, "things");
        assert_eq!(manifest.tools[0].path_arguments().collect::<Vec<_>>(), ["thing_id"]);
    }

    #[test]
    fn each_rule_of_an_entry_is_kept() {
        let optional = json!({"thing_id": {"in": "path", "schema": {"type": "string"}}});
        let argument = |name: &str, place: &str, wire: &str| {
            json!({"thing_id": {"in": "path", "required": true, "schema": {"type": "string"}},
                name: {"in": place, "wire": wire, "schema": {"type": "string"}}})
        };
        let table = [
            ("/tools/0/effect", json!("write"), "description must begin with \"WRITE: \""),
            ("/tools/0/effect", json!("destroy"), "description must begin with \"WRITE, IRREVERSIBLE: \""),
            ("/tools/0/effect", json!("write"), "a GET must be a read"),
            ("/tools/0/description", json!("WRITE: no."), "by its effect"),
            ("/tools/0/description", json!(""), "by its effect"),
            ("/tools/0/request/method", json!("POST"), "a read must be a GET"),
            ("/tools/0/deed", json!("read {other}"), "deed names other, which is no argument"),
            ("/tools/0/request/path", json!("things/{thing_id}"), "path must begin with /"),
            ("/tools/0/request/path", json!("/things/{other}"), "path names other, which is no argument"),
            ("/tools/0/request/path", json!("/things"), "argument thing_id: the path has no {thing_id}"),
            ("/tools/0/request/path", json!("/things/x{thing_id}"), "argument thing_id: the path has no {thing_id}"),
            ("/tools/0/parameters", optional, "so it must be required"),
            ("/tools/0/parameters", argument("a", "body", "b"), "argument a: wire must be a JSON pointer"),
            ("/tools/0/parameters", argument("a", "item", "b"), "argument a: wire must be a JSON pointer"),
            ("/tools/0/parameters", argument("fields", "query", "b"), "argument fields: the name is taken"),
            ("/tools/0/parameters", argument("dry_run", "query", "b"), "argument dry_run: the name is taken"),
            ("/tools/0/parameters", argument("plan", "query", "b"), "argument plan: the name is taken"),
            ("/tools/0/preview", json!({"would": "look"}), "a read has no preview"),
            ("/tools/0/preview", json!({"would": "look at {it}"}), "preview names it, which is no argument"),
            (
                "/tools/0/preview",
                json!({"would": "x", "becomes": {"a": "{b}"}}),
                "preview names b, which is no argument",
            ),
            ("/tools/0/preview", json!({"would": "x", "lasting": "all of it"}), "exactly where the effect is destroy"),
            ("/tools/0/parameters", argument("cursor", "query", "b"), "argument cursor: the name is taken"),
            ("/tools/0/parameters", argument("limit", "query", "b"), "argument limit: the name is taken"),
        ];
        for (pointer, value, expected) in table {
            let found = faults(&with(pointer, value.clone()));
            assert!(found.iter().any(|fault| fault.contains(expected)), "{pointer} = {value} gave {found:?}");
            assert!(found.iter().all(|fault| fault.starts_with("get_thing: ")), "{found:?}");
        }
    }

    #[test]
    fn all_faults_of_all_tools_are_reported_together() {
        let mut manifest = with("/tools/0/request/path", json!("things"));
        let mut second = manifest["tools"][0].clone();
        second["name"] = "put_thing".into();
        second["request"]["method"] = "PUT".into();
        manifest["tools"].as_array_mut().unwrap().push(second);
        assert_eq!(
            faults(&manifest),
            [
                "get_thing: path must begin with /",
                "get_thing: argument thing_id: the path has no {thing_id}",
                "put_thing: a read must be a GET",
                "put_thing: path must begin with /",
                "put_thing: argument thing_id: the path has no {thing_id}",
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_a_fault_at_every_level() {
        for level in ["", "/tools/0", "/tools/0/request", "/tools/0/parameters/thing_id", "/tools/0/answer"] {
            let found = faults(&with(&format!("{level}/oops"), json!(true)));
            assert_eq!(found.len(), 1, "{level}");
            assert!(found[0].starts_with("things.json: ") && found[0].contains("oops"), "{found:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_a_fault() {
        for pointer in ["effect", "request/api", "request/method", "parameters/thing_id/in", "answer/kind", "prepare"] {
            let found = faults(&with(&format!("/tools/0/{pointer}"), json!("oops")));
            assert!(found.len() == 1 && found[0].contains("oops"), "{pointer} gave {found:?}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_one_fault_that_names_the_file() {
        let found = parse(FILE, "{").unwrap_err();
        assert_eq!((found.file.as_str(), found.tool.as_str()), (FILE, ""));
        assert!(found.to_string().starts_with("things.json: EOF"), "{found}");
        let fault = Fault { file: FILE.into(), tool: "get_thing".into(), message: "is wrong".into() };
        assert_eq!(fault.to_string(), "things.json: get_thing: is wrong");
    }

    #[test]
    fn placeholders_are_the_names_between_braces() {
        let found = |text| placeholders(text).collect::<Vec<_>>();
        assert_eq!(found("set {a} of {b}"), ["a", "b"]);
        assert!(found("none, {unclosed").is_empty());
    }

    #[test]
    fn the_schema_beside_the_manifests_is_current() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tool-manifests/manifest.schema.json");
        let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        #[expect(clippy::disallowed_methods, reason = "a test's own switch is no setting of the program")]
        let update = std::env::var_os("UPDATE_SCHEMA").is_some();
        if update {
            std::fs::write(file, &current).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(kept, current, "to rewrite it: UPDATE_SCHEMA=1 cargo test --lib manifest");
    }

    #[test]
    fn every_shipped_manifest_fits_that_schema() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tool-manifests");
        let mut checked = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.ends_with("manifest.schema.json") {
                continue;
            }
            let manifest: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let faults: Vec<String> = validator.iter_errors(&manifest).map(|error| error.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:?}", path.display());
            assert_eq!(manifest["$schema"], "./manifest.schema.json");
            checked += 1;
        }
        assert_eq!(checked, 9);
    }

    #[test]
    fn the_schema_refuses_what_parse_refuses() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        assert!(validator.is_valid(&with("", json!("things"))));
        for pointer in ["/oops", "/tools/0/oops", "/tools/0/effect", "/tools/0/answer/kind", "/tools/0/request/oops"] {
            assert!(!validator.is_valid(&with(pointer, json!("oops"))), "{pointer}");
        }
    }
}
