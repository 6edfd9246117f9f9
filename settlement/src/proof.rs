//! What a channel is, and what the owner of a direction signs.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::crypto::{Signable, Tag, digest};
use crate::types::{Amount, AssetId, ChannelId, Hash, Height, LedgerId, PublicKey, Role};

/// The terms a channel was opened under. Their digest is the channel's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTerms {
    /// The ledger that settles it.
    pub ledger: LedgerId,
    /// The one asset it carries.
    pub asset: AssetId,
    /// Who opens it.
    pub wallet: PublicKey,
    /// Who serves it; never the same key.
    pub hub: PublicKey,
    /// How many blocks after a close proofs still count.
    pub challenge_blocks: u32,
    /// The account nonce that the opening spends, so that no channel id ever comes back.
    pub nonce: u64,
}

impl OpenTerms {
    /// `H("channel", terms)`.
    pub fn channel_id(&self) -> ChannelId {
        ChannelId(digest(Tag::Channel, self).0)
    }

    /// The key of that side.
    pub fn key(&self, role: Role) -> &PublicKey {
        match role {
            Role::Wallet => &self.wallet,
            Role::Hub => &self.hub,
        }
    }

    /// The side that this key is, if it is one.
    pub fn role_of(&self, key: &PublicKey) -> Option<Role> {
        [Role::Wallet, Role::Hub].into_iter().find(|role| self.key(*role) == key)
    }
}

/// "In this channel I have sent you `transferred` in total, and these locks are pending; of yours I
/// hold the proof `peer_seq`." Nobody countersigns it; the receiver keeps the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceProof {
    /// Which channel; through it, which ledger.
    pub channel: ChannelId,
    /// Who signs, and so which direction.
    pub from: Role,
    /// Rises with every proof of the direction.
    pub seq: u64,
    /// Sent in total since the opening; never falls.
    pub transferred: Amount,
    /// The sum of the pending locks.
    pub locked: Amount,
    /// [`crate::lock::locks_root`] of the pending locks.
    pub locks_root: Hash,
    /// The newest proof of the other direction that the signer has accepted: a signed
    /// acknowledgment, which retires older ones.
    pub peer_seq: u64,
    /// That proof's `transferred`: a floor under what the signer is owed.
    pub peer_transferred: Amount,
}

impl Signable for BalanceProof {
    const TAG: Tag = Tag::Proof;
}

/// Which proof one holds of a direction: its seq, and its digest (all zeros for none at seq 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The proof's seq.
    pub seq: u64,
    /// The proof's digest.
    pub digest: Hash,
}

impl SnapshotRef {
    /// Nothing yet.
    pub const NONE: SnapshotRef = SnapshotRef { seq: 0, digest: Hash::ZERO };

    /// The reference to a proof.
    pub fn of(proof: &BalanceProof) -> SnapshotRef {
        SnapshotRef { seq: proof.seq, digest: proof.digest() }
    }
}

/// A payout from an open channel that both sides sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// From which channel.
    pub channel: ChannelId,
    /// Whose money.
    pub role: Role,
    /// All that this side has withdrawn once this is done; only rises.
    pub total_withdrawn: Amount,
    /// The last height of a block that may carry it.
    pub valid_until: Height,
}

impl Signable for Withdrawal {
    const TAG: Tag = Tag::Withdraw;
}

/// What one side has put into the escrow on balance: deposited less withdrawn, within 2^64 − 1 of
/// zero. Negative when it has withdrawn of what it was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Net(i128);

impl Net {
    /// `None` beyond 2^64 − 1 either way.
    pub fn new(wide: i128) -> Option<Net> {
        (wide.unsigned_abs() <= u128::from(u64::MAX)).then_some(Net(wide))
    }

    /// For sums.
    pub fn wide(self) -> i128 {
        self.0
    }
}

/// A decimal string in JSON, a zigzag varint in postcard.
impl Serialize for Net {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(&self.0) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Net, D::Error> {
        let wide = if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(de::Error::custom)?
        } else {
            i128::deserialize(d)?
        };
        Net::new(wide).ok_or_else(|| de::Error::custom("a net is within 2^64 - 1 of zero"))
    }
}

/// A split of the escrow that both sides sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CooperativeClose {
    /// Which channel.
    pub channel: ChannelId,
    /// What the wallet gets.
    pub wallet_amount: Amount,
    /// What the hub gets.
    pub hub_amount: Amount,
    /// Deposited less withdrawn by the wallet, as the signers knew it. What has moved since is
    /// added to that side's amount.
    pub wallet_net: Net,
    /// The same for the hub.
    pub hub_net: Net,
    /// The last height of a block that may carry it.
    pub valid_until: Height,
}

impl Signable for CooperativeClose {
    const TAG: Tag = Tag::CooperativeClose;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{decode, encode};

    #[test]
    fn a_net_is_within_what_amounts_can_differ_by() {
        let most = i128::from(u64::MAX);
        for wide in [0, 1, -1, most, -most] {
            let net = Net::new(wide).unwrap();
            assert_eq!(decode(&encode(&net)), Ok(net));
            assert_eq!(serde_json::to_string(&net).unwrap(), format!("\"{wide}\""));
            assert_eq!(serde_json::from_str::<Net>(&format!("\"{wide}\"")).unwrap(), net);
        }
        for wide in [most + 1, -most - 1, i128::MAX, i128::MIN] {
            assert_eq!(Net::new(wide), None);
            assert!(decode::<Net>(&encode(&wide)).is_err(), "{wide} was taken");
        }
    }
}
