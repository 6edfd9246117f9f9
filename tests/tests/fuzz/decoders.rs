//! Every decoder takes what it would write, and nothing else; none panics.

use proptest::prelude::*;
use proptest::sample::Index;
use tests::fuzz::decoders::{addressed, run};
use tests::fuzz::mutate::damaged;
use tests::fuzz::{seeds, table};

use super::{bytes, damage, for_some_time};

#[test]
fn the_good_bytes_are_good() {
    let all = table::all();
    let mut taken = vec![0; all.len()];
    for seed in seeds::all() {
        let place = usize::from(seed[0]);
        assert!(run(&seed, None), "{} refuses {}", all[place].name, hex::encode(&seed[1..]));
        taken[place] += 1;
    }
    let with_seeds = taken.iter().filter(|count| **count > 0).count();
    assert!(with_seeds >= 20, "{with_seeds} decoders have good bytes");
    // A world in which nothing is under way has little to show.
    let of = |name| taken[all.iter().position(|one| one.name == name).unwrap()];
    let of_world = ["shard::Record", "wallet::Record", "channel::Channel"].map(of);
    assert_eq!(of_world, [20, 20, 2]);
}

#[test]
fn random_bytes() {
    let places = table::all().len();
    for_some_time(&(0..places, bytes(200)), 2_000, |(place, bytes)| {
        run(&addressed(place, &bytes), None);
    });
}

#[test]
fn near_misses_of_good_bytes() {
    let seeds = seeds::all();
    let near = (any::<Index>(), any::<Index>(), damage());
    for_some_time(&near, 2_000, |(one, other, damage)| {
        let (one, other) = (one.get(&seeds), other.get(&seeds));
        let bytes = damaged(&one[1..], &other[1..], &damage);
        run(&addressed(usize::from(one[0]), &bytes), None);
    });
}

/// What is good for one is shown to all.
#[test]
fn good_bytes_of_others() {
    let seeds = seeds::all();
    for place in 0..table::all().len() {
        for seed in &seeds {
            run(&addressed(place, &seed[1..]), None);
        }
    }
}
