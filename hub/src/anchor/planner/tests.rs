//! Rounds of anchors with scripted shards and blocks.

use settlement::crypto::{Signed, SigningKey};
use settlement::encoding::encode;
use settlement::proof::BalanceProof;
use settlement::types::{Amount, Hash, Role, Salt};

use super::*;
use crate::lease::fixture::{block, hub};
use crate::shard::{MovedChannel, Slice};

const EUR: AssetId = AssetId(0);
const TENURE: Tenure = Tenure { epoch: 3, since: Height(5) };

fn site(shards: u16) -> Site {
    let chunking = Chunking { chunk_bytes: 1_000, block_bytes: 4_000 };
    Site { hub: hub(), shards, chunking, patience: 8 }
}

fn planner(shards: u16) -> Planner {
    Planner::new(site(shards), Books::default())
}

fn id(at: u64) -> ChannelId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&at.to_be_bytes());
    ChannelId(id)
}

fn entry(at: u64) -> AnchorEntry {
    let value = BalanceProof {
        channel: id(at),
        from: Role::Wallet,
        seq: 1,
        transferred: Amount(1),
        locked: Amount(0),
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount(0),
    };
    let key = SigningKey::from_bytes([3; 32]).unwrap();
    let wallet_proof = Some(Signed::alone(&key, value, Salt([0; 16])));
    AnchorEntry { channel: id(at), wallet_proof, hub_transferred: Amount(at) }
}

fn channel(at: u64, owed: Option<u64>, anchors: bool) -> MovedChannel {
    let entry = anchors.then(|| entry(at));
    MovedChannel { channel: id(at), asset: EUR, owed: owed.map(Amount), entry }
}

/// What a shard hands over at this height when it is asked.
fn hands(ask: &Do, count: u16, height: u64, channels: Vec<MovedChannel>, more: bool) -> Moved {
    let Do::Ask { shard, round } = ask else { panic!("{ask:?}") };
    let slice = Slice { index: *shard, count };
    Moved { slice, round: *round, height: Height(height), channels, more }
}

/// A round with one shard up to the statement that is to be recorded.
fn state(planner: &mut Planner, height: u64, channels: Vec<MovedChannel>) -> Vec<Do> {
    let asked = planner.begin(TENURE);
    planner.moved(hands(&asked[0], 1, height, channels, false))
}

fn said(next: &[Do]) -> Vec<Liabilities> {
    let [Do::State(said)] = next else { panic!("{next:?}") };
    said.clone()
}

fn report(next: &[Do]) -> AnchorReport {
    let [Do::Done(report)] = next else { panic!("{next:?}") };
    report.clone()
}

/// The block that takes these chunks in.
fn taking(height: u64, chunks: &[Anchoring]) -> BlockEvents {
    let anchored = |entry: &AnchorEntry| LedgerEvent::Anchored {
        channel: entry.channel,
        hub_transferred: entry.hub_transferred,
    };
    let events = chunks.iter().flat_map(|chunk| {
        let said = LedgerEvent::LiabilitiesAnchored { hub: hub(), liabilities: chunk.liabilities };
        chunk.entries.iter().map(anchored).chain([said]).collect::<Vec<_>>()
    });
    block(height, events.collect())
}

fn tx(at: u8) -> TxId {
    TxId([at; 32])
}

#[test]
fn what_moved_is_said_recorded_posted_and_reported() {
    let mut planner = planner(1);
    assert!(!planner.is_free(Height(0)));
    assert!(planner.is_free(Height(9)));
    let asked = planner.begin(TENURE);
    assert!(!planner.is_free(Height(9)), "one round at a time");
    let first = vec![channel(1, Some(10), true), channel(2, Some(5), false)];
    let again = planner.moved(hands(&asked[0], 1, 9, first, true));
    assert_eq!(again, asked, "there is more");
    let next = planner.moved(hands(&again[0], 1, 9, vec![channel(3, Some(7), true)], false));
    let said = said(&next);
    assert_eq!((said[0].as_of, said[0].total), (Height(9), Amount(22)));
    assert_eq!(planner.books.leaf(EUR, &id(1)), Err(Code::Overloaded), "not durable yet");
    let [Do::Post { chunks, .. }] = &planner.stated(&said)[..] else { panic!() };
    let entries: Vec<_> = chunks.iter().flat_map(|chunk| chunk.entries.clone()).collect();
    assert_eq!(entries, [entry(1), entry(3)]);
    assert!(chunks.iter().all(|chunk| chunk.epoch == 3 && chunk.liabilities == said[0]));
    let leaf = planner.books.leaf(EUR, &id(2)).unwrap();
    assert_eq!(
        (leaf.proof.verify(&said[0]), leaf.proof.owed, leaf.block),
        (Ok(()), Amount(5), None)
    );
    assert_eq!(planner.posted(Ok(tx(1))), []);
    let report = report(&planner.follow(&taking(11, chunks)));
    assert_eq!((report.channels, report.of, report.block), (2, 2, Some(Height(11))));
    assert_eq!((report.as_of, report.liabilities, report.problem), (Some(Height(9)), said, None));
    assert_eq!(planner.books.leaf(EUR, &id(2)).unwrap().block, Some(Height(11)));
}

