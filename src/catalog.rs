//! The tools that there are, and which of them are published.
//!
//! Manifests are embedded in the binary; `--manifests DIR` adds or replaces files. All faults of all files are reported
//! together, and a published schema that is outside the profile is one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value, json};

use crate::{
    arguments::ArgumentCheck,
    error::ArgumentFault,
    ironclad::{auth::Grants, limiter::Bucket},
    manifest::{self, Entry, Fault, Manifest},
    policy, resource_uri, schema_profile, tool_schema,
};

/// The manifests in the binary: file name and text.
const EMBEDDED: [(&str, &str); 9] = [
    ("workflows.json", include_str!("../tool-manifests/workflows.json")),
    ("workflow-actions.json", include_str!("../tool-manifests/workflow-actions.json")),
    ("records.json", include_str!("../tool-manifests/records.json")),
    ("documents.json", include_str!("../tool-manifests/documents.json")),
    ("webhooks.json", include_str!("../tool-manifests/webhooks.json")),
    ("users.json", include_str!("../tool-manifests/users.json")),
    ("async-launch.json", include_str!("../tool-manifests/async-launch.json")),
    ("account.json", include_str!("../tool-manifests/account.json")),
    ("audit.json", include_str!("../tool-manifests/audit.json")),
];

/// The name of the schema that lies beside the manifests, which is no manifest.
const SCHEMA_FILE: &str = "manifest.schema.json";

/// One tool: its entry, the name it is published by, and its schemas.
#[derive(Debug)]
pub struct Tool {
    /// The name that clients use: the entry's, behind the prefix.
    pub name: String,
    /// The entry.
    pub entry: Entry,
    /// The published `inputSchema`.
    pub input_schema: Arc<Map<String, Value>>,
    /// The published `outputSchema`.
    pub output_schema: Arc<Map<String, Value>>,
    /// The template of a typed launch tool.
    pub launch: Option<LaunchTarget>,
    /// Compiled when the tool is first called: compiling all at start would cost milliseconds.
    check: OnceLock<Result<ArgumentCheck, String>>,
}

/// The template that a typed launch tool launches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchTarget {
    /// The template's id.
    pub template_id: String,
    /// The template's name.
    pub template_name: String,
    /// The attribute id of each published name that differs from it.
    pub attribute_ids: BTreeMap<String, String>,
}

impl Tool {
    /// A typed launch tool, whose `inputSchema` holds its template's form.
    #[must_use]
    pub fn launcher(entry: Entry, prefix: &str, input_schema: Map<String, Value>, target: LaunchTarget) -> Self {
        Self { input_schema: Arc::new(input_schema), launch: Some(target), ..Self::new(entry, prefix) }
    }

    fn new(entry: Entry, prefix: &str) -> Self {
        Self {
            name: format!("{prefix}{}", entry.name),
            input_schema: Arc::new(tool_schema::input_schema(&entry)),
            output_schema: Arc::new(tool_schema::output_schema(&entry)),
            entry,
            launch: None,
            check: OnceLock::new(),
        }
    }

    /// Whether the token's scopes are enough for it, as far as they are known.
    #[must_use]
    pub fn is_reachable(&self, grants: &Grants) -> bool {
        self.entry.scopes().all(|scope| grants.allow(scope))
    }

    /// The check of this tool's arguments.
    ///
    /// # Errors
    /// The schema does not compile; a test holds that no shipped one does that.
    pub fn arguments(&self) -> Result<&ArgumentCheck, Vec<ArgumentFault>> {
        let check = self.check.get_or_init(|| ArgumentCheck::compile(self.argument_schema()));
        check.as_ref().map_err(|fault| {
            vec![ArgumentFault {
                path: String::new(),
                message: format!("the tool's schema is broken: {fault}"),
                expected: None,
            }]
        })
    }

    /// What the attributes of a launch must be is the launch form's to say, in better words than a schema's.
    fn argument_schema(&self) -> Map<String, Value> {
        if self.launch.is_none() {
            return tool_schema::argument_schema(&self.entry);
        }
        let mut schema = (*self.input_schema).clone();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert("attributes".into(), json!({"type": "object"}));
        }
        schema.insert("additionalProperties".into(), false.into());
        schema
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = manifest::entry_faults(&self.entry);
        faults.extend(resource_uri::faults(&self.entry));
        faults.extend(schema_profile::tool_faults(&self.name, &self.entry.description));
        faults.extend(schema_profile::schema_faults(&self.input_schema));
        faults.extend(self.bucket_fault());
        faults
    }

    /// What is queued for and what is told to callers is the bucket of the request, so the entry must name that one.
    fn bucket_fault(&self) -> Option<String> {
        let Entry { request, bucket, .. } = &self.entry;
        let path = format!("{}{}", request.api.root(), request.path);
        let drawn = Bucket::of(request.api, request.method, &path).name();
        (self.entry.local.is_none() && drawn != bucket)
            .then(|| format!("bucket {bucket}: its requests draw on {drawn}"))
    }
}

/// Why there is no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A folder or file of `--manifests` cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Manifests have faults; every one of them is listed.
    #[error("the tool manifests have faults:\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    /// A setting names a group or tool that does not exist.
    #[error("{setting} names {name}, which does not exist; there are: {known}")]
    UnknownName {
        /// The setting.
        setting: String,
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing is left to publish.
    #[error(
        "no tool would be published: --access, --toolsets, --tools and --exclude-tools together leave none; grant at least one"
    )]
    Nothing,
}

/// Every tool, published or not.
#[derive(Debug)]
pub struct Catalog {
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<String, usize>,
    words: Words,
}

