use super::*;
use settlement::update::PAYLOAD_MAX;

const LEDGER: LedgerId = LedgerId([7; 32]);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

fn content() -> Content {
    Content {
        key: ContentKey::Secret(Secret([4; 32])),
        unit: Amount(500),
        steps: 1,
        asset: AssetId(0),
        anchor: Anchor([9; 32]),
        memo: "for lunch".to_owned(),
    }
}

fn sealed() -> Payload {
    seal(&content(), &key(1), &key(2).public(), &LEDGER, &[3; 24]).unwrap()
}

#[test]
fn frozen() {
    let frozen = include_str!("../../testdata/payload.txt");
    assert_eq!(frozen.trim_end(), hex::encode(sealed().as_slice()));
}

#[test]
fn the_payee_alone_reads_it_and_knows_who_paid() {
    assert_eq!(open(&sealed(), &key(2), &LEDGER), Ok((key(1).public(), content())));
    for stranger in [1, 3] {
        let opened = open(&sealed(), &key(stranger), &LEDGER);
        assert_eq!(opened, Err(PayloadError::NotAuthentic));
    }
}

#[test]
fn it_opens_on_no_other_ledger() {
    let opened = open(&sealed(), &key(2), &LedgerId([8; 32]));
    assert_eq!(opened, Err(PayloadError::NotAuthentic));
}

#[test]
fn any_change_is_noticed() {
    let bytes = sealed().as_slice().to_vec();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let opened = open(&Payload::new(changed).unwrap(), &key(2), &LEDGER);
        assert_eq!(opened, Err(PayloadError::NotAuthentic), "byte {at}");
        let cut = Payload::new(bytes[..at].to_vec()).unwrap();
        assert_eq!(open(&cut, &key(2), &LEDGER), Err(PayloadError::NotAuthentic), "cut at {at}");
    }
}

#[test]
fn another_payer_can_not_be_named() {
    let mut bytes = sealed().as_slice().to_vec();
    bytes[1..NONCE_AT].copy_from_slice(key(3).public().as_slice());
    let opened = open(&Payload::new(bytes).unwrap(), &key(2), &LEDGER);
    assert_eq!(opened, Err(PayloadError::NotAuthentic));
}

#[test]
fn the_longest_fits_a_lock_and_a_longer_memo_is_refused() {
    let longest = Content {
        unit: Amount(u64::MAX),
        steps: u32::MAX,
        asset: AssetId(u32::MAX),
        memo: "x".repeat(MEMO_MAX),
        ..content()
    };
    let payload = seal(&longest, &key(1), &key(2).public(), &LEDGER, &[0; 24]).unwrap();
    assert!(payload.as_slice().len() <= PAYLOAD_MAX);
    assert_eq!(open(&payload, &key(2), &LEDGER).unwrap().1, longest);
    let wordy = Content { memo: "x".repeat(MEMO_MAX + 1), ..content() };
    let refused = seal(&wordy, &key(1), &key(2).public(), &LEDGER, &[0; 24]);
    assert_eq!(refused, Err(PayloadError::MemoTooLong(MEMO_MAX + 1)));
    let nobody = seal(&content(), &key(1), &PublicKey([5; 33]), &LEDGER, &[0; 24]);
    assert_eq!(nobody, Err(PayloadError::Key(NotAKey)));
}
