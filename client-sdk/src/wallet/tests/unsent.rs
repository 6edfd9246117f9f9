//! What an old copy of a home says of payments of which it does not know how they ended.

use settlement::block::LedgerEvent;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Role, Secret};
use settlement::wire::Message;

use super::super::*;
use super::forgotten::{LEAP, WAIT, from_its_words};
use super::harness::*;

/// A home from before the update that took a payment along: whether that fails is not known before the
/// hub has shown what it has.
#[test]
fn an_old_copy_says_nothing_of_a_payment_that_may_have_been_sent() {
    for sent in [true, false] {
        let mut world = World::new();
        world.command(pay(3, 9, 10));
        let wanted = world.records.iter().rposition(|r| matches!(r, Record::Payment(_))).unwrap();
        if sent {
            world.run();
        }
        let (own, yours) = world.hub.channel.snapshot_refs();
        let shown = world.hub.channel.their_snapshot().map(Message::snapshot);
        world.disconnect();
        world.records.truncate(wanted + 1);
        world.restart();
        assert_eq!(world.state_of(9), Some(PaymentState::Pending));
        world.feed(Input::Connected);
        let channel = world.id();
        shown.into_iter().for_each(|shown| world.hear(shown));
        world.hear(Message::Sync { channel, own, yours, tip: None });
        world.forget_unsent();
        world.pass(WAIT + 1);
        let found = world.wallet.payment(&anchor_of(9)).unwrap();
        let state =
            if sent { PaymentState::Pending } else { PaymentState::Failed(Code::HubUnavailable) };
        assert_eq!((found.state, found.lock.is_some()), (state, sent), "sent: {sent}");
    }
}

/// A home from before a payment was sent, or from when its lock stood, started after it was paid; with what the
/// hub, which has nothing left of the lock, shows when they meet.
pub(super) fn old_copy(sent: bool) -> (World, [Message; 2]) {
    let mut world = World::new();
    asks(&mut world, 9);
    let wanted = world.records.iter().rposition(|r| matches!(r, Record::Payment(_))).unwrap();
    world.run();
    let copy = if sent { world.records.len() } else { wanted + 1 };
    world.hub.reveal(1, Secret([9; 32]));
    world.run();
    world.second();
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
    assert!(world.hub.channel.incoming().tally.locks.is_empty(), "paid, and gone");
    let shown = restore(&mut world, copy);
    (world, shown)
}

/// Starts the wallet on its first so many records; what the hub shows when they meet.
pub(super) fn restore(world: &mut World, copy: usize) -> [Message; 2] {
    let shown = what_the_hub_shows(world);
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    shown
}

pub(super) fn what_the_hub_shows(world: &World) -> [Message; 2] {
    let (own, yours) = world.hub.channel.snapshot_refs();
    let shown = Message::snapshot(world.hub.channel.their_snapshot().unwrap());
    [shown, Message::Sync { channel: world.id(), own, yours, tip: None }]
}

pub(super) const UNKNOWN: Option<PaymentState> = Some(PaymentState::Failed(Code::StateLost));

/// Nothing that the hub shows tells of it.
#[test]
fn an_old_copy_does_not_say_that_it_has_its_money_back_of_a_payment_that_was_paid() {
    let (mut world, shown) = old_copy(false);
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    assert_eq!(world.state_of(9), Some(PaymentState::Pending), "it may stand in another channel");
    world.pass(LEAP);
    world.run();
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// It has leapt, and not met the hub since: what was lost then is as unknown as on the first day.
#[test]
fn an_old_copy_that_was_away_after_its_leap_still_does_not_know() {
    let (mut world, shown) = old_copy(false);
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.disconnect();
    world.pass(LEAP);
    for _ in 0..=world.wallet.config.policy.lock_life {
        world.now_ms += 200;
        world.hub.height += 1;
        let block = world.block_at(world.hub.height, Vec::new());
        world.blocks.insert(world.hub.height, block);
    }
    world.restart();
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.feed(Input::Connected);
    world.run();
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// The hub closes the channel, with a proof that the copy does not have.
pub(super) fn hub_closes(world: &mut World) {
    let events = closing(world);
    world.block(events.to_vec());
}

pub(super) fn closing(world: &World) -> [LedgerEvent; 2] {
    let proof = world.hub.channel.their_snapshot().unwrap().proof.value;
    let (channel, proofs_until) = (world.id(), world.wallet.height().after(50));
    [
        LedgerEvent::CloseStarted { channel, by: Role::Hub, proofs_until },
        LedgerEvent::ProofRecorded { proof, locks: Vec::new() },
    ]
}

pub(super) fn is_paid_out(world: &mut World) {
    let (channel, wallet, hub) = (world.id(), Amount(1), Amount(2));
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: false }]);
}

