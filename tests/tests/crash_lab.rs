//! The crash lab in the short form that every change is tested with: each blow once, in an order of
//! its own each time. The long form is `cargo run --release -p tests --bin crash-lab`.

use tests::crash_lab::blow::Blow;
use tests::crash_lab::tail::{Image, quick_dir};
use tests::crash_lab::{Plan, leave_journals, run};

#[test]
fn nothing_acknowledged_is_missing_whatever_is_done_to_the_processes_and_their_disk() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let plan = Plan { rounds: Blow::COUNT, seed, towns: 1 };
    let report = run(&tests::programs!(), plan, &|line| println!("{line}"));
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert_eq!((report.rounds, report.blows.len() as u64), (Blow::COUNT, Blow::COUNT));
    assert_eq!(report.changed.values().sum::<u64>(), Blow::ON_INDEX.len() as u64, "{report:?}");
    assert!(report.payments > 50 && report.kills > 10 && report.refused == 1, "{report:?}");
}

#[test]
fn a_journal_that_a_hub_has_left_is_cut_to_whole_groups_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (journal, kind) in leave_journals(&tests::programs!(), dir.path()) {
        let image = Image::of(&journal, kind).unwrap();
        // A prime, so that every place of a frame is met.
        let tried = image.try_all(quick_dir().unwrap().path(), 97);
        let tried = tried.unwrap_or_else(|wrong| panic!("{}: {wrong}", kind.name()));
        assert!(tried.cuts > 600 && tried.refused > 500, "{tried:?}");
    }
}
