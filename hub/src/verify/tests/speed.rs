//! The pool alone, on one worker and on two.
//!
//! `cargo test --release -p hub --lib two_workers -- --ignored --nocapture`, on a machine that does
//! nothing else.

use super::*;
use settlement::update::Update;

const WALLETS: u8 = 90;
/// For each wallet; a lane holds no more.
const UPDATES: u64 = 500;
const ROUNDS: usize = 11;

/// An update, signed on its own. What it asks for is not the workers' business.
fn update(wallet: u8, channel: ChannelId, seq: u64) -> Bytes {
    let value = BalanceProof {
        channel,
        from: Role::Wallet,
        seq,
        transferred: Amount(seq),
        locked: Amount::ZERO,
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount::ZERO,
    };
    let signer = SigningKey::from_bytes([wallet; 32]).unwrap();
    let proof = Signed::alone(&signer, value, Salt([3; 16]));
    Message::Update(Update { channel, base: seq - 1, ops: Vec::new(), proof }).to_frame().into()
}

/// How long so many workers take for all of `frames`, which wait when they start.
fn took(workers: usize, frames: &[(u8, Bytes)]) -> Duration {
    let (pool, queues, _) = world(WALLETS);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let peers: Vec<_> =
            (1..=WALLETS).map(|id| Arc::new(Peer::new(u64::from(id), 1, 1 << 20))).collect();
        for (peer, wallet) in peers.iter().zip(1..) {
            pool.router.sign_in(peer, std::iter::once(key(wallet)), 1).unwrap();
        }
        for (wallet, frame) in frames {
            feed(&pool, &peers[usize::from(*wallet) - 1], frame.clone()).await;
        }
    });
    // They end when no lane waits any more.
    pool.close();
    let began = Instant::now();
    pool.start(workers).unwrap().into_iter().for_each(|worker| worker.join().unwrap());
    let took = began.elapsed();
    let verified = pool.counters.verified.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(verified, frames.len() as u64, "each is checked, and right");
    drop(queues);
    took
}

#[test]
#[ignore = "a figure of a quiet machine with two cores"]
fn two_workers_check_nearly_twice_as_much_as_one() {
    let (_, _, channels) = world(WALLETS);
    let of = |seq| (1..=WALLETS).zip(&channels).map(move |(w, id)| (w, update(w, *id, seq)));
    let frames: Vec<_> = (1..=UPDATES).flat_map(of).collect();
    let mut gains: Vec<f64> = Vec::new();
    for _ in 0..ROUNDS {
        let (one, two) = (took(1, &frames), took(2, &frames));
        gains.push(one.as_secs_f64() / two.as_secs_f64());
        let each = |time: Duration| time.as_secs_f64() * 1e6 / frames.len() as f64;
        println!("one {:.2} us, two {:.2} us an update", each(one), each(two));
    }
    gains.sort_by(f64::total_cmp);
    let (low, median, high) = (gains[0], gains[ROUNDS / 2], gains[ROUNDS - 1]);
    println!("two workers against one: {median:.3} (median of {ROUNDS}, {low:.3} to {high:.3})");
    assert!(median >= 1.8, "the plan asks for 1.8");
}
