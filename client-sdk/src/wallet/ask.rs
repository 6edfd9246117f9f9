//! Asking another wallet for an invoice, and answering who asks.
//!
//! Both go by the relay, so the hub learns that the two talk, when, and how much. A message may be
//! lost: who asks says it again each second until it is answered or nobody waits any more.
//!
//! - **An answer is checked before it is believed**: it is an invoice of the wallet that was asked, for
//!   just what was asked, on this ledger. Nothing is paid by asking.
//! - **A wallet answers nobody until it is told to** ([`AnswerTerms`]): else strangers would have it
//!   keep payments in mind that never come. It then keeps [`WAITING_MAX`] at a time that are not paid,
//!   [`WAITING_EACH`] for one payer, and opens [`STRANGERS_MAX`] messages a second of wallets that it
//!   has no stream with, [`STRANGER_EACH`] of one. Beyond, whoever asks hears that it is too much, or
//!   nothing.
//! - **Who asks and never pays keeps nobody out**: when all places are taken, the oldest invoice of
//!   whoever has most makes room for who has none. The places are shared by wallets, not by
//!   questions, and each wallet that a thief asks with costs it a channel. An invoice that makes room
//!   is forgotten: no lock has come for it, and one that comes later is declined with
//!   [`Code::UnknownInvoice`] and is its payer's again. A shorter life would help less: who wants to
//!   keep others out asks again as soon as it is over, and who pays by hand finds it over.
//! - **A question that comes again gets the same invoice** while that can be paid, so a hub that says
//!   one again has no more payments kept for it. Later it counts as a new one: no secret is used
//!   twice, since each follows from randomness that was fresh when the wallet began to answer, and
//!   from how many it has made since.
//! - **What nobody has paid is forgotten** as soon as nobody can (module `follow`).

use std::collections::{BTreeMap, VecDeque};

use settlement::crypto::{Tag, digest};
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, PublicKey, Secret};

use super::core::Turn;
use super::pay::{Refusal, refusal};
use super::{Command, Event, Payment, PaymentState, Record, Wallet, Way};
use crate::invoice::{Invoice, MEMO_MAX};
use crate::relay::{AskId, Body};

/// How many questions of a wallet wait for an answer at a time.
const ASKING_MAX: usize = 1_024;
/// After this long without an answer a question is said again.
const AGAIN_MS: u64 = 1_000;
/// How many invoices that were asked for and not paid a wallet keeps, of all payers and of one.
const WAITING_MAX: usize = 64;
const WAITING_EACH: usize = 4;
/// How many messages of strangers a wallet that answers opens within a second, of all and of one.
const STRANGERS_MAX: u32 = 64;
const STRANGER_EACH: u32 = 4;
/// An invoice's text is shorter.
const TEXT_MAX: usize = 1_023;

/// For what a wallet gives invoices to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerTerms {
    /// The most for one, in base units.
    pub amount_max: Amount,
    /// For how many blocks one can be paid.
    pub life_blocks: u64,
}

impl AnswerTerms {
    /// Up to so much each, to be paid within 1,500 blocks.
    pub fn up_to(amount_max: Amount) -> AnswerTerms {
        AnswerTerms { amount_max, life_blocks: 1_500 }
    }
}

/// A question for an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Fresh randomness that names it.
    pub ask: AskId,
    /// Which wallet is asked.
    pub payee: PublicKey,
    /// Of which asset.
    pub asset: AssetId,
    /// How much.
    pub amount: Amount,
    /// What for, at most 256 bytes.
    pub memo: String,
    /// How long an answer is waited for.
    pub patience_ms: u64,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) asset: AssetId,
    pub(super) amount: Amount,
    pub(super) memo: String,
}

/// How a question stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// No answer yet.
    Waiting,
    /// The invoice's text, which is for what was asked; or why there is none.
    Answered(Result<String, Code>),
    /// It was not asked, or nobody waits for an answer any more.
    Unknown,
}

