use settlement::types::Secret;

use super::*;

fn sums(budget: u64) -> SharedSums {
    Arc::new(Mutex::new(Sums::new(budget)))
}

/// A payee's only book, of steps that are worth 1.
fn only(ahead: u64, budget: u64) -> Book {
    Book::new(ahead, 1, sums(budget))
}

#[test]
fn a_payee_begins_nothing_anew_with_another_stream_or_unit() {
    // Units of streams one after the other, ahead, budget; steps that each gets when nothing is
    // served, and when all of it is.
    type Case = ([u64; 3], u64, u64, [u64; 3], [u64; 3]);
    let cases: [Case; 7] = [
        ([2, 2, 2], 10, 1_000, [10, 0, 0], [10, 10, 10]),
        ([2, 2, 2], 10, 50, [10, 0, 0], [10, 10, 5]),
        ([2, 1, 3], 10, 1_000, [10, 0, 3], [10, 10, 10]),
        ([1, 2, 3], 10, 40, [10, 5, 3], [10, 10, 3]),
        ([3, 2, 1], 10, 35, [10, 0, 0], [10, 2, 1]),
        ([7, 7, 5], 10, 20, [2, 0, 1], [2, 0, 1]),
        ([100, 1, 1], 10, 510, [5, 10, 0], [5, 10, 0]),
    ];
    for (units, ahead, budget, unserved, served) in cases {
        for (serves, expected) in [(false, unserved), (true, served)] {
            let sums = sums(budget);
            let got = units.map(|unit| {
                let mut book = Book::new(ahead, unit, sums.clone());
                let room = book.room();
                assert!(book.reserve(room + 1).is_err());
                assert_eq!(book.reserve(room).map(|reserved| reserved.fresh), Ok(room));
                if serves {
                    book.serve(room);
                } else {
                    // It is this stream's, and gone with it.
                    book.give_back(room);
                }
                room
            });
            assert_eq!(got, expected, "{units:?}, {ahead} ahead of {budget}, serves: {serves}");
        }
    }
}

#[test]
fn what_did_not_leave_over_one_stream_is_there_for_another() {
    let sums = sums(u64::MAX);
    let (mut one, mut other) = (Book::new(10, 2, sums.clone()), Book::new(10, 4, sums.clone()));
    let never = one.reserve(10).unwrap();
    assert_eq!(other.room(), 5);
    one.cancel(never);
    assert_eq!((other.room(), other.totals()), (10, (0, 0)));
    other.reserve(3).unwrap();
    other.serve(5);
    assert_eq!(one.totals(), (12, 12), "nobody serves more than it was handed");
}

#[test]
fn no_more_is_handed_out_than_was_served_and_may_be_ahead() {
    let mut book = only(10, u64::MAX);
    assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 10, again: 0 }));
    assert_eq!(book.reserve(1), Err(Stop::Ahead));
    book.serve(4);
    assert_eq!((book.room(), book.reserve(5)), (4, Err(Stop::Ahead)));
    assert_eq!(book.reserve(4), Ok(Reserved { steps: 4, fresh: 4, again: 0 }));
    book.serve(1_000);
    assert_eq!(book.figures(), (14, 14, 0), "nobody serves more than it was handed");
    assert_eq!(book.room(), 10);
}

#[test]
fn what_was_not_needed_pays_for_the_next() {
    let mut book = only(10, u64::MAX);
    let all = book.reserve(10).unwrap();
    book.serve(3);
    book.give_back(7);
    assert_eq!(book.reserve(10), Ok(Reserved { steps: 10, fresh: 3, again: 0 }));
    assert_eq!(book.figures(), (13, 3, 0));
    book.serve(10);
    let again = book.reserve(5).unwrap();
    book.cancel(again);
    assert_eq!(book.figures(), (13, 13, 0), "it never left");
    assert_eq!(all.steps, 10);
}

