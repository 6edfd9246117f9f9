//! Headers that are shown again, elsewhere, or were never good.

use client_sdk::client::OutgoingStream;
use client_sdk::http402::{
    Action, Bound, Challenge, Credential, CredentialPayload, Handing, PaymentKey, SessionId,
    TillOptions,
};
use client_sdk::payload::StreamId;
use client_sdk::relay::StepToken;
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use settlement::types::{Amount, PublicKey, Secret};
use tests::shop::UNIT;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{ASSET, Member, Seen, Shop, Stage, key, plain, until};

pub(super) async fn show(
    shop: &Shop,
    method: &str,
    target: &str,
    credential: &str,
) -> (StatusCode, String) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = plain().request(method, shop.url(target));
    let answer = request.header(AUTHORIZATION, credential).send().await.unwrap();
    let header = answer.headers().get(WWW_AUTHENTICATE).map(|it| it.to_str().unwrap().to_owned());
    let kind = header.as_deref().and_then(|it| it.split("error=\"").nth(1)).unwrap_or_default();
    (answer.status(), kind.trim_end_matches('"').to_owned())
}

async fn refused(shop: &Shop, seen: &Seen, kind: &str) {
    let said = show(shop, &seen.method, &seen.target, &seen.credential).await;
    assert_eq!(
        said,
        (StatusCode::PAYMENT_REQUIRED, kind.to_owned()),
        "{} {}",
        seen.method,
        seen.target
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_shown_again_or_elsewhere_buys_nothing() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    paying.get(shop.url("/answer?for=me")).await.unwrap();
    let mut events = paying.events(shop.url("/words")).await.unwrap();
    for _ in 0..20 {
        events.next().await.unwrap().unwrap();
    }
    // Steps lie ready for this response, and, from an error, for the next.
    paying.get(shop.url("/broken")).await.unwrap();
    let (served, paid) = shop.served_and_paid();
    assert!(paid > served);
    let seen = shop.seen.lock().unwrap().clone();
    assert!(seen.iter().any(|seen| seen.method == "HEAD") && seen.len() >= 4, "{seen:?}");
    for one in &seen {
        refused(&shop, one, "invalid-challenge").await;
    }
    let answer = seen.iter().find(|seen| seen.target.starts_with("/answer")).unwrap().clone();
    let others = [("GET", "/answer"), ("GET", "/answer?for=you"), ("POST", "/answer?for=me")];
    for (method, target) in others.into_iter().chain([("GET", "/broken?for=me")]) {
        let other = Seen { method: method.to_owned(), target: target.to_owned(), ..answer.clone() };
        refused(&shop, &other, "verification-failed").await;
    }
    // At another price, and in another shop.
    let words = Seen { target: "/words".to_owned(), ..answer.clone() };
    refused(&shop, &words, "invalid-challenge").await;
    let carol = stage.member(3).await;
    refused(&Shop::open(&carol).await, &answer, "invalid-challenge").await;
    assert_eq!(shop.served_and_paid().1, paid, "nobody paid for that");
    // Whoever really pays is served as before.
    for _ in 0..20 {
        events.next().await.unwrap().unwrap();
    }
    events.finish().await.unwrap();
    paying.get(shop.url("/answer")).await.unwrap();
    let (served, paid) = shop.served_and_paid();
    let purse = paying.purses().await[0];
    assert!(served <= paid && paid == purse.handed, "{served} {paid} {purse:?}");
    // Nor does it in a shop of the same wallet that has started again.
    refused(&shop.begun_again(&bob).await, &answer, "invalid-challenge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_is_refused() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let (shop, paying) = (Shop::open(&bob).await, alice.paying());
    paying.get(shop.url("/answer")).await.unwrap();
    let good = shop.seen.lock().unwrap()[0].credential.clone();
    let long = format!("Payment {}", "A".repeat(30_000));
    let cut = &good[..good.len() - 10];
    for junk in ["Payment", "Payment e30", "Payment %%%", "payment AAAA", cut, &long] {
        let (status, kind) = show(&shop, "GET", "/answer", junk).await;
        assert_eq!((status, kind.as_str()), (StatusCode::PAYMENT_REQUIRED, "malformed-credential"));
    }
    for other in ["Bearer x", "Basic eDp5"] {
        let (status, kind) = show(&shop, "GET", "/answer", other).await;
        assert_eq!((status, kind.as_str()), (StatusCode::PAYMENT_REQUIRED, "payment-required"));
    }
    assert_eq!(shop.served_and_paid(), (3, 3));
}

/// A payer that makes its own headers.
pub(super) struct Forger<'a> {
    shop: &'a Shop,
    target: &'static str,
    payer: u8,
    pub(super) payee: PublicKey,
    pub(super) ledger: settlement::types::LedgerId,
    challenge: Challenge,
}

/// What one of them says.
pub(super) struct Forged {
    pub(super) stream: StreamId,
    pub(super) payer: PublicKey,
    pub(super) tokens: Vec<StepToken>,
    pub(super) steps: u32,
    pub(super) nonce: u8,
    pub(super) session: u8,
}

impl<'a> Forger<'a> {
    pub(super) async fn at(
        stage: &Stage,
        shop: &'a Shop,
        payee: &Member,
        target: &'static str,
    ) -> Forger<'a> {
        let answer = plain().get(shop.url(target)).send().await.unwrap();
        let header = answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
        let challenge = Challenge::from_header(&header).unwrap();
        let ledger = tokio::task::block_in_place(|| stage.hub.info().ledger);
        let payee = payee.wallet.public_key();
        Forger { shop, target, payer: 1, payee, ledger, challenge }
    }

    pub(super) fn header(&self, forged: &Forged, action: Action, method: &str) -> String {
        let key = PaymentKey::of_payer(&key(self.payer), &self.payee, &self.ledger).unwrap();
        let Forged { stream, payer, steps, .. } = *forged;
        let handing = Handing {
            session: SessionId([forged.session; 16]),
            steps,
            tokens: forged.tokens.clone(),
        };
        let bound = self.bound(payer, stream, action, method);
        self.carries(&bound, &key.seal(&handing, &bound, [forged.nonce; 24]))
    }

    pub(super) fn bound<'b>(
        &'b self,
        payer: PublicKey,
        stream: StreamId,
        action: Action,
        method: &'b str,
    ) -> Bound<'b> {
        let Challenge { id: challenge, realm, .. } = &self.challenge;
        Bound { challenge, action, method, realm, target: self.target, payer, stream }
    }

    /// The header that carries this, whatever is sealed in it.
    pub(super) fn carries(&self, bound: &Bound<'_>, sealed: &[u8]) -> String {
        use base64::Engine;
        let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sealed);
        let Bound { action, payer, stream, .. } = *bound;
        let payload = CredentialPayload { action, payer, stream, sealed };
        Credential { challenge: self.challenge.clone(), payload }.to_header()
    }

    async fn show(&self, forged: &Forged) -> String {
        let credential = self.header(forged, Action::Open, "GET");
        let (status, kind) = show(self.shop, "GET", self.target, &credential).await;
        if status.is_success() { "served".to_owned() } else { kind }
    }
}

