#![no_main]
//! See `tests::fuzz::world::pair`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tests::fuzz::world::pair(bytes));
