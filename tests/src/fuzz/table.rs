//! The table of the decoders. That none is missing is held by `tests/tests/fuzz/complete.rs`.

use client_sdk::http402::{self, Challenge, Credential, Receipt, SessionId};
use client_sdk::invoice::Invoice;
use client_sdk::relay::StepToken;
use client_sdk::watchtower::{Answer, Export};
use client_sdk::{api as sdk, payload, relay, tower, wallet};
use hub::shard;
use settlement::crypto::{SigningKey, VerifyingKey};
use settlement::encoding::encode;
use settlement::ledger;
use settlement::types::{
    Amount, Anchor, AssetId, ChannelId, Hash, Height, Holder, LedgerId, PerRole, PublicKey, Role,
    Salt, Secret, Signature, TxId,
};
use settlement::wire::Message;
use settlement::{
    api, block, channel, crypto, liabilities, lock, params, proof, reject, state_proof, tx, update,
    wire,
};

use super::decoders::{Decoder, json, postcard, text, utf8};
use super::{journal, seeds};

macro_rules! each {
    ($make:ident: $($type:ty),* $(,)?) => { vec![$($make::<$type>(stringify!($type))),*] };
}

/// All of them, always in the same order.
pub fn all() -> Vec<Decoder> {
    [functions(), wire_types(), ledger_types(), channel_types(), wallet_types(), jsons()]
        .into_iter()
        .flatten()
        .collect()
}

/// What strangers send, and what goes with it.
fn wire_types() -> Vec<Decoder> {
    each![postcard:
        Message, wire::Hello, wire::SignIn, update::Update, update::Op, update::Destination,
        update::Memo, update::Payload, lock::Lock, proof::OpenTerms, proof::BalanceProof,
        proof::SnapshotRef, proof::Withdrawal, proof::CooperativeClose, proof::Net,
        crypto::MerklePath, crypto::Signed<proof::BalanceProof>, reject::Code,
        Amount, Anchor, AssetId, ChannelId, Hash, Height, Holder, LedgerId, PerRole<Amount>,
        PublicKey, Role, Salt, Secret, Signature, TxId, payload::Content, payload::ContentKey,
        payload::StreamId, relay::Body, StepToken, http402::Handing, http402::Action, Invoice,
    ]
}

/// What the ledger takes and tells.
fn ledger_types() -> Vec<Decoder> {
    let bounded = each![postcard: block::Header, block::SignedHeader,
        liabilities::Liabilities, liabilities::SumNode, liabilities::LiabilityProof,
        state_proof::ChannelLeaf, state_proof::DirectionLeaf, state_proof::Standing,
        state_proof::StateProof, params::Asset, params::Allocation, params::Fees, params::Policy,
        params::View, ledger::ChannelState, ledger::ClosedChannel, ledger::Closing,
        ledger::Direction, ledger::Claim, block::LedgerEvent,
    ];
    let transactions = each![postcard:
        tx::AccountTx, tx::AccountAction, tx::ChannelTx, tx::Anchoring, tx::AnchorEntry, tx::Lease,
        tx::Submission, tx::Mint, tx::Transaction,
    ];
    let blocks =
        each![postcard: block::Block, block::BlockEvents, api::EventsPage, params::Genesis];
    let transactions = transactions.into_iter().map(|one| one.most(ledger::TX_BYTES_MAX + 512));
    let blocks = blocks.into_iter().map(|one| one.factor(LISTS));
    bounded.into_iter().chain(transactions).chain(blocks).collect()
}

/// How often its bytes a list takes whose elements may be far shorter than their room in memory, and
/// that has no limit of its own: what the ledger tells, and what the operator writes.
const LISTS: usize = 32;
/// The same of what is read from one's own disk, under a checksum: a change of two bytes takes
/// 192, twice while the list grows.
const OWN_DISK: usize = 200;

/// What is on the disks of wallets and hubs.
fn channel_types() -> Vec<Decoder> {
    let all = each![postcard:
        channel::Channel, channel::Escrow, channel::Phase, channel::Step, channel::Hold,
        channel::ReceivedUpdate, channel::Adopted, channel::Flight, channel::TakenLock,
        channel::Taken, channel::Answer, channel::SentProof, channel::Standing, channel::Refused,
        channel::Outgoing, channel::IncomingLock, channel::Incoming, channel::Tally,
        channel::Change, shard::Record, shard::Forward, shard::Pairing, shard::Slice, shard::Own,
        shard::InboundPolicy, shard::Limits,
    ];
    all.into_iter().map(|one| one.factor(OWN_DISK)).collect()
}

fn wallet_types() -> Vec<Decoder> {
    let all = each![postcard:
        wallet::Record, wallet::Payment, wallet::PaymentState, wallet::Way, wallet::Counted,
        wallet::Protection, wallet::stream::StreamLock, wallet::stream::StreamState,
        wallet::stream::StreamKey, wallet::stream::StreamPhase, wallet::stream::StreamView,
    ];
    all.into_iter().map(|one| one.factor(OWN_DISK)).collect()
}

