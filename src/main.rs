//! The program: see the library's documentation for how it works inside.

use std::process::ExitCode;

fn main() -> ExitCode {
    ironclad_mcp::commands::run(std::env::args_os())
}
