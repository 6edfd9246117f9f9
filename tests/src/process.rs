//! Helpers for tests with real processes and real sockets.
//!
//! Every process listens on a port of its own choice and prints it; every wait is for something
//! that a process says or answers, with a deadline; every process is killed by its own id when its
//! handle goes, and what it wrote is printed when the test fails.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
#![allow(clippy::print_stdout, reason = "the test runner shows it when a test fails")]

pub mod child;
pub mod driver;
pub mod far;
pub mod http;
pub mod hub;
pub mod kill;
pub mod ledger;
pub mod liar;
pub mod raw;
pub mod stage;
pub mod strace;
pub mod toll;
pub mod tower;
pub mod town;
pub mod wallet;
pub mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a process may take for anything that does not wait for blocks. Generous: the tests of
/// several packages may share two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long things may take that wait for blocks: challenge windows, expiries.
pub const BLOCKS_PATIENCE: Duration = Duration::from_secs(180);

/// Where the programs are. Made by [`crate::programs`] in the test itself, since only there the
/// build says it.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The `hub` program.
    pub hub: PathBuf,
    /// The `wallet` program.
    pub wallet: PathBuf,
    /// The `ledger` program.
    pub ledger: PathBuf,
    /// A wallet that takes orders.
    pub driver: PathBuf,
}

impl Programs {
    /// Those beside the program that is running, if they were built.
    pub fn beside_this_one() -> Option<Programs> {
        let dir = std::env::current_exe().ok()?.parent()?.to_owned();
        let programs = Programs {
            hub: dir.join("test-hub"),
            wallet: dir.join("test-wallet"),
            ledger: dir.join("test-ledger"),
            driver: dir.join("test-driver"),
        };
        let Programs { hub, wallet, ledger, driver } = &programs;
        [hub, wallet, ledger, driver].iter().all(|program| program.exists()).then_some(programs)
    }
}

/// The programs that were built for this test.
#[macro_export]
macro_rules! programs {
    () => {
        $crate::process::Programs {
            hub: env!("CARGO_BIN_EXE_test-hub").into(),
            wallet: env!("CARGO_BIN_EXE_test-wallet").into(),
            ledger: env!("CARGO_BIN_EXE_test-ledger").into(),
            driver: env!("CARGO_BIN_EXE_test-driver").into(),
        }
    };
}

/// Asks again until there is an answer.
///
/// # Panics
/// When there is none by the deadline; `what` says what was waited for.
pub fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