/// What travels as JSON. Where a stranger sends it, its door is at most 129 KiB wide.
fn jsons() -> Vec<Decoder> {
    let asked = each![json:
        api::SubmitRequest, api::FaucetRequest, sdk::CosignRequest, Answer, Export, Challenge,
        Credential, http402::CredentialPayload, http402::Terms, http402::Details,
        http402::ReceiptBody,
    ];
    let told = each![json:
        api::LedgerInfo, api::AssetBalance, api::AccountView, api::ChannelPhase, api::ChannelView,
        api::SubmitAnswer, api::EventsPage, api::Problem, sdk::FeePolicy, sdk::HubInfo,
        sdk::ChannelOpened, sdk::Cosigned, sdk::LiabilityAnswer, tower::HandedIn, tower::Held,
        tower::NotTaken, state_proof::StateProof, params::Genesis, params::Policy,
    ];
    asked.into_iter().chain(told.into_iter().map(|one| one.factor(LISTS))).collect()
}

macro_rules! texts {
    ($($type:ty),* $(,)?) => { vec![$(text(
        concat!(stringify!($type), "::from_str"),
        |bytes| utf8(bytes).parse::<$type>().is_ok(),
        |bytes| if let Ok(value) = utf8(bytes).parse::<$type>() {
            let written = serde_json::to_value(value).expect("it is written");
            assert_eq!(written.as_str().and_then(|text| text.parse().ok()), Some(value));
        },
    )),*] };
}

/// Functions that make something of bytes or of a text, and check more than a type does.
fn functions() -> Vec<Decoder> {
    let texts = texts![
        Amount, Anchor, ChannelId, Hash, Holder, LedgerId, PublicKey, Salt, Secret, Signature,
        TxId, SessionId,
    ];
    let binary = |name, take, check| Decoder { text: false, ..text(name, take, check) };
    let message = binary(
        "Message::from_frame",
        |b| Message::from_frame(b).is_ok(),
        |bytes| {
            if let Ok(message) = Message::from_frame(bytes) {
                assert_eq!(message.to_frame(), bytes);
            }
        },
    );
    let frames = message.most(wire::FRAME_MAX);
    let export = text(
        "Export::read",
        |b| Export::read(b).is_ok(),
        |bytes| {
            if let Ok(export) = Export::read(bytes) {
                let answers: Vec<_> = export.answers.iter().map(Answer::transaction).collect();
                assert_eq!(answers.len(), export.answers.len());
            }
        },
    );
    let config = text("config::load", |b| configured(b) | from_variables(b), no_check);
    let more = vec![
        frames,
        text("Invoice::parse", |b| Invoice::parse(utf8(b)).is_ok(), no_check),
        text("StepToken::from_text", |b| StepToken::from_text(utf8(b)).is_some(), no_check),
        text("Challenge::from_header", |b| Challenge::from_header(utf8(b)).is_some(), challenge),
        text(
            "Credential::from_header",
            |b| credential(b).is_some(),
            |bytes| {
                if let Some(credential) = credential(bytes) {
                    let again = Credential::from_header(&credential.to_header());
                    assert_eq!(again, Some(Some(credential)));
                }
            },
        ),
        text("Receipt::from_json", |b| Receipt::from_json(b).is_ok(), no_check).most(EVENTS),
        export.most(EXPORTS),
        config.factor(LISTS),
        text(
            "home::read_genesis",
            |b| toml::from_str::<params::Genesis>(utf8(b)).is_ok(),
            no_check,
        )
        .factor(LISTS),
        binary("VerifyingKey::parse", |b| key(b).is_some(), no_check),
        binary("SigningKey::from_bytes", |b| secret_key(b).is_some(), no_check),
        binary("payload::open", seeds::opens_payload, no_check),
        binary("RelayKeys::open", seeds::opens_relayed, no_check),
        binary("PaymentKey::open", seeds::opens_credential, no_check),
        binary("Wallet::restore", seeds::restores_wallet, seeds::wallet_again).factor(LISTS),
        binary("Restoring::row", seeds::restores_shard, no_check).factor(LISTS),
        binary("Store::open", seeds::opens_ledger, no_check).factor(LISTS),
        binary("read_record", seeds::replays_block, no_check).factor(LISTS),
        binary("SegmentHeader::decode", journal::opens_segment, no_check).factor(LISTS),
    ];
    texts.into_iter().chain(more).collect()
}

/// As much of an export as is shown here: its door is 16 MiB wide.
const EXPORTS: usize = 1 << 20;
/// The most bytes of a server-sent event.
const EVENTS: usize = 256 << 10;

fn no_check(_: &[u8]) {}

fn challenge(bytes: &[u8]) {
    if let Some(challenge) = Challenge::from_header(utf8(bytes)) {
        let _ = challenge.terms().map(|terms| terms.price());
        let _ = challenge.expires_ms();
    }
}

fn credential(bytes: &[u8]) -> Option<Credential> {
    Credential::from_header(utf8(bytes)).flatten()
}

/// As the text of a file.
fn configured(bytes: &[u8]) -> bool {
    let config = toml::from_str::<hub::config::Config>(utf8(bytes));
    config.is_ok_and(|config| config.check().is_ok())
}

/// Each line as a variable of the environment.
fn from_variables(bytes: &[u8]) -> bool {
    let split = |line: &str| line.split_once('=').map(|(key, to)| (key.to_owned(), to.to_owned()));
    let env = utf8(bytes).lines().filter_map(split).collect();
    hub::config::load(&hub::config::Source { env, ..Default::default() }).is_ok()
}

fn key(bytes: &[u8]) -> Option<VerifyingKey> {
    VerifyingKey::parse(&PublicKey(bytes.try_into().ok()?)).ok()
}

fn secret_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let key = SigningKey::from_bytes(bytes.try_into().ok()?).ok()?;
    Some(encode(&key.public()))
}
