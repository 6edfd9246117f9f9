//! Following the ledger, and what must be brought before it.
//!
//! Everything here works from the blocks alone: a wallet whose hub has gone away, or lies, still
//! gets what it is owed as long as it sees blocks in time.

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::channel::{Duty, Phase, Step};
use settlement::reject::Code;
use settlement::types::{Anchor, ChannelId, Height};

use super::core::Turn;
use super::lost::{is_forgotten_close, show_loss};
use super::state::Followed;
use super::{Action, Event, Payment, PaymentState, Record, Wallet};

/// How long after its start a wallet waits to meet its hub, or for a fresh view, before it closes
/// on what it holds.
pub(super) const MEET_MS: u64 = 60_000;

/// A block that says nothing about the wallet is not worth a write: how far it has followed is
/// recorded at least this often, in blocks. After a restart it looks at a few of them again.
pub const FOLLOW_STRIDE: u64 = 32;

impl Wallet {
    pub(super) fn follow(&mut self, turn: &mut Turn, block: &BlockEvents) {
        let header = &block.header.header;
        if header.ledger != self.ledger {
            let detail = format!("a block of ledger {}, not of {}", header.ledger, self.ledger);
            return turn.refuse(Code::WrongLedger, detail, None);
        }
        let first = self.seen.height == Height(0) && self.state.channels.is_empty();
        let next = self.seen.height.after(1);
        if header.height < next {
            return;
        }
        if header.height > next && !first {
            let detail = format!("block {} came where {next} is next", header.height);
            return turn.refuse(Code::LedgerUnavailable, detail, None);
        }
        self.seen = Followed { height: header.height, time_ms: header.time_ms };
        self.newest = Some(block.header);
        let mut ours = false;
        for event in &block.events {
            ours |= self.follow_event(turn, event);
        }
        let recorded = self.state.followed.height;
        if ours || header.height >= recorded.after(FOLLOW_STRIDE) {
            let Followed { height, time_ms } = self.seen;
            self.commit(turn, Record::Followed { height, time_ms });
        }
        if self.fresh_from.is_none() && self.view(turn.now_ms).fresh {
            self.fresh_from = Some(self.seen.height);
        }
        for id in self.channel_ids() {
            self.leap(turn, id);
            self.guard(turn, id);
            self.drop_stale_wanted(turn, id);
            self.attend(turn, id);
        }
        self.end_invoices(turn);
        self.tell_of_locks_out_of_reach(turn);
    }

    /// Whether the event is about this wallet.
    fn follow_event(&mut self, turn: &mut Turn, event: &LedgerEvent) -> bool {
        let Some(id) = event.channel() else { return false };
        if let LedgerEvent::Opened { terms, deposit } = event {
            let mine =
                (terms.ledger, terms.wallet, terms.hub) == (self.ledger, self.me, self.config.hub);
            if mine && !self.state.channels.contains_key(&id) {
                self.commit(turn, Record::Opened { terms: *terms, deposit: *deposit });
                turn.tell(Event::Channel(id));
                self.meet(turn, id);
                if self.is_before_start(self.seen.time_ms) {
                    self.lose(turn, id);
                }
            }
            return mine;
        }
        let Some(channel) = self.channel(&id) else { return false };
        let (phase, steps) = (channel.phase(), channel.follow(event, self.seen.height));
        let forgotten = is_forgotten_close(channel, event);
        let lost = forgotten || show_loss(channel, &steps);
        // Recorded first: to a restart what was followed shows nothing new.
        if forgotten {
            self.doubt_all(turn, id);
        }
        if lost {
            self.doubt_invoices(turn, id);
            self.lose_all_but(turn, id);
        }
        for step in steps {
            self.step(turn, id, step);
        }
        // A change of phase has told the user already.
        if self.channel(&id).is_some_and(|channel| channel.phase() == phase) {
            turn.tell(Event::Channel(id));
        } else {
            self.link(id).submitted = None;
        }
        true
    }

    /// Whether an earlier life of this wallet may have used a channel that was opened at this time of
    /// the ledger's: it was before this process started, by whichever clock.
    fn is_before_start(&self, time_ms: u64) -> bool {
        let started_ms = self.meet_by_ms.saturating_sub(MEET_MS);
        time_ms.saturating_add(self.config.policy.stale_view_ms) < started_ms
    }

    /// What time and blocks do to a channel: agreements lapse, locks expire, and what is owed is
    /// fetched from the ledger before it is too late.
    pub(super) fn guard(&mut self, turn: &mut Turn, id: ChannelId) {
        let now = self.now(turn.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        let mut steps: Vec<Step> = channel.lapse(&now).into_iter().collect();
        steps.extend(self.expire(channel, &now));
        for step in steps {
            self.note_expired(turn, id, &step);
            self.step(turn, id, step);
        }
        self.redeem_late(turn, id);
        let now = self.now(turn.now_ms);
        let Some(channel) = self.channel(&id) else { return };
        let Some(duty) = channel.duty(&now) else { return };
        let met = self.links.get(&id).is_some_and(|link| link.met);
        if !met && turn.now_ms < self.meet_by_ms && channel.may_wait_to_meet(&now) {
            return;
        }
        let delay = self.config.policy.inclusion_delay.max(1);
        let submitted = self.links.get(&id).and_then(|link| link.submitted);
        if submitted.is_some_and(|at| self.seen.height < at.after(delay)) {
            return;
        }
        let close = duty == Duty::CloseAndClaim;
        let phase = self.channel(&id).map(|channel| channel.phase());
        if close && phase != Some(Phase::ClosingSoon) {
            self.step(turn, id, Step::Closing);
        }
        self.submit(turn, id, close);
    }

    /// Brings everything that this side has before the ledger.
    pub(super) fn submit(&mut self, turn: &mut Turn, id: ChannelId, close: bool) {
        let height = self.seen.height;
        self.link(id).submitted = Some(height);
        if let Some(channel) = self.channel(&id) {
            turn.act(Action::Submit(Box::new(channel.submission(close, height))));
        }
    }

    /// Payments in that nobody can make any more: their invoice has run out, and no lock of theirs
    /// is pending. What others have asked for is forgotten then: it would stay for good, and they
    /// may ask for as much as they like.
    fn end_invoices(&mut self, turn: &mut Turn) {
        let height = self.seen.height;
        let over = self.state.awaited.iter().take_while(|(expires, _)| *expires < height);
        let over: Vec<Anchor> = over.map(|(_, anchor)| *anchor).collect();
        for anchor in over {
            let payment = self.state.payments.get(&anchor).filter(|_| !self.is_pending(&anchor));
            let Some(payment) = payment.cloned() else { continue };
            if payment.is_asked_for() {
                self.forget(turn, payment, Code::InvoiceExpired);
                continue;
            }
            let invoiced = payment.lock.is_none();
            let code = if invoiced { Code::InvoiceExpired } else { Code::Expired };
            let state = PaymentState::Failed(code);
            self.commit(turn, Record::Payment(Payment { state, ..payment }));
        }
    }

    /// Whether a lock to this anchor stands where it can still be paid.
    pub(super) fn is_pending(&self, anchor: &Anchor) -> bool {
        let open = self.channels().filter(|it| !matches!(it.phase(), Phase::Closed { .. }));
        let mut locks = open.flat_map(|channel| channel.incoming().tally.locks.iter());
        locks.any(|lock| lock.anchor == *anchor)
    }
}
