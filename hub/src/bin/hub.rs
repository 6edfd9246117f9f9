//! The `hub` command.

use std::process::ExitCode;

/// Messages are allocated on one thread and freed on another all the time, which the system's
/// allocator pays for with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hub::cli::main()
}
