//! A side that may have forgotten what it has signed for the ledger.

use super::drafts::{lock, pay_op, try_ops};
use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, add, pay, secret};
use crate::block::LedgerEvent;
use crate::channel::recover::LEAP;
use crate::channel::{Channel, Hold, Phase, Step, leapt_at};
use crate::encoding::{decode, encode};
use crate::proof::Withdrawal;
use crate::reject::Code;
use crate::types::{Amount, ChannelId, Height, Role};
use crate::update::{Destination, Op, Payload};

/// The last height at which something may be carried that was signed before a process started whose
/// first fresh view is of height [`START`].
const LAST: u64 = START + 2 * LAG + 100;

impl Pair {
    /// `role` knows that it has lost state, whatever is shown to it.
    fn lose(&mut self, role: Role) {
        let side = self.of(role);
        let step = side.channel.lose().expect("it is open");
        side.commit(step);
    }

    fn leap_at(&mut self, role: Role, height: u64) {
        self.at(height);
        let side = self.of(role);
        let step = side.channel.leap(Height(START), &side.now()).expect("it may leap");
        side.commit(step);
        for outcome in self.meet() {
            assert_eq!(outcome.lost, None);
        }
    }
}

fn withdrawal(channel: ChannelId, role: Role, total: u64, valid_until: u64) -> Withdrawal {
    let valid_until = Height(valid_until);
    Withdrawal { channel, role, total_withdrawn: Amount(total), valid_until }
}

/// What each side has to lose by it, in turn: the other side's withdrawal and the close of both are
/// signed in the newest view that was possible, for as long as is possible, and carried at the end.
#[test]
fn what_is_forgotten_takes_nothing_whenever_it_is_carried() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        let before = pair.of(role).channel.clone();
        // The first fresh view after the start is `lag` blocks behind the one it was signed in.
        pair.at(START + LAG);
        let all = withdrawal(pair.id(), role.other(), DEPOSIT, LAST);
        let side = pair.of(role);
        let agreed = side.channel.agree_withdrawal(&all, &side.now());
        assert!(agreed.is_ok(), "{agreed:?}");
        let later = Withdrawal { valid_until: Height(LAST + 1), ..all };
        assert_eq!(side.channel.agree_withdrawal(&later, &side.now()), Err(Code::TooLate));

        side.channel = before;
        pair.lose(role);
        assert_eq!(try_ops(&mut pair, role.other(), vec![]), Err(Code::ChannelSuspended));
        pair.leap_at(role, START + LAG + 1);
        for height in [START + LAG + 1, LAST] {
            pair.at(height);
            for op in [pay_op(1), added(1)] {
                assert_eq!(try_ops(&mut pair, role.other(), vec![op]), Err(Code::Recovering));
            }
            assert_eq!(pair.of(role).wait_out(START), None);
        }
        let event = LedgerEvent::Withdrawn {
            channel: pair.id(),
            role: role.other(),
            total: Amount(DEPOSIT),
        };
        pair.of(role).follow(&event);
        assert_eq!(pair.of(role).channel.suspended(), None, "nobody has overdrawn");
        pair.at(LAST + 1);
        assert_eq!(pair.of(role).wait_out(START), Some(Step::WaitedOut));
        assert!(!pair.of(role).channel.waits_out());
        assert_eq!(try_ops(&mut pair, role.other(), vec![pay_op(1)]), Err(Code::Overdraft));
        pair.of(role).assert_replays();
    }
}

fn added(id: u64) -> Op {
    let to = Destination { hub: None, wallet: crate::types::PublicKey([2; 33]) };
    Op::Add { lock: lock(id), to, payload: Payload::default() }
}

impl super::pair::Side {
    fn wait_out(&mut self, fresh_from: u64) -> Option<Step> {
        let step = self.channel.wait_out(Height(fresh_from), &self.now())?;
        self.commit(step.clone());
        Some(step)
    }
}

/// While it waits a side signs nothing for the ledger and shows no secret of its own; what it had
/// taken before goes on, and so does what it pays itself.
#[test]
fn what_was_pending_goes_on_while_a_side_waits() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        let ids = [pair.send(role.other(), &[add(1, 100)]), pair.send(role, &[add(2, 50)])];
        let unanswered = pair.send(role.other(), &[add(3, 30)]);
        pair.reveal(role, ids[0], &secret(1, 1, 1));
        pair.lose(role);
        pair.leap_at(role, START + LAG + 1);
        assert!(pair.of(role).channel.waits_out());
        pair.send(role.other(), &[]);
        pair.reveal(role.other(), ids[1], &secret(2, 1, 1));
        pair.send(role, &[pay(5), add(4, 7)]);
        let (sent, got) = (Amount(55), Amount(100));
        let side = pair.of(role);
        assert_eq!(side.channel.outgoing().accepted.transferred, sent);
        assert_eq!(side.channel.received(), got);
        let now = side.now();
        assert_eq!(side.channel.claimable(unanswered, &now), Err(Code::Recovering));
        assert_eq!(side.channel.close_terms(Height(LAST)), Err(Code::Recovering));
        for of in [WALLET, HUB] {
            let wanted = withdrawal(side.channel.id(), of, 5, START + LAG + 50);
            assert_eq!(side.channel.agree_withdrawal(&wanted, &now), Err(Code::Recovering));
        }
        pair.at(LAST + 1);
        pair.of(role).wait_out(START).expect("it has waited");
        let side = pair.of(role);
        assert!(side.channel.claimable(unanswered, &side.now()).is_ok());
    }
}

