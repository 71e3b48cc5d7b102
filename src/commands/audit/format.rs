//! Prints lines of the audit log as sentences, as they are, or for a spreadsheet.
//!
//! A line holds names that clients chose for themselves. A terminal must not obey control characters in them, nor a
//! spreadsheet run them as formulas.

use std::io::{self, Write};

use serde_json::{Map, Value};

use crate::{audit::Line, cli::AuditFormat, visible::visible};

/// The columns of a spreadsheet: all members but those that chain the lines.
const COLUMNS: [&str; 15] = [
    "time",
    "agent",
    "caller",
    "as_user",
    "tool",
    "object",
    "decision",
    "rule",
    "outcome",
    "code",
    "status",
    "request_id",
    "attempts",
    "duration_ms",
    "sentence",
];

fn column(line: &Line, name: &str) -> String {
    match name {
        "time" => line.time.clone(),
        "agent" => line.agent.clone(),
        "caller" => line.caller.clone().unwrap_or_default(),
        "tool" => line.tool.clone(),
        "object" => ids(&line.object),
        "decision" => line.decision.clone(),
        "outcome" => line.outcome.clone(),
        "code" => line.code.clone().unwrap_or_default(),
        "sentence" => line.sentence.clone(),
        _ => line.rest.get(name).map(text).unwrap_or_default(),
    }
}

fn ids(object: &Map<String, Value>) -> String {
    let ids: Vec<String> = object.iter().map(|(name, id)| format!("{name}={}", text(id))).collect();
    ids.join(" ")
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Prints lines in one format.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer(pub(super) AuditFormat);

impl Printer {
    /// What comes before the first line.
    pub(super) fn begin(self, out: &mut impl Write) -> io::Result<()> {
        match self.0 {
            AuditFormat::Csv => write!(out, "{}\r\n", COLUMNS.join(",")),
            AuditFormat::Text | AuditFormat::Json => Ok(()),
        }
    }

    /// One line; `raw` is how it stands in the log, so that its hash can be checked.
    pub(super) fn line(self, raw: &[u8], line: &Line, out: &mut impl Write) -> io::Result<()> {
        match self.0 {
            AuditFormat::Json => {
                out.write_all(raw)?;
                out.write_all(b"\n")
            }
            AuditFormat::Csv => write!(out, "{}\r\n", COLUMNS.map(|name| cell(&column(line, name))).join(",")),
            AuditFormat::Text => {
                let code = line.code.as_ref().map(|code| format!(": {code}")).unwrap_or_default();
                let (time, agent, sentence) =
                    (printable(&line.time), printable(&line.agent), printable(&line.sentence));
                writeln!(out, "{time}  {agent}  {sentence}  [{}{}]", printable(&line.outcome), printable(&code))
            }
        }
    }

    /// What comes behind the last line where there are more.
    pub(super) fn more(self, cursor: &str, out: &mut impl Write) -> io::Result<()> {
        match self.0 {
            AuditFormat::Json => writeln!(out, "{}", serde_json::json!({ "next_cursor": cursor })),
            AuditFormat::Text | AuditFormat::Csv => Ok(()),
        }
    }
}

fn printable(text: &str) -> String {
    visible(text).chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A cell after RFC 4180; one that a spreadsheet would take for a formula is marked as text.
fn cell(text: &str) -> String {
    let text = &*visible(text);
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = r#"{"time":"2026-03-09T12:00:00.000Z","agent":"=evil\u001b[2J","caller":"u1","as_user":"maria@example.com","tool":"get_workflow","object":{"workflow_id":"a,b"},"decision":"allowed","rule":"access.workflows=read","outcome":"error","code":"not_found","status":404,"request_id":null,"attempts":1,"duration_ms":12,"sentence":"it said \"no\"","prev":"00","hash":"11"}"#;

    fn printed(format: AuditFormat) -> String {
        let line: Line = serde_json::from_str(RAW).unwrap();
        let mut out = Vec::new();
        let printer = Printer(format);
        printer.begin(&mut out).unwrap();
        printer.line(RAW.as_bytes(), &line, &mut out).unwrap();
        printer.more("abc", &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_the_line_itself() {
        assert_eq!(printed(AuditFormat::Json), format!("{RAW}\n{{\"next_cursor\":\"abc\"}}\n"));
    }

    #[test]
    fn text_is_a_sentence_that_no_terminal_obeys() {
        let text = printed(AuditFormat::Text);
        assert_eq!(text, "2026-03-09T12:00:00.000Z  =evil⟪U+001B⟫[2J  it said \"no\"  [error: not_found]\n");
    }

    #[test]
    fn csv_is_quoted_and_runs_no_formula() {
        let csv = printed(AuditFormat::Csv);
        let (head, row) = csv.split_once("\r\n").unwrap();
        assert_eq!(head.split(',').count(), 15);
        let expected = "2026-03-09T12:00:00.000Z,'=evil⟪U+001B⟫[2J,u1,maria@example.com,get_workflow,\"workflow_id=a,b\",\
            allowed,access.workflows=read,error,not_found,404,,1,12,\"it said \"\"no\"\"\"\r\n";
        assert_eq!(row, expected);
    }

    #[test]
    fn an_older_or_newer_line_is_a_line_still() {
        let line: Line = serde_json::from_str(r#"{"time":"2026-03-09T12:00:00Z","novel":{"a":1}}"#).unwrap();
        assert_eq!(column(&line, "novel"), r#"{"a":1}"#);
        assert_eq!(column(&line, "status"), "");
    }
}
