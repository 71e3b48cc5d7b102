//! Checks a call's arguments against its tool's schema, and names every fault at once.
//!
//! Some clients send an object or an array as JSON text, or `null` for what they leave out: both are mended before the
//! check, because a model cannot see what its client did. Nothing else is guessed.

use indexmap::IndexMap;
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde_json::{Map, Value};

use crate::{
    error::ArgumentFault,
    manifest::{Entry, Place},
    suggest::{closest, shown},
};

/// Arguments that keep to their tool's schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Args(Map<String, Value>);

impl Args {
    /// The value of an argument.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The text of an argument.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Whether a boolean argument is given and true.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name) == Some(&Value::Bool(true))
    }

    /// The strings of an array argument.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.get(name)?.as_array()?.iter().filter_map(Value::as_str).collect())
    }

    /// Every argument, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Puts another value in the place of an argument.
    pub fn replace(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Takes an argument away.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }
}

/// A tool's argument schema, compiled once.
#[derive(Debug)]
pub struct ArgumentCheck {
    schema: Map<String, Value>,
    validator: Validator,
}

impl ArgumentCheck {
    /// Compiles a schema.
    ///
    /// # Errors
    /// The schema is no valid JSON Schema; the text says where.
    pub fn compile(schema: Map<String, Value>) -> Result<Self, String> {
        let whole = Value::Object(schema);
        let validator = jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&whole)
            .map_err(|e| e.to_string())?;
        let Value::Object(schema) = whole else { return Err("the schema is no object".into()) };
        Ok(Self { schema, validator })
    }

    /// Mends and checks the arguments of one call.
    ///
    /// # Errors
    /// Every fault there is, each with its path.
    pub fn check(&self, entry: &Entry, arguments: Map<String, Value>) -> Result<Args, Vec<ArgumentFault>> {
        let mut arguments = self.mend(arguments);
        rename_aliases(entry, &mut arguments);
        let whole = Value::Object(arguments);
        let mut faults: Vec<ArgumentFault> = Vec::new();
        if !self.validator.is_valid(&whole) {
            faults.extend(self.validator.iter_errors(&whole).flat_map(|error| self.faults_of(&error)));
            // A value of the wrong type also fails its enum, which reads the same.
            faults.dedup();
        }
        let Value::Object(arguments) = whole else { return Err(faults) };
        faults.extend(segment_faults(entry, &arguments));
        if faults.is_empty() { Ok(Args(arguments)) } else { Err(faults) }
    }

    fn mend(&self, arguments: Map<String, Value>) -> Map<String, Value> {
        let required: Vec<&str> = self
            .schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let properties = self.schema.get("properties");
        arguments
            .into_iter()
            .filter(|(name, value)| !value.is_null() || required.contains(&name.as_str()))
            .map(|(name, value)| {
                let schema = properties.and_then(|all| all.get(&name));
                (name, whole_number(schema, decode_text(schema, value)))
            })
            .collect()
    }

    fn faults_of(&self, error: &ValidationError<'_>) -> Vec<ArgumentFault> {
        let at = dotted(error.instance_path().as_str());
        let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let pointer = error.instance_path().as_str();
        if let ValidationErrorKind::Required { property } = error.kind() {
            let name = property.as_str().unwrap_or_default();
            let node = self.node(&format!("{pointer}/{name}"));
            return vec![ArgumentFault::new(below(name), "is required and missing", describe(node))];
        }
        if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
            let known = self.node(pointer).and_then(|node| node.get("properties")).and_then(Value::as_object);
            let known: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            return unexpected.iter().map(|name| unknown_fault(&below(name), name, &known)).collect();
        }
        let message = format!("{} does not fit", shown(error.instance()));
        vec![ArgumentFault::new(at, message, describe(self.node(pointer)))]
    }

    /// The schema node that an instance path is checked against.
    fn node(&self, pointer: &str) -> Option<&Map<String, Value>> {
        let mut node = &self.schema;
        for step in pointer.split('/').skip(1) {
            let properties = node.get("properties").and_then(|all| all.get(step));
            node = properties.or_else(|| node.get("items"))?.as_object()?;
        }
        Some(node)
    }
}

