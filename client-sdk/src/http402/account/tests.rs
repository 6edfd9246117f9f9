use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

fn id(number: u8) -> SessionId {
    SessionId([number; 16])
}

fn resource() -> Arc<str> {
    "GET api.example/".into()
}

fn figures(used: u64, served: u64, paid: u64) -> Figures {
    Figures { resource: resource(), used, served, paid }
}

/// An account without a history, of which so many steps are held.
fn account(paid: u64, credit: u64) -> Account {
    let mut account = Account::new(0, credit, Owed::default());
    account.hold(paid);
    account
}

#[test]
fn a_response_gets_all_steps_that_it_asks_for_or_none() {
    // Held, credit, steps that are asked for, steps that it needs, answer.
    let cases = [
        (5, 0, 5, 5, Ok(())),
        (5, 0, 6, 5, Err(Declined::Short(1))),
        (5, 0, 4, 5, Err(Declined::Short(1))),
        (5, 1, 4, 5, Ok(())),
        (0, 3, 0, 3, Ok(())),
        (0, 3, 0, 4, Err(Declined::Short(1))),
        (0, 0, 0, 1, Err(Declined::Short(1))),
    ];
    for (paid, credit, steps, least, answer) in cases {
        let mut account = account(paid, credit);
        assert_eq!(
            account.open(id(1), resource(), steps, least),
            answer,
            "{steps} of {paid}, {credit}"
        );
        if answer.is_err() {
            assert_eq!(account.open(id(2), resource(), paid, 0), Ok(()), "nothing was taken");
        }
    }
}

#[test]
fn two_responses_never_get_the_same_step() {
    let mut account = account(10, 0);
    assert_eq!(account.open(id(1), resource(), 6, 1), Ok(()));
    assert_eq!(account.open(id(2), resource(), 6, 1), Err(Declined::Short(2)));
    assert_eq!(account.open(id(2), resource(), 4, 1), Ok(()));
    assert_eq!(account.open(id(1), resource(), 0, 0), Err(Declined::Replayed));
    assert_eq!(account.spend(id(1), 6, None), Spent::Yes);
    assert_eq!(account.spend(id(1), 1, None), Spent::Wait(1), "the other one's is not its own");
    assert_eq!(account.spend(id(2), 4, None), Spent::Yes);
    assert_eq!(account.totals(), (10, 10));
}

#[test]
fn what_a_response_did_not_use_is_the_payers_again() {
    let mut account = account(10, 0);
    account.open(id(1), resource(), 10, 1).unwrap();
    assert_eq!(account.spend(id(1), 3, None), Spent::Yes);
    assert_eq!(account.figures(id(1)), Some(figures(3, 3, 10)));
    account.stop(id(1));
    assert_eq!(account.spend(id(1), 1, None), Spent::Over);
    assert_eq!(account.add(id(1), 1), Err(Declined::Unknown));
    account.end(id(1));
    account.end(id(1));
    assert_eq!(account.open(id(2), resource(), 8, 1), Err(Declined::Short(1)));
    assert_eq!(account.open(id(2), resource(), 7, 1), Ok(()));
    assert_eq!(account.figures(id(1)), Some(figures(3, 3, 10)), "it still has a receipt");
    assert_eq!(account.open(id(1), resource(), 0, 0), Err(Declined::Replayed));
    for number in 0..=PAST_KEPT {
        let number = u8::try_from(number).unwrap() + 10;
        account.open(id(number), resource(), 0, 0).unwrap();
        account.end(id(number));
    }
    assert_eq!(account.figures(id(1)), None);
}

#[test]
fn a_payer_ends_only_what_is_paid_as_it_goes() {
    // Whether it is paid as a whole, how its payer ends it, what it can spend then, what the payer
    // can open besides.
    let cases = [
        (false, Ok(()), Spent::Over, Ok(())),
        (true, Err(Declined::Whole), Spent::Yes, Err(Declined::Short(3))),
    ];
    for (whole, closed, spent, next) in cases {
        // Held, or lent.
        for (paid, credit) in [(3, 0), (0, 3)] {
            let mut account = account(paid, credit);
            let opened = match whole {
                true => account.open_whole(id(1), resource(), paid, 3),
                false => account.open(id(1), resource(), paid, 3),
            };
            assert_eq!(opened, Ok(()));
            assert_eq!(account.close(id(1)), closed, "{whole}, {paid} held");
            assert_eq!(account.open(id(2), resource(), paid, 3), next, "{whole}, {paid} held");
            assert_eq!(account.spend(id(1), 3, None), spent, "{whole}, {paid} held");
            account.end(id(1));
            assert_eq!(account.close(id(1)), Ok(()), "it is over, and has a receipt");
        }
    }
}

