//! What one agent is granted below the server's own settings, and which templates and record types it may touch.
//!
//! Nothing is granted that is not named: a group without access is off. Lists only narrow, as the server's do.

use std::collections::BTreeMap;

use super::{Access, Denial, Settings, denial};
use crate::manifest::{Effect, Entry, Method, Preparation};

/// The group of what an agent may ask about itself.
pub const ACCOUNT: &str = "account";

/// What one agent is granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The agent's name, for the rules that name it.
    pub name: String,
    /// Access of each group that is granted at all.
    pub access: BTreeMap<String, Access>,
    /// If not empty, only these tools.
    pub tools: Vec<String>,
    /// Never these tools.
    pub exclude_tools: Vec<String>,
    /// The templates, by id or exact name, that it may launch and whose workflows it may change; `None` is any.
    pub launch: Option<Vec<String>>,
    /// The record types that it may create and change; `None` is any.
    pub record_types: Option<Vec<String>>,
}

impl Profile {
    /// Access of one group. To ask about itself an agent needs no grant.
    #[must_use]
    pub fn granted(&self, group: &str) -> Access {
        let unnamed = if group == ACCOUNT { Access::Read } else { Access::Off };
        self.access.get(group).copied().unwrap_or(unnamed)
    }

    pub(super) fn visible(&self, entry: &Entry) -> Result<String, Denial> {
        let name = &self.name;
        if self.exclude_tools.contains(&entry.name) {
            let hint = format!("the operator must take it out of exclude_tools of [agents.{name}]");
            return Err(denial(self.rule(&format!("exclude_tools {}", entry.name)), hint));
        }
        if !self.tools.is_empty() && !self.tools.contains(&entry.name) {
            let hint = format!("the operator must add it to tools of [agents.{name}]");
            return Err(denial(self.rule(&format!("tools without {}", entry.name)), hint));
        }
        self.covers(&entry.group, entry.effect)
    }

    pub(super) fn covers(&self, group: &str, effect: Effect) -> Result<String, Denial> {
        let (granted, needed) = (self.granted(group), Access::needed_for(effect));
        let rule = self.rule(&format!("access.{group}={granted}"));
        if granted < needed {
            let hint = format!("the operator must set {group} = \"{needed}\" in [agents.{}.access]", self.name);
            return Err(denial(rule, hint));
        }
        Ok(rule)
    }

    fn rule(&self, what: &str) -> String {
        format!("agents.{}.{what}", self.name)
    }
}

/// What a call would change, where profiles have a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch<'a> {
    /// A launch from a template.
    Launch,
    /// A workflow, by the argument that holds its id.
    Workflow(&'a str),
    /// Workflows, and nothing tells which.
    SomeWorkflow,
    /// A record that is made.
    NewRecord,
    /// A record, by the argument that holds its id.
    Record(&'a str),
    /// Records, and nothing tells which.
    SomeRecord,
}

/// What a call of a write would change: its path tells, so that a manifest of the operator's own is held too.
#[must_use]
pub fn touch(entry: &Entry) -> Option<Touch<'_>> {
    if !entry.effect.is_write() {
        return None;
    }
    if entry.prepare == Some(Preparation::LaunchForm) {
        return Some(Touch::Launch);
    }
    let mut steps = entry.request.path.trim_start_matches('/').split('/');
    let (first, second) = (steps.next()?, steps.next());
    let argument = second.and_then(|step| step.strip_prefix('{')?.strip_suffix('}'));
    match (first, second, argument) {
        ("workflows", _, Some(argument)) => Some(Touch::Workflow(argument)),
        ("workflows", None, _) if entry.request.method == Method::Post => Some(Touch::Launch),
        ("workflows", Some("async"), _) => Some(Touch::Launch),
        ("workflows", ..) => Some(Touch::SomeWorkflow),
        ("records", _, Some(argument)) => Some(Touch::Record(argument)),
        ("records", None, _) if entry.request.method == Method::Post => Some(Touch::NewRecord),
        ("records", ..) => Some(Touch::SomeRecord),
        _ => None,
    }
}

/// A template, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KnownTemplate<'a> {
    /// Its id.
    pub id: Option<&'a str>,
    /// Its name.
    pub name: Option<&'a str>,
}

/// Whether a template may be launched, and its workflows changed.
///
/// # Errors
/// The agent's list does not have it; so also where it is not known which template it is.
pub fn template(known: KnownTemplate<'_>, settings: &Settings) -> Result<(), Denial> {
    let Some((profile, listed)) = settings.agent.as_deref().and_then(|agent| Some((agent, agent.launch.as_ref()?)))
    else {
        return Ok(());
    };
    let is_listed = |text: Option<&str>| text.is_some_and(|text| listed.iter().any(|one| one == text));
    if is_listed(known.id) || is_listed(known.name) {
        return Ok(());
    }
    let named = known.name.or(known.id).map_or_else(|| "a template that is not known".to_owned(), |t| format!("{t:?}"));
    let hint = format!("the operator must add the template to launch of [agents.{}]", profile.name);
    Err(denial(profile.rule(&format!("launch without {named}")), hint))
}

/// Whether records of a type may be made and changed.
///
/// # Errors
/// The agent's list does not have it; so also where the type is not known.
pub fn record_type(known: Option<&str>, settings: &Settings) -> Result<(), Denial> {
    let profile = settings.agent.as_deref();
    let Some((profile, listed)) = profile.and_then(|agent| Some((agent, agent.record_types.as_ref()?))) else {
        return Ok(());
    };
    if known.is_some_and(|known| listed.iter().any(|one| one == known)) {
        return Ok(());
    }
    let named = known.map_or_else(|| "a type that is not known".to_owned(), |known| format!("{known:?}"));
    let hint = format!("the operator must add the record type to record_types of [agents.{}]", profile.name);
    Err(denial(profile.rule(&format!("record_types without {named}")), hint))
}
