//! What the processes of the world do to each other.

use client_sdk::invoice::Invoice;
use client_sdk::wallet::{Action as WalletAction, Command, Event, Input as WalletInput};
use hub::shard::{Action as HubAction, Input as HubInput};
use rand::RngExt;
use settlement::channel::{Taken, VerifiedSnapshot, VerifiedUpdate};
use settlement::crypto::{BatchCache, VerifyingKey};
use settlement::reject::Code;
use settlement::tx::Transaction;
use settlement::types::{Amount, Anchor, ChannelId, PublicKey, Role, Salt, Secret};
use settlement::update::Update;
use settlement::wire::Message;

use super::check::anchor_of;
use super::hub_node::Book;
use super::liar::HUB;
use super::{EUR, World};

type Checked = Result<Box<VerifiedUpdate>, Code>;

impl World {
    pub(super) fn book(&self) -> Book {
        let entries = (0..2).filter_map(|who| {
            let channel = self.channel_of(who)?;
            Some((self.public(who), channel, self.net.is_connected(who)))
        });
        Book(entries.collect())
    }

    pub(super) fn channel_of(&self, who: usize) -> Option<ChannelId> {
        let wallet = self.public(who);
        let mut channels = self.hub.core()?.channels();
        channels.find(|channel| channel.terms().wallet == wallet).map(|channel| channel.id())
    }

    pub(super) fn wallet_input(&mut self, who: usize, input: WalletInput) {
        self.wallets[who].input(input, self.now_ms);
        self.notice_deaths();
    }

    pub(super) fn hub_input(&mut self, input: HubInput) {
        let book = self.book();
        self.hub.input(input, &book, self.now_ms);
        self.notice_deaths();
    }

    /// A process that is down has no connections.
    pub(super) fn notice_deaths(&mut self) {
        self.count_endings();
        for who in 0..2 {
            let dead = !self.hub.is_up() || !self.wallets[who].is_up();
            if dead && self.net.is_connected(who) {
                self.disconnect(who);
            }
        }
    }

    pub(super) fn connect(&mut self, who: usize) {
        if !self.hub.is_up() || !self.wallets[who].is_up() {
            return;
        }
        self.net.connect(who);
        self.wallets[who].forget_said();
        if let Some(channel) = self.channel_of(who) {
            self.hub.forget_said(channel);
            self.hub_input(HubInput::Connected(channel));
        }
        self.wallet_input(who, WalletInput::Connected);
    }

    pub(super) fn disconnect(&mut self, who: usize) {
        self.net.disconnect(who);
        if self.wallets[who].is_up() {
            self.wallet_input(who, WalletInput::Disconnected);
        }
        if let Some(channel) = self.channel_of(who) {
            self.hub_input(HubInput::Disconnected(channel));
        }
    }

    pub(super) fn start_hub(&mut self) {
        self.start(0);
    }

    pub(super) fn start_wallet(&mut self, who: usize) {
        self.start(who + 1);
    }

    /// A block, if enough time has passed, and everybody who is up hears of it.
    pub(super) fn block(&mut self) {
        self.now_ms += 200;
        self.loss.note_block();
        self.thieves_wait();
        self.held_back_is_said();
        self.sky_moves();
        self.ledger.produce(self.now_ms);
        if !self.ledger.is_conserved() {
            self.wrong("the ledger is not conserved".to_owned());
        }
        self.catch_up();
    }

    pub(super) fn catch_up(&mut self) {
        for who in 0..2 {
            if self.is_deaf(who + 1) {
                continue;
            }
            for block in self.ledger.events_from(self.wallets[who].next_block()) {
                self.wallet_input(who, WalletInput::Block(Box::new((*block).clone())));
            }
        }
        if !self.is_deaf(0) {
            for block in self.ledger.events_from(self.hub.next_block()) {
                self.hub_input(HubInput::Block(block));
            }
            let book = self.book();
            self.hub.caught_up(&book, self.now_ms);
            self.notice_deaths();
        }
        self.introduce();
    }

    /// Once the hub has seen a channel open, it learns who is connected on it.
    fn introduce(&mut self) {
        for who in 0..2 {
            if let Some(channel) = self.channel_of(who)
                && self.net.is_connected(who)
                && !self.introduced.contains(&channel)
            {
                self.introduced.insert(channel);
                self.hub_input(HubInput::Connected(channel));
            }
        }
    }

