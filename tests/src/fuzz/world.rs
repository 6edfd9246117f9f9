//! Bytes as what happens between a payer, a hub and a payee: the cores of production, without
//! sockets, and checkers that know what each is entitled to.
//!
//! [`simulated`] plays the world of [`crate::sim`]: messages that are delivered, lost, repeated and
//! reordered, payments and streams, blocks, connections and processes that end and start again from
//! their journals, disks that fail, and liars who sign what contradicts itself or with a wrong
//! signature, withhold, and close with any proof. [`pair`] plays two wallets that collude against an
//! honest hub, over both their channels.

use super::Reader;
use crate::sim::{Plan, run};
use crate::theorems::game::Claims;
use crate::theorems::pair::{Life, Move, play};

/// Plays the world that these bytes say: two are its seed, the others what happens.
///
/// # Panics
/// When something is not where the rules say, with the story.
pub fn simulated(bytes: &[u8]) {
    let plan = Plan::given(bytes);
    if let Err(wrong) = run(&plan) {
        let told = run(&Plan { told: true, ..plan });
        panic!("{}\n{}", wrong.what, told.err().map(|wrong| wrong.story).unwrap_or_default());
    }
}

/// Plays two wallets against a hub; two bytes are a move.
///
/// # Panics
/// When a theorem breaks, with the story.
pub fn pair(bytes: &[u8]) {
    let mut reader = Reader(bytes);
    let mut line = Vec::new();
    while !reader.is_empty() && line.len() < 200 {
        line.push(next_move(&mut reader));
    }
    let played = play(&line);
    if let Some(fault) = played.fault() {
        panic!("{fault:?}\n{}\n{line:?}", played.story().join("\n"));
    }
}

fn next_move(reader: &mut Reader<'_>) -> Move {
    let (what, how) = (reader.byte(), reader.byte());
    let who = usize::from(how & 1);
    let (one, other) = (how & 2 != 0, how & 4 != 0);
    let some = how >> 4;
    match what % 32 {
        0..4 => {
            let life = [Life::Long, Life::Long, Life::Least, Life::Short];
            let life = life[usize::from(how >> 1 & 3)];
            Move::Lock { who, steps: 1 + some % 3, life, again: how & 8 != 0 }
        }
        4..9 => Move::Answer { who, ack: one || other },
        9..12 => Move::Reveal { who, all: one, newest: other },
        12 => Move::Plain { who, newest: one },
        13 => Move::Pay(who),
        14..16 => Move::Settle(who),
        16 => Move::Drop(who),
        17 => Move::GiveUp(who),
        18 => Move::Meet { who, back: if one { 0 } else { some % 3 } },
        19 => Move::Ask { who, close: one },
        20..22 => {
            let claims = [Claims::None, Claims::One, Claims::All][usize::from(some % 3)];
            Move::Bring { who, close: one, back: how >> 2 & 3, claims }
        }
        22 => Move::Carry(who),
        23 => Move::Anchor,
        24 => Move::HubCloses(who),
        25..28 => Move::Block { ours: one, seen: other },
        28..30 => Move::Blocks(1 + some % 7),
        30 => Move::Edge { hubs: one },
        _ => Move::Dark,
    }
}