/// The hub is not met again.
#[test]
fn an_old_copy_whose_channel_is_closed_with_more_than_it_knows_does_not_know() {
    let (mut world, _) = old_copy(false);
    hub_closes(&mut world);
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    is_paid_out(&mut world);
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// An invoice that can be paid up to height 300.
fn asks(world: &mut World, secret: u8) {
    let invoice = invoice_by(3, secret, 10, 300).to_text(&key(3)).unwrap();
    world.command(Command::Pay { invoice });
}

pub(super) fn fails(world: &mut World, secret: u8) {
    asks(world, secret);
    world.run();
    world.hub.fail(1, Code::PayeeOffline);
    world.run();
    world.second();
    world.run();
    assert_eq!(world.state_of(secret), Some(PaymentState::Failed(Code::PayeeOffline)));
}

pub(super) fn pays_again(world: &mut World) {
    world.command(pay(3, 9, 10));
    world.run();
    world.hub.reveal(2, Secret([9; 32]));
    world.run();
    world.second();
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// A payment failed, and was paid when it was asked for again, which the copy does not know; or it was not, and
/// the copy is of what was known to the end.
#[test]
fn an_old_copy_does_not_say_that_a_payment_failed_that_was_made_again() {
    for (paid, expected) in [(true, Code::StateLost), (false, Code::PayeeOffline)] {
        let mut world = World::new();
        fails(&mut world, 9);
        let failed = world.state_of(9);
        let copy = world.records.len();
        if paid {
            pays_again(&mut world);
        }
        let shown = restore(&mut world, copy);
        world.feed(Input::Connected);
        assert_eq!(world.state_of(9), failed, "paid: {paid}, not met");
        shown.into_iter().for_each(|shown| world.hear(shown));
        world.pass(LEAP);
        world.run();
        assert_eq!(world.state_of(9), Some(PaymentState::Failed(expected)), "paid: {paid}");
    }
}

/// A payment had failed when the process ended. Asked for again before the hub is met, it waits for the answer
/// to an update of before, and goes its way then.
#[test]
fn a_payment_that_had_failed_is_made_again_after_a_restart() {
    let mut world = World::new();
    fails(&mut world, 9);
    world.command(pay(3, 8, 10));
    world.forget_unsent();
    let (own, yours) = world.hub.channel.snapshot_refs();
    world.disconnect();
    world.restart();
    world.feed(Input::Connected);
    world.command(pay(3, 9, 10));
    let channel = world.id();
    world.hear(Message::Sync { channel, own, yours, tip: None });
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.run();
    world.hub.reveal(3, Secret([9; 32]));
    world.run();
    world.second();
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Settled));
}

/// Its invoice could not be paid any more when the copy was made.
#[test]
fn an_old_copy_knows_that_a_payment_failed_whose_invoice_had_run_out() {
    for (until, code) in [(300, Code::StateLost), (301, Code::PayeeOffline)] {
        let mut world = World::new();
        fails(&mut world, 8);
        world.pass(until - 1 - world.wallet.height().0);
        // A block that tells of the wallet is recorded.
        let (channel, total) = (world.id(), Amount(HUB_DEPOSIT));
        world.block(vec![LedgerEvent::Deposited { channel, role: Role::Hub, total }]);
        let copy = world.records.len();
        world.command(pay(3, 9, 10));
        world.run();
        let shown = restore(&mut world, copy);
        world.feed(Input::Connected);
        shown.into_iter().for_each(|shown| world.hear(shown));
        world.pass(LEAP);
        world.run();
        assert_eq!(world.state_of(8), Some(PaymentState::Failed(code)), "until {until}");
    }
}

