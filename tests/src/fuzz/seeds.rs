//! Good bytes to begin with, and the doors that need more than bytes: keys, a genesis, a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use client_sdk::http402::{Action, Bound, Handing, Nonce, PaymentKey, SessionId};
use client_sdk::invoice::Invoice;
use client_sdk::payload::{self, Content, ContentKey, StreamId};
use client_sdk::relay::{Body, RelayKeys, StepToken};
use client_sdk::wallet::Wallet;
use client_sdk::watchtower::{Answer, Export};
use hub::shard::Restoring;
use settlement::block::SignedHeader;
use settlement::crypto::SigningKey;
use settlement::encoding::{decode, encode};
use settlement::index::{Index, MemoryIndex, Shelf};
use settlement::journal::{Disk, Journal, MemoryJournal};
use settlement::ledger::store::{Store, StoreConfig};
use settlement::params::Genesis;
use settlement::types::{Amount, Anchor, AssetId, Height, LedgerId, Secret};
use settlement::update::Payload;
use settlement::wire::Bounded;

use super::{Reader, journal, table};
use crate::named::source;
use crate::sim::{Samples, samples};

const LEDGER: LedgerId = LedgerId([7; 32]);
const TOKEN: StepToken = StepToken { anchor: Anchor([5; 32]), steps: 3, secret: Secret([6; 32]) };

static WORLD: LazyLock<Samples> = LazyLock::new(|| samples(7, 160));

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

fn bound() -> Bound<'static> {
    Bound {
        challenge: "id",
        action: Action::Open,
        method: "GET",
        realm: "api.example",
        target: "/words?of=1",
        payer: key(1).public(),
        stream: StreamId([9; 16]),
    }
}

fn payment_key() -> PaymentKey {
    PaymentKey::of_payee(&key(2), &key(1).public(), &LEDGER).expect("two keys")
}

pub(super) fn opens_payload(bytes: &[u8]) -> bool {
    let payload = Payload::new(bytes.to_vec());
    payload.is_ok_and(|payload| payload::open(&payload, &key(2), &LEDGER).is_ok())
}

pub(super) fn opens_relayed(bytes: &[u8]) -> bool {
    let Ok(ciphertext) = Bounded::new(bytes.to_vec()) else { return false };
    RelayKeys::default().open(&ciphertext, &key(1).public(), &key(2), &LEDGER).is_ok()
}

pub(super) fn opens_credential(bytes: &[u8]) -> bool {
    payment_key().open(bytes, &bound()).is_some()
}

/// Rows as bytes: the lengths of a key and a value, then both.
fn rows(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (mut reader, mut rows) = (Reader(bytes), Vec::new());
    while !reader.is_empty() {
        let (key, value) = (usize::from(reader.byte()), usize::from(reader.short()));
        rows.push((reader.some(key).to_vec(), reader.some(value).to_vec()));
    }
    rows
}

fn rows_as_bytes(rows: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let one = |(key, value): &(Vec<u8>, Vec<u8>)| {
        let key_bytes = u8::try_from(key.len()).expect("keys are short");
        let value_bytes = u16::try_from(value.len()).expect("values are short");
        [&[key_bytes], value_bytes.to_le_bytes().as_slice(), key, value].concat()
    };
    rows.iter().flat_map(one).collect()
}

