//! What a process has used, as the kernel counts it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// Kernel clock ticks a second, which Linux fixes at 100 for everything that it prints.
const TICKS: f64 = 100.0;

/// What a process had used at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of CPU, in user space and in the kernel.
    pub cpu_s: f64,
    /// The same by the names of its threads, numbers at their ends left out.
    pub threads: BTreeMap<String, f64>,
    /// Resident bytes.
    pub rss: u64,
}

impl Usage {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(process: u32) -> Result<Usage> {
        let read = |what: &str| {
            let path = format!("/proc/{process}/{what}");
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let cpu_s = cpu_s(&read("stat")?).context("/proc/…/stat")?;
        let rss = rss(&read("status")?).context("/proc/…/status")?;
        let mut threads: BTreeMap<String, f64> = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{process}/task"))?.flatten() {
            // A thread may end between the two.
            let Ok(used) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let Ok(name) = std::fs::read_to_string(task.path().join("comm")) else { continue };
            let ns: f64 = used.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0);
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *threads.entry(name.to_owned()).or_default() += ns / 1e9;
        }
        Ok(Usage { cpu_s, threads, rss })
    }

    /// What was used since; memory as it is now.
    #[must_use]
    pub fn since(&self, before: &Usage) -> Usage {
        let threads = self.threads.iter().map(|(name, cpu_s)| {
            (name.clone(), cpu_s - before.threads.get(name).copied().unwrap_or(0.0))
        });
        Usage { cpu_s: self.cpu_s - before.cpu_s, threads: threads.collect(), rss: self.rss }
    }
}

fn cpu_s(stat: &str) -> Option<f64> {
    // The name in brackets may hold anything.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some((user + kernel) / TICKS)
}

fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_the_ones_that_the_kernel_documents() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 5 0 100 1 2";
        assert_eq!(cpu_s(stat), Some(3.0));
        assert_eq!(rss("Name:\thub\nVmRSS:\t    1234 kB\n"), Some(1234 * 1_024));
    }

    #[test]
    fn this_process_uses_what_it_burns() {
        let before = Usage::of(std::process::id()).unwrap();
        let began = std::time::Instant::now();
        let mut used = Usage::default();
        // How long that takes is for the machine's other processes to say.
        let by_threads = |used: &Usage| used.threads.values().sum::<f64>();
        let burnt = |used: &Usage| used.cpu_s > 0.05 && by_threads(used) > 0.05;
        while !burnt(&used) && began.elapsed().as_secs() < 60 {
            used = Usage::of(std::process::id()).unwrap().since(&before);
        }
        assert!(used.cpu_s > 0.05 && used.rss > 0, "{used:?}");
        assert!(by_threads(&used) > 0.05);
    }
}
