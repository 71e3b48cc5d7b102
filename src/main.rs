//! The program: see the library's documentation for how it works inside.

use std::process::ExitCode;

/// The system's own gives memory back at the top of its heap and fetches it again, hundreds of times a second where many
/// are served at once, and keeps the rest for ever.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ironclad_mcp::commands::run(std::env::args_os())
}
