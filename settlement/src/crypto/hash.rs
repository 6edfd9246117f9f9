//! BIP-340's tagged hash over postcard bytes, with the midstate of each tag computed once.

use std::sync::LazyLock;

use serde::Serialize;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::bugs::{Bug, planted};
use crate::encoding::with_encoded;
use crate::types::{Anchor, Hash, Secret};

/// What a hash is for. The tag's text is `payhub/v1/` and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// A genesis: the ledger's id.
    Ledger,
    /// Opening terms: the channel's id.
    Channel,
    /// A balance proof.
    Proof,
    /// The locks of a direction, in the order of adding.
    Locks,
    /// A leaf of a batch signature.
    Leaf,
    /// An inner node of a Merkle tree.
    Node,
    /// The root and size of a batch, which is what is signed.
    Batch,
    /// An account transaction of the ledger.
    Tx,
    /// A block header.
    Header,
    /// The id of a transaction, signatures included.
    TxId,
    /// A submission to the ledger by one side of a channel.
    Submit,
    /// New money on a development ledger.
    Mint,
    /// A withdrawal that both sides sign.
    Withdraw,
    /// A cooperative close that both sides sign.
    CooperativeClose,
    /// An invoice.
    Invoice,
    /// A key signing in on a connection.
    Hello,
    /// The running digest of all that a ledger wrote.
    Writes,
    /// A request to the hub's HTTP interface.
    Request,
    /// The key of a payload that travels sealed from payer to payee.
    Payload,
    /// The key of what a wallet sends another through the relay.
    Relay,
    /// The nonce of a message on the relay, from its key and content.
    RelayNonce,
    /// A wallet's key, from the seed of its mnemonic.
    WalletKey,
    /// A channel under a header's state root.
    State,
    /// The root and size of the tree over all channels.
    StateRoot,
    /// What a hub owes in one channel.
    Liability,
    /// A node of a hub's sum tree.
    LiabilityNode,
    /// The root and size of a hub's sum tree.
    LiabilityRoot,
    /// The name of a demand for payment over HTTP, which its server alone can make.
    Challenge,
    /// The key of the steps that travel sealed in a header of an HTTP request.
    Payment,
    /// What a payee says that it was paid for an HTTP response.
    Receipt,
    /// The secret of an invoice that another wallet has asked for.
    Asked,
}

const TAGS: [(Tag, &str); 31] = [
    (Tag::Ledger, "payhub/v1/ledger"),
    (Tag::Channel, "payhub/v1/channel"),
    (Tag::Proof, "payhub/v1/proof"),
    (Tag::Locks, "payhub/v1/locks"),
    (Tag::Leaf, "payhub/v1/leaf"),
    (Tag::Node, "payhub/v1/node"),
    (Tag::Batch, "payhub/v1/batch"),
    (Tag::Tx, "payhub/v1/tx"),
    (Tag::TxId, "payhub/v1/tx-id"),
    (Tag::Submit, "payhub/v1/submit"),
    (Tag::Mint, "payhub/v1/mint"),
    (Tag::Header, "payhub/v1/header"),
    (Tag::Withdraw, "payhub/v1/withdraw"),
    (Tag::CooperativeClose, "payhub/v1/cooperative-close"),
    (Tag::Invoice, "payhub/v1/invoice"),
    (Tag::Hello, "payhub/v1/hello"),
    (Tag::Writes, "payhub/v1/writes"),
    (Tag::Request, "payhub/v1/request"),
    (Tag::Payload, "payhub/v1/payload"),
    (Tag::WalletKey, "payhub/v1/wallet-key"),
    (Tag::State, "payhub/v1/state"),
    (Tag::StateRoot, "payhub/v1/state-root"),
    (Tag::Liability, "payhub/v1/liability"),
    (Tag::LiabilityNode, "payhub/v1/liability-node"),
    (Tag::LiabilityRoot, "payhub/v1/liability-root"),
    (Tag::Relay, "payhub/v1/relay"),
    (Tag::RelayNonce, "payhub/v1/relay-nonce"),
    (Tag::Challenge, "payhub/v1/challenge"),
    (Tag::Payment, "payhub/v1/payment"),
    (Tag::Receipt, "payhub/v1/receipt"),
    (Tag::Asked, "payhub/v1/asked"),
];

