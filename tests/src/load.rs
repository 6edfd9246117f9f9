//! The load tool: a hub in a process of its own under the load of many wallets, what that costs, and
//! the proof that nothing is lost when the hub is killed.
//!
//! A payment counts once the payee's secret has reached the payer, which the hub passes on only when
//! both legs are durable.

pub mod chain;
pub mod churn;
pub mod fleet;
pub mod generator;
pub mod http;
pub mod hub;
pub mod mix;
pub mod options;
pub mod raw;
pub mod report;
pub mod run;
pub mod schedule;
pub mod setup;
pub mod socket;
pub mod stats;
pub mod throttle;
pub mod usage;

use std::path::Path;

use clap::Parser;

pub use options::Options;
pub use report::Report;
pub use run::run;

/// A run as a command line with these flags says, of this program as the hub, with all files in `dir`.
///
/// # Panics
/// When a flag is none, or the run can't be carried through.
pub fn run_as(flags: &[&str], hub: &Path, dir: &Path) -> Report {
    let given = ["load", "--dir", path(dir), "--hub", path(hub)];
    let options = Options::try_parse_from([&given, flags].concat()).unwrap();
    run(&options, &mut |_| {}).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