/// Both sides of it; nothing of it outlives the process.
#[derive(Debug, Default)]
pub(super) struct Asks {
    own: BTreeMap<AskId, Question>,
    answering: Option<Answering>,
}

#[derive(Debug)]
struct Question {
    payee: PublicKey,
    wish: Wish,
    said_ms: u64,
    until_ms: u64,
    answer: Option<Result<String, Code>>,
}

#[derive(Debug)]
struct Answering {
    terms: AnswerTerms,
    seed: Secret,
    /// How many secrets were made of it.
    made: u64,
    /// What was given out and is not paid, oldest first.
    waiting: VecDeque<Given>,
    /// Messages of strangers that were opened in this second.
    opened: Opened,
}

/// How many messages were opened in one second, and whose.
#[derive(Clone, Debug, Default)]
struct Opened {
    second: u64,
    all: u32,
    each: BTreeMap<PublicKey, u32>,
}

impl Opened {
    /// Whether one more is, which counts then. So there are no more senders than messages.
    fn takes(&mut self, second: u64, from: &PublicKey) -> bool {
        if self.second != second {
            *self = Opened { second, ..Opened::default() };
        }
        let before = self.each.get(from).copied().unwrap_or(0);
        let taken = self.all < STRANGERS_MAX && before < STRANGER_EACH;
        if taken {
            self.all = self.all.saturating_add(1);
            self.each.insert(*from, before.saturating_add(1));
        }
        taken
    }
}

impl Answering {
    fn next_secret(&mut self) -> Secret {
        self.made = self.made.saturating_add(1);
        Secret(digest(Tag::Asked, &(self.seed, self.made)).0)
    }
}

#[derive(Debug)]
struct Given {
    payer: PublicKey,
    payment: Anchor,
    /// The question and the invoice's text; not known of what was given before a restart.
    answer: Option<(AskId, String)>,
}

impl Wallet {
    /// Asks another wallet for an invoice.
    pub(super) fn ask(&mut self, turn: &mut Turn, asked: Ask) -> Result<(), Refusal> {
        let Ask { ask, payee, asset, amount, memo, patience_ms } = asked;
        self.check_asset(asset)?;
        if payee == self.me {
            return refusal(Code::PaymentToSelf, Code::PaymentToSelf.title());
        }
        if amount == Amount::ZERO {
            return refusal(Code::ZeroAmount, "a payment moves at least 1");
        }
        if memo.len() > MEMO_MAX {
            return refusal(Code::BadArgument, format!("a memo has at most {MEMO_MAX} bytes"));
        }
        if !self.connected {
            return refusal(Code::HubUnavailable, "this wallet is not connected to its hub");
        }
        if self.asks.own.len() >= ASKING_MAX {
            return refusal(Code::Overloaded, "too many questions wait for an answer");
        }
        let wish = Wish { asset, amount, memo };
        let until_ms = turn.now_ms.saturating_add(patience_ms);
        let question = Question { payee, wish, said_ms: turn.now_ms, until_ms, answer: None };
        let body = question.body(ask);
        self.asks.own.insert(ask, question);
        self.relay(turn, &payee, &body);
        Ok(())
    }

    /// How a question stands.
    pub fn asked(&self, ask: &AskId) -> Asked {
        match self.asks.own.get(ask).map(|question| question.answer.clone()) {
            None => Asked::Unknown,
            Some(None) => Asked::Waiting,
            Some(Some(answer)) => Asked::Answered(answer),
        }
    }

    /// From now on whoever asks is answered so, or not at all.
    pub(super) fn answer_asks(&mut self, seed: Secret, terms: Option<AnswerTerms>) {
        let before = self.asks.answering.take().zip(terms);
        // What was given out counts on.
        self.asks.answering = match before {
            Some((answering, terms)) => Some(Answering { terms, ..answering }),
            None => terms.map(|terms| {
                let (made, waiting, opened) = (0, self.given_before(), Opened::default());
                Answering { terms, seed, made, waiting, opened }
            }),
        };
    }

