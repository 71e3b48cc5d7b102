//! Which members of an answer are wanted: the dotted paths of the argument `fields`, as a tree.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::arguments::Args;

/// Dotted paths to keep, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// A path ends here, so everything below is kept, whatever longer paths say.
    whole: bool,
    members: BTreeMap<String, Self>,
}

impl Fields {
    /// The fields that a call asks for, if it asks for any.
    #[must_use]
    pub fn of(args: &Args) -> Option<Self> {
        let paths = args.texts("fields").filter(|paths| !paths.is_empty())?;
        let mut root = Self::default();
        for path in paths {
            let mut node = &mut root;
            for step in path.split('.') {
                node = node.members.entry(step.to_owned()).or_default();
            }
            node.whole = true;
        }
        Some(root)
    }

    /// Whether everything from here on is kept.
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// What is asked for of a member, whose own name may hold dots (SCIM's schema URNs do).
    pub(super) fn below(&self, member: &str) -> Option<&Self> {
        member.split('.').try_fold(self, |node, step| node.members.get(step))
    }

    fn project(&self, value: Value) -> Option<Value> {
        if self.whole {
            return Some(value);
        }
        match value {
            Value::Object(members) => Some(Value::Object(self.project_object(members))),
            Value::Array(items) => Some(items.into_iter().filter_map(|item| self.project(item)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// The members that are asked for.
    #[must_use]
    pub fn project_object(&self, members: Map<String, Value>) -> Map<String, Value> {
        let kept = members.into_iter().filter_map(|(name, value)| {
            let kept = self.below(&name)?.project(value)?;
            Some((name, kept))
        });
        kept.collect()
    }
}
