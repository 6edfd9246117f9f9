//! What decoding takes of memory: at most twice its input and 1 MiB, whatever the bytes claim. A
//! program of its own, as its allocator counts, with one test, as it counts for the whole process.
#![allow(clippy::indexing_slicing, reason = "helpers of tests fail by a panic")]

use std::panic::catch_unwind;

use peak_alloc::PeakAlloc;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tests::fuzz::decoders::Decoder;
use tests::fuzz::mutate::varint;
use tests::fuzz::{Meter, seeds, table};

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

/// What a lie's elements are made of: each kind of a list's elements that is short.
const FILLS: std::ops::Range<u8> = 0..16;
/// How many of one decoder's are shown as large as its door is wide.
const WIDE: u32 = 64;
/// How many bytes a lie has at first.
const SMALL: usize = 4 << 10;

/// Good bytes up to a place; there a length that the rest just holds, or that nothing holds; then the
/// same byte, over and over.
fn lie(good: &[u8], at: usize, fill: u8, size: usize) -> Vec<u8> {
    let rest = size.saturating_sub(at + 4) as u64;
    let claims = if fill == FILLS.end { u64::MAX } else { rest };
    let mut bytes = [&good[..at], &varint(claims)].concat();
    bytes.resize(size.max(bytes.len()), fill);
    bytes
}

/// Shows all small lies, and those that took any room once more as large as the door is wide. The most
/// that one took.
fn lies(decoder: &Decoder, good: &[u8]) -> usize {
    let (mut most, mut wide) = (0, 0);
    for at in 0..good.len().min(300) {
        for fill in FILLS.start..=FILLS.end {
            let small = decoder.measured(&lie(good, at, fill, SMALL), &Counting);
            if small > 3 * SMALL && wide < WIDE {
                wide += 1;
                let large = lie(good, at, fill, decoder.most);
                most = most.max(decoder.measured(&large, &Counting));
            }
        }
    }
    most
}

/// JSON with many of what is least, in a list and in a map.
fn texts(size: usize) -> Vec<Vec<u8>> {
    let parts =
        ["[],", "{},", "0,", "\"\",", "[[", "{\"a\":", "null,", "\\u0000", " ", "a=1\n", "x, "];
    let begun = ["", "[", "{\"answers\":[", "{\"blocks\":[", "{\"events\":[", "\"", "{\"a\":\""];
    let all = begun.iter().flat_map(|begun| parts.iter().map(move |part| (begun, part)));
    all.map(|(begun, part)| {
        let mut text = (*begun).to_owned();
        while text.len() < size {
            text.push_str(part);
        }
        text.into_bytes()
    })
    .collect()
}

fn show(decoder: &Decoder, good: &[Vec<u8>]) -> usize {
    let good_ones = good.iter().map(|seed| decoder.measured(seed, &Counting));
    let most = good_ones.max().unwrap_or(0);
    if decoder.text {
        let texts = [SMALL, decoder.most].into_iter().flat_map(texts);
        return texts.map(|text| decoder.measured(&text, &Counting)).max().unwrap_or(0).max(most);
    }
    good.iter().map(|seed| lies(decoder, seed)).max().unwrap_or(0).max(most)
}

/// A decoder that believes a length: what the bound is there to find.
fn believes(bytes: &[u8]) -> bool {
    let claimed = settlement::encoding::decode::<u64>(&bytes[..bytes.len().min(5)]);
    let room = claimed.map(|length| Vec::<u8>::with_capacity(length.min(1 << 24) as usize));
    room.is_ok_and(|room| room.capacity() > bytes.len())
}

#[test]
fn decoding_takes_no_more_than_twice_its_input_and_a_mebibyte() {
    // Made before anything is measured.
    let seeds = seeds::all();
    let random = proptest::collection::vec(proptest::num::u8::ANY, 1..300);
    let mut runner = TestRunner::deterministic();
    let mut greedy = Vec::new();
    for (place, decoder) in table::all().iter().enumerate() {
        let own = seeds.iter().filter(|seed| usize::from(seed[0]) == place);
        let mut good: Vec<Vec<u8>> = own.map(|seed| seed[1..].to_vec()).collect();
        good.extend((0..2).map(|_| random.new_tree(&mut runner).expect("bytes").current()));
        let began = std::time::Instant::now();
        let shown = catch_unwind(|| show(decoder, &good));
        match shown {
            Ok(most) => {
                eprintln!("| {} | {} | {most} | {:?}", decoder.name, decoder.most, began.elapsed())
            }
            Err(_) => greedy.push(decoder.name),
        }
    }
    assert!(greedy.is_empty(), "these take too much: {greedy:?}");
    let liar = Decoder {
        name: "a liar",
        take: believes,
        check: |_| {},
        most: 1 << 20,
        factor: 2,
        text: false,
    };
    let shown = catch_unwind(|| liar.run(&varint(1 << 23), Some(&Counting)));
    assert!(shown.is_err(), "a decoder that believes a length is not found");
}
