//! Streams between the two wallets: locks of many steps, handed over by the relay or by hand, redeemed
//! now and then, closed by either side at any moment.
//!
//! What must hold: every step that an honest payee has taken is paid to it, and what it has said that
//! it holds it still holds at the end; its payer pays no more than it handed out, and exactly what
//! the payee got where everybody is honest. Streams are left out of worlds in which wallets forget.

use std::collections::BTreeMap;

use client_sdk::relay::StepToken;
use client_sdk::wallet::stream::{Chain, StreamId, StreamKey, StreamLock, StreamState, StreamView};
use client_sdk::wallet::{Command, Input as WalletInput, Way};
use rand::RngExt;
use settlement::reject::Code;
use settlement::types::{Amount, Secret};
use settlement::wire::Message;

use super::liar::HUB;
use super::{EUR, World, check};

/// Every stream is over this many blocks after its last lock.
const LIFE_BLOCKS: std::ops::Range<u64> = 250..600;

/// What is known of streams.
#[derive(Default)]
pub(super) struct Streams {
    /// Who pays, and how it names it.
    all: Vec<(usize, StreamId)>,
    /// The most steps that a payee has said that it holds.
    held: BTreeMap<(usize, StreamKey), u64>,
}

impl World {
    fn key_of_stream(&self, who: usize, way: Way, stream: StreamId) -> StreamKey {
        StreamKey { way, peer: self.public(1 - who), stream }
    }

    fn command(&mut self, who: usize, command: Command) {
        self.wallet_input(who, WalletInput::Command(Box::new(command)));
    }

    /// Something happens with streams.
    pub(super) fn stream_something(&mut self) {
        if self.loss.may_be_of_wallets() {
            return;
        }
        let count = self.streams.all.len();
        let dice = self.rng.random_range(0..100);
        if count == 0 || dice < 12 {
            return self.open_stream();
        }
        let (payer, stream) = self.streams.all[self.rng.random_range(0..count)];
        let (out, into) = (
            self.key_of_stream(payer, Way::Out, stream),
            self.key_of_stream(1 - payer, Way::In, stream),
        );
        match dice {
            12..72 => {
                let (steps, by_relay) = (self.rng.random_range(1..9), self.rng.random_bool(0.7));
                self.command(payer, Command::Advance { stream: out, steps, by_relay });
            }
            72..90 => self.command(1 - payer, Command::Redeem { stream: into }),
            90..95 => self.command(payer, Command::CloseStream { stream: out }),
            _ => self.command(1 - payer, Command::CloseStream { stream: into }),
        }
    }

    /// A new one, or a further lock of one that there is.
    fn open_stream(&mut self) {
        let further = self.rng.random_bool(0.3);
        let known = self.streams.all.last().copied().filter(|_| further);
        let (payer, stream) =
            known.unwrap_or_else(|| (self.rng.random_range(0..2), StreamId(self.rng.fresh())));
        if known.is_none() {
            self.streams.all.push((payer, stream));
        }
        let chain = Chain::new(Secret(self.rng.fresh()), self.rng.random_range(2..60));
        let command = Command::OpenStream {
            stream,
            chain: Box::new(chain),
            nonce: self.rng.fresh(),
            payee: self.public(1 - payer),
            asset: EUR,
            unit: Amount(self.rng.random_range(1..200)),
            life_blocks: self.rng.random_range(LIFE_BLOCKS),
            memo: String::new(),
        };
        self.command(payer, command);
    }

    /// Steps were handed out to be carried by hand; now and then they get lost.
    pub(super) fn hand_over(&mut self, payer: usize, tokens: Vec<StepToken>) {
        for token in tokens {
            if !self.faults || self.faults_over || self.rng.random_bool(0.9) {
                self.command(1 - payer, Command::TakeStep { token });
            }
        }
    }

    /// A stream stands differently, as a wallet says.
    pub(super) fn stream_told(&mut self, who: usize, view: &StreamView) {
        self.story.tell(self.now_ms, || {
            let StreamView { key, paid, redeemed, settled, phase, .. } = view;
            format!(
                "wallet {who}: stream {:?}, {paid} paid, {redeemed} redeemed, {settled} settled, \
                 {phase:?}",
                key.way
            )
        });
        if view.key.way == Way::In {
            let held = self.streams.held.entry((who, view.key)).or_default();
            *held = (*held).max(view.paid);
        }
    }

    /// What one wallet says to another goes on, in the name of whoever is signed in.
    pub(super) fn relay(&mut self, who: usize, message: Message) {
        let Message::Relay { to, ciphertext, .. } = message else { return };
        let from = self.public(who);
        if let Some(link) = (0..2).find(|link| self.public(*link) == to) {
            self.says(HUB, link, Message::Relay { to, from, ciphertext });
        }
    }

    /// Payers want the rest of their money back.
    pub(super) fn close_streams(&mut self) {
        for at in 0..self.streams.all.len() {
            let (payer, stream) = self.streams.all[at];
            let key = self.key_of_stream(payer, Way::Out, stream);
            let core = self.wallets[payer].core();
            let stands = core.and_then(|wallet| wallet.stream(&key));
            if stands.is_some_and(|view| !view.has_ended()) {
                self.command(payer, Command::CloseStream { stream: key });
            }
        }
    }

    fn locks(&self, who: usize, way: Way) -> Vec<StreamLock> {
        let Some(wallet) = self.wallets[who].core() else { return Vec::new() };
        let keys = wallet.streams(way).map(|view| view.key);
        keys.flat_map(|key| wallet.stream_locks(&key).cloned().collect::<Vec<_>>()).collect()
    }

