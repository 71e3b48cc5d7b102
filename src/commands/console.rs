//! Writes what a person or a script reads. A reader that went away, as `head` does, is no failure.

use std::io::{self, IsTerminal, Write};

use super::CommandError;
use crate::masking::masked;

/// Writes a text and a line break to stdout.
pub(super) fn say(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    unless_gone(written)
}

/// Writes a text and a line break to stderr, or nothing where nobody listens.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", masked(text));
}

/// A broken pipe is as good as written.
pub(super) fn unless_gone(written: io::Result<()>) -> Result<(), CommandError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CommandError::io("stdout cannot be written")),
    }
}

pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}
