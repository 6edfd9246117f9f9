//! What has been seen, what must stay true, and the story of how it came about.

use std::collections::BTreeMap;
use std::fmt;

use client_sdk::wallet::{Payment, PaymentState, Way};
use settlement::types::{Amount, Anchor, Secret};

/// What the wallets were told was final. It must never be taken back, whatever crashes after.
#[derive(Default)]
pub(super) struct Facts {
    final_states: BTreeMap<(usize, Anchor), PaymentState>,
    /// How often payments were asked for that have not ended since, and not refused.
    asked: BTreeMap<(usize, Anchor), u32>,
    /// Every payment that a wallet ever spoke of, forgotten ones included.
    deals: BTreeMap<Anchor, Deal>,
}

/// A payment as its two wallets told of it.
#[derive(Default)]
pub(super) struct Deal {
    /// Who pays, and how much with the fee.
    out: Option<(usize, i128)>,
    /// Who is paid, and how much.
    received: Option<(usize, i128)>,
    /// Whether the payer has said that it is paid.
    paid: bool,
}

impl Facts {
    /// A wallet was asked to pay, perhaps for the second time.
    pub(super) fn asked(&mut self, who: usize, anchor: Anchor) {
        *self.asked.entry((who, anchor)).or_default() += 1;
    }

    /// A wallet refused to: perhaps because it is at it, as it was asked before.
    pub(super) fn refused(&mut self, who: usize, anchor: Anchor) {
        if let Some(times) = self.asked.get_mut(&(who, anchor)) {
            *times = times.saturating_sub(1);
        }
        self.asked.retain(|_, times| *times > 0);
    }

    /// A wallet was told how a payment stands.
    pub(super) fn told(&mut self, who: usize, payment: &Payment) -> Result<(), String> {
        let key = (who, payment.anchor);
        self.note(who, payment);
        if payment.state == PaymentState::Pending {
            // An invoice may be tried again once its money is back, and only then.
            return match self.final_states.remove(&key) {
                Some(PaymentState::Settled) => {
                    Err(format!("wallet {who} tries {:?} again, which is settled", payment.anchor))
                }
                _ => Ok(()),
            };
        }
        let asked = self.asked.remove(&key).is_some();
        match self.final_states.insert(key, payment.state) {
            // A second try may end otherwise, and the word that it was under way may have been lost
            // with the process.
            Some(PaymentState::Failed(_)) if asked => Ok(()),
            Some(before) if before != payment.state => Err(format!(
                "wallet {who} was told {before:?}, then {:?}, of {:?}",
                payment.state, payment.anchor
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn note(&mut self, who: usize, payment: &Payment) {
        let deal = self.deals.entry(payment.anchor).or_default();
        let amount = payment.amount.wide();
        match payment.way {
            Way::Out => {
                deal.out.get_or_insert((who, amount + payment.fee.wide()));
                deal.paid |= payment.state == PaymentState::Settled;
            }
            Way::In => drop(deal.received.get_or_insert((who, amount))),
        }
    }

    /// A wallet starts on an old copy: what it was told before is forgotten there.
    pub(super) fn forget(&mut self, who: usize) {
        self.final_states.retain(|(of, _), _| *of != who);
    }

    /// The sum of all payments that this wallet was ever part of.
    pub(super) fn dealt(&self, who: usize) -> i128 {
        let sides = self.deals.values().flat_map(|deal| [deal.out, deal.received]);
        let of_this = sides.flatten().filter(|(whose, _)| *whose == who);
        of_this.map(|(_, amount)| amount).sum()
    }

    /// What that wallet has paid and got, over all its lives.
    pub(super) fn moved(&self, who: usize) -> (i128, i128) {
        let paid = self.deals.values().filter(|deal| deal.paid);
        let sum = |of: fn(&Deal) -> Option<(usize, i128)>| {
            let of_this = paid.clone().filter_map(of).filter(|(whose, _)| *whose == who);
            of_this.map(|(_, amount)| amount).sum()
        };
        (sum(|deal| deal.out), sum(|deal| deal.received))
    }

    /// Everything that a wallet was ever told must be what it says at the end.
    pub(super) fn hold(&self, who: usize, payments: &[Payment]) -> Result<(), String> {
        for ((_, anchor), state) in self.final_states.range((who, Anchor([0; 32]))..) {
            let Some(payment) = payments.iter().find(|payment| payment.anchor == *anchor) else {
                // The range goes on into the next wallet's facts.
                if self.final_states.contains_key(&(who, *anchor)) {
                    return Err(format!("wallet {who} has forgotten the payment {anchor:?}"));
                }
                continue;
            };
            // The word of how a second try failed may have been lost with the process.
            let failed = |state: &PaymentState| matches!(state, PaymentState::Failed(_));
            let again = self.asked.contains_key(&(who, *anchor)) && failed(state);
            if again && failed(&payment.state) {
                continue;
            }
            if self.final_states.get(&(who, *anchor)) == Some(state) && payment.state != *state {
                return Err(format!(
                    "wallet {who} was told {state:?} of {anchor:?}, and says {:?} at the end",
                    payment.state
                ));
            }
        }
        Ok(())
    }
}

/// Whether payer and payee agree about every payment, and each is final.
pub(super) fn agree(payer: &[Payment], payee: &[Payment]) -> Result<(), String> {
    for paid in payer.iter().filter(|payment| payment.way == Way::Out) {
        let received = payee.iter().find(|p| p.way == Way::In && p.anchor == paid.anchor);
        let arrived = received.is_some_and(|p| p.state == PaymentState::Settled);
        match paid.state {
            PaymentState::Pending => return Err(format!("{paid:?} never ended")),
            PaymentState::Settled if !arrived => {
                return Err(format!("{paid:?} is settled for the payer, but not for the payee"));
            }
            PaymentState::Failed(_) if arrived => {
                return Err(format!("{paid:?} failed for the payer, but the payee was paid"));
            }
            _ => {}
        }
        let proven = paid.secret.is_some_and(|secret| anchor_of(&secret) == paid.anchor);
        if paid.state == PaymentState::Settled && !proven {
            return Err(format!("{paid:?} is settled without its secret"));
        }
    }
    Ok(())
}

fn anchor_of(secret: &Secret) -> Anchor {
    Anchor(settlement::crypto::chain_step(&secret.0))
}

/// What settled payments moved: paid out (with fees), and received.
pub(super) fn moved(payments: &[Payment]) -> (i128, i128) {
    let settled = |way: Way| {
        payments.iter().filter(move |p| p.way == way && p.state == PaymentState::Settled)
    };
    let out = settled(Way::Out).map(|p| p.amount.wide() + p.fee.wide()).sum();
    let received = settled(Way::In).map(|p| p.amount.wide()).sum();
    (out, received)
}

/// Compares a ledger account with what history says.
pub(super) fn account(name: &str, has: Amount, should: i128) -> Result<(), String> {
    if has.wide() == should {
        return Ok(());
    }
    Err(format!("{name} has {has} on the ledger, and should have {should}"))
}

/// What happened, for whoever wants to read it.
#[derive(Default)]
pub(super) struct Story {
    told: bool,
    lines: Vec<String>,
}

impl Story {
    /// One that nobody will read costs nothing.
    pub(super) fn new(told: bool) -> Story {
        Story { told, lines: Vec::new() }
    }

    pub(super) fn tell(&mut self, now_ms: u64, line: impl FnOnce() -> String) {
        if self.told {
            self.lines.push(format!("{now_ms:>9} {}", line()));
        }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
