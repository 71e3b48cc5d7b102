//! Answers `search_audit_log`: what `ironclad-mcp audit` prints, as a list like any other.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Call, Place};
use crate::{
    answer::{Answer, Fields},
    arguments::Args,
    audit::{Filter, Met, Reader, Target, Wanted},
    cursor::Spot,
    error::{ArgumentFault, CallError, Code},
    manifest::{self, Entry},
};

/// Lines of the log that fit the arguments, from the cursor's place on.
pub(super) async fn answer(call: Call<'_>, entry: &Entry, (args, place): (&Args, Place)) -> Result<Answer, CallError> {
    let Target::File(path) = call.audit.target().clone() else {
        return Err(unreadable("it goes to a collector (--audit-log -)"));
    };
    let wanted = Wanted {
        since: args.text("since"),
        until: args.text("until"),
        agent: args.text("agent"),
        tool: args.text("tool"),
        decision: args.text("decision"),
        object: args.text("object"),
        caller: None,
    };
    let filter = Filter::new(wanted, OffsetDateTime::now_utc()).map_err(|no_time| {
        let fault =
            ArgumentFault::new(no_time.which, "is no time", "2026-01-31T12:00:00Z, a date, or an age such as 24h");
        CallError::invalid_arguments(&entry.name, vec![fault])
    })?;
    let Place { window, digest } = place;
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    // A long log takes its time to read.
    let read = tokio::task::spawn_blocking(move || read(&path, (window.from, limit), &filter)).await;
    let found =
        read.map_err(std::io::Error::other).and_then(|read| read).map_err(|error| unreadable(&error.to_string()))?;
    let Some(Found { lines, spots }) = found else {
        let fault = ArgumentFault::new("cursor", "is no place in this log any more", "nothing, to start again");
        return Err(CallError::invalid_arguments(&entry.name, vec![fault]));
    };
    let fields = Fields::of(args);
    let items = lines.iter().map(|line| item(entry, line, fields.as_ref()));
    let mut answer = Envelope { items: Vec::new(), bytes: ENVELOPE_BYTES };
    let given = items.take(limit).take_while(|item| answer.takes(item, call.max_result_bytes)).collect::<Vec<_>>();
    let next = spots.get(given.len()).copied();
    if let (true, Some(_)) = (given.is_empty(), next) {
        let message = "one line of the audit log is larger than a result may be";
        return Err(CallError::new(Code::ResponseTooLarge, message, "name the members that you need in fields"));
    }
    answer.items = given;
    let mut told = json!({ "items": answer.items, "has_more": next.is_some() });
    if let (Some(next), Value::Object(told)) = (next, &mut told) {
        told.insert("next_cursor".into(), call.cursor_key.seal(&digest, next).into());
    }
    Ok(Answer::new(told))
}

fn unreadable(why: &str) -> CallError {
    let hint = "the operator can read it where it is kept";
    CallError::new(Code::UpstreamUnavailable, format!("the audit log cannot be read: {why}"), hint)
}

/// What a result has besides its items, with room for the server's stamp.
const ENVELOPE_BYTES: usize = 700;

struct Envelope {
    items: Vec<Value>,
    bytes: usize,
}

impl Envelope {
    /// Whether one more item keeps to the limit: it travels as structured content and as text.
    fn takes(&mut self, item: &Value, max_bytes: usize) -> bool {
        self.bytes += Answer::new(item.clone()).bytes() + 2;
        self.bytes <= max_bytes
    }
}

/// Lines, and the spot of each, as cursors hold it: the place in the log, marked with which log it is.
struct Found {
    lines: Vec<Met>,
    spots: Vec<Spot>,
}

fn read(path: &std::path::Path, (from, limit): (Spot, usize), filter: &Filter) -> std::io::Result<Option<Found>> {
    let mut found = Found { lines: Vec::new(), spots: Vec::new() };
    let begins = from == Spot::default();
    let Some(mut log) = Reader::open(path)? else { return Ok(begins.then_some(found)) };
    let mark = u64::from_str_radix(log.id(), 16).unwrap_or_default();
    if !begins && (from.mark != mark || !log.seek(from.offset)?) {
        return Ok(None);
    }
    while found.lines.len() <= limit
        && let Some(met) = log.next(filter)?
    {
        found.spots.push(Spot { offset: met.place, mark });
        found.lines.push(met);
    }
    Ok(Some(found))
}

/// A line as an item: what is empty is left out, and so is what chains it, unless it is asked for.
fn item(entry: &Entry, met: &Met, fields: Option<&Fields>) -> Value {
    let line: Map<String, Value> = serde_json::from_slice(&met.text).unwrap_or_default();
    let line = line.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if let Some(fields) = fields {
        return fields.project_object(line).into();
    }
    let omit: &[String] = if let manifest::Answer::Page { omit, .. } = &entry.answer { omit } else { &[] };
    line.into_iter().filter(|(name, _)| !omit.contains(name)).collect::<Map<_, _>>().into()
}
