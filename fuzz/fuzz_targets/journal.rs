#![no_main]
//! See `tests::fuzz::journal::run`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tests::fuzz::journal::run(bytes));
