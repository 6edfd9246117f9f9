//! A wallet that has lost state, and a hub that hides it: what the wallet has signed for the ledger
//! and forgotten, the hub brings last.

use settlement::block::LedgerEvent;
use settlement::channel::Taken;
use settlement::proof::{OpenTerms, Withdrawal};
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, ChannelId, Role, Secret};
use settlement::wire::Message;

use super::super::*;
use super::harness::*;

/// More blocks than the leap takes, and the wait after it.
pub(super) const LEAP: u64 = 22;
pub(super) const WAIT: u64 = 100 + 2 * 20 + 2;

/// The wallet is made anew from its words, a minute later; the hub behaves as if the channel had
/// never been used.
pub(super) fn from_its_words(world: &mut World) {
    world.disconnect();
    world.hub.reopen();
    world.now_ms += 60_000;
    world.records.clear();
    world.restart();
    world.feed(Input::Connected);
    world.run();
}

/// ⚔ A cooperative close is signed and forgotten. What the hub pays or would have the wallet reveal a
/// secret for after that would be lost to it.
#[test]
fn a_wallet_from_its_words_takes_nothing_that_a_forgotten_close_would_take_away() {
    let mut world = World::new();
    let valid_until = world.wallet.height().after(100);
    let close = world.channel().close_terms(valid_until).unwrap();
    world.command(Command::AgreeClose { close });
    assert_eq!(world.refused(), None);
    from_its_words(&mut world);
    assert_eq!(world.channel().suspended(), Some(Code::Recovering));
    world.pass(LEAP);
    world.run();
    assert_eq!((world.channel().suspended(), world.channel().waits_out()), (None, true));
    world.command(invoice(7, 50));
    world.hub_adds(NewLock::of(7, 50));
    world.run();
    world.hub_pays(5);
    world.run();
    assert!(world.hub.failures.iter().all(|(_, code)| *code == Code::Recovering));
    assert_eq!(world.hub.failures.len(), 2);
    assert_eq!((world.hub.learned.len(), world.balance()), (0, WALLET_DEPOSIT));
    let until = world.wallet.height().after(9);
    assert_eq!(world.channel().close_terms(until), Err(Code::Recovering));
    // What it pays itself is no risk.
    world.hub.script.secrets.insert(anchor_of(9), Secret([9; 32]));
    world.command(pay(3, 9, 10));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));

    world.pass(WAIT - LEAP);
    assert!(world.wallet.height() > valid_until, "the close can't be carried any more");
    assert!(!world.channel().waits_out());
    world.hub_adds(NewLock::of(7, 50));
    world.run();
    world.second();
    assert_eq!((world.hub.learned.len(), world.state_of(7)), (1, Some(PaymentState::Settled)));
    let until = world.wallet.height().after(9);
    assert!(world.channel().close_terms(until).is_ok());
}

/// A second channel of the same wallet.
fn second() -> OpenTerms {
    OpenTerms { asset: AssetId(1), nonce: 1, ..terms() }
}

fn open_second(world: &mut World) -> ChannelId {
    world.block(vec![LedgerEvent::Opened { terms: second(), deposit: Amount(10) }]);
    // The hub of these tests has one channel.
    world.forget_unsent();
    second().channel_id()
}

/// A channel that is opened while the wallet runs has nothing to forget, and neither has one on which
/// a start finds all that it knew.
#[test]
fn an_ordinary_start_costs_no_time() {
    let mut world = World::new();
    world.hub_pays(5);
    world.run();
    world.now_ms += 60_000;
    world.restart();
    world.feed(Input::Connected);
    world.block(vec![]);
    world.run();
    world.hub_pays(5);
    world.run();
    assert_eq!(world.balance(), WALLET_DEPOSIT + 10);
    let other = open_second(&mut world);
    for id in [world.id(), other] {
        let channel = world.wallet.channel(&id).unwrap();
        assert_eq!((channel.suspended(), channel.waits_out()), (None, false));
    }
}

/// ⚔ What the hub shows of one channel says of all that they may not be known.
#[test]
fn an_old_copy_that_one_channel_shows_makes_every_channel_leap() {
    let mut world = World::new();
    let other = open_second(&mut world);
    let copy = world.records.len();
    world.command(Command::PayHub { channel: world.id(), amount: Amount(5), memo: String::new() });
    world.run();
    let (proof, locks) = world.hub.channel.their_snapshot().map(|t| (t.proof, t.locks)).unwrap();
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.feed(Input::Connected);
    let shown = Message::snapshot(Taken { proof, locks });
    world.hear(shown);
    let (own, yours) = world.hub.channel.snapshot_refs();
    let channel = world.id();
    world.hear(Message::Sync { channel, own, yours, tip: None });
    for id in [world.id(), other] {
        assert_eq!(world.wallet.channel(&id).unwrap().suspended(), Some(Code::Recovering));
    }
    world.forget_unsent();
    world.pass(WAIT + 1);
    for id in [world.id(), other] {
        let channel = world.wallet.channel(&id).unwrap();
        assert_eq!((channel.suspended(), channel.waits_out()), (None, false));
        assert!(channel.outgoing().last_seq >= (1 << 32) - 1);
    }
}