    /// Whether nothing more comes of any stream that an honest payer pays to an honest hub. One that
    /// takes no update, though it has shown some steps, can keep the rest from ending as long as the
    /// channel is open.
    pub(super) fn streams_are_over(&self) -> bool {
        let honest = (0..2).filter(|who| self.is_honest_channel(*who));
        honest.flat_map(|who| self.locks(who, Way::Out)).all(|lock| lock.has_ended())
    }

    /// What streams moved for a wallet, fees included: paid, and received.
    pub(super) fn streamed(&self, who: usize) -> (i128, i128) {
        let Some(wallet) = self.wallets[who].core() else { return (0, 0) };
        let steps = |of: fn(&StreamLock) -> (Amount, u32), locks: &[StreamLock]| {
            let each = locks.iter().map(of);
            each.map(|(unit, steps)| unit.wide() * i128::from(steps)).sum::<i128>()
        };
        let (out, into) = (self.locks(who, Way::Out), self.locks(who, Way::In));
        let fees: i128 = wallet.streams(Way::Out).map(|view| view.fees.wide()).sum();
        let upfront = fees - steps(|lock| (lock.fee_per_step, lock.shown), &out);
        let per_step = steps(|lock| (lock.fee_per_step, moved(lock)), &out);
        let paid = steps(|lock| (lock.unit, moved(lock)), &out);
        (paid + per_step + upfront, steps(|lock| (lock.unit, moved(lock)), &into))
    }

    /// What a wallet has streamed that its hub may have forgotten and not learned of again.
    pub(super) fn streamed_unseen(&self, who: usize) -> i128 {
        let locks = self.locks(who, Way::Out).into_iter();
        let unseen = locks.filter(|lock| self.loss.excuses(lock.created_ms));
        let paid = |lock: StreamLock| {
            let step = lock.unit.wide() + lock.fee_per_step.wide();
            step * i128::from(moved(&lock)) + lock.fee_upfront.wide()
        };
        unseen.map(paid).sum()
    }

    /// Whether so much more than payments and streams say may be fees that were to be paid upfront, in
    /// updates that the hub never took: of locks that ended with nothing redeemed of them. The wallet
    /// counts them as paid, since its proof may have been.
    pub(super) fn may_be_unpaid(&self, who: usize, given: i128) -> bool {
        let locks = self.locks(who, Way::Out).into_iter();
        let unsure = locks.filter(|lock| lock.has_ended() && lock.redeemed == 0);
        given > 0 && given <= unsure.map(|lock| lock.fee_upfront.wide()).sum()
    }

    /// See the module.
    pub(super) fn check_streams(&mut self) -> Result<(), String> {
        for who in (0..2).filter(|who| !self.is_liar(who + 1)) {
            let wallet = self.wallets[who].core().ok_or("a wallet is down at the end")?;
            for lock in self.locks(who, Way::In) {
                if moved(&lock) != lock.shown {
                    return Err(format!("wallet {who} took steps that it was not paid: {lock:?}"));
                }
            }
            let mut held = self.streams.held.iter().filter(|((whose, _), _)| *whose == who);
            let gone = held
                .find(|((_, key), most)| wallet.stream(key).is_none_or(|view| view.paid < **most));
            if let Some((key, most)) = gone {
                return Err(format!("wallet {who} said that it holds {most} steps of {key:?}"));
            }
            let dear = |lock: &StreamLock| {
                let fees = (lock.fee_per_step.wide(), lock.fee_upfront.wide());
                fees != check::fees_of_lock(lock.unit.wide(), lock.steps)
            };
            if let Some(lock) = self.locks(who, Way::Out).into_iter().find(dear) {
                return Err(format!(
                    "wallet {who} pays other fees than the hub's policy says: {lock:?}"
                ));
            }
            let wrong = |lock: &StreamLock| !lock.has_ended() || moved(lock) > lock.shown;
            if let Some(lock) = self.locks(who, Way::Out).into_iter().find(wrong) {
                return Err(format!(
                    "wallet {who} paid more than it handed out, or pays on: {lock:?}"
                ));
            }
        }
        if self.is_cheated() || self.loss.of_wallets() { Ok(()) } else { self.streams_agree() }
    }

    /// Payer and payee, about each lock. What a hub has forgotten may have been paid by it alone.
    fn streams_agree(&mut self) -> Result<(), String> {
        for payer in 0..2 {
            let got = self.locks(1 - payer, Way::In);
            for lock in self.locks(payer, Way::Out) {
                let paid = got.iter().find(|got| got.anchor == lock.anchor);
                let settled = paid.map_or(0, moved);
                let forgotten = settled > moved(&lock) && self.loss.excuses(lock.created_ms);
                if settled != moved(&lock) && !forgotten {
                    return Err(format!("{settled} steps were paid to the payee of {lock:?}"));
                }
                self.report.forgotten += u64::from(forgotten);
                self.report.steps += u64::from(settled);
            }
        }
        Ok(())
    }
}

/// How many steps of a lock were paid in the end: settled in the channel or, where that was closed
/// with the lock standing, claimed on the ledger. What the hub claims there of a payer's lock is what
/// the payer learns; a payee claims all that it has.
fn moved(lock: &StreamLock) -> u32 {
    match (lock.state, lock.way) {
        (StreamState::Ended(Some(Code::ChannelClosing)), Way::Out) => lock.redeemed,
        (StreamState::Ended(Some(Code::ChannelClosing)), Way::In) => lock.shown,
        _ => lock.settled,
    }
}
