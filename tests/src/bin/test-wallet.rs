//! The `wallet` command under a name of its own, so that tests can start it.

fn main() -> std::process::ExitCode {
    client_sdk::cli::main()
}
