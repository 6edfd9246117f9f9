//! What a wallet needs to see, offline, how the ledger holds its channel: one signed header and one
//! path.
//!
//! The header's `state_root` covers every channel that has not been paid out, by the order of
//! opening: `H("state-root", (root, count))` over a dense Merkle tree with one place for each
//! channel ever opened. A place holds `H("state", ChannelLeaf)`, or zeros once the channel is paid
//! out; a node over nothing but zeros is zeros too, so that the tree needs no more room than there
//! are channels.
//!
//! The proof shows the state as of its header and nothing newer: whoever checks it compares the
//! header's time with the own clock.

use serde::{Deserialize, Serialize};

use crate::block::SignedHeader;
use crate::crypto::{Beside, Tag, VerifyingKey, digest, node, way_up};
use crate::types::{Amount, ChannelId, Hash, Height, LedgerId, PerRole, Role};

/// A channel as the state root covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelLeaf {
    /// Its place: how many channels were opened before it.
    pub index: u64,
    /// Which channel.
    pub channel: ChannelId,
    /// The height of the block that opened it.
    pub opened: Height,
    /// All that each side has put in.
    pub deposited: PerRole<Amount>,
    /// All that each side has taken out.
    pub withdrawn: PerRole<Amount>,
    /// Who closed it, while it is closing.
    pub closed_by: Option<Role>,
    /// The last height at which proofs count, while it is closing.
    pub proofs_until: Option<Height>,
    /// What is known of each direction, by the side that pays in it.
    pub directions: PerRole<DirectionLeaf>,
}

/// One direction, by the side X that pays in it; Y is the other side.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DirectionLeaf {
    /// X's proof of the highest `seq` that is recorded.
    pub standing: Option<Standing>,
    /// What the claims on that proof's locks are worth by now.
    pub claimed: Amount,
    /// What X has certainly paid: Y has acknowledged it, or X has anchored it. Only rises.
    pub floor: Amount,
    /// X's proofs below this `seq` count no longer: Y has signed that it holds a newer one.
    pub void_below: u64,
}

/// A proof that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its number.
    pub seq: u64,
    /// Its digest.
    pub digest: Hash,
    /// What it says was transferred.
    pub transferred: Amount,
}

impl DirectionLeaf {
    /// T(X→Y): what X has paid Y, as far as the ledger was shown.
    pub fn tally(&self) -> i128 {
        let standing = self.standing.filter(|standing| standing.seq >= self.void_below);
        let shown = standing.map_or(0, |s| s.transferred.wide() + self.claimed.wide());
        shown.max(self.floor.wide())
    }
}

impl ChannelLeaf {
    /// `H("state", leaf)`.
    pub fn digest(&self) -> Hash {
        digest(Tag::State, self)
    }

    /// What each side would get if nothing more came before the ledger. The wallet is protected up
    /// to its part, less what it has signed away to the hub since.
    pub fn payout(&self) -> PerRole<Amount> {
        let net = |role| self.deposited.of(role).wide() - self.withdrawn.of(role).wide();
        let left: i128 = net(Role::Wallet) + net(Role::Hub);
        let (from_hub, from_wallet) = (self.directions.hub.tally(), self.directions.wallet.tally());
        let wallet = (net(Role::Wallet) + from_hub - from_wallet).min(left).max(0);
        let amount = |wide: i128| Amount::from_wide(wide).unwrap_or(Amount::ZERO);
        PerRole { wallet: amount(wallet), hub: amount(left - wallet) }
    }
}

/// `H("state-root", (root, count))`, as headers carry it.
pub fn state_root(root: &Hash, count: u64) -> Hash {
    digest(Tag::StateRoot, &(root, count))
}

/// The node over two; zeros over nothing but zeros.
pub(crate) fn join(left: &Hash, right: &Hash) -> Hash {
    let empty = *left == Hash::ZERO && *right == Hash::ZERO;
    if empty { Hash::ZERO } else { node(left, right) }
}

/// `GET /v1/ledger/proofs/{channel}`: a channel's state under a signed header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateProof {
    /// The header as of which the state is.
    pub header: SignedHeader,
    /// The state.
    pub leaf: ChannelLeaf,
    /// How many channels had been opened by then.
    pub count: u64,
    /// The hashes beside the way up, lowest first. A level on which the node is odd has none.
    pub siblings: Vec<Hash>,
}

/// Why a state proof shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStateProof {
    /// The header is another ledger's.
    #[error("the header is of another ledger")]
    WrongLedger,
    /// The header is not signed by the ledger's key.
    #[error("the header is not signed by the ledger's key")]
    Signature,
    /// The state is another channel's.
    #[error("the state is that of another channel")]
    WrongChannel,
    /// The path does not lead from the state to the header's state root.
    #[error("the path does not lead from the state to the header's state root")]
    Path,
}

impl StateProof {
    /// Checks that the ledger of this key held the channel like this at the header's height.
    ///
    /// # Errors
    /// [`BadStateProof`].
    pub fn verify(
        &self,
        ledger: &LedgerId,
        ledger_key: &VerifyingKey,
        channel: &ChannelId,
    ) -> Result<&ChannelLeaf, BadStateProof> {
        if self.header.header.ledger != *ledger {
            return Err(BadStateProof::WrongLedger);
        }
        if self.leaf.channel != *channel {
            return Err(BadStateProof::WrongChannel);
        }
        self.header.verify(ledger_key).map_err(|_| BadStateProof::Signature)?;
        let root = self.root().ok_or(BadStateProof::Path)?;
        let fits = state_root(&root, self.count) == self.header.header.state_root;
        fits.then_some(&self.leaf).ok_or(BadStateProof::Path)
    }

    fn root(&self) -> Option<Hash> {
        if self.leaf.index >= self.count {
            return None;
        }
        let mut hash = self.leaf.digest();
        let mut siblings = self.siblings.iter();
        for beside in way_up(self.leaf.index, self.count) {
            hash = match beside {
                Beside::Left => join(siblings.next()?, &hash),
                Beside::Right => join(&hash, siblings.next()?),
                Beside::Nobody => hash,
            };
        }
        siblings.next().is_none().then_some(hash)
    }
}