pub(super) async fn stream_to(alice: &Member, payee: &Member) -> (OutgoingStream, StreamId) {
    let payee = payee.wallet.public_key();
    let stream = alice.wallet.open_stream(payee, ASSET, UNIT, 100, 1_500).await.unwrap();
    let id = stream.key().stream;
    (stream, id)
}

/// Whatever a payer writes into its own headers: what it is served is paid for.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_that_forges_its_own_headers_is_served_what_it_pays_for() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let carol = stage.member(3).await;
    let shop = Shop::open(&bob).await;
    let forger = Forger::at(&stage, &shop, &bob, "/answer").await;
    let (to_bob, bobs) = stream_to(&alice, &bob).await;
    let (other_to_bob, others) = stream_to(&alice, &bob).await;
    let (to_carol, carols) = stream_to(&alice, &carol).await;
    let steps = |tokens: Vec<StepToken>| tokens[0];
    let good = steps(to_bob.advance(4).await.unwrap());
    let other = steps(other_to_bob.advance(50).await.unwrap());
    let carols_step = steps(to_carol.advance(50).await.unwrap());
    let bobs_key = bob.wallet.public_key();
    let cheap = alice.wallet.open_stream(bobs_key, ASSET, Amount(1), 100, 1_500).await.unwrap();
    let cheap_step = steps(cheap.advance(50).await.unwrap());
    let cheap = cheap.key().stream;
    let payer = key(1).public();
    let forged = |stream, tokens: &[StepToken], steps, nonce| Forged {
        stream,
        payer,
        tokens: tokens.to_vec(),
        steps,
        nonce,
        session: nonce,
    };
    let wrong = StepToken { secret: Secret([7; 32]), steps: 9, ..good };
    let far = StepToken { steps: 99, ..good };
    let stranger = Forged { payer: key(3).public(), ..forged(bobs, &[good], 3, 10) };
    let same_session = Forged { session: 3, ..forged(bobs, &[], 0, 12) };
    // What is shown in this order, and what comes of it.
    let table = [
        ("nothing", forged(bobs, &[], 0, 1), "payment-insufficient"),
        ("steps that it does not hand over", forged(bobs, &[], 3, 2), "payment-insufficient"),
        ("what is good", forged(bobs, &[good], 3, 3), "served"),
        ("the same again", forged(bobs, &[good], 3, 3), "invalid-challenge"),
        ("the same step once more", forged(bobs, &[good], 3, 4), "payment-insufficient"),
        ("a step to somebody else", forged(bobs, &[carols_step], 3, 5), "verification-failed"),
        ("a stream to somebody else", forged(carols, &[carols_step], 3, 6), "verification-failed"),
        ("a step of another stream", forged(bobs, &[other], 3, 7), "verification-failed"),
        ("steps of another unit", forged(cheap, &[cheap_step], 3, 15), "verification-failed"),
        ("a secret that is none", forged(bobs, &[wrong], 3, 8), "verification-failed"),
        ("a step that is not so far", forged(bobs, &[far], 3, 9), "verification-failed"),
        ("in another's name", stranger, "verification-failed"),
        ("more than all", forged(bobs, &[good], u32::MAX, 11), "payment-insufficient"),
        ("a response that was", same_session, "invalid-challenge"),
        ("with another stream", forged(others, &[other], 50, 13), "served"),
        ("what was not used of it", forged(others, &[], 47, 14), "served"),
    ];
    for (what, forged, expected) in &table {
        assert_eq!(&forger.show(forged).await, expected, "{what}");
    }
    assert_eq!(shop.served_and_paid(), (9, 54), "4 and 50, and of those 3 and twice 3");
}

