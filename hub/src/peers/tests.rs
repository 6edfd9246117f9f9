use super::*;
use settlement::types::PublicKey;

const BOUNDS: Bounds = Bounds { most: 2, strangers: 3, keys_without: 8 };

fn signed(keys: usize, with_channel: usize) -> SignedIn {
    let key = |byte: usize| PublicKey([u8::try_from(byte).unwrap(); 33]);
    SignedIn { keys: (0..keys).map(key).collect(), with_channel }
}

fn join(peers: &Peers) -> Arc<Peer> {
    peers.join(&Config { verify_workers: 1, ..Config::default() })
}

/// One that signs in with so many keys, of which so many have a channel.
fn sign_in(peers: &Peers, keys: usize, with_channel: usize) -> Arc<Peer> {
    let peer = join(peers);
    peers.place(&peer, &signed(keys, with_channel));
    peer
}

/// Who was thrown out, by number.
fn evicted(peers: &[Arc<Peer>]) -> Vec<u64> {
    peers.iter().filter(|peer| peer.is_closing()).map(|peer| peer.id).collect()
}

#[test]
fn the_stranger_that_has_been_here_longest_makes_room_and_nobody_with_a_channel() {
    let peers = Peers::new(BOUNDS);
    let mut all = vec![sign_in(&peers, 1, 1)];
    all.extend((0..3).map(|_| sign_in(&peers, 1, 0)));
    assert_eq!((peers.len(), evicted(&all)), (4, vec![]));
    all.push(sign_in(&peers, 1, 0));
    assert_eq!((peers.len(), evicted(&all)), (4, vec![2]));
    all.push(sign_in(&peers, 1, 1));
    all.extend((0..20).map(|_| sign_in(&peers, 1, 0)));
    let stay = [1, 6, 24, 25, 26];
    let out: Vec<u64> = (1..=26).filter(|id| !stay.contains(id)).collect();
    assert_eq!((peers.len(), evicted(&all)), (5, out));
}

#[test]
fn silent_ones_make_room_for_each_other_before_those_that_have_signed_in() {
    let peers = Peers::new(BOUNDS);
    let mut all = vec![sign_in(&peers, 1, 1), sign_in(&peers, 1, 0), sign_in(&peers, 1, 0)];
    all.extend((0..10).map(|_| join(&peers)));
    // 5 places: one with a channel, two strangers, and what is left.
    assert_eq!((peers.len(), evicted(&all)), (5, (4..=11).collect()));
    // With all other places taken there is still one to sign in from.
    all.extend([sign_in(&peers, 1, 1), sign_in(&peers, 1, 0)]);
    let came = join(&peers);
    assert!(!came.is_closing());
    peers.place(&came, &signed(1, 1));
    assert!(!came.is_closing(), "more with channels than `most` take strangers' places");
    assert!(evicted(&all).iter().all(|id| ![1, 14].contains(id)));
    assert_eq!(peers.len(), 5);
}

#[test]
fn a_stranger_that_opens_a_channel_stays_and_one_that_loses_its_last_is_one_again() {
    let peers = Peers::new(BOUNDS);
    let opens = sign_in(&peers, 1, 0);
    peers.place(&opens, &signed(1, 1));
    let many: Vec<_> = (0..9).map(|_| sign_in(&peers, 1, 0)).collect();
    assert!(!opens.is_closing());
    peers.place(&opens, &signed(1, 0));
    assert!(!opens.is_closing(), "the newest change makes no room for itself by itself");
    let more: Vec<_> = (0..3).map(|_| sign_in(&peers, 1, 0)).collect();
    assert!(opens.is_closing());
    assert_eq!((peers.len(), evicted(&many).len(), evicted(&more).len()), (3, 9, 0));
}

#[test]
fn whoever_hoards_keys_without_a_channel_makes_room_before_the_others() {
    let peers = Peers::new(BOUNDS);
    let known = sign_in(&peers, 4, 1);
    let (one, five) = (sign_in(&peers, 1, 0), sign_in(&peers, 4, 0));
    assert_eq!(peers.standing().without, 8);
    let next = sign_in(&peers, 1, 0);
    assert!(five.is_closing() && !one.is_closing() && !next.is_closing());
    // Nobody left to blame but one with a channel that hoards, once there are no strangers.
    let hoarder = sign_in(&peers, 8, 1);
    assert!(one.is_closing() && next.is_closing() && known.is_closing());
    assert!(!hoarder.is_closing());
    assert_eq!((peers.len(), peers.standing().without), (1, 7));
    peers.leave(&hoarder);
    assert_eq!((peers.len(), peers.standing().without), (0, 0));
}

#[test]
fn one_that_was_thrown_out_does_not_come_back() {
    let peers = Peers::new(BOUNDS);
    let first = sign_in(&peers, 1, 0);
    let _rest: Vec<_> = (0..3).map(|_| sign_in(&peers, 1, 0)).collect();
    assert!(first.is_closing());
    peers.place(&first, &signed(2, 2));
    assert_eq!(peers.len(), 3);
}