#[test]
fn what_was_lent_and_not_used_is_lent_no_more() {
    let mut account = account(0, 3);
    account.open(id(1), resource(), 0, 3).unwrap();
    assert_eq!(account.open(id(2), resource(), 0, 1), Err(Declined::Short(1)));
    assert_eq!(account.spend(id(1), 1, None), Spent::Yes);
    account.end(id(1));
    assert_eq!(account.open(id(2), resource(), 0, 2), Ok(()));
    // Somebody pays for all of it: what the other does not use is the payer's.
    account.hold(5);
    account.open(id(3), resource(), 5, 1).unwrap();
    account.end(id(2));
    assert_eq!(account.open(id(4), resource(), 2, 2), Ok(()));
    assert_eq!(account.spend(id(3), 2, None), Spent::Yes);
    assert_eq!(account.spend(id(4), 2, None), Spent::Yes);
    assert_eq!(account.totals(), (5, 5));
}

#[test]
fn steps_that_come_late_wake_who_waits_for_them() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut account = account(1, 0);
    account.open(id(1), resource(), 1, 1).unwrap();
    assert_eq!(account.spend(id(1), 1, Some(&waker)), Spent::Yes);
    assert_eq!(account.spend(id(1), 1, Some(&waker)), Spent::Wait(1));
    account.hold(3);
    assert_eq!(count.0.load(Relaxed), 0, "they are for nobody yet");
    assert_eq!(account.spend(id(1), 1, Some(&waker)), Spent::Wait(1));
    account.add(id(1), 2).unwrap();
    assert_eq!(count.0.load(Relaxed), 1);
    assert_eq!(account.spend(id(1), 2, Some(&waker)), Spent::Yes);
    assert_eq!(account.spend(id(1), 1, Some(&waker)), Spent::Wait(1));
    account.stop(id(1));
    assert_eq!(count.0.load(Relaxed), 2, "who waits in vain hears of it");
}

#[test]
fn credit_is_lent_to_all_responses_together_and_comes_back_first() {
    let mut account = account(2, 3);
    account.open(id(1), resource(), 2, 1).unwrap();
    account.open(id(2), resource(), 0, 1).unwrap();
    assert_eq!(account.spend(id(1), 4, None), Spent::Yes, "2 of its own, 2 lent");
    assert_eq!(account.spend(id(2), 1, None), Spent::Yes);
    assert_eq!(account.spend(id(2), 1, None), Spent::Wait(1), "3 are lent");
    account.end(id(1));
    account.end(id(2));
    assert_eq!(account.open(id(3), resource(), 0, 1), Err(Declined::Short(1)), "they still are");
    account.hold(6);
    account.open(id(4), resource(), 4, 1).unwrap();
    assert_eq!(account.spend(id(4), 4, None), Spent::Yes, "1 of 4, and 3 lent again");
    assert_eq!(account.spend(id(4), 1, None), Spent::Wait(1));
    assert_eq!(account.totals(), (9, 6));
}

/// Another stream of the same payer's begins with what is owed, and pays it back first.
#[test]
fn another_stream_is_lent_nothing_anew() {
    let owed = Owed::default();
    let mut streams = [(); 3].map(|()| Account::new(0, 3, owed.clone()));
    let [one, two, three] = &mut streams;
    one.open(id(1), resource(), 0, 2).unwrap();
    two.open(id(2), resource(), 0, 1).unwrap();
    assert_eq!(three.open(id(3), resource(), 0, 1), Err(Declined::Short(1)));
    assert_eq!(one.spend(id(1), 1, None), Spent::Yes);
    assert_eq!(one.spend(id(1), 2, None), Spent::Wait(1));
    three.hold(4);
    three.open(id(3), resource(), 4, 1).unwrap();
    // What was lent to the first and is paid for now is the payer's, who does not use it.
    one.end(id(1));
    assert_eq!((one.left(), two.left(), three.left()), (1, 0, 0));
    assert_eq!(three.spend(id(3), 5, None), Spent::Wait(4), "1 of 4 is its own, and 3 are lent");
    assert_eq!(three.spend(id(3), 4, None), Spent::Yes);
    assert_eq!(two.spend(id(2), 1, None), Spent::Yes);
    let served: u64 = streams.iter().map(|stream| stream.totals().0).sum();
    assert_eq!(served, 6, "4 were paid, and 3 may be owed");
}

#[test]
fn a_credential_is_taken_once() {
    let mut account = account(1, 0);
    let life = 1_000;
    assert_eq!(account.admit([1; 24], 5_000, life, NONCES_FREE), Ok(()));
    assert_eq!(account.admit([1; 24], 5_000, life, NONCES_FREE), Err(Declined::Replayed));
    assert_eq!(account.admit([2; 24], 5_900, life, NONCES_FREE), Ok(()));
    // A demand that was made at 5,900 is good until 6,900.
    for now_ms in [5_999, 6_000, 6_500, 6_899, 6_999] {
        assert_eq!(
            account.admit([2; 24], now_ms, life, NONCES_FREE),
            Err(Declined::Replayed),
            "{now_ms}"
        );
    }
    assert_eq!(account.admit([3; 24], 7_500, life, NONCES_FREE), Ok(()));
    assert!(account.seen.before.is_empty() || account.seen.before.len() <= 2);
    assert_eq!(account.admit([4; 24], 70_000, life, NONCES_FREE), Ok(()));
    assert!(account.seen.before.is_empty(), "what nobody can show any more is forgotten");
}

