//! The `hub` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    hub::cli::main()
}
