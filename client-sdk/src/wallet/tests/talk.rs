//! The conversation: meeting, updates that wait, and what is ignored.

use settlement::block::LedgerEvent;
use settlement::proof::SnapshotRef;
use settlement::reject::Code;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::harness::*;

fn syncs(world: &World) -> usize {
    let sync = |a: &&Action| matches!(a, Action::Send(Message::Sync { .. }));
    world.unsent().iter().filter(sync).count()
}

#[test]
fn the_wallet_says_nothing_else_until_the_hub_has_met_it_and_asks_again_after_a_second() {
    let mut world = World::new();
    world.disconnect();
    world.feed(Input::Connected);
    assert_eq!((syncs(&world), world.unsent().len()), (1, 1));
    world.command(pay(3, 7, 5));
    world.feed(Input::Tick);
    assert_eq!(world.unsent().len(), 1);
    world.forget_unsent();
    world.now_ms += 999;
    world.feed(Input::Tick);
    assert!(world.unsent().is_empty());
    world.now_ms += 1;
    world.feed(Input::Tick);
    assert_eq!((syncs(&world), world.unsent().len()), (1, 1));
    world.run();
    assert_eq!(world.hub.channel.incoming().tally.locks.len(), 1, "then what waited goes");
}

#[test]
fn a_channel_that_opens_while_connected_is_met_at_once() {
    let mut world = World::bare();
    world.feed(Input::Connected);
    world.block(vec![LedgerEvent::Opened { terms: terms(), deposit: Amount(WALLET_DEPOSIT) }]);
    assert_eq!(syncs(&world), 1);
    // The hub has not seen the block yet.
    world.forget_unsent();
    world.hear(Message::Reject { channel: world.id(), seq: 0, code: Code::UnknownChannel });
    assert!(world.unsent().is_empty());
    world.now_ms += 1_000;
    world.feed(Input::Tick);
    assert_eq!(syncs(&world), 1);
}

#[test]
fn what_comes_before_the_sides_have_met_is_ignored() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    world.disconnect();
    world.feed(Input::Connected);
    let (channel, id) = (world.id(), 1);
    let before = world.records.len();
    world.hear(Message::Reveal { channel, id, secret: Secret([7; 32]) });
    world.hear(Message::Fail { channel, id, code: Code::Draining });
    world.hear(Message::Ack { channel, seq: 1 });
    world.hear(Message::Reveal { channel: ChannelId([1; 32]), id, secret: Secret([7; 32]) });
    assert_eq!((world.records.len(), world.unsent().len()), (before, 1));
}

#[test]
fn an_update_whose_answer_was_lost_is_settled_by_meeting() {
    for hub_got_it in [false, true] {
        let mut world = World::new();
        world.command(pay(3, 7, 500));
        if hub_got_it {
            world.run();
            // The acknowledgment is lost: the records after the update are gone with it.
            let sent = |r: &Record| matches!(r, Record::Step { step: Step::Sent(_), .. });
            let at = world.records.iter().position(sent).unwrap();
            world.records.truncate(at + 1);
            world.restart();
        }
        assert!(world.channel().outgoing().in_flight.is_some());
        world.reconnect();
        world.assert_agreed();
        assert_eq!(world.hub.channel.incoming().tally.locks.len(), 1);
    }
}

#[test]
fn a_secret_that_was_lost_on_the_way_is_shown_again() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    // The update reaches the wallet; nothing that it says reaches the hub.
    world.run_once();
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
    world.forget_unsent();
    world.restart();
    world.feed(Input::Connected);
    world.run();
    assert_eq!(world.hub.learned, [Secret([7; 32])]);
    assert_eq!(world.balance(), WALLET_DEPOSIT + 300);
}