fn wallet_of(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Option<Wallet> {
    Wallet::restore(WORLD.wallet.clone(), &mut rows.into_iter()).ok()
}

pub(super) fn restores_wallet(bytes: &[u8]) -> bool {
    wallet_of(rows(bytes)).is_some()
}

/// What was restored writes rows from which the same comes again.
pub(super) fn wallet_again(bytes: &[u8]) {
    let sorted = |wallet: &Wallet| BTreeMap::from_iter(wallet.rows());
    if let Some(wallet) = wallet_of(rows(bytes)) {
        let again = wallet_of(wallet.rows()).expect("what is written is read");
        assert_eq!(sorted(&again), sorted(&wallet));
    }
}

pub(super) fn restores_shard(bytes: &[u8]) -> bool {
    let mut restoring = Restoring::new(WORLD.shard.clone());
    let read = rows(bytes).iter().try_for_each(|(key, value)| restoring.row(key, value));
    read.and_then(|()| restoring.finish()).is_ok()
}

pub(super) fn opens_ledger(bytes: &[u8]) -> bool {
    let rows: BTreeMap<_, _> = rows(bytes).into_iter().collect();
    let tip = rows.get(b"t".as_slice()).and_then(|tip| decode::<SignedHeader>(tip).ok());
    let position = tip.map_or(1, |tip| tip.header.height.0);
    let mut index = MemoryIndex::open(&Shelf::new());
    let rows = rows.into_iter().map(|(key, value)| (key, Some(value)));
    if index.checkpoint(position, &mut rows.into_iter()).is_err() {
        return false;
    }
    // Whole blocks that led there are not here; so a ledger that was restored is told that they are
    // missing.
    let opened = open_store(MemoryJournal::open(&Disk::new()).expect("a new disk"), index);
    opened.is_err_and(|why| why.contains("replay from"))
}

pub(super) fn replays_block(bytes: &[u8]) -> bool {
    let mut journal = MemoryJournal::open(&Disk::new()).expect("a new disk");
    if journal.append(bytes).and_then(|_| journal.sync()).is_err() {
        return false;
    }
    open_store(journal, MemoryIndex::open(&Shelf::new())).is_ok()
}

fn open_store(journal: MemoryJournal, index: MemoryIndex) -> Result<(), String> {
    let (journal, index) = (Box::new(journal), Box::new(index));
    let opened = Store::open(WORLD.genesis.clone(), journal, index, StoreConfig::default());
    opened.map(drop).map_err(|error| error.to_string())
}

/// Good bytes for many decoders; what is good for one is a near miss for others.
pub fn all() -> Vec<Vec<u8>> {
    let decoders = table::all();
    let place = |name: &str| {
        let found = decoders.iter().position(|decoder| decoder.name == name);
        found.unwrap_or_else(|| panic!("there is no decoder {name}"))
    };
    let addressed =
        |(name, bytes): (&'static str, Vec<u8>)| super::decoders::addressed(place(name), &bytes);
    let known = frozen().into_iter().chain(sealed()).chain(texts()).chain(of_world());
    known.map(addressed).collect()
}

/// The bytes that the formats are frozen by, as `kind number name hex`.
fn frozen() -> Vec<(&'static str, Vec<u8>)> {
    let page = source("settlement/testdata/wire.txt");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let bytes = hex::decode(words.last()?).ok()?;
        let name = match *words.first()? {
            "message" => "Message::from_frame",
            "op" => "update::Op",
            "action" => "tx::AccountAction",
            _ => "tx::Transaction",
        };
        Some((name, bytes))
    };
    page.lines().filter_map(line).collect()
}

fn sealed() -> Vec<(&'static str, Vec<u8>)> {
    let content = Content {
        key: ContentKey::Secret(Secret([6; 32])),
        unit: Amount(5),
        steps: 1,
        asset: AssetId(0),
        anchor: Anchor([5; 32]),
        memo: "for coffee".to_owned(),
    };
    let to = key(2).public();
    let payload = payload::seal(&content, &key(1), &to, &LEDGER, &[8; 24]).expect("it fits");
    let body = Body::Step(TOKEN);
    let (asset, amount, memo) = (AssetId(0), Amount(3), "tea".to_owned());
    let asks = Body::Ask { ask: [1; 16], asset, amount, memo };
    let relayed = RelayKeys::default().seal(&body, &key(1), &to, &LEDGER).expect("it fits");
    let session = SessionId([4; 16]);
    let handing = Handing { session, steps: 3, tokens: vec![TOKEN; 2] };
    let nonce: Nonce = [8; 24];
    vec![
        ("payload::open", payload.as_slice().to_vec()),
        ("payload::Content", encode(&content)),
        ("RelayKeys::open", relayed.as_slice().to_vec()),
        ("relay::Body", encode(&body)),
        ("relay::Body", encode(&asks)),
        ("PaymentKey::open", payment_key().seal(&handing, &bound(), nonce)),
        ("http402::Handing", encode(&handing)),
        ("StepToken::from_text", TOKEN.to_text().into_bytes()),
    ]
}

fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let invoice = Invoice {
        ledger: LEDGER,
        payee: key(2).public(),
        asset: AssetId(0),
        amount: Amount(1_500),
        anchor: Anchor([5; 32]),
        expires: Height(900),
        memo: "coffee".to_owned(),
        hub: Some(key(3).public()),
    };
    let text = invoice.to_text(&key(2)).expect("it can be signed");
    let genesis = Genesis::development("fuzz", key(3).public(), 1);
    let toml = toml::to_string(&genesis).expect("it is written");
    vec![
        ("Invoice", encode(&invoice)),
        ("Invoice::parse", text.into_bytes()),
        ("home::read_genesis", toml.into_bytes()),
        ("params::Genesis", encode(&genesis)),
        ("config::load", source("deploy/hub.toml").into_bytes()),
        ("config::load", b"HUB_DATA_DIR=a\nHUB_FEES__BASE=3".to_vec()),
        ("Challenge::from_header", CHALLENGE.as_bytes().to_vec()),
        ("Credential::from_header", credential()),
    ]
}