    /// A group commit of one process, and everything that it lets out.
    pub(super) fn commit(&mut self, who: usize) {
        match who {
            0 => {
                let actions = self.hub.commit();
                self.notice_deaths();
                self.hub_acts(actions);
            }
            other => {
                let actions = self.wallets[other - 1].commit();
                self.notice_deaths();
                for action in actions {
                    self.wallet_acts(other - 1, action);
                }
            }
        }
    }

    fn wallet_acts(&mut self, who: usize, action: WalletAction) {
        match action {
            WalletAction::Send(message) => {
                self.says(who + 1, who, message);
            }
            WalletAction::SendUpdate { channel, base, ops, proof } => {
                let salt = Salt(self.rng.fresh());
                let proof = self.wallets[who].sign(proof, salt);
                let update = Update { channel, base, ops, proof };
                self.says(who + 1, who, Message::Update(update));
            }
            WalletAction::Submit(_) if self.keeps_from_ledger(who + 1) => {}
            WalletAction::Submit(body) => {
                let tx = Transaction::submit(self.wallets[who].signing_key(), *body);
                // An honest side's submission stands on its own: nobody waits for the answer.
                let _ = self.submit(who + 1, tx);
            }
            WalletAction::Tell(event) => self.heard(who, event),
        }
    }

    fn heard(&mut self, who: usize, event: Event) {
        let now_ms = self.now_ms;
        match event {
            Event::Invoiced { invoice, .. } => self.invoices[who].push_back(invoice),
            Event::Steps(tokens) => self.hand_over(who, tokens),
            Event::Stream(view) => self.stream_told(who, &view),
            Event::Payment(payment) => {
                let state = payment.state;
                self.story.tell(now_ms, || {
                    let (way, anchor) = (payment.way, payment.anchor);
                    format!("wallet {who}: {way:?} {anchor:?} of {} is {state:?}", payment.amount)
                });
                if let Err(wrong) = self.facts.told(who, &payment) {
                    self.wrong.get_or_insert(wrong);
                }
            }
            Event::Refused { code, detail, payment } => {
                payment.into_iter().for_each(|anchor| self.facts.refused(who, anchor));
                self.story.tell(now_ms, || format!("wallet {who}: refused, {code}: {detail}"));
            }
            _ => {}
        }
    }

