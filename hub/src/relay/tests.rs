//! Bounds of what the hub carries and keeps.

use settlement::wire::Bounded;

use super::*;

const NOW_MS: u64 = 1_000_000;

fn message(from: u8, to: u8, bytes: usize) -> Message {
    let ciphertext = Bounded::new(vec![from; bytes]).unwrap();
    Message::Relay { to: PublicKey([to; 33]), from: PublicKey([from; 33]), ciphertext }
}

fn count(post: &mut Post, from: u8, to: u8, bytes: usize, now_ms: u64) -> usize {
    let message = message(from, to, bytes);
    let taken = (0..30_000).take_while(|_| post.take(&message, true, now_ms) == Fate::Sent);
    taken.count()
}

#[test]
fn a_sender_has_its_share_of_a_second_and_no_more() {
    let mut post = Post::default();
    assert_eq!(count(&mut post, 1, 2, 100, NOW_MS), SENDER.messages);
    assert_eq!(count(&mut post, 3, 2, 100, NOW_MS), SENDER.messages, "others have theirs");
    assert_eq!(count(&mut post, 1, 2, 100, NOW_MS + 999), 0, "the second is not over");
    assert_eq!(count(&mut post, 1, 2, 16 << 10, NOW_MS + 1_000), SENDER.bytes / (16 << 10));
}

#[test]
fn a_recipient_gets_no_more_than_its_share_whoever_sends() {
    let mut post = Post::default();
    let sent: usize = (1..=30).map(|from| count(&mut post, from, 99, 10, NOW_MS)).sum();
    assert_eq!(sent, RECIPIENT.messages);
    assert_eq!(count(&mut post, 1, 98, 10, NOW_MS), 0, "the first sender has used its own");
    assert_eq!(count(&mut post, 31, 98, 10, NOW_MS), SENDER.messages);
}

#[test]
fn a_mailbox_keeps_the_newest_for_a_moment() {
    let mut post = Post::default();
    for from in 1..=20 {
        assert_eq!(post.take(&message(from, 99, 10), false, NOW_MS), Fate::Kept);
    }
    let waited = post.collect(&PublicKey([99; 33]), NOW_MS + KEPT_MS - 1);
    let expected: Vec<Message> = (5..=20).map(|from| message(from, 99, 10)).collect();
    assert_eq!(waited, expected);
    assert_eq!((post.collect(&PublicKey([99; 33]), NOW_MS), post.kept_bytes), (Vec::new(), 0));

    post.take(&message(1, 99, 10), false, NOW_MS);
    assert_eq!(post.collect(&PublicKey([99; 33]), NOW_MS + KEPT_MS), [], "it is too old");
}

#[test]
fn a_mailbox_is_bounded_in_bytes_and_so_are_all_together() {
    let mut post = Post::default();
    for from in 1..=5 {
        assert_eq!(post.take(&message(from, 99, 16 << 10), false, NOW_MS), Fate::Kept);
    }
    assert_eq!(post.collect(&PublicKey([99; 33]), NOW_MS).len(), 2);
    // Each wallet of a crowd sends to one of another crowd.
    let key = |number: u32| {
        let mut key = PublicKey([7; 33]);
        key.0[..4].copy_from_slice(&number.to_be_bytes());
        key
    };
    let send = |post: &mut Post, number: u32, now_ms| {
        let ciphertext = Bounded::new(vec![1; 16 << 10]).unwrap();
        let (from, to) = (key(number), key(number + 100_000));
        post.take(&Message::Relay { to, from, ciphertext }, false, now_ms)
    };
    let most = u32::try_from(MAILBOXES_BYTES / (16 << 10)).unwrap();
    for number in 0..most {
        assert_eq!(send(&mut post, number, NOW_MS), Fate::Kept);
    }
    assert_eq!(send(&mut post, most, NOW_MS), Fate::Dropped);
    assert_eq!(send(&mut post, most, NOW_MS + KEPT_MS), Fate::Kept, "the old ones are forgotten");
    assert_eq!(post.kept_bytes, 16 << 10);
}

#[test]
fn what_is_remembered_of_senders_is_bounded() {
    let mut post = Post::default();
    for number in 0..20_000u32 {
        let mut from = PublicKey([7; 33]);
        from.0[..4].copy_from_slice(&number.to_be_bytes());
        let ciphertext = Bounded::new(vec![1]).unwrap();
        let message = Message::Relay { to: PublicKey([9; 33]), from, ciphertext };
        post.take(&message, true, NOW_MS + u64::from(number));
    }
    assert!(post.sent.len() <= REMEMBERED + 1_000, "{}", post.sent.len());
}
