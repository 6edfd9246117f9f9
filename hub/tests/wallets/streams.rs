//! Streams between two wallets of the SDK, over real sockets, with real files and a real ledger.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use client_sdk::client::{
    Client, ClientConfig, Exposure, IncomingStream, OutgoingStream, StreamOptions, WalletHandle,
};
use client_sdk::relay::StepToken;
use client_sdk::wallet::Way;
use client_sdk::wallet::stream::{StreamPhase, StreamView};
use futures_util::{FutureExt, StreamExt, poll};
use hub::RunningHub;
use settlement::api::FaucetRequest;
use settlement::block::LedgerEvent;
use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::types::Amount;

use super::common::{EUR, config_in, event, hub_in, post, soon};

const DEPOSIT: u64 = 100_000;

/// A wallet with a funded channel in a store of its own.
async fn wallet(hub: &RunningHub, dir: &Path, seed: u8) -> (Client, WalletHandle) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = SigningKey::from_bytes([seed; 32]).unwrap();
    let account = key.public();
    let faucet = FaucetRequest { account, asset: EUR, amount: Amount(DEPOSIT) };
    post(&format!("{}/v1/ledger/faucet", hub.url()), &faucet).await;
    event(hub, |event| matches!(event, LedgerEvent::Minted { to, .. } if *to == account)).await;
    let (client, wallet) = opened(hub, dir, seed).await;
    wallet.open_channel(EUR, Amount(DEPOSIT)).await.unwrap();
    (client, wallet)
}

/// The same wallet again, after its process has ended.
async fn opened(hub: &RunningHub, dir: &Path, seed: u8) -> (Client, WalletHandle) {
    let key = SigningKey::from_bytes([seed; 32]).unwrap();
    let config = ClientConfig::new(hub.url(), dir.join(seed.to_string()));
    let client = Client::open(config, vec![std::sync::Arc::new(key)]).await.unwrap();
    let wallet = client.wallets().remove(0);
    soon(wallet.synced()).await.unwrap();
    (client, wallet)
}

async fn balance(wallet: &WalletHandle) -> u64 {
    wallet.status().await.unwrap().channels[0].wallet_amount.0
}

async fn locked(wallet: &WalletHandle) -> u64 {
    wallet.status().await.unwrap().channels[0].locked.0
}

fn options(payee: &WalletHandle, unit: u64, steps: u32) -> StreamOptions {
    StreamOptions { steps, ..StreamOptions::new(payee.public_key(), EUR, Amount(unit)) }
}

async fn both(
    payer: &WalletHandle,
    payee: &WalletHandle,
    options: StreamOptions,
) -> (OutgoingStream, IncomingStream) {
    let mut incoming = payee.incoming_streams(Exposure::default()).unwrap();
    let stream = soon(payer.open_stream_with(options)).await.unwrap();
    let wanted = stream.key().stream;
    let received = soon(async {
        loop {
            let one = incoming.next().await.unwrap();
            if one.key().stream == wanted {
                return one;
            }
        }
    })
    .await;
    (stream, received)
}

/// Waits until a stream stands as wanted.
async fn stands(wallet: &WalletHandle, found: impl Fn(&StreamView) -> bool) -> StreamView {
    let mut events = wallet.events().unwrap();
    soon(async {
        loop {
            let streams = wallet.streams().await.unwrap();
            if let Some(view) = streams.into_iter().find(|view| found(view)) {
                return view;
            }
            events.next().await.unwrap();
        }
    })
    .await
}

