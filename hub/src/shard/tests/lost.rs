//! A hub that starts on an old copy of its data.

use settlement::channel::{Answer, Phase, Step};
use settlement::proof::{CooperativeClose, Net, Withdrawal};
use settlement::reject::Code;
use settlement::types::{Amount, Role, Signature};
use settlement::wire::Message;

use super::crash::{MANNERS, check, play_from};
use super::starting::{Rows, checkpoint, restored};
use super::wallet::Manner;
use super::world::{DEPOSIT, FEES, World};
use crate::shard::*;

/// Whatever the payee does, whenever the hub ends, and however old the copy is that it starts on:
/// nobody is paid or charged for what another was not, and nothing stays pending.
#[test]
fn a_hub_on_any_old_copy_takes_back_what_it_has_forgotten() {
    for shards in [1, 3] {
        for manner in MANNERS {
            let (world, start) = play_from(shards, manner, None, None);
            let length = world.journal.len() - start;
            let mut adopted = 0;
            for crash_at in (1..length.min(120)).step_by(13) {
                let copies = (1..=start + crash_at).rev().step_by(7).take(9).chain([0, start]);
                for copy in copies {
                    let (world, _) = play_from(shards, manner, Some(crash_at), Some(copy));
                    let context =
                        format!("{shards} shards, {manner:?}, ends at {crash_at}, copy of {copy}");
                    check(&world, &context);
                    adopted += world.journal.iter().filter(|record| is_adoption(record)).count();
                    if shards == 1 {
                        let replayed = World::state(&world.replayed(1));
                        assert!(replayed == World::state(&world.shards), "{context}: replayed");
                    }
                }
            }
            assert!(adopted > 50, "{adopted}");
        }
    }
}

fn is_adoption(record: &Record) -> bool {
    matches!(record, Record::Step { step: Step::Adopted(_), .. })
}

/// Payer 0 pays payee 1 while that is silent; the hub then starts on what it had before.
fn passed_on_and_forgotten(shards: u16) -> World {
    let mut world = World::with(super::world::config(), shards, 2);
    let copy = world.journal.len();
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.set_online(0, false);
    world.set_online(1, false);
    world.journal.truncate(copy);
    world.restart();
    world
}

#[test]
fn two_legs_of_a_payment_find_each_other_in_either_order() {
    for shards in [1, 4] {
        for order in [[0, 1], [1, 0]] {
            let mut world = passed_on_and_forgotten(shards);
            world.wallets[1].manner = Manner::Reveals;
            order.into_iter().for_each(|at| world.come_back(at));
            world.idle();
            world.idle();
            assert_eq!(world.wallets[0].secrets.len(), 1, "{shards} shards, {order:?}");
            assert_eq!(world.hub_net(), FEES.fee(Amount(1_000)).unwrap().wide());
            assert_eq!(world.pairs(), 0);
        }
    }
}

/// The payee was paid and the payer away when the hub forgot both: the payee says the secret again,
/// and the payer is charged.
#[test]
fn a_secret_that_was_forgotten_with_its_lock_still_reaches_the_payer() {
    for shards in [1, 4] {
        for order in [[0, 1], [1, 0]] {
            let mut world = World::with(super::world::config(), shards, 2);
            let copy = world.journal.len();
            world.wallets[1].manner = Manner::StaysSilent;
            world.pay(0, 1, 1_000, 1);
            world.run();
            world.disconnect(0);
            world.wallets[1].manner = Manner::Reveals;
            world.disconnect(1);
            world.connect(1);
            world.run();
            world.idle();
            world.idle();
            assert_eq!(world.channel(1).outgoing().tip().locks, [], "settled with the payee");
            assert_eq!(world.wallets[0].secrets, []);
            world.set_online(1, false);
            world.journal.truncate(copy);
            world.restart();
            order.into_iter().for_each(|at| world.come_back(at));
            world.idle();
            world.idle();
            assert_eq!(world.wallets[0].secrets.len(), 1, "{shards} shards, {order:?}");
            assert_eq!(world.hub_net(), FEES.fee(Amount(1_000)).unwrap().wide());
        }
    }
}

