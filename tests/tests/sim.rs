//! Seeded worlds, in the short form that every change is tested with. The long form is
//! `cargo run --release -p tests --bin sim -- --minutes 120`.

use std::time::{SystemTime, UNIX_EPOCH};

use tests::sim::{Kind, Plan, Report, run, shrink};

fn must_hold(plan: &Plan) -> Report {
    run(plan).unwrap_or_else(|wrong| {
        let (shorter, wrong) = shrink(plan).unwrap_or((plan.clone(), wrong));
        panic!("{shorter:?}: {}\n{}", wrong.what, wrong.story)
    })
}

#[test]
fn every_unit_is_where_the_rules_say_whatever_breaks() {
    let mut sum = Report::default();
    for seed in 1..=150 {
        sum.add(&must_hold(&Plan::of(seed, 150)));
    }
    // A world in which nothing happens proves nothing.
    assert!(sum.settled > 2_000 && sum.failed > 200 && sum.steps > 100, "{sum:?}");
    assert!(sum.crashes > 150, "{sum:?}");
    // What breaks between honest sides seldom costs a channel, and where it does not they pay on.
    assert!(sum.open * 5 >= sum.honest * 4 && sum.again > 40, "{sum:?}");
    let (forgetful, common) = (sum.counts.of(Kind::OldCopy), sum.counts.of(Kind::Disconnected));
    assert!(common > 100, "{sum:?}");
    assert!(forgetful > 40 && sum.forgotten <= forgetful / 10, "{sum:?}");
    assert!(sum.blurred <= forgetful / 10, "{sum:?}");
}

/// Other seeds each time, so that every run adds to what was tried; a failure names its seed.
#[test]
fn every_unit_is_where_the_rules_say_with_seeds_nobody_has_tried() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = u64::try_from(now.as_nanos() >> 16).unwrap();
    for seed in first..first + 100 {
        must_hold(&Plan::of(seed, 150));
    }
}

/// What finds nothing wrong with that would find nothing.
#[test]
fn processes_that_act_before_their_disks_have_it_are_found() {
    let found = (1..=300).map(|seed| Plan { careless: true, ..Plan::of(seed, 150) });
    let failing = found.into_iter().find(|plan| run(plan).is_err());
    let plan = failing.expect("a world goes wrong");
    let (shorter, wrong) = shrink(&plan).expect("what fails once fails again");
    let events = shorter.only.map_or(usize::MAX, |events| events.len());
    assert!(events < 40 && !wrong.story.is_empty(), "{events}: {}", wrong.story);
}

/// A world in which nobody can pay has every unit in its place.
#[test]
fn a_hub_that_passes_nothing_on_is_found() {
    let mut plans = (1..=60).map(|seed| Plan { drained: true, ..Plan::of(seed, 150) });
    let wrong = plans.find_map(|plan| run(&plan).err()).expect("a world goes wrong");
    assert!(wrong.what.contains("can't pay though all has healed"), "{}", wrong.what);
}

#[test]
fn an_end_at_each_operation_of_each_disk_loses_nothing() {
    for who in 0..3 {
        for nth in 1..=60 {
            let end_at = Some((who, nth, nth % 2 == 0));
            must_hold(&Plan { end_at, faults: false, ..Plan::of(7, 120) });
        }
    }
}

/// What long runs found, in the product or in the checker.
#[test]
fn worlds_that_went_wrong_once_hold() {
    let found = [
        10_019_035,
        10_023_404,
        10_028_180,
        20_000_714,
        30_013_190,
        40_040_950,
        40_050_809,
        40_057_867,
        50_187_677,
        70_041_047,
        70_065_853,
        80_014_297,
        95_000_101,
        95_001_714,
        96_005_287,
        96_008_047,
        96_073_738,
        99_039_401,
        110_193_514,
    ];
    for seed in found {
        // They were found before worlds were late.
        must_hold(&Plan { late: false, ..Plan::of(seed, 150) });
    }
    let since = [
        98,
        249,
        2_483,
        7_001_239,
        61_000_535,
        61_001_630,
        61_002_358,
        120_007_018,
        130_019_813,
        140_121_242,
        140_145_271,
        140_191_286,
        150_000_366,
        150_002_780,
        170_069_254,
        170_106_073,
        170_113_412,
        170_200_469,
        170_233_872,
        190_016_636,
        190_018_696,
        190_041_234,
        610_350,
        610_819,
    ];
    for seed in since {
        must_hold(&Plan::of(seed, 150));
    }
    // Of this one all events went well since the hub signs only once it has followed the ledger. These did not.
    let few = [0, 1, 2, 3, 13, 15, 29, 31, 32, 40, 45, 48, 49, 50, 51, 52, 57, 60, 65, 74, 85];
    must_hold(&Plan { only: Some(few.to_vec()), ..Plan::of(170_200_469, 150) });
}
