use super::*;

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

fn invoice() -> Invoice {
    Invoice {
        ledger: LedgerId([7; 32]),
        payee: key(1).public(),
        asset: AssetId(0),
        amount: Amount(12_345),
        anchor: Anchor([9; 32]),
        expires: Height(4_711),
        memo: "Kaffee ☕".to_owned(),
        hub: Some(key(2).public()),
    }
}

fn bech32m(hrp: &str, bytes: &[u8]) -> String {
    bech32::encode_lower::<Bech32m>(Hrp::parse(hrp).unwrap(), bytes).unwrap()
}

/// The bytes of an invoice with a signature of that key, whatever the invoice says.
fn bytes_by(invoice: &Invoice, key: &SigningKey) -> Vec<u8> {
    let signature = key.sign(&invoice.digest());
    [&[VERSION], encode(invoice).as_slice(), signature.as_slice()].concat()
}

#[test]
fn frozen() {
    let text = invoice().to_text(&key(1)).unwrap();
    let frozen = include_str!("../../testdata/invoice.txt");
    assert_eq!(frozen.trim_end(), text, "an invoice that is out in the world must stay payable");
}

#[test]
fn comes_back_in_every_way_of_writing_it() {
    let text = invoice().to_text(&key(1)).unwrap();
    let upper = text.to_uppercase();
    for written in [
        text.clone(),
        upper.clone(),
        format!("hubpay:{text}"),
        format!("HUBPAY:{upper}"),
        format!(" {text}\n"),
    ] {
        assert_eq!(Invoice::parse(&written), Ok(invoice()), "{written}");
    }
}

#[test]
fn the_longest_is_within_what_the_checksum_is_made_for() {
    let longest = Invoice {
        asset: AssetId(u32::MAX),
        amount: Amount(u64::MAX),
        expires: Height(u64::MAX),
        memo: "x".repeat(MEMO_MAX),
        ..invoice()
    };
    let text = longest.to_text(&key(1)).unwrap();
    assert!(text.len() < 800, "{}", text.len());
    assert_eq!(Invoice::parse(&text), Ok(longest));
}

#[test]
fn any_changed_letter_is_noticed() {
    let text = invoice().to_text(&key(1)).unwrap();
    for at in 0..text.len() {
        let mut letters: Vec<char> = text.chars().collect();
        letters[at] = if letters[at] == 'q' { 'p' } else { 'q' };
        let changed: String = letters.into_iter().collect();
        assert!(Invoice::parse(&changed).is_err(), "letter {at}");
    }
    for at in 0..text.len() {
        assert!(Invoice::parse(&text[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn any_changed_byte_under_a_right_checksum_is_noticed() {
    let bytes = bytes_by(&invoice(), &key(1));
    assert_eq!(Invoice::parse(&bech32m(HRP, &bytes)), Ok(invoice()));
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            assert!(Invoice::parse(&bech32m(HRP, &changed)).is_err(), "byte {at}");
        }
    }
}

#[test]
fn each_refusal_says_what_is_wrong() {
    let by = |invoice: &Invoice, signer: u8| bech32m(HRP, &bytes_by(invoice, &key(signer)));
    let good = bytes_by(&invoice(), &key(1));
    let mut newer = good.clone();
    newer[0] = 2;
    let long = good.iter().copied().chain([0]).collect::<Vec<u8>>();
    let mixed = invoice().to_text(&key(1)).unwrap().replacen("phi1", "PHI1", 1);
    let zero = Invoice { amount: Amount(0), ..invoice() };
    let wordy = Invoice { memo: "x".repeat(257), ..invoice() };
    let cases = [
        (String::new(), InvoiceError::Text),
        ("hubpay:".to_owned(), InvoiceError::Text),
        (mixed, InvoiceError::Text),
        (bech32m("lnbc", &good), InvoiceError::Kind("lnbc".to_owned())),
        (bech32m(HRP, &[]), InvoiceError::Body),
        (bech32m(HRP, &good[..60]), InvoiceError::Body),
        (bech32m(HRP, &long), InvoiceError::Body),
        (bech32m(HRP, &newer), InvoiceError::Version(2)),
        (by(&invoice(), 3), InvoiceError::Signature),
        (by(&zero, 1), InvoiceError::ZeroAmount),
        (by(&wordy, 1), InvoiceError::MemoTooLong(257)),
    ];
    for (text, expected) in cases {
        assert_eq!(Invoice::parse(&text), Err(expected), "{text}");
    }
    assert_eq!(zero.to_text(&key(1)), Err(InvoiceError::ZeroAmount));
    assert_eq!(wordy.to_text(&key(1)), Err(InvoiceError::MemoTooLong(257)));
    assert_eq!(invoice().to_text(&key(3)), Err(InvoiceError::WrongKey));
}

#[test]
fn bits_that_pad_the_last_letter_are_zero() {
    use bech32::Fe32;
    use bech32::primitives::iter::{ByteIterExt, Fe32IterExt};
    let invoice = (0..5)
        .map(|more| Invoice { memo: "x".repeat(more), ..invoice() })
        .find(|invoice| !(bytes_by(invoice, &key(1)).len() * 8).is_multiple_of(5))
        .unwrap();
    let bytes = bytes_by(&invoice, &key(1));
    let mut letters: Vec<Fe32> = bytes.iter().copied().bytes_to_fes().collect();
    let write = |letters: &[Fe32]| -> String {
        let hrp = Hrp::parse(HRP).unwrap();
        letters.iter().copied().with_checksum::<Bech32m>(&hrp).chars().collect()
    };
    assert_eq!(Invoice::parse(&write(&letters)), Ok(invoice));
    let last = letters.pop().unwrap();
    letters.push(Fe32::try_from(last.to_u8() | 1).unwrap());
    assert_eq!(Invoice::parse(&write(&letters)), Err(InvoiceError::Body));
}
