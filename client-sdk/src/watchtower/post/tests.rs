use settlement::types::{Amount, Secret};

use super::*;
use crate::watchtower::sample::{block, checked, leaf, lock, terms};

fn id(nonce: u64) -> ChannelId {
    terms(nonce).channel_id()
}

/// A tower that guards one channel up to the hub's proof 3, with 10 claimed on a lock that expires
/// at 101, and has looked at it while it was open.
fn post() -> Post {
    let mut post = Post::new(2);
    post.guard(&checked(0, 3, &[lock(1, 10), lock(2, 20)], &[1]));
    assert_eq!(post.judge(&leaf(0, None, 0, 0), Height(10)), Move::Wait);
    post
}

fn close() -> LedgerEvent {
    LedgerEvent::CloseStarted { channel: id(0), by: Role::Hub, proofs_until: Height(60) }
}

#[test]
fn what_the_ledger_holds_decides_and_until_when() {
    // The height; the hub's proof that stands, and what is claimed on it; what is done.
    let cases = [
        (10, 0, 0, Move::Answer),
        (59, 2, 0, Move::Answer),
        // The proof alone is missing, in the last block before the end of its window.
        (59, 2, 10, Move::Answer),
        (59, 3, 0, Move::Answer),
        (59, 3, 10, Move::Answered),
        // The wallet itself, or another tower of it, was here.
        (59, 4, 10, Move::Answered),
        // The window is over: a claim still counts on what stands, the proof no longer.
        (60, 0, 0, Move::Answer),
        (60, 0, 10, Move::Answered),
        (99, 3, 0, Move::Answer),
        // No block can take the claim before its lock expires.
        (100, 3, 0, Move::Answered),
    ];
    for (height, seq, claimed, done) in cases {
        let mut post = post();
        let leaf = leaf(0, Some(60), seq, claimed);
        assert_eq!(post.judge(&leaf, Height(height)), done, "{height}: {seq}, {claimed}");
    }
}

#[test]
fn it_is_done_once_all_is_claimed_and_not_before() {
    let cases = [(0, Move::Answer), (10, Move::Answer), (29, Move::Answer), (30, Move::Answered)];
    for (claimed, done) in cases {
        let mut post = Post::new(2);
        post.guard(&checked(0, 3, &[lock(1, 10), lock(2, 20)], &[1, 2]));
        assert_eq!(post.judge(&leaf(0, Some(60), 3, claimed), Height(80)), done, "{claimed} of 30");
    }
}

#[test]
fn an_open_channel_is_left_alone_and_a_close_has_it_looked_at() {
    let mut post = post();
    assert_eq!(post.due(Height(1_000)), []);
    let sights = post.see(&block(11, vec![close()]));
    assert_eq!(
        sights,
        [Sight::Closing { channel: id(0), by: Role::Hub, proofs_until: Height(60) }]
    );
    assert_eq!(post.due(Height(11)), [id(0)]);
}

#[test]
fn an_answer_is_brought_again_until_it_is_in_a_block_and_then_no_more() {
    let mut post = post();
    post.see(&block(11, vec![close()]));
    assert_eq!(post.judge(&leaf(0, Some(60), 0, 0), Height(11)), Move::Answer);
    assert_eq!(post.due(Height(11 + LOOK_AGAIN - 1)), [], "it has a few blocks to arrive");
    assert_eq!(post.due(Height(11 + LOOK_AGAIN)), [id(0)]);
    assert_eq!(post.judge(&leaf(0, Some(60), 0, 0), Height(15)), Move::Answer);
    // What happens to the channel has it looked at at once.
    let shown = LedgerEvent::ClaimShown {
        channel: id(0),
        from: Role::Hub,
        id: 1,
        secret: Secret([1; 32]),
        steps: 1,
    };
    post.see(&block(16, vec![shown.clone()]));
    assert_eq!(post.due(Height(16)), [id(0)]);
    assert_eq!(post.judge(&leaf(0, Some(60), 3, 10), Height(16)), Move::Answered);
    post.see(&block(17, vec![shown]));
    assert_eq!(post.due(Height(1_000)), [], "nothing more");
    post.guard(&checked(0, 4, &[], &[]));
    assert_eq!(post.due(Height(17)), [id(0)], "what is handed in after the close may be due");

    let settled = LedgerEvent::Settled {
        channel: id(0),
        wallet: Amount(5),
        hub: Amount(6),
        cooperative: false,
    };
    let paid_out = Sight::PaidOut { channel: id(0), wallet: Amount(5), hub: Amount(6) };
    assert_eq!(post.see(&block(70, vec![settled.clone()])), [paid_out]);
    assert!(post.is_empty());
    assert_eq!(post.see(&block(71, vec![settled])), [], "it is not this tower's any more");
}

#[test]
fn a_refusal_that_nothing_would_change_ends_it() {
    let mut post = post();
    post.see(&block(11, vec![close()]));
    assert_eq!(post.judge(&leaf(0, Some(60), 0, 0), Height(11)), Move::Answer);
    post.answered(&id(0));
    assert_eq!(post.due(Height(1_000)), []);
}

#[test]
fn the_newest_answer_stays_whatever_is_handed_in() {
    let mut post = post();
    let locks = [lock(1, 10), lock(2, 20)];
    // What it covers; whether it is news.
    let cases = [
        (checked(0, 2, &[], &[]), Err(Code::OlderAnswer)),
        (checked(0, 3, &locks, &[]), Err(Code::OlderAnswer)),
        (checked(0, 3, &locks, &[1]), Ok(false)),
        (checked(0, 3, &locks, &[2]), Ok(true)),
        (checked(0, 3, &locks, &[1, 2]), Ok(true)),
        (checked(0, 4, &[], &[]), Ok(true)),
    ];
    for (answer, news) in cases {
        assert_eq!(
            post.is_news(&answer).map_err(|refused| refused.code),
            news,
            "{:?}",
            answer.rank()
        );
    }
    post.guard(&checked(0, 4, &[], &[]));
    assert_eq!(post.seq(&id(0)), Some(4));
    assert_eq!(post.due(Height(0)), [], "it was open, and a close would have been in a block");
    let older = post.is_news(&checked(0, 3, &locks, &[1, 2]));
    assert_eq!(older.map_err(|refused| refused.code), Err(Code::OlderAnswer));
}

#[test]
fn it_takes_as_many_channels_as_it_may_and_room_comes_back() {
    let mut post = post();
    let (second, third) = (checked(1, 1, &[], &[]), checked(2, 1, &[], &[]));
    assert_eq!(post.is_news(&second), Ok(true));
    post.guard(&second);
    assert_eq!(post.is_news(&third).map_err(|refused| refused.code), Err(Code::TowerFull));
    assert_eq!(post.is_news(&checked(1, 2, &[], &[])), Ok(true), "one that is guarded is renewed");
    post.forget(&id(0));
    assert_eq!(post.is_news(&third), Ok(true));
    assert_eq!(post.len(), 1);
}

/// What a tower keeps in memory for a channel does not depend on its locks, claims or payments.
#[test]
fn a_channel_takes_little_memory() {
    assert!(size_of::<(ChannelId, Guarded)>() <= 112);
}
