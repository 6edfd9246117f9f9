//! `hub close CHANNEL`: lets a running hub close a channel without its wallet.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use settlement::types::ChannelId;

use super::health::{ask_for, reachable};
use super::run::say;
use crate::admin::CloseReport;

/// How long the close may take into a block: the hub itself gives up earlier.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the hub whose operators' address this is, and prints what it answers as one JSON object.
///
/// # Errors
/// When it does not answer, or refuses.
pub(super) fn ask(admin: SocketAddr, channel: ChannelId) -> Result<()> {
    let address = reachable(admin);
    let path = format!("/admin/v1/channels/{channel}/close");
    let failed = format!("the hub on {address} did not close {channel}");
    let report: CloseReport = ask_for(address, &path, PATIENCE, &failed)?;
    say(&serde_json::to_string(&report)?)
}
