//! A hostile crowd: what costs a stranger nothing must cost the honest little, and the hub no memory.
//!
//! What one wallet can say wrongly is in `bad_input.rs`, over HTTP in `bad_requests.rs`; here it is the
//! number, the size and the pace.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

mod dribble;
mod frames;
mod injection;
mod preimages;
mod unfunded;

use std::time::{Duration, Instant};

use settlement::crypto::chain_step;
use settlement::types::{Amount, Anchor, Secret};
use settlement::wire::Message;
use tests::process::stage::Stage;

/// What each of a stage's wallets has.
const DEPOSIT: Amount = Amount(100_000_000);

/// How long a payment takes from the lock until its payer has the secret. `number` makes that.
fn pay(stage: &mut Stage, number: u32) -> Duration {
    let mut secret = Secret([1; 32]);
    secret.0[..4].copy_from_slice(&number.to_le_bytes());
    let anchor = Anchor(chain_step(&secret.0));
    let Stage { mallory, payee, .. } = stage;
    let began = Instant::now();
    let add = mallory.add(anchor, payee.public(), Amount(1_000));
    assert!(mallory.offer(&[add]).is_ok(), "the lock was refused");
    let id = payee.hear_lock(anchor);
    payee.reveal(id, secret);
    let shown =
        |message: &Message| matches!(message, Message::Reveal { secret: s, .. } if *s == secret);
    mallory.hear("the secret", shown);
    let took = began.elapsed();
    assert!(mallory.offer(&[]).is_ok(), "the settlement was refused");
    took
}

/// Waits for what comes after the secrets, and pays once more, to the unit.
fn all_is_well(stage: &mut Stage) {
    let pending: Vec<u64> =
        stage.payee.channel.incoming().tally.locks.iter().map(|lock| lock.id).collect();
    pending.into_iter().for_each(|id| stage.payee.hear_settled(id));
    stage.all_is_as_before(250);
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// What a process takes of memory, in KiB.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
