//! Follows the ledger: every block is checked like a wallet checks it, then given to all shards.
//!
//! A header counts if the ledger's key signed it, it is the next height, its parent is the header
//! before, its time does not fall, and it does not come from the future. Otherwise nothing of it is
//! used; the view then grows stale, and the shards take no more risk.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use client_sdk::ledger_client::LedgerClient;
use settlement::block::{BlockEvents, SignedHeader};
use settlement::crypto::{Signable, VerifyingKey};
use settlement::types::{Hash, Height, LedgerId};
use tokio::sync::{broadcast, oneshot, watch};

use crate::counters::Counters;
use crate::lease::Authority;
use crate::router::{Router, ShardQueues};
use crate::shard::Input;
use crate::shards::{Job, now_ms};

/// How long the ledger is asked to wait for the next block.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);
/// How far ahead of the own clock a block may be, in milliseconds.
pub(crate) const AHEAD_MAX_MS: u64 = 2_000;

/// Why a block is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error("it belongs to another ledger")]
    Ledger,
    #[error("its signature is not the ledger's")]
    Signature,
    #[error("it has height {got} instead of {expected}")]
    Height { got: Height, expected: Height },
    #[error("its parent is not the block before")]
    Parent,
    #[error("its time falls")]
    TimeFell,
    #[error("it comes from the future by this machine's clock")]
    Future,
}

/// The chain of headers as far as it has been checked.
pub(crate) struct Chain {
    ledger: LedgerId,
    key: VerifyingKey,
    least_interval_ms: u64,
    height: Height,
    /// Digest and time of that height's header; `None` right after a restart, which kept neither.
    tip: Option<(Hash, u64)>,
}

impl Chain {
    /// Right after `height`; 0 is genesis.
    pub(crate) fn after(
        ledger: LedgerId,
        key: VerifyingKey,
        least_interval_ms: u64,
        height: Height,
    ) -> Chain {
        let tip = (height == Height(0)).then_some((Hash(ledger.0), 0));
        Chain { ledger, key, least_interval_ms, height, tip }
    }

    /// What is asked for next: after a restart the block that was followed last comes once more, so
    /// that the one after it has a parent.
    fn next(&self) -> Height {
        if self.tip.is_some() { self.height.after(1) } else { self.height }
    }

    /// Checks the next header. True if its block is new.
    ///
    /// # Errors
    /// [`BadHeader`]; nothing has changed then.
    pub(crate) fn check(&mut self, signed: &SignedHeader, now_ms: u64) -> Result<bool, BadHeader> {
        let header = &signed.header;
        if header.ledger != self.ledger {
            return Err(BadHeader::Ledger);
        }
        let expected = self.next();
        if header.height != expected {
            return Err(BadHeader::Height { got: header.height, expected });
        }
        signed.verify(&self.key).map_err(|_| BadHeader::Signature)?;
        if let Some((digest, time_ms)) = self.tip {
            if header.parent != digest {
                return Err(BadHeader::Parent);
            }
            let first = header.height == Height(1);
            if !first && header.time_ms < time_ms.saturating_add(self.least_interval_ms) {
                return Err(BadHeader::TimeFell);
            }
        }
        if header.time_ms > now_ms.saturating_add(AHEAD_MAX_MS) {
            return Err(BadHeader::Future);
        }
        let new = self.tip.is_some();
        self.tip = Some((header.digest(), header.time_ms));
        self.height = header.height;
        Ok(new)
    }
}

/// See the module.
pub(crate) struct Follower {
    pub(crate) ledger: Arc<dyn LedgerClient>,
    pub(crate) chain: Chain,
    pub(crate) queues: ShardQueues,
    pub(crate) router: Arc<Router>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) authority: Arc<Authority>,
    /// The newest height that the shards were given.
    pub(crate) height: watch::Sender<Height>,
    /// Every block, for requests that wait for something in it.
    pub(crate) blocks: broadcast::Sender<Arc<BlockEvents>>,
    /// What keeps the next block away.
    pub(crate) trouble: watch::Sender<Option<String>>,
}

impl Follower {
    /// Follows for ever.
    pub(crate) async fn run(mut self) {
        loop {
            match self.ledger.events_from(self.chain.next(), WAIT).await {
                Ok(blocks) if blocks.is_empty() => {
                    self.tell(Some(format!("it makes no block {}", self.chain.next())));
                }
                Ok(blocks) => match self.take(blocks).await {
                    Ok(()) => self.tell(None),
                    Err(bad) => self.pause(format!("a block of it can't be used: {bad}")).await,
                },
                Err(error) => self.pause(error.to_string()).await,
            }
        }
    }