/// A lock that was taken back is not given up, whatever the other leg comes to, before it is found;
/// nor passed on a second time.
#[test]
fn what_was_taken_back_is_neither_failed_nor_passed_on() {
    let mut world = passed_on_and_forgotten(1);
    world.come_back(0);
    assert_eq!(world.channel(0).incoming().locks.get(&1).unwrap().answer, Some(Answer::Held));
    assert_eq!(world.channel(1).outgoing().tip().locks, []);
    assert_eq!((world.wallets[0].failed.len(), world.not_completed), (0, 0));
    // Its payee is not asked about it any more: it ends at its expiry.
    world.blocks(super::world::LIFE + 60);
    world.idle();
    assert_eq!(world.channel(0).incoming().locks.len(), 0);
}

/// Nothing is signed below what was shown, and nothing at all before the leap.
#[test]
fn the_hub_signs_nothing_below_what_it_had_signed() {
    let mut world = World::new(2);
    let copy = world.journal.len();
    for seed in 1..4 {
        world.pay(0, 1, 100, seed);
        world.run();
        world.idle();
    }
    let signed = world.channel(1).outgoing().last_seq;
    assert!(signed >= 3);
    world.journal.truncate(copy);
    world.restart();
    world.run();
    assert_eq!(world.channel(1).suspended(), Some(Code::Recovering));
    let from = world.journal.len();
    world.pay(0, 1, 100, 9);
    world.blocks(30);
    world.idle();
    let sent = world.journal[from..].iter().filter_map(|record| match record {
        Record::Step { step: Step::Sent(flight), .. }
        | Record::Forwarded { step: Step::Sent(flight), .. } => Some(flight.proof.seq),
        _ => None,
    });
    let sent: Vec<u64> = sent.collect();
    assert!(sent.len() > 1 && sent.iter().all(|seq| *seq >= 1 << 32), "{sent:?}");
    assert_eq!(world.completed, 3, "nothing that spends is taken yet");
    world.blocks(120);
    world.pay(0, 1, 100, 10);
    world.idle();
    assert_eq!(world.completed, 4, "what is paid after the wait arrives");
}

/// A hub that has not met the wallet since it started may hold an old state: it signs nothing for
/// the ledger on the ground of it.
#[test]
fn nothing_is_cosigned_before_the_wallet_has_met() {
    let mut world = World::new(2);
    let copy = world.journal.len();
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.idle();
    world.set_online(0, false);
    world.journal.truncate(copy);
    world.restart();
    let channel = world.id(0);
    let valid_until = world.height().after(50);
    // What was the wallet's before it paid.
    let net = |wide: i128| Net::new(wide).unwrap();
    let close = CooperativeClose {
        channel,
        wallet_amount: DEPOSIT,
        hub_amount: DEPOSIT,
        wallet_net: net(DEPOSIT.wide()),
        hub_net: net(DEPOSIT.wide()),
        valid_until,
    };
    let withdrawal =
        Withdrawal { channel, role: Role::Wallet, total_withdrawn: DEPOSIT, valid_until };
    let signature = Signature([0; 64]);
    world.input(Input::Close { close, signature, ticket: 1 });
    world.input(Input::Withdraw { withdrawal, signature, ticket: 2 });
    let refused = |ticket| Action::Refuse { ticket, code: Code::NotAgreed };
    assert_eq!(world.answers, [refused(1), refused(2)]);
}

/// The wallet's newest proof says that it holds more of the hub's than it shows.
#[test]
fn a_wallet_that_hides_what_it_holds_is_closed_on() {
    let mut world = World::new(2);
    let copy = world.journal.len();
    world.pay(0, 1, 1_000, 1);
    world.pay(1, 0, 10, 2);
    world.run();
    world.idle();
    world.idle();
    let shown = world.wallets[1].show();
    assert_eq!(shown.len(), 4, "both directions, a secret, and what it holds");
    world.set_online(1, false);
    world.journal.truncate(copy);
    world.restart();
    world.connect(1);
    for input in shown {
        let hubs = matches!(&input, Input::Snapshot(s) if s.proof().from == Role::Hub);
        if !hubs {
            world.input(input);
        }
    }
    // Without anything that the hub has signed nothing says that it has lost state.
    assert_eq!(world.channel(1).phase(), Phase::Open);
    assert_eq!(world.channel(1).incoming().tally.seq, 0);
    // The ledger says it.
    let anchored = LedgerEventOf::anchored(world.id(1), Amount(1_000));
    world.block(vec![anchored]);
    world.wallets[1].showing = false;
    let shown = world.wallets[1].show();
    for input in shown {
        let hubs = matches!(&input, Input::Snapshot(s) if s.proof().from == Role::Hub);
        if !hubs {
            world.input(input);
        }
    }
    assert_eq!(world.channel(1).phase(), Phase::ClosingSoon);
    assert!(world.submissions.iter().all(|submission| submission.proof.is_none()), "not with it");
    assert_eq!(world.submissions.len(), 1);
}

