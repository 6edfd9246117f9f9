use settlement::crypto::Signed;
use settlement::tx::{Mint, Submission};
use settlement::types::{Amount, AssetId, Salt, Secret, Signature};

use super::*;
use crate::watchtower::sample::{
    HUB, WALLET, answer, checked, genesis, key, lock, signed_by, submission, terms,
};

fn refused(answer: Answer) -> Code {
    CheckedAnswer::check(answer, &genesis().ledger_id()).expect_err("it was taken").code
}

/// A good answer but for one thing in what the wallet signs.
fn with(change: impl FnOnce(&mut Submission)) -> Answer {
    let mut body = submission(0, 3, &[lock(1, 10), lock(2, 20)], &[1]);
    change(&mut body);
    signed_by(WALLET, 0, 3, body)
}

/// The same with one thing else in what the hub signs.
fn with_proof(change: impl FnOnce(&mut settlement::proof::BalanceProof)) -> Answer {
    with(|body| {
        let mut proof = body.proof.clone().unwrap().value;
        change(&mut proof);
        body.proof = Some(Signed::alone(&key(HUB), proof, Salt([7; 16])));
    })
}

#[test]
fn an_answer_covers_what_it_says() {
    let checked = checked(0, 3, &[lock(1, 10), lock(2, 20), lock(3, 40)], &[1, 3]);
    assert_eq!(checked.rank(), (3, 50));
    assert_eq!(checked.claims_until, lock(3, 40).expiry);
}

fn all_refused(cases: &[(&str, Answer, Code)]) {
    for (what, answer, code) in cases {
        assert_eq!(refused(answer.clone()), *code, "{what}");
    }
    assert!(CheckedAnswer::check(with(|_| {}), &genesis().ledger_id()).is_ok(), "the rest is good");
}

#[test]
fn an_answer_that_says_one_thing_and_brings_another_is_refused() {
    use Code::{BadAnswer, TxWrongLedger};
    let good = || with(|_| {});
    let other = terms(1);
    let ledger = LedgerId([5; 32]);
    let transaction = |text: String| Answer { transaction: text, ..good() };
    let mint = Mint { ledger, number: 0, to: other.wallet, asset: AssetId(0), amount: Amount(1) };
    let mint = Transaction::Mint { body: mint, signature: Signature([0; 64]) };
    let foreign = Answer { terms: OpenTerms { ledger, ..terms(0) }, ..good() };
    let named = Answer { channel: other.channel_id(), ..good() };
    all_refused(&[
        ("another ledger", foreign, TxWrongLedger),
        ("another channel's id", named.clone(), BadAnswer),
        ("another channel's terms", Answer { terms: other, ..named }, BadAnswer),
        ("another number", Answer { seq: 4, ..good() }, BadAnswer),
        ("no hex", transaction("xyz".to_owned()), BadAnswer),
        ("no transaction", transaction("00".to_owned()), BadAnswer),
        ("too large", transaction("0".repeat(2 * TRANSACTION_BYTES_MAX + 2)), BadAnswer),
        ("no submission", transaction(hex::encode(encode(&mint))), BadAnswer),
    ]);
}

#[test]
fn a_submission_that_no_wallet_makes_for_a_tower_is_refused() {
    use Code::{BadAnswer, TxBadSignature};
    let resigned = with(|body| {
        let proof = body.proof.clone().unwrap().value;
        body.proof = Some(Signed::alone(&key(WALLET), proof, Salt([7; 16])));
    });
    let unopened = with(|body| {
        body.locks.clear();
        body.claims.clear();
    });
    let hubs = signed_by(HUB, 0, 3, submission(0, 3, &[], &[]));
    all_refused(&[
        ("signed by the hub", hubs, TxBadSignature),
        ("by the hub", with(|body| body.by = Role::Hub), BadAnswer),
        ("a close", with(|body| body.close = true), BadAnswer),
        ("no proof", with(|body| body.proof = None), BadAnswer),
        ("a proof that the wallet has signed", resigned, TxBadSignature),
        ("the wallet's direction", with_proof(|proof| proof.from = Role::Wallet), BadAnswer),
        ("another channel's", with_proof(|p| p.channel = terms(1).channel_id()), BadAnswer),
        ("a lock left out", with(|body| body.locks.truncate(1)), BadAnswer),
        ("locks unopened", unopened, BadAnswer),
        ("a total that is not theirs", with_proof(|p| p.locked = Amount(31)), BadAnswer),
        ("no secret of it", with(|body| body.claims[0].1 = Secret([9; 32])), BadAnswer),
        ("a claim on no lock", with(|body| body.claims[0].0 = 7), BadAnswer),
        ("a claim twice", with(|body| body.claims.push((1, Secret([1; 32])))), BadAnswer),
    ]);
}

