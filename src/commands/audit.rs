//! `ironclad-mcp audit`: reads the audit log, or follows its chain.

mod format;

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use self::format::Printer;
use super::{
    CommandError, Ended, FAILED,
    console::{complain, say, stdout_is_terminal, unless_gone},
};
use crate::{
    audit::{Expected, Filter, HeadSays, Reader, Target, Verified, Wanted, verify},
    cli::{AuditArgs, AuditFormat, DecisionFilter},
    config::{Config, ConfigError},
};

/// Prints one page of the log, or what its chain is worth.
pub(super) fn run(args: &AuditArgs, config: &Config) -> Ended {
    let target = config.audit.as_ref().map(|calls| if args.egress { calls.of_destinations() } else { calls.clone() });
    let path = match target {
        None => return Err(ConfigError::NoStateDirectory.into()),
        Some(Target::Stderr) => {
            let told =
                "--audit-log - sends the log to stderr, so there is no file to read; name the file it was kept in";
            return Err(CommandError::Usage(told.into()));
        }
        Some(Target::File(path)) => path,
    };
    if args.verify { chain(&path, args) } else { page(&path, args) }
}

fn page(path: &Path, args: &AuditArgs) -> Ended {
    let filter = Filter::new(wanted(args), OffsetDateTime::now_utc())
        .map_err(|error| CommandError::Usage(format!("--{}: {error}", error.which)))?;
    let Some(mut log) = Reader::open(path).map_err(unreadable(path))? else {
        let nothing = if args.egress { "nothing was connected to" } else { "nothing was called" };
        complain(&format!("there is no audit log yet at {}: {nothing}", path.display()));
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(cursor) = &args.cursor {
        let place = place(cursor, log.id()).ok_or_else(foreign)?;
        if !log.seek(place).map_err(unreadable(path))? {
            return Err(foreign());
        }
    }
    let default = if stdout_is_terminal() { AuditFormat::Text } else { AuditFormat::Json };
    let printer = Printer(args.format.unwrap_or(default));
    let mut out = BufWriter::new(io::stdout().lock());
    let page = print(&mut log, args.limit, &filter, (printer, &mut out)).map_err(unreadable(path))?;
    unless_gone(page.written.and_then(|()| out.flush()))?;
    if log.broken > 0 {
        complain(&format!("{} lines were skipped: they are no lines of an audit log", log.broken));
    }
    if let (Some(next), AuditFormat::Text | AuditFormat::Csv) = (&page.next, printer.0) {
        complain(&format!("there is more: --cursor {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: &AuditArgs) -> Wanted<'_> {
    Wanted {
        since: args.since.as_deref(),
        until: args.until.as_deref(),
        agent: args.agent.as_deref(),
        caller: args.caller.as_deref(),
        tool: args.tool.as_deref(),
        decision: args.decision.map(DecisionFilter::as_str),
        object: args.object.as_deref(),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    CommandError::io(format!("the audit log {} cannot be read", path.display()))
}

fn foreign() -> CommandError {
    CommandError::Usage("--cursor: this is no next_cursor of this audit log".into())
}

/// What marks a decoded cursor as ours.
const CURSOR: &str = "audit:";

fn cursor(id: &str, place: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{id}:{place}"))
}

/// The place that a cursor names in the log with this id.
fn place(cursor: &str, id: &str) -> Option<u64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor.trim()).ok()?).ok()?;
    let (of, place) = text.strip_prefix(CURSOR)?.split_once(':')?;
    place.parse().ok().filter(|_| of == id)
}

/// What became of a page.
struct Page {
    /// Where the next page begins, if there is one.
    next: Option<String>,
    /// Whether everything could be written.
    written: io::Result<()>,
}

/// Prints up to `limit` matching lines.
fn print(
    log: &mut Reader,
    limit: u32,
    filter: &Filter,
    (printer, out): (Printer, &mut impl Write),
) -> io::Result<Page> {
    let mut page = Page { next: None, written: printer.begin(out) };
    let mut printed = 0;
    while page.written.is_ok()
        && let Some(met) = log.next(filter)?
    {
        if printed == limit {
            let next = cursor(log.id(), met.place);
            page.written = printer.more(&next, out);
            page.next = Some(next);
            break;
        }
        printed += 1;
        page.written = printer.line(&met.text, &met.line, out);
    }
    Ok(page)
}

/// Follows the chain, and says whether it is whole or where it first breaks.
fn chain(path: &Path, args: &AuditArgs) -> Ended {
    let expected = Expected { after: args.after.clone(), holds: args.holds.clone() };
    match verify(path, expected).map_err(unreadable(path))? {
        Ok(found) => {
            say(&told(&found))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            say(&format!("FAIL  {broken}"))?;
            Ok(ExitCode::from(FAILED))
        }
    }
}

fn told(found: &Verified) -> String {
    let plural = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (lines, files) = (plural(found.lines, "line"), plural(found.files as u64, "file"));
    let mut text = format!("ok    the chain is whole: {lines} in {files}, the last hash is {}", found.last_hash);
    if found.unfinished {
        text.push_str("\nnote  half a line stands behind the last: a process died while it wrote, or is writing now");
    }
    if found.head == HeadSays::Nothing && found.lines > 0 {
        text.push_str("\nnote  there is no .head file beside the log, so lines missing at its end would not show");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: usize) -> (tempfile::TempDir, std::path::PathBuf) {
        let line = |n: usize| {
            let agent = if n.is_multiple_of(2) { "even" } else { "odd" };
            format!(r#"{{"time":"2026-01-0{}T00:00:00Z","agent":"{agent}","tool":"get_record","outcome":"ok"}}"#, n + 1)
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, (0..lines).map(|n| line(n) + "\n").collect::<String>()).unwrap();
        (folder, path)
    }

    fn page(path: &Path, from: u64, limit: u32, filter: &Filter) -> (Vec<String>, Page) {
        let mut reader = Reader::open(path).unwrap().unwrap();
        assert!(reader.seek(from).unwrap());
        let mut out = Vec::new();
        let page = print(&mut reader, limit, filter, (Printer(AuditFormat::Json), &mut out)).unwrap();
        (String::from_utf8(out).unwrap().lines().map(str::to_owned).collect(), page)
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_or_an_overlap() {
        let (_folder, path) = log(9);
        let id = Reader::open(&path).unwrap().unwrap().id().to_owned();
        let odd = Wanted { agent: Some("odd"), ..Wanted::default() };
        let odd = Filter::new(odd, OffsetDateTime::UNIX_EPOCH).unwrap();
        let mut seen = Vec::new();
        let mut from = 0;
        loop {
            let (mut lines, page) = page(&path, from, 3, &odd);
            let Some(next) = page.next else {
                seen.extend(lines);
                break;
            };
            assert_eq!(lines.pop().unwrap(), format!(r#"{{"next_cursor":"{next}"}}"#));
            assert_eq!(lines.len(), 3);
            seen.extend(lines);
            from = place(&next, &id).unwrap();
        }
        let log = std::fs::read_to_string(&path).unwrap();
        let all: Vec<&str> = log.lines().filter(|line| line.contains("odd")).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let (_folder, path) = log(3);
        let (lines, page) = page(&path, 0, 3, &Filter::default());
        assert_eq!((lines.len(), page.next), (3, None));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let foreign = cursor("another", 5);
        for wrong in ["", "abc", "YXVkaXQ6eA", foreign.as_str()] {
            assert!(place(wrong, "log").is_none(), "{wrong}");
        }
        assert_eq!(place(&cursor("log", 5), "log"), Some(5));
    }
}
