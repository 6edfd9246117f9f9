//! What an old copy of a disk excuses: where those who know better were not met in time, what was
//! forgotten may be gone. All else is held to the unit.

use client_sdk::wallet::Payment;
use settlement::channel::Channel;
use settlement::reject::Code;

use super::liar::HUB;
use super::{World, check};

impl World {
    pub(super) fn note_all(&mut self, payments: &[Vec<Payment>; 2]) {
        for (who, payments) in payments.iter().enumerate() {
            payments.iter().for_each(|payment| self.facts.note_last(who, payment));
        }
    }

    /// Everything has arrived: whoever is connected has met.
    pub(super) fn note_who_is_back(&mut self) {
        let back = [0, 1].map(|who| self.net.is_connected(who) && self.is_agreed(who));
        (0..2).filter(|who| back[*who]).for_each(|who| self.loss.is_back(who));
    }

    /// Whether both sides of a channel hold the same, in both directions.
    fn is_agreed(&self, who: usize) -> bool {
        let sides = (self.channel_at(HUB, who), self.channel_at(who + 1, who));
        let (Some(hub), Some(wallet)) = sides else { return false };
        let same = |from: &Channel, at: &Channel| {
            let newest = from.outgoing().accepted.seq;
            newest == at.incoming().tally.seq && from.suspended() != Some(Code::StateLost)
        };
        same(hub, wallet) && same(wallet, hub)
    }

    /// Whether a wallet may have so much more than payments say, or less, because a channel was
    /// closed on the ledger before its sides had met again. A hub that has forgotten proofs can't
    /// bring them, so the wallet may gain what it had paid. A wallet that is restored, and then out of reach until its
    /// or the hub's deadlines, has nothing but its copy to bring, and what it has forgotten to claim
    /// it can't claim: it may lose what it dealt in, and no more. (Here nobody anchors.)
    pub(super) fn may_differ(&self, who: usize, given: i128) -> bool {
        let early = self.closed_early[who];
        if given == 0 {
            return false;
        }
        if self.loss.of_wallets() {
            let (out, received) = self.facts.unsure(who);
            let unsure = (-out..=received).contains(&given);
            return unsure || early && given.abs() <= self.facts.dealt(who);
        }
        early && given > 0 && given <= self.paid_unseen(who)
    }

    /// What a wallet has paid that its hub may have forgotten and not learned of again.
    fn paid_unseen(&self, who: usize) -> i128 {
        let payments = self.payments(who);
        let unseen = payments.iter().filter(|paid| self.loss.excuses(self.facts.begun_ms(paid)));
        let unseen: Vec<Payment> = unseen.cloned().collect();
        check::moved(&unseen).0 + self.streamed_unseen(who)
    }

    /// What settled payments and streams moved for a wallet. One that has forgotten some is told by others.
    pub(super) fn moved(&self, who: usize, payments: &[Payment]) -> (i128, i128) {
        if self.loss.of_wallets() {
            return self.facts.moved(who);
        }
        let (payments, streams) = (check::moved(payments), self.streamed(who));
        (payments.0 + streams.0, payments.1 + streams.1)
    }

    /// Payer and payee agree about each payment that neither has forgotten. Where a hub has forgotten some,
    /// and could not take a channel back for long, the payer may have its money again: the hub has paid it
    /// then.
    pub(super) fn check_agreement(&mut self, payments: &[Vec<Payment>; 2]) -> Result<(), String> {
        for payer in 0..2 {
            let (out, received) = (&payments[payer], &payments[1 - payer]);
            if self.loss.of_wallets() {
                check::none_failed_that_arrived(out, received)?;
                continue;
            }
            let forgotten = |paid: &&Payment| {
                self.loss.excuses(self.facts.begun_ms(paid))
                    && check::failed_and_arrived(paid, received)
            };
            let (gone, kept): (Vec<&Payment>, Vec<&Payment>) = out.iter().partition(forgotten);
            let kept: Vec<Payment> = kept.into_iter().cloned().collect();
            self.report.forgotten += gone.len() as u64;
            check::agree(&kept, received)?;
            check::arrived(out, received)?;
        }
        Ok(())
    }
}
