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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::{
        prelude::*,
        sample::{select, subsequence},
    };
    use serde_json::json;

    use super::super::{reach, visible};
    use super::*;
    use crate::manifest;

    const GROUPS: [&str; 3] = ["workflows", "records", "account"];
    const TEMPLATES: [&str; 3] = ["nda", "msa", "sow"];

    /// A tool of each group and effect, by the names `workflows_read` and so on.
    fn entries() -> Vec<Entry> {
        let tool = |group: &str, effect: Effect| {
            let (kind, method) = match effect {
                Effect::Read => ("read", "GET"),
                Effect::Write => ("write", "POST"),
                Effect::Destroy => ("destroy", "DELETE"),
            };
            let manifest = json!({"group": group, "tools": [{
                "name": format!("{group}_{kind}"), "title": "T",
                "description": format!("{}does it.", effect.description_prefix()), "effect": effect, "scope": "s",
                "bucket": "other", "deed": "did it", "answer": {"kind": "empty"},
                "request": {"api": "public", "method": method, "path": "/things"}}]});
            manifest::parse("t.json", &manifest.to_string()).unwrap().tools.remove(0)
        };
        let effects = [Effect::Read, Effect::Write, Effect::Destroy];
        GROUPS.iter().flat_map(|group| effects.map(|effect| tool(group, effect))).collect()
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn access(list: &[(&str, Access)]) -> BTreeMap<String, Access> {
        list.iter().map(|(group, access)| ((*group).to_owned(), *access)).collect()
    }

    fn with(server: Settings, profile: Profile) -> Settings {
        Settings { agent: Some(Arc::new(Profile { name: "bot".into(), ..profile })), ..server }
    }

    fn known(id: &str) -> KnownTemplate<'_> {
        KnownTemplate { id: Some(id), name: None }
    }

    /// What settings allow: each tool, with each template where the tool is a write of workflows, and each record type.
    fn allowed(settings: &Settings) -> Vec<String> {
        let mut allowed = Vec::new();
        for entry in entries().iter().filter(|entry| visible(entry, settings).is_ok()) {
            match (entry.group.as_str(), entry.effect.is_write()) {
                ("workflows", true) => {
                    let may = TEMPLATES.iter().filter(|id| template(known(id), settings).is_ok());
                    allowed.extend(may.map(|id| format!("{} {id}", entry.name)));
                }
                ("records", true) => {
                    let may = TEMPLATES.iter().filter(|kind| record_type(Some(kind), settings).is_ok());
                    allowed.extend(may.map(|kind| format!("{} {kind}", entry.name)));
                }
                _ => allowed.push(entry.name.clone()),
            }
        }
        allowed
    }

    fn within(less: &Settings, more: &Settings) -> bool {
        let more = allowed(more);
        allowed(less).iter().all(|one| more.contains(one))
    }

    /// (server, agent, tool, template, effect): what each level takes away.
    #[test]
    fn deny_wins_at_every_level() {
        use Access::{Full, Off, Read};
        let server = |level: Access| Settings { access: access(&[("workflows", level)]), ..Settings::default() };
        let agent = |level: Access| Profile { access: access(&[("workflows", level)]), ..Profile::default() };
        let nda = |profile: Profile| Profile { launch: Some(names(&["nda"])), ..profile };
        let only = |profile: Profile| Profile { tools: names(&["workflows_read"]), ..profile };
        let without = |profile: Profile| Profile { exclude_tools: names(&["workflows_destroy"]), ..profile };
        // Server, agent; then whether it may read, write nda, write msa, destroy nda.
        let table = [
            (server(Full), agent(Full), [true, true, true, true]),
            (server(Full), agent(Read), [true, false, false, false]),
            (server(Full), agent(Off), [false, false, false, false]),
            (server(Read), agent(Full), [true, false, false, false]),
            (server(Off), agent(Full), [false, false, false, false]),
            (server(Full), Profile::default(), [false, false, false, false]),
            (server(Full), nda(agent(Full)), [true, true, false, true]),
            (server(Read), nda(agent(Full)), [true, false, false, false]),
            (server(Full), nda(agent(Read)), [true, false, false, false]),
            (server(Full), only(agent(Full)), [true, false, false, false]),
            (server(Full), without(agent(Full)), [true, true, true, false]),
            (server(Full), without(nda(agent(Full))), [true, true, false, false]),
            (
                Settings { exclude_tools: names(&["workflows_write"]), ..server(Full) },
                agent(Full),
                [true, false, false, true],
            ),
            (Settings { tools: names(&["workflows_write"]), ..server(Full) }, agent(Full), [false, true, true, false]),
            (Settings { toolsets: names(&["records"]), ..server(Full) }, agent(Full), [false, false, false, false]),
        ];
        for (server, agent, expected) in table {
            let settings = with(server.clone(), agent.clone());
            let may = allowed(&settings);
            let asked = ["workflows_read", "workflows_write nda", "workflows_write msa", "workflows_destroy nda"];
            let found = asked.map(|one| may.contains(&one.to_owned()));
            assert_eq!(found, expected, "{server:?} {agent:?}");
        }
    }

    #[test]
    fn a_denial_names_the_agents_rule_and_where_it_is_granted() {
        let server = Settings { enable_writes: true, ..Settings::default() };
        let profile = Profile { access: access(&[("workflows", Access::Read)]), ..Profile::default() };
        let entries = entries();
        let write = entries.iter().find(|entry| entry.name == "workflows_write").unwrap();
        let denied = visible(write, &with(server.clone(), profile.clone())).unwrap_err();
        assert_eq!(denied.rule, "agents.bot.access.workflows=read");
        assert!(denied.hint.contains("workflows = \"full\" in [agents.bot.access]"), "{}", denied.hint);
        let launching = Profile { launch: Some(names(&["nda"])), ..profile };
        let denied = template(known("msa"), &with(server.clone(), launching.clone())).unwrap_err();
        assert_eq!(denied.rule, "agents.bot.launch without \"msa\"");
        let unknown = template(KnownTemplate::default(), &with(server, launching));
        assert!(unknown.unwrap_err().rule.contains("not known"), "what is not known is refused");
    }

    #[test]
    fn an_agent_may_ask_about_itself_without_a_grant() {
        let settings = with(Settings::default(), Profile::default());
        assert_eq!(reach(ACCOUNT, &settings).0, Access::Read);
        assert_eq!(reach(ACCOUNT, &Settings::default()).0, Access::Off, "nobody else is an agent");
        let off = Profile { access: access(&[(ACCOUNT, Access::Off)]), ..Profile::default() };
        assert_eq!(reach(ACCOUNT, &with(Settings::default(), off)).0, Access::Off);
    }

    #[test]
    fn what_a_write_touches_follows_from_its_path() {
        let catalog = crate::catalog::Catalog::load(None, "").unwrap();
        let table = [
            ("launch_workflow", Some(Touch::Launch)),
            ("launch_workflow_async", Some(Touch::Launch)),
            ("update_workflow_attributes", Some(Touch::Workflow("workflow_id"))),
            ("cancel_workflow", Some(Touch::Workflow("workflow_id"))),
            ("create_record", Some(Touch::NewRecord)),
            ("update_record", Some(Touch::Record("record_id"))),
            ("run_record_action", Some(Touch::Record("record_id"))),
            ("create_webhook", None),
            ("get_workflow", None),
        ];
        for (name, expected) in table {
            assert_eq!(touch(&catalog.get(name).unwrap().entry), expected, "{name}");
        }
    }

    fn level() -> impl Strategy<Value = Access> {
        prop_oneof![Just(Access::Off), Just(Access::Read), Just(Access::Full)]
    }

    fn levels() -> impl Strategy<Value = BTreeMap<String, Access>> {
        prop::collection::btree_map(select(&GROUPS[..]).prop_map(str::to_owned), level(), 0..4)
    }

    fn any_settings() -> impl Strategy<Value = Settings> {
        let tools: Vec<String> = entries().into_iter().map(|entry| entry.name).collect();
        let list = move || subsequence(tools.clone(), 0..4);
        let limit = || prop::option::of(subsequence(&TEMPLATES[..], 0..3).prop_map(|list| names(&list)));
        let profile = (levels(), list(), list(), limit(), limit());
        (levels(), any::<bool>(), list(), list(), profile).prop_map(
            |(access, enable_writes, tools, exclude_tools, profile)| {
                let server = Settings { access, enable_writes, tools, exclude_tools, ..Settings::default() };
                let (access, tools, exclude_tools, launch, record_types) = profile;
                with(server, Profile { access, tools, exclude_tools, launch, record_types, ..Profile::default() })
            },
        )
    }

    fn changed(settings: &Settings, change: impl FnOnce(&mut Profile)) -> Settings {
        let mut profile = settings.agent.as_deref().cloned().unwrap();
        change(&mut profile);
        Settings { agent: Some(Arc::new(profile)), ..settings.clone() }
    }

    proptest! {
        #[test]
        fn adding_a_grant_never_takes_a_right_away(
            settings in any_settings(),
            group in select(&GROUPS[..]),
            tool in select(entries().into_iter().map(|entry| entry.name).collect::<Vec<_>>()),
            template in select(&TEMPLATES[..]),
        ) {
            let raised = changed(&settings, |agent| { agent.access.insert(group.to_owned(), Access::Full); });
            prop_assert!(within(&settings, &raised));
            let named = changed(&settings, |agent| if !agent.tools.is_empty() { agent.tools.push(tool.clone()) });
            prop_assert!(within(&settings, &named));
            let again = changed(&settings, |agent| agent.exclude_tools.retain(|name| *name != tool));
            prop_assert!(within(&settings, &again));
            let wider = changed(&settings, |agent| {
                for list in [&mut agent.launch, &mut agent.record_types].into_iter().flatten() {
                    list.push(template.to_owned());
                }
            });
            prop_assert!(within(&settings, &wider));
            let unlimited = changed(&settings, |agent| { agent.launch = None; agent.record_types = None; });
            prop_assert!(within(&settings, &unlimited));
            let mut server = settings.clone();
            server.access.insert(group.to_owned(), Access::Full);
            server.exclude_tools.retain(|name| *name != tool);
            prop_assert!(within(&settings, &server));
            let writes = Settings { enable_writes: true, ..settings.clone() };
            prop_assert!(within(&settings, &writes));
        }

        #[test]
        fn adding_a_denial_never_gives_a_right(
            settings in any_settings(),
            group in select(&GROUPS[..]),
            tool in select(entries().into_iter().map(|entry| entry.name).collect::<Vec<_>>()),
            template in select(&TEMPLATES[..]),
        ) {
            let lowered = changed(&settings, |agent| { agent.access.insert(group.to_owned(), Access::Off); });
            prop_assert!(within(&lowered, &settings));
            let ungranted = changed(&settings, |agent| if group != ACCOUNT { agent.access.remove(group); });
            prop_assert!(within(&ungranted, &settings));
            let excluded = changed(&settings, |agent| agent.exclude_tools.push(tool.clone()));
            prop_assert!(within(&excluded, &settings));
            let narrowed = changed(&settings, |agent| if agent.tools.is_empty() { agent.tools.push(tool.clone()) });
            prop_assert!(within(&narrowed, &settings));
            let limited = changed(&settings, |agent| {
                for list in [&mut agent.launch, &mut agent.record_types] {
                    list.get_or_insert_with(|| names(&[template])).retain(|one| one == template);
                }
            });
            prop_assert!(within(&limited, &settings));
            let mut server = settings.clone();
            server.access.insert(group.to_owned(), Access::Off);
            server.exclude_tools.push(tool);
            prop_assert!(within(&server, &settings));
            // The agent never has more than the server has.
            let alone = Settings { agent: None, toolsets: names(&["all"]), ..settings.clone() };
            prop_assert!(within(&settings, &alone));
        }
    }
}
