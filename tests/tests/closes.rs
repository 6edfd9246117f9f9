//! Everybody closes at once, with few enough wallets for every run of the tests. The same with ten
//! thousand: `cargo run --release -p tests --bin closes`.

use tests::closes::{Plan, run, run_processes};

#[test]
fn simultaneous_closes_are_answered_within_half_of_the_window_and_paid_out_right() {
    let report = run(Plan { channels: 100, shards: 2 }, &mut |_| {});
    assert_eq!((report.closed, report.cheated), (100, 50));
    assert!(report.took() <= report.window / 2, "{report:?}");
    let paid_out = report.paid_out.map(|(_, height)| height);
    assert!(paid_out > Some(report.closes.1.after(report.window)), "{report:?}");
}

/// The same over sockets, through the hub's desk, up to the last answer.
#[test]
fn simultaneous_closes_are_answered_by_a_hub_in_a_process_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let report = run_processes(&tests::programs!(), dir.path(), 60, &mut |_| {});
    assert_eq!((report.closed, report.cheated), (60, 30));
    assert!(report.took() <= report.window / 2, "{report:?}");
}
