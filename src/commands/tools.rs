//! `ironclad-mcp tools`: the tools that the configuration publishes, for clients of several kinds.

use std::{process::ExitCode, sync::Arc};

use serde_json::{Value, json};

use super::{
    CommandError, Ended,
    agent::chosen,
    console::{complain, say, stdout_is_terminal},
};
use crate::{
    agents::{Agent, Rights},
    assembly::{self, Assembly},
    catalog::{Catalog, Tool},
    cli::{ToolsArgs, ToolsFormat},
    config::{Config, LaunchTools},
    launch_tools::GENERAL,
    policy, server,
};

/// Prints the tools; only typed launch tools take a sign-in, and only where they are published.
pub(super) async fn run(args: ToolsArgs, config: Config) -> Ended {
    let catalog = assembly::catalog(&config)?;
    let grants = assembly::known_grants(&config)?;
    let agent = match &args.agent.agent {
        None => Agent::new("", Arc::new(Rights { policy: config.policy.clone(), ..Rights::default() })),
        Some(named) => chosen(&assembly::roster(&config, &catalog)?, Some(named), "")?,
    };
    let published = catalog.published(agent.policy()).filter(|tool| tool.is_reachable(&grants));
    let mut tools: Vec<Arc<Tool>> = published.cloned().collect();
    tools.extend(typed(config, &catalog, agent).await?);
    let default = if stdout_is_terminal() { ToolsFormat::Markdown } else { ToolsFormat::Mcp };
    say(&printed(&tools, args.format.unwrap_or(default))?)?;
    Ok(ExitCode::SUCCESS)
}

/// The typed launch tools, as far as the credentials reach; without any, none.
async fn typed(mut config: Config, catalog: &Catalog, agent: Agent) -> Result<Vec<Arc<Tool>>, CommandError> {
    let general = catalog.all().find(|tool| tool.entry.name == GENERAL);
    let granted = general.is_some_and(|tool| policy::grants(&tool.entry, agent.policy()));
    if !granted || config.tools.launch == LaunchTools::Off || (config.secrets.is_empty() && !config.simulator) {
        return Ok(Vec::new());
    }
    let simulator = if config.simulator { Some(assembly::simulate(&mut config).await?) } else { None };
    let named = agent.policy().agent.is_some().then_some(agent.name.as_str());
    let policy = config.policy.clone();
    let user = config.acting_user.clone();
    // The catalogue needs no acting user and no audit log, so what is wrong with them is only told.
    let typed = match assembly::assemble(config) {
        Ok(Assembly { dispatch, catalog, launchers, roster }) => {
            // By now the acting user may be one of the simulator's.
            let as_server = Agent::new("", Arc::new(Rights { policy, user, ..Rights::default() }));
            let agent = named.and_then(|name| roster.now().by_name(name)).unwrap_or(as_server);
            launchers.fetched(&dispatch, &catalog, &agent).await
        }
        Err(error) => {
            complain(&format!("the typed launch tools are not shown: {error}"));
            Vec::new()
        }
    };
    drop(simulator);
    Ok(typed)
}

fn printed(tools: &[Arc<Tool>], format: ToolsFormat) -> Result<String, CommandError> {
    let published = || tools.iter().map(AsRef::as_ref);
    let json: Value = match format {
        ToolsFormat::Markdown => return Ok(markdown(published())),
        ToolsFormat::Mcp => json!({ "tools": published().map(server::published).collect::<Vec<_>>() }),
        ToolsFormat::Openai => published().map(openai).collect(),
        ToolsFormat::Anthropic => published().map(anthropic).collect(),
    };
    serde_json::to_string_pretty(&json).map_err(|error| CommandError::Failed(error.to_string()))
}

fn openai(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.entry.description,
            "parameters": *tool.input_schema,
        },
    })
}

fn anthropic(tool: &Tool) -> Value {
    json!({ "name": tool.name, "description": tool.entry.description, "input_schema": *tool.input_schema })
}

fn markdown<'a>(tools: impl Iterator<Item = &'a Tool>) -> String {
    let mut table = "| tool | access | what it does |\n| --- | --- | --- |".to_owned();
    for tool in tools {
        let access = if tool.entry.effect.is_write() { "write" } else { "read" };
        let what = first_sentence(&tool.entry.description).replace('|', "\\|").replace('\n', " ");
        table.push_str(&format!("\n| `{}` | {}: {access} | {what} |", tool.name, tool.entry.group));
    }
    table
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(policy: &policy::Settings, format: ToolsFormat) -> String {
        let catalog = Catalog::load(None, "").unwrap();
        printed(&catalog.published(policy).cloned().collect::<Vec<_>>(), format).unwrap()
    }

    #[test]
    fn each_format_has_the_same_tools_with_their_schemas() {
        let policy = policy::Settings { enable_writes: true, ..policy::Settings::default() };
        let read = |format| serde_json::from_str::<Value>(&shown(&policy, format)).unwrap();
        let (mcp, openai, anthropic) =
            (read(ToolsFormat::Mcp), read(ToolsFormat::Openai), read(ToolsFormat::Anthropic));
        let mcp = mcp["tools"].as_array().unwrap();
        let table = shown(&policy, ToolsFormat::Markdown);
        assert_eq!(table.lines().count(), mcp.len() + 2);
        assert_eq!(mcp.len(), openai.as_array().unwrap().len());
        for (index, tool) in mcp.iter().enumerate() {
            assert_eq!(tool["name"], openai[index]["function"]["name"]);
            assert_eq!(tool["inputSchema"], openai[index]["function"]["parameters"]);
            assert_eq!(tool["name"], anthropic[index]["name"]);
            assert_eq!(tool["inputSchema"], anthropic[index]["input_schema"]);
            assert!(table.contains(&format!("| `{}` |", tool["name"].as_str().unwrap())));
        }
    }

    #[test]
    fn a_write_that_is_not_granted_is_not_printed() {
        let table = shown(&policy::Settings::default(), ToolsFormat::Markdown);
        assert!(table.contains("`get_workflow`") && !table.contains("`cancel_workflow`"), "{table}");
    }

    #[test]
    fn a_table_row_stays_one_row() {
        assert_eq!(first_sentence("Lists a|b. Then more."), "Lists a|b");
        assert_eq!(first_sentence("One."), "One");
    }
}
