//! One fixed value of everything that is sent, signed or hashed. No two fields of a value are
//! alike, so that two that change places are seen.

use crate::block::{Header, SignedHeader};
use crate::crypto::{MerklePath, Signed, SigningKey};
use crate::liabilities::{Liabilities, LiabilityTree};
use crate::lock::Lock;
use crate::params::{Allocation, Asset, Genesis};
use crate::proof::{BalanceProof, CooperativeClose, Net, OpenTerms, SnapshotRef, Withdrawal};
use crate::reject::Code;
use crate::state_proof::{ChannelLeaf, DirectionLeaf, Standing};
use crate::tx::{
    AccountAction, AccountTx, AnchorEntry, Anchoring, Lease, Mint, Submission, Transaction,
};
use crate::types::{
    Amount, Anchor, AssetId, ChannelId, Hash, Height, Holder, PerRole, PublicKey, Role, Salt,
    Secret, Signature,
};
use crate::update::{Destination, Memo, Op, Payload, Update};
use crate::wire::{Bounded, Hello, Message, SignIn};

pub(super) fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).expect("a key")
}

fn public(byte: u8) -> PublicKey {
    key(byte).public()
}

pub(super) fn genesis() -> Genesis {
    let allocation =
        Allocation { account: public(1), asset: AssetId(1), amount: Amount(1_000_000) };
    Genesis {
        assets: vec![
            Asset { code: "EUR".into(), scale: 2 },
            Asset { code: "XAU".into(), scale: 9 },
        ],
        allocations: vec![allocation],
        ..Genesis::standard("golden", public(3), 1_767_225_600)
    }
}

pub(super) fn terms() -> OpenTerms {
    OpenTerms {
        ledger: genesis().ledger_id(),
        asset: AssetId(1),
        wallet: public(1),
        hub: public(2),
        challenge_blocks: 3_600,
        nonce: 7,
    }
}

fn channel() -> ChannelId {
    terms().channel_id()
}

pub(super) fn locks() -> Vec<Lock> {
    let single = Lock {
        id: 1,
        anchor: Anchor([0x11; 32]),
        unit: Amount(500),
        steps: 1,
        expiry: Height(450),
    };
    let stream = Lock {
        id: 300,
        anchor: Anchor([0x12; 32]),
        unit: Amount(3),
        steps: 65_536,
        expiry: Height(86_400),
    };
    vec![single, stream]
}

pub(super) fn proof() -> BalanceProof {
    BalanceProof {
        channel: channel(),
        from: Role::Hub,
        seq: 513,
        transferred: Amount(123_456_789),
        locked: crate::lock::locked_total(&locks()).expect("it fits"),
        locks_root: crate::lock::locks_root(&locks()),
        peer_seq: 42,
        peer_transferred: Amount(u64::MAX),
    }
}

/// A signature by the hub, alone in its batch.
fn signed() -> Signed<BalanceProof> {
    Signed::alone(&key(2), proof(), Salt([0x51; 16]))
}

/// One in a batch, of which only the shape matters here.
fn batched() -> Signed<BalanceProof> {
    let siblings = vec![Hash([0x61; 32]), Hash([0x62; 32])];
    let path = MerklePath { salt: Salt([0x52; 16]), index: 2, leaf_count: 300, siblings };
    Signed { value: proof(), signature: Signature([0x63; 64]), path }
}

pub(super) fn header() -> Header {
    Header {
        ledger: genesis().ledger_id(),
        height: Height(1_000),
        parent: Hash([0x21; 32]),
        time_ms: 1_767_225_600_123,
        tx_root: Hash([0x22; 32]),
        tx_count: 17,
        writes: Hash([0x23; 32]),
        state_root: Hash([0x24; 32]),
    }
}

pub(super) fn sign_in() -> SignIn {
    SignIn {
        ledger: genesis().ledger_id(),
        hub: public(2),
        challenge: Hash([0x31; 32]),
        key: public(1),
        role: Role::Wallet,
    }
}

fn destination(hub: bool) -> Destination {
    Destination { hub: hub.then(|| public(5)), wallet: public(4) }
}

fn payload() -> Payload {
    Payload::new(b"payload".to_vec()).expect("it is short")
}