/// The copy has its lock, whose time is over by now.
#[test]
fn an_old_copy_does_not_say_that_a_lock_expired_before_the_hub_has_shown_how_it_ended() {
    let (mut world, shown) = old_copy(true);
    world.pass(world.wallet.config.policy.lock_life);
    let expiry = world.channel().outgoing().standing.values().next().unwrap().lock.expiry;
    assert!(expiry <= world.wallet.height(), "{expiry:?}");
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// A home from before a payment, whose user pays the same invoice again, while the wallet still waits out
/// an earlier loss: the lock that the hub shows is what the payment comes to.
#[test]
fn an_old_copy_does_not_fail_a_payment_that_it_had_sent_and_is_asked_for_again() {
    let mut world = World::new();
    from_its_words(&mut world);
    world.pass(LEAP);
    world.run();
    assert_eq!((world.channel().suspended(), world.channel().waits_out()), (None, true));
    let copy = world.records.len();
    world.command(pay(3, 9, 10));
    world.run();
    let (own, yours) = world.hub.channel.snapshot_refs();
    let shown = Message::snapshot(world.hub.channel.their_snapshot().unwrap());
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.feed(Input::Connected);
    world.command(pay(3, 9, 10));
    assert_eq!((world.refused(), world.state_of(9)), (None, Some(PaymentState::Pending)));
    let channel = world.id();
    world.hear(shown);
    world.hear(Message::Sync { channel, own, yours, tip: None });
    world.forget_unsent();
    world.pass(WAIT + 1);
    let found = world.wallet.payment(&anchor_of(9)).unwrap();
    assert_eq!((found.state, found.lock.is_some()), (PaymentState::Pending, true));
}

/// Asked for again before the hub is met, it is wanted anew; the connection ends before the hub shows that it
/// is paid, or stands.
#[test]
fn an_old_copy_does_not_fail_what_it_was_asked_for_again_before_it_has_met() {
    let mut world = World::new();
    let copy = world.records.len();
    world.command(pay(3, 9, 10));
    world.run();
    world.disconnect();
    world.records.truncate(copy);
    world.restart();
    world.feed(Input::Connected);
    world.command(pay(3, 9, 10));
    world.disconnect();
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.pass(world.wallet.config.policy.lock_life + 2);
    assert_eq!(world.state_of(9), Some(PaymentState::Failed(Code::HubUnavailable)));
}

/// A wallet that never runs for long, and whose hub is gone.
#[test]
fn a_lock_ends_a_life_after_its_expiry_in_whichever_process() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    world.run();
    let expiry = world.channel().outgoing().standing.values().next().unwrap().lock.expiry;
    world.disconnect();
    let life = world.wallet.config.policy.lock_life;
    while world.wallet.height() < expiry.after(life) {
        world.restart();
        world.pass(10.min(expiry.after(life).0 - world.wallet.height().0));
        assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    }
    world.restart();
    world.pass(1);
    assert_eq!(world.state_of(9), Some(PaymentState::Failed(Code::Expired)));
}

/// A hub that is never met again shows nothing.
#[test]
fn a_payment_that_may_have_been_sent_fails_once_its_lock_would_have_expired() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    let wanted = world.records.iter().rposition(|r| matches!(r, Record::Payment(_))).unwrap();
    world.disconnect();
    world.records.truncate(wanted + 1);
    world.restart();
    world.pass(world.wallet.config.policy.lock_life);
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    world.pass(2);
    assert_eq!(world.state_of(9), Some(PaymentState::Failed(Code::HubUnavailable)));
}

/// A payment that failed in another channel, after the one of an earlier loss was paid out.
#[test]
fn a_loss_that_is_paid_out_is_no_reason_to_doubt_what_failed_since() {
    let (mut world, _) = old_copy(false);
    hub_closes(&mut world);
    is_paid_out(&mut world);
    let state = PaymentState::Failed(Code::PayeeOffline);
    let of_loss = world.wallet.payment(&anchor_of(9)).unwrap().clone();
    let since = Payment { anchor: anchor_of(7), state, lock: None, ..of_loss };
    let wanted = Payment { anchor: anchor_of(8), state: PaymentState::Pending, ..since.clone() };
    world.records.extend([since, wanted].map(Record::Payment));
    world.restart();
    world.pass(1);
    assert_eq!(world.state_of(7), Some(state));
    assert_eq!(world.state_of(8), Some(PaymentState::Failed(Code::HubUnavailable)));
}

/// Another channel of the same asset.
pub(super) fn opens_another(world: &mut World) -> ChannelId {
    let terms = OpenTerms { nonce: 1, ..terms() };
    world.block(vec![LedgerEvent::Opened { terms, deposit: Amount(10) }]);
    world.forget_unsent();
    terms.channel_id()
}

pub(super) fn closes(world: &mut World, channel: ChannelId) {
    let proofs_until = world.wallet.height().after(400);
    world.block(vec![LedgerEvent::CloseStarted { channel, by: Role::Hub, proofs_until }]);
}

/// The other channel of the asset closes and is never met; what one has lost is all certain again by the time
/// that it is paid out.
#[test]
fn a_loss_is_remembered_while_another_channel_is_not_met() {
    let mut world = World::new();
    fails(&mut world, 9);
    let other = opens_another(&mut world);
    let copy = world.records.len();
    pays_again(&mut world);
    closes(&mut world, other);
    world.run();
    let shown = restore(&mut world, copy);
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.pass(LEAP);
    world.run();
    world.hub_pays(5);
    world.run();
    world.second();
    world.run();
    assert!(world.channel().is_certain());
    let (wallet, hub) = (Amount(10), Amount(0));
    world.block(vec![LedgerEvent::Settled { channel: other, wallet, hub, cooperative: false }]);
    world.run();
    assert_eq!(world.state_of(9), UNKNOWN);
}
