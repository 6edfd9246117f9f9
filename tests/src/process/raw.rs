//! A wallet that says whatever a test wants it to: the real engine and the real signatures over a
//! bare WebSocket, with nothing between that would keep it honest.

mod forge;
mod talk;

use std::net::TcpStream;

use client_sdk::api::{ChannelOpened, HubInfo};
use client_sdk::invoice::Invoice;
use settlement::api::SubmitRequest;
use settlement::block::LedgerEvent;
use settlement::channel::{Channel, NewOp, Now};
use settlement::crypto::{SigningKey, VerifyingKey, chain_step};
use settlement::encoding::encode;
use settlement::params::View;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, Anchor, AssetId, Height, PublicKey, Role, Secret};
use settlement::update::{Destination, Memo, Op, Payload, Update};
use settlement::wire::Message;
use tokio_tungstenite::tungstenite::WebSocket;

use super::http::Http;
use super::{PATIENCE, eventually};

pub use talk::Heard;

/// The wallet.
pub struct RawWallet {
    key: SigningKey,
    hub: Http,
    /// The ledger.
    http: Http,
    info: HubInfo,
    lag: u64,
    hub_key: VerifyingKey,
    /// Its side of the channel.
    pub channel: Channel,
    socket: Option<WebSocket<TcpStream>>,
}

impl RawWallet {
    /// Takes money from the faucet, puts all of it into a channel, and connects. `number` makes its
    /// key: each test starts a ledger of its own, so keys need not be secret.
    pub fn open(hub: &Http, number: u8, deposit: Amount) -> RawWallet {
        RawWallet::open_on(hub, hub, number, deposit)
    }

    /// The same with a hub that does not embed its ledger.
    ///
    /// # Panics
    /// When either refuses.
    pub fn open_on(hub: &Http, ledger: &Http, number: u8, deposit: Amount) -> RawWallet {
        let key = SigningKey::from_bytes([number; 32]).unwrap();
        let info: HubInfo = hub.get("/v1/info").ok();
        let lag = info.policy.lag(&ledger.ledger_info().genesis);
        ledger.faucet(&key.public(), deposit);
        let nonce = ledger.account(&key.public()).nonce;
        let terms = OpenTerms {
            ledger: info.ledger,
            asset: AssetId(0),
            wallet: key.public(),
            hub: info.hub,
            challenge_blocks: info.policy.challenge_blocks,
            nonce,
        };
        let action = AccountAction::Open { terms, deposit };
        let body = AccountTx { ledger: info.ledger, account: key.public(), nonce, action };
        let transaction = hex::encode(encode(&Transaction::account(&key, body)));
        let opened: ChannelOpened = hub.post("/v1/channels", &SubmitRequest { transaction }).ok();
        assert_eq!(opened.channel, terms.channel_id());
        let hub_key = VerifyingKey::parse(&info.hub).unwrap();
        let channel = Channel::open(terms, Role::Wallet, deposit);
        let (hub, http, socket) = (hub.clone(), ledger.clone(), None);
        let mut wallet = RawWallet { key, hub, http, info, lag, hub_key, channel, socket };
        wallet.see_inbound(opened.inbound);
        wallet.connect();
        wallet
    }

    /// Waits until the hub's own money is in the channel.
    fn see_inbound(&mut self, inbound: Amount) {
        let id = self.channel.id();
        let total = eventually("the hub's deposit", PATIENCE, || {
            let deposited = self.http.channel(&id).deposited.hub;
            (deposited >= inbound).then_some(deposited)
        });
        let event = LedgerEvent::Deposited { channel: id, role: Role::Hub, total };
        for step in self.channel.follow(&event, Height(0)) {
            self.channel.commit(&step);
        }
    }

    /// Its key.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// What the hub said of itself.
    pub fn info(&self) -> &HubInfo {
        &self.info
    }

    /// What belongs to the wallet, as its own engine counts.
    pub fn balance(&self) -> Amount {
        self.channel.balance(Role::Wallet)
    }

    fn view(&self) -> View {
        View { height: self.http.height(), fresh: true }
    }

    /// A lock of one step for a payee at this hub, as a well-behaved payer would ask for it.
    pub fn add(&self, anchor: Anchor, payee: PublicKey, unit: Amount) -> NewOp {
        let expiry = self.http.height().after(self.info.policy.lock_life);
        let to = Destination { hub: None, wallet: payee };
        NewOp::Add { anchor, unit, steps: 1, expiry, to, payload: Payload::default() }
    }