/// One of each operation, in the order of their numbers.
pub(super) fn ops() -> Vec<(&'static str, Op)> {
    let memo = Memo::new(b"for coffee".to_vec()).expect("it is short");
    let [single, stream] = [locks()[0], locks()[1]];
    vec![
        ("Pay", Op::Pay { amount: Amount(300), memo }),
        ("Add", Op::Add { lock: single, to: destination(true), payload: payload() }),
        ("Add", Op::Add { lock: stream, to: destination(false), payload: Payload::default() }),
        ("Settle", Op::Settle { id: 300, secret: Secret([0x13; 32]) }),
        ("Drop", Op::Drop { id: 1 }),
    ]
}

/// The name of an operation's variant. A new variant does not compile until it has one, and a place
/// in the list above.
pub(super) fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Pay { .. } => "Pay",
        Op::Add { .. } => "Add",
        Op::Settle { .. } => "Settle",
        Op::Drop { .. } => "Drop",
    }
}

pub(super) fn message_name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "Hello",
        Message::Sync { .. } => "Sync",
        Message::Snapshot { .. } => "Snapshot",
        Message::Update(_) => "Update",
        Message::Ack { .. } => "Ack",
        Message::Reject { .. } => "Reject",
        Message::Reveal { .. } => "Reveal",
        Message::Fail { .. } => "Fail",
        Message::Relay { .. } => "Relay",
        Message::Ping { .. } => "Ping",
        Message::Goodbye { .. } => "Goodbye",
    }
}

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 2,
        features: 0x8001,
        ledger: genesis().ledger_id(),
        challenge: Hash([0x32; 32]),
        keys: vec![(public(1), Signature([0x41; 64])), (public(4), Signature([0x42; 64]))],
    }
}

fn sync(tip: bool) -> Message {
    let tip = tip.then(|| SignedHeader::sign(&key(3), header()));
    Message::Sync {
        channel: channel(),
        own: SnapshotRef::of(&proof()),
        yours: SnapshotRef::NONE,
        tip,
    }
}

fn update(ops: Vec<Op>, proof: Signed<BalanceProof>) -> Message {
    Message::Update(Update { channel: channel(), base: 512, ops, proof })
}

/// Each message, in the order of their numbers; several of some.
pub(super) fn messages() -> Vec<Message> {
    let channel = channel();
    let all_ops = ops().into_iter().map(|(_, op)| op).collect();
    let ciphertext = Bounded::new(vec![0xee; 5]).expect("it is short");
    vec![
        Message::Hello(hello()),
        Message::Hello(Hello { keys: vec![], ..hello() }),
        sync(true),
        sync(false),
        Message::Snapshot {
            direction: Role::Hub,
            proof: signed(),
            locks: locks(),
            destinations: vec![destination(true), destination(false)],
            payloads: vec![payload(), Payload::default()],
        },
        update(all_ops, signed()),
        update(vec![], batched()),
        Message::Ack { channel, seq: 513 },
        Message::Reject { channel, seq: 513, code: Code::BaseMismatch },
        Message::Reveal { channel, id: 300, secret: Secret([0x13; 32]) },
        Message::Fail { channel, id: 1, code: Code::PayeeOffline },
        Message::Relay { to: public(4), from: public(1), ciphertext },
        Message::Ping { number: 128, pong: false },
        Message::Ping { number: 128, pong: true },
        Message::Goodbye { code: Code::ShuttingDown },
    ]
}

pub(super) fn withdrawal() -> Withdrawal {
    Withdrawal {
        channel: channel(),
        role: Role::Hub,
        total_withdrawn: Amount(77),
        valid_until: Height(2_000),
    }
}

pub(super) fn close() -> CooperativeClose {
    CooperativeClose {
        channel: channel(),
        wallet_amount: Amount(60),
        hub_amount: Amount(40),
        wallet_net: Net::new(-300).expect("it is small"),
        hub_net: Net::new(400).expect("it is small"),
        valid_until: Height(2_000),
    }
}

pub(super) fn submission() -> Submission {
    Submission {
        channel: channel(),
        by: Role::Wallet,
        close: true,
        proof: Some(signed()),
        locks: locks(),
        claims: vec![(300, Secret([0x13; 32]))],
    }
}

pub(super) fn mint() -> Mint {
    let (ledger, to) = (genesis().ledger_id(), public(4));
    Mint { ledger, number: 9, to, asset: AssetId(1), amount: Amount(1_000) }
}

