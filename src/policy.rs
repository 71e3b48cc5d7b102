//! Decides who may call what, and when a person must be asked.
//!
//! Read aloud: a tool is published if its group is published, its group's access covers its effect, and no list of
//! names leaves it out: by the server's settings, and then by the agent's. Deny wins: each gate can only take away.
//! Pure: settings in, verdict out.

mod profile;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::Deserialize;

pub use self::profile::{ACCOUNT, KnownTemplate, Profile, Touch, record_type, template, touch};
use crate::manifest::{Effect, Entry, Preparation};

/// The access groups that `default` stands for.
pub const DEFAULT_TOOLSETS: [&str; 6] = ["workflows", "workflow-actions", "records", "documents", "webhooks", "users"];

/// What is granted for one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Nothing.
    Off,
    /// Reads.
    Read,
    /// Reads and writes.
    Full,
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Read => "read",
            Self::Full => "full",
        }
    }

    fn needed_for(effect: Effect) -> Self {
        if effect.is_write() { Self::Full } else { Self::Read }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Access {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "read" => Ok(Self::Read),
            "full" => Ok(Self::Full),
            _ => Err(format!("{text:?} is no access level; give off, read or full")),
        }
    }
}

/// When a person is asked before an irreversible call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirm {
    /// Where the client can ask; else the client's own approval serves.
    #[default]
    Auto,
    /// Always; where nobody can be asked, the answer is no.
    Always,
    /// Never.
    Never,
}

impl FromStr for Confirm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Err(format!("{text:?} is not known; give auto, always or never")),
        }
    }
}

/// What the operator granted: to the server, and below it to the agent that calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--enable-writes`: every group that `access` does not name is `full`.
    pub enable_writes: bool,
    /// `--access GROUP=LEVEL`.
    pub access: BTreeMap<String, Access>,
    /// `--toolsets`: the groups published; `default` and `all` are understood. Empty is `default`.
    pub toolsets: Vec<String>,
    /// `--tools`: if not empty, only these.
    pub tools: Vec<String>,
    /// `--exclude-tools`: never these.
    pub exclude_tools: Vec<String>,
    /// `--confirm`.
    pub confirm: Confirm,
    /// `--confirm`: tools that want a person's yes beside those that are irreversible.
    pub confirm_tools: Vec<String>,
    /// `--require-plan`: tools that want a dry run's plan.
    pub require_plan: Vec<String>,
    /// What the calling agent is granted of that; `None` without `[agents]`, and then it is all.
    pub agent: Option<Arc<Profile>>,
    /// How far the caller's own token reaches; `None` where callers bring none with scopes.
    pub token: Option<Access>,
}

/// The scope that a caller's token needs for reads.
pub const READ_SCOPE: &str = "ironclad:read";

/// The scope that a caller's token needs for writes; reads are within it.
pub const WRITE_SCOPE: &str = "ironclad:write";

/// Why a tool is refused: the rule, for the audit log, and the setting that would grant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The gate that refused, such as `access.workflows=read`.
    pub rule: String,
    /// Which setting grants it.
    pub hint: String,
}

/// What policy says of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on, by this rule.
    Allow {
        /// The rule that granted it.
        rule: String,
    },
    /// Ask a person first.
    Ask {
        /// The rule that granted it, if the person says yes.
        rule: String,
    },
}

impl Verdict {
    /// The rule that granted the call.
    #[must_use]
    pub fn rule(&self) -> &str {
        match self {
            Self::Allow { rule } | Self::Ask { rule } => rule,
        }
    }
}

/// Whether a tool is published at all, by which rule, or why not.
///
/// # Errors
/// The first gate that refuses.
pub fn visible(entry: &Entry, settings: &Settings) -> Result<String, Denial> {
    if !publishes(settings, &entry.group) {
        let rule = format!("toolsets without {}", entry.group);
        return Err(denial(rule, format!("the operator must add {} to --toolsets", entry.group)));
    }
    if settings.exclude_tools.contains(&entry.name) {
        let rule = format!("exclude-tools {}", entry.name);
        return Err(denial(rule, "the operator must take it out of --exclude-tools".to_owned()));
    }
    if !settings.tools.is_empty() && !settings.tools.contains(&entry.name) {
        let rule = format!("tools without {}", entry.name);
        return Err(denial(rule, "the operator must add it to --tools".to_owned()));
    }
    let rule = covers(settings, &entry.group, entry.effect)?;
    let rule = settings.agent.as_ref().map_or(Ok(rule), |agent| agent.visible(entry))?;
    within_token(settings, entry.effect).map(|()| rule)
}

