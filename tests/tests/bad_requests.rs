//! What a hostile client can ask of a hub over HTTP, and what it gets: a problem with a number, and
//! no signature.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use settlement::channel::NewOp;
use settlement::crypto::{Signable, SigningKey};
use settlement::encoding::encode;
use settlement::proof::{CooperativeClose, Withdrawal};
use settlement::reject::Code;
use settlement::types::{Amount, Height, Role, Signature};
use tests::process::raw::RawWallet;
use tests::process::stage::Stage;

const DEPOSIT: Amount = Amount(100_000);

fn request<T: Signable>(body: &T, signature: Signature) -> Value {
    json!({ "body": hex::encode(encode(body)), "signature": signature })
}

#[test]
fn garbage_over_http_gets_a_problem_with_a_number() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let http = stage.hub.http.clone();
    let channel = stage.mallory.channel.id();
    let (close, withdraw) =
        (format!("/v1/channels/{channel}/close"), format!("/v1/channels/{channel}/withdraw"));
    let garbage: [&[u8]; 4] = [b"", b"{", b"\xff\xfe", b"[1, 2"];
    for path in ["/v1/channels", &close, &withdraw, "/v1/ledger/transactions"] {
        for body in garbage {
            let problem = http.request("POST", path, body).problem();
            assert_eq!(problem.code, Code::MalformedRequest, "{path}: {}", problem.detail);
        }
        let wrong: Value = json!({ "nothing": "of the kind" });
        assert_eq!(http.post(path, &wrong).problem().code, Code::MalformedRequest, "{path}");
    }
    let transaction = json!({ "transaction": "00ff00ff" });
    let problem = http.post("/v1/channels", &transaction).problem();
    assert_eq!(problem.code, Code::MalformedTransaction);
    assert_eq!(http.get("/v1/nothing").problem().code, Code::NotFound);
    let unknown = format!("/v1/channels/{}", "ab".repeat(32));
    assert!((400..500).contains(&http.get(&unknown).problem().status));
    stage.all_is_as_before(10);
}

/// Nothing that operators see or do is to be had where wallets ask, however it is written.
#[test]
fn what_is_for_operators_is_not_where_wallets_ask() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let (public, admin) = (stage.hub.http.clone(), stage.hub.admin.clone());
    let close = format!("/admin/v1/channels/{}/close", stage.mallory.channel.id());
    let routes = ["/healthz", "/readyz", "/metrics", "/admin/v1/anchor", &close];
    for route in routes {
        let cut = route.trim_start_matches('/');
        let written = [
            route.to_owned(),
            format!("{route}/"),
            format!("/{route}"),
            format!("/./{cut}"),
            format!("/%2e/{cut}"),
            format!("/v1/../{cut}"),
            format!("/v1/%2e%2e/{cut}"),
            format!("/v1/ledger{route}"),
            format!("/{}", cut.to_uppercase()),
            format!("/{}", cut.replace('/', "%2f")),
        ];
        for (path, method) in
            written.iter().flat_map(|path| ["GET", "HEAD", "POST"].map(|it| (path, it)))
        {
            let status = public.request(method, path, b"").status;
            assert_eq!(status, 404, "{method} {path}");
        }
        // It is there, where operators ask.
        assert_ne!(admin.request("OPTIONS", route, b"").status, 404, "{route}");
    }
    stage.all_is_as_before(10);
}

#[test]
fn a_withdrawal_that_does_not_hold_gets_no_signature() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let (http, mallory) = (stage.hub.http.clone(), &stage.mallory);
    let (channel, height) = (mallory.channel.id(), mallory.height());
    let path = format!("/v1/channels/{channel}/withdraw");
    let good = Withdrawal {
        channel,
        role: Role::Wallet,
        total_withdrawn: Amount(1),
        valid_until: height.after(100),
    };
    let cases = [
        (Code::Overdraft, Withdrawal { total_withdrawn: Amount(DEPOSIT.0 + 1), ..good }),
        (Code::NotRising, Withdrawal { total_withdrawn: Amount(0), ..good }),
        (Code::TooLate, Withdrawal { valid_until: Height(1), ..good }),
        (Code::TooLate, Withdrawal { valid_until: height.after(1 << 40), ..good }),
        (Code::MalformedRequest, Withdrawal { channel: stage.payee.channel.id(), ..good }),
    ];
    for (code, body) in cases {
        let answer = http.post(&path, &request(&body, mallory.sign_any(&body)));
        assert_eq!(answer.problem().code, code, "{body:?}");
    }
    let stranger = SigningKey::from_bytes([77; 32]).unwrap();
    let answer = http.post(&path, &request(&good, stranger.sign(&good.digest())));
    assert_eq!(answer.problem().code, Code::Unauthorized);
    assert_eq!(http.balance(&mallory.public()), Amount(0), "nothing was paid out");
    stage.all_is_as_before(11);
}

#[test]
fn a_close_that_is_not_what_both_hold_gets_no_signature() {
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    stage.all_is_as_before(12);
    let (http, mallory) = (stage.hub.http.clone(), &mut stage.mallory);
    let path = format!("/v1/channels/{}/close", mallory.channel.id());
    let good = mallory.channel.close_terms(mallory.height().after(100)).unwrap();
    let (wallet, hub) = (good.wallet_amount.0, good.hub_amount.0);
    let split = |wallet, hub| CooperativeClose {
        wallet_amount: Amount(wallet),
        hub_amount: Amount(hub),
        ..good
    };
    for body in [split(wallet + 1, hub - 1), split(wallet + 1, hub), split(wallet, 0)] {
        let answer = http.post(&path, &request(&body, mallory.sign_any(&body)));
        assert_eq!(answer.problem().code, Code::NotAgreed, "{body:?}");
    }
    // Not while a payment is pending either, whose money would be in nobody's share.
    let secret = settlement::types::Secret([6; 32]);
    let anchor = settlement::types::Anchor(settlement::crypto::chain_step(&secret.0));
    let add: NewOp = mallory.add(anchor, stage.payee.public(), Amount(1_000));
    assert!(mallory.offer(&[add]).is_ok());
    let id = stage.payee.hear_lock(anchor);
    let answer = http.post(&path, &request(&good, mallory.sign_any(&good)));
    assert_eq!(answer.problem().code, Code::NotAgreed);
    finish(mallory, &mut stage.payee, id, secret);
    stage.all_is_as_before(13);
}

fn finish(
    payer: &mut RawWallet,
    payee: &mut RawWallet,
    id: u64,
    secret: settlement::types::Secret,
) {
    payee.reveal(id, secret);
    payer.hear("the secret", |m| matches!(m, settlement::wire::Message::Reveal { .. }));
    assert!(payer.offer(&[]).is_ok());
    payee.hear_settled(id);
}
