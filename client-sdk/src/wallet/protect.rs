//! How far a wallet is protected even if nobody watches: by what the ledger holds already.
//!
//! The ledger pays a wallet `net + T(h→w) − T(w→h)`, within what is in the channel (protocol,
//! section 4). A hub that closes while the wallet sleeps, and no tower answers, chooses what is
//! brought. What it can't get below follows from a channel's state under a signed header and from
//! what this wallet has ever signed:
//!
//! **T(h→w) is at least L.** Nobody can take back the floor (what the wallet has acknowledged on the
//! ledger, or the hub anchored), nor the standing proof of the hub's: one of a lower number never
//! stands again, and if the hub has it voided, by bringing a proof of the wallet's that acknowledges
//! a newer one, then what that acknowledges is the floor, and it is no less, since totals never fall.
//! Claims on the standing proof would go with it, so they count in L only where the wallet has
//! signed no newer acknowledgment; on an open channel there are none.
//!
//! **T(w→h) is at most W.** The hub brings one proof q of this wallet's and claims on its locks with
//! every secret that there is. Each q builds on a state that the hub had accepted, so it says no more
//! than what is transferred in the newest accepted state now, and what q itself moved if it was not
//! accepted (refused, or unanswered). A lock in q that was settled since is in the newest accepted
//! total; any other is pending now, or was given up: dropped after a failure, with the hub's signed
//! acknowledgment, which the ledger has not seen. Such a lock can be claimed in an old proof until it
//! expires, or until the ledger holds a proof of the wallet's in which it does not stand, so the
//! wallet remembers it for so long ([`Exposed`]).
//!
//! ```text
//! L = max( hub's standing proof, unless it is void [+ claims],  floor(h→w) )
//! W = accepted total + the most that a refused or unanswered update moved
//!     + locks that stand in any proof that is not retired + locks given up and not expired
//! protected = clamp( net − agreed withdrawals + L − W,  0,  what is in the channel )
//! ```
//!
//! W may be too high (a refused update that was made again counts twice), never too low: the figure
//! is a promise. Anchors raise L and clear what was given up before them, so the figure follows the
//! balance at the distance of the hub's anchors.
//!
//! What is absent: locks given up before this wallet's store was restored from elsewhere, or written
//! by a version that did not remember them. They expire.

use serde::{Deserialize, Serialize};
use settlement::channel::{Answer, Channel, Step};
use settlement::crypto::{Signable, VerifyingKey};
use settlement::lock::Lock;
use settlement::params::View;
use settlement::state_proof::{BadStateProof, ChannelLeaf, StateProof};
use settlement::types::{Amount, Height, Role};

use super::Wallet;

/// How many locks that were given up are remembered apart. Beyond, those that expire next to each
/// other are remembered as one.
const GIVEN_UP_MAX: usize = 64;

/// How far a channel's balance is safe from any close by its hub, though nobody answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// The height of the header that shows it.
    pub as_of: Height,
    /// What the wallet gets at least.
    pub protected: Amount,
    /// What belongs to the wallet beyond that: it needs the wallet, or a watchtower, to answer.
    pub unprotected: Amount,
}

/// Why a state proof shows nothing about a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    /// It is none, or of something else.
    #[error("the ledger's proof does not hold: {0}")]
    Bad(#[from] BadStateProof),
    /// The wallet has no such channel.
    #[error("the wallet has no such channel")]
    NoChannel,
    /// The genesis names no key.
    #[error("the ledger's key is none")]
    Key,
    /// Its header is older, or newer, than a fresh one can be.
    #[error("the ledger's proof is not fresh")]
    Stale,
    /// The ledger has signed another header for a height that this wallet has followed.
    #[error("the ledger has signed two blocks of one height")]
    Fork,
    /// The ledger holds a newer proof of the wallet's than the wallet knows of.
    #[error("the ledger holds a newer state of this wallet's than the wallet itself")]
    StateLost,
}

/// What of an own direction the hub may still bring, though the newest state no longer says it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Exposed {
    given_up: Vec<GivenUp>,
    refused: Refused,
}

/// A lock that was dropped unpaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct GivenUp {
    /// Claims on it count below this height.
    expiry: Height,
    worth: Amount,
    /// The newest own proof in which it stands.
    last_seq: u64,
}

