//! Holding a process to a part of a core: by the kernel's control groups where they may be used,
//! else by stopping it for most of every 10 ms.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

const PERIOD_US: u64 = 10_000;
const ROOT: &str = "/sys/fs/cgroup";

/// Held as long as this lives.
pub struct Throttle {
    how: How,
    part: f64,
}

enum How {
    Group { version: u8, dir: PathBuf },
    Signals { process: Pid, stop: Arc<AtomicBool>, thread: Option<JoinHandle<()>> },
}

impl Throttle {
    /// Holds this process to such a part of one core.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn hold(process: u32, part: f64) -> Result<Throttle> {
        let root = Path::new(ROOT);
        let quota_us = (PERIOD_US as f64 * part) as u64;
        let how = in_group(root, process, quota_us)
            .or_else(|| in_old_group(&root.join("cpu"), process, quota_us))
            .map_or_else(|| by_signals(process, part), Ok)?;
        Ok(Throttle { how, part })
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Group { version, .. } => write!(
                f,
                "{} of a core, by a control group (version {version}) in periods of 10 ms",
                self.part
            ),
            How::Signals { .. } => {
                write!(f, "{} of the time, by SIGSTOP and SIGCONT every 10 ms", self.part)
            }
        }
    }
}

fn name() -> String {
    format!("hub-load-{}", std::process::id())
}

/// Version 2.
fn in_group(root: &Path, process: u32, quota_us: u64) -> Option<How> {
    let max = format!("{quota_us} {PERIOD_US}");
    group(root, process, 2, &[("cpu.max", max)])
}

/// Version 1.
fn in_old_group(root: &Path, process: u32, quota_us: u64) -> Option<How> {
    let settings =
        [("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota_us.to_string())];
    group(root, process, 1, &settings)
}

fn group(root: &Path, process: u32, version: u8, settings: &[(&str, String)]) -> Option<How> {
    let dir = root.join(name());
    std::fs::create_dir(&dir).ok()?;
    let set = settings.iter().all(|(file, value)| write_existing(&dir.join(file), value));
    if set && write_existing(&dir.join("cgroup.procs"), &process.to_string()) {
        return Some(How::Group { version, dir });
    }
    let _ = std::fs::remove_dir(&dir);
    None
}

/// Files of a group are there or not; none is to be made.
fn write_existing(path: &Path, value: &str) -> bool {
    path.exists() && std::fs::write(path, value).is_ok()
}

/// How long it runs and stands in each period.
fn turns(part: f64) -> (Duration, Duration) {
    let period = Duration::from_micros(PERIOD_US);
    let runs = period.mul_f64(part);
    (runs, period.saturating_sub(runs))
}

fn by_signals(process: u32, part: f64) -> Result<How> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).context("no process")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let (runs, stands) = turns(part);
    let thread = std::thread::spawn(move || {
        while !told.load(Relaxed) {
            let stopped = kill_process(process, Signal::STOP);
            std::thread::sleep(stands);
            if stopped.is_err() || kill_process(process, Signal::CONT).is_err() {
                return;
            }
            std::thread::sleep(runs);
        }
    });
    Ok(How::Signals { process, stop, thread: Some(thread) })
}

impl Drop for Throttle {
    fn drop(&mut self) {
        match &mut self.how {
            How::Group { version, dir } => {
                // A group goes once nothing is in it; what is in it goes back to the root.
                let root = dir.parent().unwrap_or(Path::new(ROOT)).join("cgroup.procs");
                let held = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                held.lines().for_each(|process| drop(std::fs::write(&root, process)));
                if std::fs::remove_dir(&*dir).is_err() {
                    let unlimited = if *version == 2 { "cpu.max" } else { "cpu.cfs_quota_us" };
                    let value = if *version == 2 { "max" } else { "-1" };
                    let _ = std::fs::write(dir.join(unlimited), value);
                }
            }
            How::Signals { process, stop, thread } => {
                stop.store(true, Relaxed);
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
                let _ = kill_process(*process, Signal::CONT);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::load::usage::Usage;

    /// A process that burns what it gets, until this goes.
    struct Burner(Child);

    impl Burner {
        fn start() -> Burner {
            let burn = ["-c", "while :; do :; done"];
            Burner(Command::new("sh").args(burn).stdout(Stdio::null()).spawn().unwrap())
        }

        fn is_stopped(&self) -> bool {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with('T')
        }

        fn cpu_s(&self) -> f64 {
            Usage::of(self.0.id()).unwrap().cpu_s
        }
    }

    impl Drop for Burner {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// However little the machine gives to whom: it comes to this in the end.
    fn comes(what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn by_signals_a_process_stands_and_runs_in_turns_and_runs_on_in_the_end() {
        assert_eq!(turns(0.2), (Duration::from_millis(2), Duration::from_millis(8)));
        let burner = Burner::start();
        let held = by_signals(burner.0.id(), 0.2).map(|how| Throttle { how, part: 0.2 }).unwrap();
        for _ in 0..5 {
            comes("it stands", || burner.is_stopped());
            comes("it runs", || !burner.is_stopped());
        }
        drop(held);
        let before = burner.cpu_s();
        comes("it runs on", || burner.cpu_s() > before + 0.05);
        assert!(!burner.is_stopped());
    }

    #[test]
    fn in_a_group_a_process_is_held_by_the_kernel_and_let_go_in_the_end() {
        let burner = Burner::start();
        let held = Throttle::hold(burner.0.id(), 0.2).unwrap();
        let How::Group { version, dir } = &held.how else {
            // None can be made here: it is held by signals, which the other test is about.
            return assert!(held.to_string().contains("SIGSTOP"));
        };
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
        let quota = if *version == 2 { read("cpu.max") } else { read("cpu.cfs_quota_us") };
        assert!(quota.starts_with("2000"), "2 of each 10 ms: {quota}");
        assert_eq!(read("cgroup.procs").trim(), burner.0.id().to_string());
        let times = || {
            read("cpu.stat")
                .lines()
                .find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok())
        };
        comes("the kernel holds it back", || times().is_some_and(|times| times > 2));
        let dir = dir.clone();
        drop(held);
        assert!(!dir.exists(), "nothing is left of the group");
        let before = burner.cpu_s();
        comes("it runs on", || burner.cpu_s() > before + 0.05);
    }
}
