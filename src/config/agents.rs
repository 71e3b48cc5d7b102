//! The tables `[agents.NAME]` of the settings file, and how callers are recognised.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use serde::Deserialize;

use super::{ConfigError, values};
use crate::{
    policy::{Access, Profile},
    request::ActingUser,
    roster::TokenHash,
};

/// One table `[agents.NAME]` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentOptions {
    access: BTreeMap<String, Access>,
    tools: Vec<String>,
    exclude_tools: Vec<String>,
    launch: Option<Vec<String>>,
    record_types: Option<Vec<String>>,
    as_user_email: Option<String>,
    as_user_id: Option<String>,
    share: Option<u8>,
    token_sha256: Option<String>,
}

/// An agent as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// What it is granted; its name is in there.
    pub profile: Profile,
    /// Whom its calls are made as; `None` is the server's acting user.
    pub user: Option<ActingUser>,
    /// Its share of the company's budget, in percent.
    pub share: Option<u8>,
    /// What its token hashes to.
    pub token: Option<TokenHash>,
}

/// How callers over HTTP are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CallerAuth {
    /// Not at all: whoever reaches the port has the operator's rights.
    #[default]
    None,
    /// By the bearer token of an agent.
    Agents,
    /// By an access token of the issuer.
    Oauth,
}

impl FromStr for CallerAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "agents" => Ok(Self::Agents),
            "oauth" => Ok(Self::Oauth),
            _ => Err(format!("{text:?} is not known; give none, agents or oauth")),
        }
    }
}

/// Checks what can stand as an agent's name: it stands in rules, logs and on the command line.
pub(crate) fn agent_name(name: &str) -> Result<&str, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        return Ok(name);
    }
    Err(format!("{name:?} cannot be an agent's name; give 1 to 64 letters, digits, dots, - and _"))
}

/// Checks every agent.
pub(super) fn agents(written: BTreeMap<String, AgentOptions>) -> Result<Vec<AgentConfig>, ConfigError> {
    let mut agents = Vec::new();
    let mut tokens: HashMap<TokenHash, String> = HashMap::new();
    for (name, options) in written {
        let agent = agent(&name, options).map_err(|(key, fault)| {
            let place = format!("[agents.{name}]");
            ConfigError::Invalid { setting: if key.is_empty() { place } else { format!("{place} {key}") }, fault }
        })?;
        if let Some(other) = agent.token.and_then(|token| tokens.insert(token, name.clone())) {
            let fault = format!("is the token of {other} as well; each agent needs its own");
            return Err(ConfigError::Invalid { setting: format!("[agents.{name}] token_sha256"), fault });
        }
        agents.push(agent);
    }
    Ok(agents)
}

type Fault = (&'static str, String);

fn agent(name: &str, options: AgentOptions) -> Result<AgentConfig, Fault> {
    agent_name(name).map_err(|fault| ("", fault))?;
    let check = |key, given: Option<String>, check: fn(&str) -> Result<String, String>| {
        let given = given.filter(|text| !text.trim().is_empty());
        given.as_deref().map(check).transpose().map_err(|fault| (key, fault))
    };
    let user = ActingUser {
        email: check("as_user_email", options.as_user_email, values::email)?,
        id: check("as_user_id", options.as_user_id, values::user_id)?,
    };
    if let Some(share) = options.share.filter(|share| !(1..=100).contains(share)) {
        return Err(("share", format!("{share} is no share; give 1 to 100, in percent of the budget")));
    }
    let token = options.token_sha256.as_deref().map(TokenHash::from_hex);
    let token = match token {
        Some(None) => {
            let fault = "is no SHA-256 hash; take the 64 hex digits that `ironclad-mcp agent add` printed";
            return Err(("token_sha256", fault.into()));
        }
        Some(Some(hash)) => Some(hash),
        None => None,
    };
    let profile = Profile {
        name: name.to_owned(),
        access: options.access,
        tools: options.tools,
        exclude_tools: options.exclude_tools,
        launch: options.launch,
        record_types: options.record_types,
    };
    Ok(AgentConfig { profile, user: Some(user).filter(|user| user.name().is_some()), share: options.share, token })
}
