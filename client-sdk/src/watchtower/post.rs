//! What a tower knows, and what it does next: pure, a clock tick is a block.
//!
//! A block's events say when to look; what is done is judged by the channel's state under a signed
//! header ([`ChannelLeaf`]), so a tower that was down looks at what it guards when it comes back and
//! has missed nothing. A channel that is closing is looked at again after each event of it, and
//! every [`LOOK_AGAIN`] blocks, until the ledger holds all that the answer brings, or there is
//! nothing left that it could bring.

use std::collections::BTreeMap;

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::bugs::{Bug, nudged};
use settlement::reject::Code;
use settlement::state_proof::ChannelLeaf;
use settlement::types::{Amount, ChannelId, Height, Role};

use super::answer::{CheckedAnswer, NoAnswer};

/// A closing channel is looked at again after so many blocks: a tenth of the shortest challenge
/// window that a ledger outside development allows is 14.
pub const LOOK_AGAIN: u64 = 4;

/// One channel that is guarded. Of the answer itself only what decides is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guarded {
    rank: (u64, u128),
    claims_until: Height,
    watch: Watch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// As far as is known.
    Open,
    /// It is closing, and is to be looked at from this height on.
    Look { from: Height },
    /// It is closing, and the ledger holds what the answer brings.
    Done,
}

/// What is to be done about a channel, as its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing: it is open.
    Wait,
    /// Bring the answer, now.
    Answer,
    /// The ledger holds all that the answer could bring.
    Answered,
}

/// Something that a block said about a guarded channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A close has started.
    Closing {
        /// Of which channel.
        channel: ChannelId,
        /// By whom.
        by: Role,
        /// The last height at which proofs count.
        proofs_until: Height,
    },
    /// It is paid out, and guarded no longer.
    PaidOut {
        /// Which channel.
        channel: ChannelId,
        /// What the wallet got.
        wallet: Amount,
        /// What the hub got.
        hub: Amount,
    },
}

/// The channels that a tower guards, at most so many.
#[derive(Debug)]
pub struct Post {
    max: usize,
    guarded: BTreeMap<ChannelId, Guarded>,
}

impl Post {
    /// A tower that guards nothing yet, and at most `max` channels.
    pub fn new(max: usize) -> Post {
        Post { max, guarded: BTreeMap::new() }
    }

    /// How many channels it guards.
    pub fn len(&self) -> usize {
        self.guarded.len()
    }

    /// Whether it guards none.
    pub fn is_empty(&self) -> bool {
        self.guarded.is_empty()
    }

    /// Every channel that it guards.
    pub fn channels(&self) -> impl Iterator<Item = ChannelId> {
        self.guarded.keys().copied()
    }

    /// Up to which proof a channel is covered.
    pub fn seq(&self, channel: &ChannelId) -> Option<u64> {
        self.guarded.get(channel).map(|guarded| guarded.rank.0)
    }

    /// Whether an answer is news; it is to be made durable then, and given to [`Post::guard`].
    ///
    /// # Errors
    /// [`Code::OlderAnswer`], [`Code::TowerFull`].
    pub fn is_news(&self, answer: &CheckedAnswer) -> Result<bool, NoAnswer> {
        let channel = answer.answer().channel;
        match self.guarded.get(&channel) {
            Some(held) if answer.rank() < held.rank => {
                let seq = held.rank.0;
                let detail = format!("an answer for channel {channel} up to seq {seq} is held");
                Err(NoAnswer::new(Code::OlderAnswer, detail))
            }
            Some(held) => Ok(answer.rank() > held.rank),
            None if self.guarded.len() >= self.max => {
                let detail = format!("the tower guards {} channels and takes no more", self.max);
                Err(NoAnswer::new(Code::TowerFull, detail))
            }
            None => Ok(true),
        }
    }

    /// Guards a channel with an answer that is news, and has it looked at unless it is known to be
    /// open: wallets hand in all day, and a close is in a block.
    pub fn guard(&mut self, answer: &CheckedAnswer) {
        let (channel, rank) = (answer.answer().channel, answer.rank());
        let claims_until = answer.claims_until;
        let watch = match self.guarded.get(&channel).map(|guarded| guarded.watch) {
            Some(Watch::Open) => Watch::Open,
            _ => Watch::Look { from: Height(0) },
        };
        self.guarded.insert(channel, Guarded { rank, claims_until, watch });
    }

    /// No longer guards a channel.
    pub fn forget(&mut self, channel: &ChannelId) {
        self.guarded.remove(channel);
    }

    /// Takes in what a block did.
    pub fn see(&mut self, block: &BlockEvents) -> Vec<Sight> {
        block.events.iter().filter_map(|event| self.see_event(event)).collect()
    }

    fn see_event(&mut self, event: &LedgerEvent) -> Option<Sight> {
        let id = event.channel()?;
        let guarded = self.guarded.get_mut(&id)?;
        match event {
            LedgerEvent::CloseStarted { by, proofs_until, .. } => {
                guarded.watch = Watch::Look { from: Height(0) };
                Some(Sight::Closing { channel: id, by: *by, proofs_until: *proofs_until })
            }
            LedgerEvent::Settled { wallet, hub, .. } => {
                self.guarded.remove(&id);
                Some(Sight::PaidOut { channel: id, wallet: *wallet, hub: *hub })
            }
            LedgerEvent::ProofRecorded { .. } | LedgerEvent::ClaimShown { .. } => {
                if let Watch::Look { from } = &mut guarded.watch {
                    *from = Height(0);
                }
                None
            }
            _ => None,
        }
    }

    /// The channels that are to be looked at now that the ledger is at this height.
    pub fn due(&self, height: Height) -> Vec<ChannelId> {
        let due =
            |guarded: &Guarded| matches!(guarded.watch, Watch::Look { from } if from <= height);
        self.guarded.iter().filter(|(_, guarded)| due(guarded)).map(|(id, _)| *id).collect()
    }

    /// What a channel's state, under a header of this height, asks for. A channel that is to be
    /// answered is looked at again later, whatever comes of it.
    pub fn judge(&mut self, leaf: &ChannelLeaf, height: Height) -> Move {
        let Some(guarded) = self.guarded.get_mut(&leaf.channel) else { return Move::Wait };
        let Some(proofs_until) = leaf.proofs_until else {
            guarded.watch = Watch::Open;
            return Move::Wait;
        };
        let direction = &leaf.directions.hub;
        let standing = direction.standing.map_or(0, |standing| standing.seq);
        let until = nudged(proofs_until, Bug::TowerProvesShort, Bug::TowerProvesLong);
        let proof_missing = standing < guarded.rank.0 && height < until;
        let claimable = height.after(1) < guarded.claims_until;
        let claim_missing = u128::from(direction.claimed.0) < guarded.rank.1 && claimable;
        if proof_missing || claim_missing {
            guarded.watch = Watch::Look { from: height.after(LOOK_AGAIN) };
            return Move::Answer;
        }
        guarded.watch = Watch::Done;
        Move::Answered
    }

    /// The ledger says that the answer would change nothing more.
    pub fn answered(&mut self, channel: &ChannelId) {
        if let Some(guarded) = self.guarded.get_mut(channel) {
            guarded.watch = Watch::Done;
        }
    }
}

#[cfg(test)]
mod tests;
