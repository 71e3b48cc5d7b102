//! URIs of resources, such as `ironclad://workflows/{id}`: a template's variables are whole segments.
//!
//! What stands in a URI is percent-decoded here and no more: whether it can be an id is for the check of arguments to say,
//! which a tool call goes through as well.

use percent_encoding::percent_decode_str;

use crate::{
    manifest::{Effect, Entry},
    request::segment,
};

/// The names of a template's variables, in order.
pub fn variables(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter_map(variable)
}

/// The values of a template's variables in a URI, or `None` where the URI is none of the template's.
#[must_use]
pub fn matched(template: &str, uri: &str) -> Option<Vec<String>> {
    let (mut pattern, mut given) = (template.split('/'), uri.split('/'));
    let mut values = Vec::new();
    loop {
        match (pattern.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(segment), Some(text)) => match variable(segment) {
                Some(_) => values.push(percent_decode_str(text).decode_utf8().ok()?.into_owned()),
                None if segment == text => {}
                None => return None,
            },
            (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

/// The URI of a template with its variables filled in, in order.
#[must_use]
pub fn filled<'a>(template: &str, values: impl IntoIterator<Item = &'a str>) -> String {
    let mut values = values.into_iter();
    let segments = template.split('/').map(|part| match variable(part) {
        Some(_) => segment(values.next().unwrap_or_default()),
        None => part.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// What is wrong with the resource of an entry.
#[must_use]
pub fn faults(entry: &Entry) -> Vec<String> {
    let Some(resource) = &entry.resource else { return Vec::new() };
    let template = resource.uri.as_str();
    let mut faults = Vec::new();
    if entry.effect != Effect::Read || entry.is_list() {
        faults.push("resource: only a read of one thing can be one".into());
    }
    if entry.parameters.values().filter(|parameter| parameter.required).count() > entry.path_arguments().count() {
        faults.push("resource: a URI has no place for a required argument outside the path".into());
    }
    if template.split_once("://").is_none_or(|(scheme, rest)| scheme.is_empty() || rest.is_empty()) {
        faults.push(format!("resource {template}: must be scheme://path"));
    }
    if template.split('/').any(|part| variable(part).is_none() && part.contains(['{', '}'])) {
        faults.push(format!("resource {template}: a variable must be a whole segment"));
    }
    if variables(template).count() != entry.path_arguments().count() {
        faults.push(format!("resource {template}: must have a variable for each argument in the path"));
    }
    for name in resource.complete.keys().filter(|name| !variables(template).any(|variable| variable == name.as_str())) {
        faults.push(format!("resource {template}: completes {name}, which is no variable"));
    }
    if resource.listed && !(variables(template).count() == 1 && resource.complete.len() == 1) {
        faults.push(format!("resource {template}: can be listed only with one variable, and what completes it"));
    }
    faults
}

fn variable(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest;

    const DOCUMENT: &str = "ironclad://workflows/{id}/documents/{key}";

    #[test]
    fn a_uri_matches_a_template_of_the_same_segments_only() {
        let table = [
            ("ironclad://workflows/IC-12/documents/k1", Some(vec!["IC-12", "k1"])),
            ("ironclad://workflows/a%20b/documents/%2E%2E", Some(vec!["a b", ".."])),
            ("ironclad://workflows/a%2Fb/documents/k", Some(vec!["a/b", "k"])),
            ("ironclad://workflows//documents/", Some(vec!["", ""])),
            ("ironclad://workflows/%FF/documents/k", None),
            ("ironclad://workflows/IC-12", None),
            ("ironclad://workflows/IC-12/documents/k1/", None),
            ("ironclad://records/IC-12/documents/k1", None),
            ("http://workflows/IC-12/documents/k1", None),
            ("", None),
        ];
        for (uri, expected) in table {
            let found = matched(DOCUMENT, uri);
            assert_eq!(
                found.as_deref(),
                expected.map(|values| values.into_iter().map(str::to_owned).collect::<Vec<_>>()).as_deref(),
                "{uri}"
            );
        }
    }

    fn entry(effect: &str, uri: &str, more: &Value) -> Entry {
        let mut resource = json!({"uri": uri, "name": "thing", "title": "T", "description": "d"});
        for (name, value) in more.as_object().unwrap() {
            resource[name] = value.clone();
        }
        let (prefix, method) = if effect == "read" { ("", "GET") } else { ("WRITE: ", "POST") };
        let id = json!({"in": "path", "required": true, "schema": {"type": "string"}});
        let manifest = json!({"group": "things", "tools": [{
            "name": "any_thing", "title": "T", "description": format!("{prefix}does it."), "effect": effect,
            "scope": "s", "bucket": "other", "deed": "did it", "answer": {"kind": "document"}, "parameters": {"thing_id": id},
            "request": {"api": "public", "method": method, "path": "/things/{thing_id}"},
            "resource": resource}]});
        manifest::parse("things.json", &manifest.to_string()).unwrap().tools.remove(0)
    }

    #[test]
    fn faults_of_a_resource_are_named() {
        assert_eq!(variables(DOCUMENT).collect::<Vec<_>>(), ["id", "key"]);
        assert!(faults(&entry("read", "ironclad://things/{id}", &json!({}))).is_empty());
        let (none, other) = (json!({}), json!({"complete": {"key": "document_key"}}));
        for (effect, template, more, named) in [
            ("write", "ironclad://things/{id}", &none, "only a read"),
            ("read", DOCUMENT, &none, "a variable for each"),
            ("read", "ironclad://things", &none, "a variable for each"),
            ("read", "things/{id}", &none, "scheme://"),
            ("read", "ironclad://things/x{id}", &none, "whole segment"),
            ("read", "ironclad://things/{+id}", &none, "whole segment"),
            ("read", "ironclad://things/{id}", &other, "no variable"),
            ("read", "ironclad://things/{id}", &json!({"listed": true}), "can be listed only"),
        ] {
            let faults = faults(&entry(effect, template, more));
            assert!(faults.iter().any(|fault| fault.contains(named)), "{template}: {faults:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_filled_in_is_found_again(id in ".{0,20}", key in ".{0,20}") {
            let uri = filled(DOCUMENT, [id.as_str(), key.as_str()]);
            prop_assert!(uri.is_ascii());
            prop_assert_eq!(matched(DOCUMENT, &uri), Some(vec![id, key]));
        }

        #[test]
        fn any_text_is_looked_at_without_harm(uri in ".{0,60}") {
            let _ = matched(DOCUMENT, &uri);
        }
    }
}
