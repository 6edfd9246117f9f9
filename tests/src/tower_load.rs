//! A tower that guards many channels of one hub, which closes many of them in the same moment: a
//! ledger with the numbers for real money and a block each second, and the tower, in processes of
//! their own.
//!
//! What is measured: the memory and the disk that a channel takes, after one answer and after a
//! newer one; and in which block each answer is, after the close that it answers.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use client_sdk::watchtower::{Answer, Export};
use serde_json::Value;
use settlement::api::{EventsPage, SubmitAnswer, SubmitRequest};
use settlement::block::LedgerEvent;
use settlement::crypto::{Signed, SigningKey};
use settlement::encoding::encode;
use settlement::index::{MemoryIndex, Shelf};
use settlement::journal::{FileJournal, JournalConfig};
use settlement::ledger::home::{Home, JOURNAL_KIND};
use settlement::ledger::producer::{Producer, ProducerConfig};
use settlement::params::{Allocation, Genesis, Policy};
use settlement::proof::{BalanceProof, OpenTerms};
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Hash, Height, Role, Salt};

use crate::long_ledger::journal_in;
use crate::process::http::Http;
use crate::process::ledger::Ledger;
use crate::process::tower::Tower;
use crate::process::{BLOCKS_PATIENCE, Programs, far};

const DEPOSIT: Amount = Amount(10_000);
/// How many requests are under way at once, to hand in and to close.
const CLERKS: usize = 8;
/// The most answers in a request, as the tower takes them.
const PER_REQUEST: usize = 16;

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Channels that are guarded.
    pub channels: u64,
    /// How many of them are closed at once.
    pub closes: u64,
    /// How much later than it was said the tower hears what the ledger answers.
    pub ledger_delay: Duration,
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The tower's resident memory.
    pub resident: u64,
    /// The files that it keeps answers in.
    pub files: u64,
    /// What those take on the disk, in whole blocks of it.
    pub on_disk: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// With a tenth of the channels, with all of them, and with a newer answer for each.
    pub held: [Held; 3],
    /// How long it took to hand all in, once.
    pub handed_in: Duration,
    /// From the first close that was handed to the ledger until the tower saw the last answer there.
    pub took: Duration,
    /// For each close, how many blocks after it the answer is.
    pub blocks: Vec<u64>,
    /// How many blocks the challenge window has.
    pub window: u64,
}

impl Report {
    /// The resident bytes that a channel takes, of those after the first tenth.
    pub fn resident_per_channel(&self, plan: &Plan) -> f64 {
        let [tenth, all, _] = self.held;
        let more = all.resident.saturating_sub(tenth.resident);
        more as f64 / (plan.channels - plan.channels / 10) as f64
    }
}

/// Who is who: keys need not be secret here.
fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).expect("a key")
}

fn wallet() -> SigningKey {
    key(1)
}

fn hub() -> SigningKey {
    key(2)
}

/// Plays it in this directory.
///
/// # Panics
/// When the tower, or the ledger, does not do what it should.
pub fn run(programs: &Programs, dir: &Path, plan: Plan, progress: &mut dyn FnMut(&str)) -> Report {
    let channels = make_ledger(&dir.join("ledger"), plan.channels);
    let ledger = Ledger::start(programs, &dir.join("ledger"));
    progress("the channels are open");
    let seen_at = match plan.ledger_delay {
        Duration::ZERO => ledger.url.clone(),
        delay => far::away(ledger.http.host(), delay),
    };
    let tower = Tower::start(programs, &dir.join("tower"), &seen_at);
    let (some, rest) = channels.split_at(channels.len() / 10);
    hand_in(&tower.http, some, 1);
    let tenth = held(&tower, dir);
    let started = Instant::now();
    hand_in(&tower.http, rest, 1);
    let handed_in = started.elapsed();
    let all = held(&tower, dir);
    progress("every channel is guarded");
    hand_in(&tower.http, &channels, 2);
    let newer = held(&tower, dir);
    progress("with a newer answer each");

    let closing = &channels[..usize::try_from(plan.closes).expect("a count")];
    let (from, printed, started) = (ledger.http.height(), tower.process.printed(), Instant::now());
    close(&ledger.http, closing);
    progress("the closes are handed to the ledger");
    wait_answered(&tower, printed, closing.len());
    let took = started.elapsed();
    progress("every close is answered");
    let blocks = answered_after(&ledger.http, from, closing);
    let window = u64::from(closing[0].challenge_blocks);
    Report { held: [tenth, all, newer], handed_in, took, blocks, window }
}

/// A ledger's directory with so many open channels between the wallet and the hub.
fn make_ledger(dir: &Path, channels: u64) -> Vec<OpenTerms> {
    let home = Home::at(dir).expect("a directory");
    let ledger_key = home.key().expect("a key");
    let mut genesis = Genesis::standard("towers", ledger_key.public(), 1);
    let rich = |of: &SigningKey| {
        let amount = Amount(DEPOSIT.0 * channels);
        Allocation { account: of.public(), asset: AssetId(0), amount }
    };
    genesis.allocations = vec![rich(&wallet()), rich(&hub())];
    let genesis = home.genesis(Some(genesis), false, &ledger_key).expect("a new one");
    let challenge_blocks = Policy::for_genesis(&genesis).challenge_blocks;
    let journal = FileJournal::open(journal_in(dir), JournalConfig::new(JOURNAL_KIND));
    let index = Box::new(MemoryIndex::open(&Shelf::new()));
    let journal = Box::new(journal.expect("a new journal"));
    let ledger = genesis.ledger_id();
    let config = ProducerConfig::default();
    let mut producer =
        Producer::open(genesis, ledger_key, journal, index, config).expect("a start");
    let terms = |nonce| OpenTerms {
        ledger,
        asset: AssetId(0),
        wallet: wallet().public(),
        hub: hub().public(),
        challenge_blocks,
        nonce,
    };
    let opened: Vec<OpenTerms> = (0..channels).map(terms).collect();
    let open = |terms: &OpenTerms| AccountAction::Open { terms: *terms, deposit: DEPOSIT };
    put_in_blocks(&mut producer, &opened, &wallet(), open);
    let deposit = |terms: &OpenTerms| {
        let (channel, role) = (terms.channel_id(), Role::Hub);
        AccountAction::Deposit { channel, role, amount: DEPOSIT }
    };
    put_in_blocks(&mut producer, &opened, &hub(), deposit);
    opened
}

