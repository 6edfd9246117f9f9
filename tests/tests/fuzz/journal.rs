//! Bytes as damage to a journal.

use tests::fuzz::journal::run;

use super::{bytes, for_some_time};

#[test]
fn a_damaged_journal_gives_what_was_written_or_says_where() {
    for_some_time(&bytes(120), 500, |bytes| run(&bytes));
}
