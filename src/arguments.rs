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
};

/// The longest piece of a wrong value that a fault repeats.
const SHOWN_CHARACTERS: usize = 80;

/// How alike two names must be (Jaro-Winkler) for one to be suggested for the other.
const ALIKE: f64 = 0.82;

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
                (name, decode_text(schema, value))
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

fn is_segment(id: &str) -> bool {
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

/// The known name that is most like `name`, if any is.
#[must_use]
pub fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |candidate: &&str| strsim::jaro_winkler(&name.to_lowercase(), &candidate.to_lowercase());
    let best = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(*best)
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

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