#[test]
fn a_settlement_waits_for_an_idle_second_or_the_next_update() {
    let settles = |world: &World| world.hub.channel.incoming().tally.transferred.0;
    let paid = || {
        let mut world = World::new();
        world.hub.script.secrets.insert(anchor_of(7), Secret([7; 32]));
        world.command(pay(3, 7, 500));
        world.run();
        world
    };
    let mut world = paid();
    world.now_ms += 999;
    world.feed(Input::Tick);
    world.run();
    assert_eq!(settles(&world), 0);
    world.now_ms += 1;
    world.feed(Input::Tick);
    world.run();
    assert_eq!(settles(&world), 501);

    let mut world = paid();
    world.command(pay(3, 8, 10));
    world.run();
    assert_eq!(settles(&world), 501, "it rides with the next payment");
    assert_eq!(world.hub.channel.incoming().tally.seq, 2);

    let mut world = paid();
    let channel = world.id();
    world.command(Command::Flush { channel });
    world.run();
    assert_eq!(settles(&world), 501);
}

#[test]
fn an_acknowledgment_is_sent_when_asked_for() {
    let mut world = World::new();
    world.hub_pays(5);
    world.run();
    let channel = world.id();
    world.command(Command::Acknowledge { channel });
    world.run();
    assert_eq!(world.hub.channel.incoming().proof.as_ref().unwrap().value.peer_seq, 1);
    world.command(Command::Acknowledge { channel: ChannelId([1; 32]) });
    assert_eq!(world.refused().unwrap().0, Code::NoChannel);
    world.disconnect();
    world.command(Command::Flush { channel });
    assert_eq!(world.refused().unwrap().0, Code::HubUnavailable);
}

#[test]
fn the_same_update_again_is_acknowledged_again() {
    let mut world = World::new();
    world.hub_pays(5);
    world.run();
    let before = world.records.len();
    world.repeat_last_update();
    let ack = Action::Send(Message::Ack { channel: world.id(), seq: 1 });
    assert_eq!(world.unsent().back(), Some(&ack));
    assert_eq!(world.records.len(), before);
}

#[test]
fn a_bad_update_is_refused_and_changes_nothing() {
    let mut world = World::new();
    let (channel, before) = (world.id(), world.records.len());
    world.feed(Input::BadUpdate { channel, seq: 1, code: Code::BadSignature });
    let reject = Message::Reject { channel, seq: 1, code: Code::BadSignature };
    assert_eq!(world.unsent().back(), Some(&Action::Send(reject)));
    assert_eq!(world.records.len(), before);
    world.disconnect();
    world.feed(Input::BadUpdate { channel, seq: 1, code: Code::BadSignature });
    assert!(world.unsent().is_empty());
}

#[test]
fn a_refused_update_is_retired_before_anything_is_built_again() {
    let mut world = World::new();
    world.hub.script.secrets.insert(anchor_of(7), Secret([7; 32]));
    world.command(pay(3, 7, 500));
    world.run();
    // The next update settles the first payment and adds a second; a third waits.
    world.command(pay(3, 8, 10));
    world.command(pay(3, 9, 10));
    world.forget_unsent();
    world.hear(Message::Reject { channel: world.id(), seq: 2, code: Code::StaleView });
    let Some(Action::SendUpdate { ops, proof, .. }) = world.unsent().back() else {
        panic!("nothing is sent")
    };
    assert_eq!((ops.len(), proof.seq), (0, 3));
    world.run();
    assert_eq!(world.state_of(9), Some(PaymentState::Pending));
    assert_eq!(world.state_of(8), Some(PaymentState::Failed(Code::StaleView)));
    world.assert_agreed();
}

#[test]
fn a_hub_that_refuses_everything_is_not_answered_without_end() {
    let mut world = World::new();
    for round in 0..40 {
        world.command(pay(3, round, 1));
        let Some(seq) = world.channel().outgoing().in_flight.as_ref().map(|f| f.proof.seq) else {
            break;
        };
        world.hear(Message::Reject { channel: world.id(), seq, code: Code::StaleView });
        world.forget_unsent();
    }
    assert!(world.channel().suspended().is_some(), "it gives up for now");
}