/// Takes steps that were handed over by hand, each once the lock that it is of is here.
async fn take(payee: &WalletHandle, tokens: Vec<StepToken>) {
    let mut events = payee.events().unwrap();
    for token in tokens {
        let took = async {
            loop {
                match payee.take_step(token).await {
                    Err(error) if error.code == Code::UnknownStream => {
                        events.next().await.unwrap();
                    }
                    took => return took,
                }
            }
        };
        soon(took).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_paid_served_and_closed_and_the_rest_is_free_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (payer_client, payer) = wallet(&hub, dir.path(), 21).await;
    let (payee_client, payee) = wallet(&hub, dir.path(), 22).await;
    let (stream, incoming) = both(&payer, &payee, options(&payee, 2, 1_000)).await;
    assert_eq!((incoming.unit(), incoming.key().peer), (Amount(2), payer.public_key()));
    for _ in 0..10 {
        soon(stream.pay(7)).await.unwrap();
        assert!(soon(incoming.serve(7)).await.unwrap());
    }
    assert_eq!((incoming.paid(), incoming.served()), (70, 70));
    // Nobody is owed for what was not waited for.
    assert!(incoming.serve(1_000).now_or_never().is_none());
    assert_eq!(incoming.served(), 70);
    let came: Vec<u64> = soon(pin!(incoming.received()).take(1).map(|it| it.total).collect()).await;
    assert_eq!(came, [70]);
    let begun = Instant::now();
    let view = soon(stream.close()).await.unwrap();
    assert_eq!(view.phase, StreamPhase::Ended(Some(Code::StreamClosed)));
    assert_eq!((view.paid, view.redeemed, view.settled), (70, 70, 70));
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((balance(&payer).await, locked(&payer).await), (DEPOSIT - 140 - view.fees.0, 0));
    let ended = soon(incoming.ended()).await.unwrap();
    assert_eq!((ended.paid, ended.settled), (70, 70));
    soon(payee.quiet(Duration::from_secs(5))).await.unwrap();
    assert_eq!(balance(&payee).await, DEPOSIT + 140);
    assert!(!incoming.serve(1).await.unwrap(), "nothing more comes");
    soon(payer_client.shutdown()).await;
    soon(payee_client.shutdown()).await;
    soon(hub.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paying_goes_on_over_many_locks_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (_payer_client, payer) = wallet(&hub, dir.path(), 23).await;
    let (_payee_client, payee) = wallet(&hub, dir.path(), 24).await;
    let (stream, incoming) = both(&payer, &payee, options(&payee, 1, 16)).await;
    for _ in 0..50 {
        soon(stream.pay(3)).await.unwrap();
        assert!(soon(incoming.serve(3)).await.unwrap());
    }
    // More than a lock has, at once.
    soon(stream.pay(100)).await.unwrap();
    assert!(soon(incoming.serve(100)).await.unwrap());
    // And by hand, over the end of a lock.
    let tokens = soon(stream.advance(20)).await.unwrap();
    assert!(tokens.len() > 1, "{tokens:?}");
    take(&payee, tokens).await;
    assert_eq!(incoming.paid(), 270);
    let view = soon(stream.close()).await.unwrap();
    assert_eq!((view.paid, view.settled), (270, 270));
    assert_eq!((balance(&payer).await, locked(&payer).await), (DEPOSIT - 270 - view.fees.0, 0));
    soon(hub.stop()).await;
}

/// Steps that are handed over by hand run no further ahead of what the payee holds than the payer said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_by_hand_wait_for_the_payee_too() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (_payer_client, payer) = wallet(&hub, dir.path(), 29).await;
    let (_payee_client, payee) = wallet(&hub, dir.path(), 30).await;
    let exposure = Exposure { ahead: 8, ..Exposure::default() };
    let options = StreamOptions { exposure, ..options(&payee, 1, 100) };
    let (stream, incoming) = both(&payer, &payee, options).await;
    let too_many = soon(stream.advance(9)).await.unwrap_err();
    assert_eq!(too_many.code, Code::BadArgument);
    let first = soon(stream.advance(8)).await.unwrap();
    let mut more = Box::pin(stream.advance(5));
    // Whatever the wallet does meanwhile, and however often it is asked.
    for _ in 0..50 {
        assert!(poll!(more.as_mut()).is_pending());
        assert_eq!(stream.view().await.unwrap().paid, 8);
    }
    take(&payee, first).await;
    let more = soon(more).await.unwrap();
    take(&payee, more).await;
    assert_eq!(incoming.paid(), 13);
    let view = soon(stream.close()).await.unwrap();
    assert_eq!((view.paid, view.settled), (13, 13));
    soon(hub.stop()).await;
}

/// The fee is paid upfront where a step is too small to carry it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_takes_its_fee_per_step_or_upfront() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_in(dir.path());
    (config.fees.base, config.fees.ppm) = (0, 10_000);
    let hub = hub::start(config).await.unwrap();
    let (_payer_client, payer) = wallet(&hub, dir.path(), 25).await;
    let (_payee_client, payee) = wallet(&hub, dir.path(), 26).await;
    let mut before = DEPOSIT;
    // 1 % of 1,000 at once; 1 on each of 5 steps of 100.
    for (unit, steps, pays, fees) in [(1, 1_000, 5, 10), (100, 50, 5, 5)] {
        let (stream, incoming) = both(&payer, &payee, options(&payee, unit, steps)).await;
        soon(stream.pay(pays)).await.unwrap();
        assert!(soon(incoming.serve(pays)).await.unwrap());
        let view = soon(stream.close()).await.unwrap();
        assert_eq!(view.fees, Amount(fees));
        before -= unit * pays + fees;
        assert_eq!((balance(&payer).await, locked(&payer).await), (before, 0));
    }
    soon(hub.stop()).await;
}

