//! `kill -9` of the receiving wallet in the middle of 1,000 payments: see [`tests::process::kill`].

use tests::process::kill::{Victim, survive};

#[test]
fn what_was_complete_stays_and_all_else_ends_when_the_payee_is_killed() {
    survive(&tests::programs!(), Victim::Payee);
}
