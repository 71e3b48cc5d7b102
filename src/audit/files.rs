//! The files of one log: the one that is written, and those that were full or old, named by when that was.
//!
//! `audit.jsonl` is put away as `audit-20260131T120000.000Z.jsonl`. The names sort as the files follow each other; where
//! the clock was set back, the next name takes one millisecond more than the last.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::StaticFormatDescription,
    macros::format_description,
};

const STAMP: StaticFormatDescription =
    format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:3]Z");

/// The parts of a log's name around the time: `audit-` and `.jsonl`.
fn around(path: &Path) -> Option<(String, String)> {
    let stem = path.file_stem()?.to_str()?;
    let extension = match path.extension() {
        Some(extension) => format!(".{}", extension.to_str()?),
        None => String::new(),
    };
    Some((format!("{stem}-"), extension))
}

fn time_of(name: &str, (before, behind): (&str, &str)) -> Option<OffsetDateTime> {
    let stamp = name.strip_prefix(before)?.strip_suffix(behind)?;
    Some(PrimitiveDateTime::parse(stamp, STAMP).ok()?.assume_utc())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The files that were put away, oldest first.
pub(super) fn put_away(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some((before, behind)) = around(path) else { return Ok(Vec::new()) };
    let items = match std::fs::read_dir(folder(path)) {
        Ok(items) => items,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for item in items {
        let item = item?;
        let name = item.file_name();
        if name.to_str().and_then(|name| time_of(name, (&before, &behind))).is_some() {
            found.push(item.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The name under which a log is put away at the time `now`; `None` where its name is no text.
pub(super) fn name_away(path: &Path, now: OffsetDateTime) -> io::Result<Option<PathBuf>> {
    let Some((before, behind)) = around(path) else { return Ok(None) };
    let newest = put_away(path)?.pop().and_then(|newest| {
        let name = newest.file_name()?.to_str()?;
        time_of(name, (&before, &behind))
    });
    let least = newest.map_or(now, |newest| newest + Duration::milliseconds(1));
    let stamp = now.max(least).format(STAMP).map_err(io::Error::other)?;
    Ok(Some(path.with_file_name(format!("{before}{stamp}{behind}"))))
}

/// A file beside the log, with `suffix` behind the log's whole name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

/// A log beside the log, with `suffix` in its name before the extension.
pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_stem().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The files of a log in order, the one being written opened, so that none is missed if it is put away meanwhile.
pub(super) fn in_order(path: &Path) -> io::Result<(Vec<PathBuf>, Option<File>)> {
    loop {
        let before = put_away(path)?;
        let written = match File::open(path) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if put_away(path)? == before {
            return Ok((before, written));
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn only_names_with_a_time_are_files_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let names = [
            "audit-20260301T000000.000Z.jsonl",
            "audit-20260131T120000.000Z.jsonl",
            "audit-egress.jsonl",
            "audit-egress-20260131T120000.000Z.jsonl",
            "audit-2026.jsonl",
            "audit.jsonl.head",
            "other-20260131T120000.000Z.jsonl",
        ];
        for name in names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let found: Vec<String> =
            put_away(&path).unwrap().iter().map(|path| path.file_name().unwrap().to_str().unwrap().into()).collect();
        assert_eq!(found, ["audit-20260131T120000.000Z.jsonl", "audit-20260301T000000.000Z.jsonl"]);
    }

    #[test]
    fn names_go_up_though_the_clock_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let first = name_away(&path, datetime!(2026-03-01 12:00 UTC)).unwrap().unwrap();
        assert!(first.ends_with("audit-20260301T120000.000Z"), "{}", first.display());
        std::fs::write(&first, "").unwrap();
        let second = name_away(&path, datetime!(2026-02-01 12:00 UTC)).unwrap().unwrap();
        assert!(second.ends_with("audit-20260301T120000.001Z"), "{}", second.display());
        let third = name_away(&path, datetime!(2026-03-02 12:00 UTC)).unwrap().unwrap();
        assert!(third > second && second > first);
    }
}
