//! Every refusal of a transaction by name, and what each transaction does when it is taken.

use std::collections::BTreeSet;

use super::super::fixture::*;
use super::super::mempool::{Mempool, MempoolConfig};
use super::super::verified::TX_BYTES_MAX;
use super::*;
use crate::crypto::Signable;
use crate::params::Genesis;
use crate::proof::Net;
use crate::tx::Submission;
use crate::types::{LedgerId, PublicKey, Salt, Secret, Signature};

/// An open channel, a closing one and one whose window is over but whose lock is not.
struct Cases {
    world: World,
    open: ChannelId,
    closing: ChannelId,
    late: ChannelId,
}

fn cases() -> Cases {
    let mut world = World::new();
    let late = world.open(100, 0);
    let locks = [lock(7, 5, 1, 2_000)];
    world.done(world.bring(Role::Hub, true, proof(late, Role::Wallet, 3, 10, &locks), &locks));
    let (open, closing) = (world.open(100, 50), world.open(100, 0));
    world.advance_to(60);
    world.done(world.bring(Role::Hub, true, proof(closing, Role::Wallet, 3, 10, &[]), &[]));
    Cases { world, open, closing, late }
}

fn with_nonce(world: &World, nonce: u64) -> Transaction {
    let action = AccountAction::Transfer { to: key(5).public(), asset: EUR, amount: Amount(1) };
    let body =
        AccountTx { ledger: world.ledger.id(), account: world.wallet.public(), nonce, action };
    Transaction::account(&world.wallet, body)
}

fn transfer_of(world: &World, asset: u32, amount: u64) -> Transaction {
    let action = AccountAction::Transfer {
        to: key(5).public(),
        asset: AssetId(asset),
        amount: Amount(amount),
    };
    world.account_tx(Role::Wallet, action)
}

fn open_with(world: &World, change: impl FnOnce(&mut OpenTerms)) -> Transaction {
    let mut terms = world.terms();
    change(&mut terms);
    let deposit = Amount(1);
    world.account_tx(Role::Wallet, AccountAction::Open { terms, deposit })
}

fn cooperative(channel: ChannelId) -> CooperativeClose {
    CooperativeClose {
        channel,
        wallet_amount: Amount(90),
        hub_amount: Amount(60),
        wallet_net: Net::new(100).unwrap(),
        hub_net: Net::new(50).unwrap(),
        valid_until: Height(1_000),
    }
}

fn of_another_ledger(world: &World) -> Transaction {
    let Transaction::Account { mut body, .. } = world.transfer(Role::Wallet, key(5).public(), 1)
    else {
        unreachable!()
    };
    body.ledger = LedgerId([1; 32]);
    Transaction::account(&world.wallet, body)
}

fn large(world: &World, open: ChannelId) -> Transaction {
    let locks: Vec<_> = (0..2_000).map(|_| lock(1, 1, 1, 9)).collect();
    let tx = world.submit_tx(Submission { locks, ..submission(open, Role::Hub) });
    assert!(crate::encoding::encode(&tx).len() > TX_BYTES_MAX);
    tx
}

