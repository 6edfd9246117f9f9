//! The `hub` command.

use std::process::ExitCode;

/// Gives back what is free. A burst of load leaves free pieces between what goes on living, and the
/// system's allocator keeps those for as long as the process runs.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hub::cli::main()
}