    async fn pause(&self, trouble: String) {
        self.tell(Some(trouble));
        tokio::time::sleep(PAUSE).await;
    }

    /// Once for each change, so that an hour without a ledger is one line.
    fn tell(&self, trouble: Option<String>) {
        self.trouble.send_if_modified(|before| {
            if *before == trouble {
                return false;
            }
            match &trouble {
                Some(why) => tracing::warn!(why, "the ledger can't be followed"),
                None => tracing::info!("the ledger is followed again"),
            }
            *before = trouble.clone();
            true
        });
    }

    async fn take(&mut self, blocks: Vec<BlockEvents>) -> Result<(), BadHeader> {
        for block in blocks {
            if self.chain.check(&block.header, now_ms())? {
                self.give(Arc::new(block));
            }
        }
        // Shards that are behind are waited for, so that catching up fills no memory.
        for queue in self.queues.iter() {
            let (done, handled) = oneshot::channel();
            queue.push(Job::Barrier(done));
            // A shard that has ended handles nothing: the hub is stopping.
            let _ = handled.await;
        }
        Ok(())
    }

    fn give(&self, block: Arc<BlockEvents>) {
        // First of all, so that nothing that rests on this block is signed if it fences this process.
        self.authority.follow(&block);
        for queue in self.queues.iter() {
            queue.push(Job::Input(Input::Block(block.clone())));
        }
        // After the shards, so that no message about a channel arrives before its opening.
        block.events.iter().for_each(|event| self.router.follow(event));
        let header = &block.header.header;
        let channels = u64::try_from(self.router.channel_count()).unwrap_or(u64::MAX);
        self.counters.channels.store(channels, Relaxed);
        self.counters.blocks.fetch_add(1, Relaxed);
        self.counters.height.store(header.height.0, Relaxed);
        self.counters.block_time_ms.store(header.time_ms, Relaxed);
        self.height.send_replace(header.height);
        // Nobody may be waiting.
        let _ = self.blocks.send(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settlement::block::Header;
    use settlement::crypto::SigningKey;

    const LEDGER: LedgerId = LedgerId([7; 32]);

    fn key() -> SigningKey {
        SigningKey::from_bytes([1; 32]).unwrap()
    }

    fn chain(height: u64) -> Chain {
        Chain::after(LEDGER, VerifyingKey::parse(&key().public()).unwrap(), 150, Height(height))
    }

    fn header(height: u64, parent: Hash, time_ms: u64) -> Header {
        let (tx_root, writes) = (Hash::ZERO, Hash::ZERO);
        let height = Height(height);
        let state_root = Hash::ZERO;
        Header { ledger: LEDGER, height, parent, time_ms, tx_root, tx_count: 0, writes, state_root }
    }

    fn sign(header: Header) -> SignedHeader {
        SignedHeader::sign(&key(), header)
    }

    #[test]
    fn only_the_next_header_of_this_ledger_counts() {
        let mut chain = chain(0);
        let first = header(1, Hash(LEDGER.0), 10_000);
        assert_eq!(chain.check(&sign(first), 10_000), Ok(true));
        let good = header(2, first.digest(), 10_150);
        let other = SigningKey::from_bytes([2; 32]).unwrap();
        let expected = Height(2);
        let cases = [
            (sign(Header { ledger: LedgerId([8; 32]), ..good }), BadHeader::Ledger),
            (SignedHeader::sign(&other, good), BadHeader::Signature),
            (sign(first), BadHeader::Height { got: Height(1), expected }),
            (
                sign(Header { height: Height(3), ..good }),
                BadHeader::Height { got: Height(3), expected },
            ),
            (sign(Header { parent: Hash::ZERO, ..good }), BadHeader::Parent),
            (sign(Header { time_ms: 10_149, ..good }), BadHeader::TimeFell),
            (sign(Header { time_ms: 20_001 + AHEAD_MAX_MS, ..good }), BadHeader::Future),
        ];
        for (header, expected) in cases {
            assert_eq!(chain.check(&header, 20_000), Err(expected));
        }
        assert_eq!(chain.check(&sign(good), 20_000), Ok(true), "nothing had changed");
    }

    #[test]
    fn after_a_restart_the_last_block_comes_once_more_and_is_not_new() {
        let mut chain = chain(5);
        assert_eq!(chain.next(), Height(5));
        let last = header(5, Hash([9; 32]), 10_000);
        assert_eq!(chain.check(&sign(last), 10_000), Ok(false));
        assert_eq!(chain.check(&sign(header(6, last.digest(), 10_200)), 11_000), Ok(true));
    }
}
