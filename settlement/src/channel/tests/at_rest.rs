//! A channel in which nothing was ever paid: there are a hundred thousand of them.

use super::super::ledger::OnLedger;
use super::super::*;
use crate::proof::BalanceProof;
use crate::rare::AtRest;

fn is_default<T: AtRest + std::fmt::Debug>() {
    assert_eq!(*T::AT_REST, T::default());
}

#[test]
fn what_is_at_rest_is_what_nothing_has_touched() {
    is_default::<Outgoing>();
    is_default::<Incoming>();
    is_default::<OnLedger>();
}

/// What both directions need takes no room before it is used.
#[test]
fn a_channel_at_rest_is_small() {
    let bytes = size_of::<Channel>();
    assert!(bytes <= 320, "{bytes} bytes");
    assert!(size_of::<Outgoing>() + size_of::<Incoming>() > bytes + size_of::<BalanceProof>());
}