/// Whether the caller's token covers an effect: it only ever narrows.
fn within_token(settings: &Settings, effect: Effect) -> Result<(), Denial> {
    let needed = Access::needed_for(effect);
    if settings.token.is_none_or(|reach| reach >= needed) {
        return Ok(());
    }
    let scope = scope_for(effect);
    let hint = format!("the caller must sign in again for a token with the scope {scope}");
    Err(denial(format!("token without {scope}"), hint))
}

/// The scope that would grant a tool, where the caller's token alone withholds it.
#[must_use]
pub fn scope_beyond(entry: &Entry, settings: &Settings) -> Option<&'static str> {
    within_token(settings, entry.effect).err()?;
    visible(entry, &Settings { token: None, ..settings.clone() }).ok()?;
    Some(scope_for(entry.effect))
}

fn scope_for(effect: Effect) -> &'static str {
    if effect.is_write() { WRITE_SCOPE } else { READ_SCOPE }
}

/// Whether anything at all is granted that writes, whatever a caller's token says.
#[must_use]
pub fn grants_writes(settings: &Settings) -> bool {
    let full = |access: &BTreeMap<String, Access>| access.values().any(|access| *access == Access::Full);
    let of_server = settings.enable_writes || full(&settings.access);
    of_server && settings.agent.as_ref().is_none_or(|agent| full(&agent.access))
}

/// Whether the server's access of a group covers an effect.
fn covers(settings: &Settings, group: &str, effect: Effect) -> Result<String, Denial> {
    let (granted, needed) = (granted(settings, group), Access::needed_for(effect));
    let rule = format!("access.{group}={granted}");
    if granted < needed {
        let mut hint = format!("the operator must start the server with --access {group}={needed}");
        if effect.is_write() {
            hint.push_str(" (or --enable-writes for every group)");
        }
        return Err(denial(rule, hint));
    }
    Ok(rule)
}

/// What a group is granted by the server and the agent together, and what withholds the rest of it.
#[must_use]
pub fn reach(group: &str, settings: &Settings) -> (Access, Option<Denial>) {
    if !publishes(settings, group) {
        let hint = format!("the operator must add {group} to --toolsets");
        return (Access::Off, Some(denial(format!("toolsets without {group}"), hint)));
    }
    let both = |effect| {
        let rule = covers(settings, group, effect)?;
        let rule = settings.agent.as_ref().map_or(Ok(rule), |agent| agent.covers(group, effect))?;
        within_token(settings, effect).map(|()| rule)
    };
    match (both(Effect::Read), both(Effect::Write)) {
        (Err(denial), _) => (Access::Off, Some(denial)),
        (Ok(_), Err(denial)) => (Access::Read, Some(denial)),
        (Ok(_), Ok(_)) => (Access::Full, None),
    }
}

/// Decides one call of a tool.
///
/// # Errors
/// The first gate that refuses.
pub fn decide(entry: &Entry, settings: &Settings) -> Result<Verdict, Denial> {
    let rule = visible(entry, settings)?;
    let asks = entry.effect == Effect::Destroy || names(&settings.confirm_tools, entry);
    match settings.confirm {
        Confirm::Auto | Confirm::Always if asks => Ok(Verdict::Ask { rule }),
        Confirm::Auto | Confirm::Always | Confirm::Never => Ok(Verdict::Allow { rule }),
    }
}

/// Whether a write goes by a plan only.
#[must_use]
pub fn wants_plan(entry: &Entry, settings: &Settings) -> bool {
    names(&settings.require_plan, entry)
}

