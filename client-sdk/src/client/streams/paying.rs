//! What whoever pays a stream has to know beside how it stands: what is to be paid again, and whether to
//! ask for another lock.

use settlement::reject::Code;

use super::Views;
use crate::wallet::stream::{StreamPhase, StreamView};

/// What all who pay a stream have in hand.
pub(crate) struct Paying {
    pub(super) views: Views,
    /// So much of [`StreamView::returned`] was paid again, or had come back before.
    pub(super) paid_again: u64,
    /// How many locks stood when this asked for the newest.
    pub(super) stood: Option<u32>,
}

impl Paying {
    /// What has come back, and is to be paid again.
    pub(super) fn came_back(&self) -> u64 {
        let view = self.views.borrow();
        view.as_ref().map_or(0, |view| view.returned.saturating_sub(self.paid_again))
    }

    /// Of the steps that there is room for: how many pay again what came back, and how many of those
    /// that are wanted follow.
    pub(super) fn shares(&self, wanted: u64, room: u64) -> (u64, u64) {
        let again = self.came_back().min(room);
        (again, wanted.min(room.saturating_sub(again)))
    }
}

/// Whether the newest lock was refused, and none of those has ended that stood when it was asked for: the
/// next would be refused, too, and cost its fee, if that is upfront.
pub(super) fn is_refused(view: &StreamView, stood: Option<u32>) -> bool {
    let still = stood.is_some_and(|stood| view.locks > 0 && view.locks >= stood);
    still && view.refused.is_some()
}

/// The same because the hub had no room for it.
pub(super) fn is_full(view: &StreamView, stood: Option<u32>) -> bool {
    is_refused(view, stood) && view.refused == Some(Code::NoCapacity)
}

/// Whether steps can go, or soon will: a payee may take any other stream for over.
pub(super) fn goes_on(view: &StreamView) -> bool {
    matches!(view.phase, StreamPhase::Open | StreamPhase::Opening)
}

/// Steps of locks that are on their way to the payee.
pub(super) fn coming(view: &StreamView) -> u64 {
    view.wanted.saturating_add(view.left.saturating_sub(view.usable))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use settlement::crypto::SigningKey;
    use tokio::sync::watch;

    use super::*;
    use crate::client::members::Members;
    use crate::wallet::stream::{StreamId, StreamKey};

    #[test]
    fn what_came_back_is_paid_again_once_and_before_anything_new() {
        // Returned; of it paid again before; wanted; room: what is paid again, and what is new.
        let cases = [
            (0, 0, 5, 9, (0, 5)),
            (3, 0, 5, 9, (3, 5)),
            (3, 3, 5, 9, (0, 5)),
            (7, 3, 5, 6, (4, 2)),
            (7, 3, 5, 2, (2, 0)),
            (7, 3, 0, 9, (4, 0)),
        ];
        for (returned, paid_again, wanted, room, shares) in cases {
            let (_sender, views) =
                watch::channel(Some(StreamView { returned, ..StreamView::sample() }));
            let paying = Paying { views, paid_again, stood: None };
            assert_eq!(paying.shares(wanted, room), shares, "{returned} {paid_again}");
        }
    }

    /// ⚔ What came back is paid again by one of those who pay a stream, not by each.
    #[test]
    fn all_who_pay_a_stream_have_the_same_in_hand() {
        let members = Members::new(1);
        let index = members.add(Arc::new(SigningKey::from_bytes([4; 32]).unwrap()));
        let view = StreamView { returned: 7, ..StreamView::sample() };
        let (_sender, views) = watch::channel(Some(view.clone()));
        let paying = |key, paid_again| {
            members.paying(index, key, Paying { views: views.clone(), paid_again, stood: None })
        };
        let key = view.key;
        let other = StreamKey { stream: StreamId([8; 16]), ..key };
        assert!(!members.is_paid(index, &key));
        let one = paying(key, 0);
        one.try_lock().unwrap().paid_again = 7;
        assert_eq!(paying(key, 0).try_lock().unwrap().came_back(), 0, "it was paid again");
        assert_eq!(paying(other, 0).try_lock().unwrap().came_back(), 7, "another stream");
        assert!(members.is_paid(index, &key) && !members.is_paid(index, &other));
        drop(one);
        assert!(!members.is_paid(index, &key));
        assert_eq!(paying(key, 3).try_lock().unwrap().came_back(), 4, "nobody paid it any more");
    }

    #[test]
    fn there_is_no_use_in_asking_again_before_a_lock_has_ended() {
        let full = Some(Code::NoCapacity);
        // Why the newest lock was refused; how many stand, and stood then; whether there is a use, and
        // whether there will be when a lock ends.
        let cases = [
            (full, 2, Some(2), (true, true)),
            (full, 3, Some(2), (true, true)),
            (full, 1, Some(2), (false, false)),
            (full, 0, Some(0), (false, false)),
            (full, 2, None, (false, false)),
            (Some(Code::PayeeOffline), 2, Some(2), (true, false)),
            (Some(Code::NoInboundLiquidity), 2, Some(2), (true, false)),
            (None, 2, Some(2), (false, false)),
        ];
        for (refused, locks, stood, expected) in cases {
            let view = StreamView { refused, locks, ..StreamView::sample() };
            let found = (is_refused(&view, stood), is_full(&view, stood));
            assert_eq!(found, expected, "{refused:?} {locks} {stood:?}");
        }
    }
}