static MIDSTATES: LazyLock<[Sha256; TAGS.len()]> = LazyLock::new(|| TAGS.map(|(_, t)| midstate(t)));

fn midstate(text: &str) -> Sha256 {
    let tag = Sha256::digest(text.as_bytes());
    Sha256::new().chain_update(tag).chain_update(tag)
}

impl Tag {
    /// The hasher with the tag already in it.
    fn hasher(self) -> Sha256 {
        if self == Tag::Submit && planted(Bug::TagSkipped) {
            return Sha256::new();
        }
        let at = TAGS.iter().position(|(tag, _)| *tag == self);
        let known = at.and_then(|at| MIDSTATES.get(at).cloned());
        known.unwrap_or_else(|| midstate("payhub/v1/unknown"))
    }

    /// The tag's whole text, as golden files and other implementations name it.
    pub fn text(self) -> &'static str {
        TAGS.iter().find(|(tag, _)| *tag == self).map_or("", |(_, text)| text)
    }

    /// Every tag there is.
    pub fn all() -> impl Iterator<Item = Tag> {
        TAGS.iter().map(|(tag, _)| *tag)
    }
}

/// `H(tag, value)`: SHA-256 of the tag's digest twice and the value's postcard bytes.
pub fn digest<T: Serialize + ?Sized>(tag: Tag, value: &T) -> Hash {
    with_encoded(value, |bytes| hash_many(tag, &[bytes]))
}

/// `H(tag, …)` over bytes that are encoded already, one after the other.
pub fn hash_many(tag: Tag, parts: &[&[u8]]) -> Hash {
    let mut hasher = tag.hasher();
    for part in parts {
        hasher.update(part);
    }
    Hash(hasher.finalize().into())
}

/// `H("node", (left, right))`.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    hash_many(Tag::Node, &[left.as_slice(), right.as_slice()])
}

/// One level up: neighbours joined, an odd last node unchanged.
pub(super) fn parents(level: &[Hash]) -> Vec<Hash> {
    let join = |pair: &[Hash]| match pair {
        [left, right] => node(left, right),
        [odd] => *odd,
        _ => Hash::ZERO,
    };
    level.chunks(2).map(join).collect()
}

/// The root of a Merkle tree over `leaves` (hashed already); all zeros when there is none.
pub fn merkle_root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or(Hash::ZERO)
}

/// What SHA-256 begins with.
const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The block of 32 zeros: behind them a bit that ends them, and their length of 256 bits.
const ONE_BLOCK: [u8; 64] = {
    let mut block = [0; 64];
    (block[32], block[62]) = (0x80, 1);
    block
};

/// One step along a lock's chain: plain SHA-256, so that an ordinary hash lock is one step. As its one
/// block is known but for the value, it is put together here: a stream spends most of its time on this.
pub fn chain_step(value: &[u8; 32]) -> [u8; 32] {
    let mut block = ONE_BLOCK;
    block.split_at_mut(32).0.copy_from_slice(value);
    let mut state = SHA256_INITIAL;
    compress256(&mut state, &[block]);
    let mut next = [0; 32];
    for (bytes, word) in next.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    next
}

/// How many steps (1 to `steps`) lead from `secret` to `anchor`; `None` when none does.
///
/// Costs at most `steps` hashes, so callers bound `steps` first.
pub fn chain_to(secret: &Secret, anchor: &Anchor, steps: u32) -> Option<u32> {
    let mut value = secret.0;
    (1..=steps).find(|_| {
        value = chain_step(&value);
        value == anchor.0
    })
}