/// Names tools as they are published, in texts that were written without the prefix.
#[derive(Debug)]
pub struct Words {
    prefix: String,
    names: HashSet<String>,
}

impl Words {
    /// The tools that a text names, without the prefix.
    pub fn named<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(|c: char| !is_of_name(c)).filter(|word| self.names.contains(*word))
    }

    /// The text with the prefix before each tool's name.
    #[must_use]
    pub fn of<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.prefix.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut named = String::with_capacity(text.len() + self.prefix.len());
        let mut rest = text;
        while let Some(begin) = rest.find(is_of_name) {
            let (between, from) = rest.split_at(begin);
            let (word, behind) = from.split_at(from.find(|c| !is_of_name(c)).unwrap_or(from.len()));
            named.push_str(between);
            if self.names.contains(word) {
                named.push_str(&self.prefix);
            }
            named.push_str(word);
            rest = behind;
        }
        named.push_str(rest);
        Cow::Owned(named)
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl Catalog {
    /// Reads the embedded manifests and those in `folder`, and checks them all.
    ///
    /// # Errors
    /// A file cannot be read, or manifests have faults.
    pub fn load(folder: Option<&Path>, prefix: &str) -> Result<Self, CatalogError> {
        let mut texts: Vec<(String, String)> =
            EMBEDDED.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        for (file, text) in folder.map(read_folder).transpose()?.unwrap_or_default() {
            match texts.iter_mut().find(|(known, _)| *known == file) {
                Some(replaced) => replaced.1 = text,
                None => texts.push((file, text)),
            }
        }
        Self::from_texts(&texts, prefix).map_err(CatalogError::Faults)
    }

    fn from_texts(texts: &[(String, String)], prefix: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut entries: Vec<(&String, Entry)> = Vec::new();
        for (file, text) in texts {
            match manifest::parse(file, text) {
                Ok(Manifest { tools, .. }) => entries.extend(tools.into_iter().map(|entry| (file, entry))),
                Err(fault) => faults.push(fault),
            }
        }
        let words = Words { prefix: prefix.to_owned(), names: entries.iter().map(|(_, e)| e.name.clone()).collect() };
        let mut tools: Vec<Arc<Tool>> = Vec::new();
        let mut by_name = HashMap::new();
        for (file, mut entry) in entries {
            entry.description = words.of(&entry.description).into_owned();
            let tool = Tool::new(entry, prefix);
            let fault = |message| Fault { file: file.clone(), tool: tool.entry.name.clone(), message };
            faults.extend(tool.faults().into_iter().map(fault));
            if by_name.insert(tool.name.clone(), tools.len()).is_some() {
                faults.push(fault("the name is taken by another tool".into()));
            }
            tools.push(Arc::new(tool));
        }
        if faults.is_empty() { Ok(Self { tools, by_name, words }) } else { Err(faults) }
    }

    /// How texts name tools here.
    #[must_use]
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// The tool of a published name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(*self.by_name.get(name)?)
    }

    /// Every tool there is.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.iter()
    }

    /// The tools that policy publishes.
    pub fn published<'a>(&'a self, settings: &'a policy::Settings) -> impl Iterator<Item = &'a Arc<Tool>> {
        self.tools.iter().filter(|tool| policy::visible(&tool.entry, settings).is_ok())
    }

    /// The scopes that the published tools need, each once.
    #[must_use]
    pub fn scopes(&self, settings: &policy::Settings) -> Vec<String> {
        let entries = || self.published(settings).map(|tool| &tool.entry);
        let subjects = entries().filter_map(|entry| entry.preview.as_ref()?.subject);
        let mut scopes: Vec<String> = entries().flat_map(Entry::scopes).map(str::to_owned).collect();
        scopes.extend(subjects.flat_map(|subject| subject.scopes()).map(|scope| (*scope).to_owned()));
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// The access groups, each once.
    #[must_use]
    pub fn groups(&self) -> Vec<&str> {
        let groups: BTreeSet<&str> = self.tools.iter().map(|tool| tool.entry.group.as_str()).collect();
        groups.into_iter().collect()
    }

    fn names(&self) -> Vec<&str> {
        self.tools.iter().map(|tool| tool.entry.name.as_str()).collect()
    }

    /// Checks the names in an agent's profile against what there is.
    ///
    /// # Errors
    /// The first unknown name.
    pub fn check_profile(&self, profile: &policy::Profile) -> Result<(), CatalogError> {
        let (groups, tools) = (self.groups(), self.names());
        let setting = |key: &str| format!("[agents.{}] {key}", profile.name);
        known(&setting("access"), profile.access.keys(), &groups)?;
        known(&setting("tools"), not_launching(&profile.tools), &tools)?;
        known(&setting("exclude_tools"), not_launching(&profile.exclude_tools), &tools)
    }

    /// Checks the names in policy settings against what there is.
    ///
    /// # Errors
    /// The first unknown name, or that nothing would be published.
    pub fn check(&self, settings: &policy::Settings) -> Result<(), CatalogError> {
        let (groups, tools) = (self.groups(), self.names());
        let toolsets: Vec<&str> = groups.iter().copied().chain(["all", "default"]).collect();
        known("--access (IRONCLAD_ACCESS)", settings.access.keys(), &groups)?;
        known("--toolsets (IRONCLAD_TOOLSETS)", settings.toolsets.iter(), &toolsets)?;
        known("--tools (IRONCLAD_TOOLS)", not_launching(&settings.tools), &tools)?;
        known("--exclude-tools (IRONCLAD_EXCLUDE_TOOLS)", not_launching(&settings.exclude_tools), &tools)?;
        known("--confirm (IRONCLAD_CONFIRM)", not_launching(&settings.confirm_tools), &tools)?;
        known("--require-plan (IRONCLAD_REQUIRE_PLAN)", not_launching(&settings.require_plan), &tools)?;
        if self.published(settings).next().is_none() {
            return Err(CatalogError::Nothing);
        }
        Ok(())
    }
}

