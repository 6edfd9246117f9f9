//! What nobody but the two can read, forge or redirect.

use super::*;

const LEDGER: LedgerId = LedgerId([7; 32]);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes([byte; 32]).unwrap()
}

fn step(steps: u32) -> Body {
    Body::Step(StepToken { anchor: Anchor([5; 32]), steps, secret: Secret([6; 32]) })
}

fn sealed(body: &Body, from: u8, to: u8) -> Ciphertext {
    RelayKeys::default().seal(body, &key(from), &key(to).public(), &LEDGER).unwrap()
}

fn opened(ciphertext: &Ciphertext, from: u8, to: u8) -> Result<Body, RelayError> {
    RelayKeys::default().open(ciphertext, &key(from).public(), &key(to), &LEDGER)
}

#[test]
fn what_is_sealed_for_a_wallet_is_what_it_reads() {
    let anchor = Anchor([5; 32]);
    let bodies = [
        step(3),
        Body::Taken { anchor, steps: 0 },
        Body::Close { anchor },
        Body::Closed { anchor, steps: 65_536 },
        Body::Ask { ask: [1; 16], asset: AssetId(1), amount: Amount(5), memo: "tea".to_owned() },
        Body::Invoice { ask: [1; 16], invoice: "phi1".to_owned() },
        Body::Declined { ask: [1; 16], code: Code::Overloaded },
        Body::Query { anchor },
    ];
    for body in bodies {
        assert_eq!(opened(&sealed(&body, 1, 2), 1, 2), Ok(body));
    }
}

/// ⚔ A hub that says that a message comes from, or goes to, somebody else gets nothing for it.
#[test]
fn a_message_opens_for_its_sender_receiver_and_ledger_alone() {
    let message = sealed(&step(3), 1, 2);
    let refused = Err(RelayError::NotAuthentic);
    assert_eq!(opened(&message, 3, 2), refused, "another sender");
    assert_eq!(opened(&message, 1, 3), refused, "another receiver");
    assert_eq!(opened(&message, 2, 1), refused, "sent back to its sender");
    let elsewhere = LedgerId([8; 32]);
    let there = RelayKeys::default().open(&message, &key(1).public(), &key(2), &elsewhere);
    assert_eq!(there, refused, "another ledger");
}

#[test]
fn any_other_byte_is_refused() {
    let message = sealed(&step(3), 1, 2);
    for at in 0..message.as_slice().len() {
        let mut bytes = message.as_slice().to_vec();
        bytes[at] ^= 1;
        assert!(opened(&Bounded::new(bytes).unwrap(), 1, 2).is_err(), "byte {at}");
    }
    for length in 0..message.as_slice().len() {
        let cut = message.as_slice()[..length].to_vec();
        assert!(opened(&Bounded::new(cut).unwrap(), 1, 2).is_err(), "{length} bytes");
    }
}

#[test]
fn two_contents_never_share_a_nonce_and_one_content_is_the_same_bytes() {
    let nonce = |body: &Body, from, to| sealed(body, from, to).as_slice()[1..25].to_vec();
    assert_eq!(sealed(&step(3), 1, 2), sealed(&step(3), 1, 2));
    assert_ne!(nonce(&step(3), 1, 2), nonce(&step(4), 1, 2));
    assert_ne!(nonce(&step(3), 1, 2), nonce(&step(3), 2, 1));
    assert_ne!(nonce(&step(3), 1, 2), nonce(&step(3), 1, 3));
}

#[test]
fn keys_that_are_kept_are_the_same_and_bounded() {
    let mut keys = RelayKeys::default();
    for _ in 0..2 {
        let message = keys.seal(&step(1), &key(1), &key(2).public(), &LEDGER).unwrap();
        assert_eq!(message, sealed(&step(1), 1, 2));
        let answer = sealed(&step(2), 2, 1);
        let read = keys.open(&answer, &key(2).public(), &key(1), &LEDGER);
        assert_eq!(read, Ok(step(2)));
    }
    assert_eq!(keys.keys.len(), 2);
}

#[test]
fn a_token_is_its_text_and_does_not_print_its_secret() {
    let Body::Step(token) = step(70_000) else { unreachable!() };
    assert!(!format!("{token:?}").contains("0606"), "{token:?}");
    let text = token.to_text();
    assert_eq!(text.len(), 136);
    assert_eq!(StepToken::from_text(&text), Some(token));
    for bad in ["", &text[2..], &format!("{text}00"), &text.replace("05", "zz")] {
        assert_eq!(StepToken::from_text(bad), None, "{bad}");
    }
}