/// What updates moved that were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Refused {
    /// The newest of them.
    last_seq: u64,
    /// The most that one of them moved.
    pub(super) moved: Amount,
}

impl Exposed {
    /// What a step, looked at before it is made, takes out of the newest state that the hub may
    /// bring all the same.
    pub(super) fn by(channel: &Channel, step: &Step) -> Option<Exposed> {
        let (given_up, refused) = match step {
            Step::Received(update) => {
                let seq = update.proof.value.peer_seq;
                (retired(channel, seq), overtaken(channel, seq))
            }
            Step::Acked { seq } => (Vec::new(), overtaken(channel, *seq)),
            Step::Rejected { seq, .. } => {
                let flight = channel.outgoing().in_flight.as_ref();
                let refused = flight.filter(|flight| flight.proof.seq == *seq);
                (Vec::new(), refused.and_then(|_| moved_in_flight(channel)))
            }
            _ => return None,
        };
        let nothing = given_up.is_empty() && refused.is_none();
        (!nothing).then(|| Exposed { given_up, refused: refused.unwrap_or_default() })
    }

    /// Remembers that too. What had expired at this height is forgotten.
    pub(super) fn add(&mut self, more: Exposed, height: Height) {
        self.refused.last_seq = self.refused.last_seq.max(more.refused.last_seq);
        self.refused.moved = self.refused.moved.max(more.refused.moved);
        self.given_up.extend(more.given_up);
        self.given_up.retain(|lock| lock.expiry > height);
        self.given_up.sort_unstable();
        while self.given_up.len() > GIVEN_UP_MAX {
            let first = self.given_up.remove(0);
            let Some(next) = self.given_up.first_mut() else { return };
            next.worth = next.worth.checked_add(first.worth).unwrap_or(Amount(u64::MAX));
            next.last_seq = next.last_seq.max(first.last_seq);
        }
    }

    /// What it comes to in a block after this height, where proofs below `usable` are nothing any
    /// more.
    fn worth(&self, usable: u64, height: Height) -> (i128, i128) {
        let claimable = |lock: &&GivenUp| lock.last_seq >= usable && height.after(1) < lock.expiry;
        let given_up = self.given_up.iter().filter(claimable).map(|lock| lock.worth.wide()).sum();
        let moved = if self.refused.last_seq >= usable { self.refused.moved.wide() } else { 0 };
        (given_up, moved)
    }
}

/// Locks whose money is back with this acknowledgment of the hub's.
fn retired(channel: &Channel, seq: u64) -> Vec<GivenUp> {
    let out = channel.outgoing();
    if seq <= out.retired_below {
        return Vec::new();
    }
    let retired = out.standing.values().filter(|standing| standing.last_seq < seq);
    let unpaid = retired.filter(|standing| !matches!(standing.answer, Some(Answer::Known { .. })));
    let given_up = unpaid.map(|standing| GivenUp {
        expiry: standing.lock.expiry,
        worth: value(&standing.lock),
        last_seq: standing.last_seq,
    });
    given_up.collect()
}

/// The unanswered update, where the acknowledgment of a refused one takes its ground away.
fn overtaken(channel: &Channel, seq: u64) -> Option<Refused> {
    let out = channel.outgoing();
    let wins = out.refused.iter().any(|refused| refused.flight.proof.seq == seq);
    if wins { moved_in_flight(channel) } else { None }
}

/// What the unanswered update moves beyond what the hub is known to have accepted.
pub(super) fn moved_in_flight(channel: &Channel) -> Option<Refused> {
    let out = channel.outgoing();
    let proof = &out.in_flight.as_ref()?.proof;
    let moved = proof.transferred.checked_sub(out.accepted.transferred)?;
    (moved > Amount::ZERO).then_some(Refused { last_seq: proof.seq, moved })
}

fn value(lock: &Lock) -> Amount {
    lock.value().unwrap_or(Amount(u64::MAX))
}

/// L: what the hub has paid at the least, whoever brings what.
fn received_at_least(channel: &Channel, leaf: &ChannelLeaf) -> i128 {
    let direction = &leaf.directions.hub;
    let acknowledged = channel.outgoing().newest_proof().map_or(0, |proof| proof.peer_seq);
    let standing = direction.standing.filter(|standing| standing.seq >= direction.void_below);
    let shown = standing.map_or(0, |standing| {
        let claims_stay = standing.seq >= acknowledged;
        let claimed = if claims_stay { direction.claimed } else { Amount::ZERO };
        standing.transferred.wide().saturating_add(claimed.wide())
    });
    shown.max(direction.floor.wide())
}

