//! The table: everything that is signed, with the door at which it is checked.

use std::rc::Rc;

use bech32::{Bech32m, Hrp};
use client_sdk::follower::HeaderCheck;
use client_sdk::http402::{Receipt, ReceiptBody, SessionId};
use client_sdk::invoice::{HRP, Invoice};
use client_sdk::payload::StreamId;
use client_sdk::watchtower::{Answer, CheckedAnswer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use settlement::block::{Block, BlockEvents, Header, SignedHeader};
use settlement::channel::{Adoption, Channel, NewOp, Now, Taken, VerifiedSnapshot, VerifiedUpdate};
use settlement::crypto::{
    BatchCache, MerklePath, Signable, Signed, SigningKey, Tag, VerifyingKey, batch_root, digest,
    hash_many,
};
use settlement::encoding::encode;
use settlement::params::{Policy, View};
use settlement::proof::BalanceProof;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Submission, Transaction};
use settlement::types::{Amount, Anchor, AssetId, Hash, Height, Role, Salt, Signature};
use settlement::update::{Memo, Update};

use super::field::{Change, changes};
use super::ledger::{Stand, key};
use super::sign_in;

const SALT: Salt = Salt([6; 16]);

/// Shows a message, or one that was changed, signed for a purpose, at its door.
type Present = Box<dyn Fn(Option<&Value>, Tag) -> Result<(), String>>;

/// Something that is signed.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The purpose that it is signed for.
    pub(crate) tag: Tag,
    /// It, with one field changed in each.
    pub(crate) changes: Vec<Change>,
    /// Shows the message, or one that was changed, with a signature over the good one for this
    /// purpose, and says whether it is taken.
    pub(crate) present: Present,
}

impl Row {
    /// `sign` signs the good message for a purpose; `door` takes a message with that signature.
    pub(crate) fn new<T: Serialize + DeserializeOwned + Clone + 'static, E: std::fmt::Debug>(
        name: impl Into<String>,
        tag: Tag,
        good: T,
        sign: impl Fn(Tag) -> Signature + 'static,
        door: impl Fn(T, Signature) -> Result<(), E> + 'static,
    ) -> Row {
        let changes = changes(&good);
        let present = move |changed: Option<&Value>, tag: Tag| {
            let shown = match changed {
                None => good.clone(),
                Some(changed) => serde_json::from_value(changed.clone())
                    .unwrap_or_else(|error| panic!("{changed} is no message: {error}")),
            };
            door(shown, sign(tag)).map_err(|error| format!("{error:?}"))
        };
        Row { name: name.into(), tag, changes, present: Box::new(present) }
    }

    /// Signed at once, by this key.
    pub(crate) fn signed<T: Signable + DeserializeOwned + Clone + 'static, E: std::fmt::Debug>(
        name: impl Into<String>,
        good: T,
        by: SigningKey,
        door: impl Fn(T, Signature) -> Result<(), E> + 'static,
    ) -> Row {
        let bytes = encode(&good);
        let sign = move |tag| by.sign(&hash_many(tag, &[&bytes]));
        Row::new(name, T::TAG, good, sign, door)
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Row> {
    let stand = Rc::new(Stand::new());
    let parts = [
        account_rows(&stand),
        channel_rows(&stand),
        proof_rows(&stand),
        batch_rows(),
        header_rows(&stand),
        vec![mint_row(&stand), invoice_row(), receipt_row()],
        sign_in::rows(),
    ];
    parts.into_iter().flatten().collect()
}

fn account_rows(stand: &Rc<Stand>) -> Vec<Row> {
    let row = |(name, by, body): (&str, u8, AccountTx)| {
        let stand = stand.clone();
        let door = move |body, signature| stand.answer(Transaction::Account { body, signature });
        Row::signed(name, body, key(by), door)
    };
    stand.account_txs().into_iter().map(row).collect()
}

/// What both sides sign has two rows: the other signature is over what is shown.
fn channel_rows(stand: &Rc<Stand>) -> Vec<Row> {
    let by = [("wallet", 1, 2), ("hub", 2, 1)];
    let mut rows = Vec::new();
    for (who, own, other) in by {
        let order = move |mine: Signature, theirs: Signature| match own {
            1 => (mine, theirs),
            _ => (theirs, mine),
        };
        let there = stand.clone();
        let name = format!("a withdrawal, by its {who}");
        rows.push(Row::signed(name, stand.withdrawal(), key(own), move |body, mine| {
            let (wallet, hub) = order(mine, key(other).sign(&body.digest()));
            there.answer(Transaction::Withdraw { body, wallet, hub })
        }));
        let there = stand.clone();
        let name = format!("a cooperative close, by its {who}");
        rows.push(Row::signed(name, stand.cooperative_close(), key(own), move |body, mine| {
            let (wallet, hub) = order(mine, key(other).sign(&body.digest()));
            there.answer(Transaction::CooperativeClose { body, wallet, hub })
        }));
    }
    let there = stand.clone();
    let submission = stand.submission(&stand.proof());
    rows.push(Row::signed("a submission", submission, key(2), move |body, signature| {
        there.answer(Transaction::Submit { body, signature })
    }));
    rows
}

fn leaf(tag: Tag, of: &Hash) -> Hash {
    hash_many(tag, &[SALT.as_slice(), of.as_slice()])
}

/// Signs a proof in a batch of its own, hashed for this purpose.
fn alone(by: SigningKey, good: &BalanceProof) -> impl Fn(Tag) -> Signature + 'static {
    let bytes = encode(good);
    move |tag| by.sign(&batch_root(&leaf(Tag::Leaf, &hash_many(tag, &[&bytes])), 1))
}

