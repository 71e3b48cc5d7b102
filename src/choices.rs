//! What there is to choose from, for a person who fills something in: templates, workflows, records, people, documents.
//!
//! A look-up is a call like any other, so policy, the budget and the audit log are the same. It is made while somebody types:
//! so it is short, kept for half a minute, made once for however many ask, and no more often than the pace allows. A choice
//! is a help, so whatever goes wrong there is just nothing to choose from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout};

use crate::{
    catalog::{Catalog, Tool},
    dispatch::{Caller, Dispatch, Reached},
    manifest::Source,
    request::ActingUser,
};

/// The most choices that are given at once, as MCP has it.
pub const MOST: usize = 100;

/// How long what was looked up is good for.
pub const LIFE: Duration = Duration::from_secs(30);

/// The longest that somebody who types waits.
const PATIENCE: Duration = Duration::from_secs(3);

/// The most look-ups a minute: of one agent, and of all together.
const PACE: (usize, usize) = (60, 240);

/// The most look-ups that are kept.
const KEPT: usize = 500;

/// The shortest text that is searched for at Ironclad, and the longest that is looked at.
const TYPED: std::ops::RangeInclusive<usize> = 2..=100;

/// One thing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is filled in.
    pub value: String,
    /// What people call it.
    pub label: String,
}

/// Some things to choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// They, at most [`MOST`].
    pub items: Vec<Choice>,
    /// Whether there are others.
    pub more: bool,
}

impl Choices {
    /// Those that a typed text may mean, the likeliest first.
    #[must_use]
    pub fn matching(&self, typed: &str) -> Self {
        let wanted = typed.trim().to_lowercase();
        let mut ranked: Vec<(u8, &Choice)> =
            self.items.iter().filter_map(|choice| Some((rank(choice, &wanted)?, choice))).collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        let more = self.more || ranked.len() > MOST;
        Self { items: ranked.into_iter().take(MOST).map(|(_, choice)| choice.clone()).collect(), more }
    }

    fn joined(mut self, other: &Self) -> Self {
        let known = |items: &[Choice], choice: &Choice| items.iter().any(|item| item.value == choice.value);
        for choice in &other.items {
            if !known(&self.items, choice) {
                self.items.push(choice.clone());
            }
        }
        self.more = other.more;
        self
    }
}

/// How likely a choice is meant, 0 the likeliest.
fn rank(choice: &Choice, wanted: &str) -> Option<u8> {
    let (value, label) = (choice.value.to_lowercase(), choice.label.to_lowercase());
    let begins = |text: &str| text.starts_with(wanted);
    if begins(&value) {
        Some(0)
    } else if label.split(|c: char| !c.is_alphanumeric()).any(begins) || begins(&label) {
        Some(1)
    } else if value.contains(wanted) || label.contains(wanted) {
        Some(2)
    } else {
        None
    }
}

/// The agent, whom it acts as, the tool and its arguments.
type Key = (String, ActingUser, &'static str, String);

#[derive(Default)]
struct Slot(tokio::sync::Mutex<Option<(Instant, Arc<Value>)>>);

/// The look-ups of one server.
#[derive(Default)]
pub struct Lookups {
    kept: Mutex<HashMap<Key, Arc<Slot>>>,
    pace: Mutex<Pace>,
}

/// What a look-up is made with.
pub struct Desk<'a> {
    /// The path of a call.
    pub dispatch: &'a Dispatch,
    /// The tools that look-ups use.
    pub catalog: &'a Catalog,
    /// Whether the caller is granted a tool.
    pub grants: &'a (dyn Fn(&Tool) -> bool + Sync),
    /// The caller, for each call anew.
    pub caller: &'a (dyn Fn() -> Caller<'a> + Sync),
}

impl Lookups {
    /// What there is of a source that a typed text may mean; `within` is the workflow whose documents are wanted.
    pub async fn choices(&self, source: Source, (typed, within): (&str, Option<&str>), desk: &Desk<'_>) -> Choices {
        let question = Question::first(source, within);
        let typed = typed.trim();
        if typed.len() > *TYPED.end() {
            return Choices::default();
        }
        let all = self.ask(source, &question, desk).await;
        let found = all.matching(typed);
        match question.narrowed(source, typed) {
            Some(narrower) if all.more && TYPED.contains(&typed.len()) => {
                let others = self.ask(source, &narrower, desk).await;
                found.joined(&others.matching(typed))
            }
            _ => found,
        }
    }

