//! What the machine does by itself in the same run, so that figures of two machines can be compared.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use settlement::crypto::{Signable, SigningKey, VerifyingKey, chain_step};
use settlement::proof::BalanceProof;
use settlement::types::{Amount, ChannelId, Hash, Role, Signature};

/// How long each rate is measured in a round.
const EACH: Duration = Duration::from_millis(150);
/// Rounds at a time, half of them before the load and half after; the median counts.
const ROUNDS: usize = 3;
/// Bytes of one write.
const WRITE: usize = 16 << 10;

/// Raw rates, each the median of several rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Raw {
    /// Microseconds of CPU for checking a signature with a parsed key, on one core.
    pub verify_us: f64,
    /// Microseconds of CPU for making one.
    pub sign_us: f64,
    /// Microseconds of CPU for one step of a SHA-256 chain.
    pub sha256_step_us: f64,
    /// Microseconds for writing 16 KiB and `fdatasync`, on the disk of the hub's data.
    pub fdatasync_us: f64,
    /// Signatures checked in a second on all cores together, by the wall clock: less than one core's
    /// rate allows for if other programs had the cores as well.
    pub verify_per_second_all_cores: f64,
}

/// The rounds measured so far.
#[derive(Debug, Default)]
pub struct Rounds(Vec<Raw>);

impl Rounds {
    /// Measures some more. The hub should be idle.
    ///
    /// # Errors
    /// When the disk can't be written to.
    pub fn measure(&mut self, dir: &Path) -> Result<()> {
        let made = Made::new()?;
        for _ in 0..ROUNDS {
            self.0.push(Raw {
                verify_us: time(cpu, || made.verify()),
                sign_us: time(cpu, || {
                    std::hint::black_box(made.key.sign(&made.digest));
                }),
                sha256_step_us: steps(),
                fdatasync_us: syncs(dir)?,
                verify_per_second_all_cores: made.all_cores(),
            });
        }
        Ok(())
    }

    /// The median of each rate.
    pub fn median(&self) -> Raw {
        let of = |rate: fn(&Raw) -> f64| median(self.0.iter().map(rate).collect());
        Raw {
            verify_us: of(|raw| raw.verify_us),
            sign_us: of(|raw| raw.sign_us),
            sha256_step_us: of(|raw| raw.sha256_step_us),
            fdatasync_us: of(|raw| raw.fdatasync_us),
            verify_per_second_all_cores: of(|raw| raw.verify_per_second_all_cores),
        }
    }
}

/// The middle one; the mean of the two in the middle of an even number; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) =
        (values.get(values.len().saturating_sub(1) / 2), values.get(values.len() / 2))
    else {
        return 0.0;
    };
    (low + high) / 2.0
}

/// A proof with its signature.
struct Made {
    key: SigningKey,
    public: VerifyingKey,
    digest: Hash,
    signature: Signature,
}

impl Made {
    fn new() -> Result<Made> {
        let key = SigningKey::from_bytes([7; 32])?;
        let proof = BalanceProof {
            channel: ChannelId([1; 32]),
            from: Role::Wallet,
            seq: 1,
            transferred: Amount(1),
            locked: Amount(0),
            locks_root: Hash::ZERO,
            peer_seq: 0,
            peer_transferred: Amount(0),
        };
        let digest = proof.digest();
        let (public, signature) = (VerifyingKey::parse(&key.public())?, key.sign(&digest));
        Ok(Made { key, public, digest, signature })
    }

    fn verify(&self) {
        assert!(self.public.verify(&self.digest, &self.signature).is_ok());
    }

    fn all_cores(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let began = Instant::now();
        let wall = || began.elapsed();
        let rates: Vec<f64> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..cores).map(|_| scope.spawn(|| 1e6 / time(wall, || self.verify()))).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        rates.iter().sum()
    }
}

/// Microseconds that it takes by this clock.
fn time(clock: impl Fn() -> Duration, mut what: impl FnMut()) -> f64 {
    let (began, from, mut count) = (Instant::now(), clock(), 0u32);
    while began.elapsed() < EACH {
        (0..64).for_each(|_| what());
        count += 64;
    }
    (clock() - from).as_secs_f64() * 1e6 / f64::from(count)
}

/// What this thread has had of a core. What the hub's CPU time is compared with must not count the time
/// in which others had it.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn steps() -> f64 {
    let mut value = [0; 32];
    let each = time(cpu, || value = chain_step(&value));
    std::hint::black_box(value);
    each
}

fn syncs(dir: &Path) -> Result<f64> {
    let path = dir.join("raw");
    let mut file = std::fs::File::create(&path).context("a file for the raw rate of the disk")?;
    let bytes = [7; WRITE];
    let mut took = Vec::new();
    let began = Instant::now();
    while began.elapsed() < EACH {
        let one = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        took.push(one.elapsed().as_secs_f64() * 1e6);
    }
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(median(took))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside other programs a thread waits for a core, which costs it nothing of one.
    #[test]
    fn a_raw_rate_of_a_core_counts_no_time_in_which_others_have_it() {
        let (began, from) = (Instant::now(), cpu());
        let others = std::thread::spawn(move || while began.elapsed() < EACH {});
        others.join().unwrap();
        assert!(cpu() - from < began.elapsed() / 2, "{:?}", cpu() - from);
        assert!(steps() > 0.0);
    }

    #[test]
    fn medians() {
        let cases: [(&[f64], f64); 4] =
            [(&[], 0.0), (&[3.0], 3.0), (&[9.0, 1.0, 2.0], 2.0), (&[4.0, 1.0, 2.0, 9.0], 3.0)];
        for (values, expected) in cases {
            assert_eq!(median(values.to_vec()), expected, "{values:?}");
        }
    }
}