/// Typed launch tools are named after templates, which only the account knows, so no such name can be called unknown.
fn not_launching(tools: &[String]) -> impl Iterator<Item = &String> {
    tools.iter().filter(|name| !name.starts_with("launch_"))
}

fn known<'a>(setting: &str, mut names: impl Iterator<Item = &'a String>, known: &[&str]) -> Result<(), CatalogError> {
    let unknown = names.find(|name| !known.contains(&name.as_str()));
    match unknown {
        None => Ok(()),
        Some(name) => {
            Err(CatalogError::UnknownName { setting: setting.to_owned(), name: name.clone(), known: known.join(", ") })
        }
    }
}

fn read_folder(folder: &Path) -> Result<Vec<(String, String)>, CatalogError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| CatalogError::Unreadable { path, source }
    };
    let mut files = Vec::new();
    for item in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = item.map_err(unreadable(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|extension| extension == "json") && name != SCHEMA_FILE {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            files.push((name, text));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        answer::{self, Shape, Window},
        arguments::Args,
        cursor::Spot,
        manifest::{Answer, Effect, Place},
        policy::Access,
        request,
    };

    use Effect::{Destroy, Read, Write};

    /// CONTRACT, "The 26 tools": name, effect, required and other arguments.
    type Row = (&'static str, Effect, &'static str, &'static str);

    const WORKFLOWS: [Row; 6] = [
        ("list_workflows", Read, "", "status template_id updated_since filter where hydrate_entities cursor limit"),
        ("get_workflow", Read, "workflow_id", "hydrate_entities"),
        ("launch_workflow", Write, "template_id attributes", "use_default_values"),
        ("update_workflow_attributes", Write, "workflow_id updates", "comment"),
        ("list_workflow_schemas", Read, "", "name_contains cursor limit"),
        ("get_workflow_schema", Read, "template_id", ""),
    ];
    const WORKFLOW_ACTIONS: [Row; 8] = [
        ("list_workflow_approvals", Read, "workflow_id", ""),
        ("list_approval_requests", Read, "workflow_id", "actor_details request_type cursor limit"),
        ("update_workflow_approval", Write, "workflow_id role_id status", ""),
        ("pause_workflow", Write, "workflow_id comment", "add_users_to_workflow"),
        ("resume_workflow", Write, "workflow_id comment", "add_users_to_workflow"),
        ("cancel_workflow", Destroy, "workflow_id comment", "add_users_to_workflow"),
        ("revert_workflow_to_review", Write, "workflow_id", ""),
        ("send_signature_request", Destroy, "workflow_id", ""),
    ];
    const RECORDS: [Row; 6] = [
        (
            "list_records",
            Read,
            "",
            "types updated_since filter where sort_field sort_direction hydrate_entities address_as_object cursor limit",
        ),
        ("get_record", Read, "record_id", "hydrate_entities address_as_object"),
        ("create_record", Write, "type name properties", "links parent children properties_to_amend address_as_object"),
        (
            "update_record",
            Write,
            "record_id",
            "name type set_properties remove_properties add_links remove_links set_parent remove_parent add_children \
             remove_children add_properties_to_amend remove_properties_to_amend address_as_object",
        ),
        ("get_record_schema", Read, "", ""),
        ("run_record_action", Destroy, "record_id action", ""),
    ];
    const DOCUMENTS: [Row; 1] = [("download_workflow_document", Read, "workflow_id document_key", "save")];
    const WEBHOOKS: [Row; 3] = [
        ("create_webhook", Write, "events target_url", "status"),
        ("list_webhooks", Read, "", "cursor limit"),
        ("delete_webhook", Destroy, "webhook_id", ""),
    ];
    const USERS: [Row; 2] = [
        ("list_users", Read, "", "filter excluded_attributes cursor limit"),
        ("get_user", Read, "user_id", "excluded_attributes"),
    ];
    const CONTRACT: [(&str, &[Row]); 6] = [
        ("workflows", &WORKFLOWS),
        ("workflow-actions", &WORKFLOW_ACTIONS),
        ("records", &RECORDS),
        ("documents", &DOCUMENTS),
        ("webhooks", &WEBHOOKS),
        ("users", &USERS),
    ];

    fn shipped() -> Catalog {
        Catalog::load(None, "").unwrap()
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_tools_are_the_contracts_in_its_order() {
        let expected: Vec<(&str, &str, Effect)> =
            CONTRACT.iter().flat_map(|(group, rows)| rows.iter().map(|row| (*group, row.0, row.1))).collect();
        let catalog = shipped();
        let mut found: Vec<(&str, &str, Effect)> =
            catalog.all().map(|t| (t.entry.group.as_str(), t.name.as_str(), t.entry.effect)).collect();
        let beside = found.split_off(26);
        assert_eq!(found, expected);
        let group = "async-launch";
        let (account, audit) = (("account", "whoami", Read), ("audit", "search_audit_log", Read));
        assert_eq!(
            beside,
            [(group, "launch_workflow_async", Write), (group, "get_launch_status", Read), account, audit]
        );
        assert_eq!(policy::DEFAULT_TOOLSETS, CONTRACT.map(|(group, _)| group));
    }

    #[test]
    fn their_arguments_are_the_contracts() {
        let catalog = shipped();
        for (name, effect, required, others) in CONTRACT.iter().flat_map(|(_, rows)| rows.iter()) {
            let schema = &catalog.get(name).unwrap().input_schema;
            let given: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(given, words(required), "{name}");
            let own = if *effect == Read { vec!["fields"] } else { vec!["dry_run", "plan", "force_after_unknown"] };
            let expected: BTreeSet<&str> = [words(required), words(others), own].concat().into_iter().collect();
            let properties = schema["properties"].as_object().unwrap();
            assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{name}");
            let first: Vec<&str> = properties.keys().map(String::as_str).take(given.len()).collect();
            assert_eq!(first, given, "{name}: required arguments come first");
        }
    }

    #[test]
    fn every_schema_keeps_to_the_profile_and_compiles() {
        for tool in shipped().all() {
            assert_eq!(tool.faults(), Vec::<String>::new(), "{}", tool.name);
            assert!(tool.arguments().is_ok(), "{}", tool.name);
            jsonschema::draft202012::new(&Value::Object((*tool.input_schema).clone())).unwrap();
            jsonschema::draft202012::new(&Value::Object((*tool.output_schema).clone())).unwrap();
        }
    }

    #[test]
    fn a_description_begins_by_its_effect() {
        for tool in shipped().all() {
            let text = &tool.entry.description;
            let begins = (text.starts_with("WRITE: "), text.starts_with("WRITE, IRREVERSIBLE: "));
            let expected = match tool.entry.effect {
                Read => (false, false),
                Write => (true, false),
                Destroy => (false, true),
            };
            assert_eq!(begins, expected, "{}", tool.name);
            assert!(!tool.entry.title.is_empty(), "{}", tool.name);
        }
    }

    #[test]
    fn what_entries_name_exists() {
        let catalog = shipped();
        let webhook = Value::Object((*catalog.get("create_webhook").unwrap().input_schema).clone());
        let events = webhook.pointer("/properties/events/items/enum").and_then(Value::as_array).unwrap();
        for tool in catalog.all() {
            let entry = &tool.entry;
            assert_eq!(entry.verify_with.is_some(), entry.effect.is_write(), "{}", tool.name);
            if let Some(look) = &entry.verify_with {
                let read = &catalog.get(&look.tool).unwrap().entry;
                assert_eq!(read.effect, Read, "{} looks with {}", tool.name, look.tool);
                let known = |name: &String| read.parameters.contains_key(name);
                assert!(look.arguments.keys().all(known), "{}: {:?}", tool.name, look.arguments);
                let text = Value::from(look.arguments.clone()).to_string();
                for name in text.split("\"{").skip(1).filter_map(|rest| rest.split_once("}\"")).map(|(name, _)| name) {
                    assert!(name == "sent_at" || entry.parameters.contains_key(name), "{}: {name}", tool.name);
                }
            }
            assert!(entry.event.iter().all(|event| events.contains(&json!(event))), "{}", tool.name);
            for (argument, parameter) in entry.parameters.iter().filter(|(_, parameter)| !parameter.aliases.is_empty())
            {
                let schema = Value::Object(parameter.schema.clone());
                let known = schema.pointer("/items/enum").or_else(|| schema.get("enum")).unwrap().as_array().unwrap();
                assert!(
                    parameter.aliases.values().all(|name| known.contains(&json!(name))),
                    "{}.{argument}",
                    tool.name
                );
            }
            let local = entry.parameters.values().any(|parameter| parameter.place == Place::Item);
            let whole = matches!(entry.answer, Answer::Page { paging: manifest::Paging::Whole, .. });
            assert!(!local || whole, "{}: only a whole list can be filtered here", tool.name);
        }
    }

    /// A tool as `tools/list` gives it.
    fn listed(tool: &Tool) -> Value {
        let access = if tool.entry.effect.is_write() { "write" } else { "read" };
        json!({
            "name": tool.name, "title": tool.entry.title, "description": tool.entry.description,
            "inputSchema": *tool.input_schema, "outputSchema": *tool.output_schema,
            "annotations": {
                "readOnlyHint": false, "destructiveHint": false, "idempotentHint": false, "openWorldHint": true},
            "_meta": {
                "ironclad/group": tool.entry.group, "ironclad/access": access, "ironclad/scope": tool.entry.scope}})
    }

    #[test]
    fn the_catalogue_stays_within_its_budget_of_bytes() {
        let catalog = shipped();
        let bytes = |reads_only: bool| {
            let by_default = |tool: &&Arc<Tool>| policy::DEFAULT_TOOLSETS.contains(&tool.entry.group.as_str());
            let tools = catalog.all().filter(by_default).filter(|tool| !reads_only || tool.entry.effect == Read);
            tools.fold((0, 0), |(prompt, whole), tool| {
                let schema = Value::Object((*tool.input_schema).clone()).to_string();
                let words = tool.name.len() + tool.entry.description.len() + schema.len();
                (prompt + words, whole + listed(tool).to_string().len() + 1)
            })
        };
        let (prompt, whole) = bytes(false);
        assert!(prompt <= 20_480 && whole <= 48_000, "all: {prompt} and {whole} bytes");
        let (prompt, whole) = bytes(true);
        assert!(prompt <= 10_000 && whole <= 24_000, "reads: {prompt} and {whole} bytes");
    }

    /// The request of a call as `dry_run` shows it: `METHOD path?query` and the body.
    fn sent(catalog: &Catalog, name: &str, arguments: &Value) -> (String, Option<Value>) {
        let tool = catalog.get(name).unwrap();
        let args = tool.arguments().unwrap().check(&tool.entry, arguments.as_object().unwrap().clone());
        let built = request::build(&tool.entry, &args.unwrap_or_else(|faults| panic!("{name}: {faults:?}")), None);
        let query: Vec<String> = built.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (format!("{} {}?{}", built.method.as_str(), built.path, query.join("&")), built.body)
    }

    #[test]
    fn each_read_asks_its_endpoint() {
        let page = json!({"cursor": "c", "limit": 5, "fields": ["id"]});
        let records = json!({"types": ["nda", "msa"], "updated_since": "2026-01-31T00:00:00Z", "filter": "IsEmpty([a])",
            "sort_field": "name", "sort_direction": "ASC", "hydrate_entities": false, "address_as_object": true});
        let workflows = json!({"status": ["active", "paused"], "template_id": "t",
            "updated_since": "2026-01-31T00:00:00Z", "filter": "IsEmpty([a])", "hydrate_entities": true});
        let table = [
            ("list_workflows", page.clone(), "/public/api/v1/workflows?"),
            (
                "list_workflows",
                workflows,
                "/public/api/v1/workflows?status=active,paused&template=t&lastUpdated=2026-01-31T00:00:00Z\
                 &filter=IsEmpty([a])&hydrateEntities=true",
            ),
            (
                "get_workflow",
                json!({"workflow_id": "IC-1", "hydrate_entities": true}),
                "/public/api/v1/workflows/IC-1?hydrateEntities=true",
            ),
            ("list_workflow_schemas", json!({"name_contains": "nda"}), "/public/api/v1/workflow-schemas?form=launch"),
            ("get_workflow_schema", json!({"template_id": "t"}), "/public/api/v1/workflow-schemas/t?form=launch"),
            ("list_workflow_approvals", json!({"workflow_id": "w"}), "/public/api/v1/workflows/w/approvals?"),
            (
                "list_approval_requests",
                json!({"workflow_id": "w", "actor_details": true, "request_type": "role"}),
                "/public/api/v1/workflows/w/approval-requests?actorDetails=true&requestType=role",
            ),
            ("list_records", page.clone(), "/public/api/v1/records?"),
            (
                "list_records",
                records,
                "/public/api/v1/records?types=nda,msa&lastUpdated=2026-01-31T00:00:00Z&filter=IsEmpty([a])\
                 &sortField=name&sortDirection=ASC&hydrateEntities=false&addressAsObject=true",
            ),
            (
                "get_record",
                json!({"record_id": "r", "address_as_object": true}),
                "/public/api/v1/records/r?addressAsObject=true",
            ),
            ("get_record_schema", json!({}), "/public/api/v1/records/metadata?"),
            (
                "download_workflow_document",
                json!({"workflow_id": "w", "document_key": "k_-1"}),
                "/public/api/v1/workflows/w/document/k_-1/download?",
            ),
            ("list_webhooks", page, "/public/api/v1/webhooks?"),
            (
                "list_users",
                json!({"filter": "userName eq \"a\"", "excluded_attributes": ["name", "meta"]}),
                "/scim/v2/Users?filter=userName eq \"a\"&excludedAttributes=name,meta",
            ),
            ("get_user", json!({"user_id": "u"}), "/scim/v2/Users/u?"),
        ];
        let catalog = shipped();
        for (name, arguments, expected) in &table {
            assert_eq!(sent(&catalog, name, arguments), (format!("GET {expected}"), None), "{name}");
        }
        let asked: BTreeSet<&str> = table.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(asked.len(), 13);
    }

    /// Writes about workflows: arguments, then request line and body.
    fn workflow_writes() -> Vec<(&'static str, Value, &'static str, Option<Value>)> {
        let comment = json!({"workflow_id": "w", "comment": "why", "add_users_to_workflow": true});
        let commented = Some(json!({"comment": {"message": "why", "addUsersToWorkflow": true}}));
        let updates = json!([{"action": "set", "path": "fee", "value": "5"}, {"action": "remove", "path": "x"}]);
        vec![
            (
                "launch_workflow",
                json!({"template_id": "t", "attributes": {"counterpartyName": "Acme"}, "use_default_values": true}),
                "POST /public/api/v1/workflows?useDefaultValues=true",
                Some(json!({"template": "t", "attributes": {"counterpartyName": "Acme"}})),
            ),
            (
                "update_workflow_attributes",
                json!({"workflow_id": "w", "updates": updates, "comment": "text"}),
                "PATCH /public/api/v1/workflows/w/attributes?",
                Some(json!({"updates": updates, "comment": "text"})),
            ),
            (
                "update_workflow_approval",
                json!({"workflow_id": "w", "role_id": "approver1", "status": "approved"}),
                "PATCH /public/api/v1/workflows/w/approvals/approver1?",
                Some(json!({"status": "approved"})),
            ),
            ("pause_workflow", comment.clone(), "POST /public/api/v1/workflows/w/pause?", commented.clone()),
            ("resume_workflow", comment.clone(), "POST /public/api/v1/workflows/w/resume?", commented.clone()),
            ("cancel_workflow", comment, "POST /public/api/v1/workflows/w/cancel?", commented),
            (
                "revert_workflow_to_review",
                json!({"workflow_id": "w"}),
                "PATCH /public/api/v1/workflows/w/revert-to-review?",
                None,
            ),
            (
                "send_signature_request",
                json!({"workflow_id": "w"}),
                "POST /public/api/v1/workflows/w/sign-status/send-signature-request?",
                None,
            ),
        ]
    }

    /// The other writes.
    fn other_writes() -> Vec<(&'static str, Value, &'static str, Option<Value>)> {
        let links = json!([{"recordId": "a"}]);
        let parent = json!({"recordId": "p", "parentLinkType": "amendment"});
        let action = json!({"type": "terminate", "properties": {"d": {"type": "date", "value": "2026-01-31"}}});
        vec![
            (
                "create_record",
                json!({"type": "nda", "name": "N", "properties": {}, "links": links, "parent": parent,
                    "children": links, "properties_to_amend": {"a": {}}, "address_as_object": true}),
                "POST /public/api/v1/records?addressAsObject=true",
                Some(json!({"type": "nda", "name": "N", "properties": {}, "links": links, "parent": parent,
                    "children": links, "propertiesToAmend": {"a": {}}})),
            ),
            (
                "update_record",
                json!({"record_id": "r", "name": "N", "type": "nda", "set_properties": {"a": 1},
                    "remove_properties": ["b"],
                    "add_links": links, "remove_links": links, "set_parent": parent, "remove_parent": false,
                    "add_children": links, "remove_children": links, "add_properties_to_amend": {"a": {}},
                    "remove_properties_to_amend": ["c"]}),
                "PATCH /public/api/v1/records/r?",
                Some(json!({"name": "N", "type": "nda", "addProperties": {"a": 1}, "removeProperties": ["b"],
                    "addLinks": links, "removeLinks": links, "setParent": parent, "removeParent": false,
                    "addChildren": links, "removeChildren": links, "addPropertiesToAmend": {"a": {}},
                    "removePropertiesToAmend": ["c"]})),
            ),
            (
                "run_record_action",
                json!({"record_id": "r", "action": action}),
                "POST /public/api/v1/records/r/actions?",
                Some(action),
            ),
            (
                "create_webhook",
                json!({"events": ["contract_status_changed", "*"], "target_url": "https://a.example",
                    "status": "disabled"}),
                "POST /public/api/v1/webhooks?",
                Some(json!({"events": ["record_contract_status_changed", "*"], "targetURL": "https://a.example",
                    "status": "disabled"})),
            ),
            ("delete_webhook", json!({"webhook_id": "h"}), "DELETE /public/api/v1/webhooks/h?", None),
        ]
    }

    #[test]
    fn each_write_sends_what_its_endpoint_wants() {
        let catalog = shipped();
        let table = [workflow_writes(), other_writes()].concat();
        assert_eq!(table.iter().map(|row| row.0).collect::<BTreeSet<_>>().len(), 13);
        for (name, arguments, line, body) in table {
            assert_eq!(sent(&catalog, name, &arguments), (line.to_owned(), body), "{name}");
        }
    }

    #[test]
    fn bodies_that_want_a_person_take_the_acting_user() {
        let catalog = shipped();
        let places: Vec<(&str, &str)> = catalog
            .all()
            .filter_map(|tool| Some((tool.name.as_str(), tool.entry.request.acting_user.as_deref()?)))
            .collect();
        let expected = [
            ("launch_workflow", "/creator"),
            ("update_workflow_approval", "/user"),
            ("revert_workflow_to_review", "/user"),
            ("launch_workflow_async", "/creator"),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn every_entry_names_the_bucket_that_its_requests_draw_on() {
        for tool in shipped().all().filter(|tool| tool.entry.local.is_none()) {
            let request = &tool.entry.request;
            let path = format!("{}{}", request.api.root(), request.path);
            assert_eq!(Bucket::of(request.api, request.method, &path).name(), tool.entry.bucket, "{}", tool.name);
        }
    }

    #[test]
    fn a_value_that_ironclad_adds_one_day_leaves_an_answer_valid() {
        for tool in shipped().all() {
            let members = match &tool.entry.answer {
                Answer::Object { members, .. }
                | Answer::Page { members, .. }
                | Answer::Form { members }
                | Answer::Job { members, .. } => members,
                Answer::Empty {} | Answer::Document {} => continue,
            };
            for (name, schema) in members {
                let plain = |schema: &Value, keys: &[&str]| {
                    schema.as_object().is_some_and(|node| node.keys().all(|key| keys.contains(&key.as_str())))
                };
                let items = schema.get("items").is_none_or(|items| plain(items, &["type"]));
                assert!(plain(schema, &["type", "items"]) && items, "{}.{name}: {schema}", tool.name);
            }
        }
    }

    /// A vendor's object with every member that an entry knows, each of its type, and one that it does not know.
    fn sample(members: &Map<String, Value>) -> Value {
        let value = |schema: &Value| match schema["type"].as_str() {
            Some("string") => json!("some new value"),
            Some("object") => json!({"any": [1]}),
            Some("array") if schema["items"]["type"] == "string" => json!(["a"]),
            Some("array") => json!([{"a": 1}]),
            Some("boolean") => json!(true),
            Some("integer") => json!(2),
            _ => json!(2.5),
        };
        let mut object: Map<String, Value> =
            members.iter().map(|(name, schema)| (name.clone(), value(schema))).collect();
        object.insert("unheard_of".into(), json!({"a": [null, "x"]}));
        object.into()
    }

    /// Every kind of answer that a tool can give.
    fn answers(entry: &Entry) -> Vec<answer::Answer> {
        let shape = |max_bytes| Shape { origin: "https://na1.ironcladapp.com", max_bytes, fields: None };
        let args = Args::default();
        let mut answers = match &entry.answer {
            Answer::Object { members, .. } => {
                let mut body = sample(members);
                body["bulk"] = "x".repeat(3_000).into();
                let body = body.to_string();
                let cut =
                    entry.effect.is_write().then(|| answer::object(entry, body.as_bytes(), &shape(2_000)).unwrap());
                cut.into_iter().chain([answer::object(entry, body.as_bytes(), &shape(60_000)).unwrap()]).collect()
            }
            Answer::Page { members, .. } => {
                let items = [sample(members), sample(members)];
                let bodies =
                    [json!({"list": items, "count": 2}), json!({"list": items}), json!({"list": [], "count": 0})];
                let seal = |spot: Spot| spot.offset.to_string();
                let page = |body: &Value| {
                    let window = Window::first(1);
                    answer::page(entry, &args, body.to_string().as_bytes(), &shape(60_000), (window, seal)).unwrap()
                };
                bodies.iter().map(page).collect()
            }
            Answer::Empty {} => vec![answer::empty(entry, &args, b"").unwrap()],
            // A form's answer and a document's are made while they are received; tests/it/tools.rs holds them.
            Answer::Form { .. } | Answer::Job { .. } | Answer::Document {} => Vec::new(),
        };
        if entry.effect.is_write() {
            answers.push(answer::dry_run(&request::build(entry, &args, None)));
        }
        answers
    }

    #[test]
    fn every_answer_fits_its_output_schema() {
        for tool in shipped().all() {
            let validator = jsonschema::draft202012::new(&Value::Object((*tool.output_schema).clone())).unwrap();
            for answer in answers(&tool.entry) {
                let faults: Vec<String> = validator.iter_errors(&answer.structured).map(|e| e.to_string()).collect();
                assert!(faults.is_empty(), "{}: {faults:?} in {}", tool.name, answer.text);
                let known = tool.output_schema["properties"].as_object().unwrap();
                let ours =
                    ["url", "truncated", "dry_run", "request", "done", "items", "has_more", "next_cursor", "total"];
                for name in answer.structured.as_object().unwrap().keys().filter(|name| ours.contains(&name.as_str())) {
                    assert!(known.contains_key(name), "{} answers {name}, which its schema does not tell", tool.name);
                }
            }
        }
    }

    #[test]
    fn bulky_schemas_are_left_out_of_lists_and_workflows_and_workflows_have_a_page() {
        let (mut bulky, mut paged) = (Vec::new(), Vec::new());
        let catalog = shipped();
        for tool in catalog.all() {
            if let Answer::Object { omit, page, .. } | Answer::Page { omit, page, .. } = &tool.entry.answer {
                bulky.extend(omit.contains(&"schema".to_owned()).then_some(tool.name.as_str()));
                paged.extend((page.as_deref() == Some("/workflow/{id}")).then_some(tool.name.as_str()));
            }
        }
        let workflows = ["list_workflows", "get_workflow", "launch_workflow", "update_workflow_attributes"];
        assert_eq!(paged, workflows);
        assert_eq!(bulky, [&workflows[..], &["list_workflow_schemas"]].concat());
    }

    #[test]
    fn texts_name_tools_with_the_prefix() {
        let catalog = Catalog::load(None, "ironclad_").unwrap();
        let told = "call list_workflows (not list_workflows_x), then get_workflow.";
        let expected = "call ironclad_list_workflows (not list_workflows_x), then ironclad_get_workflow.";
        assert_eq!(catalog.words().of(told), expected);
        let description = &catalog.get("ironclad_list_workflows").unwrap().entry.description;
        assert!(description.contains("use ironclad_get_workflow"), "{description}");
        assert_eq!(Catalog::load(None, "").unwrap().words().of(told), told);
    }

    #[test]
    fn a_prefix_stands_before_every_name_and_the_bare_name_is_unknown() {
        let catalog = Catalog::load(None, "ic_").unwrap();
        assert!(catalog.all().all(|tool| tool.name == format!("ic_{}", tool.entry.name)));
        assert!(catalog.get("ic_get_workflow").is_some() && catalog.get("get_workflow").is_none());
        for prefix in ["Ironclad.", "a_prefix_that_is_too_long_"] {
            let refused = Catalog::load(None, prefix).unwrap_err().to_string();
            assert!(refused.contains("tool name"), "{refused}");
        }
    }

    fn settings(access: &[(&str, Access)]) -> policy::Settings {
        let access = access.iter().map(|(group, access)| ((*group).to_owned(), *access)).collect();
        policy::Settings { access, ..policy::Settings::default() }
    }

    #[test]
    fn what_is_not_granted_is_not_published() {
        let catalog = shipped();
        let names =
            |settings: &policy::Settings| catalog.published(settings).map(|tool| tool.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&settings(&[])).len(), 13);
        assert_eq!(names(&policy::Settings { enable_writes: true, ..settings(&[]) }).len(), 26);
        let webhooks = policy::Settings { toolsets: strings(&["webhooks"]), ..settings(&[("webhooks", Access::Full)]) };
        assert_eq!(names(&webhooks), ["create_webhook", "list_webhooks", "delete_webhook"]);
    }

    #[test]
    fn scopes_are_those_of_the_published_tools_and_no_more() {
        let catalog = shipped();
        let users = policy::Settings { toolsets: strings(&["users"]), ..settings(&[]) };
        assert_eq!(catalog.scopes(&users), ["scim.users.readUsers"]);
        let reads = catalog.scopes(&settings(&[]));
        assert!(reads.iter().all(|scope| scope.contains("read")), "{reads:?}");
        assert_eq!(reads.iter().collect::<BTreeSet<_>>().len(), reads.len(), "each once");
    }

    #[test]
    fn a_setting_that_names_what_does_not_exist_is_refused_by_name() {
        let typo = |change: fn(&mut policy::Settings)| {
            let mut settings = settings(&[]);
            change(&mut settings);
            shipped().check(&settings).unwrap_err().to_string()
        };
        let table: [(String, &str, &str); 6] = [
            (
                typo(|s| s.access = [("workflow".into(), Access::Full)].into()),
                "--access (IRONCLAD_ACCESS) names workflow,",
                "workflows",
            ),
            (
                typo(|s| s.access = [("launch_x".into(), Access::Full)].into()),
                "--access (IRONCLAD_ACCESS) names launch_x,",
                "workflows",
            ),
            (
                typo(|s| s.toolsets = strings(&["default", "recods"])),
                "--toolsets (IRONCLAD_TOOLSETS) names recods,",
                "all, default",
            ),
            (
                typo(|s| s.toolsets = strings(&["launch_x"])),
                "--toolsets (IRONCLAD_TOOLSETS) names launch_x,",
                "all, default",
            ),
            (
                typo(|s| s.tools = strings(&["get_workfow"])),
                "--tools (IRONCLAD_TOOLS) names get_workfow,",
                "get_workflow",
            ),
            (
                typo(|s| s.exclude_tools = strings(&["x"])),
                "--exclude-tools (IRONCLAD_EXCLUDE_TOOLS) names x,",
                "get_workflow",
            ),
        ];
        for (message, beginning, known) in table {
            assert!(message.starts_with(beginning) && message.contains(known), "{message}");
        }
    }

    #[test]
    fn launch_tools_may_be_named_before_their_templates_are_known() {
        let tools = policy::Settings { tools: strings(&["get_workflow", "launch_nda"]), ..settings(&[]) };
        assert!(shipped().check(&tools).is_ok());
        let excluded = policy::Settings { exclude_tools: strings(&["launch_nda"]), ..settings(&[]) };
        assert!(shipped().check(&excluded).is_ok());
    }

    #[test]
    fn settings_that_leave_nothing_are_refused() {
        let off: Vec<(&str, Access)> = policy::DEFAULT_TOOLSETS.iter().map(|group| (*group, Access::Off)).collect();
        let nothing = [
            settings(&off),
            policy::Settings { tools: strings(&["pause_workflow"]), ..settings(&[]) },
            policy::Settings { tools: strings(&["get_user"]), exclude_tools: strings(&["get_user"]), ..settings(&[]) },
        ];
        for settings in nothing {
            assert!(matches!(shipped().check(&settings), Err(CatalogError::Nothing)), "{settings:?}");
        }
        assert!(shipped().check(&settings(&[])).is_ok());
    }

    fn tool(name: &str) -> Value {
        json!({"name": name, "title": "T", "description": "Reads it.", "effect": "read", "scope": "s",
            "bucket": "other", "deed": "read it", "request": {"api": "public", "method": "GET", "path": "/things"},
            "answer": {"kind": "object", "members": {}}})
    }

    fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn group(name: &str, tools: &[Value]) -> String {
        json!({"group": name, "tools": tools}).to_string()
    }

    #[test]
    fn a_folder_adds_files_and_replaces_those_of_the_same_name() {
        let added = folder(&[
            ("exports.json", group("exports", &[tool("get_export")])),
            ("users.json", group("users", &[tool("get_person")])),
            ("manifest.schema.json", "{}".into()),
            ("notes.txt", "no manifest".into()),
        ]);
        let catalog = Catalog::load(Some(added.path()), "").unwrap();
        let names: Vec<&str> = catalog.all().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names.len(), 30);
        assert_eq!(names[23..25], ["delete_webhook", "get_person"]);
        assert_eq!(names[29], "get_export");
        assert!(catalog.get("get_user").is_none(), "its file was replaced");
        assert!(!catalog.published(&settings(&[])).any(|tool| tool.name == "get_export"), "it is in no default group");
        let all = policy::Settings { toolsets: strings(&["exports"]), ..settings(&[]) };
        assert!(catalog.check(&all).is_ok() && catalog.published(&all).count() == 1);
    }

    #[test]
    fn all_faults_of_all_files_are_reported_together() {
        let mut outside = tool("get_deep");
        outside["parameters"] = json!({"a": {"in": "query", "schema": {"type": "string", "format": "email"}}});
        let mut post = tool("get_post");
        post["request"]["method"] = "POST".into();
        let bad = folder(&[
            ("a.json", group("a", &[post, outside.clone()])),
            ("b.json", "{".into()),
            ("c.json", group("c", &[outside, tool("get_workflow"), tool("Bad.Name")])),
        ]);
        let message = Catalog::load(Some(bad.path()), "").unwrap_err().to_string();
        let expected = [
            "a.json: get_post: a read must be a GET",
            "a.json: get_deep: /properties/a: format may only be date-time",
            "b.json: EOF",
            "c.json: get_deep: /properties/a: format may only be date-time",
            "c.json: get_workflow: the name is taken by another tool",
            "c.json: Bad.Name: tool name",
        ];
        for fault in expected {
            assert!(message.contains(fault), "{fault} is not in:\n{message}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_named() {
        let empty = folder(&[]);
        assert_eq!(Catalog::load(Some(empty.path()), "").unwrap().all().count(), 30);
        let missing = empty.path().join("missing");
        let message = Catalog::load(Some(&missing), "").unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot read {}", missing.display())), "{message}");
        std::fs::write(empty.path().join("x.json"), b"\xff").unwrap();
        let message = Catalog::load(Some(empty.path()), "").unwrap_err().to_string();
        assert!(message.contains("x.json"), "{message}");
    }
}
