//! `ironclad-mcp audit`: reads the audit log.
//!
//! The log is read as a stream, oldest line first, so its size does not matter. A cursor is a place in the file: lines
//! are only ever appended, so it stays good.

mod filter;
mod format;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::Path,
    process::ExitCode,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use self::{
    filter::Filter,
    format::{Line, Printer},
};
use super::{
    CommandError, Ended,
    console::{complain, stdout_is_terminal, unless_gone},
};
use crate::{
    audit::Target,
    cli::{AuditArgs, AuditFormat},
    config::{Config, ConfigError},
};

/// Prints one page of the log.
pub(super) fn run(args: &AuditArgs, config: &Config) -> Ended {
    let path = match &config.audit {
        None => return Err(ConfigError::NoStateDirectory.into()),
        Some(Target::Stderr) => {
            let told =
                "--audit-log - sends the log to stderr, so there is no file to read; name the file it was kept in";
            return Err(CommandError::Usage(told.into()));
        }
        Some(Target::File(path)) => path,
    };
    let filter = Filter::new(args, OffsetDateTime::now_utc()).map_err(CommandError::Usage)?;
    let Some(mut log) = open(path)? else {
        complain(&format!("there is no audit log yet at {}: nothing was called", path.display()));
        return Ok(ExitCode::SUCCESS);
    };
    let from = args.cursor.as_deref().map(|cursor| place(cursor, &mut log)).transpose()?.unwrap_or_default();
    log.seek(SeekFrom::Start(from)).map_err(unreadable(path))?;
    let default = if stdout_is_terminal() { AuditFormat::Text } else { AuditFormat::Json };
    let printer = Printer(args.format.unwrap_or(default));
    let mut out = BufWriter::new(io::stdout().lock());
    let page = print(&mut BufReader::new(log), (from, args.limit), &filter, (printer, &mut out));
    let page = page.map_err(unreadable(path))?;
    unless_gone(page.written.and_then(|()| out.flush()))?;
    if page.broken > 0 {
        complain(&format!("{} lines were skipped: they are no lines of an audit log", page.broken));
    }
    if let (Some(next), AuditFormat::Text | AuditFormat::Csv) = (&page.next, printer.0) {
        complain(&format!("there is more: --cursor {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    CommandError::io(format!("the audit log {} cannot be read", path.display()))
}

fn open(path: &Path) -> Result<Option<File>, CommandError> {
    match File::open(path) {
        Ok(log) => Ok(Some(log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path)(error)),
    }
}

/// What marks a decoded cursor as ours.
const CURSOR: &str = "audit:";

fn cursor(place: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR}{place}"))
}

/// The place that a cursor names, if a line begins there.
fn place(cursor: &str, log: &mut (impl io::Read + Seek)) -> Result<u64, CommandError> {
    let foreign = || CommandError::Usage("--cursor: this is no next_cursor of this audit log".into());
    let text = URL_SAFE_NO_PAD.decode(cursor.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.strip_prefix(CURSOR)?.parse::<u64>().ok()).ok_or_else(foreign)?;
    let Some(before) = place.checked_sub(1) else { return Ok(0) };
    let mut last = [0];
    let read = log.seek(SeekFrom::Start(before)).and_then(|_| log.read_exact(&mut last));
    if read.is_ok() && last == *b"\n" { Ok(place) } else { Err(foreign()) }
}

/// What became of a page.
struct Page {
    /// Where the next page begins, if there is one.
    next: Option<String>,
    /// Lines that were none.
    broken: u64,
    /// Whether everything could be written.
    written: io::Result<()>,
}

/// Prints up to `limit` matching lines, beginning at the place `from` that `log` stands at.
fn print(
    log: &mut impl BufRead,
    (from, limit): (u64, u32),
    filter: &Filter,
    (printer, out): (Printer, &mut impl Write),
) -> io::Result<Page> {
    let mut page = Page { next: None, broken: 0, written: printer.begin(out) };
    let (mut at, mut printed) = (from, 0);
    let mut text = Vec::new();
    while page.written.is_ok() {
        text.clear();
        let length = log.read_until(b'\n', &mut text)?;
        let begins = at;
        at += length as u64;
        let is_whole = text.ends_with(b"\n");
        let text = text.trim_ascii();
        match serde_json::from_slice::<Line>(text) {
            _ if length == 0 => break,
            _ if text.is_empty() => {}
            Ok(line) if !filter.matches(&line) => {}
            Ok(_) if printed == limit => {
                page.next = Some(cursor(begins));
                break;
            }
            Ok(line) => {
                printed += 1;
                page.written = printer.line(text, &line, out);
            }
            // The last line may be in the middle of being written.
            Err(_) => page.broken += u64::from(is_whole),
        }
    }
    if let (Ok(()), Some(next)) = (&page.written, &page.next) {
        page.written = printer.more(next, out);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn log(lines: usize) -> String {
        let line = |n: usize| {
            let agent = if n.is_multiple_of(2) { "even" } else { "odd" };
            format!(r#"{{"time":"2026-01-0{}T00:00:00Z","agent":"{agent}","tool":"get_record","outcome":"ok"}}"#, n + 1)
        };
        (0..lines).map(|n| line(n) + "\n").collect()
    }

    fn page(log: &str, from: u64, limit: u32, filter: &Filter) -> (Vec<String>, Page) {
        let mut reader = Cursor::new(log);
        reader.seek(SeekFrom::Start(from)).unwrap();
        let mut out = Vec::new();
        let page = print(&mut reader, (from, limit), filter, (Printer(AuditFormat::Json), &mut out)).unwrap();
        (String::from_utf8(out).unwrap().lines().map(str::to_owned).collect(), page)
    }

    #[test]
    fn pages_follow_each_other_without_a_gap_or_an_overlap() {
        let log = log(9);
        let odd = Filter { agent: Some("odd".into()), ..Filter::default() };
        let mut seen = Vec::new();
        let mut from = 0;
        loop {
            let (mut lines, page) = page(&log, from, 3, &odd);
            let Some(next) = page.next else {
                seen.extend(lines);
                break;
            };
            assert_eq!(lines.pop().unwrap(), format!(r#"{{"next_cursor":"{next}"}}"#));
            assert_eq!(lines.len(), 3);
            seen.extend(lines);
            from = place(&next, &mut Cursor::new(&log)).unwrap();
        }
        let all: Vec<&str> = log.lines().filter(|line| line.contains("odd")).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let (lines, page) = page(&log(3), 0, 3, &Filter::default());
        assert_eq!((lines.len(), page.next), (3, None));
    }

    #[test]
    fn broken_lines_are_counted_and_half_a_last_line_is_not() {
        let log = format!("{}nonsense\n[]\n\n{}{{\"time\":\"2026", log(1), log(1));
        let (lines, page) = page(&log, 0, 10, &Filter::default());
        assert_eq!((lines.len(), page.broken), (2, 2));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let text = log(3);
        let into_a_line = cursor(5);
        let past_the_end = cursor(100_000);
        for wrong in ["", "abc", "YXVkaXQ6eA", into_a_line.as_str(), past_the_end.as_str()] {
            assert!(place(wrong, &mut Cursor::new(&text)).is_err(), "{wrong}");
        }
        assert_eq!(place(&cursor(0), &mut Cursor::new(&text)).unwrap(), 0);
    }
}
