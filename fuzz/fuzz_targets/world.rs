#![no_main]
//! See `tests::fuzz::world::simulated`.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tests::fuzz::world::simulated(bytes));
