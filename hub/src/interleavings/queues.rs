//! The queue between sockets, workers and shards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::try_orders;
use crate::queue::Queue;
use crate::sync::Arc;
use crate::sync::thread::spawn;

const PUSHERS: usize = 3;
const EACH: usize = 4;

/// Full most of the time.
fn narrow() -> Arc<Queue<(usize, usize)>> {
    Arc::new(Queue::new(2))
}

/// What wallets say, two at a time, and what the hub itself puts in between.
fn fill(queue: &Arc<Queue<(usize, usize)>>) -> Vec<crate::sync::thread::JoinHandle<()>> {
    let push = |pusher| {
        let queue = queue.clone();
        spawn(move || {
            for n in (0..EACH).step_by(2) {
                if pusher == 0 {
                    queue.push((pusher, n));
                    queue.push((pusher, n + 1));
                } else {
                    queue.push_all(&mut vec![(pusher, n), (pusher, n + 1)]);
                }
            }
        })
    };
    (0..PUSHERS).map(push).collect()
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

#[test]
fn a_shard_gets_everything_once_and_in_the_order_of_each_who_pushed() {
    try_orders(400, || {
        let queue = narrow();
        let takes = queue.clone();
        let shard = spawn(move || {
            let (mut got, mut batch) = (Vec::new(), VecDeque::new());
            while takes.take_all(&mut batch, far()) {
                got.extend(batch.drain(..));
            }
            got
        });
        fill(&queue).into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        let got = shard.join().unwrap();
        for pusher in 0..PUSHERS {
            let of_pusher = got.iter().filter(|item| item.0 == pusher).map(|item| item.1);
            assert!(of_pusher.eq(0..EACH), "lost, twice or out of order");
        }
        assert_eq!(got.len(), PUSHERS * EACH);
    });
}

#[test]
fn workers_that_take_one_at_a_time_leave_nothing_and_nobody_waiting() {
    try_orders(400, || {
        let queue = narrow();
        let start = |_| {
            let queue = queue.clone();
            spawn(move || std::iter::from_fn(|| queue.take()).collect::<Vec<_>>())
        };
        let workers: Vec<_> = (0..2).map(start).collect();
        fill(&queue).into_iter().for_each(|pusher| pusher.join().unwrap());
        queue.close();
        let mut got: Vec<_> =
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        got.sort_unstable();
        let all = (0..PUSHERS).flat_map(|pusher| (0..EACH).map(move |n| (pusher, n)));
        assert!(got.into_iter().eq(all));
    });
}

#[test]
fn a_queue_that_is_closed_under_everybody_lets_everybody_go() {
    try_orders(400, || {
        let queue = narrow();
        let pushers = fill(&queue);
        let closes = queue.clone();
        let closer = spawn(move || closes.close());
        let takes = queue.clone();
        let worker = spawn(move || std::iter::from_fn(|| takes.take()).count());
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        closer.join().unwrap();
        worker.join().unwrap();
    });
}
