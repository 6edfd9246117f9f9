//! What a wallet says is protected is what it gets at least, whatever its hub brings while nobody
//! watches: held against a real ledger and its payout, for every proof that the wallet ever signed
//! and every secret there is.

use std::collections::BTreeSet;

use proptest::prelude::*;
use settlement::block::{BlockEvents, LedgerEvent, SignedHeader};
use settlement::channel::Step;
use settlement::crypto::{Signable, Signed};
use settlement::ledger::payout::payout;
use settlement::ledger::{Applied, Ledger};
use settlement::liabilities::Liabilities;
use settlement::lock::Lock;
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::state_proof::{BadStateProof, StateProof};
use settlement::tx::{
    AccountAction, AccountTx, AnchorEntry, Anchoring, Mint, Submission, Transaction,
};
use settlement::types::*;

use super::super::*;
use super::harness::*;

/// The ledger of the wallet's world, block by block.
#[derive(Clone)]
pub(super) struct Real {
    pub(super) ledger: Ledger,
    pub(super) newest: Option<SignedHeader>,
}

impl Real {
    /// With the channel as the wallet's world has it after its second block.
    pub(super) fn new() -> Real {
        let mut real = Real { ledger: Ledger::genesis(genesis()).unwrap(), newest: None };
        let mint = |number: u64, to: u8, amount| {
            let body = Mint {
                ledger: genesis().ledger_id(),
                number,
                to: key(to).public(),
                asset: AssetId(0),
                amount: Amount(amount),
            };
            let signature = key(9).sign(&body.digest());
            Transaction::Mint { body, signature }
        };
        let open = AccountAction::Open { terms: terms(), deposit: Amount(WALLET_DEPOSIT) };
        let (channel, role) = (terms().channel_id(), Role::Hub);
        let deposit = AccountAction::Deposit { channel, role, amount: Amount(HUB_DEPOSIT) };
        let open = real.account(1, open);
        real.block(vec![mint(0, 1, WALLET_DEPOSIT), mint(1, 2, HUB_DEPOSIT), open]);
        let deposit = real.account(2, deposit);
        real.block(vec![deposit]);
        real
    }

    pub(super) fn account(&self, owner: u8, action: AccountAction) -> Transaction {
        let account = key(owner).public();
        let nonce = self.ledger.account(&account).nonce;
        Transaction::account(
            &key(owner),
            AccountTx { ledger: self.ledger.id(), account, nonce, action },
        )
    }

    pub(super) fn block(&mut self, txs: Vec<Transaction>) -> Applied {
        let verified =
            txs.into_iter().map(|tx| self.ledger.verify_tx(tx).unwrap()).collect::<Vec<_>>();
        let time_ms = START_MS + 200 * (self.ledger.tip().height.0 + 1);
        let applied = self.ledger.apply(verified, time_ms).unwrap();
        self.newest = Some(SignedHeader::sign(&key(9), applied.header));
        applied
    }

    pub(super) fn up_to(&mut self, height: u64) {
        while self.ledger.tip().height.0 < height {
            self.block(Vec::new());
        }
    }

    pub(super) fn proof(&self) -> StateProof {
        let leaf = self.ledger.channel(&terms().channel_id()).unwrap().leaf();
        // There is no other channel.
        StateProof { header: self.newest.unwrap(), leaf, count: 1, siblings: Vec::new() }
    }

    /// What the wallet gets if the hub closes now with this and nothing else comes.
    fn closed_with(
        &self,
        proof: Option<&(BalanceProof, Vec<Lock>)>,
        secrets: &BTreeSet<u8>,
    ) -> Amount {
        let mut real = self.clone();
        let claims = |locks: &[Lock]| {
            let secret_of = |lock: &Lock| {
                let known = secrets.iter().find(|secret| anchor_of(**secret) == lock.anchor)?;
                Some((lock.id, Secret([*known; 32])))
            };
            locks.iter().filter_map(secret_of).collect()
        };
        let (proof, locks) = match proof {
            Some((proof, locks)) => (Some(signed(proof)), locks.clone()),
            None => (None, Vec::new()),
        };
        let claims = claims(&locks);
        let (channel, by, close) = (terms().channel_id(), Role::Hub, true);
        let body = Submission { channel, by, close, proof, locks, claims };
        real.block(vec![Transaction::submit(&key(2), body)]);
        payout(real.ledger.channel(&channel).unwrap()).wallet
    }
}

fn signed(proof: &BalanceProof) -> Signed<BalanceProof> {
    Signed::alone(&key(1), *proof, Salt([0; 16]))
}

/// Every proof that the wallet has signed, with its locks.
fn all_proofs(world: &World) -> Vec<(BalanceProof, Vec<Lock>)> {
    let sent = world.records.iter().filter_map(|record| match record {
        Record::Step { step: Step::Sent(flight), .. } => {
            Some((flight.proof, flight.after.locks.clone()))
        }
        _ => None,
    });
    sent.collect()
}

