//! What a hub says that it owes, held against a real ledger's blocks: what is right is taken, and
//! every lie is named.

mod since;

use settlement::block::{Block, BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::crypto::merkle_root;
use settlement::liabilities::{Liabilities, LiabilityTree, NotUnderRoot};
use settlement::proof::Withdrawal;
use settlement::state_proof::StateProof;
use settlement::tx::{AccountAction, AccountTx, AnchorEntry, Anchoring, Transaction};
use settlement::types::*;

use super::super::*;
use super::harness::*;
use super::protect::Real;
use crate::api::LiabilityAnswer;

const OTHER: ChannelId = ChannelId([7; 32]);
/// What the wallet has after what every scene begins with.
const HAS: u64 = WALLET_DEPOSIT + 500 - 300;

/// What the hub signs: this much in the wallet's channel, and something in another.
fn says(as_of: u64, owed: u64) -> (Liabilities, LiabilityTree) {
    let leaves = vec![(terms().channel_id(), Amount(owed)), (OTHER, Amount(777))];
    let tree = LiabilityTree::new(leaves).unwrap();
    let (root, total) = tree.root();
    (Liabilities { as_of: Height(as_of), asset: AssetId(0), root, total }, tree)
}

fn anchoring(signer: u8, liabilities: Liabilities) -> Transaction {
    let action = AccountAction::Anchor(Anchoring { epoch: 0, entries: Vec::new(), liabilities });
    let (ledger, account) = (genesis().ledger_id(), key(signer).public());
    Transaction::account(&key(signer), AccountTx { ledger, account, nonce: 0, action })
}

/// The hub signs an anchor with one thing else in it.
fn by_hub(liabilities: Liabilities, change: impl FnOnce(&mut AccountTx)) -> Transaction {
    let Transaction::Account { mut body, .. } = anchoring(2, liabilities) else {
        panic!("it is an account's")
    };
    change(&mut body);
    Transaction::account(&key(2), body)
}

/// Wallet and hub have paid each other, and the hub has anchored that and said that it owes `owed`.
struct Scene {
    world: World,
    state: StateProof,
    answer: LiabilityAnswer,
    block: Block,
    did: BlockEvents,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(HAS)
    }

    fn with(owed: u64) -> Scene {
        let (mut world, mut real) = (World::new(), Real::new());
        world.hub_pays(500);
        world.second();
        pay_hub(&mut world, 300);
        world.second();
        // The world's blocks are not the ledger's: one further, so that the wallet compares none.
        real.up_to(world.hub.height + 1);
        let as_of = real.ledger.tip().height.0;
        let (liabilities, tree) = says(as_of, owed);
        let wallet_proof = world.hub.channel.incoming().proof.clone();
        let hub_transferred = world.hub.channel.outgoing().accepted.transferred;
        let channel = terms().channel_id();
        let entries = vec![AnchorEntry { channel, wallet_proof, hub_transferred }];
        let anchor = AccountAction::Anchor(Anchoring { epoch: 0, entries, liabilities });
        let anchor = real.account(2, anchor);
        let applied = real.block(vec![anchor]);
        let (header, transactions) = (real.newest.unwrap(), applied.transactions);
        let did = BlockEvents { header, events: applied.events };
        let proof = tree.proof_of(&channel).unwrap();
        let answer = LiabilityAnswer { liabilities, proof, block: Some(header.header.height) };
        Scene { world, state: real.proof(), answer, block: Block { header, transactions }, did }
    }

    fn now_ms(&self) -> u64 {
        self.state.header.header.time_ms
    }

    fn judge(&self) -> Result<Counted, NotCounted> {
        self.judge_at(self.now_ms())
    }

    fn judge_at(&self, now_ms: u64) -> Result<Counted, NotCounted> {
        let Scene { state, answer, block, did, .. } = self;
        self.world.wallet.counted(&Shown { state, answer, block, did }, now_ms)
    }

    /// The hub shows this instead, signed by nobody.
    fn shows(&mut self, liabilities: Liabilities, tree: &LiabilityTree) {
        let proof = tree.proof_of(&terms().channel_id()).unwrap();
        self.answer = LiabilityAnswer { liabilities, proof, ..self.answer };
    }

    /// The ledger's key signs a block of just these transactions.
    fn seal(&mut self, transactions: Vec<Transaction>) {
        let ids: Vec<Hash> = transactions.iter().map(|tx| Hash(tx.id().0)).collect();
        let mut header = self.block.header.header;
        (header.tx_root, header.tx_count) = (merkle_root(&ids), ids.len().try_into().unwrap());
        self.block = Block { header: SignedHeader::sign(&key(9), header), transactions };
        self.did.header = self.block.header;
    }

    fn move_block(&mut self, height: Height) {
        self.block.header.header.height = height;
        self.answer.block = Some(height);
        self.seal(self.block.transactions.clone());
    }
}

