//! What a wallet holds, in the form that people and scripts read.

use serde::{Deserialize, Serialize};
use settlement::api::ChannelPhase;
use settlement::channel::{Channel, Phase};
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, ChannelId, Height, PublicKey, Role};

/// What a wallet holds, as it knows itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its key.
    pub public_key: PublicKey,
    /// The newest block that it has followed.
    pub height: Height,
    /// Its channels, closed ones included.
    pub channels: Vec<StatusChannel>,
}

/// One channel of a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChannel {
    /// Its id.
    pub id: ChannelId,
    /// Its asset.
    pub asset: AssetId,
    /// How far its life has come.
    pub state: ChannelPhase,
    /// What belongs to the wallet, pending locks not counted; once closed, what it was paid.
    pub wallet_amount: Amount,
    /// What belongs to the hub, in the same way.
    pub hub_amount: Amount,
    /// The sum of the pending locks of both directions.
    pub locked: Amount,
    /// The newest proof that the wallet has made.
    pub seq: u64,
    /// Why nothing is agreed on it for now, if so: with [`Code::Recovering`] the wallet has taken
    /// its state back from the hub and goes on in some blocks, with [`Code::StateLost`] one side
    /// has lost state and has not got it back.
    #[serde(default)]
    pub suspended: Option<Code>,
}

impl StatusChannel {
    /// A channel as its wallet sees it.
    pub fn of(channel: &Channel) -> StatusChannel {
        let (state, paid) = match channel.phase() {
            Phase::Open | Phase::Agreed { .. } => (ChannelPhase::Open, None),
            Phase::ClosingSoon | Phase::Closing { .. } => (ChannelPhase::Closing, None),
            Phase::Closed { wallet, hub } => (ChannelPhase::Closed, Some((wallet, hub))),
        };
        let own = (channel.balance(Role::Wallet), channel.balance(Role::Hub));
        // A balance counts what was paid and not what is locked; a lock belongs to nobody yet.
        let (wallet_amount, hub_amount) = paid.unwrap_or_else(|| less_locks(channel, own));
        let locked = if paid.is_some() { Amount::ZERO } else { channel.locked() };
        StatusChannel {
            id: channel.id(),
            asset: channel.terms().asset,
            state,
            wallet_amount,
            hub_amount,
            locked,
            seq: channel.outgoing().last_seq,
            suspended: channel.suspended().filter(|_| state == ChannelPhase::Open),
        }
    }
}

fn less_locks(channel: &Channel, (wallet, hub): (Amount, Amount)) -> (Amount, Amount) {
    let out = channel.outgoing().tip().locked();
    let inc = channel.incoming().tally.locked();
    let less = |amount: Amount, locked| amount.checked_sub(locked).unwrap_or(Amount::ZERO);
    (less(wallet, out), less(hub, inc))
}