struct LedgerEventOf;

impl LedgerEventOf {
    fn anchored(channel: ChannelId, hub_transferred: Amount) -> settlement::block::LedgerEvent {
        settlement::block::LedgerEvent::Anchored { channel, hub_transferred }
    }
}

/// A lock that was accepted just before the hub ended is given up when its payee has met and has
/// nothing of it; not before.
#[test]
fn a_lock_that_was_never_passed_on_is_given_up_when_the_payee_says_so() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    let at = world.journal.iter().position(|record| matches!(record, Record::Forwarded { .. }));
    world.set_online(0, false);
    world.set_online(1, false);
    world.journal.truncate(at.unwrap());
    // The payee never got it.
    let fresh = World::new(2).wallets.remove(1);
    world.wallets[1] = fresh;
    world.set_online(1, false);
    world.restart();
    world.connect(0);
    world.run();
    assert_eq!(world.wallets[0].failed, []);
    world.connect(1);
    world.run();
    assert_eq!(world.wallets[0].failed, [(1, Code::PayeeOffline)]);
}

/// A lock of the hub's own expired before its payee, which has forgotten nothing, met the hub again.
/// A secret that comes out after that pays nobody: the payer has its money back.
#[test]
fn a_secret_that_comes_after_the_hubs_money_is_back_charges_nobody() {
    let mut world = World::new(3);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    let copy = world.journal.len();
    world.pay(2, 1, 500, 2);
    world.run();
    (0..3).for_each(|at| world.set_online(at, false));
    world.journal.truncate(copy);
    world.restart();
    let expiry = world.channel(1).outgoing().tip().locks[0].expiry;
    while world.height() < expiry {
        world.blocks(1);
    }
    assert_eq!(world.pairs(), 1, "the payee may have been paid in the life that is forgotten");
    world.connect(1);
    world.run();
    assert_eq!(world.channel(1).outgoing().tip().locks.len(), 2, "taken back");
    let (secret, _) = super::world::secret(1);
    let channel = world.id(1);
    world.block(vec![settlement::block::LedgerEvent::ClaimShown {
        channel,
        from: Role::Hub,
        id: 1,
        secret,
        steps: 0,
    }]);
    world.connect(0);
    world.blocks(30);
    world.idle();
    assert_eq!(world.wallets[0].secrets, []);
    assert_eq!(world.wallets[0].failed, [(1, Code::Expired)]);
    assert!(world.hub_net() >= 0, "{}", world.hub_net());
}

/// ⚔ A wallet may say what it likes of locks that are over: where nothing is forgotten it is not kept.
#[test]
fn a_channel_of_which_nothing_is_forgotten_learns_nothing_of_locks_that_are_over() {
    let mut world = World::new(2);
    let (channel, id, secret) = (world.id(1), 77, super::world::secret(1).0);
    world.input(Input::Message(Box::new(Message::Reveal { channel, id, secret })));
    assert!(world.shards[0].slots.get(&channel).unwrap().lost.is_none());
}

/// There is nothing to find out about it, also where a start from rows does not know whom it was passed on to.
#[test]
fn a_lock_of_which_all_is_known_is_sought_nowhere() {
    let mut world = World::new(2);
    world.wallets[0].settles = false;
    world.pay(0, 1, 1_000, 1);
    world.run();
    assert_eq!((world.completed, world.channel(0).incoming().locks.len()), (1, 1));
    let mut rows = Rows::new();
    checkpoint(&mut world.shards, &mut rows);
    (0..2).for_each(|at| world.set_online(at, false));
    world.start_with(restored(&world, &rows, world.journal.len(), 1));
    world.blocks(1);
    let payee = world.id(1);
    assert!(world.shards[0].slots.get(&payee).unwrap().lost.is_none());
}