fn in_batch_of_one(value: BalanceProof, signature: Signature) -> Signed<BalanceProof> {
    let path = MerklePath { salt: SALT, index: 0, leaf_count: 1, siblings: Vec::new() };
    Signed { value, signature, path }
}

/// A proof comes to these doors: in an update, in a snapshot, in a submission, in an anchor and in
/// what a watchtower is handed. Around a changed proof everything is signed anew, so that nothing but
/// the proof's own signature is in the way.
fn proof_rows(stand: &Rc<Stand>) -> Vec<Row> {
    let good = stand.proof().value;
    let (to_submit, to_anchor) = (stand.clone(), stand.clone());
    vec![
        update_row(),
        snapshot_row(),
        tower_row(stand),
        Row::new("a proof in a submission", Tag::Proof, good, alone(key(1), &good), {
            move |value, signature| {
                let body = to_submit.submission(&in_batch_of_one(value, signature));
                to_submit.answer(Transaction::submit(&key(2), body))
            }
        }),
        Row::new("a proof in an anchor", Tag::Proof, good, alone(key(1), &good), {
            move |value, signature| {
                let anchor = to_anchor.anchoring(&in_batch_of_one(value, signature));
                let body = to_anchor.account_tx(2, AccountAction::Anchor(anchor));
                to_anchor.answer(Transaction::account(&key(2), body))
            }
        }),
    ]
}

/// A wallet's payment, at the door of its hub.
struct Paying {
    update: Update,
    hub: Channel,
}

fn policy() -> Policy {
    Policy::development()
}

fn now(policy: &Policy) -> Now<'_> {
    Now { view: View { height: Height(5), fresh: true }, policy, lag: 20 }
}

fn paying() -> Paying {
    let terms = Stand::new().terms;
    let side = |role| Channel::open(terms, role, Amount(1_000));
    let (mut wallet, hub) = (side(Role::Wallet), side(Role::Hub));
    let pay = NewOp::Pay { amount: Amount(30), memo: Memo::default() };
    let step = wallet.propose(&[pay], &now(&policy())).step.expect("it can pay");
    wallet.commit(&step);
    let flight = wallet.outgoing().in_flight.as_ref().expect("an update");
    let proof = Signed::alone(&key(1), flight.proof, SALT);
    let update = Update { channel: wallet.id(), base: flight.base, ops: flight.ops(), proof };
    Paying { update, hub }
}

impl Paying {
    fn answer(&self, proof: Signed<BalanceProof>) -> Result<(), String> {
        let update = Update { proof, ..self.update.clone() };
        let wallet = VerifyingKey::parse(&key(1).public()).expect("a key");
        let checked = VerifiedUpdate::check(update, &wallet, &mut BatchCache::new(4));
        let checked = checked.map_err(|error| format!("{error:?}"))?;
        let policy = policy();
        let taken = self.hub.check_update(&checked, &now(&policy));
        taken.map(|_| ()).map_err(|code| format!("{code:?}"))
    }
}

fn update_row() -> Row {
    let paying = paying();
    let good = paying.update.proof.value;
    Row::new("a proof in an update", Tag::Proof, good, alone(key(1), &good), {
        move |value, signature| paying.answer(in_batch_of_one(value, signature))
    })
}