/// W: what this wallet has paid at the most, whichever of its proofs the hub brings, with whatever
/// secrets.
fn sent_at_most(channel: &Channel, exposed: &Exposed, leaf: &ChannelLeaf, height: Height) -> i128 {
    let out = channel.outgoing();
    let direction = &leaf.directions.wallet;
    let standing = direction.standing.map_or(0, |standing| standing.seq);
    let (given_up, refused) = exposed.worth(standing.max(direction.void_below), height);
    let unanswered = moved_in_flight(channel).map_or(0, |flight| flight.moved.wide());
    let pending = out.standing.values().map(|standing| &standing.lock);
    let pending = pending.filter(|lock| !lock.expired_at(height.after(1)));
    let pending: i128 = pending.map(|lock| value(lock).wide()).sum();
    out.accepted.transferred.wide() + refused.max(unanswered) + pending + given_up
}

impl Wallet {
    /// What a channel's state on the ledger protects, checked against this wallet's own view:
    /// that it is this channel's on this ledger, signed, fresh by the own clock, and of the chain
    /// of blocks that the wallet has followed.
    ///
    /// # Errors
    /// [`NotProved`].
    pub fn protection(&self, proof: &StateProof, now_ms: u64) -> Result<Protection, NotProved> {
        let (channel, leaf) = self.proved(proof, now_ms)?;
        Ok(self.protected_by(channel, leaf, proof.header.header.height))
    }

    /// A channel and its state on the ledger, checked so.
    pub(super) fn proved<'a>(
        &'a self,
        proof: &'a StateProof,
        now_ms: u64,
    ) -> Result<(&'a Channel, &'a ChannelLeaf), NotProved> {
        let channel = self.channel(&proof.leaf.channel).ok_or(NotProved::NoChannel)?;
        let genesis = &self.config.genesis;
        let key = VerifyingKey::parse(&genesis.ledger_key).map_err(|_| NotProved::Key)?;
        let leaf = proof.verify(&self.ledger, &key, &channel.id())?;
        let header = &proof.header.header;
        if !View::at(header.height, header.time_ms, now_ms, &self.config.policy).fresh {
            return Err(NotProved::Stale);
        }
        let followed = self.newest.map(|newest| newest.header);
        let followed = followed.filter(|followed| followed.height == header.height);
        if followed.is_some_and(|followed| followed.digest() != header.digest()) {
            return Err(NotProved::Fork);
        }
        let standing = leaf.directions.wallet.standing.map_or(0, |standing| standing.seq);
        if standing > channel.outgoing().last_seq {
            return Err(NotProved::StateLost);
        }
        Ok((channel, leaf))
    }

    /// What a channel's state protects that was checked.
    pub(super) fn protected_by(
        &self,
        channel: &Channel,
        leaf: &ChannelLeaf,
        height: Height,
    ) -> Protection {
        let nothing = Exposed::default();
        let exposed = self.state.exposed.get(&channel.id()).unwrap_or(&nothing);
        protection(channel, exposed, leaf, height)
    }
}

fn protection(
    channel: &Channel,
    exposed: &Exposed,
    leaf: &ChannelLeaf,
    height: Height,
) -> Protection {
    // What both have agreed to take out may leave at any time.
    let net = |role| {
        let on_ledger = leaf.deposited.of(role).wide() - leaf.withdrawn.of(role).wide();
        on_ledger.min(channel.escrow(role).net())
    };
    let fair = net(Role::Wallet) + received_at_least(channel, leaf)
        - sent_at_most(channel, exposed, leaf, height);
    let left = net(Role::Wallet) + net(Role::Hub);
    let protected = Amount::from_wide(fair.min(left).max(0)).unwrap_or(Amount::ZERO);
    let unprotected = own(channel).checked_sub(protected).unwrap_or(Amount::ZERO);
    Protection { as_of: height, protected, unprotected }
}

/// What belongs to the wallet, as it counts itself, pending locks not counted.
fn own(channel: &Channel) -> Amount {
    let locked = channel.outgoing().tip().locked();
    channel.balance(Role::Wallet).checked_sub(locked).unwrap_or(Amount::ZERO)
}