/// "I have said nothing of it" would be a lie about what a process before this one has said.
#[test]
fn a_process_says_that_it_has_said_nothing_only_once_it_knows() {
    let mut planner = planner(1);
    let ask = |planner: &Planner, number| planner.books.leaf(EUR, &id(number)).map(|_| ());
    assert_eq!(ask(&planner, 1), Err(Code::Overloaded));
    let failed = state(&mut planner, 4, vec![channel(1, Some(1), true)]);
    assert_eq!(report(&failed).problem, Some(Code::Overloaded));
    assert_eq!(ask(&planner, 1), Err(Code::Overloaded));
    let said = said(&state(&mut planner, 5, vec![channel(1, Some(1), true)]));
    let [Do::Post { chunks, .. }] = &planner.stated(&said)[..] else { panic!() };
    planner.posted(Ok(tx(1)));
    report(&planner.follow(&taking(6, chunks)));
    assert_eq!((ask(&planner, 1), ask(&planner, 2)), (Ok(()), Err(Code::NotFound)));

    let mut idle = self::planner(1);
    let nothing = state(&mut idle, 5, vec![]);
    assert_eq!(report(&nothing).problem, None);
    assert_eq!(ask(&idle, 1), Err(Code::NotFound));
}

/// Two trees for one height would be evidence against the hub.
#[test]
fn no_height_is_named_twice_and_none_before_the_own_lease() {
    let mut planner = planner(1);
    let early = state(&mut planner, 4, vec![channel(1, Some(1), true)]);
    assert_eq!(report(&early).problem, Some(Code::Overloaded), "the lease is in block 5");
    let at_five = state(&mut planner, 5, vec![channel(1, Some(1), true)]);
    assert_eq!(said(&at_five)[0].as_of, Height(5));
    planner.stated(&said(&at_five));
    planner.posted(Err(Code::InsufficientFunds));
    // Whatever came of it, it was signed.
    assert!(!planner.is_free(Height(5)));
    let again = state(&mut planner, 5, vec![channel(1, Some(2), true)]);
    assert_eq!(report(&again).problem, Some(Code::Overloaded));
    let later = state(&mut planner, 6, vec![channel(1, Some(2), true)]);
    assert_eq!((said(&later)[0].as_of, said(&later)[0].total), (Height(6), Amount(2)));
}

/// A deposit of a later block in one leaf would make the total more than the escrow as of the
/// earlier one.
#[test]
fn shards_at_two_heights_are_asked_again() {
    let mut planner = planner(2);
    let asked = planner.begin(TENURE);
    assert_eq!(planner.moved(hands(&asked[0], 2, 9, vec![channel(1, Some(1), true)], false)), []);
    let again = planner.moved(hands(&asked[1], 2, 10, vec![channel(2, Some(2), false)], false));
    assert_eq!(again.len(), 2);
    let late = hands(&asked[0], 2, 9, vec![channel(3, Some(3), true)], false);
    assert_eq!(planner.moved(late), [], "an answer to the first question");
    // The first is closing by now.
    assert_eq!(planner.moved(hands(&again[0], 2, 10, vec![channel(1, Some(1), false)], false)), []);
    let next = planner.moved(hands(&again[1], 2, 10, vec![channel(4, Some(4), true)], false));
    let said = said(&next);
    assert_eq!((said[0].as_of, said[0].total), (Height(10), Amount(10)));
    let [Do::Post { chunks, .. }] = &planner.stated(&said)[..] else { panic!() };
    assert_eq!(chunks[0].entries, [entry(4)]);
}

#[test]
fn nothing_is_posted_when_nothing_has_changed() {
    let mut planner = planner(1);
    assert_eq!(
        report(&state(&mut planner, 6, vec![])),
        AnchorReport::default(),
        "no channel at all"
    );
    let first = said(&state(&mut planner, 7, vec![channel(1, Some(4), false)]));
    let [Do::Post { chunks, .. }] = &planner.stated(&first)[..] else { panic!() };
    assert_eq!(chunks[0].entries, [], "said, with nothing to anchor");
    planner.posted(Ok(tx(1)));
    planner.follow(&taking(8, chunks));
    assert_eq!(report(&state(&mut planner, 9, vec![])), AnchorReport::default());
    // The same again, as after a move there and back.
    let same = state(&mut planner, 10, vec![channel(1, Some(4), false)]);
    assert_eq!(report(&same), AnchorReport::default());
    assert!(planner.books.leaf(EUR, &id(1)).is_ok());
    let gone = said(&state(&mut planner, 11, vec![channel(1, None, false)]));
    assert_eq!(gone[0].total, Amount(0));
}