/// Whether a list of tools means this write: by its name, and `launch_workflow` is every way to launch one.
fn names(tools: &[String], entry: &Entry) -> bool {
    let launches = entry.prepare == Some(Preparation::LaunchForm);
    entry.effect.is_write() && tools.iter().any(|name| *name == entry.name || (launches && name == "launch_workflow"))
}

/// Whether access covers a tool's effect, whatever the lists of names say.
#[must_use]
pub fn grants(entry: &Entry, settings: &Settings) -> bool {
    let needed = Access::needed_for(entry.effect);
    reach(&entry.group, settings).0 >= needed
}

fn denial(rule: String, hint: String) -> Denial {
    Denial { rule, hint }
}

fn publishes(Settings { toolsets, agent, .. }: &Settings, group: &str) -> bool {
    let default = DEFAULT_TOOLSETS.contains(&group);
    // An agent may always ask what it may do.
    if agent.is_some() && group == ACCOUNT {
        return true;
    }
    if toolsets.is_empty() {
        return default;
    }
    toolsets.iter().any(|name| name == "all" || name == group || (name == "default" && default))
}

fn granted(settings: &Settings, group: &str) -> Access {
    let unnamed = if settings.enable_writes { Access::Full } else { Access::Read };
    settings.access.get(group).copied().unwrap_or(unnamed)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use serde_json::json;

    use super::*;
    use crate::manifest;

    const GROUPS: [&str; 3] = ["workflows", "records", "exports"];
    const TOOLS: [&str; 3] = ["read_it", "write_it", "destroy_it"];

    fn entry(group: &str, effect: Effect) -> Entry {
        let (name, method) = match effect {
            Effect::Read => ("read_it", "GET"),
            Effect::Write => ("write_it", "POST"),
            Effect::Destroy => ("destroy_it", "DELETE"),
        };
        let manifest = json!({"group": group, "tools": [{
            "name": name, "title": "T", "description": format!("{}does it.", effect.description_prefix()),
            "effect": effect, "scope": "s", "bucket": "other", "deed": "did it", "answer": {"kind": "empty"},
            "request": {"api": "public", "method": method, "path": "/things"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn settings(enable_writes: bool, access: &[(&str, Access)]) -> Settings {
        let access = access.iter().map(|(group, access)| ((*group).to_owned(), *access)).collect();
        Settings { enable_writes, access, ..Settings::default() }
    }

    /// Which of the three effects a group's tools may have.
    fn allowed(group: &str, settings: &Settings) -> [bool; 3] {
        [Effect::Read, Effect::Write, Effect::Destroy].map(|effect| visible(&entry(group, effect), settings).is_ok())
    }

    const NONE: [bool; 3] = [false; 3];
    const READS: [bool; 3] = [true, false, false];
    const ALL: [bool; 3] = [true; 3];

    #[test]
    fn access_decides_by_effect() {
        let (off, read, full) = (Access::Off, Access::Read, Access::Full);
        let table = [
            (settings(false, &[]), READS),
            (settings(true, &[]), ALL),
            (settings(false, &[("workflows", off)]), NONE),
            (settings(false, &[("workflows", read)]), READS),
            (settings(false, &[("workflows", full)]), ALL),
            (settings(true, &[("workflows", off)]), NONE),
            (settings(true, &[("workflows", read)]), READS),
            (settings(true, &[("workflows", full)]), ALL),
            (settings(false, &[("records", full)]), READS),
            (settings(true, &[("records", off)]), ALL),
        ];
        for (settings, expected) in table {
            assert_eq!(allowed("workflows", &settings), expected, "{settings:?}");
        }
    }

    #[test]
    fn toolsets_choose_the_groups_that_are_published_at_all() {
        let table: [(&[&str], _, _); 7] = [
            (&[], ALL, NONE),
            (&["default"], ALL, NONE),
            (&["all"], ALL, ALL),
            (&["workflows"], ALL, NONE),
            (&["exports"], NONE, ALL),
            (&["default", "exports"], ALL, ALL),
            (&["records"], NONE, NONE),
        ];
        for (toolsets, workflows, exports) in table {
            let settings = Settings { toolsets: names(toolsets), ..settings(true, &[]) };
            assert_eq!(allowed("workflows", &settings), workflows, "{toolsets:?}");
            assert_eq!(allowed("exports", &settings), exports, "{toolsets:?}");
        }
    }

    #[test]
    fn names_narrow_further_and_exclude_wins() {
        let table: [(&[&str], &[&str], _); 6] = [
            (&[], &[], ALL),
            (&["read_it", "write_it"], &[], [true, true, false]),
            (&[], &["read_it"], [false, true, true]),
            (&["read_it", "write_it"], &["write_it"], READS),
            (&["read_it"], &["read_it"], NONE),
            (&["other"], &[], NONE),
        ];
        for (tools, exclude, expected) in table {
            let settings = Settings { tools: names(tools), exclude_tools: names(exclude), ..settings(true, &[]) };
            assert_eq!(allowed("workflows", &settings), expected, "{tools:?} without {exclude:?}");
        }
    }

    #[test]
    fn naming_a_tool_never_grants_more_than_access_does() {
        let named = Settings { tools: names(&TOOLS), ..settings(false, &[]) };
        assert_eq!(allowed("workflows", &named), READS);
        let off = Settings { tools: names(&TOOLS), ..settings(true, &[("workflows", Access::Off)]) };
        assert_eq!(allowed("workflows", &off), NONE);
        assert_eq!(allowed("exports", &Settings { tools: names(&TOOLS), ..settings(true, &[]) }), NONE);
    }

    #[test]
    fn a_denial_names_the_rule_and_the_setting_that_grants_it() {
        let write = entry("workflows", Effect::Write);
        let table = [
            (settings(false, &[]), "access.workflows=read", "--access workflows=full"),
            (settings(true, &[("workflows", Access::Off)]), "access.workflows=off", "--access workflows=full"),
            (
                Settings { toolsets: names(&["records"]), ..settings(true, &[]) },
                "toolsets without workflows",
                "workflows to --toolsets",
            ),
            (
                Settings { tools: names(&["read_it"]), ..settings(true, &[]) },
                "tools without write_it",
                "add it to --tools",
            ),
            (
                Settings { exclude_tools: names(&["write_it"]), ..settings(true, &[]) },
                "exclude-tools write_it",
                "out of --exclude-tools",
            ),
        ];
        for (settings, rule, hint) in table {
            let denial = decide(&write, &settings).unwrap_err();
            assert_eq!(denial.rule, rule);
            assert!(denial.hint.contains(hint), "{}", denial.hint);
        }
        let off = visible(&entry("workflows", Effect::Read), &settings(false, &[("workflows", Access::Off)]));
        assert!(off.unwrap_err().hint.ends_with("--access workflows=read"));
    }

    #[test]
    fn a_person_is_asked_before_what_cannot_be_taken_back() {
        for effect in [Effect::Read, Effect::Write, Effect::Destroy] {
            for confirm in [Confirm::Auto, Confirm::Always, Confirm::Never] {
                let verdict =
                    decide(&entry("workflows", effect), &Settings { confirm, ..settings(true, &[]) }).unwrap();
                let asks = effect == Effect::Destroy && confirm != Confirm::Never;
                assert_eq!(matches!(verdict, Verdict::Ask { .. }), asks, "{effect:?} {confirm:?}");
                assert_eq!(verdict.rule(), "access.workflows=full");
            }
        }
    }

    #[test]
    fn words_of_settings_are_read_and_others_refused() {
        for access in [Access::Off, Access::Read, Access::Full] {
            assert_eq!(access.to_string().parse(), Ok(access));
        }
        assert!("write".parse::<Access>().unwrap_err().contains("off, read or full"));
        assert_eq!("always".parse(), Ok(Confirm::Always));
        assert!("yes".parse::<Confirm>().unwrap_err().contains("auto, always or never"));
    }

    #[test]
    fn a_callers_token_narrows_and_never_grants() {
        let read_only = Settings { token: Some(Access::Read), ..settings(true, &[]) };
        assert_eq!(allowed("workflows", &read_only), READS);
        assert_eq!(allowed("workflows", &Settings { token: Some(Access::Full), ..settings(true, &[]) }), ALL);
        assert_eq!(allowed("workflows", &Settings { token: Some(Access::Full), ..settings(false, &[]) }), READS);
        assert_eq!(allowed("workflows", &Settings { token: Some(Access::Off), ..settings(true, &[]) }), NONE);
        let denial = decide(&entry("workflows", Effect::Write), &read_only).unwrap_err();
        assert_eq!(denial.rule, "token without ironclad:write");
        assert!(denial.hint.contains("ironclad:write"), "{}", denial.hint);
        let (access, withheld) = reach("workflows", &read_only);
        assert_eq!((access, withheld.unwrap().rule.as_str()), (Access::Read, "token without ironclad:write"));
        assert!(grants_writes(&read_only) && !grants_writes(&settings(false, &[])));
        assert!(grants_writes(&settings(false, &[("records", Access::Full)])));
    }

    fn any_settings() -> impl Strategy<Value = Settings> {
        let level = prop_oneof![Just(Access::Off), Just(Access::Read), Just(Access::Full)];
        let toolsets = vec!["default", "all", "workflows", "records", "exports"];
        (
            any::<bool>(),
            prop::collection::btree_map(prop::sample::select(&GROUPS[..]).prop_map(str::to_owned), level, 0..3),
            subsequence(toolsets, 0..3),
            subsequence(&TOOLS[..], 0..3),
            subsequence(&TOOLS[..], 0..2),
        )
            .prop_map(|(enable_writes, access, toolsets, tools, exclude)| Settings {
                enable_writes,
                access,
                toolsets: names(&toolsets),
                tools: names(&tools),
                exclude_tools: names(&exclude),
                ..Settings::default()
            })
    }

    /// Every tool that settings publish, as group and place of the effect.
    fn published(settings: &Settings) -> [[bool; 3]; 3] {
        GROUPS.map(|group| allowed(group, settings))
    }

    fn within(less: &Settings, more: &Settings) -> bool {
        published(less).iter().flatten().zip(published(more).iter().flatten()).all(|(less, more)| !less || *more)
    }

    proptest! {
        #[test]
        fn a_grant_never_takes_away(
            settings in any_settings(),
            group in prop::sample::select(&GROUPS[..]),
            tool in prop::sample::select(&TOOLS[..]),
        ) {
            let mut writes = settings.clone();
            writes.enable_writes = true;
            prop_assert!(within(&settings, &writes));
            let mut raised = settings.clone();
            raised.access.insert(group.to_owned(), Access::Full);
            prop_assert!(within(&settings, &raised));
            let mut wider = settings.clone();
            if !wider.toolsets.is_empty() {
                wider.toolsets.push(group.to_owned());
            }
            if !wider.tools.is_empty() {
                wider.tools.push(tool.to_owned());
            }
            wider.exclude_tools.retain(|name| name != tool);
            prop_assert!(within(&settings, &wider));
        }

        #[test]
        fn a_denial_never_gives(
            settings in any_settings(),
            group in prop::sample::select(&GROUPS[..]),
            tool in prop::sample::select(&TOOLS[..]),
        ) {
            let mut lowered = settings.clone();
            lowered.access.insert(group.to_owned(), Access::Off);
            prop_assert!(within(&lowered, &settings));
            let mut excluded = settings.clone();
            excluded.exclude_tools.push(tool.to_owned());
            prop_assert!(within(&excluded, &settings));
            let named = Settings { tools: names(&[tool]), ..settings.clone() };
            prop_assert!(!settings.tools.is_empty() || within(&named, &settings));
            let read_only = Settings { enable_writes: false, ..settings.clone() };
            prop_assert!(within(&read_only, &settings));
        }

        #[test]
        fn the_order_of_names_does_not_matter(settings in any_settings()) {
            let mut turned = settings.clone();
            for list in [&mut turned.toolsets, &mut turned.tools, &mut turned.exclude_tools] {
                list.reverse();
            }
            prop_assert_eq!(published(&settings), published(&turned));
        }
    }
}
