//! What has been seen, and what must stay true.

use std::collections::{BTreeMap, BTreeSet};

use client_sdk::wallet::{Payment, PaymentState, Way};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, Secret};

/// What the wallets were told was final. It must never be taken back, whatever crashes after.
#[derive(Default)]
pub(super) struct Facts {
    final_states: BTreeMap<(usize, Anchor), PaymentState>,
    /// How often payments were asked for that have not ended since, and not refused.
    asked: BTreeMap<(usize, Anchor), u32>,
    /// What a wallet was asked to pay, and has not said a word about since.
    unanswered: BTreeSet<(usize, Anchor)>,
    /// Payments that a wallet has told to be under way, and has not told an end of.
    pending: BTreeSet<(usize, Anchor)>,
    /// Every payment that a wallet ever spoke of, forgotten ones included.
    deals: BTreeMap<Anchor, Deal>,
    /// Wallets that have started on an old copy.
    restored: BTreeSet<usize>,
    /// Wallets that have lied: the ledger may show more that they signed than they know.
    liars: BTreeSet<usize>,
}

/// A payment as its two wallets told of it.
#[derive(Default)]
pub(super) struct Deal {
    /// Who pays, and how much with the fee.
    out: Option<(usize, i128)>,
    /// When it was paid first.
    begun_ms: Option<u64>,
    /// Who is paid, and how much.
    received: Option<(usize, i128)>,
    /// Whether the payer has ever said that it is paid, or the payee says so at the end: who pays may have
    /// forgotten it.
    settled: bool,
    /// Whether the payee has ever said so. Where it has forgotten that, and the payer does not know it, the
    /// secret may never have come to anybody's knowledge, or the money have come without a word.
    arrived: bool,
}

impl Facts {
    /// A wallet was asked to pay, perhaps for the second time.
    pub(super) fn asked(&mut self, who: usize, anchor: Anchor) {
        *self.asked.entry((who, anchor)).or_default() += 1;
    }

    /// A wallet that is up gets an order to pay.
    pub(super) fn ordered(&mut self, who: usize, anchor: Anchor) {
        self.unanswered.insert((who, anchor));
    }

    /// A wallet starts again: it may have ended before it could say a word.
    pub(super) fn starts(&mut self, who: usize) {
        self.unanswered.retain(|(of, _)| *of != who);
    }

    /// A wallet refused to: perhaps because it is at it, as it was asked before.
    pub(super) fn refused(&mut self, who: usize, anchor: Anchor) {
        self.unanswered.remove(&(who, anchor));
        if let Some(times) = self.asked.get_mut(&(who, anchor)) {
            *times = times.saturating_sub(1);
        }
        self.asked.retain(|_, times| *times > 0);
    }

