//! Every boundary of holding a lease, and what shows that state was lost.

use settlement::liabilities::Liabilities;
use settlement::types::{Amount, AssetId, Hash};

use super::super::fixture::*;
use super::*;
use settlement::crypto::SigningKey;

fn keeper(embedded: bool, journal: &[Lease]) -> Keeper {
    Keeper::new(terms(embedded), Own { leases: journal.to_vec(), stated: None })
}

/// Blocks without anything, up to this height.
fn advance(keeper: &mut Keeper, height: u64) {
    let from = keeper.newest.0.0 + 1;
    (from..=height).for_each(|height| keeper.follow(&block(height, vec![])));
}

#[test]
fn nothing_is_signed_before_the_ledger_has_the_own_lease() {
    for embedded in [true, false] {
        let mut keeper = keeper(embedded, &[]);
        advance(&mut keeper, 4);
        assert!(!keeper.may_sign(4_000));
        keeper.take(lease(1, 1));
        advance(&mut keeper, 5);
        assert!(!keeper.may_sign(5_000));
        assert!(keeper.held(5_000).unwrap_err().contains("in no block yet"));
        keeper.taken_in();
        assert_eq!(keeper.may_sign(5_000), embedded, "at once where nobody else can be");
        assert!(keeper.tenure(5_000).is_none(), "no height is its own yet");
        // A block has refused it: it is taken anew.
        keeper.take(lease(2, 1));
        assert!(!keeper.may_sign(5_000));
        keeper.taken_in();
        keeper.follow(&block(6, vec![leased(hub(), lease(2, 1))]));
        assert_eq!(keeper.may_sign(6_000), embedded);
        let since = keeper.tenure(6_000).map(|tenure| (tenure.epoch, tenure.since));
        assert_eq!(since, embedded.then_some((2, Height(6))));
    }
}

/// `lag` blocks after the lease's, 10 s and 2 s after its time, and in a view of at most 10 s.
#[test]
fn elsewhere_every_other_process_must_have_seen_it() {
    let leased_at = 100;
    // The newest block, the own clock: may it sign?
    let table = [
        (119, 119_000, false),
        (120, 119_999, true),
        (120, 130_000, true),
        (120, 130_001, false),
        (119, 129_000, false),
    ];
    for (newest, now_ms, may) in table {
        let mut keeper = keeper(false, &[]);
        keeper.take(lease(3, 7));
        keeper.follow(&block(leased_at, vec![leased(hub(), lease(3, 7))]));
        advance(&mut keeper, newest);
        assert_eq!(keeper.may_sign(now_ms), may, "block {newest} at {now_ms} ms");
    }
    // With blocks faster than their lag says, the clock decides: 12 s after the lease's block.
    let mut keeper = Keeper::new(Terms { lag: 5, ..terms(false) }, Own::default());
    keeper.take(lease(3, 7));
    keeper.follow(&block(leased_at, vec![leased(hub(), lease(3, 7))]));
    advance(&mut keeper, 105);
    assert_eq!((keeper.may_sign(111_999), keeper.may_sign(112_000)), (false, true));
}

#[test]
fn another_lease_of_the_same_key_ends_it_for_good() {
    let other_hub = SigningKey::from_bytes([2; 32]).unwrap().public();
    for embedded in [true, false] {
        let mut keeper = keeper(embedded, &[]);
        keeper.take(lease(2, 1));
        keeper.taken_in();
        keeper.follow(&block(1, vec![leased(hub(), lease(1, 9)), leased(hub(), lease(2, 1))]));
        keeper.follow(&block(2, vec![leased(other_hub, lease(7, 9))]));
        advance(&mut keeper, 30);
        assert!(keeper.may_sign(31_000), "an older one and another hub's change nothing");
        keeper.follow(&block(31, vec![leased(hub(), lease(3, 9))]));
        advance(&mut keeper, 60);
        assert!(!keeper.may_sign(60_000));
        assert!(keeper.tenure(60_000).is_none());
        let why = keeper.fenced().unwrap();
        for part in ["block 31", "number 3", "number 2"] {
            assert!(why.contains(part), "no {part} in: {why}");
        }
    }
}

/// Two that start at once: the ledger takes the one that is faster, and the other sees it.
#[test]
fn whoever_comes_second_with_one_epoch_stops() {
    let mut keeper = keeper(false, &[]);
    keeper.take(lease(2, 1));
    keeper.follow(&block(1, vec![leased(hub(), lease(2, 9))]));
    assert!(keeper.fenced().is_some());
}

#[test]
fn the_next_epoch_is_above_all_that_are_known() {
    let mut keeper = keeper(true, &[lease(4, 1)]);
    assert_eq!(keeper.next_epoch(None), 5, "one that never came into a block counts");
    assert_eq!(keeper.next_epoch(Some(lease(8, 2))), 9);
    keeper.follow(&block(1, vec![leased(hub(), lease(11, 3))]));
    assert_eq!(keeper.next_epoch(Some(lease(8, 2))), 12);
}

fn said(as_of: u64) -> LedgerEvent {
    let (root, total) = (Hash::ZERO, Amount(0));
    let liabilities = Liabilities { as_of: Height(as_of), asset: AssetId(0), root, total };
    LedgerEvent::LiabilitiesAnchored { hub: hub(), liabilities }
}

/// What the journal said at the start, what the ledger shows up to the own lease: is it the newest?
#[test]
fn a_journal_that_lacks_what_the_ledger_shows_is_known_by_it() {
    let journal = Own { leases: vec![lease(1, 1), lease(2, 1)], stated: Some(Height(40)) };
    let mine = lease(5, 7);
    let cases: [(LedgerEvent, bool); 7] = [
        (leased(hub(), lease(2, 1)), false),
        (leased(hub(), lease(1, 1)), false),
        (leased(hub(), lease(2, 9)), true),
        (leased(hub(), lease(3, 9)), true),
        (leased(hub(), mine), false),
        (said(40), false),
        (said(41), true),
    ];
    for (event, lost) in cases {
        let mut keeper = Keeper::new(terms(true), journal.clone());
        keeper.take(mine);
        keeper.follow(&block(50, vec![event.clone()]));
        assert_eq!(keeper.lost().is_some(), lost, "{event:?}");
        let mut later = Keeper::new(terms(true), journal.clone());
        later.take(mine);
        later.follow(&block(50, vec![leased(hub(), mine), event.clone()]));
        assert_eq!(later.lost(), None, "after the own lease all is this process's own");
    }
}
