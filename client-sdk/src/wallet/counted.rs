//! Whether what the hub has signed that it owes counts a channel of this wallet, and with enough.
//!
//! Four things are held against each other: the leaf and the way up that the hub shows; the block
//! with the hub's anchor, whole, under a header that the ledger's key has signed; what that block did
//! by the ledger's word; and the channel's state on the ledger, proved *before* the hub was asked.
//!
//! # What is too low
//! A wallet keeps no balances per height, so the leaf is held against a bound that is true at every
//! height from the newest anchor of the channel on:
//!
//! ```text
//! at least = what the wallet has in the escrow  +  floor(h→w) anchored or acknowledged by then
//!            − what it may have sent by now, an unanswered update counted
//! ```
//!
//! A hub states before it anchors, and the state was proved before it was asked: so its newest
//! statement is no older than the floor in that proof. What was sent only grows, and so does what
//! was taken out; only a deposit may be newer than the statement, so a statement from before the
//! newest one has no bound ([`Counted::at_least`]), nor has a channel that is closing, or on which the
//! two have not met or one has lost state. For a wallet that rests the bound is exact. While it pays,
//! a leaf may be too low by what it has sent since the statement; the next one shows that.
//!
//! # Who could lie, and how far
//! - **The hub alone** can't show a leaf that is not under what it signed, nor sign one tree for the
//!   ledger and another for this wallet, nor owe less than it has anchored. It can show an old
//!   statement: the height stands beside the figure. It can say that it has made none only where it
//!   has anchored nothing ([`NotCounted::NotShown`]). It can give no answer at all, as a hub that is
//!   down.
//! - **The ledger alone** can make no statement of the hub's: the anchor carries the hub's signature.
//! - **Both together** can show this wallet a block that nobody else sees, or one in which the anchor
//!   was refused, and say that it counted. Then both have signed it: a second header of one height,
//!   or an anchor whose refusal `ledger audit` replays. The wallet notices only where it happens to
//!   have followed another header of that height ([`NotCounted::Fork`]).
//! - Whether the *total* is covered is no question of one leaf: `ledger audit` compares it with the
//!   escrow, and finds two statements of one height.

use serde::{Deserialize, Serialize};
use settlement::block::{Block, BlockEvents, LedgerEvent, SignedHeader};
use settlement::channel::Channel;
use settlement::crypto::{Signable, VerifyingKey, merkle_root};
use settlement::liabilities::{Liabilities, NotUnderRoot};
use settlement::state_proof::{ChannelLeaf, StateProof};
use settlement::tx::{AccountAction, Transaction};
use settlement::types::{Amount, Hash, Height, Role};

use super::Wallet;
use super::protect::{NotProved, moved_in_flight};
use crate::api::LiabilityAnswer;

/// A channel that the hub has counted in what it owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// As of which height the hub says so.
    pub as_of: Height,
    /// In which block it has signed that.
    pub block: Height,
    /// What it says that it owes.
    pub owed: Amount,
    /// What it had to say at the least, as far as the wallet can tell.
    pub at_least: Option<Amount>,
}

/// What is looked at, in the order in which it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The channel's state on the ledger, before the hub was asked.
    pub state: &'a StateProof,
    /// What the hub answered.
    pub answer: &'a LiabilityAnswer,
    /// The block that it names, from the ledger.
    pub block: &'a Block,
    /// What that block did, from the ledger.
    pub did: &'a BlockEvents,
}

/// Why a channel is not known to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCounted {
    /// The channel's state is not proved.
    #[error(transparent)]
    State(#[from] NotProved),
    /// The leaf is another channel's, or the statement is of another asset.
    #[error("what the hub shows is not of this channel")]
    NotThisChannel,
    /// The leaf is not in what was signed.
    #[error(transparent)]
    Leaf(#[from] NotUnderRoot),
    /// The block is not the ledger's, or not the one that the hub names.
    #[error("the block that the hub names is not under a header that the ledger has signed")]
    Block,
    /// The ledger has signed another header for a height that this wallet has followed.
    #[error("the ledger has signed two blocks of one height")]
    Fork,
    /// The hub has not signed it there, or not as of a height before.
    #[error("the hub has signed no such statement in that block")]
    NotSigned,
    /// The hub shows no statement, though the ledger says that it has anchored the channel, and it
    /// states what it owes with every anchor.
    #[error(
        "the hub shows no statement that counts this channel, though it has anchored it; keep this \
         answer, and close the channel (`wallet close --unilateral`) unless the hub can explain it"
    )]
    NotShown,
    /// Something else is signed in that block for the same height.
    #[error("the hub has signed two statements of what it owes for one height")]
    TwoStatements,
    /// The ledger says that the statement did not count.
    #[error("the ledger has refused the hub's statement")]
    Refused,
    /// The hub has signed that it owes less than it does.
    #[error(
        "the hub has signed that it owed {owed} as of block {as_of}, but it was {at_least} at the \
         least; keep this answer, and close the channel (`wallet close --unilateral`) unless the hub \
         can explain it"
    )]
    TooLow {
        /// As of which height.
        as_of: Height,
        /// What it signed.
        owed: Amount,
        /// What it had to be at the least.
        at_least: Amount,
    },
}

