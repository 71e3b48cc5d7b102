//! The program: see the library's documentation for how it works inside.

use std::process::ExitCode;

/// With glibc's own, the same calls took up to twice the processor's time, and a thousand clients 10 MB more.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ironclad_mcp::commands::run(std::env::args_os())
}
