//! What each side gets when a channel is paid out.
//!
//! ```text
//! T(X→Y) = max( standing proof(X→Y).transferred + its claims,  floor(X→Y) )
//! wallet = clamp( deposit_w − withdrawn_w + T(h→w) − T(w→h),  0,  what is left in the channel )
//! hub    = what is left in the channel − wallet
//! ```
//!
//! A void proof counts as none. The sums are made in `i128`: a total is below 2^64, claims on one
//! proof are below 2^64 × 256, so nothing here can overflow, whatever was signed.

use super::channel::{ChannelState, Direction};
use crate::types::{Amount, PerRole, Role};

/// T(X→Y): what X has paid Y, as far as the ledger was shown.
pub fn tally(direction: &Direction) -> i128 {
    let standing = direction.standing.as_ref().filter(|_| !direction.is_void());
    let shown = standing.map_or(0, |proof| proof.transferred.wide() + direction.claimed());
    shown.max(direction.floor.wide())
}

/// What each side gets. Always all that is in the channel, and nothing negative.
pub fn payout(channel: &ChannelState) -> PerRole<Amount> {
    let left = channel.escrow();
    let from_hub = tally(&channel.directions.hub);
    let from_wallet = tally(&channel.directions.wallet);
    let fair = channel.net(Role::Wallet) + from_hub - from_wallet;
    // Not `i128::clamp`, which panics on crossed bounds.
    let wallet = fair.min(left).max(0);
    let amount = |wide: i128| Amount::from_wide(wide).unwrap_or(Amount::ZERO);
    PerRole { wallet: amount(wallet), hub: amount(left - wallet) }
}

#[cfg(test)]
mod tests;
