//! Makes a template's launch form into JSON Schema, and a model's attributes into what Ironclad takes.
//!
//! Only `always` becomes required: when a conditional attribute is needed depends on rules that Ironclad never tells,
//! and claiming it would refuse launches that Ironclad accepts. A form can hold anything, so parsing never fails: what
//! is not understood becomes an open value and a warning. Pure: JSON in, JSON out.

mod check;
mod describe;
mod example;
mod names;
mod parse;
mod refusal;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::{error::ArgumentFault, suggest::shown};

pub use refusal::{Refusal, faults_of_refusal};

/// The attribute that every launch must bring, whatever its form says (ironclad-api.md §6.1).
const ALWAYS_REQUIRED: &str = "counterpartyName";

/// A template's launch form, read once; or the `schema` of a running workflow, whose nodes look the same.
#[derive(Debug, Clone)]
pub struct LaunchForm {
    fields: Fields,
    warnings: Vec<String>,
}

/// A launch form as JSON Schema, and what the schema alone cannot say.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// An object schema for the argument `attributes`, to be put at depth 2.
    pub schema: Map<String, Value>,
    /// Attribute ids by the name published for them, where the two differ; a table's column as `table.column`.
    pub ids: IndexMap<String, String>,
    /// The attributes that Ironclad may require depending on the other answers.
    pub conditional: Vec<Conditional>,
    /// What was not understood in the form.
    pub warnings: Vec<String>,
}

/// An attribute that Ironclad may require depending on the other answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditional {
    /// The attribute's id.
    pub id: String,
    /// The label that people see.
    pub display_name: String,
    /// Whether Ironclad has refused a launch for want of it.
    pub learned: bool,
}

/// Attributes that keep to their form.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// By attribute id, as Ironclad takes them.
    pub attributes: Map<String, Value>,
    /// What was normalised, and what may still be missing; one sentence each.
    pub notes: Vec<String>,
}

/// A value that keeps to its attribute's type.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedValue {
    /// As Ironclad takes it.
    pub value: Value,
    /// What was normalised; one sentence each.
    pub notes: Vec<String>,
}

/// The questions of a form, or the columns of a table.
#[derive(Debug, Clone, Default)]
struct Fields {
    all: Vec<Field>,
    /// Places in `all`, by attribute id and by published name.
    places: HashMap<String, usize>,
}

impl Fields {
    fn place(&self, key: &str) -> Option<usize> {
        self.places.get(key).copied()
    }

    fn get(&self, key: &str) -> Option<&Field> {
        self.all.get(self.place(key)?)
    }
}

#[derive(Debug, Clone)]
struct Field {
    id: String,
    /// The id, or what stands for it where the id cannot be a property's name.
    name: String,
    display_name: String,
    required: Required,
    options: Vec<String>,
    /// Only the options are accepted.
    closed: bool,
    default: Option<Value>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Required {
    Always,
    Conditional,
    Never,
}

/// What an attribute holds.
#[derive(Debug, Clone)]
enum Kind {
    One(Type),
    List(Box<Self>),
    /// A row of a table.
    Row(Fields),
    /// Computed by Ironclad; never settable.
    Formula,
    /// A type nobody has seen: any value goes on as it is.
    Open,
}

/// The type of a single value (ironclad-api.md §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Boolean,
    Number,
    Date,
    Email,
    Money,
    Duration,
    Address,
    Document,
    User,
    Record,
    Entity,
}

impl Kind {
    /// The kind of a list's items, of lists of lists too; any other kind itself.
    fn innermost(&self) -> &Self {
        match self {
            Self::List(inner) => inner.innermost(),
            Self::One(_) | Self::Row(_) | Self::Formula | Self::Open => self,
        }
    }

    /// The columns of a table, or of a single row.
    fn columns(&self) -> Option<&Fields> {
        if let Self::Row(columns) = self.innermost() { Some(columns) } else { None }
    }
}

impl LaunchForm {
    /// Reads the vendor's `schema` map (ironclad-api.md §8.5).
    #[must_use]
    pub fn parse(template_schema: &Map<String, Value>) -> Self {
        parse::form(template_schema)
    }