/// An object or array that arrived as JSON text is decoded; any other value stays.
fn decode_text(schema: Option<&Value>, value: Value) -> Value {
    let kind = schema.and_then(|schema| schema.get("type")).and_then(Value::as_str);
    let (Some(kind @ ("object" | "array")), Value::String(text)) = (kind, &value) else { return value };
    match serde_json::from_str(text) {
        Ok(decoded @ Value::Object(_)) if kind == "object" => decoded,
        Ok(decoded @ Value::Array(_)) if kind == "array" => decoded,
        _ => value,
    }
}

/// JSON Schema takes 5.0 for an integer, so it becomes one: read as a float, a `limit` would count as absent.
fn whole_number(schema: Option<&Value>, value: Value) -> Value {
    let is_integer = schema.and_then(|schema| schema.get("type")).is_some_and(|kind| kind == "integer");
    match value.as_f64() {
        Some(number) if is_integer && value.is_f64() && number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::from(number as i64)
        }
        _ => value,
    }
}

fn rename_aliases(entry: &Entry, arguments: &mut Map<String, Value>) {
    for (name, parameter) in entry.parameters.iter().filter(|(_, parameter)| !parameter.aliases.is_empty()) {
        match arguments.get_mut(name) {
            Some(Value::Array(values)) => values.iter_mut().for_each(|value| rename(value, &parameter.aliases)),
            Some(value) => rename(value, &parameter.aliases),
            None => {}
        }
    }
}

fn rename(value: &mut Value, aliases: &IndexMap<String, String>) {
    if let Some(real) = value.as_str().and_then(|alias| aliases.get(alias)) {
        *value = real.as_str().into();
    }
}

/// Ids fill exactly one path segment: URL parsers climb on `..`, even percent-encoded (DESIGN, decision 6).
fn segment_faults(entry: &Entry, arguments: &Map<String, Value>) -> Vec<ArgumentFault> {
    let ids = entry.parameters.iter().filter(|(_, parameter)| parameter.place == Place::Path);
    ids.filter_map(|(name, _)| {
        let id = arguments.get(name)?.as_str()?;
        (!is_segment(id)).then(|| {
            let message = format!("{} cannot be an id", shown(&id.into()));
            ArgumentFault::new(name.as_str(), message, "an id as Ironclad gives it: letters, digits, _ and -")
        })
    })
    .collect()
}

/// Whether a text can be an id: exactly one path segment, whatever parses the URL.
#[must_use]
pub fn is_segment(id: &str) -> bool {
    let escapes = |c: char| c.is_control() || c.is_whitespace() || "/\\?#%".contains(c);
    !matches!(id, "" | "." | "..") && id.len() <= 200 && !id.chars().any(escapes)
}

fn unknown_fault(path: &str, name: &str, known: &[&str]) -> ArgumentFault {
    let expected = match closest(name, known) {
        Some(meant) => format!("{meant} (did you mean that?)"),
        None => format!("one of {}", known.join(", ")),
    };
    ArgumentFault::new(path, "is not an argument here", expected)
}

/// `/updates/0/path` as `updates[0].path`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        if step.bytes().all(|b| b.is_ascii_digit()) && !path.is_empty() {
            path.push_str(&format!("[{step}]"));
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(step);
    }
    path
}

