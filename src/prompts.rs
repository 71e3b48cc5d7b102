//! Prompts for the daily jobs: texts that a person picks, with a few things to fill in.
//!
//! They are data (`prompts/prompts.json`). A line that names something that was not filled in is left out, and so is one
//! that names a tool that the caller does not have; a prompt whose needed tools are not all granted is not there at all.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    catalog::{Catalog, Tool},
    error::ArgumentFault,
    manifest::{Source, placeholders},
    suggest::shown,
};

const SHIPPED: &str = include_str!("../prompts/prompts.json");

/// The longest text that can be filled in.
const LONGEST: usize = 1000;

/// The prompts that there are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    prompts: Vec<Prompt>,
}

/// One prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// A short title for people.
    pub title: String,
    /// What it does for the person who picks it.
    pub description: String,
    /// The tools without which it makes no sense.
    needs: Vec<String>,
    /// What can be filled in.
    #[serde(default)]
    pub arguments: Vec<Argument>,
    /// The text, line by line; `{argument}` stands for what was filled in.
    text: Vec<String>,
}

/// Something to fill in.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// A short title for people.
    pub title: String,
    /// What belongs there.
    pub description: String,
    /// Whether it must be filled in.
    #[serde(default)]
    pub required: bool,
    /// What there is to choose from at Ironclad.
    #[serde(default)]
    pub complete: Option<Source>,
    /// What is proposed; anything else is as good.
    #[serde(default)]
    pub options: Vec<String>,
}

impl Prompts {
    /// The prompts in the binary; a test holds that they can be read.
    #[must_use]
    pub fn shipped() -> Self {
        serde_json::from_str(SHIPPED).unwrap_or_else(|error| {
            tracing::error!(%error, "the prompts in the binary cannot be read");
            Self::default()
        })
    }

    /// Those that a caller with these grants can use.
    pub fn granted<'a>(&'a self, grants: &'a Grants<'a>) -> impl Iterator<Item = &'a Prompt> {
        self.prompts.iter().filter(|prompt| prompt.needs.iter().all(|tool| grants.has(tool)))
    }

    /// The prompt of a name, if a caller with these grants can use it.
    #[must_use]
    pub fn get<'a>(&'a self, name: &str, grants: &'a Grants<'a>) -> Option<&'a Prompt> {
        self.granted(grants).find(|prompt| prompt.name == name)
    }
}

/// The tools that a caller is granted.
pub struct Grants<'a> {
    /// All tools.
    pub catalog: &'a Catalog,
    /// Whether one is granted.
    pub grants: &'a (dyn Fn(&Tool) -> bool + Sync),
}

impl Grants<'_> {
    fn has(&self, name: &str) -> bool {
        self.catalog.all().any(|tool| tool.entry.name == name && (self.grants)(tool))
    }

    fn has_all_of(&self, line: &str) -> bool {
        self.catalog.words().named(line).all(|name| self.has(name))
    }
}

impl Prompt {
    /// The text with what was filled in, for a caller with these grants.
    ///
    /// # Errors
    /// Something is missing, too long, no text, or unknown.
    pub fn text(&self, given: &Map<String, Value>, grants: &Grants<'_>) -> Result<String, Vec<ArgumentFault>> {
        let filled = self.filled(given)?;
        let value = |name: &str| filled.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let lines = self.text.iter().filter(|line| grants.has_all_of(line));
        let lines = lines.filter_map(|line| put_in(&grants.catalog.words().of(line), &value));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    /// What was filled in, as one line each; blank is nothing.
    fn filled(&self, given: &Map<String, Value>) -> Result<Vec<(&str, String)>, Vec<ArgumentFault>> {
        let mut faults = Vec::new();
        let mut filled = Vec::new();
        let known: Vec<&str> = self.arguments.iter().map(|argument| argument.name.as_str()).collect();
        for name in given.keys().filter(|name| !known.contains(&name.as_str())) {
            let expected = format!("one of {}", known.join(", "));
            faults.push(ArgumentFault::new(name.as_str(), "is not an argument here", expected));
        }
        for argument in &self.arguments {
            let name = argument.name.as_str();
            let text = match given.get(name) {
                None | Some(Value::Null) => Cow::Borrowed(""),
                Some(Value::String(text)) => one_line(text),
                Some(other) => {
                    faults.push(ArgumentFault::new(name, format!("{} is no text", shown(other)), "text"));
                    continue;
                }
            };
            if text.chars().count() > LONGEST {
                let expected = format!("{LONGEST} characters at most");
                faults.push(ArgumentFault::new(name, "is too long", expected));
            } else if text.is_empty() && argument.required {
                faults.push(ArgumentFault::new(name, "is missing", argument.description.as_str()));
            } else if !text.is_empty() {
                filled.push((name, text.into_owned()));
            }
        }
        if faults.is_empty() { Ok(filled) } else { Err(faults) }
    }
}

/// A line with what was filled in; `None` where it names what was not.
///
/// Put in once and from the left: braces in a value stay what they are.
fn put_in<'a>(line: &str, value: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        text.push_str(before);
        text.push_str(value(name)?);
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// What a person filled in may hold line ends, which would look like lines of ours.
fn one_line(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, " ")) } else { Cow::Borrowed(text) }
}

