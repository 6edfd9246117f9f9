//! ⚔ The money of a lock is back only when the lock is gone: in no unretired proof, accepted or
//! refused, or expired. Every order in which the answers can come, true or not, is tried.

use std::collections::{BTreeMap, HashSet};

use super::drafts::draft;
use super::pair::{HUB, Pair, START, WALLET, add, secret};
use crate::channel::{Channel, Effect, Flight, Step};
use crate::crypto::BatchCache;
use crate::reject::Code;
use crate::types::Height;

const EXPIRY: u64 = START + 450;
const ID: u64 = 1;

/// What can happen to the sender of a lock.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// The update in flight is accepted, or the other side says so.
    Ack,
    /// It is refused, or the other side says so.
    Reject,
    /// The refused update is said to be accepted after all.
    AckRefused,
    /// The sender makes what is due: a settlement, a drop, or nothing but an acknowledgment.
    Propose,
    /// The receiver gives the lock up.
    Fail,
    /// The receiver's update acknowledges the newest proof that was not refused.
    AcknowledgeTip,
    /// It acknowledges the newest accepted proof.
    AcknowledgeAccepted,
    /// The ledger comes to the lock's expiry.
    Expire,
    /// The receiver shows the secret.
    Reveal,
}

use Event::*;
const EVENTS: [Event; 9] =
    [Ack, Reject, AckRefused, Propose, Fail, AcknowledgeTip, AcknowledgeAccepted, Expire, Reveal];

/// What the protocol's text says about the lock, from what was signed and heard alone.
#[derive(Clone, Default, Debug, PartialEq, Eq, Hash)]
struct Book {
    /// Each signed proof, and whether the lock stands in it.
    signed: BTreeMap<u64, bool>,
    retired_below: u64,
    expired: bool,
    known: bool,
    told: bool,
}

impl Book {
    fn standing(&self) -> bool {
        self.signed.range(self.retired_below..).any(|(_, stands)| *stands)
    }

    fn gone(&self) -> bool {
        self.expired || !self.standing()
    }

    fn note(&mut self, event: Event, sent: Option<&Flight>, effects: &[Effect]) {
        if let Some(flight) = sent {
            self.signed.insert(flight.proof.seq, flight.after.lock(ID).is_some());
        }
        let learned = effects.iter().any(|it| matches!(it, Effect::SecretLearned { .. }));
        if event == Reveal && !self.told && !self.expired && self.standing() && !self.known {
            assert!(learned, "a secret in time is learned: {self:?}");
            self.known = true;
        } else {
            assert!(!learned, "{self:?}");
        }
        for effect in effects {
            if let Effect::LockGone { id: ID, .. } = effect {
                assert!(self.gone(), "the money is back while the lock stands: {self:?}");
                assert!(!self.known, "the money is back though the secret is known: {self:?}");
                assert!(!self.told, "the money is back twice: {self:?}");
                self.told = true;
            }
        }
        let back = self.gone() && !self.known;
        assert_eq!(back, self.told, "what is gone is told at once: {self:?}");
    }
}

/// Lets the event happen to the wallet. `None` where it can't.
fn happen(pair: &mut Pair, event: Event, book: &mut Book) -> Option<()> {
    let before = pair.wallet.effects.len();
    let out = pair.wallet.channel.outgoing().clone();
    let mut sent = None;
    match event {
        Ack => drop(pair.wallet.commit(Step::Acked { seq: out.in_flight?.proof.seq })),
        Reject => {
            let seq = out.in_flight?.proof.seq;
            pair.wallet.commit(Step::Rejected { seq, code: Code::StaleView });
        }
        AckRefused => {
            let seq = out.refused.last()?.flight.proof.seq;
            pair.wallet.commit(Step::Acked { seq });
        }
        Propose => {
            out.in_flight.is_none().then_some(())?;
            pair.wallet.propose(&[]);
            sent = Some(pair.wallet.channel.outgoing().in_flight.clone()?);
        }
        Fail => pair.wallet.hear_fail(ID, Code::RefusedByPayee).then_some(())?,
        AcknowledgeTip => acknowledge(pair, out.tip().seq, book)?,
        AcknowledgeAccepted => acknowledge(pair, out.accepted.seq, book)?,
        Expire => {
            (!book.expired).then_some(())?;
            pair.wallet.view.height = Height(EXPIRY);
            pair.wallet.expire();
            book.expired = !book.known;
        }
        Reveal => pair.wallet.hear_reveal(ID, &secret(1, 1, 1)).ok()?.then_some(())?,
    }
    book.note(event, sent.as_deref(), &pair.wallet.effects[before..]);
    Some(())
}