/// Name, transaction, answer.
type Row = (&'static str, Transaction, Code);

fn table(cases: &Cases) -> Vec<Row> {
    [of_accounts(&cases.world), of_channels(cases), submissions(cases)].concat()
}

fn of_accounts(w: &World) -> Vec<Row> {
    let unsigned = |tx: Transaction| match tx {
        Transaction::Account { body, .. } => {
            Transaction::Account { body, signature: Signature([1; 64]) }
        }
        other => other,
    };
    vec![
        ("to no key", w.transfer(Role::Wallet, PublicKey([9; 33]), 1), Code::MalformedTransaction),
        ("signature", unsigned(w.transfer(Role::Wallet, key(5).public(), 1)), Code::TxBadSignature),
        ("another ledger", of_another_ledger(w), Code::TxWrongLedger),
        ("nonce again", with_nonce(w, 2), Code::BadNonce),
        ("nonce ahead", with_nonce(w, 4), Code::BadNonce),
        ("mint's number", w.mint_tx(1, 1), Code::BadNonce),
        ("too much", transfer_of(w, 0, 701), Code::InsufficientFunds),
        ("asset", transfer_of(w, 2, 1), Code::UnknownAsset),
        ("same keys", open_with(w, |t| t.hub = t.wallet), Code::BadTerms),
        ("hub is no key", open_with(w, |t| t.hub = PublicKey([9; 33])), Code::BadTerms),
        ("other nonce", open_with(w, |t| t.nonce += 1), Code::BadTerms),
        ("other's wallet", open_with(w, |t| t.wallet = key(5).public()), Code::BadTerms),
        ("other ledger's terms", open_with(w, |t| t.ledger = LedgerId([1; 32])), Code::BadTerms),
        ("short window", open_with(w, |t| t.challenge_blocks = WINDOW - 1), Code::BadTerms),
        ("long window", open_with(w, |t| t.challenge_blocks = 10_001), Code::BadTerms),
        ("anchor of an epoch", w.anchor_tx(1, vec![]), Code::StaleEpoch),
        ("lease that does not rise", w.lease_tx(0), Code::StaleEpoch),
        ("zero", transfer_of(w, 0, 0), Code::TxZeroAmount),
        ("zero mint", w.mint_tx(0, 0), Code::TxZeroAmount),
        ("too much money", w.mint_tx(0, u64::MAX), Code::TxOverflow),
    ]
}

fn of_channels(cases: &Cases) -> Vec<Row> {
    let w = &cases.world;
    let (open, closing, late) = (cases.open, cases.closing, cases.late);
    let height = w.height();
    let nowhere = ChannelId([7; 32]);
    let withdrawn_by_wallet_alone = match w.withdraw_tx(open, Role::Wallet, 1, 1_000) {
        Transaction::Withdraw { body, wallet, .. } => {
            Transaction::Withdraw { body, wallet, hub: wallet }
        }
        other => other,
    };
    vec![
        ("one of two signatures", withdrawn_by_wallet_alone, Code::TxBadSignature),
        ("settle nowhere", Transaction::Settle { channel: nowhere }, Code::NoSuchChannel),
        ("deposit closing", w.deposit_tx(closing, Role::Hub, 1), Code::NotOpen),
        ("withdraw closing", w.withdraw_tx(closing, Role::Wallet, 1, 1_000), Code::NotOpen),
        ("nothing withdrawn", w.withdraw_tx(open, Role::Wallet, 0, 1_000), Code::NotRising),
        ("withdrawn late", w.withdraw_tx(open, Role::Wallet, 1, height), Code::TooLate),
        ("more than is there", w.withdraw_tx(open, Role::Wallet, 151, 1_000), Code::EscrowMismatch),
        (
            "split above the escrow",
            w.cooperative_tx(CooperativeClose { hub_amount: Amount(61), ..cooperative(open) }),
            Code::EscrowMismatch,
        ),
        (
            "split with a negative part",
            w.cooperative_tx(CooperativeClose {
                wallet_amount: Amount(0),
                hub_amount: Amount(150),
                wallet_net: Net::new(101).unwrap(),
                hub_net: Net::new(49).unwrap(),
                ..cooperative(open)
            }),
            Code::EscrowMismatch,
        ),
        ("settle while open", Transaction::Settle { channel: open }, Code::NotDue),
        ("settle in the window", Transaction::Settle { channel: closing }, Code::NotDue),
        ("settle before the lock", Transaction::Settle { channel: late }, Code::NotDue),
        ("anchor of another's", anchor_of_anothers(w, open), Code::BadAnchor),
        ("zero deposit", w.deposit_tx(open, Role::Wallet, 0), Code::TxZeroAmount),
    ]
}

/// Signed by the wallet, as if it were the hub.
fn anchor_of_anothers(w: &World, channel: ChannelId) -> Transaction {
    let anchor = w.anchoring(0, vec![w.entry(channel, None, 1)]);
    w.account_tx(Role::Wallet, AccountAction::Anchor(anchor))
}

/// A wallet's proofs are brought by the hub.
fn submissions(cases: &Cases) -> Vec<Row> {
    let w = &cases.world;
    let (open, closing, late) = (cases.open, cases.closing, cases.late);
    let nowhere = ChannelId([7; 32]);
    let newer = proof(closing, Role::Wallet, 4, 20, &[]);
    let twice = [(1, Secret([1; 32])), (1, Secret([2; 32]))];
    let proof_by_the_submitter = w.submit_tx(Submission {
        proof: Some(crate::crypto::Signed::alone(&w.hub, newer, Salt([0; 16]))),
        ..submission(closing, Role::Hub)
    });
    let locks = [lock(1, 5, 1, 500)];
    vec![
        ("a claim twice", w.claim(closing, Role::Hub, &twice), Code::MalformedTransaction),
        ("proof's signature", proof_by_the_submitter, Code::TxBadSignature),
        ("no channel", w.close(nowhere, Role::Hub), Code::NoSuchChannel),
        ("own proof", w.bring(Role::Wallet, false, newer, &[]), Code::ProofNotTheOthers),
        (
            "another channel's proof",
            w.submit_tx(Submission { proof: Some(w.sign(newer)), ..submission(late, Role::Hub) }),
            Code::ProofNotTheOthers,
        ),
        ("locks under no root", w.bring(Role::Hub, false, newer, &locks), Code::LocksMismatch),
        (
            "locks without a proof",
            w.submit_tx(Submission { locks: locks.to_vec(), ..submission(closing, Role::Hub) }),
            Code::LocksMismatch,
        ),
        ("claim while open", w.claim(open, Role::Hub, &twice[..1]), Code::ClaimsOnOpenChannel),
        ("nothing while open", w.submit_tx(submission(open, Role::Hub)), Code::ChangesNothing),
        ("close again", w.close(closing, Role::Wallet), Code::ChangesNothing),
        (
            "older proof",
            w.bring(Role::Hub, true, proof(closing, Role::Wallet, 2, 90, &[]), &[]),
            Code::ChangesNothing,
        ),
        (
            "another proof of the same number",
            w.bring(Role::Hub, true, proof(closing, Role::Wallet, 3, 90, &[]), &[]),
            Code::ChangesNothing,
        ),
        ("claim on no lock", w.claim(closing, Role::Hub, &twice[..1]), Code::ChangesNothing),
        ("too large", large(w, open), Code::TxTooLarge),
        (
            "after the window",
            w.bring(Role::Hub, false, proof(late, Role::Wallet, 4, 20, &[]), &[]),
            Code::WindowOver,
        ),
    ]
}

#[test]
fn each_refusal_by_name() {
    let cases = cases();
    for (name, tx, code) in table(&cases) {
        assert_eq!(cases.world.answer(&tx), Err(code), "{name}");
    }
}

/// What passes its face but not the state is refused in a block in the same way, and the block
/// goes on.
#[test]
fn a_block_refuses_as_the_check_does_and_goes_on() {
    let mut cases = cases();
    let stateful = table(&cases).into_iter();
    let stateful = stateful.filter(|(_, tx, _)| cases.world.ledger.verify_tx(tx.clone()).is_ok());
    let (mut txs, mut codes): (Vec<_>, Vec<_>) =
        stateful.map(|(_, tx, code)| (tx, Err(code))).unzip();
    assert!(txs.len() > 15);
    txs.push(cases.world.transfer(Role::Hub, key(5).public(), 1));
    codes.push(Ok(()));
    let applied = cases.world.block(txs);
    let outcomes: Vec<_> = applied.outcomes.iter().map(|(_, outcome)| *outcome).collect();
    assert_eq!(outcomes, codes);
    let refused = applied.events.iter().filter(|e| matches!(e, LedgerEvent::Refused { .. }));
    assert_eq!(refused.count(), codes.len() - 1);
}

#[test]
fn the_table_names_every_code_of_transactions() {
    let cases = cases();
    let mut named: BTreeSet<Code> = table(&cases).into_iter().map(|(_, _, code)| code).collect();
    // Each in a test of its own below.
    named.extend([Code::NoFaucet, Code::QueueFull, Code::ChannelExists, Code::EnvelopeNeeded]);
    let all = Code::ALL.iter().filter(|code| (400..500).contains(&code.number()));
    let missing: Vec<_> = all.filter(|code| !named.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn there_is_no_faucet_outside_development() {
    let world = World::with(Genesis { development: false, challenge_blocks_min: 140, ..genesis() });
    assert_eq!(world.answer(&world.mint_tx(0, 1)), Err(Code::NoFaucet));
}

#[test]
fn only_the_ledgers_key_mints() {
    let world = World::new();
    let Transaction::Mint { body, .. } = world.mint_tx(0, 1) else { unreachable!() };
    let signature = world.hub.sign(&body.digest());
    let tx = Transaction::Mint { body, signature };
    assert_eq!(world.answer(&tx), Err(Code::TxBadSignature));
}

#[test]
fn a_full_queue_refuses() {
    let world = World::new();
    for config in [
        MempoolConfig { count: 0, ..MempoolConfig::default() },
        MempoolConfig { bytes: 10, ..MempoolConfig::default() },
    ] {
        let tx = world.transfer(Role::Wallet, key(5).public(), 1);
        let answer = Mempool::new(config).submit(&world.ledger, tx);
        assert_eq!(answer, Err(Code::QueueFull));
    }
}

/// Nonces make it impossible, so the state is forged here.
#[test]
fn a_channel_is_never_opened_over_another() {
    let mut world = World::new();
    let tx = world.open_tx(10);
    let channel = ChannelState::new(world.terms(), 0, Height(1), Amount(0));
    world.ledger.state.put_channel(world.terms().channel_id(), Some(channel));
    assert_eq!(world.answer(&tx), Err(Code::ChannelExists));
}

#[test]
fn a_refused_account_transaction_spends_no_nonce() {
    let mut world = World::new();
    let before = world.ledger.account(&world.wallet.public());
    world.block(vec![transfer_of(&world, 0, 5_000)]);
    assert_eq!(world.ledger.account(&world.wallet.public()), before);
}

#[test]
fn money_goes_where_it_is_sent() {
    let mut world = World::new();
    world.done(world.transfer(Role::Wallet, world.hub.public(), 300));
    assert_eq!((world.balance(Role::Wallet), world.balance(Role::Hub)), (700, 1_300));
    world.done(world.transfer(Role::Wallet, world.wallet.public(), 700));
    assert_eq!(world.balance(Role::Wallet), 700);
    world.done(world.transfer(Role::Wallet, world.hub.public(), 700));
    let account = world.ledger.account(&world.wallet.public());
    assert_eq!((account.nonce, account.balance(EUR)), (3, Amount(0)));
    assert_eq!(account.balances.len(), 1, "an empty balance is no row");
}

#[test]
fn withdrawals_pay_the_difference_to_the_right_account() {
    let mut world = World::new();
    let id = world.open(100, 50);
    world.done(world.withdraw_tx(id, Role::Hub, 30, 100));
    world.done(world.withdraw_tx(id, Role::Hub, 70, 100));
    assert_eq!((world.balance(Role::Wallet), world.balance(Role::Hub)), (900, 1_020));
    assert_eq!(world.channel(id).escrow(), 80);
    assert_eq!(world.channel(id).net(Role::Hub), -20);
    let again = world.withdraw_tx(id, Role::Hub, 70, 100);
    assert_eq!(world.answer(&again), Err(Code::NotRising));
}

/// What moved after the signers agreed goes to the side that moved it.
#[test]
fn a_cooperative_close_adds_what_moved_since() {
    let agreed = |world: &World, id| world.cooperative_tx(cooperative(id));
    let mut world = World::new();
    let id = world.open(100, 50);
    let tx = agreed(&world, id);
    world.done(world.deposit_tx(id, Role::Wallet, 7));
    world.done(world.withdraw_tx(id, Role::Hub, 20, 100));
    let events = world.done(tx);
    assert_eq!(
        events,
        [LedgerEvent::Settled {
            channel: id,
            wallet: Amount(97),
            hub: Amount(40),
            cooperative: true
        }]
    );
    assert_eq!((world.balance(Role::Wallet), world.balance(Role::Hub)), (990, 1_010));
    assert!(world.ledger.channel(&id).is_none());
}

#[test]
fn a_cooperative_close_ends_a_window_too() {
    let mut world = World::new();
    let id = world.open(100, 50);
    world.done(world.close(id, Role::Wallet));
    world.done(world.cooperative_tx(cooperative(id)));
    assert!(world.ledger.channel(&id).is_none());
    world.advance_to(60);
    assert_eq!((world.balance(Role::Wallet), world.balance(Role::Hub)), (990, 1_010));
}

#[test]
fn co_signed_transactions_are_valid_until_and_with_their_height() {
    for (after, taken) in [(0, true), (1, true), (2, false)] {
        let mut world = World::new();
        let id = world.open(100, 50);
        let until = world.height() + 2;
        world.advance_to(until - 2 + after);
        let close = world
            .cooperative_tx(CooperativeClose { valid_until: Height(until), ..cooperative(id) });
        let expected = if taken { Ok(()) } else { Err(Code::TooLate) };
        assert_eq!(world.answer(&close), expected, "{after}");
        let withdraw = world.withdraw_tx(id, Role::Wallet, 1, until);
        assert_eq!(world.answer(&withdraw), expected, "{after}");
    }
}

#[test]
fn minted_money_counts_as_issued() {
    let mut world = World::new();
    world.done(world.mint_tx(0, 500));
    world.done(world.mint_tx(1, 1));
    assert_eq!(world.balance(Role::Wallet), 1_501);
    assert_eq!(world.ledger.held()[&EUR], 2_501);
}