/// What the hub has on the ledger of this channel, as it posts anchors.
fn anchor(world: &World, real: &Real) -> Transaction {
    let wallet_proof = world.hub.channel.incoming().proof.clone();
    let channel = terms().channel_id();
    let hub_transferred = world.hub.channel.outgoing().accepted.transferred;
    let entries = vec![AnchorEntry { channel, wallet_proof, hub_transferred }];
    let (as_of, asset) = (real.ledger.tip().height, AssetId(0));
    let liabilities = Liabilities { as_of, asset, root: Hash([3; 32]), total: Amount(7) };
    real.account(2, AccountAction::Anchor(Anchoring { epoch: 0, entries, liabilities }))
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Pay somebody: the payee takes it, gives it up, or says nothing.
    Pay {
        amount: u64,
        how: u8,
    },
    PayHub(u64),
    HubPays(u64),
    /// Be paid by somebody.
    Paid(u64),
    /// Whoever has said nothing so far gives up.
    GiveUp,
    /// The hub refuses the next update, and keeps it.
    RefuseNext,
    Reconnect,
    Blocks(u64),
    Second,
    Anchor,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1u64..1_500, 0u8..3).prop_map(|(amount, how)| Act::Pay { amount, how }),
        1 => (1u64..400).prop_map(Act::PayHub),
        2 => (1u64..400).prop_map(Act::HubPays),
        2 => (1u64..900).prop_map(Act::Paid),
        1 => Just(Act::GiveUp),
        1 => Just(Act::RefuseNext),
        1 => Just(Act::Reconnect),
        1 => (1u64..60).prop_map(Act::Blocks),
        3 => Just(Act::Second),
        1 => Just(Act::Anchor),
    ]
}

/// The wallet, its hub and their ledger, and every secret that somebody knows or made.
struct Play {
    world: World,
    real: Real,
    secrets: BTreeSet<u8>,
    /// How often a close that the hub could make left the wallet with just what was promised.
    tight: usize,
    promised: u64,
}

impl Play {
    fn new() -> Play {
        let (world, real) = (World::new(), Real::new());
        Play { world, real, secrets: BTreeSet::new(), tight: 0, promised: 0 }
    }

    fn act(&mut self, act: Act) {
        let number = u8::try_from(self.secrets.len()).unwrap() + 10;
        let world = &mut self.world;
        match act {
            Act::Pay { amount, how } => {
                self.secrets.insert(number);
                world.hub.script.fail_others = (how == 1).then_some(Code::RefusedByPayee);
                if how == 0 {
                    let secret = Secret([number; 32]);
                    world.hub.script.secrets.insert(anchor_of(number), secret);
                }
                world.command(pay(3, number, amount));
            }
            Act::PayHub(amount) => {
                let (channel, amount, memo) = (world.id(), Amount(amount), String::new());
                world.command(Command::PayHub { channel, amount, memo });
            }
            // It pays no more than it has.
            Act::HubPays(amount) | Act::Paid(amount) if amount > world.hub.room() => {}
            Act::HubPays(amount) => world.hub_pays(amount),
            Act::Paid(amount) => {
                self.secrets.insert(number);
                world.command(invoice(number, amount));
                world.hub_adds(NewLock::of(number, amount));
            }
            Act::GiveUp => {
                let locks = world.hub.channel.incoming().locks.iter();
                let silent = locks.filter(|(_, lock)| lock.answer.is_none());
                let silent: Vec<u64> = silent.map(|(id, _)| *id).collect();
                silent.into_iter().for_each(|id| world.hub.fail(id, Code::RefusedByPayee));
            }
            Act::RefuseNext => world.hub.script.reject_next = Some(Code::StaleView),
            Act::Reconnect => world.reconnect(),
            Act::Blocks(count) => world.pass(count),
            Act::Second => world.second(),
            Act::Anchor => {}
        }
        self.world.run();
        self.real.up_to(self.world.hub.height);
        if matches!(act, Act::Anchor) {
            let anchor = anchor(&self.world, &self.real);
            self.real.block(vec![anchor]);
            self.world.block(Vec::new());
            self.world.run();
        }
    }

