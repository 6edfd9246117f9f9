//! The load tool itself, for two seconds: whatever it measures, nothing is lost.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tests::load::run_as;

#[test]
fn a_small_load_loses_nothing_in_a_crash_of_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--profile=batch",
        "--wallets=20",
        "--connections=4",
        "--generator-threads=2",
        "--idle-channels=10",
        "--seconds=2",
        "--warm-up=0.2",
    ];
    let hub = Path::new(env!("CARGO_BIN_EXE_test-hub"));
    let report = run_as(&flags, hub, dir.path());
    assert!(report.payments_completed > 0 && report.payments_failed == 0, "{}", report.text());
    assert!(report.lost == 0 && report.conserved, "{}", report.text());
    assert!(report.restart_seconds > 0.0 && report.raw.verify_us > 0.0, "{}", report.text());
    // 16 payments under each signature of a wallet, and one batch signature of the hub for many.
    assert!((0.05..0.08).contains(&report.wallet_signatures_per_payment), "{}", report.text());
    assert!((0.05..0.08).contains(&report.verifications_per_payment), "{}", report.text());
    assert!(report.signatures_per_payment < 0.5, "{}", report.text());
    assert!(report.hub_signatures_checked > 0, "{}", report.text());
    assert_eq!(report.over_time.len(), 2, "{}", report.text());
}

#[test]
fn payments_that_fall_due_by_a_schedule_are_all_made() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--profile=spread",
        "--wallets=20",
        "--connections=2",
        "--rate=50",
        "--seconds=3",
        "--warm-up=1",
    ];
    let hub = Path::new(env!("CARGO_BIN_EXE_test-hub"));
    let report = run_as(&flags, hub, dir.path());
    assert!((100..200).contains(&report.payments_completed), "{}", report.text());
    assert!(report.is_good() && report.payments_failed == 0, "{}", report.text());
}

#[test]
fn in_a_mixed_load_channels_close_and_open_and_payments_fail_as_they_are_meant_to() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--profile=mixed",
        "--wallets=40",
        "--connections=4",
        "--churn=10",
        "--seconds=4",
        "--warm-up=2",
    ];
    let hub = Path::new(env!("CARGO_BIN_EXE_test-hub"));
    let report = run_as(&flags, hub, dir.path());
    assert!(report.channels_closed > 0 && report.channels_opened > 0, "{}", report.text());
    let share = report.payments_failed as f64 / report.payments_completed as f64;
    assert!((0.03..0.09).contains(&share), "{}", report.text());
    assert_eq!(report.payments_not_as_meant, 0, "{}", report.text());
    // Each wallet is paid a stream, which ends and begins anew with its channels.
    assert!(report.streams == 40 && report.stream_locks > 40, "{}", report.text());
    assert!(report.redemptions > 40 && report.steps_per_second > 100.0, "{}", report.text());
    assert!(report.is_good(), "{}", report.text());
}

#[test]
fn streams_are_redeemed_over_one_lock_after_the_other_and_nothing_of_them_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--profile=stream",
        "--wallets=30",
        "--connections=4",
        "--generator-threads=2",
        "--steps-per-lock=300",
        "--seconds=2",
        "--warm-up=1",
    ];
    let hub = Path::new(env!("CARGO_BIN_EXE_test-hub"));
    let report = run_as(&flags, hub, dir.path());
    assert!(report.stream_locks > 60 && report.redemptions > 60, "{}", report.text());
    // The last of a lock's 300 steps are fewer than a hundred for none of its redemptions.
    let steps = report.steps_per_second / report.redemptions_per_second;
    assert!((99.0..100.5).contains(&steps), "{}", report.text());
    assert!(report.hub_cpu_us_per_payment > 0.0, "{}", report.text());
    let by_hub = report.redemptions_per_second_by_hub / report.redemptions_per_second;
    assert!((0.5..2.0).contains(&by_hub), "{}", report.text());
    assert!(report.redemption_latency_ms.p50 > 0.0 && report.is_good(), "{}", report.text());
    // A lock that was under way when the hub was killed may find that its payee is not back yet.
    let mut failures = report.failures.iter();
    assert!(failures.all(|(why, _)| why.starts_with("after the restart")), "{}", report.text());
}

/// A hub that forgets redemptions, which their payees could show it again.
#[test]
fn a_hub_that_forgets_redemptions_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let hub = forgetful(dir.path(), 24_000).unwrap();
    let flags = [
        "--profile=stream",
        "--wallets=10",
        "--connections=2",
        "--steps-per-redemption=1",
        // Less than what is forgotten.
        "--ahead=16",
        "--seconds=1",
        "--warm-up=0.6",
    ];
    let report = run_as(&flags, &hub, dir.path());
    assert!(report.lost > 0, "{}", report.text());
}

/// A hub that forgets the end of what it had made durable is found out.
#[test]
fn a_hub_that_forgets_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let hub = forgetful(dir.path(), 100_000).unwrap();
    let flags =
        ["--profile=batch", "--wallets=20", "--connections=2", "--seconds=1", "--warm-up=1"];
    let report = run_as(&flags, &hub, dir.path());
    assert!(report.lost > 0 && !report.conserved, "{}", report.text());
}

/// What it had acknowledged is nowhere.
#[test]
fn a_hub_that_does_not_come_back_has_lost_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, script) = (env!("CARGO_BIN_EXE_test-hub"), dir.path().join("once"));
    let text = format!(
        "#!/bin/sh\n[ -e {0}/started ] && echo no disk >&2 && exit 1\ntouch {0}/started\nexec {hub} \"$@\"\n",
        dir.path().display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
    let flags =
        ["--profile=batch", "--wallets=20", "--connections=2", "--seconds=1", "--warm-up=0.5"];
    let report = run_as(&flags, &script, dir.path());
    assert!(report.payments_completed > 0, "{}", report.text());
    assert!(report.lost == report.payments_completed && !report.is_good(), "{}", report.text());
    assert!(report.text().contains("no disk"), "{}", report.text());
}

/// A hub that loses so many bytes of its journal before every start but the first.
fn forgetful(dir: &Path, bytes: u32) -> std::io::Result<PathBuf> {
    let (hub, script) = (env!("CARGO_BIN_EXE_test-hub"), dir.join("forgetful"));
    let text = format!(
        "#!/bin/sh\nlast=$(ls {0}/data/hub/journal/*.seg 2>/dev/null | tail -n 1)\n\
         [ -n \"$last\" ] && truncate -s -{bytes} \"$last\"\nexec {hub} \"$@\"\n",
        dir.display()
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, Permissions::from_mode(0o700))?;
    Ok(script)
}

/// What is measured on a slow disk waits for it: so many fdatasyncs fit into a second, and no more.
#[test]
fn a_slow_disk_is_waited_for_and_holds_up_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let flags = [
        "--profile=batch",
        "--wallets=20",
        "--connections=2",
        "--seconds=2",
        "--warm-up=0.5",
        "--fsync-delay-ms=50",
    ];
    let hub = Path::new(env!("CARGO_BIN_EXE_slow-hub"));
    let report = run_as(&flags, hub, dir.path());
    assert!(
        report.fsyncs_per_second <= 20.0 && report.latency_ms.p50 >= 100.0,
        "{}",
        report.text()
    );
    assert!(report.payments_completed > 100 && report.is_good(), "{}", report.text());
    assert_eq!(report.fsync_delay_ms, Some(50));
    assert!(report.text().contains("50 ms more"), "{}", report.text());
}
