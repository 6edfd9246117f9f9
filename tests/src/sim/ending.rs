//! How a world ends: faults stop, everything heals, the channels are paid out, and the ledger is
//! compared with history.

use client_sdk::wallet::{Command, Input as WalletInput, Payment, PaymentState};
use hub::shard::Input as HubInput;
use settlement::channel::{Channel, Phase};
use settlement::crypto::Signable;
use settlement::proof::CooperativeClose;
use settlement::tx::Transaction;

use super::liar::{HUB, WALLET};
use super::{HUB_FUNDS, MINTED, World, check};

/// More blocks than any lock or window lives.
const BLOCKS_TO_END: u32 = 700;

impl World {
    /// Faults stop. Everybody starts, meets, and every payment ends.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        self.story.tell(self.now_ms, || "faults stop".to_owned());
        self.faults_over = true;
        self.clear_sky();
        self.hold_all(false);
        self.mend_all();
        if !self.loss.happened() && !self.is_disturbed() {
            self.only_liars_are_suspended()?;
        }
        // A hub that was lied to suspends the channel until the two meet again.
        if !self.late || self.liars.iter().any(Option::is_some) || self.is_disturbed() {
            (0..2).for_each(|who| self.disconnect(who));
        }
        for block in 0..BLOCKS_TO_END {
            self.everybody_up(None);
            if block % 16 == 0 {
                self.close_streams();
            }
            self.beat();
            if self.all_up() && self.all_final() && self.streams_are_over() && self.all_idle() {
                self.healed_in = block;
                self.closed_early = [0, 1].map(|who| !self.is_open(who));
                return Ok(());
            }
        }
        let restless = self.channels().filter(|channel| !self.is_idle(channel));
        let restless: Vec<String> = restless.map(told).collect();
        Err(format!("some payment never ended, or some channel never came to rest: {restless:?}"))
    }

    /// A channel between two that are honest is never suspended, whatever breaks. Once one side
    /// closes it the other one's updates are refused, and it waits for the close to show.
    fn only_liars_are_suspended(&self) -> Result<(), String> {
        let wrong = self.channels().find(|channel| {
            let closing = |of: &&Channel| of.id() == channel.id() && of.phase() != Phase::Open;
            channel.suspended().is_some()
                && self.is_of_honest(channel)
                && self.channels().find(closing).is_none()
        });
        wrong.map_or(Ok(()), |channel| {
            Err(format!("an honest channel is suspended: {:?}", channel.suspended()))
        })
    }

    /// Every channel as each of its sides that is up knows it.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Channel> {
        let wallets = self.wallets.iter().filter_map(|wallet| wallet.core());
        wallets
            .flat_map(|wallet| wallet.channels())
            .chain(self.hub.core().into_iter().flat_map(|hub| hub.channels()))
    }

    /// Starts who is down, and connects all wallets except one.
    pub(super) fn everybody_up(&mut self, away: Option<usize>) {
        self.wake_all();
        for who in 0..2 {
            if !self.net.is_connected(who) && away != Some(who) {
                self.connect(who);
            }
        }
    }

    /// Starts who is down.
    pub(super) fn wake_all(&mut self) {
        // Who is down for as long as a night lasts may lose, whatever the reason.
        (0..3).filter(|who| !self.is_up(*who)).for_each(|who| self.disk(who).mend());
        if !self.hub.is_up() {
            self.start_hub();
        }
        for who in 0..2 {
            if !self.wallets[who].is_up() {
                self.start_wallet(who);
            }
        }
    }

    /// A block's time: everybody hears the clock, and what follows from it happens.
    pub(super) fn beat(&mut self) {
        self.block();
        for who in 0..2 {
            self.wallet_input(who, WalletInput::Tick);
        }
        self.hub_input(HubInput::Tick);
        self.settle_down();
        self.note_who_is_back();
    }

    pub(super) fn payments(&self, who: usize) -> Vec<Payment> {
        let core = self.wallets[who].core();
        core.map(|wallet| wallet.payments().cloned().collect()).unwrap_or_default()
    }

    /// Who is down has no payment to show.
    fn all_up(&self) -> bool {
        self.hub.is_up() && self.wallets.iter().all(|wallet| wallet.is_up())
    }

    fn all_final(&self) -> bool {
        (0..2).filter(|who| !self.is_liar(who + 1)).flat_map(|who| self.payments(who)).all(
            |payment| {
                payment.way == client_sdk::wallet::Way::In || payment.state != PaymentState::Pending
            },
        )
    }

    /// No lock is pending on any side, and nothing waits to be sent.
    fn all_idle(&self) -> bool {
        self.channels().all(|channel| self.is_idle(channel))
    }

    fn is_idle(&self, channel: &Channel) -> bool {
        let closed = matches!(channel.phase(), Phase::Closed { .. });
        let quiet = channel.outgoing().in_flight.is_none()
            && channel.outgoing().tip().locks.is_empty()
            && channel.incoming().tally.locks.is_empty()
            && !channel.owes_plain_update()
            && (channel.suspended().is_none() || !(self.loss.happened() || self.is_disturbed()));
        // What a liar has said may never fit again: then the channel is closed as it stands.
        closed || quiet || !self.is_of_honest(channel)
    }

    fn is_of_honest(&self, channel: &Channel) -> bool {
        let wallet = channel.terms().wallet;
        let who = (0..2).find(|who| self.public(*who) == wallet);
        who.is_some_and(|who| self.is_honest_channel(who))
    }

    /// Wallet 0 closes with the hub, if that is honest, wallet 1 without it, or the hub without wallet 1. Of a
    /// channel whose wallet lies the hub closes what the wallet does not.
    pub(super) fn close_all(&mut self) -> Result<(), String> {
        for block in 0..BLOCKS_TO_END {
            self.everybody_up(None);
            if self.is_open(0) && !self.is_liar(HUB) {
                self.ask_to_close(0);
            }
            let by_hub = self.late && self.is_honest_channel(1) && self.is_open(1);
            for who in 0..2 {
                if who == 1 && !by_hub || self.is_liar(HUB) {
                    self.close_alone(who);
                }
            }
            let left = block == BLOCKS_TO_END / 2 && self.is_liar(WALLET);
            if let Some(channel) = self.channel_of(1).filter(|_| by_hub || left) {
                self.hub_input(HubInput::CloseAlone(channel));
            }
            self.beat();
            // Two liars may agree to leave their money where it is.
            let sides = |who: usize| !self.is_liar(HUB) || !self.is_liar(who + 1);
            if (0..2).all(|who| self.is_closed(who) || !sides(who)) {
                return Ok(());
            }
        }
        Err("some channel was never paid out".to_owned())
    }

    /// Asked again if the wallet died before it had written down that it closes.
    fn close_alone(&mut self, who: usize) {
        if self.is_open(who)
            && let Some(channel) = self.channel_of(who)
        {
            let command = Command::CloseAlone { channel };
            self.wallet_input(who, WalletInput::Command(Box::new(command)));
        }
    }

    /// As its honest side knows it, if there is one.
    fn phase(&self, who: usize) -> Option<Phase> {
        let knows = if self.is_liar(who + 1) && !self.is_liar(HUB) { HUB } else { who + 1 };
        self.channel_at(knows, who).map(|channel| channel.phase())
    }

    fn is_open(&self, who: usize) -> bool {
        matches!(self.phase(who), Some(Phase::Open))
    }

    fn is_closed(&self, who: usize) -> bool {
        matches!(self.phase(who), Some(Phase::Closed { .. }))
    }

    fn ask_to_close(&mut self, who: usize) {
        let Some(wallet) = self.wallets[who].core() else { return };
        let Some(channel) = wallet.channels().next() else { return };
        let Ok(close) = channel.close_terms(wallet.height().after(100)) else { return };
        let command = Command::AgreeClose { close };
        self.wallet_input(who, WalletInput::Command(Box::new(command)));
        self.commit(who + 1);
        if !matches!(self.phase(who), Some(Phase::Agreed { .. })) {
            return;
        }
        let signature = self.wallets[who].signing_key().sign(&close.digest());
        self.closing = Some((close, signature));
        self.hub_input(HubInput::Close { close, signature, ticket: 1 });
    }

    /// The hub signs the close, too.
    pub(super) fn cosigned(&mut self, _ticket: u64) {
        let Some((close, wallet)) = self.closing else { return };
        let body: CooperativeClose = close;
        let hub = self.hub.signing_key().sign(&body.digest());
        let answer = self.ledger.submit(Transaction::CooperativeClose { body, wallet, hub });
        self.story.tell(self.now_ms, || format!("both close: {answer:?}"));
    }

    pub(super) fn check_ledger(&mut self) -> Result<(), String> {
        let payments = [self.payments(0), self.payments(1)];
        for (who, made) in payments.iter().enumerate() {
            if !self.is_liar(who + 1) && !self.loss.of_wallets() {
                check::paid_for(made)?;
            }
        }
        if self.is_cheated() {
            return self.check_after_lies(&payments);
        }
        self.check_streams()?;
        self.check_agreement(&payments)?;
        self.note_all(&payments);
        let mut fees = 0;
        for (who, payments) in payments.iter().enumerate() {
            self.facts.hold(who, payments)?;
            let (paid, received) = self.moved(who, payments);
            let should = MINTED.wide() - paid + received;
            fees += paid - received;
            let has = self.ledger.balance(&self.public(who));
            let given = has.wide() - should;
            if self.may_differ(who, given) {
                self.report.blurred += 1;
                fees -= given;
                continue;
            }
            if self.may_be_unpaid(who, given) {
                fees -= given;
                continue;
            }
            check::account(&format!("wallet {who}"), has, should)?;
        }
        let has = self.ledger.balance(&self.hub.public());
        check::account("the hub", has, HUB_FUNDS.wide() + fees)?;
        if !self.ledger.is_conserved() {
            return Err("the ledger is not conserved".to_owned());
        }
        self.count_payments(&payments);
        Ok(())
    }

    pub(super) fn count_payments(&mut self, payments: &[Vec<Payment>; 2]) {
        let out = payments.iter().flatten().filter(|p| p.way == client_sdk::wallet::Way::Out);
        for payment in out {
            match payment.state {
                PaymentState::Settled => self.report.settled += 1,
                _ => self.report.failed += 1,
            }
        }
    }
}

/// What keeps a channel from rest.
fn told(channel: &Channel) -> String {
    let (out, inc) = (channel.outgoing(), channel.incoming());
    format!(
        "{:?} of {}: {:?}, suspended {:?}, in flight {}, {} and {} locks, at {} and {}",
        channel.me(),
        channel.id(),
        channel.phase(),
        channel.suspended(),
        out.in_flight.is_some(),
        out.tip().locks.len(),
        inc.tally.locks.len(),
        out.tip().seq,
        inc.tally.seq
    )
}
