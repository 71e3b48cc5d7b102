//! Makes the roster of what is configured, at the start and whenever the settings file changes.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    agents::Rights,
    catalog::Catalog,
    config::{AgentConfig, CallerAuth, Config, ConfigError},
    ironclad::auth::login::Head,
    policy::{Access, Profile, Settings},
    request::ActingUser,
    roster::{Roster, TokenHash},
};

/// The agents as they are configured, or one set of rights for everybody.
///
/// # Errors
/// A name of something that does not exist, or client credentials without an acting user.
pub fn roster(config: &Config, catalog: &Catalog) -> Result<Roster, ConfigError> {
    if config.agents.is_empty() {
        needs_user(config, None, &config.acting_user)?;
        let rights = Rights { policy: config.policy.clone(), user: config.acting_user.clone(), ..Rights::default() };
        return Ok(Roster::anybody(rights));
    }
    let mut agents: BTreeMap<String, (Option<TokenHash>, Rights)> = BTreeMap::new();
    for (agent, policy) in config.agents.iter().zip(policies(config)) {
        let name = &agent.profile.name;
        catalog.check_profile(&agent.profile)?;
        warn_above_server(&agent.profile, &config.policy);
        // Whoever is told apart acts as themselves, and never as whoever the server acts as otherwise.
        let user_is_brought = config.auth == CallerAuth::Oauth && agent.user.is_none();
        let user = match &agent.user {
            Some(user) => user.clone(),
            None if user_is_brought => ActingUser::default(),
            None => config.acting_user.clone(),
        };
        if !user_is_brought {
            needs_user(config, Some(name), &user)?;
        }
        agents.insert(name.clone(), (agent.token, Rights { policy, user, user_is_brought, share: agent.share }));
    }
    Ok(Roster::of(agents))
}

/// Whoever signed in acts, whatever the settings say (ironclad-api.md §2).
pub fn with_login(login: &Head, config: &mut Config) {
    config.acting_user = ActingUser { email: login.user.email.clone(), id: login.user.id.clone() };
    for agent in &mut config.agents {
        agent.user = None;
    }
}

/// The policy in force for each agent, or for everybody.
fn policies(config: &Config) -> Vec<Settings> {
    let of = |agent: &AgentConfig| Settings { agent: Some(Arc::new(agent.profile.clone())), ..config.policy.clone() };
    if config.agents.is_empty() { vec![config.policy.clone()] } else { config.agents.iter().map(of).collect() }
}

/// The scopes that the tools need which are published to anybody.
#[must_use]
pub fn needed_scopes(config: &Config, catalog: &Catalog) -> Vec<String> {
    let mut scopes: Vec<String> = policies(config).iter().flat_map(|policy| catalog.scopes(policy)).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

fn needs_user(config: &Config, agent: Option<&str>, user: &ActingUser) -> Result<(), ConfigError> {
    let by_client = config.secrets.access_token.is_none()
        && config.secrets.client.is_some()
        && super::credentials::kept_login(config)?.is_none();
    match (by_client && user.name().is_none(), agent) {
        (false, _) => Ok(()),
        (true, None) => Err(ConfigError::NoActingUser),
        (true, Some(name)) => {
            let fault = "client credentials need an acting user: set as_user_email or as_user_id, here or for all";
            Err(ConfigError::Invalid { setting: format!("[agents.{name}]"), fault: fault.into() })
        }
    }
}

/// The server's access goes for every agent, which somebody may not have in mind.
fn warn_above_server(profile: &Profile, server: &Settings) {
    for (group, access) in &profile.access {
        let reach = crate::policy::reach(group, server).0;
        if *access > reach && *access > Access::Off {
            tracing::warn!(
                "[agents.{}] grants {group}={access}, but the server itself grants {reach}, and the lesser counts: set \
                 --access {group}={access} and --toolsets, or lower the agent's",
                profile.name
            );
        }
    }
}
