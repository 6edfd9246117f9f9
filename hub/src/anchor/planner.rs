//! One round of anchors after the other: no clock, thread, key or ledger.

use std::collections::{BTreeMap, BTreeSet};

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::liabilities::{Liabilities, LiabilityTree};
use settlement::reject::Code;
use settlement::tx::{AnchorEntry, Anchoring};
use settlement::types::{AssetId, ChannelId, Height, PublicKey, TxId};

use super::rounds::{Chunking, Posting, waves};
use super::{AnchorReport, Book, Books};
use crate::shard::Moved;

/// How often shards are asked again that were not at one height.
const GATHERINGS_MAX: u32 = 16;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// Ask this shard what moved.
    Ask { shard: u16, round: u64 },
    /// Record that this is going to be signed.
    State(Vec<Liabilities>),
    /// Sign and post these, of so many chunks of the round.
    Post { chunks: Vec<Anchoring>, of: usize },
    /// The round is over.
    Done(AnchorReport),
}

/// What the planner has to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) hub: PublicKey,
    pub(super) shards: u16,
    pub(super) chunking: Chunking,
    /// After how many blocks a post counts as lost.
    pub(super) patience: u64,
}

/// Under which lease a round is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenure {
    pub(crate) epoch: u64,
    /// The block that has the lease.
    pub(crate) since: Height,
}

pub(super) struct Planner {
    site: Site,
    books: Books,
    /// The newest height that was named in this process.
    stated: Height,
    /// Of gatherings.
    number: u64,
    round: Option<Round>,
}

struct Round {
    tenure: Tenure,
    /// Shards that have not handed everything over.
    waiting: BTreeSet<u16>,
    heights: BTreeSet<Height>,
    gatherings: u32,
    entries: BTreeMap<ChannelId, (AssetId, AnchorEntry)>,
    posting: Option<Posting>,
    report: AnchorReport,
}

impl Planner {
    pub(super) fn new(site: Site, books: Books) -> Planner {
        Planner { site, books, stated: Height(0), number: 0, round: None }
    }

    /// Whether a round can begin as of this height.
    pub(super) fn is_free(&self, height: Height) -> bool {
        self.round.is_none() && height > self.stated
    }

    /// Begins a round; [`Planner::is_free`] holds.
    pub(super) fn begin(&mut self, tenure: Tenure) -> Vec<Do> {
        self.round = Some(Round {
            tenure,
            waiting: BTreeSet::new(),
            heights: BTreeSet::new(),
            gatherings: 0,
            entries: BTreeMap::new(),
            posting: None,
            report: AnchorReport::default(),
        });
        self.gather()
    }

    fn gather(&mut self) -> Vec<Do> {
        let Some(round) = &mut self.round else { return Vec::new() };
        self.number = self.number.saturating_add(1);
        round.gatherings = round.gatherings.saturating_add(1);
        round.waiting = (0..self.site.shards).collect();
        round.heights.clear();
        let ask = |shard| Do::Ask { shard, round: self.number };
        (0..self.site.shards).map(ask).collect()
    }

    /// A shard has handed something over. What is owed counts whatever round it was asked for in:
    /// it is told once.
    pub(super) fn moved(&mut self, moved: Moved) -> Vec<Do> {
        self.enter(&moved);
        let Some(round) = self.round.as_mut().filter(|_| moved.round == self.number) else {
            return Vec::new();
        };
        round.heights.insert(moved.height);
        for channel in moved.channels {
            match channel.entry {
                Some(entry) => {
                    round.entries.insert(channel.channel, (channel.asset, entry));
                }
                None => {
                    round.entries.remove(&channel.channel);
                }
            }
        }
        if moved.more {
            return vec![Do::Ask { shard: moved.slice.index, round: moved.round }];
        }
        round.waiting.remove(&moved.slice.index);
        if round.waiting.is_empty() { self.gathered() } else { Vec::new() }
    }

    fn enter(&self, moved: &Moved) {
        let mut changes: BTreeMap<AssetId, Vec<_>> = BTreeMap::new();
        for channel in &moved.channels {
            let change = (channel.channel, channel.owed);
            changes.entry(channel.asset).or_default().push(change);
        }
        let mut books = self.books.open();
        for (asset, changes) in changes {
            let book = books.entry(asset).or_insert_with(Book::empty);
            if book.tree.update(changes).is_none() {
                // More than 2^64 - 1 of one asset can't be on a ledger.
                tracing::error!(%asset, "what is owed can't be added up; nothing is said of it");
                *book = Book::empty();
            }
            book.is_said = false;
        }
    }