/// Something that one account does about each channel.
fn put_in_blocks(
    producer: &mut Producer,
    channels: &[OpenTerms],
    by: &SigningKey,
    act: impl Fn(&OpenTerms) -> AccountAction,
) {
    let (ledger, account) = (producer.ledger().id(), by.public());
    for some in channels.chunks(1_000) {
        for terms in some {
            let body = AccountTx { ledger, account, nonce: terms.nonce, action: act(terms) };
            producer.submit(Transaction::account(by, body)).expect("it is taken");
        }
        let now = producer.ledger().tip().time_ms + 1_000;
        producer.produce(now).expect("a disk").expect("the time has come");
        assert!(producer.mempool().is_empty(), "the block is full");
    }
}

/// What the wallet would sign for the tower once the hub has paid it so often.
fn answer(terms: &OpenTerms, seq: u64) -> Answer {
    let channel = terms.channel_id();
    let proof = BalanceProof {
        channel,
        from: Role::Hub,
        seq,
        transferred: Amount(seq),
        locked: Amount::ZERO,
        locks_root: Hash::ZERO,
        peer_seq: 0,
        peer_transferred: Amount::ZERO,
    };
    let proof = Some(Signed::alone(&hub(), proof, Salt([7; 16])));
    let body = Submission { proof, ..Submission::nothing(channel, Role::Wallet) };
    let transaction = hex::encode(encode(&Transaction::submit(&wallet(), body)));
    Answer { channel, terms: *terms, seq, transaction }
}

/// Each of these in turn, by several clerks.
fn by_clerks<T: Sync>(things: &[T], work: impl Fn(&T) + Sync) {
    let waiting = Mutex::new(things.iter());
    std::thread::scope(|scope| {
        for _ in 0..CLERKS {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nobody panics").next();
                    let Some(thing) = next else { return };
                    work(thing);
                }
            });
        }
    });
}

fn hand_in(tower: &Http, channels: &[OpenTerms], seq: u64) {
    let some: Vec<&[OpenTerms]> = channels.chunks(PER_REQUEST).collect();
    by_clerks(&some, |some| {
        let export = Export::new(some.iter().map(|terms| answer(terms, seq)).collect());
        let taken: Value = tower.post("/v1/answers", &export).ok();
        assert_eq!(taken["held"].as_array().map(Vec::len), Some(some.len()), "{taken}");
    });
}

fn close(ledger: &Http, channels: &[OpenTerms]) {
    by_clerks(channels, |terms| {
        let nothing = Submission::close_with_nothing(terms.channel_id(), Role::Hub);
        let transaction = hex::encode(encode(&Transaction::submit(&hub(), nothing)));
        let request = SubmitRequest { transaction };
        let _: SubmitAnswer = ledger.post("/v1/ledger/transactions", &request).ok();
    });
}

fn wait_answered(tower: &Tower, mut at: usize, count: usize) {
    for _ in 0..count {
        let answered = |told: &Value| told["event"] == "answered";
        at = tower.process.wait_for("that it has answered", at, BLOCKS_PATIENCE, answered).1;
    }
}

fn held(tower: &Tower, dir: &Path) -> Held {
    let status = fs::read_to_string(format!("/proc/{}/status", tower.process.id()));
    let status = status.expect("the system says it");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let (mut files, mut on_disk) = (0, 0);
    for entry in fs::read_dir(dir.join("tower").join("answers")).expect("it is there") {
        let about = entry.and_then(|entry| entry.metadata()).expect("it is there");
        (files, on_disk) = (files + about.len(), on_disk + about.blocks() * 512);
    }
    Held { resident: 1_024 * kilobytes.expect("a number"), files, on_disk }
}

/// For each close, how many blocks lie between it and the newest answer.
fn answered_after(ledger: &Http, from: Height, channels: &[OpenTerms]) -> Vec<u64> {
    let (mut closed, mut answered) = (HashMap::new(), HashMap::<ChannelId, u64>::new());
    let mut next = from.after(1);
    while answered.len() < channels.len() {
        let page: EventsPage = ledger.get(&format!("/v1/ledger/events?from={next}")).ok();
        assert!(!page.blocks.is_empty(), "{} of the answers are in no block", channels.len());
        for block in page.blocks {
            let height = block.header.header.height;
            for event in block.events {
                match event {
                    LedgerEvent::CloseStarted { channel, .. } => {
                        closed.insert(channel, height.0);
                    }
                    LedgerEvent::ProofRecorded { proof, .. } if proof.seq == 2 => {
                        answered.insert(proof.channel, height.0);
                    }
                    _ => {}
                }
            }
            next = height.after(1);
        }
    }
    channels.iter().map(|terms| terms.channel_id()).map(|id| answered[&id] - closed[&id]).collect()
}
