//! A hub in this process, and a small wallet that talks to it over a real socket, with the same
//! channel engine that every wallet uses.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hub::config::Config;
use hub::{RunningHub, start};
use settlement::api::{FaucetRequest, SubmitRequest};
use settlement::block::LedgerEvent;
use settlement::channel::{Channel, Effect, NewOp, Now, Received, Step, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signable, Signed, SigningKey, VerifyingKey};
use settlement::encoding::encode;
use settlement::params::{Policy, View};
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, Anchor, AssetId, Hash, Height, PublicKey, Role, Salt, Secret};
use settlement::update::{Destination, Memo, Payload, Update};
use settlement::wire::{Hello, Message, SignIn};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const EUR: AssetId = AssetId(0);
/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A development hub in this directory, on free ports.
pub(crate) async fn hub_in(dir: &Path) -> RunningHub {
    start(config_in(dir)).await.unwrap()
}

pub(crate) fn config_in(dir: &Path) -> Config {
    Config {
        data_dir: dir.to_path_buf(),
        listen: ([127, 0, 0, 1], 0).into(),
        admin_listen: ([127, 0, 0, 1], 0).into(),
        development: true,
        ..Config::default()
    }
}

/// Waits for something, and fails the test when it never comes.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it never came")
}

/// The first event of the ledger, from its first block on, that `wanted` is true for.
pub(crate) async fn event(hub: &RunningHub, wanted: impl Fn(&LedgerEvent) -> bool) -> LedgerEvent {
    let mut next = Height(1);
    soon(async {
        loop {
            let blocks = hub.ledger().unwrap().events_from(next, 100, PATIENCE).await.unwrap();
            for block in blocks {
                next = block.header.header.height.after(1);
                if let Some(event) = block.events.iter().find(|event| wanted(event)) {
                    return event.clone();
                }
            }
        }
    })
    .await
}