/// A payer lets a handler wait for the last byte of a request, and meanwhile ends the response, so as
/// to have its steps back before they are spent.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_begun_is_not_ended_by_its_payer() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let shop = Shop::open(&bob).await;
    let (to_bob, stream) = stream_to(&alice, &bob).await;
    let tokens = to_bob.advance(3).await.unwrap();
    let forged = |tokens: &[StepToken], steps, nonce, session| Forged {
        stream,
        payer: key(1).public(),
        tokens: tokens.to_vec(),
        steps,
        nonce,
        session,
    };
    let here = Forger::at(&stage, &shop, &bob, "/answer").await;
    let elsewhere = Forger::at(&stage, &shop, &bob, "/words").await;
    let open = here.header(&forged(&tokens, 3, 1, 1), Action::Open, "POST");
    let mut slow = TcpStream::connect(&shop.realm).await.unwrap();
    let head = format!(
        "POST /answer HTTP/1.1\r\nhost: {}\r\nauthorization: {open}\r\ncontent-length: 5\r\n\
         connection: close\r\n\r\n",
        shop.realm
    );
    slow.write_all(format!("{head}good").as_bytes()).await.unwrap();
    until("the handler at work", async || shop.made() == 1).await;
    let mut ended = Vec::new();
    for (forger, nonce) in [(&here, 2), (&elsewhere, 3)] {
        let close = forger.header(&forged(&[], 0, nonce, 1), Action::Close, "HEAD");
        ended.push(show(&shop, "HEAD", forger.target, &close).await);
    }
    slow.write_all(b"s").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    let (served, paid) = shop.served_and_paid();
    assert!(served == 3 || !answer.contains("goods"), "for nothing: {answer}");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("payment-receipt: "),
        "{answer}"
    );
    assert_eq!((served, paid), (3, 3));
    let refused = (StatusCode::PAYMENT_REQUIRED, "verification-failed".to_owned());
    assert_eq!(ended, [refused.clone(), refused]);
    assert_eq!(here.show(&forged(&tokens, 3, 4, 2)).await, "payment-insufficient");
}

/// A payer that has used up its credit opens one stream after the other to be lent more.
#[tokio::test(flavor = "multi_thread")]
async fn a_payer_is_lent_once_over_all_its_streams() {
    let stage = Stage::new();
    let (alice, bob) = (stage.member(1).await, stage.member(2).await);
    let carol = stage.member(3).await;
    let options = TillOptions { credit: 4, ..TillOptions::default() };
    let shop = Shop::open_with(&bob, options).await;
    let alices = Forger::at(&stage, &shop, &bob, "/answer").await;
    let carols = Forger { payer: 3, ..Forger::at(&stage, &shop, &bob, "/answer").await };
    let (_first, first) = stream_to(&alice, &bob).await;
    let (paying, second) = stream_to(&alice, &bob).await;
    let (_third, third) = stream_to(&carol, &bob).await;
    let tokens = paying.advance(3).await.unwrap();
    // Of four that are lent a request takes three; the order counts.
    let table: [(&str, _, _, &[StepToken], _); 5] = [
        ("on credit", &alices, first, &[], "served"),
        ("what was lent before, over another stream", &alices, second, &[], "payment-insufficient"),
        ("with what is owed paid first", &alices, second, &tokens, "served"),
        ("the same over the first", &alices, first, &[], "payment-insufficient"),
        ("what another payer has not been lent", &carols, third, &[], "served"),
    ];
    for (nonce, (what, forger, stream, tokens, expected)) in (1..).zip(table) {
        let (payer, steps) = (key(forger.payer).public(), tokens.iter().map(|it| it.steps).sum());
        let tokens = tokens.to_vec();
        let forged = Forged { stream, payer, tokens, steps, nonce, session: nonce };
        assert_eq!(forger.show(&forged).await, expected, "{what}");
    }
    assert_eq!(shop.served_and_paid(), (9, 3), "each owes 3 of 4");
}