    async fn ask(&self, source: Source, question: &Question, desk: &Desk<'_>) -> Choices {
        let tool = desk.catalog.all().find(|tool| tool.entry.name == question.tool);
        let Some(tool) = tool.filter(|tool| (desk.grants)(tool)) else { return Choices::default() };
        let caller = (desk.caller)();
        let agent = &caller.agent;
        let key = (agent.identity().to_owned(), agent.user().clone(), question.tool, question.arguments.to_string());
        let slot = self.slot(key);
        // Held while asking: whoever else wants the same waits here for it.
        let mut kept = slot.0.lock().await;
        if let Some((asked, answer)) = kept.as_ref()
            && asked.elapsed() < LIFE
        {
            return read(source, answer);
        }
        if !self.pace.lock().unwrap_or_else(PoisonError::into_inner).allows(agent.identity()) {
            return Choices { items: Vec::new(), more: true };
        }
        let arguments = question.arguments.as_object().cloned().unwrap_or_default();
        let called = timeout(PATIENCE, desk.dispatch.call(tool, arguments, caller)).await;
        let answer = match called {
            Ok(Ok(Reached::Answer(answer))) => Arc::new(answer.structured),
            // Kept as well: what fails now is not asked again with the next letter.
            Ok(Ok(Reached::Question) | Err(_)) | Err(_) => Arc::default(),
        };
        let choices = read(source, &answer);
        *kept = Some((Instant::now(), answer));
        choices
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            kept.clear();
        }
        Arc::clone(kept.entry(key).or_default())
    }
}

/// Counts look-ups in minutes that begin with the first.
#[derive(Default)]
struct Pace {
    began: Option<Instant>,
    all: usize,
    agents: HashMap<String, usize>,
}

impl Pace {
    fn allows(&mut self, agent: &str) -> bool {
        let now = Instant::now();
        if self.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(60)) {
            *self = Self { began: Some(now), ..Self::default() };
        }
        let own = self.agents.get(agent).copied().unwrap_or_default();
        if own >= PACE.0 || self.all >= PACE.1 {
            return false;
        }
        self.all += 1;
        self.agents.insert(agent.to_owned(), own + 1);
        true
    }
}

/// The call that a look-up makes.
struct Question {
    tool: &'static str,
    arguments: Value,
}

impl Question {
    /// What is asked whatever was typed, so that it serves all who type.
    fn first(source: Source, within: Option<&str>) -> Self {
        let (tool, arguments) = match source {
            Source::TemplateId | Source::TemplateName => {
                ("list_workflow_schemas", json!({"limit": 500, "fields": ["id", "name"]}))
            }
            Source::WorkflowId => {
                let fields = ["id", "ironcladId", "title"];
                ("list_workflows", json!({"status": ["active", "paused"], "limit": 100, "fields": fields}))
            }
            Source::RecordId => ("list_records", json!({"limit": 100, "fields": ["id", "name"]})),
            Source::RecordType => ("get_record_schema", json!({"fields": ["recordTypes"]})),
            Source::UserId | Source::UserEmail => {
                ("list_users", json!({"limit": 200, "fields": ["id", "userName", "name"]}))
            }
            Source::DocumentKey => {
                ("get_workflow", json!({"workflow_id": within.unwrap_or_default(), "fields": ["attributes"]}))
            }
        };
        Self { tool, arguments }
    }

    /// The same for what was typed, where Ironclad can search for it.
    fn narrowed(&self, source: Source, typed: &str) -> Option<Self> {
        let mut arguments = self.arguments.clone();
        let members = arguments.as_object_mut()?;
        match source {
            Source::WorkflowId | Source::RecordId => {
                members.insert("where".into(), json!([{"property": "name", "op": "contains", "value": typed}]));
            }
            Source::UserId | Source::UserEmail => {
                // Quoted text in a SCIM filter is a JSON string.
                members.insert("filter".into(), format!("userName sw {}", Value::from(typed)).into());
            }
            Source::TemplateId | Source::TemplateName | Source::RecordType | Source::DocumentKey => return None,
        }
        Some(Self { tool: self.tool, arguments })
    }
}

fn read(source: Source, answer: &Value) -> Choices {
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |value: &str, label: &str| items.iter().map(|item| (text(item, value), text(item, label))).collect();
    let person = |value: &str| items.iter().map(|item| (text(item, value), full_name(item))).collect();
    let found: Vec<(String, String)> = match source {
        Source::TemplateId => of("id", "name"),
        Source::TemplateName => of("name", "name"),
        Source::RecordId => of("id", "name"),
        Source::UserId => person("id"),
        Source::UserEmail => person("userName"),
        Source::WorkflowId => {
            let id = |item: &Value| Some(text(item, "ironcladId")).filter(|id| !id.is_empty());
            items.iter().map(|item| (id(item).unwrap_or_else(|| text(item, "id")), text(item, "title"))).collect()
        }
        Source::RecordType => {
            let types = answer.get("recordTypes").and_then(Value::as_object);
            types.into_iter().flatten().map(|(id, about)| (id.clone(), text(about, "displayName"))).collect()
        }
        Source::DocumentKey => {
            let mut found = Vec::new();
            documents(answer, 0, &mut found);
            found
        }
    };
    let more = answer.get("has_more").and_then(Value::as_bool).unwrap_or_default();
    let mut choices = Choices { items: Vec::new(), more };
    for (value, label) in found.into_iter().filter(|(value, _)| !value.is_empty()) {
        if !choices.items.iter().any(|item| item.value == value) {
            choices.items.push(Choice { value, label });
        }
    }
    choices
}