#[test]
fn after_a_restart_all_that_was_held_counts_as_spent() {
    let mut account = Account::new(50, 0, Owed::default());
    assert_eq!(account.open(id(1), resource(), 1, 1), Err(Declined::Short(1)));
    account.hold(53);
    assert_eq!(account.open(id(1), resource(), 4, 1), Err(Declined::Short(1)));
    assert_eq!(account.open(id(1), resource(), 3, 1), Ok(()));
}

#[test]
fn an_account_is_bounded() {
    let mut account = account(0, 0);
    for number in 0..SESSIONS_MAX {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(account.open(SessionId(bytes), resource(), 0, 0), Ok(()));
    }
    assert_eq!(account.open(id(255), resource(), 0, 0), Err(Declined::Busy));
    for number in 0..1_000u64 {
        let mut nonce = [0; 24];
        nonce[..8].copy_from_slice(&number.to_be_bytes());
        assert_eq!(account.admit(nonce, 1_000, 1_000, 1_000), Ok(()));
    }
    assert_eq!(account.admit([255; 24], 1_000, 1_000, 1_000), Err(Declined::Busy));
    // A payer that pays is remembered more of.
    account.hold(5);
    for number in 0..20 {
        assert_eq!(account.admit([100 + number; 24], 1_000, 1_000, 1_000), Ok(()));
    }
    assert_eq!(account.admit([255; 24], 1_000, 1_000, 1_000), Err(Declined::Busy));
}

#[derive(Clone, Copy, Debug)]
enum Move {
    Hold(u64),
    Open(u8, u64, u64),
    OpenWhole(u8, u64, u64),
    Add(u8, u64),
    Spend(u8, u64),
    Close(u8),
    End(u8),
}

fn moves() -> impl Strategy<Value = Move> {
    let steps = prop_oneof![0..20u64, Just(u64::MAX), Just(u64::MAX - 1)];
    let session = 0..4u8;
    prop_oneof![
        (0..20u64).prop_map(Move::Hold),
        (session.clone(), steps.clone(), 0..5u64).prop_map(|(s, n, m)| Move::Open(s, n, m)),
        (session.clone(), steps.clone(), 0..5u64).prop_map(|(s, n, m)| Move::OpenWhole(s, n, m)),
        (session.clone(), steps.clone()).prop_map(|(s, n)| Move::Add(s, n)),
        (session.clone(), steps).prop_map(|(s, n)| Move::Spend(s, n)),
        session.clone().prop_map(Move::Close),
        session.prop_map(Move::End),
    ]
}

proptest! {
    /// Whatever is asked for in whatever order, over one stream or two of a payer: never more than the
    /// credit is served beyond what is held, what responses have cost is what was served, and what is
    /// paid as a whole has what it costs until it is over.
    #[test]
    fn no_more_is_served_than_was_paid_and_lent(
        credit in 0..4u64,
        moves in prop::collection::vec((0..2usize, moves()), 1..200),
        streams in 1..3usize,
    ) {
        let owed = Owed::default();
        let mut accounts = [(); 2].map(|()| Account::new(0, credit, owed.clone()));
        let (mut paid, mut used) = ([0; 2], [0; 2]);
        let mut costs = HashMap::new();
        for (at, step) in moves {
            let at = at % streams;
            let account = &mut accounts[at];
            match step {
                Move::Hold(more) => {
                    paid[at] += more;
                    account.hold(paid[at]);
                }
                Move::Open(session, steps, least) => drop(account.open(id(session), resource(), steps, least)),
                Move::OpenWhole(session, steps, least) => {
                    if account.open_whole(id(session), resource(), steps, least).is_ok() {
                        costs.insert((at, id(session)), least);
                    }
                }
                Move::Add(session, steps) => drop(account.add(id(session), steps)),
                Move::Spend(session, steps) => {
                    if account.spend(id(session), steps, None) == Spent::Yes {
                        used[at] += steps;
                    }
                }
                Move::Close(session) => drop(account.close(id(session))),
                Move::End(session) => {
                    costs.remove(&(at, id(session)));
                    account.end(id(session));
                }
            }
            let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>();
            let (all_paid, all_used): (u64, u64) = (paid.iter().sum(), used.iter().sum());
            let owed = *owed.steps();
            prop_assert!(owed <= credit && all_used <= all_paid + credit, "{all_used} of {all_paid}");
            prop_assert_eq!(accounts[at].totals(), (used[at], paid[at]));
            let allowed = sum(|it| it.sessions.values().map(|session| session.allowance).sum());
            prop_assert_eq!(sum(|it| it.assigned) + owed, all_used + allowed + sum(|it| it.given));
            prop_assert!(accounts.iter().all(|it| it.assigned <= it.paid + it.given));
            for ((at, session), least) in &costs {
                let session = &accounts[*at].sessions[session];
                prop_assert!(!session.over && session.allowance + session.used >= *least);
            }
        }
    }
}