/// What is wrong with a prompt, held by a test: it is part of the binary.
#[must_use]
pub fn faults(prompt: &Prompt, catalog: &Catalog) -> Vec<String> {
    let mut faults = Vec::new();
    let text = prompt.text.join("\n");
    let named: Vec<&str> = catalog.words().named(&text).collect();
    for tool in &prompt.needs {
        if !named.contains(&tool.as_str()) {
            faults.push(format!("needs {tool}, which the text does not use or which does not exist"));
        }
    }
    for name in placeholders(&text) {
        if !prompt.arguments.iter().any(|argument| argument.name == name) {
            faults.push(format!("the text names {name}, which is no argument"));
        }
    }
    for argument in &prompt.arguments {
        if !placeholders(&text).any(|name| name == argument.name) {
            faults.push(format!("the text does not use {}", argument.name));
        }
        if argument.complete.is_some() && !argument.options.is_empty() {
            faults.push(format!("{} has two kinds of proposals", argument.name));
        }
    }
    if !prompt.text.iter().any(|line| !line.is_empty() && placeholders(line).all(|name| is_required(prompt, name))) {
        faults.push("nothing would be left without the optional arguments".into());
    }
    faults
}

fn is_required(prompt: &Prompt, name: &str) -> bool {
    prompt.arguments.iter().any(|argument| argument.name == name && argument.required)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shipped() -> Prompts {
        serde_json::from_str(SHIPPED).unwrap()
    }

    fn catalog() -> Catalog {
        Catalog::load(None, "").unwrap()
    }

    #[test]
    fn the_shipped_prompts_have_no_faults_and_are_the_daily_jobs() {
        let (prompts, catalog) = (shipped(), catalog());
        for prompt in &prompts.prompts {
            assert_eq!(faults(prompt, &catalog), Vec::<String>::new(), "{}", prompt.name);
            assert!(prompt.description.len() <= 300 && prompt.title.len() <= 40, "{}", prompt.name);
        }
        let names: Vec<&str> = prompts.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        let daily = ["launch_nda", "chase_approvals", "why_is_this_stuck", "renewals", "vendor_onboarding"];
        assert_eq!(names, [&daily[..], &["offboarding_review", "vendor_exit"]].concat());
    }

    #[test]
    fn faults_of_a_prompt_are_named() {
        let prompt = json!({
            "name": "p", "title": "P", "description": "d", "needs": ["get_workflow", "fly"],
            "arguments": [
                {"name": "a", "title": "A", "description": "a", "complete": "user_id", "options": ["x"]},
                {"name": "unused", "title": "U", "description": "u"}],
            "text": ["use {a} and {b}"]});
        let faults = faults(&serde_json::from_value(prompt).unwrap(), &catalog()).join("; ");
        for named in
            ["needs get_workflow", "needs fly", "names b", "not use unused", "two kinds", "nothing would be left"]
        {
            assert!(faults.contains(named), "{named}: {faults}");
        }
    }

    #[test]
    fn a_prompt_is_there_only_with_the_tools_it_needs() {
        let (prompts, catalog) = (shipped(), catalog());
        let names = |grants: &(dyn Fn(&Tool) -> bool + Sync)| -> Vec<String> {
            let grants = Grants { catalog: &catalog, grants };
            prompts.granted(&grants).map(|prompt| prompt.name.clone()).collect()
        };
        assert_eq!(names(&|_| true).len(), 7);
        let reads = |tool: &Tool| !tool.entry.effect.is_write();
        assert!(!names(&reads).contains(&"launch_nda".to_owned()));
        assert_eq!(names(&reads).len(), 6);
        assert_eq!(names(&|tool| tool.entry.group == "records"), ["renewals"]);
        assert!(names(&|_| false).is_empty());
    }

    #[test]
    fn a_line_about_what_is_not_there_is_left_out() {
        let (prompts, catalog) = (shipped(), catalog());
        let all = Grants { catalog: &catalog, grants: &|_| true };
        let nda = prompts.get("launch_nda", &all).unwrap();
        let given = json!({"counterparty": "Acme {template}\nLLC", "signer": "  "});
        let text = nda.text(given.as_object().unwrap(), &all).unwrap();
        assert!(
            text.starts_with("Launch a non-disclosure agreement (NDA) in Ironclad with: Acme {template} LLC\n\n"),
            "{text}"
        );
        assert!(text.contains("list_records") && !text.contains("Their signer"));
        let no_records = |tool: &Tool| tool.entry.group != "records";
        let fewer = Grants { catalog: &catalog, grants: &no_records };
        let text = nda.text(given.as_object().unwrap(), &fewer).unwrap();
        assert!(!text.contains("list_records") && text.contains("list_workflows"), "{text}");
    }

    #[test]
    fn every_fault_of_what_was_filled_in_is_named() {
        let (prompts, catalog) = (shipped(), catalog());
        let all = Grants { catalog: &catalog, grants: &|_| true };
        let nda = prompts.get("launch_nda", &all).unwrap();
        let given = json!({"template": 7, "notes": "x".repeat(1001), "colour": "red"});
        let faults = nda.text(given.as_object().unwrap(), &all).unwrap_err();
        let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(paths, ["colour", "counterparty", "template", "notes"]);
    }

    #[test]
    fn tools_are_named_as_they_are_published() {
        let (prompts, catalog) = (shipped(), Catalog::load(None, "ic_").unwrap());
        let all = Grants { catalog: &catalog, grants: &|_| true };
        let given = json!({"workflow": "get_workflow"});
        let text = prompts.get("why_is_this_stuck", &all).unwrap().text(given.as_object().unwrap(), &all).unwrap();
        assert!(text.contains("Workflow: get_workflow\n") && text.contains("with ic_get_workflow:"), "{text}");
    }
}
