//! `hub anchor now`: lets a running hub anchor what has moved, without waiting for the next round.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::health::{ask_for, reachable};
use super::run::say;
use crate::anchor::AnchorReport;

/// How long a round may take: the hub itself gives up earlier.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks the hub whose operators' address this is, and prints what it answers as one JSON object.
/// Exits with 1 when a part of what moved is in no block.
///
/// # Errors
/// When it does not answer, or refuses.
pub(super) fn now(admin: SocketAddr) -> Result<ExitCode> {
    let address = reachable(admin);
    let doing = format!("the hub on {address} did not anchor");
    let report: AnchorReport = ask_for(address, "/admin/v1/anchor", PATIENCE, &doing)?;
    say(&serde_json::to_string(&report)?)?;
    Ok(if report.problem.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
