//! The line of a person's decision over a call that waited for it.

use std::io;

use serde_json::{Map, Value, json};

use super::{AuditLog, Decision, record::timestamp};
use crate::{approvals::Approval, visible::visible};

/// Writes who decided what, of whose call. An approval that nobody has decided writes nothing.
///
/// # Errors
/// The log cannot be written.
pub fn decided(log: &AuditLog, approval: &Approval) -> io::Result<()> {
    line(approval).map_or(Ok(()), |line| log.append(&line, true))
}

fn line(approval: &Approval) -> Option<Map<String, Value>> {
    let decision = approval.decision.as_ref()?;
    let (verdict, word) =
        if decision.approved { (Decision::Allowed, "approved") } else { (Decision::Declined, "declined") };
    let by = visible(&decision.by);
    let members = json!({
        "time": timestamp(),
        "agent": visible(&approval.agent),
        "as_user": approval.as_user,
        "tool": approval.tool,
        "object": {"approval_id": approval.id, "request": approval.digest},
        "decision": verdict.as_str(),
        "rule": format!("decided by {by}"),
        "outcome": "ok",
        "code": null,
        "status": null,
        "request_id": null,
        "attempts": 0,
        "duration_ms": 0,
        "sentence": format!("{by} {word} what was asked for: {}", visible(&approval.sentence)),
    });
    if let Value::Object(line) = members { Some(line) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approvals;

    #[test]
    fn a_line_says_who_decided_what_and_has_the_members_of_every_other() {
        let mut approval: Approval = serde_json::from_value(json!({
            "id": "abcdefghjkmn", "tool": "cancel_workflow", "title": "Cancel", "agent": "bot", "host": "h",
            "as_user": "maya@acme.example", "sentence": "bot would cancel workflow IC-1", "facts": [],
            "digest": "d", "filed": 1, "expires": 2,
        }))
        .unwrap();
        assert_eq!(line(&approval), None);
        for (approved, verdict, word) in [(true, "allowed", "approved"), (false, "declined", "declined")] {
            let reason = Some("contract words".to_owned());
            approval.decision = Some(approvals::Decision { approved, by: "Maria\u{202e}".into(), at: 1, reason });
            let line = line(&approval).unwrap();
            assert_eq!((&line["decision"], &line["object"]["approval_id"]), (&json!(verdict), &json!("abcdefghjkmn")));
            let sentence = line["sentence"].as_str().unwrap();
            assert_eq!(sentence, format!("Maria⟪U+202E⟫ {word} what was asked for: bot would cancel workflow IC-1"));
            assert!(!Value::from(line.clone()).to_string().contains("contract words"));
        }
    }
}
