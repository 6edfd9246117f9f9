//! The settlement ledger in a process of its own.

fn main() -> std::process::ExitCode {
    settlement::ledger::cli::main()
}
