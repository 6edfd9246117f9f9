//! `kill -9` in the middle of 1,000 payments: see [`tests::process::kill`].

use tests::process::kill::{Victim, survive};

/// With its embedded ledger.
#[test]
fn what_was_complete_stays_and_all_else_ends_when_the_hub_is_killed() {
    survive(&tests::programs!(), Victim::Hub);
}

#[test]
fn what_was_complete_stays_and_all_else_ends_when_the_payee_is_killed() {
    survive(&tests::programs!(), Victim::Payee);
}

#[test]
fn what_was_complete_stays_and_all_else_ends_when_the_payer_is_killed() {
    survive(&tests::programs!(), Victim::Payer);
}