impl Wallet {
    /// What the hub has signed that it owes in a channel, checked against what the ledger shows and
    /// what this wallet knows.
    ///
    /// # Errors
    /// [`NotCounted`].
    pub fn counted(&self, shown: &Shown<'_>, now_ms: u64) -> Result<Counted, NotCounted> {
        let Shown { state, answer, .. } = shown;
        let (channel, leaf) = self.proved(state, now_ms)?;
        let LiabilityAnswer { liabilities, proof, .. } = answer;
        if proof.channel != channel.id() || liabilities.asset != channel.terms().asset {
            return Err(NotCounted::NotThisChannel);
        }
        proof.verify(liabilities)?;
        let block = self.signed_in(shown)?;
        let (as_of, owed) = (liabilities.as_of, proof.owed);
        let deposited_at = self.state.deposited_at.get(&channel.id()).copied().unwrap_or_default();
        // One that has not met its hub may be an old copy, and know too little of what it has sent.
        let met = self.links.get(&channel.id()).is_some_and(|link| link.synced);
        let open = met && channel.usable().is_ok() && leaf.proofs_until.is_none();
        let bound = (open && as_of >= deposited_at).then(|| owed_at_least(channel, leaf));
        match bound {
            Some(at_least) if owed < at_least => Err(NotCounted::TooLow { as_of, owed, at_least }),
            at_least => Ok(Counted { as_of, block, owed, at_least }),
        }
    }

    /// Whether a hub may say that it has made no statement about a channel: not once it has anchored
    /// that. The state was proved before the hub was asked.
    ///
    /// # Errors
    /// [`NotCounted::NotShown`]; [`NotCounted::State`].
    pub fn may_not_be_counted(&self, state: &StateProof, now_ms: u64) -> Result<(), NotCounted> {
        let (_, leaf) = self.proved(state, now_ms)?;
        // On an open channel only the hub brings the wallet's proofs, and it does with an anchor.
        let anchored =
            leaf.directions.hub.floor > Amount::ZERO || leaf.directions.wallet.standing.is_some();
        let open = leaf.proofs_until.is_none();
        if open && anchored { Err(NotCounted::NotShown) } else { Ok(()) }
    }

    /// Checks that the hub has signed the statement in a block of the ledger, and that it counted.
    fn signed_in(&self, shown: &Shown<'_>) -> Result<Height, NotCounted> {
        let Shown { answer, block, did, .. } = shown;
        let key = &self.config.genesis.ledger_key;
        let key = VerifyingKey::parse(key).map_err(|_| NotCounted::Block)?;
        let header = &block.header.header;
        let named = answer.block == Some(header.height) && did.header.header == *header;
        if !named || header.ledger != self.ledger || !holds_under(block, &key) {
            return Err(NotCounted::Block);
        }
        if self.newest.is_some_and(|followed| forks(&followed, &block.header)) {
            return Err(NotCounted::Fork);
        }
        let said = &answer.liabilities;
        let hub = VerifyingKey::parse(&self.config.hub).map_err(|_| NotCounted::NotSigned)?;
        let about = |other: &Liabilities| other == said || other.contradicts(said);
        let signed = said_in(self, block).filter(|(it, tx)| about(it) && is_signed(tx, &hub));
        let all: Vec<Liabilities> = signed.map(|(liabilities, _)| liabilities).collect();
        if !all.contains(said) || said.as_of > header.height {
            return Err(NotCounted::NotSigned);
        }
        if all.iter().any(|other| other != said) {
            return Err(NotCounted::TwoStatements);
        }
        let event = LedgerEvent::LiabilitiesAnchored { hub: self.config.hub, liabilities: *said };
        did.events.contains(&event).then_some(header.height).ok_or(NotCounted::Refused)
    }
}

/// Whether the ledger has signed a header over just these transactions.
fn holds_under(block: &Block, key: &VerifyingKey) -> bool {
    let ids: Vec<Hash> = block.transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    let header = &block.header.header;
    let same = (merkle_root(&ids), u32::try_from(ids.len()).ok());
    same == (header.tx_root, Some(header.tx_count)) && block.header.verify(key).is_ok()
}

fn forks(followed: &SignedHeader, shown: &SignedHeader) -> bool {
    followed.header.height == shown.header.height && followed.header != shown.header
}

/// What the wallet's hub says in a block that it owes; signatures not checked.
fn said_in<'a>(
    wallet: &'a Wallet,
    block: &'a Block,
) -> impl Iterator<Item = (Liabilities, &'a Transaction)> {
    block.transactions.iter().filter_map(|tx| match tx {
        Transaction::Account { body, .. }
            if body.account == wallet.config.hub && body.ledger == wallet.ledger =>
        {
            match &body.action {
                AccountAction::Anchor(anchor) => Some((anchor.liabilities, tx)),
                _ => None,
            }
        }
        _ => None,
    })
}

fn is_signed(tx: &Transaction, hub: &VerifyingKey) -> bool {
    match tx {
        Transaction::Account { body, signature } => hub.verify(&body.digest(), signature).is_ok(),
        _ => false,
    }
}

/// What the hub owed at the least at every height since the state was proved and the channel's money
/// came in.
fn owed_at_least(channel: &Channel, leaf: &ChannelLeaf) -> Amount {
    let on_ledger = leaf.deposited.wallet.wide() - leaf.withdrawn.wallet.wide();
    // The wallet has signed every withdrawal, and knows of every deposit that it has followed.
    let escrow = on_ledger.min(channel.escrow(Role::Wallet).net());
    let out = channel.outgoing();
    let unanswered = moved_in_flight(channel).map_or(0, |flight| flight.moved.wide());
    let sent = out.accepted.transferred.wide() + unanswered;
    let owed = escrow + leaf.directions.hub.floor.wide() - sent;
    Amount::from_wide(owed.max(0)).unwrap_or(Amount::ZERO)
}
