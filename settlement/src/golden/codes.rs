//! `codes.txt`: number, name, whether it may be tried again, sentence.

use super::assert_frozen;
use crate::reject::Code;

#[test]
fn the_numbers_of_refusals_are_frozen() {
    let lines: Vec<String> = Code::ALL
        .iter()
        .map(|code| {
            let again = if code.retryable() { "retryable" } else { "final" };
            format!("{} {} {again} {}", code.number(), code.name(), code.title())
        })
        .collect();
    assert_frozen("codes.txt", &lines);
}
