//! What happens in a world, one thing at a time.

use rand::RngExt;
use settlement::types::{Amount, PublicKey};

use super::counts::Kind;
use super::wallet_node::WalletNode;
use super::{DEPOSIT, World};

/// Fewer payments than this follow each other in a busy time.
const RUSH_MAX: usize = 16;

impl World {
    pub(super) fn something_happens(&mut self, faults: bool) {
        let dice = self.rng.random_range(0..1100);
        match dice {
            0..360 => self.deliver_one(),
            360..500 => self.commit_one(),
            500..520 if faults => self.disturb(),
            520..560 => self.stream_something(),
            560..700 => self.pay_some(),
            700..780 => self.block(),
            780..840 => self.tick(),
            840..890 => self.settle_down(),
            890..920 => self.stream_something(),
            920..930 if faults => self.disconnect_one(),
            930..934 if faults => self.end_one(),
            934..945 if faults => self.plan_end(),
            945..947 if faults => self.night(),
            947..958 if faults => self.steal(),
            958..961 if faults => self.end_in_recovery(),
            961..965 if faults => self.trouble_one(),
            965..969 if faults => self.mend_one(),
            969..971 if faults => self.rot_one(),
            971..975 if faults => self.archive_one(),
            975..983 if faults => self.disturb(),
            983..986 if faults => self.hold_one(),
            986..987 if faults => self.partition(),
            987..990 if faults => self.deafen(),
            990..994 if faults => self.replay_one(),
            994..995 if faults => self.mute_one(),
            1060.. => self.rush(),
            _ => self.revive(),
        }
    }

    /// One payment, or some that travel together.
    pub(super) fn pay_some(&mut self) {
        let count = if self.rng.random_bool(0.3) { self.rng.random_range(2..6) } else { 1 };
        (0..count).for_each(|_| self.pay_somebody());
    }

    fn pay_somebody(&mut self) {
        let amount = Amount(match self.rng.random_range(0..10) {
            0 => DEPOSIT.0 * 2,
            1 => DEPOSIT.0 / 2,
            _ => self.small(),
        });
        self.pay(amount);
    }

    fn small(&mut self) -> u64 {
        self.rng.random_range(1..500)
    }

    fn pay(&mut self, amount: Amount) {
        let payer = self.rng.random_range(0..2);
        if self.rng.random_bool(0.5) {
            self.pay_by_invoice(payer, amount);
        } else {
            let _ = self.send(payer, amount);
        }
    }

    /// A busy time: everybody is there, and payments start while others are under way.
    fn rush(&mut self) {
        self.everybody_up(None);
        for _ in 0..self.rng.random_range(1..RUSH_MAX) {
            let amount = Amount(self.small());
            self.pay(amount);
            for _ in 0..self.rng.random_range(0..20) {
                if self.rng.random_bool(0.7) { self.deliver_one() } else { self.commit_one() }
            }
        }
    }

    pub(super) fn tick(&mut self) {
        self.now_ms += self.rng.random_range(1..600);
        for who in 0..2 {
            self.wallet_input(who, client_sdk::wallet::Input::Tick);
        }
        self.hub_input(hub::shard::Input::Tick);
    }

    pub(super) fn disconnect_one(&mut self) {
        let who = self.rng.random_range(0..2);
        self.story.tell(self.now_ms, || format!("wallet {who} loses its connection"));
        self.count(Kind::Disconnected);
        self.disconnect(who);
    }

    /// A wallet is out of the hub's reach for long. All go on following the ledger: whoever sleeps
    /// through its deadlines may lose.
    pub(super) fn night(&mut self) {
        let who = self.rng.random_range(0..2);
        let blocks = self.rng.random_range(20..280);
        self.story
            .tell(self.now_ms, || format!("wallet {who} is out of reach for {blocks} blocks"));
        self.count(Kind::Night);
        self.disconnect(who);
        for _ in 0..blocks {
            self.everybody_up(Some(who));
            self.beat();
        }
    }

    /// Starts what is down, or connects what is up.
    pub(super) fn revive(&mut self) {
        if self.rng.random_bool(0.5) {
            (0..3).filter(|who| !self.is_up(*who)).for_each(|who| self.disk(who).mend());
        }
        if !self.hub.is_up() {
            self.start_hub();
            return;
        }
        let who = self.rng.random_range(0..2);
        if !self.wallets[who].is_up() {
            self.start_wallet(who);
        } else if !self.net.is_connected(who) {
            self.connect(who);
        }
    }

    /// Everything that is on its way arrives, and what follows from it, until nothing moves.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..200 {
            let before = self.net.delivered;
            for who in 0..3 {
                self.commit(who);
            }
            for who in 0..2 {
                while self.deliver(who, true) || self.deliver(who, false) {}
            }
            if self.net.delivered == before && self.is_quiet() {
                return;
            }
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.hub.is_quiet() && self.wallets.iter().all(WalletNode::is_quiet) && self.net.is_empty()
    }

    pub(super) fn commit_one(&mut self) {
        let who = self.rng.random_range(0..3);
        self.commit(who);
    }

    pub(super) fn deliver_one(&mut self) {
        let who = self.rng.random_range(0..2);
        let up = self.rng.random_bool(0.5);
        if !self.deliver(who, up) {
            self.deliver(who, !up);
        }
    }

    pub(super) fn public(&self, who: usize) -> PublicKey {
        self.wallets[who].public()
    }
}
