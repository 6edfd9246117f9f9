//! Closing, and what the wallet brings before the ledger by itself.

use settlement::block::LedgerEvent;
use settlement::channel::Phase;
use settlement::proof::Withdrawal;
use settlement::reject::Code;
use settlement::types::*;

use super::super::*;
use super::harness::*;

/// A wallet that has shown its secret to a hub that does not settle.
fn owed() -> World {
    let mut world = World::new();
    world.hub.script.keep_due = true;
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
    world
}

fn expiry(world: &World) -> u64 {
    world.channel().incoming().tally.locks[0].expiry.0
}

fn close_started(world: &World, by: Role) -> LedgerEvent {
    let proofs_until = Height(world.hub.height + 51);
    LedgerEvent::CloseStarted { channel: world.id(), by, proofs_until }
}

#[test]
fn who_is_not_settled_with_closes_and_claims_in_time_connected_or_not() {
    for connected in [true, false] {
        let mut world = owed();
        if !connected {
            world.disconnect();
        }
        let due = expiry(&world) - Policy::development().claim_margin;
        world.pass(due - world.hub.height - 1);
        assert_eq!(world.submissions, []);
        world.block(vec![]);
        assert_eq!(world.submissions.len(), 1);
        let submission = &world.submissions[0];
        assert!(submission.close);
        assert_eq!(submission.claims, [(1, Secret([7; 32]))]);
        assert_eq!(submission.proof, world.channel().incoming().proof);
        assert_eq!(submission.locks, world.channel().incoming().tally.locks);
        assert_eq!(world.channel().phase(), Phase::ClosingSoon);
    }
}

#[test]
fn a_submission_is_repeated_until_the_ledger_shows_it_but_not_with_each_block() {
    let mut world = owed();
    let due = expiry(&world) - Policy::development().claim_margin;
    world.pass(due - world.hub.height);
    let delay = Policy::development().inclusion_delay;
    world.pass(delay - 1);
    world.feed(Input::Tick);
    assert_eq!(world.submissions.len(), 1);
    world.block(vec![]);
    assert_eq!(world.submissions.len(), 2);
    // After a restart it can't know whether the last one was handed in.
    world.restart();
    assert!(world.submissions.len() > 2);
    shown(&mut world);
    let before = world.submissions.len();
    world.pass(3 * delay);
    assert_eq!(world.submissions.len(), before, "all is on the ledger");
}

/// The ledger has taken the whole submission.
fn shown(world: &mut World) {
    let proof = world.channel().incoming().proof.clone().unwrap().value;
    let locks = world.channel().incoming().tally.locks.clone();
    let (channel, from) = (world.id(), Role::Hub);
    world.block(vec![
        close_started(world, Role::Wallet),
        LedgerEvent::ProofRecorded { proof, locks },
        LedgerEvent::ClaimShown { channel, from, id: 1, secret: Secret([7; 32]), steps: 1 },
    ]);
}

#[test]
fn a_close_of_the_hubs_is_answered_with_the_newest_proof_and_all_claims() {
    let mut world = owed();
    world.disconnect();
    world.block(vec![close_started(&world, Role::Hub)]);
    assert_eq!(world.submissions.len(), 1);
    assert!(!world.submissions[0].close);
    assert_eq!(world.submissions[0].claims, [(1, Secret([7; 32]))]);
    assert_eq!(world.submissions[0].proof.as_ref().unwrap().value.seq, 1);
}

#[test]
fn a_claim_on_the_ledger_completes_the_payment_that_it_is_for() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let (channel, secret) = (world.id(), Secret([7; 32]));
    world.block(vec![
        close_started(&world, Role::Hub),
        LedgerEvent::ClaimShown { channel, from: Role::Wallet, id: 1, secret, steps: 1 },
    ]);
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
    assert_eq!(world.wallet.payment(&anchor_of(7)).unwrap().secret, Some(secret));
}