fn pay_hub(world: &mut World, amount: u64) {
    let (channel, amount, memo) = (world.id(), Amount(amount), String::new());
    world.command(Command::PayHub { channel, amount, memo });
}

#[test]
fn a_leaf_that_is_right_is_counted() {
    let scene = Scene::new();
    let (as_of, block) = (scene.answer.liabilities.as_of, scene.block.header.header.height);
    let (owed, at_least) = (Amount(HAS), Some(Amount(HAS)));
    assert_eq!(scene.judge(), Ok(Counted { as_of, block, owed, at_least }));
    assert_eq!((block.0, scene.world.balance()), (as_of.0 + 1, HAS));
}

type Lie = fn(&mut Scene);

fn all_named(lies: &[(&str, Lie, NotCounted)]) {
    for (what, lie, expected) in lies {
        let mut scene = Scene::new();
        assert!(scene.judge().is_ok());
        lie(&mut scene);
        assert_eq!(scene.judge(), Err(*expected), "{what}");
    }
}

#[test]
fn a_leaf_that_is_not_this_channels_in_the_tree_is_refused() {
    all_named(&[
        (
            "a leaf that is not in the tree",
            |s| s.answer.proof.owed = Amount(HAS + 1),
            NotCounted::Leaf(NotUnderRoot),
        ),
        (
            "a total that is not the tree's",
            |s| s.answer.liabilities.total = Amount(HAS),
            NotCounted::Leaf(NotUnderRoot),
        ),
        (
            "another channel's leaf",
            |s| {
                let tree = says(s.answer.liabilities.as_of.0, HAS).1;
                s.answer.proof = tree.proof_of(&OTHER).unwrap();
            },
            NotCounted::NotThisChannel,
        ),
        (
            "a statement of another asset",
            |s| s.answer.liabilities.asset = AssetId(1),
            NotCounted::NotThisChannel,
        ),
    ]);
}

#[test]
fn a_statement_that_the_hub_has_not_signed_is_refused() {
    all_named(&[
        (
            "a tree for this wallet alone",
            |s| {
                let (liabilities, tree) = says(s.answer.liabilities.as_of.0 - 1, HAS);
                s.shows(liabilities, &tree);
            },
            NotCounted::NotSigned,
        ),
        (
            "a statement that somebody else has signed",
            |s| s.seal(vec![anchoring(8, s.answer.liabilities)]),
            NotCounted::NotSigned,
        ),
        (
            "a statement with a signature of somebody else's",
            |s| {
                let [ours, theirs] = [2, 8].map(|signer| anchoring(signer, s.answer.liabilities));
                let (Transaction::Account { body, .. }, Transaction::Account { signature, .. }) =
                    (ours, theirs)
                else {
                    panic!("both are anchors")
                };
                s.seal(vec![Transaction::Account { body, signature }]);
            },
            NotCounted::NotSigned,
        ),
        (
            "a statement of another account, though the hub signs it",
            |s| s.seal(vec![by_hub(s.answer.liabilities, |tx| tx.account = key(8).public())]),
            NotCounted::NotSigned,
        ),
        (
            "a statement for another ledger",
            |s| s.seal(vec![by_hub(s.answer.liabilities, |tx| tx.ledger = LedgerId([8; 32]))]),
            NotCounted::NotSigned,
        ),
        (
            "a statement about what is yet to come",
            |s| {
                let height = s.block.header.header.height.0;
                let (liabilities, tree) = says(height + 1, HAS);
                s.shows(liabilities, &tree);
                s.seal(vec![anchoring(2, liabilities)]);
                let hub = key(2).public();
                s.did.events.push(LedgerEvent::LiabilitiesAnchored { hub, liabilities });
            },
            NotCounted::NotSigned,
        ),
        (
            "a second statement for the same height",
            |s| {
                let other = says(s.answer.liabilities.as_of.0, HAS - 1).0;
                let both = [s.answer.liabilities, other].map(|said| anchoring(2, said));
                s.seal(both.to_vec());
            },
            NotCounted::TwoStatements,
        ),
    ]);
}