/// What a schema node wants, in a few words.
fn describe(node: Option<&Map<String, Value>>) -> String {
    let Some(node) = node else { return "a value that fits the tool's inputSchema".into() };
    let text = |key: &str| node.get(key).and_then(Value::as_str);
    if let Some(values) = node.get("enum").and_then(Value::as_array) {
        return format!("one of {}", values.iter().map(plain).collect::<Vec<_>>().join(", "));
    }
    let mut wanted = match (text("type"), text("format")) {
        (_, Some("date-time")) => "a date-time such as 2026-01-31T00:00:00Z".to_owned(),
        (Some(kind @ ("object" | "array" | "integer")), _) => format!("an {kind}"),
        (Some(kind), _) => format!("a {kind}"),
        (None, _) => "any value".to_owned(),
    };
    for (key, word) in [("minimum", "at least"), ("maximum", "at most")] {
        if let Some(bound) = node.get(key) {
            wanted.push_str(&format!(", {word} {bound}"));
        }
    }
    if node.get("minLength").is_some() || node.get("minItems").is_some() {
        wanted.push_str(" that is not empty");
    }
    if let Some(items) = node.get("items").and_then(Value::as_object).filter(|items| items.contains_key("type")) {
        wanted.push_str(&format!(", each {}", describe(Some(items))));
    }
    wanted
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{manifest, tool_schema};

    fn entry() -> Entry {
        let manifest = json!({"group": "things", "tools": [{
            "name": "change_thing", "title": "T", "description": "WRITE: changes a thing.", "effect": "write",
            "scope": "s", "bucket": "other", "deed": "changed thing {thing_id}",
            "request": {"api": "public", "method": "PATCH", "path": "/things/{thing_id}"},
            "parameters": {
                "thing_id": {"in": "path", "required": true, "schema": {"type": "string"}},
                "updates": {"in": "body", "schema": {"type": "array", "minItems": 1, "items": {
                    "type": "object", "required": ["action", "path"], "properties": {
                        "action": {"type": "string", "enum": ["set", "remove"]},
                        "path": {"type": "string"},
                        "value": {"type": "string", "x-open": true}}}}},
                "status": {"in": "body", "schema": {"type": "string", "enum": ["enabled", "disabled"]},
                    "aliases": {"on": "enabled"}},
                "events": {"in": "body",
                    "schema": {"type": "array", "items": {"type": "string", "enum": ["made", "lost"]}}, "aliases": {"created": "made"}},
                "count": {"in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 9}},
                "since": {"in": "query", "schema": {"type": "string", "format": "date-time"}},
                "note": {"in": "body", "schema": {"type": "string"}},
                "properties": {"in": "body", "schema": {"type": "object"}},
                "parent": {"in": "body", "schema": {"type": "object", "required": ["id"], "properties": {
                    "id": {"type": "string"}, "kind": {"type": "string"}}}}},
            "answer": {"kind": "empty"}}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    static CHECK: LazyLock<ArgumentCheck> =
        LazyLock::new(|| ArgumentCheck::compile(tool_schema::argument_schema(&entry())).unwrap());

    fn check(mut arguments: Value) -> Result<Args, Vec<ArgumentFault>> {
        CHECK.check(&entry(), arguments.as_object_mut().map(std::mem::take).unwrap())
    }

    fn paths(faults: &[ArgumentFault]) -> Vec<&str> {
        let mut paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }

    fn fault(arguments: Value) -> ArgumentFault {
        let mut faults = check(arguments).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.remove(0)
    }

    #[test]
    fn every_fault_is_named_at_once_with_its_path_and_what_would_be_right() {
        let faults = check(json!({
            "updates": [{"action": "sett", "path": "a"}, {"action": "set", "path": 5}, {"value": 1}],
            "statuz": "enabled", "events": ["made", "sold"], "count": 10, "since": "yesterday", "note": false,
            "properties": [], "parent": {"kind": 3, "name": "x"}}))
        .unwrap_err();
        assert_eq!(
            paths(&faults),
            [
                "count",
                "events[1]",
                "note",
                "parent.id",
                "parent.kind",
                "parent.name",
                "properties",
                "since",
                "statuz",
                "thing_id",
                "updates[0].action",
                "updates[1].path",
                "updates[2].action",
                "updates[2].path"
            ]
        );
        for fault in faults {
            assert!(!fault.message.is_empty() && fault.expected.is_some_and(|text| !text.is_empty()));
        }
    }

    #[test]
    fn a_fault_says_what_would_be_right() {
        let id = |rest: Value| {
            let mut arguments = json!({"thing_id": "t"});
            arguments.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            arguments
        };
        let table = [
            (json!({}), "is required and missing", "a string"),
            (id(json!({"status": "off"})), "\"off\" does not fit", "one of enabled, disabled"),
            (id(json!({"count": 0})), "0 does not fit", "an integer, at least 1, at most 9"),
            (id(json!({"count": "5"})), "\"5\" does not fit", "an integer, at least 1, at most 9"),
            (
                id(json!({"since": "2026-01-31"})),
                "\"2026-01-31\" does not fit",
                "a date-time such as 2026-01-31T00:00:00Z",
            ),
            (id(json!({"updates": []})), "[] does not fit", "an array that is not empty, each an object"),
            (id(json!({"events": "made"})), "\"made\" does not fit", "an array, each one of made, lost"),
            (id(json!({"note": null, "parent": {"id": null}})), "null does not fit", "a string"),
            (id(json!({"statuz": "x"})), "is not an argument here", "status (did you mean that?)"),
            (id(json!({"parent": {"id": "p", "colour": 1}})), "is not an argument here", "one of id, kind"),
        ];
        for (arguments, message, expected) in table {
            let fault = fault(arguments.clone());
            assert_eq!((fault.message.as_str(), fault.expected.as_deref()), (message, Some(expected)), "{arguments}");
        }
    }

    #[test]
    fn one_wrong_value_is_one_fault_however_many_rules_it_breaks() {
        assert_eq!(fault(json!({"thing_id": "t", "status": 5})).path, "status");
        assert_eq!(fault(json!({"thing_id": 5})).path, "thing_id");
    }

    #[test]
    fn headers_acting_users_and_paging_parameters_are_no_arguments() {
        for name in ["x-as-user-email", "headers", "creator", "user", "page", "pageSize", "form"] {
            assert_eq!(fault(json!({"thing_id": "t", name: "x"})).path, name);
        }
    }

    #[test]
    fn objects_and_arrays_that_arrive_as_json_text_are_decoded() {
        let args = check(json!({
            "thing_id": "t", "properties": "{\"a\": [1, {\"b\": null}]}", "events": " [\"made\"]",
            "updates": "[{\"action\":\"set\",\"path\":\"a\",\"value\":\"12.5\"}]"}))
        .unwrap();
        assert_eq!(args.get("properties"), Some(&json!({"a": [1, {"b": null}]})));
        assert_eq!(args.get("events"), Some(&json!(["made"])));
        assert_eq!(args.get("updates"), Some(&json!([{"action": "set", "path": "a", "value": "12.5"}])));
    }

    #[test]
    fn text_is_decoded_only_where_it_holds_what_the_schema_wants() {
        let args = check(json!({"thing_id": "[1]", "note": "{\"a\":1}"})).unwrap();
        assert_eq!((args.text("thing_id"), args.text("note")), (Some("[1]"), Some("{\"a\":1}")));
        for text in ["", "x", "[]", "{", "{} {}", "12", "null"] {
            assert_eq!(fault(json!({"thing_id": "t", "properties": text})).path, "properties", "{text:?}");
        }
        let decoded = check(json!({"thing_id": "t", "updates": "[{\"action\":\"sett\"}]"})).unwrap_err();
        assert_eq!(paths(&decoded), ["updates[0].action", "updates[0].path"]);
    }

    #[test]
    fn json_text_of_any_depth_is_refused_rather_than_followed() {
        let deep = "{\"a\":".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(fault(json!({"thing_id": "t", "properties": deep})).path, "properties");
    }

    #[test]
    fn a_null_counts_as_left_out_but_not_for_what_is_required() {
        let args = check(json!({"thing_id": "t", "status": null, "updates": null, "dry_run": null})).unwrap();
        assert_eq!(args.iter().collect::<Vec<_>>(), [("thing_id", &json!("t"))]);
        assert_eq!(fault(json!({"thing_id": null})).path, "thing_id");
    }

    #[test]
    fn an_alias_stands_for_the_name_that_is_sent() {
        let args = check(json!({"thing_id": "t", "status": "on", "events": ["created", "lost"]})).unwrap();
        assert_eq!(args.text("status"), Some("enabled"));
        assert_eq!(args.texts("events"), Some(vec!["made", "lost"]));
        let text = check(json!({"thing_id": "t", "events": "[\"created\"]"})).unwrap();
        assert_eq!(text.texts("events"), Some(vec!["made"]));
    }

    #[test]
    fn the_alias_of_the_shipped_event_is_accepted() {
        let webhooks = manifest::parse("webhooks.json", include_str!("../tool-manifests/webhooks.json")).unwrap();
        let entry = webhooks.tools.iter().find(|entry| entry.name == "create_webhook").unwrap();
        let check = ArgumentCheck::compile(tool_schema::argument_schema(entry)).unwrap();
        let arguments =
            json!({"events": ["contract_status_changed", "workflow_paused"], "target_url": "https://a.example"});
        let args = check.check(entry, arguments.as_object().unwrap().clone()).unwrap();
        assert_eq!(args.texts("events"), Some(vec!["record_contract_status_changed", "workflow_paused"]));
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let args = check(json!({"thing_id": "t", "count": 5.0})).unwrap();
        assert_eq!(args.get("count").and_then(Value::as_u64), Some(5));
        assert_eq!(fault(json!({"thing_id": "t", "count": 5.5})).path, "count");
    }

    #[test]
    fn an_id_is_one_path_segment() {
        for id in ["6a6b328004308879e7d439b6", "IC-12", "F7IYVm-59VHKoqCLLuiFd", "a.b", "...", "é", "a:b@c;d=e", "~"] {
            assert!(check(json!({"thing_id": id})).is_ok(), "{id:?}");
        }
        let long = "a".repeat(201);
        for id in
            ["", ".", "..", "a/b", "/", "..\\", "%2e%2e", "a?b", "a#b", "a b", "\t", "a\n", "\u{0}", "\u{a0}", &long]
        {
            let fault = fault(json!({"thing_id": id}));
            assert!(fault.message.ends_with("cannot be an id"), "{id:?} gave {fault:?}");
        }
    }

    #[test]
    fn a_fault_repeats_no_more_than_the_beginning_of_a_wrong_value() {
        let fault = fault(json!({"thing_id": "t", "status": "é".repeat(10_000)}));
        assert!(fault.message.chars().count() < 120, "{}", fault.message.len());
    }

    #[test]
    fn the_closest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["workflow_id", "comment"];
        assert_eq!(closest("workflowId", &known), Some("workflow_id"));
        assert_eq!(closest("coment", &known), Some("comment"));
        assert_eq!(closest("zzz", &known), None);
        assert_eq!(closest("anything", &[]), None);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_arguments_are_checked_without_a_panic_and_a_refusal_says_why(
            known in prop::collection::vec((0usize..9, any_json()), 0..6), unknown in ".{0,9}", value in any_json(),
        ) {
            let names: Vec<String> = entry().parameters.keys().cloned().collect();
            let mut arguments = Map::from_iter([(unknown, value)]);
            arguments.extend(known.into_iter().map(|(which, value)| (names[which].clone(), value)));
            if let Err(faults) = check(arguments.into()) {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| fault.expected.as_ref().is_some_and(|text| !text.is_empty())));
            }
        }

        #[test]
        fn an_open_value_takes_any_json_as_it_is(value in any_json(), properties in any_json()) {
            let properties = json!({ "p": properties });
            let arguments = json!({
                "thing_id": "t", "properties": properties,
                "updates": [{"action": "set", "path": "p", "value": value}]});
            let args = check(arguments.clone()).unwrap();
            prop_assert_eq!(args.get("updates"), arguments.get("updates"));
            prop_assert_eq!(args.get("properties"), arguments.get("properties"));
        }

        #[test]
        fn json_text_means_what_the_json_means(properties in any_json()) {
            let properties = json!({ "p": properties });
            let plain = check(json!({"thing_id": "t", "properties": properties})).unwrap();
            let text = check(json!({"thing_id": "t", "properties": properties.to_string()})).unwrap();
            prop_assert_eq!(plain, text);
        }
    }
}