/// The hub says so when it finds out that it may have forgotten something, and is met at once.
#[test]
fn a_hub_that_asks_for_it_is_met_again_at_once() {
    let mut world = World::new();
    world.forget_unsent();
    let channel = world.id();
    let refusal = Message::Reject { channel, seq: 0, code: Code::Recovering };
    world.hear(refusal.clone());
    let said = world.unsent().clone();
    assert!(
        matches!(said.iter().collect::<Vec<_>>()[..], [Action::Send(Message::Sync { .. })]),
        "{said:?}"
    );
    world.hear(refusal);
    assert_eq!(world.unsent().len(), 1, "once, until it has answered");
    world.run();
    assert!(world.wallet.is_synced(&channel));
}

/// A withdrawal of the hub's that the wallet has signed and forgotten.
#[test]
fn a_forgotten_withdrawal_of_the_hubs_takes_nothing() {
    let mut world = World::new();
    let withdrawal = Withdrawal {
        channel: world.id(),
        role: Role::Hub,
        total_withdrawn: Amount(HUB_DEPOSIT),
        valid_until: world.wallet.height().after(100),
    };
    world.command(Command::AgreeWithdrawal { withdrawal });
    assert_eq!(world.refused(), None);
    from_its_words(&mut world);
    world.pass(LEAP);
    world.run();
    world.hub_pays(HUB_DEPOSIT);
    world.run();
    assert_eq!(world.balance(), WALLET_DEPOSIT, "not taken");
    let (channel, total) = (world.id(), Amount(HUB_DEPOSIT));
    world.block(vec![LedgerEvent::Withdrawn { channel, role: Role::Hub, total }]);
    assert_eq!(world.channel().suspended(), None, "nobody has overdrawn");
}

/// ⚔ The invoice is being paid, and the wallet has forgotten it. In another channel it would be locked
/// a second time, while the hub keeps the proof with the first lock.
#[test]
fn no_invoice_is_paid_while_a_lock_for_it_may_be_forgotten() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.hub.script.mute = true;
    from_its_words(&mut world);
    world.pass(LEAP);
    world.run();
    let other = OpenTerms { nonce: 1, ..terms() };
    let deposit = Amount(2 * WALLET_DEPOSIT);
    world.block(vec![LedgerEvent::Opened { terms: other, deposit }]);
    world.forget_unsent();
    world.command(pay(3, 9, 10));
    assert_eq!(world.refused(), Some((Code::Recovering, Some(anchor_of(9)))));
    assert_eq!(world.state_of(9), None);

    // The hub signs that it holds what came after: an older proof counts no more.
    world.hub.script.mute = false;
    world.hub.script.secrets.insert(anchor_of(9), Secret([9; 32]));
    world.block(vec![LedgerEvent::CloseStarted {
        channel: other.channel_id(),
        by: Role::Wallet,
        proofs_until: world.wallet.height().after(1_000),
    }]);
    world.forget_unsent();
    world.reconnect();
    world.run();
    world.command(pay(3, 9, 10));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// A lock of which the copy knows and which it had not answered: the secret may be out, and paid for.
#[test]
fn while_it_waits_a_wallet_neither_shows_a_secret_nor_gives_a_lock_up() {
    let mut world = World::new();
    world.command(invoice(7, 50));
    world.hub_adds(NewLock::of(7, 50));
    world.run_once();
    // The answer is lost on the way.
    world.forget_unsent();
    let received = |record: &Record| {
        matches!(record, Record::Step { step: settlement::channel::Step::Received(_), .. })
    };
    let copy = world.records.iter().position(received).unwrap() + 1;
    world.command(Command::PayHub { channel: world.id(), amount: Amount(5), memo: String::new() });
    world.run();
    let shown = Message::snapshot(world.hub.channel.their_snapshot().unwrap());
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.feed(Input::Connected);
    world.hear(shown);
    let (own, yours) = world.hub.channel.snapshot_refs();
    let channel = world.id();
    world.hear(Message::Sync { channel, own, yours, tip: None });
    assert_eq!(world.channel().suspended(), Some(Code::Recovering));
    world.pass(LEAP);
    world.run();
    assert!(world.channel().waits_out() && world.wallet.is_synced(&channel));
    world.second();
    let unanswered =
        |world: &World| world.channel().incoming().locks.values().any(|l| l.answer.is_none());
    assert!(unanswered(&world));
    assert_eq!((world.hub.failures.len(), world.hub.learned.len()), (0, 0));
}

/// The hub's deposit may be in a block that is yet to come: then what is shown would not be funded.
#[test]
fn what_is_shown_before_the_view_is_fresh_is_asked_for_again() {
    let mut world = World::new();
    let copy = world.records.len();
    world.command(Command::PayHub { channel: world.id(), amount: Amount(5), memo: String::new() });
    world.run();
    let shown = Message::snapshot(world.hub.channel.their_snapshot().unwrap());
    let (own, yours) = world.hub.channel.snapshot_refs();
    let sync = Message::Sync { channel: world.id(), own, yours, tip: None };
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.now_ms += world.wallet.config.policy.stale_view_ms + 1;
    world.feed(Input::Connected);
    world.hear(shown.clone());
    world.hear(sync.clone());
    assert!(!world.wallet.is_synced(&world.id()) && world.channel().suspended().is_none());
    world.block(Vec::new());
    world.forget_unsent();
    world.now_ms += 1_000;
    world.feed(Input::Tick);
    let asks = |action: &Action| matches!(action, Action::Send(Message::Sync { .. }));
    assert!(world.unsent().iter().any(asks));
    world.hear(shown);
    world.hear(sync);
    assert_eq!(world.channel().suspended(), Some(Code::Recovering));
}