/// A suspension comes and goes; the wait stays.
#[test]
fn only_time_ends_the_wait() {
    let mut pair = Pair::new();
    pair.lose(HUB);
    pair.leap_at(HUB, START + LAG + 1);
    let step = pair.hub.channel.suspend(Code::SecretMismatch);
    pair.hub.commit(step);
    pair.meet();
    assert_eq!((pair.hub.channel.suspended(), pair.hub.channel.waits_out()), (None, true));
    assert!(pair.hub.channel.lose().is_some(), "another loss needs a leap of its own");
    pair.at(LAST + 1);
    pair.hub.view.fresh = false;
    assert_eq!(pair.hub.wait_out(START), None);
    pair.hub.view.fresh = true;
    assert_eq!(pair.hub.wait_out(START + 1), None);
    assert!(pair.hub.wait_out(START).is_some());
}

/// With nothing shown a side leaps all the same, and is certain of its state once the other has
/// acknowledged that.
#[test]
fn a_side_is_certain_once_what_it_may_have_forgotten_is_retired() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        pair.send(role, &[pay(5)]);
        assert!(pair.of(role).channel.is_certain(), "nothing was ever lost");
        pair.lose(role);
        assert!(!pair.of(role).channel.is_certain());
        pair.leap_at(role, START + LAG + 1);
        assert!(!pair.of(role).channel.is_certain());
        pair.send(role, &[]);
        assert_eq!(pair.of(role).channel.outgoing().accepted.seq, (START + LAG + 1) << 32);
        assert!(!pair.of(role).channel.is_certain(), "an Ack is not signed");
        pair.acknowledge(role.other());
        assert!(pair.of(role).channel.is_certain());
        pair.send(role, &[pay(5)]);
        assert!(pair.of(role).channel.is_certain(), "and stays so");
    }
}

/// A channel that is on its way out is left alone.
#[test]
fn nothing_is_lost_on_a_channel_that_is_closing() {
    let mut pair = Pair::new();
    let terms = pair.hub.channel.close_terms(Height(START + 50)).unwrap();
    let step = pair.hub.channel.agree_close(&terms, &pair.hub.now()).unwrap();
    pair.hub.commit(step);
    assert!(matches!(pair.hub.channel.phase(), Phase::Agreed { .. }));
    assert!(pair.hub.channel.lose().is_some(), "it may open again");
    pair.close_seen(WALLET);
    assert_eq!(pair.hub.channel.lose(), None);
}

#[test]
fn a_channel_that_waits_for_nothing_has_the_bytes_that_it_had_before() {
    for suspended in [None, Some(Code::Recovering)] {
        let hold = Hold { suspended, waits_out: false };
        assert_eq!(encode(&hold), encode(&suspended));
        for waits_out in [false, true] {
            let hold = Hold { suspended, waits_out };
            assert_eq!(decode::<Hold>(&encode(&hold)), Ok(hold));
        }
    }
    let mut pair = Pair::new();
    pair.lose(WALLET);
    pair.leap_at(WALLET, START + LAG + 1);
    let bytes = encode(&pair.wallet.channel);
    assert_eq!(decode::<Channel>(&bytes), Ok(pair.wallet.channel));
}

/// What was signed before the other side had the leap may be an update of what is forgotten.
#[test]
fn a_proof_says_whether_its_signer_had_the_newest_leap() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(1)]);
    let before = pair.hub.channel.incoming().proof.clone().unwrap().value;
    assert!(pair.hub.channel.knows_leap(&before), "there was none");
    pair.lose(HUB);
    pair.leap_at(HUB, START + LAG + 1);
    assert!(!pair.hub.channel.knows_leap(&before));
    pair.acknowledge(HUB);
    pair.quiet();
    let after = pair.hub.channel.incoming().proof.clone().unwrap().value;
    assert!(pair.hub.channel.knows_leap(&after));
}

/// Only a leap brings a number that high: there are not as many updates.
#[test]
fn a_number_tells_the_height_of_the_leap_before_it() {
    for (seq, height) in [
        (0, None),
        (LEAP - 1, None),
        (LEAP, Some(1)),
        (7 * LEAP + 3, Some(7)),
        (u64::MAX, Some(u64::from(u32::MAX))),
    ] {
        assert_eq!(leapt_at(seq), height.map(Height), "{seq}");
    }
}
