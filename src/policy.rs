//! Decides who may call what, and when a person must be asked.
//!
//! Read aloud: a tool is published if its group is published, its group's access covers its effect, and no list of
//! names leaves it out. Deny wins: each gate can only take away. Pure: settings in, verdict out.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;

use crate::manifest::{Effect, Entry};

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

/// What the operator granted.
#[derive(Debug, Clone, Default)]
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
}

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
    if !publishes(&settings.toolsets, &entry.group) {
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
    let granted = granted(settings, &entry.group);
    let needed = Access::needed_for(entry.effect);
    let rule = format!("access.{}={granted}", entry.group);
    if granted < needed {
        let mut hint = format!("the operator must start the server with --access {}={needed}", entry.group);
        if entry.effect.is_write() {
            hint.push_str(" (or --enable-writes for every group)");
        }
        return Err(denial(rule, hint));
    }
    Ok(rule)
}

/// Decides one call of a tool.
///
/// # Errors
/// The first gate that refuses.
pub fn decide(entry: &Entry, settings: &Settings) -> Result<Verdict, Denial> {
    let rule = visible(entry, settings)?;
    match (entry.effect, settings.confirm) {
        (Effect::Destroy, Confirm::Auto | Confirm::Always) => Ok(Verdict::Ask { rule }),
        (Effect::Destroy, Confirm::Never) | (Effect::Read | Effect::Write, _) => Ok(Verdict::Allow { rule }),
    }
}

fn denial(rule: String, hint: String) -> Denial {
    Denial { rule, hint }
}

fn publishes(toolsets: &[String], group: &str) -> bool {
    let default = DEFAULT_TOOLSETS.contains(&group);
    if toolsets.is_empty() {
        return default;
    }
    toolsets.iter().any(|name| name == "all" || name == group || (name == "default" && default))
}

fn granted(settings: &Settings, group: &str) -> Access {
    let unnamed = if settings.enable_writes { Access::Full } else { Access::Read };
    settings.access.get(group).copied().unwrap_or(unnamed)
}
