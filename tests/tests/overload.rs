//! A hub that is held to a fifth of a core and offered ten times what it carries there. The figures are
//! for `load --overload` on a machine of its own; here it has to keep bounds that any machine keeps.

use std::path::Path;

use tests::load::run_as;

/// By how much an answer may take longer than of a hub that carries what it can, and milliseconds on top of that, for
/// a machine that does other things.
const SLOWER: (f64, f64) = (8.0, 400.0);

#[test]
fn a_flooded_hub_leaves_in_the_sockets_what_it_cannot_do_and_answers_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let flags =
        ["--profile=spread", "--wallets=60", "--connections=6", "--overload", "--seconds=2"];
    let hub = Path::new(env!("CARGO_BIN_EXE_test-hub"));
    let report = run_as(&flags, hub, dir.path());
    let (seen, text) = (report.overload.clone().unwrap(), report.text());
    // It pushes back, and holds no more than its limit and the frames that were let in at once.
    assert!(seen.reads_paused_ms >= seen.overload_ms / 2.0, "{text}");
    assert!(seen.most_ops_limit > 0.0 && seen.most_ops <= 3.0 * seen.most_ops_limit, "{text}");
    assert!(seen.not_taken > 0 && seen.completed_per_second > 0.0, "{text}");
    let normal = seen.answer_ms_normal * SLOWER.0 + SLOWER.1;
    assert!(seen.answer_ms_overload <= normal && seen.answer_ms_after <= normal, "{text}");
    // Whatever it read it answered: nothing failed until it was killed, and all of it came to its end
    // in both books.
    let mut failures = report.failures.iter();
    assert!(failures.all(|(why, _)| why.starts_with("after the restart")), "{text}");
    assert!(report.lost == 0 && report.conserved, "{text}");
}
