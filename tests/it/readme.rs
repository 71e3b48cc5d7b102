//! Holds the README to the program: its tables are generated, its commands and client settings are understood.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::CommandFactory;
use ironclad_mcp::{
    catalog::{Catalog, Tool},
    cli::Cli,
    manifest::Effect,
};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ironclad-mcp");

fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn readme() -> String {
    std::fs::read_to_string(project_file("README.md")).unwrap()
}

/// A description's first sentence, without the prefix that says what kind of tool it is.
fn first_sentence(tool: &Tool) -> String {
    let text = tool.entry.description.trim_start_matches(tool.entry.effect.description_prefix());
    let first = text.split_once(". ").map_or(text.trim_end_matches('.'), |(first, _)| first);
    let mut letters = first.chars();
    letters.next().map(|letter| letter.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn tool_table() -> String {
    let catalog = Catalog::load(None, "").unwrap();
    let mut table = "| tool | what it does | access it needs | Ironclad's endpoint | OAuth scope |\n".to_owned();
    table.push_str("| --- | --- | --- | --- | --- |\n");
    for tool in catalog.all() {
        let entry = &tool.entry;
        let access = match entry.effect {
            Effect::Read => "read",
            Effect::Write => "full",
            Effect::Destroy => "full (irreversible)",
        };
        if entry.local.is_some() {
            let group = &entry.group;
            table.push_str(&format!(
                "| `{}` | {} | {group}: {access} | none: it is answered here | |\n",
                tool.name,
                first_sentence(tool)
            ));
            continue;
        }
        let root = if entry.request.api.root().starts_with("/scim") { "/scim/v2" } else { "" };
        let endpoint = format!("{} {root}{}", entry.request.method.as_str(), entry.request.path);
        let what = first_sentence(tool);
        table.push_str(&format!(
            "| `{}` | {what} | {}: {access} | `{endpoint}` | `{}` |\n",
            tool.name, entry.group, entry.scope
        ));
    }
    table
}

/// Every setting that has an environment variable, in the order and with the words of `--help`.
fn settings_table() -> String {
    let mut table = "| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for setting in Cli::command().get_arguments() {
        let (Some(flag), Some(variable)) = (setting.get_long(), setting.get_env()) else { continue };
        let takes_value = setting.get_num_args().is_none_or(|count| count.min_values() > 0);
        let names = setting.get_value_names().unwrap_or_default();
        let value = names.first().filter(|_| takes_value).map(|name| format!(" {name}")).unwrap_or_default();
        let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
        let (meaning, default) = match help.split_once(" [default: ") {
            Some((before, after)) => {
                let (default, rest) = after.split_once(']').unwrap();
                (format!("{before}{rest}"), default.to_owned())
            }
            None => (help, String::new()),
        };
        table.push_str(&format!("| `--{flag}{value}` | `{}` | {default} | {meaning} |\n", variable.display()));
    }
    table
}

/// What stands between the markers of a generated part.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let begin = format!("<!-- generated: {name} -->\n");
    let from = text.find(&begin).unwrap_or_else(|| panic!("README.md has no marker {begin}")) + begin.len();
    let length = text[from..].find("<!-- end -->").expect("README.md has an end marker");
    &text[from..from + length]
}

#[test]
fn the_generated_tables_of_the_readme_are_current() {
    let before = readme();
    let mut after = before.clone();
    for (name, table) in [("tools", tool_table()), ("settings", settings_table())] {
        let whole = format!("<!-- generated: {name} -->\n{}", part(&after, name));
        after = after.replace(&whole, &format!("<!-- generated: {name} -->\n{table}"));
    }
    #[expect(clippy::disallowed_methods, reason = "it asks the test to rewrite, and is no setting of the program")]
    let rewrite = std::env::var_os("UPDATE_GENERATED").is_some();
    if rewrite {
        std::fs::write(project_file("README.md"), after).unwrap();
        return;
    }
    assert!(before == after, "README.md is not current; run UPDATE_GENERATED=1 cargo test generated");
}

/// The fenced blocks of one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Splits a command as a shell does, as far as the README goes: blanks, and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (index, piece) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.last_mut().unwrap().push_str(piece);
            continue;
        }
        for (at, word) in piece.split(' ').enumerate() {
            if at > 0 {
                words.push(String::new());
            }
            words.last_mut().unwrap().push_str(word);
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// The commands of the program that the README shows, ready for its own parser.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in blocks(text, "sh").into_iter().flat_map(str::lines) {
        let command = line.split(" | ").next().unwrap().split(" > ").next().unwrap().trim_end_matches(" &");
        let command = command.replace("cargo run --release -- ", "ironclad-mcp ");
        let words = words(&command);
        if let Some(at) = words.iter().position(|word| word == "ironclad-mcp") {
            found.push(words[at..].to_vec());
        }
    }
    found
}

/// The servers in a client's settings.
fn servers(settings: &Value) -> Vec<&Value> {
    let named = ["mcpServers", "servers"].into_iter().filter_map(|key| settings[key].as_object());
    named.flat_map(|servers| servers.values()).collect()
}

fn started(server: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let arguments = server["args"].as_array().unwrap().iter().map(text);
    std::iter::once(text(&server["command"])).chain(arguments).collect()
}

#[test]
fn every_command_in_the_readme_is_understood() {
    let text = readme();
    let mut shown = commands(&text);
    assert!(shown.len() > 10, "{shown:?}");
    for block in blocks(&text, "json") {
        let settings: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
        shown.extend(servers(&settings).into_iter().map(started));
    }
    for command in shown {
        assert_eq!(command[0], "ironclad-mcp", "{command:?}");
        if let Err(error) = Cli::from_arguments(command.iter().map(OsString::from)) {
            panic!("{command:?}: {error}");
        }
    }
}

#[test]
fn the_readme_names_every_variable_that_its_client_settings_use() {
    let text = readme();
    let known = format!("{} IRONCLAD_CLIENT_ID IRONCLAD_CLIENT_SECRET IRONCLAD_CLIENT_SECRET_FILE", settings_table());
    for block in blocks(&text, "json") {
        let settings: Value = serde_json::from_str(block).unwrap();
        for variable in
            servers(&settings).iter().filter_map(|server| server["env"].as_object()).flat_map(|env| env.keys())
        {
            assert!(known.contains(variable.as_str()), "{variable}");
        }
    }
}

#[test]
fn the_example_for_claude_desktop_starts_the_server_as_written() {
    let example = std::fs::read_to_string(project_file("claude_desktop_config.example.json")).unwrap();
    let example: Value = serde_json::from_str(&example).unwrap();
    let server = *servers(&example).first().unwrap();
    let command = started(server);
    assert_eq!(Path::new(PROGRAM).file_stem().unwrap(), command[0].as_str());
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .args(&command[1..])
        .env("XDG_STATE_HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ask = |id: u32, method: &str, params: Value| -> Value {
        writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).unwrap();
        serde_json::from_str::<Value>(&output.next().unwrap().unwrap()).unwrap()["result"].clone()
    };
    let client = json!({"name": "desktop", "version": "1"});
    let opening = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    assert_eq!(ask(1, "initialize", opening)["serverInfo"]["name"], "ironclad-mcp");
    assert!(ask(2, "tools/list", json!({}))["tools"].as_array().unwrap().len() >= 13);
    let answer = ask(3, "tools/call", json!({"name": "list_workflows", "arguments": {"limit": 1}}));
    assert_eq!(answer["structuredContent"]["items"].as_array().unwrap().len(), 1, "{answer}");
    drop(input);
    assert!(child.wait().unwrap().success());
}