#[test]
fn what_a_server_denies_to_hold_stays_handed_out() {
    let mut book = only(10, u64::MAX);
    book.reserve(6).unwrap();
    book.give_back(6);
    let mixed = book.reserve(8).unwrap();
    assert_eq!(mixed, Reserved { steps: 8, fresh: 2, again: 0 });
    book.denied(mixed, None);
    assert_eq!((book.figures(), book.room()), ((8, 0, 2), 4));
    let again = book.reserve(4).unwrap();
    book.denied(again, Some(3));
    assert_eq!((book.figures(), book.room()), ((10, 0, 1), 1), "it says that it holds 1");
    let mut rounds = 0;
    while let Ok(reserved) = book.reserve(1) {
        book.denied(Reserved { fresh: 0, ..reserved }, None);
        rounds += 1;
    }
    assert!(rounds <= 4, "a server that denies everything gets no more than what may be ahead");
}

#[test]
fn what_a_server_denied_is_claimed_again_once_it_has_served_something() {
    let mut book = only(10, u64::MAX);
    let first = book.reserve(8).unwrap();
    book.denied(first, Some(8));
    assert_eq!((book.figures(), book.room()), ((8, 0, 0), 2));
    assert_eq!(book.reserve(3), Err(Stop::Ahead), "it has served nothing");
    book.reserve(2).unwrap();
    book.serve(2);
    let again = book.reserve(2).unwrap();
    assert_eq!(again, Reserved { steps: 2, fresh: 0, again: 2 });
    book.denied(again, Some(2));
    book.serve(0);
    assert_eq!(book.reserve(2).unwrap().fresh, 2, "it is asked once");
    book.serve(1);
    assert_eq!(book.reserve(1).unwrap().fresh, 1, "new ones come first by now");
    book.serve(1);
    let again = book.reserve(8).unwrap();
    assert_eq!(again, Reserved { steps: 8, fresh: 0, again: 8 }, "there is no other way");
    book.denied(again, Some(8));
    assert_eq!(book.reserve(8), Err(Stop::Ahead));
    book.serve(1);
    assert_eq!(book.reserve(8), Ok(again));
    book.serve(8);
    assert_eq!((book.figures(), book.room()), ((13, 13, 0), 10), "it had held them");
}

#[test]
fn of_a_stream_that_has_ended_counts_what_was_redeemed_and_not_served() {
    // Handed out, served, redeemed; what may be ahead of another stream then, of 10.
    for (handed, served, redeemed, room) in
        [(10, 0, 0, 10), (10, 0, 4, 6), (10, 3, 3, 10), (10, 3, 5, 8), (10, 3, 99, 3)]
    {
        let sums = sums(u64::MAX);
        let mut over = Book::new(10, 2, sums.clone());
        over.reserve(handed).unwrap();
        over.serve(served);
        over.give_back(handed - served);
        let never = over.reserve(0).unwrap();
        over.ended(redeemed);
        over.cancel(Reserved { fresh: handed, ..never });
        assert_eq!(over.reserve(1), Err(Stop::Over));
        let next = Book::new(10, 2, sums);
        assert_eq!(next.room(), room, "{handed} {served} {redeemed}");
        assert_eq!(over.figures().2, 0);
    }
}

#[test]
fn a_budget_is_kept() {
    let mut book = only(10, 12);
    book.reserve(10).unwrap();
    book.serve(10);
    assert_eq!((book.room(), book.reserve(3)), (2, Err(Stop::Spent)));
    book.reserve(2).unwrap();
    book.give_back(2);
    assert_eq!(book.reserve(2), Ok(Reserved { steps: 2, fresh: 0, again: 0 }));
}

#[test]
fn a_step_is_shown_until_it_is_known_to_have_arrived() {
    let token =
        |lock, steps| StepToken { anchor: Anchor([lock; 32]), steps, secret: Secret([lock; 32]) };
    let mut book = only(10, 10);
    book.keep(&[token(1, 5)]);
    let first = book.loose();
    book.keep(&[token(1, 8), token(2, 3)]);
    book.keep(&[token(2, 2)]);
    assert_eq!(book.loose(), [token(1, 8), token(2, 3)]);
    book.taken(&first);
    assert_eq!(book.loose(), [token(1, 8), token(2, 3)], "a newer one may be lost yet");
    book.taken(&[token(1, 8)]);
    assert_eq!(book.loose(), [token(2, 3)]);
    for lock in 10..30 {
        book.keep(&[token(lock, 1)]);
    }
    assert_eq!(book.loose().len(), TOKENS_MAX);
}
