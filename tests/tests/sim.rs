//! Seeded worlds, in the short form that every change is tested with. The long form is
//! `cargo run --release -p tests --bin sim -- --seeds 10000`.

use tests::sim::{Plan, Report, run};

fn add(sum: &mut Report, report: Report) {
    sum.settled += report.settled;
    sum.failed += report.failed;
    sum.crashes += report.crashes;
    sum.disconnects += report.disconnects;
    sum.thefts += report.thefts;
    sum.restored += report.restored;
    sum.forgotten += report.forgotten;
    sum.blurred += report.blurred;
}

#[test]
fn every_unit_is_where_the_rules_say_whatever_breaks() {
    let mut sum = Report::default();
    for seed in 1..=150 {
        let plan = Plan { seed, events: 150, crash_at_write: None, faults: true };
        add(&mut sum, run(plan).unwrap_or_else(|story| panic!("{story}")));
    }
    // A world in which nothing happens proves nothing.
    assert!(sum.settled > 500 && sum.failed > 200, "{sum:?}");
    assert!(sum.crashes > 150 && sum.disconnects > 100 && sum.thefts > 10, "{sum:?}");
    assert!(sum.restored > 40 && sum.forgotten <= sum.restored / 10, "{sum:?}");
    assert!(sum.blurred <= sum.restored / 10, "{sum:?}");
}

#[test]
fn a_crash_at_each_write_of_each_process_loses_nothing() {
    for who in 0..3 {
        for nth in 1..=60 {
            let plan =
                Plan { seed: 7, events: 120, crash_at_write: Some((who, nth)), faults: false };
            run(plan).unwrap_or_else(|story| panic!("process {who}, write {nth}: {story}"));
        }
    }
}
