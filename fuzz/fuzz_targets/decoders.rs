#![no_main]
//! The first byte chooses a decoder of `tests::fuzz::table`, the others are for it. Memory is counted.

use libfuzzer_sys::fuzz_target;
use peak_alloc::PeakAlloc;
use tests::fuzz::{Meter, decoders};

#[global_allocator]
static COUNTING: PeakAlloc = PeakAlloc;

struct Counting;

impl Meter for Counting {
    fn reset(&self) {
        COUNTING.reset_peak_usage();
    }

    fn now(&self) -> usize {
        COUNTING.current_usage()
    }

    fn peak(&self) -> usize {
        COUNTING.peak_usage()
    }
}

fuzz_target!(|bytes: &[u8]| {
    decoders::run(bytes, Some(&Counting));
});