/// Both wallets and the hub end and start again, one after the other, in mid-stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_after_each_side_has_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (mut payer_client, mut payer) = wallet(&hub, dir.path(), 27).await;
    let (mut payee_client, mut payee) = wallet(&hub, dir.path(), 28).await;
    let options = options(&payee, 1, 400);
    let (mut stream, mut incoming) = both(&payer, &payee, options.clone()).await;
    for round in 1..=4u64 {
        soon(stream.pay(20)).await.unwrap();
        assert!(soon(incoming.serve(20)).await.unwrap());
        let key = (stream.key(), incoming.key());
        if round % 2 == 0 {
            // Without a word: what is durable is all there is.
            drop(stream);
            drop(payer);
            drop(payer_client);
            (payer_client, payer) = opened(&hub, dir.path(), 27).await;
            stream = payer.resume_stream(key.0, options.clone()).await.unwrap();
        } else {
            drop(incoming);
            drop(payee);
            drop(payee_client);
            (payee_client, payee) = opened(&hub, dir.path(), 28).await;
            incoming = payee.incoming_stream(key.1, Exposure::default()).await.unwrap();
            incoming.set_served(round * 20);
        }
        assert_eq!(stream.view().await.unwrap().paid, round * 20);
        assert_eq!(incoming.paid(), round * 20);
    }
    let view = soon(stream.close()).await.unwrap();
    assert_eq!((view.paid, view.settled), (80, 80));
    assert_eq!((balance(&payer).await, locked(&payer).await), (DEPOSIT - 80 - view.fees.0, 0));
    stands(&payee, |view| view.key.way == Way::In && view.settled == 80).await;
    assert_eq!(balance(&payee).await, DEPOSIT + 80);
    drop((payer_client, payee_client));
    soon(hub.stop()).await;
}

/// Streams of this payer's that take so many of the places that it has to the payee.
async fn take_places(payer: &WalletHandle, payee: &WalletHandle, count: usize) {
    for _ in 0..count {
        soon(payer.open_stream_with(options(payee, 1, 2))).await.unwrap();
    }
}

/// Two places are left for a stream that needs a hundred, one after the other: it waits for its own to be
/// free again. With a single one it can't have the next lock before the last one has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_room_while_a_lock_of_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (_payer_client, payer) = wallet(&hub, dir.path(), 31).await;
    let (_payee_client, payee) = wallet(&hub, dir.path(), 32).await;
    take_places(&payer, &payee, 62).await;
    let (stream, incoming) = both(&payer, &payee, options(&payee, 1, 2)).await;
    let view = soon(stream.pay(200)).await.unwrap();
    assert_eq!((view.paid, view.returned), (200, 0));
    assert_eq!(soon(stream.delivered()).await.unwrap().taken, 200);
    assert_eq!(incoming.paid(), 200);
    let view = soon(stream.close()).await.unwrap();
    assert_eq!((view.paid, view.settled), (200, 200));
    take_places(&payer, &payee, 1).await;
    let (stream, _incoming) = both(&payer, &payee, options(&payee, 1, 2)).await;
    let failed = soon(stream.pay(200)).await.unwrap_err();
    assert_eq!(failed.code, Code::NoCapacity, "{failed}");
    let view = stream.view().await.unwrap();
    assert_eq!(
        (view.paid, view.returned),
        (2, 0),
        "nothing is handed out of a lock that is refused"
    );
    soon(hub.stop()).await;
}

/// The next lock is asked for at half of the last one, once: each that is refused costs its fee.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_refused_is_not_asked_for_with_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (_payer_client, payer) = wallet(&hub, dir.path(), 33).await;
    let (payee_client, payee) = wallet(&hub, dir.path(), 34).await;
    let (stream, _incoming) = both(&payer, &payee, options(&payee, 1, 1_000)).await;
    soon(stream.pay(400)).await.unwrap();
    let one = soon(stream.delivered()).await.unwrap().fees;
    soon(payee_client.shutdown()).await;
    for _ in 0..50 {
        soon(stream.pay(10)).await.unwrap();
    }
    let view = stands(&payer, |view| view.refused == Some(Code::PayeeOffline)).await;
    assert_eq!((view.paid, view.left), (900, 100));
    assert!(one.0 > 0 && view.fees.0 <= 2 * one.0, "{} after {one} for one lock", view.fees);
    soon(hub.stop()).await;
}

/// Each lock has a fee and holds money; nor is more handed out at once than locks can stand for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lock_is_added_for_more_than_is_wanted_in_all() {
    let dir = tempfile::tempdir().unwrap();
    let hub = hub_in(dir.path()).await;
    let (_payer_client, payer) = wallet(&hub, dir.path(), 35).await;
    let (_payee_client, payee) = wallet(&hub, dir.path(), 36).await;
    let wanted = StreamOptions { in_all: Some(25), ..options(&payee, 1, 20) };
    let (stream, _incoming) = both(&payer, &payee, wanted).await;
    for (steps, locks) in [(4, 1), (11, 2), (10, 2)] {
        let view = soon(stream.pay(steps)).await.unwrap();
        assert!(view.locks <= locks && view.wanted == 0 || view.locks < locks, "{view:?}");
    }
    let view = soon(stream.delivered()).await.unwrap();
    assert_eq!((view.paid, view.left), (25, 15), "two locks");
    let exposure = Exposure { ahead: 10_000, ..Exposure::default() };
    let all = StreamOptions { in_all: Some(20), exposure, ..options(&payee, 1, 20) };
    let (stream, _incoming) = both(&payer, &payee, all).await;
    soon(stream.pay(20)).await.unwrap();
    let view = soon(stream.delivered()).await.unwrap();
    assert_eq!((view.paid, view.left, view.wanted), (20, 0, 0), "one lock");
    let failed = stream.advance(20 * 63 + 1).await.unwrap_err();
    assert_eq!(failed.code, Code::BadArgument, "more than may stand: {failed}");
    soon(hub.stop()).await;
}
