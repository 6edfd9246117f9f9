//! The `wallet` command.

fn main() -> std::process::ExitCode {
    client_sdk::cli::main()
}