/// A client like that of the SDK, which brings its own cryptography for TLS.
pub(crate) fn http() -> reqwest::Client {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub(crate) async fn post<T: serde::Serialize>(url: &str, body: &T) -> (u16, serde_json::Value) {
    let answer = http().post(url).json(body).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

/// A socket that a wallet talks on.
pub(crate) struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    pub(crate) async fn open(hub: &RunningHub) -> Line {
        let url = hub.url().replace("http://", "ws://") + "/v1/connect";
        Line(soon(connect_async(url)).await.unwrap().0)
    }

    pub(crate) async fn say(&mut self, message: &Message) {
        self.send(message.to_frame()).await;
    }

    pub(crate) async fn send(&mut self, frame: Vec<u8>) {
        self.0.send(Frame::Binary(frame.into())).await.unwrap();
    }

    /// The next message; `None` when the hub has closed.
    pub(crate) async fn hear(&mut self) -> Option<Message> {
        loop {
            match soon(self.0.next()).await? {
                Ok(Frame::Binary(frame)) => return Some(Message::from_frame(&frame).unwrap()),
                Ok(Frame::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Signs wallets in, and checks the hub's own proof.
    pub(crate) async fn sign_in(&mut self, hub: &RunningHub, keys: &[&SigningKey]) {
        let Some(Message::Hello(hello)) = self.hear().await else { panic!("the hub speaks first") };
        let body = |key| SignIn {
            ledger: hub.ledger_id(),
            hub: hub.key(),
            challenge: hello.challenge,
            key,
            role: Role::Wallet,
        };
        let sign = |key: &&SigningKey| (key.public(), key.sign(&body(key.public()).digest()));
        let challenge = Hash([7; 32]);
        let keys = keys.iter().map(sign).collect();
        self.say(&Message::Hello(Hello { challenge, keys, ..hello })).await;
        let Some(Message::Hello(answer)) = self.hear().await else { panic!("no answer") };
        let (key, signature) = answer.keys[0];
        let (ledger, asked) = (hub.ledger_id(), hub.key());
        let body = SignIn { ledger, hub: asked, challenge, key: asked, role: Role::Hub };
        assert_eq!(key, hub.key());
        VerifyingKey::parse(&key).unwrap().verify(&body.digest(), &signature).unwrap();
    }

    /// Hears the hub say goodbye and close.
    pub(crate) async fn goodbye(&mut self) -> Code {
        loop {
            match self.hear().await {
                Some(Message::Goodbye { code }) => {
                    assert_eq!(self.hear().await, None, "the last thing said");
                    return code;
                }
                Some(_) => {}
                None => panic!("closed without a word"),
            }
        }
    }
}

/// A wallet with one channel.
pub(crate) struct Wallet {
    pub(crate) key: SigningKey,
    pub(crate) channel: Channel,
    policy: Policy,
    cache: BatchCache,
}

impl Wallet {
    /// Gets money from the faucet and opens a channel with all of it over HTTP.
    pub(crate) async fn open(hub: &RunningHub, seed: u8, deposit: u64) -> Wallet {
        let key = SigningKey::from_bytes([seed; 32]).unwrap();
        let account = key.public();
        let deposit = Amount(deposit);
        let faucet = FaucetRequest { account, asset: EUR, amount: deposit };
        let url = hub.url();
        let (status, _) = post(&format!("{url}/v1/ledger/faucet"), &faucet).await;
        assert_eq!(status, 200);
        let mine =
            |event: &LedgerEvent| matches!(event, LedgerEvent::Minted { to, .. } if *to == account);
        event(hub, mine).await;
        let (terms, request) = opening(hub, &key, deposit);
        let (status, answer) = post(&format!("{url}/v1/channels"), &request).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["channel"], terms.channel_id().to_string());
        let (_, again) = post(&format!("{url}/v1/channels"), &request).await;
        assert_eq!(again, answer, "asking again gets the same answer");
        Wallet {
            channel: Channel::open(terms, Role::Wallet, deposit),
            key,
            policy: Policy::development(),
            cache: BatchCache::new(8),
        }
    }

    /// Says what it holds, and takes up what the hub holds.
    pub(crate) async fn sync(&mut self, line: &mut Line) {
        let channel = self.channel.id();
        let (own, yours) = self.channel.snapshot_refs();
        line.say(&Message::Sync { channel, own, yours, tip: None }).await;
        match line.hear().await.expect("the hub answers") {
            Message::Sync { own, yours, .. } => {
                let outcome = self.channel.check_sync(&own, &yours);
                assert_eq!(outcome.lost, None);
                for step in &outcome.steps {
                    self.channel.commit(step);
                }
            }
            other => panic!("{other:?} before the hub's Sync"),
        }
    }

    /// Makes the update that pays the hub, without sending it.
    pub(crate) fn pay(&mut self, amount: u64) -> Update {
        let view = View { height: Height(1), fresh: true };
        let now = Now { view, policy: &self.policy, lag: 20 };
        let memo = Memo::new(Vec::new()).unwrap();
        let wanted = [NewOp::Pay { amount: Amount(amount), memo }];
        let step = self.channel.propose(&wanted, &now).step.unwrap();
        assert_eq!(self.channel.commit(&step), [Effect::SendUpdate]);
        self.in_flight()
    }

    /// Makes the update that locks money for another wallet, without sending it.
    pub(crate) fn lock(
        &mut self,
        to: PublicKey,
        amount: u64,
        anchor: Anchor,
        at: Height,
    ) -> Update {
        let view = View { height: at, fresh: true };
        let now = Now { view, policy: &self.policy, lag: 20 };
        let add = NewOp::Add {
            anchor,
            unit: Amount(amount),
            steps: 1,
            expiry: at.after(self.policy.lock_life),
            to: Destination { hub: None, wallet: to },
            payload: Payload::default(),
        };
        let step = self.channel.propose(&[add], &now).step.unwrap();
        self.channel.commit(&step);
        self.in_flight()
    }

    /// Hears until the hub's next update is taken and acknowledged.
    pub(crate) async fn until_updated(&mut self, line: &mut Line) {
        loop {
            match line.hear().await.expect("the hub speaks") {
                Message::Update(update) => return self.take(update, line).await,
                Message::Ack { seq, .. } => {
                    self.channel.commit(&Step::Acked { seq });
                }
                other => panic!("{other:?} instead of an update"),
            }
        }
    }

    /// Hears until the hub shows the secret of an own lock.
    pub(crate) async fn until_revealed(&mut self, line: &mut Line) -> Secret {
        loop {
            match line.hear().await.expect("the hub speaks") {
                Message::Reveal { secret, .. } => return secret,
                Message::Update(update) => self.take(update, line).await,
                Message::Ack { seq, .. } => {
                    self.channel.commit(&Step::Acked { seq });
                }
                other => panic!("{other:?} instead of a secret"),
            }
        }
    }

    /// The update that is not answered yet, signed.
    pub(crate) fn in_flight(&self) -> Update {
        let flight = self.channel.outgoing().in_flight.clone().unwrap();
        Update {
            channel: self.channel.id(),
            base: flight.base,
            ops: flight.ops(),
            proof: Signed::alone(&self.key, flight.proof, Salt([3; 16])),
        }
    }

    /// Hears until the update in flight is acknowledged; acknowledges what the hub sends meanwhile.
    pub(crate) async fn until_acked(&mut self, line: &mut Line) {
        while let Some(flight) = &self.channel.outgoing().in_flight {
            let wanted = flight.proof.seq;
            match line.hear().await.expect("the hub answers") {
                Message::Ack { seq, .. } => {
                    assert_eq!(seq, wanted);
                    self.channel.commit(&Step::Acked { seq });
                }
                Message::Update(update) => self.take(update, line).await,
                other => panic!("{other:?} instead of an Ack"),
            }
        }
    }

    async fn take(&mut self, update: Update, line: &mut Line) {
        let (channel, seq) = (update.channel, update.proof.value.seq);
        let hub = VerifyingKey::parse(self.channel.peer_key()).unwrap();
        let update = VerifiedUpdate::check(update, &hub, &mut self.cache).unwrap();
        let view = View { height: Height(1), fresh: true };
        let now = Now { view, policy: &self.policy, lag: 20 };
        if let Received::New(step) = self.channel.check_update(&update, &now).unwrap() {
            self.channel.commit(&step);
        }
        line.say(&Message::Ack { channel, seq }).await;
    }
}

/// A signed opening as HTTP carries it.
pub(crate) fn opening(
    hub: &RunningHub,
    key: &SigningKey,
    deposit: Amount,
) -> (OpenTerms, SubmitRequest) {
    let terms = OpenTerms {
        ledger: hub.ledger_id(),
        asset: EUR,
        wallet: key.public(),
        hub: hub.key(),
        challenge_blocks: Policy::development().challenge_blocks,
        nonce: 0,
    };
    (terms, open_request(key, terms, deposit))
}

pub(crate) fn open_request(key: &SigningKey, terms: OpenTerms, deposit: Amount) -> SubmitRequest {
    let action = AccountAction::Open { terms, deposit };
    let account: PublicKey = key.public();
    let body = AccountTx { ledger: terms.ledger, account, nonce: terms.nonce, action };
    SubmitRequest { transaction: hex::encode(encode(&Transaction::account(key, body))) }
}