    /// The form as JSON Schema, within the profile of CONTRACT whatever the form holds.
    ///
    /// `learned` are the conditional attributes that Ironclad has asked for before; with `use_default_values`, an
    /// attribute that has a default is not required.
    #[must_use]
    pub fn attributes_schema(&self, use_default_values: bool, learned: &BTreeSet<String>) -> Translation {
        schema::translate(self, use_default_values, learned)
    }

    /// Attributes, by id, that pass [`Self::check`] and show the shape of every field that may be required.
    #[must_use]
    pub fn example(&self) -> Map<String, Value> {
        example::attributes(&self.fields)
    }

    /// [`Self::example`] with `user` where an Ironclad user is asked for: nobody else is known to be one.
    #[must_use]
    pub fn example_for(&self, user: Option<&str>) -> Map<String, Value> {
        let mut example = self.example();
        for field in self.fields.all.iter().filter(|field| matches!(field.kind, Kind::One(Type::User))) {
            match (example.get_mut(&field.id), user) {
                (Some(made_up), Some(user)) if *made_up == example::plain(field) => *made_up = user.into(),
                _ => {}
            }
        }
        example
    }

    /// Checks and normalises the attributes of a launch; `learned` is told in the notes, never required.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn check(
        &self,
        attributes: &Map<String, Value>,
        use_default_values: bool,
        learned: &BTreeSet<String>,
    ) -> Result<Checked, Vec<ArgumentFault>> {
        check::launch(&self.fields, attributes, use_default_values, learned)
    }

    /// Checks and normalises one value of the attribute `id`; faults and notes name it by the path `at`.
    ///
    /// # Errors
    /// Every fault of the value, or that there is no such attribute.
    pub fn check_value(&self, id: &str, value: &Value, at: &str) -> Result<CheckedValue, Vec<ArgumentFault>> {
        check::one(&self.fields, id, value, at)
    }

    /// The ids of the attributes, in the form's order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.fields.all.iter().map(|field| field.id.as_str())
    }

    /// The id of the attribute that a key names: the id itself, or the name published for it.
    #[must_use]
    pub fn id_of(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(|field| field.id.as_str())
    }

    /// Whether the attribute `id` must always have a value.
    #[must_use]
    pub fn is_required(&self, id: &str) -> bool {
        self.fields.get(id).is_some_and(|field| field.required == Required::Always)
    }

    /// A fault at `at` for a key that is no attribute of a running workflow, with what was probably meant.
    #[must_use]
    pub fn unknown(&self, key: &str, at: &str) -> ArgumentFault {
        let message = format!("{} is no attribute of this workflow", shown(&key.into()));
        ArgumentFault { message, ..check::unknown(&self.fields, key, at) }
    }

    /// Every document among checked attributes, with the path by which our caller knows it.
    pub fn documents<'a>(&self, attributes: &'a mut Map<String, Value>) -> Vec<(String, &'a mut Value)> {
        let mut found = Vec::new();
        documents(&self.fields, attributes, "attributes", &mut found);
        found
    }

    /// Whether the attribute `id` holds documents, which no attribute update can change (ironclad-api.md §8.4).
    #[must_use]
    pub fn holds_documents(&self, id: &str) -> bool {
        let kind = self.fields.get(id).map(|field| field.kind.innermost());
        matches!(kind, Some(Kind::One(Type::Document)))
    }
}

fn documents<'a>(
    fields: &Fields,
    attributes: &'a mut Map<String, Value>,
    at: &str,
    found: &mut Vec<(String, &'a mut Value)>,
) {
    for (id, value) in attributes {
        if let Some(field) = fields.get(id) {
            documents_of(&field.kind, value, format!("{at}.{}", field.name), found);
        }
    }
}

fn documents_of<'a>(kind: &Kind, value: &'a mut Value, at: String, found: &mut Vec<(String, &'a mut Value)>) {
    match (kind, value) {
        (Kind::One(Type::Document), value) => found.push((at, value)),
        (Kind::List(inner), Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                documents_of(inner, item, format!("{at}[{index}]"), found);
            }
        }
        (Kind::Row(columns), Value::Object(members)) => documents(columns, members, &at, found),
        (Kind::One(_) | Kind::List(_) | Kind::Row(_) | Kind::Formula | Kind::Open, _) => {}
    }
}
