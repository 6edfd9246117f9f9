use settlement::types::{Anchor, Secret};

use super::*;

const LEDGER: LedgerId = LedgerId([9; 32]);

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).unwrap()
}

fn bound() -> Bound<'static> {
    Bound {
        challenge: "id",
        action: Action::Open,
        method: "GET",
        realm: "api.example",
        target: "/words?from=1",
        payer: key(1).public(),
        stream: StreamId([1; 16]),
    }
}

fn handing(tokens: usize) -> Handing {
    let token = StepToken { anchor: Anchor([1; 32]), steps: 7, secret: Secret([2; 32]) };
    Handing { session: SessionId([3; 16]), steps: 5, tokens: vec![token; tokens] }
}

fn payers(ledger: LedgerId) -> PaymentKey {
    PaymentKey::of_payer(&key(1), &key(2).public(), &ledger).unwrap()
}

fn payees(payee: u8, payer: u8) -> PaymentKey {
    PaymentKey::of_payee(&key(payee), &key(payer).public(), &LEDGER).unwrap()
}

#[test]
fn the_payee_reads_what_the_payer_sealed() {
    let sealed = payers(LEDGER).seal(&handing(2), &bound(), [5; 24]);
    assert_eq!(payees(2, 1).open(&sealed, &bound()), Some(([5; 24], handing(2))));
}

#[test]
fn nothing_else_opens_it() {
    let sealed = payers(LEDGER).seal(&handing(1), &bound(), [5; 24]);
    let good = bound();
    let others = [
        Bound { challenge: "other", ..good },
        Bound { action: Action::Voucher, ..good },
        Bound { method: "POST", ..good },
        Bound { realm: "other.example", ..good },
        Bound { target: "/words?from=2", ..good },
        Bound { payer: key(3).public(), ..good },
        Bound { stream: StreamId([2; 16]), ..good },
    ];
    for other in others {
        assert_eq!(payees(2, 1).open(&sealed, &other), None, "{other:?}");
    }
    let elsewhere = payers(LedgerId([8; 32])).seal(&handing(1), &good, [5; 24]);
    assert_eq!(payees(2, 1).open(&elsewhere, &good), None, "another ledger");
    assert_eq!(payees(3, 1).open(&sealed, &good), None, "another payee");
    assert_eq!(payees(2, 3).open(&sealed, &good), None, "another payer");
    assert_eq!(payees(1, 2).open(&sealed, &good), None, "the other direction");
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert_eq!(payees(2, 1).open(&flipped, &good), None, "byte {at}");
        assert_eq!(payees(2, 1).open(&sealed[..at], &good), None, "cut at {at}");
    }
    let many = payers(LEDGER).seal(&handing(TOKENS_MAX + 1), &good, [5; 24]);
    assert_eq!(payees(2, 1).open(&many, &good), None, "too many steps");
}

#[test]
fn a_header_is_read_or_refused() {
    let challenge = Challenge::issue(&[7; 32], "api.example", "e30", 1_795_737_599_000);
    let payload = CredentialPayload {
        action: Action::Voucher,
        payer: key(1).public(),
        stream: StreamId([1; 16]),
        sealed: base64(&[1, 2, 3]),
    };
    let credential = Credential { challenge, payload };
    let header = credential.to_header();
    assert_eq!(Credential::from_header(&header), Some(Some(credential.clone())));
    assert_eq!(credential.sealed(), Some(vec![1, 2, 3]));
    assert_eq!(Credential::from_header("Bearer token"), None);
    assert_eq!(Credential::from_header(""), None);
    let long = format!("Payment {}", "A".repeat(HEADER_MAX + 1));
    for junk in ["Payment", "Payment ", "Payment e30", "payment !!", "Payment bnVsbA", &long] {
        assert_eq!(Credential::from_header(junk), Some(None), "{junk}");
    }
    let cut = header.get(..header.len() - 3).unwrap();
    assert_eq!(Credential::from_header(cut), Some(None));
}