    /// What was given out in an earlier life and is not paid.
    fn given_before(&self) -> VecDeque<Given> {
        let awaited = self.state.awaited.iter();
        let payments = awaited.filter_map(|(_, anchor)| self.state.payments.get(anchor));
        let mut given: Vec<&Payment> = payments.filter(|payment| payment.is_asked_for()).collect();
        given.sort_by_key(|payment| (payment.created_ms, payment.anchor));
        let given = given.into_iter().filter_map(|payment| {
            Some(Given { payer: payment.peer?, payment: payment.anchor, answer: None })
        });
        given.collect()
    }

    /// Whether a message of a wallet that there is no stream with is worth opening.
    pub(super) fn hears_stranger(&mut self, turn: &Turn, from: &PublicKey) -> bool {
        let asked = |question: &Question| question.payee == *from && question.answer.is_none();
        if self.asks.own.values().any(asked) {
            return true;
        }
        let Some(answering) = &mut self.asks.answering else { return false };
        answering.opened.takes(turn.now_ms / 1_000, from)
    }

    /// Another wallet asks for an invoice.
    pub(super) fn hear_ask(&mut self, turn: &mut Turn, payer: PublicKey, ask: AskId, wish: Wish) {
        let body = match self.invoice_for(turn, payer, ask, wish) {
            Ok(Some(invoice)) => Body::Invoice { ask, invoice },
            Ok(None) => return,
            // What may be otherwise a moment later is said; else it is enough that it is not taken.
            Err((code, _)) if code.retryable() => Body::Declined { ask, code },
            Err(_) => Body::Declined { ask, code: Code::RefusedByPayee },
        };
        self.relay(turn, &payer, &body);
    }

    fn invoice_for(
        &mut self,
        turn: &mut Turn,
        payer: PublicKey,
        ask: AskId,
        wish: Wish,
    ) -> Result<Option<String>, Refusal> {
        if self.asks.answering.is_none() {
            return Ok(None);
        }
        self.forget_given();
        if let Some(invoice) = self.given_for(&payer, ask) {
            return Ok(Some(invoice));
        }
        let gives_way = self.place_for(&payer)?;
        let Some(answering) = &mut self.asks.answering else { return Ok(None) };
        if wish.amount > answering.terms.amount_max {
            return refusal(Code::BadArgument, "it asks for more than is taken at a time");
        }
        let life_blocks = answering.terms.life_blocks;
        let secret = answering.next_secret();
        let Wish { asset, amount, memo } = wish;
        let made = Command::Invoice { secret, asset, amount, life_blocks, memo };
        let (invoice, payment) = self.invoice(turn, made, Some(payer))?;
        // Not before: a question that gets no invoice takes nobody's away.
        let gives_way = gives_way.and_then(|anchor| self.state.payments.get(&anchor).cloned());
        if let Some(gives_way) = gives_way {
            self.forget(turn, gives_way, Code::Overloaded);
        }
        let given = Given { payer, payment, answer: Some((ask, invoice.clone())) };
        if let Some(answering) = &mut self.asks.answering {
            answering.waiting.push_back(given);
        }
        Ok(Some(invoice))
    }

    /// Counts no more what was given out and is paid, or can't be.
    fn forget_given(&mut self) {
        let payments = &self.state.payments;
        let pending = |payment: &Payment| payment.state == PaymentState::Pending;
        if let Some(answering) = &mut self.asks.answering {
            answering.waiting.retain(|given| payments.get(&given.payment).is_some_and(pending));
        }
    }

    /// The invoice that this question got before.
    fn given_for(&self, payer: &PublicKey, ask: AskId) -> Option<String> {
        let waiting = &self.asks.answering.as_ref()?.waiting;
        let mut answers = waiting.iter().filter(|given| given.payer == *payer);
        answers.find_map(|given| {
            let (asked, invoice) = given.answer.as_ref()?;
            (*asked == ask).then(|| invoice.clone())
        })
    }

