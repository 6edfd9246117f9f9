//! Orders in which the hub's threads may run, tried out by the hundred: the very code of the committer,
//! the queues, the shards' threads, the outbox, the router and checkpoints, under the scheduler that
//! [`crate::sync`] lets in. Scenes with whole shards are in `shard/tests/interleavings`.
//!
//! A scene is a function that starts threads and says what must hold. It is played in random orders and
//! in such as a few well-placed switches make (PCT); one that breaks, or in which nobody can go on, is
//! printed as a text that plays it again:
//!
//! ```sh
//! cargo test --workspace --lib --features hub/shuttle interleavings
//! PAYHUB_TIMES=100 cargo test … # so many times as many, and new ones each time
//! PAYHUB_ORDER=91… cargo test … -- --exact interleavings::commits::NAME # that one again
//! ```
//!
//! What is not seen: time (nothing that waits with a limit ever reaches it), wake-ups without a reason,
//! what a weaker order of memory than one after the other would show (nothing here rests on that but
//! figures), and what is inside of the pieces that stay the standard library's or tokio's (a connection's
//! queue of frames, the desk's errands, the gate): each call of theirs is one step.

pub(crate) mod commits;
mod queues;

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The most steps of one: a scene that has not ended by then never does.
const STEPS: usize = 100_000;
/// Bytes of each thread's stack: debug builds of the shard take more than the scheduler's own 60 KiB.
const STACK_BYTES: usize = 1 << 20;

/// Plays a scene in about so many orders, and says in how many. All its threads have to end.
pub(crate) fn try_orders(count: usize, scene: fn()) -> usize {
    try_with(count, scene, MaxSteps::FailAfter(STEPS))
}

/// The same for a scene in which the process ends: it is left after so many steps.
pub(crate) fn try_orders_for(count: usize, scene: fn(), steps: usize) -> usize {
    try_with(count, scene, MaxSteps::ContinueAfter(steps))
}

fn try_with(count: usize, scene: fn(), steps: MaxSteps) -> usize {
    let mut config = Config::new();
    (config.stack_size, config.max_steps) = (STACK_BYTES, steps);
    // What is atomic here are figures.
    config.silence_warnings = true;
    if let Ok(order) = std::env::var("PAYHUB_ORDER") {
        let replay = ReplayScheduler::new_from_encoded(&order);
        return Runner::new(replay, config).run(scene);
    }
    let times: Option<usize> = std::env::var("PAYHUB_TIMES").ok().map(|text| text.parse().unwrap());
    // As a rule the same ones each time: a planted bug is to be caught by each run or by none.
    let seed = times.map_or(1, |_| rand::random());
    let count = count * times.unwrap_or(1);
    let random = RandomScheduler::new_from_seed(seed, count.div_ceil(2));
    let mut played = Runner::new(random, config.clone()).run(scene);
    for depth in [2, 4] {
        let few_switches = PctScheduler::new_from_seed(seed, depth, count.div_ceil(4));
        played += Runner::new(few_switches, config.clone()).run(scene);
    }
    println!("{played} orders");
    played
}
