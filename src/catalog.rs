//! The tools that there are, and which of them are published.
//!
//! Manifests are embedded in the binary; `--manifests DIR` adds or replaces files. All faults of all files are reported
//! together, and a published schema that is outside the profile is one.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value};

use crate::{
    arguments::ArgumentCheck,
    error::ArgumentFault,
    manifest::{self, Entry, Fault, Manifest},
    policy, schema_profile, tool_schema,
};

/// The manifests in the binary: file name and text.
const EMBEDDED: [(&str, &str); 6] = [
    ("workflows.json", include_str!("../tool-manifests/workflows.json")),
    ("workflow-actions.json", include_str!("../tool-manifests/workflow-actions.json")),
    ("records.json", include_str!("../tool-manifests/records.json")),
    ("documents.json", include_str!("../tool-manifests/documents.json")),
    ("webhooks.json", include_str!("../tool-manifests/webhooks.json")),
    ("users.json", include_str!("../tool-manifests/users.json")),
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
    /// Compiled when the tool is first called: compiling all at start would cost milliseconds.
    check: OnceLock<Result<ArgumentCheck, String>>,
}

impl Tool {
    fn new(entry: Entry, prefix: &str) -> Self {
        Self {
            name: format!("{prefix}{}", entry.name),
            input_schema: Arc::new(tool_schema::input_schema(&entry)),
            output_schema: Arc::new(tool_schema::output_schema(&entry)),
            entry,
            check: OnceLock::new(),
        }
    }

    /// The check of this tool's arguments.
    ///
    /// # Errors
    /// The schema does not compile; a test holds that no shipped one does that.
    pub fn arguments(&self) -> Result<&ArgumentCheck, Vec<ArgumentFault>> {
        let check = self.check.get_or_init(|| ArgumentCheck::compile(tool_schema::argument_schema(&self.entry)));
        check.as_ref().map_err(|fault| {
            vec![ArgumentFault {
                path: String::new(),
                message: format!("the tool's schema is broken: {fault}"),
                expected: None,
            }]
        })
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = schema_profile::tool_faults(&self.name, &self.entry.description);
        faults.extend(schema_profile::schema_faults(&self.input_schema));
        faults
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
        setting: &'static str,
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
        let mut tools: Vec<Arc<Tool>> = Vec::new();
        let mut by_name = HashMap::new();
        for (file, text) in texts {
            let manifest: Manifest = match manifest::parse(file, text) {
                Ok(manifest) => manifest,
                Err(found) => {
                    faults.extend(found);
                    continue;
                }
            };
            for entry in manifest.tools {
                let tool = Tool::new(entry, prefix);
                let fault = |message| Fault { file: file.clone(), tool: tool.entry.name.clone(), message };
                faults.extend(tool.faults().into_iter().map(fault));
                if by_name.insert(tool.name.clone(), tools.len()).is_some() {
                    faults.push(fault("the name is taken by another tool".into()));
                }
                tools.push(Arc::new(tool));
            }
        }
        if faults.is_empty() { Ok(Self { tools, by_name }) } else { Err(faults) }
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
        let mut scopes: Vec<String> = self.published(settings).map(|tool| tool.entry.scope.clone()).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }

    /// Checks the names in policy settings against what there is.
    ///
    /// # Errors
    /// The first unknown name, or that nothing would be published.
    pub fn check(&self, settings: &policy::Settings) -> Result<(), CatalogError> {
        let groups: BTreeMap<&str, ()> = self.tools.iter().map(|tool| (tool.entry.group.as_str(), ())).collect();
        let groups: Vec<&str> = groups.into_keys().collect();
        let tools: Vec<&str> = self.tools.iter().map(|tool| tool.entry.name.as_str()).collect();
        let toolsets: Vec<&str> = groups.iter().copied().chain(["all", "default"]).collect();
        known("--access", settings.access.keys(), &groups)?;
        known("--toolsets", settings.toolsets.iter(), &toolsets)?;
        known("--tools", settings.tools.iter(), &tools)?;
        known("--exclude-tools", settings.exclude_tools.iter(), &tools)?;
        if self.published(settings).next().is_none() {
            return Err(CatalogError::Nothing);
        }
        Ok(())
    }
}

/// Typed launch tools are named after templates, which only the account knows.
const LAUNCH_TOOL: &str = "launch_";

fn known<'a>(
    setting: &'static str,
    mut names: impl Iterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), CatalogError> {
    let unknown = names.find(|name| !known.contains(&name.as_str()) && !name.starts_with(LAUNCH_TOOL));
    match unknown {
        None => Ok(()),
        Some(name) => Err(CatalogError::UnknownName { setting, name: name.clone(), known: known.join(", ") }),
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