/// The same proof, shown in full to a side that has lost it.
fn snapshot_row() -> Row {
    let good = paying().update.proof.value;
    Row::new("a proof in a snapshot", Tag::Proof, good, alone(key(1), &good), {
        move |value, signature| {
            let taken = Taken { proof: in_batch_of_one(value, signature), locks: Vec::new() };
            let key = VerifyingKey::parse(&key(1).public()).expect("a key");
            let shown = VerifiedSnapshot::check(Role::Wallet, taken, &key);
            let shown = shown.map_err(|code| format!("{code:?}"))?;
            // Whether it is of this channel is asked where it is taken.
            let mut lost = Channel::open(Stand::new().terms, Role::Hub, Amount(1_000));
            let suspended = lost.suspend(Code::StateLost);
            lost.commit(&suspended);
            match lost.check_snapshots(&[shown], true, &now(&policy())) {
                Adoption::Take(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    })
}

/// The hub's, in what its wallet has a watchtower bring.
fn tower_row(stand: &Rc<Stand>) -> Row {
    let (terms, ledger) = (stand.terms, stand.ledger.id());
    let channel = terms.channel_id();
    let good = BalanceProof {
        channel,
        from: Role::Hub,
        seq: 4,
        transferred: Amount(30),
        locked: Amount::ZERO,
        locks_root: Hash::ZERO,
        peer_seq: 2,
        peer_transferred: Amount(8),
    };
    Row::new("a proof that a tower is handed", Tag::Proof, good, alone(key(2), &good), {
        move |value, signature| {
            let proof = Some(in_batch_of_one(value, signature));
            let body = Submission { proof, ..Submission::nothing(channel, Role::Wallet) };
            let transaction = hex::encode(encode(&Transaction::submit(&key(1), body)));
            let answer = Answer { channel, terms, seq: value.seq, transaction };
            CheckedAnswer::check(answer, &ledger).map(|_| ())
        }
    })
}

/// The proof is one of two in its batch; what is shown is its way up to the root.
fn batch_rows() -> Vec<Row> {
    let rows = [("leaf", Tag::Leaf), ("node", Tag::Node), ("root", Tag::Batch)];
    rows.into_iter().map(|(name, tag)| batch_row(name, tag)).collect()
}

fn batch_row(part: &str, purpose: Tag) -> Row {
    let paying = paying();
    let (of, beside) = (paying.update.proof.value.digest(), Hash([8; 32]));
    let good = MerklePath { salt: SALT, index: 0, leaf_count: 2, siblings: vec![beside] };
    let sign = move |tag: Tag| {
        let instead = |usual: Tag| if usual == purpose { tag } else { usual };
        let leaf = leaf(instead(Tag::Leaf), &of);
        let root = hash_many(instead(Tag::Node), &[leaf.as_slice(), beside.as_slice()]);
        key(1).sign(&digest(instead(Tag::Batch), &(root, 2u16)))
    };
    Row::new(format!("the {part} of a batch"), purpose, good, sign, move |path, signature| {
        paying.answer(Signed { value: paying.update.proof.value, signature, path })
    })
}

fn header_rows(stand: &Rc<Stand>) -> Vec<Row> {
    let mut next = stand.ledger.clone();
    let tip = *next.tip();
    let applied = next.apply([], tip.time_ms + 1_000).expect("a block");
    let (good, genesis) = (applied.header, stand.ledger.parameters().clone());
    let (at_ledger, at_follower) = (stand.clone(), good.height);
    vec![
        Row::signed("a header at a follower", good, key(9), move |header: Header, signature| {
            let now_ms = good.time_ms + 1_000;
            let mut follower = HeaderCheck::new(&genesis, at_follower, 1_000).expect("a key");
            let header = SignedHeader { header, signature };
            follower.take(&BlockEvents { header, events: Vec::new() }, now_ms)
        }),
        Row::signed("a header in a replay", good, key(9), move |header, signature| {
            let header = SignedHeader { header, signature };
            let block = Block { header, transactions: Vec::new() };
            at_ledger.ledger.clone().verify_block(&block).map(|_| ())
        }),
    ]
}

fn mint_row(stand: &Rc<Stand>) -> Row {
    let there = stand.clone();
    Row::signed("a mint", stand.mint(), key(9), move |body, signature| {
        there.answer(Transaction::Mint { body, signature })
    })
}

fn invoice_row() -> Row {
    let invoice = Invoice {
        ledger: Stand::new().ledger.id(),
        payee: key(1).public(),
        asset: AssetId(1),
        amount: Amount(1_500),
        anchor: Anchor([4; 32]),
        expires: Height(900),
        memo: "coffee".to_owned(),
        hub: Some(key(2).public()),
    };
    Row::signed("an invoice", invoice, key(1), |invoice: Invoice, signature: Signature| {
        let bytes = [&[1], encode(&invoice).as_slice(), signature.as_slice()].concat();
        let hrp = Hrp::parse(HRP).expect("the prefix of invoices");
        let text = bech32::encode_lower::<Bech32m>(hrp, &bytes).expect("it is short");
        Invoice::parse(&text).map(|_| ())
    })
}

fn receipt_row() -> Row {
    let body = ReceiptBody {
        ledger: Stand::new().ledger.id(),
        payee: key(1).public(),
        payer: key(2).public(),
        stream: StreamId([4; 16]),
        asset: AssetId(1),
        unit: Amount(3),
        session: SessionId([5; 16]),
        resource: "GET api.example/words".to_owned(),
        steps: 7,
        served: 70,
        paid: 80,
        time_ms: 1_795_737_599_000,
    };
    Row::signed("a receipt", body, key(1), |body: ReceiptBody, signature: Signature| {
        // What stands beside the signed part says what that says.
        Receipt { signature, ..Receipt::sign(body, &key(1)) }.verify()
    })
}