pub(super) fn account(action: AccountAction) -> AccountTx {
    AccountTx { ledger: genesis().ledger_id(), account: public(1), nonce: 7, action }
}

pub(super) fn actions() -> Vec<AccountAction> {
    vec![
        AccountAction::Transfer { to: public(4), asset: AssetId(1), amount: Amount(250) },
        AccountAction::Open { terms: terms(), deposit: Amount(100) },
        AccountAction::Deposit { channel: channel(), role: Role::Hub, amount: Amount(50) },
        AccountAction::Anchor(anchoring()),
        AccountAction::Lease(Lease { epoch: 3, holder: Holder([0x71; 16]) }),
        AccountAction::carry(Transaction::submit(&key(1), submission())).unwrap(),
    ]
}

fn anchoring() -> Anchoring {
    let entry = |wallet_proof| AnchorEntry {
        channel: channel(),
        wallet_proof,
        hub_transferred: Amount(70_000),
    };
    let liabilities = liabilities();
    Anchoring { epoch: 3, entries: vec![entry(Some(batched())), entry(None)], liabilities }
}

/// Three wallets, so that an odd node goes up.
pub(super) fn liability_tree() -> LiabilityTree {
    let owed = [(channel(), 5), (ChannelId([0x72; 32]), 0), (ChannelId([0x73; 32]), 1_000)];
    let owed = owed.map(|(channel, owed)| (channel, Amount(owed)));
    LiabilityTree::new(owed.to_vec()).unwrap()
}

pub(super) fn liabilities() -> Liabilities {
    let (root, total) = liability_tree().root();
    Liabilities { as_of: Height(999), asset: AssetId(1), root, total }
}

pub(super) fn leaf() -> ChannelLeaf {
    let standing = Standing { seq: 9, digest: Hash([0x74; 32]), transferred: Amount(300) };
    ChannelLeaf {
        index: 300,
        channel: channel(),
        opened: Height(12),
        deposited: PerRole { wallet: Amount(1_000), hub: Amount(500) },
        withdrawn: PerRole { wallet: Amount(0), hub: Amount(20) },
        closed_by: Some(Role::Hub),
        proofs_until: Some(Height(4_000)),
        directions: PerRole {
            wallet: DirectionLeaf {
                standing: Some(standing),
                claimed: Amount(40),
                floor: Amount(200),
                void_below: 8,
            },
            hub: DirectionLeaf::default(),
        },
    }
}

pub(super) fn action_name(action: &AccountAction) -> &'static str {
    match action {
        AccountAction::Transfer { .. } => "Transfer",
        AccountAction::Open { .. } => "Open",
        AccountAction::Deposit { .. } => "Deposit",
        AccountAction::Anchor(_) => "Anchor",
        AccountAction::Lease(_) => "Lease",
        AccountAction::Carry(_) => "Carry",
    }
}

pub(super) fn transaction_name(transaction: &Transaction) -> &'static str {
    match transaction {
        Transaction::Account { .. } => "Account",
        Transaction::Withdraw { .. } => "Withdraw",
        Transaction::CooperativeClose { .. } => "CooperativeClose",
        Transaction::Submit { .. } => "Submit",
        Transaction::Settle { .. } => "Settle",
        Transaction::Mint { .. } => "Mint",
    }
}

/// Each transaction, really signed.
pub(super) fn transactions() -> Vec<Transaction> {
    use crate::crypto::Signable;
    let (wallet, hub) = (key(1), key(2));
    let both = |digest| (wallet.sign(&digest), hub.sign(&digest));
    let mut all: Vec<Transaction> = actions()
        .into_iter()
        .map(|action| Transaction::account(&wallet, account(action)))
        .collect();
    let signatures = both(withdrawal().digest());
    all.push(Transaction::Withdraw { body: withdrawal(), wallet: signatures.0, hub: signatures.1 });
    let signatures = both(close().digest());
    all.push(Transaction::CooperativeClose {
        body: close(),
        wallet: signatures.0,
        hub: signatures.1,
    });
    all.push(Transaction::submit(&wallet, submission()));
    let bare =
        Submission { close: false, proof: None, locks: vec![], claims: vec![], ..submission() };
    all.push(Transaction::submit(&wallet, bare));
    all.push(Transaction::Settle { channel: channel() });
    let signature = key(3).sign(&mint().digest());
    all.push(Transaction::Mint { body: mint(), signature });
    all
}