const CHALLENGE: &str = "Payment id=\"x\", realm=\"api.example\", method=\"payhub\", \
    intent=\"session\", request=\"e30\", expires=\"2026-11-26T22:05:00Z\", Bearer realm=\"a\\\"b\"";

fn credential() -> Vec<u8> {
    use client_sdk::http402::{Challenge, Credential, CredentialPayload};
    let challenge = Challenge::from_header(CHALLENGE).expect("a demand");
    let Bound { action, payer, stream, .. } = bound();
    let payload = CredentialPayload { action, payer, stream, sealed: "AQIDBA".to_owned() };
    Credential { challenge, payload }.to_header().into_bytes()
}

/// What a world has on its disks.
fn of_world() -> Vec<(&'static str, Vec<u8>)> {
    let world = &*WORLD;
    let some = |name: &'static str, all: &[Vec<u8>]| {
        // The last ones are the richest, and those of the beginning are of other kinds.
        let chosen = all.iter().rev().take(12).chain(all.iter().take(8));
        let chosen: BTreeSet<&Vec<u8>> = chosen.collect();
        chosen.into_iter().map(|bytes| (name, bytes.clone())).collect::<Vec<_>>()
    };
    let rows = [
        ("Wallet::restore", rows_as_bytes(&world.wallet_rows)),
        ("Restoring::row", rows_as_bytes(&world.hub_rows)),
        ("Store::open", rows_as_bytes(&world.ledger_rows)),
        ("read_record", world.blocks.first().cloned().unwrap_or_default()),
        ("SegmentHeader::decode", journal::a_segment()),
    ];
    [
        some("shard::Record", &world.hub_records),
        some("wallet::Record", &world.wallet_records),
        some("channel::Channel", &world.channels),
        exports(),
        rows.to_vec(),
    ]
    .concat()
}

fn exports() -> Vec<(&'static str, Vec<u8>)> {
    let key = &WORLD.wallet.key;
    let channels = WORLD.channels.iter().filter_map(|bytes| decode(bytes).ok());
    // Those of the hub: what its wallet would say is not in them, but the form is the same.
    let answers: Vec<Answer> = channels.filter_map(|channel| Answer::of(&channel, key)).collect();
    let transactions = answers.iter().filter_map(|answer| hex::decode(&answer.transaction).ok());
    let transactions: Vec<_> = transactions.map(|bytes| ("tx::Transaction", bytes)).collect();
    let export = serde_json::to_vec(&Export::new(answers)).expect("it is written");
    [vec![("Export::read", export)], transactions].concat()
}