#[test]
fn the_largest_answer_fits() {
    let lock = |id: u8| Lock { expiry: Height(u64::MAX), unit: Amount(1 << 50), ..lock(id, 1) };
    let ids: Vec<u8> = (0..=u8::MAX).collect();
    let locks: Vec<Lock> =
        ids.iter().map(|id| Lock { id: u64::MAX - u64::from(*id), ..lock(*id) }).collect();
    let mut body = submission(0, 3, &locks, &ids);
    for (id, _) in &mut body.claims {
        *id = u64::MAX - *id;
    }
    let proof = body.proof.as_mut().unwrap();
    let mut path = proof.path.clone();
    path.siblings = vec![settlement::types::Hash::ZERO; 8];
    let long = body.clone();
    let bytes = encode(&Transaction::submit(&key(WALLET), long)).len() + encode(&path).len();
    assert!(bytes <= TRANSACTION_BYTES_MAX, "{bytes} bytes");
    let largest = signed_by(WALLET, 0, 3, body);
    let checked = CheckedAnswer::check(largest, &genesis().ledger_id()).unwrap();
    assert_eq!(checked.rank().1, 256 << 50);
}

#[test]
fn an_export_is_read_back_and_anything_else_is_refused() {
    let export = Export::new(vec![answer(0, 3, &[lock(1, 10)], &[1])]);
    let text = serde_json::to_vec(&export).unwrap();
    assert_eq!(Export::read(&text), Ok(export));
    let code = |text: &[u8]| Export::read(text).expect_err("it was read").code;
    assert_eq!(code(b""), Code::BadAnswer);
    assert_eq!(code(b"{}"), Code::BadAnswer);
    assert_eq!(code(br#"{"version":1,"answers":[],"more":1}"#), Code::BadAnswer);
    assert_eq!(code(br#"{"version":2,"other":0}"#), Code::UnsupportedVersion);
    assert_eq!(code(&vec![b' '; EXPORT_BYTES_MAX + 1]), Code::BadAnswer);
}

/// Wallets and towers of several versions, and of others, hand each other these bytes.
#[test]
fn frozen() {
    let export = Export::new(vec![answer(0, 3, &[lock(1, 10), lock(2, 20)], &[1])]);
    let frozen = include_str!("../../../testdata/answer.json");
    assert_eq!(frozen.trim_end(), serde_json::to_string(&export).unwrap());
    assert_eq!(Export::read(frozen.as_bytes()), Ok(export));
}

/// Whether the page has this row of object and fields, in their order.
fn assert_row(page: &str, object: &str, value: &impl Serialize) {
    let text = serde_json::to_string(value).unwrap();
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let place = |name: &&String| text.find(&format!("\"{name}\":")).unwrap();
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort_by_key(place);
    let fields: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    let row = format!("\n| {object} | {} |\n", fields.join(" "));
    assert_eq!(page.matches(&row).count(), 1, "PROTOCOL.md has no {row}");
}

#[test]
fn objects_have_the_fields_that_the_page_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../settlement/PROTOCOL.md");
    let page = std::fs::read_to_string(page).unwrap();
    let answer = answer(0, 3, &[], &[]);
    assert_row(&page, "terms", &answer.terms);
    assert_row(&page, "answer", &answer);
    assert_row(&page, "export", &Export::new(vec![answer]));
    for (bound, says) in [(TRANSACTION_BYTES_MAX >> 10, "KiB"), (EXPORT_BYTES_MAX >> 20, "MiB")] {
        assert!(page.contains(&format!("{bound} {says}")), "{bound} {says}");
    }
    assert!(page.contains(&format!("`version` is {VERSION}")));
}

#[cfg(feature = "tower")]
#[test]
fn what_a_tower_says_has_the_fields_that_the_page_says() {
    use crate::tower::{ANSWERS_PER_REQUEST, HandedIn, Held, NotTaken};
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../settlement/PROTOCOL.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (channel, code, detail) = (terms(0).channel_id(), Code::BadAnswer, String::new());
    assert_row(&page, "handed in", &HandedIn::default());
    assert_row(&page, "held", &Held { channel, seq: 1 });
    assert_row(&page, "not taken", &NotTaken { channel, code, detail });
    assert!(page.contains(&format!("at most {ANSWERS_PER_REQUEST} answers")));
}