    /// Whether there is a place for one invoice more of this payer's; where one has to make room for
    /// it, which.
    fn place_for(&self, payer: &PublicKey) -> Result<Option<Anchor>, Refusal> {
        let Some(answering) = &self.asks.answering else { return Ok(None) };
        let all = answering.waiting.len();
        let of_payer = answering.waiting.iter().filter(|given| given.payer == *payer).count();
        let gives_way = match (of_payer, all) {
            (0..WAITING_EACH, 0..WAITING_MAX) => return Ok(None),
            (0, _) => self.gives_way(&answering.waiting),
            _ => None,
        };
        let full =
            (Code::Overloaded, "too many invoices that were asked for are unpaid".to_owned());
        gives_way.map(Some).ok_or(full)
    }

    /// The oldest invoice of whoever has most, of those that no lock has come for.
    fn gives_way(&self, waiting: &VecDeque<Given>) -> Option<Anchor> {
        let unpaid = waiting.iter().filter(|given| !self.is_pending(&given.payment));
        let unpaid: Vec<&Given> = unpaid.collect();
        let has = |payer: &PublicKey| unpaid.iter().filter(|given| given.payer == *payer).count();
        let most = unpaid.iter().map(|given| has(&given.payer)).max()?;
        let oldest = unpaid.iter().find(|given| has(&given.payer) == most);
        oldest.map(|given| given.payment)
    }

    /// Forgets an invoice that was asked for: no lock for it is there, and none is taken from now on.
    /// The user hears how it has ended.
    pub(super) fn forget(&mut self, turn: &mut Turn, payment: Payment, code: Code) {
        self.commit(turn, Record::Forgotten(payment.anchor));
        turn.tell(Event::Payment(Payment { state: PaymentState::Failed(code), ..payment }));
    }

    /// The wallet that was asked has answered.
    pub(super) fn hear_answer(
        &mut self,
        from: PublicKey,
        ask: &AskId,
        answer: Result<String, Code>,
    ) {
        let (ledger, hub) = (self.ledger, self.config.hub);
        let Some(question) = self.asks.own.get_mut(ask) else { return };
        if question.payee != from || question.answer.is_some() {
            return;
        }
        let fits = |invoice: Invoice| {
            let Wish { asset, amount, ref memo } = question.wish;
            (invoice.ledger, invoice.payee) == (ledger, from)
                && (invoice.asset, invoice.amount, &invoice.memo) == (asset, amount, memo)
                && invoice.hub.is_none_or(|named| named == hub)
        };
        question.answer = Some(answer.and_then(|text| {
            let invoice = if text.len() > TEXT_MAX { None } else { Invoice::parse(&text).ok() };
            if invoice.is_some_and(fits) { Ok(text) } else { Err(Code::BadInvoice) }
        }));
    }

    /// Says again what was not answered, and forgets what nobody waits for.
    pub(super) fn tick_asks(&mut self, turn: &mut Turn) {
        let now_ms = turn.now_ms;
        self.asks.own.retain(|_, question| question.until_ms > now_ms);
        let due = |question: &Question| {
            question.answer.is_none() && question.said_ms.saturating_add(AGAIN_MS) <= now_ms
        };
        let mut again = Vec::new();
        for (ask, question) in self.asks.own.iter_mut().filter(|(_, question)| due(question)) {
            question.said_ms = now_ms;
            again.push((question.payee, question.body(*ask)));
        }
        for (payee, body) in again {
            self.relay(turn, &payee, &body);
        }
    }
}

impl Payment {
    /// Whether it is an invoice that another wallet has asked for and that no lock was taken for: one
    /// of the user's own names nobody, and who pays unasked comes with a lock.
    pub(super) fn is_asked_for(&self) -> bool {
        self.way == Way::In && self.lock.is_none() && self.peer.is_some()
    }
}

impl Question {
    fn body(&self, ask: AskId) -> Body {
        let Wish { asset, amount, memo } = self.wish.clone();
        Body::Ask { ask, asset, amount, memo }
    }
}