    /// A wallet was told how a payment stands.
    pub(super) fn told(&mut self, who: usize, payment: &Payment) -> Result<(), String> {
        let key = (who, payment.anchor);
        self.note(who, payment);
        self.unanswered.remove(&key);
        if payment.way == Way::Out && payment.state == PaymentState::Pending {
            self.pending.insert(key);
        } else {
            self.pending.remove(&key);
        }
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
            // It may have been made again in what is forgotten.
            Some(PaymentState::Failed(_)) if self.may_doubt(who) && is_unknown(payment.state) => {
                Ok(())
            }
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
                deal.begun_ms.get_or_insert(payment.created_ms);
                deal.settled |= payment.state == PaymentState::Settled;
            }
            Way::In => {
                deal.received.get_or_insert((who, amount));
                deal.arrived |= payment.state == PaymentState::Settled;
            }
        }
    }

    /// What a wallet says of a payment at the end. One that died before it told of it has it in its records.
    pub(super) fn note_last(&mut self, who: usize, payment: &Payment) {
        self.note(who, payment);
        let settled = payment.state == PaymentState::Settled;
        self.deals.entry(payment.anchor).or_default().settled |= settled;
    }

    /// A wallet starts on an old copy: what it was told before is forgotten there.
    pub(super) fn forget(&mut self, who: usize) {
        self.final_states.retain(|(of, _), _| *of != who);
        self.pending.retain(|(of, _)| *of != who);
        self.restored.insert(who);
    }

    pub(super) fn lied(&mut self, who: usize) {
        self.liars.insert(who);
    }

    /// Whether it has reason to take its own records for old ones.
    fn may_doubt(&self, who: usize) -> bool {
        self.has_forgotten(who) || self.liars.contains(&who)
    }

    pub(super) fn has_forgotten(&self, who: usize) -> bool {
        self.restored.contains(&who)
    }

    /// When it was paid first: that it is paid again makes it new for its wallet.
    pub(super) fn begun_ms(&self, payment: &Payment) -> u64 {
        let begun_ms = self.deals.get(&payment.anchor).and_then(|deal| deal.begun_ms);
        begun_ms.unwrap_or(payment.created_ms)
    }

    /// The sum of all payments that this wallet was ever part of.
    pub(super) fn dealt(&self, who: usize) -> i128 {
        let sides = self.deals.values().flat_map(|deal| [deal.out, deal.received]);
        let of_this = sides.flatten().filter(|(whose, _)| *whose == who);
        of_this.map(|(_, amount)| amount).sum()
    }

    /// What that wallet has paid and got, over all its lives.
    pub(super) fn moved(&self, who: usize) -> (i128, i128) {
        self.sums(who, |deal| deal.settled)
    }

    /// What it may have paid and got besides.
    pub(super) fn unsure(&self, who: usize) -> (i128, i128) {
        self.sums(who, |deal| deal.arrived && !deal.settled)
    }

    fn sums(&self, who: usize, which: impl Fn(&Deal) -> bool) -> (i128, i128) {
        let sum = |side: fn(&Deal) -> Option<(usize, i128)>| {
            let of_these = self.deals.values().filter(|deal| which(deal)).filter_map(side);
            of_these.filter(|(whose, _)| *whose == who).map(|(_, amount)| amount).sum()
        };
        (sum(|deal| deal.out), sum(|deal| deal.received))
    }

    /// Whatever a wallet was asked to pay has had an answer, and what it said to be under way has ended.
    pub(super) fn ended(&self, who: usize, payments: &[Payment]) -> Result<(), String> {
        if let Some((_, anchor)) = self.unanswered.iter().find(|(of, _)| *of == who) {
            return Err(format!("wallet {who} was asked to pay {anchor:?}, and says nothing"));
        }
        let ended = |anchor: &Anchor| {
            let kept = payments.iter().find(|kept| kept.anchor == *anchor);
            kept.is_some_and(|kept| kept.state != PaymentState::Pending)
        };
        let gone = self.pending.iter().find(|(of, anchor)| *of == who && !ended(anchor));
        gone.map_or(Ok(()), |(_, anchor)| {
            Err(format!("wallet {who} said that {anchor:?} is under way, and never how it ended"))
        })
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
            // The word of how a second try failed, or of a doubt, may have been lost with the process.
            let failed = |state: &PaymentState| matches!(state, PaymentState::Failed(_));
            let doubted = self.may_doubt(who) && is_unknown(payment.state);
            let again = self.asked.contains_key(&(who, *anchor)) || doubted;
            if again && failed(state) && failed(&payment.state) {
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
    }
    Ok(())
}

/// Whether its payer has its money again, and its payee as well.
pub(super) fn failed_and_arrived(paid: &Payment, payee: &[Payment]) -> bool {
    let arrived = |p: &Payment| p.way == Way::In && p.anchor == paid.anchor;
    let arrived = payee.iter().find(|p| arrived(p));
    paid.way == Way::Out
        && matches!(paid.state, PaymentState::Failed(_))
        && arrived.is_some_and(|p| p.state == PaymentState::Settled)
}

fn is_unknown(state: PaymentState) -> bool {
    matches!(state, PaymentState::Failed(Code::StateLost | Code::Recovering))
}

/// The same of wallets that forget: who has lost the state that says how a payment ended does not
/// know it, and says so.
pub(super) fn none_failed_that_arrived(payer: &[Payment], payee: &[Payment]) -> Result<(), String> {
    let mut known = payer.iter().filter(|paid| !is_unknown(paid.state));
    let wrong = known.find(|paid| failed_and_arrived(paid, payee));
    wrong.map_or(Ok(()), |paid| {
        Err(format!("{paid:?} failed for the payer, but the payee was paid, and nobody says that it is not known"))
    })
}

/// Every payment that a wallet has made has its secret, and cost what the hub's policy says: reckoned
/// here, as all else that is known of it is the wallet's word.
pub(super) fn paid_for(payer: &[Payment]) -> Result<(), String> {
    let settled = |p: &&Payment| p.way == Way::Out && p.state == PaymentState::Settled;
    for paid in payer.iter().filter(settled) {
        if paid.secret.is_none_or(|secret| anchor_of(&secret) != paid.anchor) {
            return Err(format!("{paid:?} is settled without its secret"));
        }
        if paid.fee.wide() != fee(paid.amount.wide()) {
            return Err(format!("{paid:?} has a fee of {}", paid.fee));
        }
    }
    Ok(())
}