/// The hub signs an update that says what it has of the wallet's.
fn acknowledge(pair: &mut Pair, seq: u64, book: &mut Book) -> Option<()> {
    (seq > book.retired_below).then_some(())?;
    // The wallet's direction as the hub says it has it: the hub need not tell the truth.
    let mut draft = draft(pair, HUB, vec![]);
    draft.proof.peer_seq = seq;
    let update = draft.sign(&pair.hub);
    let peer = crate::crypto::VerifyingKey::parse(&pair.hub.key.public()).ok()?;
    let verified =
        crate::channel::VerifiedUpdate::check(update, &peer, &mut BatchCache::new(0)).ok()?;
    match pair.wallet.channel.check_update(&verified, &pair.wallet.now()).ok()? {
        crate::channel::Received::New(step) => pair.wallet.commit(step),
        crate::channel::Received::Again => return None,
    };
    book.retired_below = seq;
    Some(())
}

/// Tries each event in each state that `depth` events can lead to.
fn explore(depth: usize) -> usize {
    let mut pair = Pair::new();
    pair.wallet.propose(&[add(1, 10)]);
    let book = Book { signed: BTreeMap::from([(1, true)]), ..Book::default() };
    let mut states = vec![(pair.wallet.channel.clone(), book, vec![])];
    let mut seen = HashSet::new();
    let mut tried = 0;
    for _ in 0..depth {
        let mut next: Vec<(Channel, Book, Vec<Event>)> = Vec::new();
        for (channel, book, way) in states {
            for event in EVENTS {
                pair.wallet.channel = channel.clone();
                let height = if book.expired { EXPIRY } else { START };
                pair.wallet.view.height = Height(height);
                let (mut book, mut way) = (book.clone(), way.clone());
                way.push(event);
                let attempt = std::panic::AssertUnwindSafe(|| happen(&mut pair, event, &mut book));
                let outcome = std::panic::catch_unwind(attempt);
                tried += 1;
                match outcome {
                    Err(_) => panic!("after {way:?}"),
                    Ok(None) => {}
                    Ok(Some(())) => {
                        let state = (crate::encoding::encode(&pair.wallet.channel), book.clone());
                        if seen.insert(state) {
                            next.push((pair.wallet.channel.clone(), book, way));
                        }
                    }
                }
            }
        }
        states = next;
    }
    tried
}

#[test]
fn no_order_of_answers_gives_a_lock_back_that_is_not_gone() {
    assert!(explore(10) > 5_000);
}

/// The ways that a lock's money comes back, step by step.
#[test]
fn table_of_ways_back() {
    let table: [(&[Event], bool); 12] = [
        (&[Ack, Fail], false),
        (&[Ack, Fail, Propose], false),
        (&[Ack, Fail, Propose, Ack], false),
        (&[Ack, Fail, Propose, Ack, AcknowledgeAccepted], true),
        (&[Ack, Fail, Propose, AcknowledgeTip], true),
        (&[Ack, Fail, Propose, AcknowledgeAccepted], false),
        (&[Reject], false),
        (&[Reject, Propose, Ack], false),
        (&[Reject, Propose, Ack, AcknowledgeAccepted], true),
        (&[Reject, AckRefused, Fail], false),
        (&[Reject, Expire], true),
        (&[Ack, Reveal, Expire], false),
    ];
    for (events, back) in table {
        let mut pair = Pair::new();
        pair.wallet.propose(&[add(1, 10)]);
        let mut book = Book { signed: BTreeMap::from([(1, true)]), ..Book::default() };
        for event in events {
            happen(&mut pair, *event, &mut book)
                .unwrap_or_else(|| panic!("{event:?} of {events:?}"));
        }
        assert_eq!(!pair.wallet.gone().is_empty(), back, "{events:?}");
        assert!(WALLET != HUB && book.told == back);
    }
}
