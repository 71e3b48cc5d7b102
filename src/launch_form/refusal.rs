//! Makes Ironclad's refusal of a launch into the faults that our own check would have named.
//!
//! The vendor names attributes in two ways that its OpenAPI leaves out: a JSON array inside `param`, and
//! `metadata.keyPath` (ironclad-api.md §3).

use std::collections::BTreeSet;

use super::{Field, LaunchForm, Required, check};
use crate::{error::ArgumentFault, suggest::shorten};

/// What a refusal says about the form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// One fault for each attribute that Ironclad names; empty where it names none.
    pub faults: Vec<ArgumentFault>,
    /// Attributes that the form does not always require, and Ironclad did: ids to remember for the template.
    pub learned: BTreeSet<String>,
}

/// Reads the `code`, `message`, `param` and `metadata.keyPath` of Ironclad's 400.
#[must_use]
pub fn faults_of_refusal(
    code: &str,
    message: &str,
    param: Option<&str>,
    key_path: Option<&str>,
    form: &LaunchForm,
) -> Refusal {
    match code {
        "MISSING_PARAM" => missing(param, key_path, form),
        "INVALID_PARAM" => Refusal { faults: invalid(message, param, key_path, form), ..Refusal::default() },
        _ => Refusal::default(),
    }
}

fn missing(param: Option<&str>, key_path: Option<&str>, form: &LaunchForm) -> Refusal {
    let mut refusal = Refusal::default();
    for path in named(param).into_iter().chain(key_path.map(str::to_owned)).collect::<BTreeSet<_>>() {
        let Some((field, at)) = place(&path, form) else { continue };
        let whole = at == format!("attributes.{}", field.name);
        if whole && field.required != Required::Always {
            refusal.learned.insert(field.id.clone());
        }
        let message = format!("{}: Ironclad requires it for these answers, and it is missing", field.display_name);
        refusal.faults.push(ArgumentFault::new(at, message, check::wanted(field)));
    }
    refusal
}

fn invalid(message: &str, param: Option<&str>, key_path: Option<&str>, form: &LaunchForm) -> Vec<ArgumentFault> {
    if let Some((_, ids)) = message.split_once("non-existent attribute(s) specified:") {
        let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
        return ids.map(|id| check::unknown(&form.fields, id, &format!("attributes.{}", shorten(id, 100)))).collect();
    }
    let paths = match key_path {
        Some(path) => vec![path.to_owned()],
        None => named(param),
    };
    let fault = |path: String| {
        let (field, at) = place(&path, form)?;
        let message = format!("{}: Ironclad says {}", field.display_name, shorten(message, 300));
        Some(ArgumentFault::new(at, message, check::wanted(field)))
    };
    paths.into_iter().filter_map(fault).collect()
}

/// The paths in `param`: a JSON array of them, or one.
fn named(param: Option<&str>) -> Vec<String> {
    let Some(param) = param else { return Vec::new() };
    serde_json::from_str(param).unwrap_or_else(|_| vec![param.to_owned()])
}

/// The field that a vendor's path names, and where our caller finds it.
fn place<'a>(path: &str, form: &'a LaunchForm) -> Option<(&'a Field, String)> {
    let path = path.trim_start_matches('/');
    let path = path.strip_prefix("attributes").and_then(|rest| rest.strip_prefix(['.', '/'])).unwrap_or(path);
    if let Some(field) = form.fields.get(path) {
        return Some((field, format!("attributes.{}", field.name)));
    }
    let end = path.find(['.', '/', '['])?;
    let (id, below) = path.split_at_checked(end)?;
    let field = form.fields.get(id)?;
    let mut at = format!("attributes.{}", field.name);
    for step in below.split(['.', '/', '[', ']']).filter(|step| !step.is_empty()) {
        match step.bytes().all(|b| b.is_ascii_digit()) {
            true => at.push_str(&format!("[{step}]")),
            false => at.push_str(&format!(".{step}")),
        }
    }
    Some((field, at))
}