/// The payee of each payment has what its payer gave it.
pub(super) fn arrived(payer: &[Payment], payee: &[Payment]) -> Result<(), String> {
    for paid in payer.iter().filter(|payment| payment.way == Way::Out) {
        let received = payee.iter().find(|p| p.way == Way::In && p.anchor == paid.anchor);
        if received.is_some_and(|received| received.amount != paid.amount) {
            return Err(format!("{paid:?} arrives as {received:?}"));
        }
    }
    Ok(())
}

/// A base of 1, and a hundredth, rounded up.
fn fee(amount: i128) -> i128 {
    1 + (amount + 99) / 100
}

/// What a lock of a stream costs its payer beside its steps: each step, and all of it upfront.
pub(super) fn fees_of_lock(unit: i128, steps: u32) -> (i128, i128) {
    let steps = i128::from(steps);
    let (whole, each) = (fee(unit * steps), fee(unit));
    if each * steps * 10 <= whole * 11 { (each, 0) } else { (0, whole) }
}

pub(super) fn anchor_of(secret: &Secret) -> Anchor {
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

#[cfg(test)]
mod tests {
    use super::*;
    use client_sdk::api::StreamFee;
    use settlement::types::{AssetId, Height};

    use super::super::wallet_node::FEES;

    fn payment(way: Way, amount: u64, state: PaymentState) -> Payment {
        let secret = Secret([7; 32]);
        let fee = if way == Way::Out { FEES.fee(Amount(amount)).unwrap() } else { Amount::ZERO };
        Payment {
            anchor: anchor_of(&secret),
            way,
            state,
            asset: AssetId(0),
            amount: Amount(amount),
            fee,
            peer: None,
            memo: String::new(),
            secret: Some(secret),
            lock: None,
            expires: Height(1),
            created_ms: 0,
        }
    }

    #[test]
    fn an_order_without_a_word_and_a_payment_without_an_end_are_found() {
        let under_way = payment(Way::Out, 9, PaymentState::Pending);
        let failed = Payment { state: PaymentState::Failed(Code::Expired), ..under_way.clone() };
        let mut facts = Facts::default();
        facts.ordered(0, under_way.anchor);
        assert!(facts.ended(0, &[]).is_err(), "not a word");
        assert_eq!(facts.ended(1, &[]), Ok(()));
        facts.told(0, &under_way).unwrap();
        assert!(facts.ended(0, &[]).is_err(), "forgotten");
        assert!(facts.ended(0, std::slice::from_ref(&under_way)).is_err(), "still under way");
        assert_eq!(facts.ended(0, std::slice::from_ref(&failed)), Ok(()));
        facts.told(0, &failed).unwrap();
        facts.ordered(0, under_way.anchor);
        facts.refused(0, under_way.anchor);
        facts.ordered(0, Anchor([1; 32]));
        facts.starts(0);
        assert_eq!(facts.ended(0, &[]), Ok(()), "refused, or lost with the process");
    }

    #[test]
    fn a_payment_has_its_secret_its_fee_and_its_amount() {
        let paid = payment(Way::Out, 250, PaymentState::Settled);
        assert_eq!((paid_for(std::slice::from_ref(&paid)), paid.fee), (Ok(()), Amount(4)));
        for wrong in [
            Payment { secret: None, ..paid.clone() },
            Payment { secret: Some(Secret([8; 32])), ..paid.clone() },
            Payment { fee: Amount(5), ..paid.clone() },
        ] {
            assert!(paid_for(&[wrong]).is_err());
        }
        let received = payment(Way::In, 250, PaymentState::Settled);
        assert_eq!(arrived(std::slice::from_ref(&paid), std::slice::from_ref(&received)), Ok(()));
        assert!(arrived(&[paid], &[Payment { amount: Amount(249), ..received }]).is_err());
    }

    #[test]
    fn fees_of_locks_are_reckoned_as_the_wallet_does() {
        for (unit, steps) in [(1, 2), (99, 40), (100, 59), (199, 3), (5_000, 2), (100_000, 60)] {
            let wallet = match FEES.stream(Amount(unit), steps).unwrap() {
                StreamFee::PerStep(fee) => (fee.wide(), 0),
                StreamFee::Upfront(fee) => (0, fee.wide()),
            };
            assert_eq!(fees_of_lock(i128::from(unit), steps), wallet, "{unit} x {steps}");
        }
    }
}