#[test]
fn a_hub_that_shows_less_than_it_had_suspends_the_channel() {
    let mut world = World::new();
    world.hub_pays(5);
    world.run();
    world.disconnect();
    world.feed(Input::Connected);
    world.forget_unsent();
    let (channel, none) = (world.id(), SnapshotRef::NONE);
    world.hear(Message::Sync { channel, own: none, yours: none, tip: None });
    assert_eq!(world.channel().suspended(), Some(Code::StateLost));
    // It is shown what it has forgotten, once.
    let said = world.unsent().clone();
    world.forget_unsent();
    let sent = |action| match action {
        Action::Send(message) => message,
        other => panic!("{other:?}"),
    };
    let said: Vec<Message> = said.into_iter().map(sent).collect();
    assert!(matches!(said[..], [Message::Snapshot { .. }, Message::Sync { .. }]), "{said:?}");
    world.hear(Message::Sync { channel, own: none, yours: none, tip: None });
    assert!(world.unsent().is_empty());
    // It is asked again after a while, and all is well when it has found its state.
    world.now_ms += 10_000;
    world.feed(Input::Tick);
    world.run();
    assert_eq!(world.channel().suspended(), None);
    world.assert_agreed();
}

#[test]
fn blocks_are_followed_one_after_the_other() {
    let mut world = World::new();
    let next = world.wallet.followed().0 + 1;
    let (old, gap) = (world.block_at(1, vec![]), world.block_at(next + 1, vec![]));
    world.feed(Input::Block(Box::new(old)));
    assert_eq!((world.wallet.followed().0, world.refused()), (next - 1, None));
    world.feed(Input::Block(Box::new(gap)));
    assert_eq!(world.wallet.followed().0, next - 1);
    assert_eq!(world.refused().unwrap().0, Code::LedgerUnavailable);
    let mut foreign = world.block_at(next, vec![]);
    foreign.header.header.ledger = LedgerId([1; 32]);
    world.feed(Input::Block(Box::new(foreign)));
    assert_eq!(world.wallet.followed().0, next - 1);
    assert_eq!(world.refused().unwrap().0, Code::WrongLedger);
}

#[test]
fn a_new_wallet_starts_at_any_block_and_records_its_way_in_strides() {
    let mut world = World::bare();
    world.hub.height = 1_000;
    world.block(vec![]);
    assert_eq!(world.wallet.followed(), Height(1_001));
    let recorded = |world: &World| {
        let followed = |r: &&Record| matches!(r, Record::Followed { .. });
        world.records.iter().filter(followed).count()
    };
    assert_eq!(recorded(&world), 1);
    world.pass(FOLLOW_STRIDE - 1);
    assert_eq!(recorded(&world), 1);
    world.block(vec![]);
    assert_eq!(recorded(&world), 2);
}

#[test]
fn channels_of_others_are_not_ours() {
    let mut world = World::bare();
    let others = [
        settlement::proof::OpenTerms { wallet: key(3).public(), ..terms() },
        settlement::proof::OpenTerms { hub: key(3).public(), ..terms() },
        settlement::proof::OpenTerms { ledger: LedgerId([1; 32]), ..terms() },
    ];
    for terms in others {
        world.block(vec![LedgerEvent::Opened { terms, deposit: Amount(1) }]);
    }
    assert_eq!(world.wallet.channels().count(), 0);
}

/// What waits for an update that the hub does not answer is bounded; the rest is overloaded.
#[test]
fn more_payments_than_may_wait_are_refused_as_overloaded() {
    let mut world = World::new();
    let direct = Command::PayHub { channel: world.id(), amount: Amount(1), memo: String::new() };
    // The first flies, and nobody answers it; as many as may wait do.
    for _ in 0..=WANTED_MAX {
        world.command(direct.clone());
    }
    assert_eq!(world.refused(), None);
    world.command(direct);
    assert_eq!(world.refused().unwrap().0, Code::Overloaded);
}
