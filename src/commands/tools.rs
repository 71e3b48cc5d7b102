//! `ironclad-mcp tools`: the tools that the configuration publishes, for clients of several kinds.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    CommandError, Ended,
    console::{say, stdout_is_terminal},
};
use crate::{
    assembly,
    catalog::{Catalog, Tool},
    cli::{ToolsArgs, ToolsFormat},
    config::Config,
    policy,
    server::published_tools,
};

/// Prints the tools; nothing is signed in to.
pub(super) fn run(args: &ToolsArgs, config: &Config) -> Ended {
    let catalog = assembly::catalog(config)?;
    let default = if stdout_is_terminal() { ToolsFormat::Markdown } else { ToolsFormat::Mcp };
    say(&printed(&catalog, &config.policy, args.format.unwrap_or(default))?)?;
    Ok(ExitCode::SUCCESS)
}

fn printed(catalog: &Catalog, policy: &policy::Settings, format: ToolsFormat) -> Result<String, CommandError> {
    let published = || catalog.published(policy).map(AsRef::as_ref);
    let json: Value = match format {
        ToolsFormat::Markdown => return Ok(markdown(published())),
        ToolsFormat::Mcp => json!({ "tools": published_tools(catalog, policy) }),
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
        printed(&Catalog::load(None, "").unwrap(), policy, format).unwrap()
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
