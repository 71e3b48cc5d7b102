//! Binds each line of the log to the one before it.
//!
//! A line ends with `prev`, the hash of the line before, and `hash`, SHA-256 over the line's own text up to that last
//! member. So the hash covers the bytes as they stand in the file, and nothing has to be brought into a canonical form.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::masking::masked;

/// What stands for `prev` in the first line of a log.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH_MEMBER: &str = ",\"hash\":\"";

/// The line's text with `prev` and `hash`, and the hash.
pub(super) fn chained(line: &Map<String, Value>, prev: &str) -> (String, String) {
    let text = serde_json::to_string(line).unwrap_or_default();
    let mut text = masked(&text).into_owned();
    text.pop();
    let _ = write!(text, r#","prev":"{prev}""#);
    let hash = sha256(text.as_bytes());
    let _ = writeln!(text, "{HASH_MEMBER}{hash}\"}}");
    (text, hash)
}

/// SHA-256 in hexadecimal.
#[must_use]
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How a line hangs in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) prev: String,
    pub(super) hash: String,
}

/// Why a line is no link of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoLink {
    /// It is no line that a log writes.
    #[error("it is no line of an audit log")]
    Foreign,
    /// Its hash is not that of its text.
    #[error("it was changed: its hash does not fit what it says")]
    Changed,
}

/// Reads a whole line, its line break included, and holds its hash against its text.
pub(super) fn link(line: &[u8]) -> Result<Link, NoLink> {
    let text = std::str::from_utf8(line).map_err(|_| NoLink::Foreign)?;
    let members: Map<String, Value> = serde_json::from_str(text).map_err(|_| NoLink::Foreign)?;
    let member = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(NoLink::Foreign);
    let link = Link { prev: member("prev")?, hash: member("hash")? };
    let (hashed, rest) = text.rsplit_once(HASH_MEMBER).ok_or(NoLink::Foreign)?;
    let told = rest.strip_suffix("\"}\n").ok_or(NoLink::Changed)?;
    if told == link.hash && told == sha256(hashed.as_bytes()) { Ok(link) } else { Err(NoLink::Changed) }
}