/// What was said and is in no block is said again, of a later height.
#[test]
fn what_was_refused_or_lost_is_in_the_next_round() {
    type Fate = fn(&mut Planner) -> Vec<Do>;
    let fates: [(Fate, Code); 4] = [
        (|planner| planner.posted(Err(Code::StaleEpoch)), Code::StaleEpoch),
        (
            |planner| {
                planner.posted(Ok(tx(1)));
                let refused = LedgerEvent::Refused { tx: tx(1), code: Code::InsufficientFunds };
                planner.follow(&block(8, vec![refused]))
            },
            Code::InsufficientFunds,
        ),
        (
            |planner| {
                // The block is followed before the answer comes.
                let refused = LedgerEvent::Refused { tx: tx(1), code: Code::BadNonce };
                planner.follow(&block(8, vec![refused]));
                planner.posted(Ok(tx(1)))
            },
            Code::BadAnchor,
        ),
        (
            |planner| {
                planner.posted(Ok(tx(1)));
                (8..16).for_each(|at| assert_eq!(planner.follow(&block(at, vec![])), []));
                planner.follow(&block(16, vec![]))
            },
            Code::LedgerStalled,
        ),
    ];
    for (fate, code) in fates {
        let mut planner = planner(1);
        let first = said(&state(&mut planner, 7, vec![channel(1, Some(4), true)]));
        planner.stated(&first);
        let over = report(&fate(&mut planner));
        assert_eq!((over.problem, over.channels, over.of), (Some(code), 0, 1));
        assert_eq!(said(&state(&mut planner, 17, vec![]))[0].as_of, Height(17), "{code}");
    }
}

/// Chunks are handed in one after the other: those that still wait are not lost.
#[test]
fn a_chunk_counts_as_lost_so_many_blocks_after_the_last_answer() {
    let mut planner = planner(1);
    let first =
        said(&state(&mut planner, 7, (0..8).map(|at| channel(at, Some(4), true)).collect()));
    let [Do::Post { chunks, of }] = &planner.stated(&first)[..] else { panic!() };
    assert_eq!((chunks.len(), *of), (2, 2));
    assert_eq!(planner.posted(Ok(tx(1))), []);
    (8..15).for_each(|at| assert_eq!(planner.follow(&block(at, vec![])), []));
    assert_eq!(planner.posted(Ok(tx(2))), []);
    (15..23).for_each(|at| assert_eq!(planner.follow(&block(at, vec![])), []));
    assert_eq!(report(&planner.follow(&block(23, vec![]))).problem, Some(Code::LedgerStalled));
}

#[test]
fn chunks_are_bounded_in_bytes_and_number_and_a_few_go_at_a_time() {
    let mut planner = planner(1);
    let count = 40;
    let channels = (0..count).map(|at| channel(at, Some(1), true)).collect();
    let said = said(&state(&mut planner, 7, channels));
    let mut next = planner.stated(&said);
    let (mut height, mut posted) = (8, Vec::new());
    let report = loop {
        let chunks = match &next[..] {
            [Do::Post { chunks, .. }] => chunks.clone(),
            [Do::Done(report)] => break report.clone(),
            other => panic!("{other:?}"),
        };
        let bytes = |chunk: &Anchoring| encode(chunk).len();
        assert!(chunks.iter().all(|chunk| bytes(chunk) <= 1_000 + 200), "a chunk is too large");
        assert!(chunks.iter().map(bytes).sum::<usize>() <= 4_000, "too much for one block");
        for at in 0..chunks.len() {
            assert_eq!(planner.posted(Ok(tx(at as u8))), [], "the next ones wait for the block");
        }
        posted.extend(chunks.iter().flat_map(|chunk| chunk.entries.clone()));
        next = planner.follow(&taking(height, &chunks));
        height += 1;
    };
    assert_eq!(posted, (0..count).map(entry).collect::<Vec<_>>());
    assert_eq!((report.channels, report.block), (count, Some(Height(height - 1))));
    assert!(height > 10, "several blocks");
}

#[test]
fn no_chunk_holds_the_ledger_up_for_long_however_small_its_entries_are() {
    let chunking = Chunking { chunk_bytes: 64 << 10, block_bytes: 1 << 20 };
    let mut planner = Planner::new(Site { chunking, ..site(1) }, Books::default());
    let said =
        said(&state(&mut planner, 7, (0..200).map(|at| channel(at, Some(1), true)).collect()));
    let [Do::Post { chunks, of: 4 }] = &planner.stated(&said)[..] else { panic!() };
    let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.entries.len()).collect();
    assert_eq!(sizes, [64, 64, 64, 8]);
}
