//! `ironclad-mcp agent add`: a token for one more agent.
//!
//! The settings file stays as it is: it has comments and an order that are its owner's, so what to add is printed.

use std::{process::ExitCode, sync::Arc};

use super::{CommandError, Ended, console::say};
use crate::{
    agents::Agent,
    cli::AgentCommand,
    config::{Config, agent_name},
    roster::{Roster, TokenHash},
};

/// How every token begins, so that people and scanners for secrets know one.
const PREFIX: &str = "icmcp_";

/// Makes a token, and prints it and what to add to the settings file.
pub(super) fn run(command: &AgentCommand, config: &Config) -> Ended {
    let AgentCommand::Add { name } = command;
    agent_name(name).map_err(CommandError::Usage)?;
    if config.agents.iter().any(|agent| agent.profile.name == *name) {
        return Err(CommandError::Usage(format!(
            "there is an agent {name} already; choose another name, or take [agents.{name}] out of the settings file"
        )));
    }
    let token = token()?;
    say(&told(name, &token, &TokenHash::of(&token).to_hex()))?;
    Ok(ExitCode::SUCCESS)
}

/// The agent that `--agent` names, or the only caller there is.
pub(super) fn chosen(roster: &Roster, named: Option<&str>, otherwise: &str) -> Result<Agent, CommandError> {
    let known = || roster.names().collect::<Vec<_>>().join(", ");
    let wrong = |told: String| Err(CommandError::Usage(told));
    match (roster.open(), named) {
        (Some(rights), None) => Ok(Agent::new(otherwise, Arc::clone(rights))),
        (Some(_), Some(name)) => {
            wrong(format!("--agent {name}: no agents are configured; add [agents.{name}] to the file of --config"))
        }
        (None, None) => {
            wrong(format!("agents are configured, so say which one this is: --agent NAME; there are: {}", known()))
        }
        (None, Some(name)) => match roster.by_name(name) {
            Some(agent) => Ok(agent),
            None => wrong(format!("--agent {name}: there is no such agent; there are: {}", known())),
        },
    }
}

/// 32 random bytes.
fn token() -> Result<String, CommandError> {
    let mut bytes = [0; 32];
    let random = getrandom::fill(&mut bytes);
    random.map_err(|error| CommandError::Failed(format!("no random numbers can be had: {error}")))?;
    Ok(bytes.iter().fold(PREFIX.to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

fn told(name: &str, token: &str, hash: &str) -> String {
    // A bare key of TOML has no dots.
    let key = if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() };
    format!(
        "The token of {name}. It is shown this once and kept nowhere; give it to the agent's client, which sends\n\
         Authorization: Bearer TOKEN:\n\n    {token}\n\n\
         Add this to the settings file, with what {name} may do; a running server takes it within 2 seconds:\n\n\
         [agents.{key}]\n\
         token_sha256 = \"{hash}\"\n\
         access = {{ workflows = \"read\", records = \"read\" }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (token().unwrap(), token().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 64);
    }

    #[test]
    fn what_is_printed_is_toml_that_the_settings_take() {
        for name in ["bot", "bot.1"] {
            let printed = told(name, "secret", &TokenHash::of("secret").to_hex());
            let toml: String = printed.lines().skip_while(|line| !line.starts_with('[')).collect::<Vec<_>>().join("\n");
            let read: toml::Table = toml::from_str(&toml).unwrap();
            assert_eq!(read["agents"][name]["token_sha256"].as_str(), Some(TokenHash::of("secret").to_hex().as_str()));
            assert!(!toml.contains("= \"secret\""));
        }
    }
}
