//! What the wallet gives to a tower, and what it keeps to itself.

use settlement::tx::Transaction;
use settlement::types::*;

use super::harness::*;
use crate::watchtower::{Answer, CheckedAnswer};

fn answer(world: &World) -> Option<Answer> {
    Answer::of(world.channel(), &key(1))
}

fn claims(answer: &Answer) -> Vec<(u64, Secret)> {
    match answer.transaction().unwrap() {
        Transaction::Submit { body, .. } => body.claims,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_on_which_the_hub_has_signed_nothing_needs_no_answer() {
    assert_eq!(answer(&World::new()), None);
    assert_eq!(Answer::rank_of(World::new().channel()), None);
}

#[test]
fn each_proof_and_each_secret_makes_another_answer_that_a_tower_takes() {
    let mut world = World::new();
    let mut ranks = Vec::new();
    world.hub.script.keep_due = true;
    world.command(super::harness::invoice(7, 300));
    for step in 0..3 {
        match step {
            0 => world.hub_pays(40),
            1 => world.hub_adds(NewLock::of(7, 300)),
            _ => world.hub_pays(2),
        }
        world.run();
        let answer = answer(&world).unwrap();
        assert_eq!(answer.seq, world.channel().incoming().tally.seq);
        let checked = CheckedAnswer::check(answer, &genesis().ledger_id()).unwrap();
        ranks.push((checked.rank(), Answer::rank_of(world.channel()).unwrap()));
    }
    assert!(ranks.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1), "{ranks:?}");
}

/// ⚔ A tower may talk: the secret of an invoice is worth the payer's money to whoever has it before
/// this wallet has judged, and answered, the lock that it is for.
#[test]
fn a_secret_that_the_hub_was_not_shown_is_in_no_answer() {
    let mut world = World::new();
    world.hub.script.keep_due = true;
    world.command(super::harness::invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.hub.learned, [Secret([7; 32])]);
    let hidden = hex::encode([7; 32]);
    let mut withheld = 0;
    // Whenever its process might end: as of each of its records.
    for count in 0..=world.records.len() {
        let wallet = replay(&world.records[..count]);
        let Some(channel) = wallet.channel(&world.id()) else { continue };
        let Some(answer) = Answer::of(channel, &key(1)) else { continue };
        let shown = channel.incoming().locks.values().any(|lock| lock.answer.is_some());
        withheld += usize::from(!shown && !channel.incoming().locks.is_empty());
        assert_eq!(answer.transaction.contains(&hidden), shown);
        assert_eq!(claims(&answer).len(), usize::from(shown));
    }
    assert!(withheld > 0, "the lock stood while the secret was this wallet's alone");
}
