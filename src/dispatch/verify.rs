//! Names the exact read call that tells whether a write took effect, as the entry's `verify_with` has it.

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime, macros::format_description};

use crate::{arguments::Args, manifest::Entry};

/// The placeholder of the time when the write was sent.
const SENT_AT: &str = "sent_at";

/// How much earlier than the sending a look begins: Ironclad's clock is another one.
const SKEW: Duration = Duration::minutes(1);

/// What the caller of a write can do now whose outcome is unknown.
pub(super) fn hint(entry: &Entry, args: &Args, sent_at: OffsetDateTime) -> String {
    let look = call(entry, args, sent_at).unwrap_or_else(|| "the matching read tool".into());
    let name = &entry.name;
    format!(
        "call {look} to see whether it took effect; only if it did not, call {name} again with \"force_after_unknown\": \
         true (without it, the same call is not sent for 10 minutes)"
    )
}

/// The read call: `get_workflow {"workflow_id":"IC-12"}`.
fn call(entry: &Entry, args: &Args, sent_at: OffsetDateTime) -> Option<String> {
    let look = entry.verify_with.as_ref()?;
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    let since = (sent_at - SKEW).format(&format).ok()?;
    let filled = look.arguments.iter().filter_map(|(name, value)| Some((name.clone(), fill(value, args, &since)?)));
    let arguments: Map<String, Value> = filled.collect();
    Some(format!("{} {}", look.tool, Value::from(arguments)))
}

/// A value with the call's own arguments in it; nothing where the call has none.
fn fill(value: &Value, args: &Args, since: &str) -> Option<Value> {
    match value {
        Value::String(text) => match text.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(SENT_AT) => Some(since.into()),
            Some(name) => args.get(name).cloned(),
            None => Some(value.clone()),
        },
        Value::Array(items) => {
            let items: Vec<Value> = items.iter().filter_map(|item| fill(item, args, since)).collect();
            (!items.is_empty()).then(|| items.into())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Some(value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::catalog::Catalog;

    const SENT: OffsetDateTime = datetime!(2026-09-01 09:00:30.5 UTC);

    fn args(values: &Value) -> Args {
        let mut args = Args::default();
        for (name, value) in values.as_object().unwrap() {
            args.replace(name, value.clone());
        }
        args
    }

    fn look(tool: &str, values: &Value) -> String {
        let catalog = Catalog::load(None, "").unwrap();
        call(&catalog.get(tool).unwrap().entry, &args(values), SENT).unwrap()
    }

    #[test]
    fn the_call_is_exact() {
        let everything =
            r#""status":["active","paused","completed","cancelled"],"updated_since":"2026-09-01T08:59:30Z""#;
        let table = [
            (
                "launch_workflow",
                json!({"template_id": "5f03", "attributes": {"a": 1}}),
                format!(r#"list_workflows {{"template_id":"5f03",{everything}}}"#),
            ),
            (
                "create_record",
                json!({"type": "nda", "name": "x"}),
                r#"list_records {"types":["nda"],"updated_since":"2026-09-01T08:59:30Z"}"#.to_owned(),
            ),
            ("update_record", json!({"record_id": "r\"1\""}), r#"get_record {"record_id":"r\"1\""}"#.to_owned()),
            ("cancel_workflow", json!({"workflow_id": "IC-1"}), r#"get_workflow {"workflow_id":"IC-1"}"#.to_owned()),
            ("delete_webhook", json!({"webhook_id": "w"}), "list_webhooks {}".to_owned()),
        ];
        for (tool, values, expected) in table {
            assert_eq!(look(tool, &values), expected, "{tool}");
        }
    }

    #[test]
    fn what_the_call_does_not_have_is_left_out() {
        assert_eq!(look("create_record", &json!({})), r#"list_records {"updated_since":"2026-09-01T08:59:30Z"}"#);
    }
}
