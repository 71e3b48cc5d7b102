//! Arguments for every tool: `samples.json` has each argument of each tool but those that the server adds.

use std::collections::BTreeMap;

use ironclad_mcp::catalog::Catalog;
use serde_json::{Map, Value};

/// Tool name to arguments.
pub(crate) fn samples() -> BTreeMap<String, Map<String, Value>> {
    serde_json::from_str(include_str!("samples.json")).unwrap()
}

/// The sample of a tool, with some arguments more.
pub(crate) fn sample_with(tool: &str, more: Value) -> Value {
    let mut arguments = samples().remove(tool).unwrap();
    let Value::Object(more) = more else { panic!("{more} is no object") };
    arguments.extend(more);
    arguments.into()
}

#[test]
fn the_samples_have_every_argument_of_every_tool() {
    let mut samples = samples();
    for tool in Catalog::load(None, "").unwrap().all() {
        let sample = samples.remove(&tool.name).unwrap_or_else(|| panic!("samples.json has no {}", tool.name));
        let own = tool.entry.parameters.keys().map(String::as_str);
        assert_eq!(sample.keys().map(String::as_str).collect::<Vec<_>>(), own.collect::<Vec<_>>(), "{}", tool.name);
    }
    assert!(samples.is_empty(), "{samples:?}");
}
