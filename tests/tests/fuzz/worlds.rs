//! Bytes as what happens.

use tests::fuzz::world::{pair, simulated};
use tests::sim::{Plan, run};

use super::{bytes, for_some_time};

#[test]
fn bytes_as_what_happens_in_a_world_of_two_wallets_and_a_hub() {
    for_some_time(&bytes(600), 60, |bytes| simulated(&bytes));
}

#[test]
fn bytes_as_moves_of_two_wallets_against_a_hub() {
    for_some_time(&bytes(160), 60, |bytes| pair(&bytes));
}

/// What finds nothing wrong with that would find nothing: processes that act before their disks have
/// what they act on.
#[test]
fn bytes_find_a_world_that_goes_wrong() {
    let line = |seed: u64| {
        use rand::{Rng, SeedableRng};
        let mut bytes = vec![0; 700];
        rand_chacha::ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    };
    let careless = |bytes: Vec<u8>| Plan { careless: true, ..Plan::given(&bytes) };
    let found = (1..=400).find(|seed| run(&careless(line(*seed))).is_err());
    assert!(found.is_some(), "no world goes wrong");
    eprintln!("with the bytes of seed {}", found.unwrap());
}
