//! Secrets of any length but the right one in the header that pays: sealed as well as a payer can seal
//! them, they pay for nothing.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use client_sdk::http402::{Action, Bound, Handing, PaymentKey, SessionId};
use client_sdk::relay::StepToken;
use reqwest::StatusCode;
use settlement::crypto::{SigningKey, Tag, digest};
use settlement::encoding::encode;
use settlement::types::{LedgerId, PublicKey};

use super::stage::{Shop, Stage, key};
use super::thief::{Forger, show, stream_to};

const LENGTHS: [usize; 5] = [0, 1, 31, 33, 64];

/// Seals what no type holds, as the module `credential` of the SDK says.
fn seal(
    plain: &[u8],
    mine: &SigningKey,
    payee: &PublicKey,
    ledger: &LedgerId,
    bound: &Bound<'_>,
    nonce: [u8; 24],
) -> Vec<u8> {
    let shared = mine.shared_secret(payee).unwrap();
    let key = digest(Tag::Payment, &(*shared, ledger, mine.public(), payee));
    let sealing = Payload { msg: plain, aad: &encode(bound) };
    let sealed = XChaCha20Poly1305::new(&key.0.into()).encrypt(&nonce.into(), sealing).unwrap();
    [&[1], nonce.as_slice(), &sealed].concat()
}

/// The handing's bytes with so many in the place of the secret.
fn with_length(handing: &Handing, token: &StepToken, length: usize) -> Vec<u8> {
    let (bytes, secret) = (encode(handing), token.secret.as_slice());
    let at = bytes.windows(32).position(|window| window == secret).unwrap();
    let other = secret.iter().copied().chain([0; 32]).take(length).collect::<Vec<u8>>();
    [&bytes[..at], &other, &bytes[at + 32..]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_another_length_pay_for_nothing() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let shop = Shop::open(&bob).await;
    let forger = Forger::at(&stage, &shop, &bob, "/answer").await;
    let (to_bob, stream) = stream_to(&alice, &bob).await;
    let token = to_bob.advance(3).await.unwrap()[0];
    let mine = key(1);
    let bound = forger.bound(mine.public(), stream, Action::Open, "GET");
    let handing = Handing { session: SessionId([1; 16]), steps: 3, tokens: vec![token] };
    for (nonce, length) in (1..).zip(LENGTHS) {
        let plain = with_length(&handing, &token, length);
        let sealed = seal(&plain, &mine, &forger.payee, &forger.ledger, &bound, [nonce; 24]);
        let said = show(&shop, "GET", "/answer", &forger.carries(&bound, &sealed)).await;
        let refused = (StatusCode::PAYMENT_REQUIRED, "verification-failed".to_owned());
        assert_eq!(said, refused, "{length} bytes");
        // As text, it has 8 digits of steps and 64 of the anchor, too.
        let text = token.to_text();
        let digits = format!("{}{}", &text[..72], "00".repeat(length));
        assert_eq!(StepToken::from_text(&digits), None, "{length} bytes");
    }
    assert_eq!(shop.served_and_paid(), (0, 0), "nothing was served or taken");
    // Sealed here in the same way, but 32 bytes long, it pays.
    let plain = with_length(&handing, &token, 32);
    let sealed = seal(&plain, &mine, &forger.payee, &forger.ledger, &bound, [9; 24]);
    let payers = PaymentKey::of_payer(&mine, &forger.payee, &forger.ledger).unwrap();
    assert_eq!(sealed, payers.seal(&handing, &bound, [9; 24]));
    let (status, _) = show(&shop, "GET", "/answer", &forger.carries(&bound, &sealed)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(shop.served_and_paid(), (3, 3));
}
