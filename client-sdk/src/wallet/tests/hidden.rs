//! What a wallet on an old copy says once the ledger shows a loss, whether or not the hub was met before; and what it
//! does not say before it has followed the newest blocks.

use settlement::block::LedgerEvent;
use settlement::crypto::Signed;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::harness::*;
use super::unsent::*;

/// ⚔ The hub meets as if nothing had been lost: it says what the copy has.
fn hides(world: &mut World) {
    world.feed(Input::Connected);
    let (yours, own) = world.channel().snapshot_refs();
    let channel = world.id();
    world.hear(Message::Sync { channel, own, yours, tip: None });
    world.forget_unsent();
    assert!(world.wallet.is_synced(&world.id()));
}

/// ⚔ And then closes with what it hid.
fn hides_and_brings(mut world: World, blocks: u64) {
    hides(&mut world);
    hub_closes(&mut world);
    assert!(world.channel().has_signed_more(), "it is known that state is lost");
    world.pass(blocks);
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// ⚔ The hub has met the copy as if nothing were lost, and closes with what it hid.
#[test]
fn what_a_hub_has_hidden_and_brings_before_the_ledger_puts_a_pending_lock_in_doubt() {
    let (world, _) = old_copy(true);
    let life = world.wallet.config.policy.lock_life;
    hides_and_brings(world, life + 2);
}

/// ⚔ The same for one that was wanted.
#[test]
fn what_a_hub_has_hidden_and_brings_before_the_ledger_puts_in_doubt_what_was_not_sent() {
    let (world, _) = old_copy(false);
    hides_and_brings(world, 2);
}

/// ⚔ The same for one that had failed and was paid since.
#[test]
fn what_a_hub_has_hidden_and_brings_before_the_ledger_puts_in_doubt_what_had_failed() {
    let mut world = World::new();
    fails(&mut world, 9);
    let copy = world.records.len();
    pays_again(&mut world);
    restore(&mut world, copy);
    hides_and_brings(world, 2);
}

/// An invoice was paid in what is forgotten: its secret is out, and nobody may be told that it was not paid. The hub
/// shows the loss, or the ledger does.
#[test]
fn an_invoice_that_was_paid_in_what_is_forgotten_is_not_told_as_unpaid() {
    for shown_by in ["hub", "dispute", "agreement"] {
        let mut world = World::new();
        world.command(invoice(7, 10));
        let copy = world.records.len();
        world.hub_adds(NewLock::of(7, 10));
        world.run();
        world.second();
        world.run();
        assert_eq!(world.state_of(7), Some(PaymentState::Settled));
        assert_eq!(world.balance(), WALLET_DEPOSIT + 10);
        // The wallet has signed that it holds it.
        world.command(pay(3, 8, 10));
        world.run();
        let shown = restore(&mut world, copy);
        assert_eq!(world.state_of(7), Some(PaymentState::Pending));
        match shown_by {
            "hub" => {
                let (proof, locks) = world.hub.channel.own_snapshot().unwrap();
                assert!(locks.is_empty());
                let proof = Signed::alone(&key(2), proof, Salt([0; 16]));
                let theirs = settlement::channel::Taken { proof, locks: Vec::new() };
                world.feed(Input::Connected);
                world.hear(Message::snapshot(theirs));
                shown.into_iter().for_each(|shown| world.hear(shown));
            }
            "dispute" => {
                hub_closes(&mut world);
                is_paid_out(&mut world);
            }
            _ => {
                let (channel, wallet) = (world.id(), Amount(WALLET_DEPOSIT + 10));
                let hub = Amount(HUB_DEPOSIT - 10);
                let settled = LedgerEvent::Settled { channel, wallet, hub, cooperative: true };
                world.block(vec![settled]);
            }
        }
        world.pass(1_001);
        assert_eq!(world.state_of(7), UNKNOWN, "{shown_by}");
    }
}

/// It meets the hub in the one channel that it knows before it has followed the block that opened another, through
/// which the payment went. Nobody is told meanwhile that it failed.
#[test]
fn nothing_is_told_as_failed_before_the_newest_blocks_are_followed() {
    let mut world = World::new();
    world.command(pay(3, 9, 10));
    let wanted = world.records.iter().rposition(|r| matches!(r, Record::Payment(_))).unwrap();
    let other = OpenTerms { nonce: 1, ..terms() };
    let opens = LedgerEvent::Opened { terms: other, deposit: Amount(10) };
    world.now_ms += 60_000;
    let block = world.block_at(world.hub.height + 1, vec![opens]);
    world.now_ms += 60_000;
    world.disconnect();
    world.records.truncate(wanted + 1);
    world.restart();
    world.events.clear();
    world.feed(Input::Connected);
    world.run();
    assert!(world.wallet.is_synced(&world.id()) && !world.wallet.view(world.now_ms).fresh);
    let told: Vec<PaymentState> = world
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Payment(payment) => Some(payment.state),
            _ => None,
        })
        .collect();
    world.hub.height += 1;
    world.feed(Input::Block(Box::new(block)));
    assert_eq!(told, []);
}

/// A hub that takes no payment and signs nothing, for as long as it likes.
#[test]
fn what_waits_for_a_hub_that_signs_nothing_is_given_up_some_time() {
    let mut world = World::new();
    for _ in 0..settlement::channel::REFUSED_WAIT {
        world.command(Command::PayHub {
            channel: world.id(),
            amount: Amount(1),
            memo: String::new(),
        });
        // Refused, and retired without a signature.
        let seq = world.channel().outgoing().last_seq;
        world.forget_unsent();
        world.hear(Message::Reject { channel: world.id(), seq, code: Code::StaleView });
        let seq = world.channel().outgoing().last_seq;
        world.forget_unsent();
        world.hear(Message::Ack { channel: world.id(), seq });
        world.forget_unsent();
    }
    world.events.clear();
    world.command(Command::PayHub { channel: world.id(), amount: Amount(1), memo: String::new() });
    world.pass(5_000);
    assert_ne!(world.refused(), None, "still waits after 5,000 blocks");
}

/// The forgotten agreement comes while a window runs that the copy has followed.
#[test]
fn a_forgotten_close_by_agreement_that_ends_a_window_shows_that_state_is_lost() {
    let (mut world, _) = old_copy(false);
    let (channel, proofs_until) = (world.id(), world.wallet.height().after(50));
    world.block(vec![LedgerEvent::CloseStarted { channel, by: Role::Hub, proofs_until }]);
    let (wallet, hub) = (Amount(WALLET_DEPOSIT - 11), Amount(HUB_DEPOSIT + 11));
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: true }]);
    assert_eq!(world.state_of(9), UNKNOWN);
}

/// The copy has its first try, which failed; the hub shows the second one, and that its payee gives it up.
#[test]
fn what_comes_of_a_lock_that_the_hub_shows_is_known() {
    let mut world = World::new();
    fails(&mut world, 9);
    let copy = world.records.len();
    world.command(pay(3, 9, 10));
    world.run();
    let shown = restore(&mut world, copy);
    world.feed(Input::Connected);
    shown.into_iter().for_each(|shown| world.hear(shown));
    world.pass(super::forgotten::LEAP);
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    let lock = world.hub.only_lock();
    world.hub.fail(lock, Code::PayeeOffline);
    world.run();
    world.second();
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Failed(Code::PayeeOffline)));
}
