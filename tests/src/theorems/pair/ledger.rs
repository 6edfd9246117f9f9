//! Blocks: what comes into them, and when the hub sees them.

use std::sync::Arc;

use hub::shard::{Input, Moved};
use settlement::block::{BlockEvents, LedgerEvent, SignedHeader};
use settlement::liabilities::Liabilities;
use settlement::tx::{AccountAction, Anchoring};
use settlement::types::{Amount, Hash, Height, Signature};

use super::{BLOCK_MS, EUR, LAG, NIGHT, Pair};
use crate::theorems::take_waiting;

impl Pair {
    /// A block: all that the wallets have brought first, then what the hub has handed in, if the
    /// ledger is willing or has to.
    pub(super) fn block(&mut self, ours: bool, seen: bool) -> bool {
        let height = self.height().after(1);
        let mut txs = std::mem::take(&mut self.brought);
        txs.extend(take_waiting(&mut self.waiting, ours, height));
        let verified: Vec<_> =
            txs.into_iter().filter_map(|tx| self.ledger.verify_tx(tx).ok()).collect();
        let time = self.now_ms().max(1_000_000) + BLOCK_MS;
        let applied = self.ledger.apply(verified, time).expect("blocks come an interval apart");
        self.judge_block(height, &applied.transactions, &applied.outcomes, &applied.events);
        // Its signature is checked before a block comes to a shard.
        let header = SignedHeader { header: applied.header, signature: Signature([0; 64]) };
        self.unseen.push_back(Arc::new(BlockEvents { header, events: applied.events }));
        self.look(seen);
        self.hub(Input::Tick);
        true
    }

    fn look(&mut self, seen: bool) {
        let height = self.height();
        if self.dark_until.is_some_and(|until| height < until) {
            return;
        }
        if seen || self.behind() > LAG || self.dark_until.take().is_some() {
            while let Some(block) = self.unseen.pop_front() {
                self.hub(Input::Block(block));
            }
        }
    }

    /// Nights fall on a hub with nothing pending, and end when it has taken a lock on in a fresh
    /// view: the rules ask it to see the ledger then.
    pub(super) fn go_dark(&mut self) -> bool {
        let height = self.height();
        let pending = self.wallets.iter().any(|wallet| {
            let states = wallet.ours.signed.values().chain(wallet.theirs.signed.values());
            states.flat_map(|state| &state.locks).any(|lock| lock.expiry > height)
        });
        let quiet = self.unseen.is_empty() && self.wallets.iter().all(|wallet| !wallet.closing);
        if pending || !quiet || self.dark_until.is_some() {
            return false;
        }
        self.tell("a night falls");
        self.dark_until = Some(height.after(NIGHT));
        true
    }

    pub(super) fn wait_for_edge(&mut self, hubs: bool) -> bool {
        let expiries = self.wallets.iter().flat_map(|wallet| {
            let locks = if hubs { wallet.locks() } else { wallet.theirs.taken_state().locks };
            locks.into_iter().map(|lock| lock.expiry)
        });
        // The block after the next can't take it any more.
        let last = |expiry: Height| expiry.before(2);
        let until = expiries.map(last).filter(|last| *last > self.height()).min();
        let Some(until) = until else { return false };
        while self.height() < until && !self.is_over() {
            self.block(true, true);
        }
        true
    }

    pub(super) fn hub_closes(&mut self, who: usize) -> bool {
        let name = self.wallets[who].name;
        self.tell(format!("the hub wants to close on {name}"));
        self.hub(Input::CloseAlone(self.wallets[who].channel));
        true
    }

    pub(super) fn ask_to_anchor(&mut self) -> bool {
        self.rounds += 1;
        self.hub(Input::Anchor { round: self.rounds, most: 2 });
        true
    }

    pub(super) fn anchor_moved(&mut self, moved: Moved) {
        let entries: Vec<_> = moved.channels.into_iter().filter_map(|moved| moved.entry).collect();
        if entries.is_empty() {
            return;
        }
        self.tell(format!("the hub anchors {} channels", entries.len()));
        self.seen.anchored += entries.len() as u64;
        let (as_of, total) = (moved.height, Amount::ZERO);
        let liabilities = Liabilities { as_of, asset: EUR, root: Hash::ZERO, total };
        self.account(AccountAction::Anchor(Anchoring { epoch: 0, entries, liabilities }));
    }

    /// The wallet whose channel an event is about.
    pub(super) fn whose(&self, event: &LedgerEvent) -> Option<usize> {
        event.channel().and_then(|channel| self.who(&channel))
    }
}