    fn check(&mut self) {
        let shown = self.real.proof();
        let Protection { protected, .. } = self.world.wallet.protected_by(
            self.world.channel(),
            &shown.leaf,
            shown.header.header.height,
        );
        let proofs = all_proofs(&self.world);
        let closes = proofs.iter().map(Some).chain([None]);
        let least = closes.map(|proof| self.real.closed_with(proof, &self.secrets)).min().unwrap();
        assert!(least >= protected, "promised {protected}, and a close leaves {least}");
        self.tight += usize::from(least == protected && protected > Amount::ZERO);
        self.promised += protected.0;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn no_close_of_the_hub_leaves_less_than_what_was_said_to_be_protected(
        acts in proptest::collection::vec(act(), 4..24),
    ) {
        play(&acts);
    }
}

#[test]
fn a_hub_that_has_paid_nearly_all_pays_no_more() {
    let acts = [900, 900, 900, 900, 900, 400].map(Act::Paid);
    let play = play(&[&acts[..], &[Act::HubPays(200)]].concat());
    assert_eq!(play.world.hub.room(), 100);
}

fn play(acts: &[Act]) -> Play {
    let mut play = Play::new();
    for act in acts {
        play.act(*act);
        play.check();
    }
    play
}

/// The promise is no empty one: after each of these the worst that the hub can do leaves just what
/// was promised.
#[test]
fn what_is_said_to_be_protected_is_what_the_worst_close_leaves() {
    use Act::{Anchor, GiveUp, HubPays, Pay, PayHub, RefuseNext, Second};
    let given_up = Pay { amount: 1_000, how: 1 };
    let pending = Pay { amount: 1_000, how: 2 };
    let cases: &[(&str, &[Act], u64)] = &[
        ("the deposit, before anything", &[], 10_000),
        ("what was paid is gone", &[PayHub(300), Second], 9_700),
        ("what the hub paid is not protected", &[HubPays(300), Second], 10_000),
        ("until it is anchored", &[HubPays(300), Second, Anchor], 10_300),
        ("a lock that is pending", &[pending, Second], 8_999),
        ("one that was given up can be claimed in an old proof", &[given_up, Second], 8_999),
        ("until a newer one is anchored", &[given_up, Second, Anchor], 10_000),
        ("in the anchored proof too", &[pending, Second, Anchor, GiveUp, Second], 8_999),
        ("or it has expired", &[given_up, Second, Act::Blocks(260)], 10_000),
        ("what was refused may have been kept", &[RefuseNext, PayHub(300), Second], 9_700),
        ("until a newer one is anchored, too", &[RefuseNext, PayHub(300), Second, Anchor], 10_000),
    ];
    for (what, acts, protected) in cases {
        let mut play = play(acts);
        (play.tight, play.promised) = (0, 0);
        play.check();
        assert_eq!((play.promised, play.tight), (*protected, 1), "{what}");
    }
}

#[test]
fn a_state_proof_is_checked_against_the_wallets_own_view() {
    let mut world = World::new();
    let mut real = Real::new();
    world.wallet = Wallet::new(config());
    // The blocks of the ledger itself.
    let follow = |wallet: &mut Wallet, real: &Real, events| {
        let header = real.newest.unwrap();
        let block = BlockEvents { header, events };
        wallet.handle(Input::Block(Box::new(block)), header.header.time_ms);
    };
    let opened = LedgerEvent::Opened { terms: terms(), deposit: Amount(WALLET_DEPOSIT) };
    follow(&mut world.wallet, &real, vec![opened]);
    let shown = real.proof();
    let now_ms = shown.header.header.time_ms;
    let stale = Policy::development().stale_view_ms;
    let wallet = &world.wallet;
    let protection = wallet.protection(&shown, now_ms).unwrap();
    assert_eq!((protection.protected, protection.as_of), (Amount(10_000), Height(2)));
    assert!(wallet.protection(&shown, now_ms + stale).is_ok());
    assert_eq!(wallet.protection(&shown, now_ms + stale + 1), Err(NotProved::Stale));
    let mut foreign = shown.clone();
    foreign.header = SignedHeader::sign(&key(8), foreign.header.header);
    let bad = Err(NotProved::Bad(BadStateProof::Signature));
    assert_eq!(wallet.protection(&foreign, now_ms), bad);
    let mut richer = shown.clone();
    richer.leaf.directions.hub.floor = Amount(500);
    assert_eq!(wallet.protection(&richer, now_ms), Err(NotProved::Bad(BadStateProof::Path)));
    let mut other = shown.clone();
    other.leaf.channel = ChannelId([7; 32]);
    assert_eq!(wallet.protection(&other, now_ms), Err(NotProved::NoChannel));
    let mut forked = shown.clone();
    forked.header.header.writes = Hash([7; 32]);
    forked.header = SignedHeader::sign(&key(9), forked.header.header);
    assert_eq!(wallet.protection(&forked, now_ms), Err(NotProved::Fork));
    // A proof of the wallet's that the wallet does not know of.
    let mut hub = World::new();
    hub.command(Command::PayHub { channel: hub.id(), amount: Amount(5), memo: String::new() });
    hub.run();
    let anchor = anchor(&hub, &real);
    real.block(vec![anchor]);
    assert_eq!(wallet.protection(&real.proof(), now_ms), Err(NotProved::StateLost));
}