#[test]
fn a_block_that_is_not_the_ledgers_or_did_something_else_is_refused() {
    all_named(&[
        (
            "a transaction that is not under the header",
            |s| s.block.transactions.push(anchoring(2, s.answer.liabilities)),
            NotCounted::Block,
        ),
        (
            "a header that the ledger has not signed",
            |s| {
                s.block.header = SignedHeader::sign(&key(8), s.block.header.header);
                s.did.header = s.block.header;
            },
            NotCounted::Block,
        ),
        (
            "a block of another ledger with the same key",
            |s| {
                s.block.header.header.ledger = LedgerId([8; 32]);
                s.seal(s.block.transactions.clone());
            },
            NotCounted::Block,
        ),
        (
            "another block than the one that the hub names",
            |s| s.answer.block = s.answer.block.map(|block| block.after(1)),
            NotCounted::Block,
        ),
        (
            "a statement that the ledger refused",
            |s| s.did.events.retain(|it| !matches!(it, LedgerEvent::LiabilitiesAnchored { .. })),
            NotCounted::Refused,
        ),
        (
            "a block beside the one that the wallet followed",
            |s| {
                let followed = s.world.wallet.followed();
                s.move_block(followed);
            },
            NotCounted::Fork,
        ),
    ]);
}

#[test]
fn a_state_that_is_not_fresh_bounds_nothing() {
    let (scene, stale) = (Scene::new(), Policy::development().stale_view_ms);
    let judged = scene.judge_at(scene.now_ms() + stale + 1);
    assert_eq!(judged, Err(NotCounted::State(NotProved::Stale)));
}

#[test]
fn a_hub_that_says_less_than_it_has_anchored_is_found() {
    for (less, is_low) in [(0, false), (1, true), (500, true)] {
        let scene = Scene::with(HAS - less);
        let as_of = scene.answer.liabilities.as_of;
        let (owed, at_least) = (Amount(HAS - less), Amount(HAS));
        let low = NotCounted::TooLow { as_of, owed, at_least };
        assert_eq!(scene.judge().err(), is_low.then_some(low), "{less} less");
    }
}

/// "I have said nothing yet" is true of what the hub has not anchored, and of what is closing.
#[test]
fn a_hub_that_shows_nothing_of_what_it_has_anchored_is_found() {
    let judge = |scene: &Scene| scene.world.wallet.may_not_be_counted(&scene.state, scene.now_ms());
    let seal = |scene: &mut Scene| {
        let root = settlement::state_proof::state_root(&scene.state.leaf.digest(), 1);
        let header = Header { state_root: root, ..scene.state.header.header };
        scene.state.header = SignedHeader::sign(&key(9), header);
    };
    let cases = [
        // A state with this floor under what the hub has paid, with a proof of the wallet's, and
        // while it closes.
        (Amount(500), true, false, Err(NotCounted::NotShown)),
        (Amount(500), false, false, Err(NotCounted::NotShown)),
        (Amount(0), true, false, Err(NotCounted::NotShown)),
        (Amount(0), false, false, Ok(())),
        (Amount(500), true, true, Ok(())),
    ];
    for (floor, proof, closing, expected) in cases {
        let mut scene = Scene::new();
        assert_eq!(judge(&scene), Err(NotCounted::NotShown), "it is anchored");
        let leaf = &mut scene.state.leaf;
        leaf.directions.hub.floor = floor;
        leaf.directions.wallet.standing = leaf.directions.wallet.standing.filter(|_| proof);
        leaf.proofs_until = closing.then_some(Height(1_000));
        seal(&mut scene);
        assert_eq!(judge(&scene), expected, "{floor}, {proof}, {closing}");
    }
}