#[test]
fn a_payment_of_a_closed_channel_ends_at_the_latest_with_its_lock() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let expiry = world.channel().outgoing().tip().locks[0].expiry.0;
    world.block(vec![close_started(&world, Role::Hub)]);
    world.pass(expiry - world.hub.height - 1);
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
    world.block(vec![]);
    assert_eq!(world.state_of(7), Some(PaymentState::Failed(Code::Expired)));
}

#[test]
fn no_secret_is_shown_on_a_channel_that_closes() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.block(vec![close_started(&world, Role::Hub)]);
    world.hub.reopen();
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert!(world.hub.learned.is_empty());
    assert_eq!(world.channel().incoming().tally.seq, 0, "and no lock is taken");
}

#[test]
fn closing_alone_hands_everything_in_and_stops_payments() {
    let mut world = owed();
    let channel = world.id();
    world.command(pay(3, 8, 10));
    world.command(pay(3, 9, 10));
    world.command(Command::CloseAlone { channel });
    assert_eq!(world.submissions.len(), 1);
    assert!(world.submissions[0].close);
    assert_eq!(world.submissions[0].claims.len(), 1);
    assert!(world.events.contains(&Event::Channel(channel)));
    let queued = world.state_of(9);
    assert_eq!(queued, Some(PaymentState::Failed(Code::ChannelClosing)));
    assert_eq!(world.state_of(8), Some(PaymentState::Pending), "its lock may be claimed");
    world.command(pay(3, 10, 10));
    assert_eq!(world.refused().unwrap().0, Code::NoChannel);
    shown(&mut world);
    world.command(Command::CloseAlone { channel });
    assert_eq!(world.refused().unwrap().0, Code::ChannelClosing);
    let (wallet, hub) = (Amount(1), Amount(2));
    world.block(vec![LedgerEvent::Settled { channel, wallet, hub, cooperative: false }]);
    world.command(Command::CloseAlone { channel });
    assert_eq!(world.refused().unwrap().0, Code::NothingToDo);
    assert_eq!(world.channel().phase(), Phase::Closed { wallet, hub });
}

#[test]
fn a_cooperative_close_is_counted_as_signed_until_its_time_has_passed() {
    let mut world = World::new();
    world.hub_pays(5);
    world.run();
    let valid_until = world.wallet.height().after(20);
    let close = world.channel().close_terms(valid_until).unwrap();
    let wrong = settlement::proof::CooperativeClose { hub_amount: Amount(0), ..close };
    world.command(Command::AgreeClose { close: wrong });
    assert_eq!(world.refused().unwrap().0, Code::NotAgreed);
    world.command(Command::AgreeClose { close });
    assert!(world.events.contains(&Event::Channel(world.id())));
    assert_eq!(world.refused(), None);
    world.command(pay(3, 7, 10));
    assert_eq!(world.refused().unwrap().0, Code::NoChannel);
    world.pass(20);
    assert_eq!(world.channel().phase(), Phase::Agreed { valid_until });
    world.block(vec![]);
    assert_eq!(world.channel().phase(), Phase::Open);
    world.command(pay(3, 7, 10));
    assert_eq!(world.refused(), None);
}

#[test]
fn a_withdrawal_counts_as_done_once_it_is_signed() {
    let mut world = World::new();
    let withdrawal = Withdrawal {
        channel: world.id(),
        role: Role::Wallet,
        total_withdrawn: Amount(WALLET_DEPOSIT - 100),
        valid_until: world.wallet.height().after(20),
    };
    let too_much = Withdrawal { total_withdrawn: Amount(WALLET_DEPOSIT + 1), ..withdrawal };
    world.command(Command::AgreeWithdrawal { withdrawal: too_much });
    assert_eq!(world.refused().unwrap().0, Code::Overdraft);
    world.command(Command::AgreeWithdrawal { withdrawal });
    assert_eq!(world.channel().spendable(), Amount(100));
    world.command(pay(3, 7, 100));
    assert_eq!(world.refused().unwrap().0, Code::InsufficientBalance);
}