    /// Makes, sends and awaits the next update of its own direction, as the rules want it: what is
    /// wanted, and whatever is due by itself.
    pub fn offer(&mut self, wanted: &[NewOp]) -> Result<u64, Code> {
        let (update, seq) = self.make(wanted);
        self.say(&Message::Update(update));
        self.answer_to(seq)
    }

    /// Makes that update without sending it.
    ///
    /// # Panics
    /// When the own rules don't allow it.
    pub fn make(&mut self, wanted: &[NewOp]) -> (Update, u64) {
        let view = self.view();
        let now = Now { view, policy: &self.info.policy, lag: self.lag };
        let proposal = self.channel.propose(wanted, &now);
        assert!(proposal.outcomes.iter().all(Result::is_ok), "{:?}", proposal.outcomes);
        let step = proposal.step.or_else(|| self.channel.acknowledge()).expect("an update");
        self.channel.commit(&step);
        let update = self.in_flight();
        let seq = update.proof.value.seq;
        (update, seq)
    }

    /// Pays another raw wallet through the hub, from the lock to its settlement.
    ///
    /// # Panics
    /// When any of it does not go as the protocol says.
    pub fn pay(&mut self, payee: &mut RawWallet, amount: Amount, secret: Secret) {
        let anchor = Anchor(chain_step(&secret.0));
        let fee = self.info.fees.fee(amount).unwrap();
        let unit = amount.checked_add(fee).unwrap();
        let add = self.add(anchor, payee.public(), unit);
        assert!(self.offer(&[add]).is_ok(), "the lock was refused");
        let id = payee.hear_lock(anchor);
        payee.reveal(id, secret);
        self.hear(
            "the secret",
            |message| matches!(message, Message::Reveal { secret: shown, .. } if *shown == secret),
        );
        assert!(self.offer(&[]).is_ok(), "the settlement was refused");
        payee.hear_settled(id);
    }

    /// Waits for the hub's lock with this anchor, and says its id.
    pub fn hear_lock(&mut self, anchor: Anchor) -> u64 {
        loop {
            let mut locks = self.channel.incoming().tally.locks.iter();
            if let Some(lock) = locks.find(|lock| lock.anchor == anchor) {
                return lock.id;
            }
            self.hear("the hub's lock", |message| matches!(message, Message::Update(_)));
        }
    }

    /// Waits until the hub has settled or dropped its lock with this id.
    pub fn hear_settled(&mut self, id: u64) {
        while self.channel.incoming().tally.lock(id).is_some() {
            self.hear("the hub's settlement", |message| matches!(message, Message::Update(_)));
        }
    }

    /// Shows the secret of a lock of the hub's.
    pub fn reveal(&mut self, id: u64, secret: Secret) {
        let step = self.channel.reveal(id, &secret).expect("the secret fits");
        if let Some(step) = step {
            self.channel.commit(&step);
        }
        self.say(&Message::Reveal { channel: self.channel.id(), id, secret });
    }

    /// A direct payment to the hub, accepted: the channel and the connection are in order.
    ///
    /// # Panics
    /// When it is not.
    pub fn pays_as_before(&mut self) {
        let before = self.balance();
        let pay = NewOp::Pay { amount: Amount(1), memo: Memo::default() };
        assert!(self.offer(&[pay]).is_ok(), "a good payment was refused");
        assert_eq!(self.balance().0, before.0 - 1);
    }

    /// An invoice for a payment whose secret this is.
    pub fn invoice(&self, secret: Secret, amount: Amount) -> String {
        let invoice = Invoice {
            ledger: self.info.ledger,
            payee: self.public(),
            asset: AssetId(0),
            amount,
            anchor: Anchor(chain_step(&secret.0)),
            expires: self.http.height().after(1_000),
            memo: String::new(),
            hub: None,
        };
        invoice.to_text(&self.key).unwrap()
    }

    /// Brings its side to the ledger and starts the challenge window.
    pub fn close_alone(&self) {
        let submission = self.channel.submission(true, self.http.height());
        let transaction = hex::encode(encode(&Transaction::submit(&self.key, submission)));
        let answer = self.http.post("/v1/ledger/transactions", &SubmitRequest { transaction });
        let _: settlement::api::SubmitAnswer = answer.ok();
    }

    /// The newest height of the ledger.
    pub fn height(&self) -> Height {
        self.http.height()
    }

    /// An operation that pays the hub.
    pub fn op_pay(amount: u64) -> Op {
        Op::Pay { amount: Amount(amount), memo: Memo::default() }
    }
}
