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

fn by_signals(process: u32, part: f64) -> Result<How> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw).context("no process")?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let period = Duration::from_micros(PERIOD_US);
    let runs = period.mul_f64(part);
    let thread = std::thread::spawn(move || {
        while !told.load(Relaxed) {
            let stopped = kill_process(process, Signal::STOP);
            std::thread::sleep(period.saturating_sub(runs));
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
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;
    use crate::load::usage::Usage;

    /// A process that burns what it gets.
    fn burner() -> std::process::Child {
        let burn = ["-c", "while :; do :; done"];
        Command::new("sh").args(burn).stdout(Stdio::null()).spawn().unwrap()
    }

    fn burns(process: u32) -> f64 {
        let (before, began) = (Usage::of(process).unwrap(), Instant::now());
        while began.elapsed() < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(10));
        }
        Usage::of(process).unwrap().since(&before).cpu_s / began.elapsed().as_secs_f64()
    }

    #[test]
    fn a_process_that_is_held_gets_its_part_and_goes_on_after_that() {
        let mut child = burner();
        let by_signals = by_signals(child.id(), 0.2).map(|how| Throttle { how, part: 0.2 });
        let by_signals = by_signals.unwrap();
        let held = burns(child.id());
        drop(by_signals);
        let throttle = Throttle::hold(child.id(), 0.2).unwrap();
        let (held_too, how) = (burns(child.id()), throttle.to_string());
        drop(throttle);
        let free = burns(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(held < 0.35 && held_too < 0.35, "by signals {held}, {how}: {held_too}");
        // How much it gets is for the machine's other processes to say.
        assert!(free > 0.0);
    }
}