    fn gathered(&mut self) -> Vec<Do> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let (first, last) = (round.heights.first().copied(), round.heights.last().copied());
        let as_of = last.unwrap_or_default();
        if first != last && round.gatherings < GATHERINGS_MAX {
            return self.gather();
        }
        let fits = first == last && as_of > self.stated && as_of >= round.tenure.since;
        if !fits {
            return self.done(Some(Code::Overloaded));
        }
        let said = self.state(as_of);
        if said.is_empty() {
            return self.done(None);
        }
        self.stated = as_of;
        vec![Do::State(said)]
    }

    /// What there is to say as of this height: of each asset in which something is to be anchored, or
    /// of which what was said last is not true any more, or in no block.
    fn state(&self, as_of: Height) -> Vec<Liabilities> {
        let entries = self.round.iter().flat_map(|round| round.entries.values());
        let anchored: BTreeSet<AssetId> = entries.map(|(asset, _)| *asset).collect();
        let mut said = Vec::new();
        for (asset, book) in self.books.open().iter_mut() {
            let (root, total) = book.tree.root();
            let before = book.said.map(|before| (before.root, before.total));
            let none_yet = before.is_none() && total.0 == 0;
            let stands = before == Some((root, total)) && book.block.is_some();
            if anchored.contains(asset) || !(stands || none_yet) {
                said.push(Liabilities { as_of, asset: *asset, root, total });
            } else {
                book.is_said = before.is_some();
            }
        }
        said
    }

    /// What was to be said is durable: it may be signed from now on.
    pub(super) fn stated(&mut self, said: &[Liabilities]) -> Vec<Do> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let mut books = self.books.open();
        for liabilities in said {
            if let Some(book) = books.get_mut(&liabilities.asset) {
                (book.said, book.block, book.is_said) = (Some(*liabilities), None, true);
            }
        }
        drop(books);
        let as_of = said.first().map(|said| said.as_of);
        let of = u64::try_from(round.entries.len()).unwrap_or(u64::MAX);
        let liabilities = said.to_vec();
        round.report = AnchorReport { as_of, of, liabilities, ..AnchorReport::default() };
        let waves = waves(said, &round.entries, round.tenure.epoch, self.site.chunking);
        round.posting = Some(Posting::new(waves));
        self.next_wave()
    }

    fn next_wave(&mut self) -> Vec<Do> {
        let Some(posting) = self.round.as_mut().and_then(|round| round.posting.as_mut()) else {
            return Vec::new();
        };
        match posting.next() {
            Some(chunks) => vec![Do::Post { chunks, of: posting.of }],
            None => self.done(None),
        }
    }

    /// The ledger has taken a chunk in for a block, or refused it at once.
    pub(super) fn posted(&mut self, answer: Result<TxId, Code>) -> Vec<Do> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let Some(posting) = &mut round.posting else { return Vec::new() };
        if let Err(code) = posting.posted(answer) {
            round.report.problem = Some(code);
        }
        self.go_on()
    }

    fn go_on(&mut self) -> Vec<Do> {
        let Some(round) = &self.round else { return Vec::new() };
        let over = round.posting.as_ref().is_some_and(Posting::is_over);
        match (over, round.report.problem) {
            (false, _) => Vec::new(),
            // What follows would be refused too; the next round has it again.
            (true, Some(code)) => self.done(Some(code)),
            (true, None) => self.next_wave(),
        }
    }

    /// A block was followed.
    pub(super) fn follow(&mut self, block: &BlockEvents) -> Vec<Do> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let Some(posting) = &mut round.posting else { return Vec::new() };
        let height = block.header.header.height;
        for event in &block.events {
            match event {
                LedgerEvent::LiabilitiesAnchored { hub, liabilities }
                    if *hub == self.site.hub && round.report.liabilities.contains(liabilities) =>
                {
                    posting.confirmed();
                    round.report.block = Some(height);
                    if let Some(book) = self.books.open().get_mut(&liabilities.asset)
                        && book.said == Some(*liabilities)
                    {
                        book.block = Some(height);
                    }
                }
                LedgerEvent::Anchored { channel, .. } if round.entries.contains_key(channel) => {
                    round.report.channels = round.report.channels.saturating_add(1);
                }
                LedgerEvent::Refused { tx, code } if posting.refused(tx) => {
                    round.report.problem = Some(*code);
                }
                _ => {}
            }
        }
        if posting.lost(height, self.site.patience) {
            return self.done(Some(Code::LedgerStalled));
        }
        self.go_on()
    }

    fn done(&mut self, problem: Option<Code>) -> Vec<Do> {
        let Some(round) = self.round.take() else { return Vec::new() };
        if problem.is_none() {
            self.books.begun();
        }
        vec![Do::Done(AnchorReport { problem, ..round.report })]
    }
}

impl Book {
    fn empty() -> Book {
        // A tree without leaves always adds up.
        let tree = LiabilityTree::default();
        Book { tree, is_said: false, said: None, block: None }
    }
}

#[cfg(test)]
mod tests;