fn full_name(user: &Value) -> String {
    let part = |name: &str| user.pointer(name).and_then(Value::as_str).unwrap_or_default();
    let both = format!("{} {}", part("/name/givenName"), part("/name/familyName"));
    both.trim().to_owned()
}

/// The documents among a workflow's attributes, wherever they stand.
fn documents(value: &Value, depth: usize, found: &mut Vec<(String, String)>) {
    const DEEPEST: usize = 8;
    let member =
        |members: &Map<String, Value>, name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    match value {
        _ if depth > DEEPEST => {}
        Value::Array(items) => items.iter().for_each(|item| documents(item, depth + 1, found)),
        Value::Object(members) => match (member(members, "key"), member(members, "filename")) {
            (Some(key), Some(filename)) => found.push((key, filename)),
            _ => members.values().for_each(|member| documents(member, depth + 1, found)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(pairs: &[(&str, &str)]) -> Choices {
        let choice = |(value, label): &(&str, &str)| Choice { value: (*value).into(), label: (*label).into() };
        Choices { items: pairs.iter().map(choice).collect(), more: false }
    }

    fn values(choices: &Choices) -> Vec<&str> {
        choices.items.iter().map(|choice| choice.value.as_str()).collect()
    }

    #[test]
    fn the_likeliest_comes_first() {
        let all = choices(&[("IC-1", "Canal lease"), ("IC-2", "Mutual NDA"), ("na-3", "Order"), ("IC-4", "Panama")]);
        assert_eq!(values(&all.matching("NA")), ["na-3", "IC-1", "IC-4"]);
        assert_eq!(values(&all.matching("nda ")), ["IC-2"]);
        assert_eq!(values(&all.matching("")), ["IC-1", "IC-2", "na-3", "IC-4"]);
        assert!(all.matching("zebra").items.is_empty());
    }

    #[test]
    fn no_more_than_a_hundred_are_given() {
        let many: Vec<(String, String)> = (0..250).map(|n| (format!("u{n:03}"), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(value, label)| (value.as_str(), label.as_str())).collect();
        let given = choices(&many).matching("u");
        assert_eq!((given.items.len(), given.more), (100, true));
    }

    #[test]
    fn each_answer_is_read_as_its_source_has_it() {
        let people = json!({"items": [{"id": "1", "userName": "a@b.c", "name": {"givenName": "Ada", "familyName": "B"}}],
            "has_more": true});
        let found = read(Source::UserEmail, &people);
        assert_eq!(found.items, [Choice { value: "a@b.c".into(), label: "Ada B".into() }]);
        assert!(found.more);
        assert_eq!(values(&read(Source::UserId, &people)), ["1"]);
        let workflows =
            json!({"items": [{"id": "x", "ironcladId": "IC-7", "title": "T"}, {"id": "y"}, {"id": "y"}, {}]});
        assert_eq!(values(&read(Source::WorkflowId, &workflows)), ["IC-7", "y"]);
        let types = json!({"recordTypes": {"mutualNda": {"displayName": "Mutual NDA"}}});
        assert_eq!(values(&read(Source::RecordType, &types)), ["mutualNda"]);
        let workflow = json!({"attributes": {"draft": [{"key": "k1", "filename": "a.docx"}], "key": "no",
            "nested": {"deep": [{"key": "k2", "filename": "b.pdf"}]}}});
        assert_eq!(values(&read(Source::DocumentKey, &workflow)), ["k1", "k2"]);
        for odd in [json!(null), json!([]), json!({"items": "no"}), json!({"recordTypes": []})] {
            for source in [Source::TemplateId, Source::RecordType, Source::DocumentKey, Source::UserEmail] {
                assert_eq!(read(source, &odd), Choices::default(), "{source:?} {odd}");
            }
        }
    }

    #[test]
    fn what_is_typed_cannot_leave_the_quotation_marks_of_a_filter() {
        let question = Question::first(Source::UserEmail, None).narrowed(Source::UserEmail, "a\" or id pr \\").unwrap();
        assert_eq!(question.arguments["filter"], r#"userName sw "a\" or id pr \\""#);
        assert!(Question::first(Source::TemplateName, None).narrowed(Source::TemplateName, "x").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_holds_for_each_agent_and_for_all_and_starts_anew() {
        let mut pace = Pace::default();
        assert_eq!((0..100).filter(|_| pace.allows("a")).count(), PACE.0);
        let others = (0..1000).filter(|n| pace.allows(&format!("agent {n}"))).count();
        assert_eq!(others, PACE.1 - PACE.0);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(pace.allows("a"));
    }
}