    fn hub_acts(&mut self, actions: Vec<HubAction>) {
        let proofs: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                HubAction::SendUpdate { proof, .. } | HubAction::SendSnapshot { proof, .. } => {
                    Some(*proof)
                }
                _ => None,
            })
            .collect();
        let salt = self.rng.random();
        let mut signed = proofs
            .chunks(256)
            .flat_map(|some| self.hub.sign(some, salt))
            .collect::<Vec<_>>()
            .into_iter();
        for action in actions {
            match action {
                HubAction::Send(message) => self.hub_sends(message),
                HubAction::SendUpdate { channel, base, ops, .. } => {
                    let Some(proof) = signed.next() else { continue };
                    self.hub_sends(Message::Update(Update { channel, base, ops, proof }));
                }
                HubAction::SendSnapshot { locks, .. } => {
                    let Some(proof) = signed.next() else { continue };
                    self.hub_sends(Message::snapshot(Taken { proof, locks }));
                }
                HubAction::Submit(_) if self.keeps_from_ledger(HUB) => {}
                HubAction::Submit(body) => {
                    let tx = Transaction::submit(self.hub.signing_key(), *body);
                    let _ = self.submit(0, tx);
                }
                HubAction::Deposit { channel, amount } => {
                    let key = self.hub.signing_key();
                    self.ledger.deposit(key, channel, amount);
                }
                HubAction::Cosign { ticket } => self.cosigned(ticket),
                HubAction::Refuse { ticket, code } => {
                    self.story.tell(self.now_ms, || format!("request {ticket} refused: {code}"));
                    self.closing = None;
                }
                // Nothing of this world's anchors, so nobody asks for these.
                HubAction::Moved(_) | HubAction::Lease(_) | HubAction::Stated(_) => {}
                HubAction::Count { .. } => {}
            }
        }
    }

    fn hub_sends(&mut self, message: Message) {
        let Some(channel) = message.channel() else { return };
        if let Some(who) = (0..2).find(|who| self.channel_of(*who) == Some(channel)) {
            self.says(HUB, who, message);
        }
    }

    /// The next message of one connection arrives. Whether there was one.
    pub(super) fn deliver(&mut self, who: usize, up: bool) -> bool {
        let Some(message) = self.net.receive(who, up) else { return false };
        let hears = if up { HUB } else { who + 1 };
        if let Some(liar) = self.liars[hears].as_mut() {
            liar.notes(&message);
        }
        // A connection speaks for the channels of those who signed in on it.
        if up && message.channel().is_some_and(|channel| self.channel_of(who) != Some(channel)) {
            return true;
        }
        if up {
            let input = match message {
                Message::Update(update) => {
                    let (channel, seq) = (update.channel, update.proof.value.seq);
                    match check(update, &self.public(who)) {
                        Ok(update) => HubInput::Update(update),
                        Err(code) => HubInput::BadUpdate { channel, seq, code },
                    }
                }
                Message::Snapshot { .. } => match self.check_shown(who, message) {
                    Ok(snapshot) => HubInput::Snapshot(snapshot),
                    Err(_) => return true,
                },
                Message::Relay { .. } => {
                    self.relay(who, message);
                    return true;
                }
                other => HubInput::Message(Box::new(other)),
            };
            self.hub_input(input);
        } else {
            let input = match message {
                Message::Update(update) => {
                    let (channel, seq) = (update.channel, update.proof.value.seq);
                    match check(update, &self.hub.public()) {
                        Ok(update) => WalletInput::Update(update),
                        Err(code) => WalletInput::BadUpdate { channel, seq, code },
                    }
                }
                Message::Relay { to, from, ciphertext } => {
                    WalletInput::Relay { to, from, ciphertext }
                }
                other => WalletInput::Message(Box::new(other)),
            };
            self.wallet_input(who, input);
        }
        self.liar_hears(hears);
        true
    }

    fn check_shown(&self, who: usize, message: Message) -> Result<Box<VerifiedSnapshot>, Code> {
        let (direction, taken) = message.into_taken().ok_or(Code::MalformedFrame)?;
        let keys = (self.public(who), self.hub.public());
        let key = if direction == Role::Wallet { keys.0 } else { keys.1 };
        let key = VerifyingKey::parse(&key).expect("the world's keys are keys");
        VerifiedSnapshot::check(direction, taken, &key).map(Box::new)
    }

    pub(super) fn pay_by_invoice(&mut self, payer: usize, amount: Amount) {
        let secret = Secret(self.rng.fresh());
        let invoice =
            Command::Invoice { secret, asset: EUR, amount, life_blocks: 300, memo: String::new() };
        self.wallet_input(1 - payer, WalletInput::Command(Box::new(invoice)));
        self.commit(2 - payer);
        // One that was made is sometimes paid late, or twice.
        let invoices = &mut self.invoices[1 - payer];
        let keep = self.rng.random_bool(0.1);
        let next = if keep { invoices.front().cloned() } else { invoices.pop_front() };
        if let Some(invoice) = next {
            let asked = Invoice::parse(&invoice).expect("a wallet's invoice is one");
            self.facts.asked(payer, asked.anchor);
            self.order(payer, asked.anchor, Command::Pay { invoice });
        }
    }

    pub(super) fn send(&mut self, payer: usize, amount: Amount) -> Anchor {
        let secret = Secret(self.rng.fresh());
        let anchor = anchor_of(&secret);
        let command = Command::Send {
            secret,
            nonce: self.rng.fresh(),
            payee: self.public(1 - payer),
            asset: EUR,
            amount,
            memo: String::new(),
        };
        self.order(payer, anchor, command);
        anchor
    }

    /// A wallet is asked to pay. It says what comes of it, unless it ends first.
    fn order(&mut self, payer: usize, anchor: Anchor, command: Command) {
        if self.wallets[payer].is_up() {
            self.facts.ordered(payer, anchor);
        }
        self.wallet_input(payer, WalletInput::Command(Box::new(command)));
    }
}

fn check(update: Update, key: &PublicKey) -> Checked {
    let key = VerifyingKey::parse(key).expect("the world's keys are keys");
    VerifiedUpdate::check(update, &key, &mut BatchCache::new(0)).map(Box::new)
}
