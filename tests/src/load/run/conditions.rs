//! Under what conditions figures were measured: without them they mean nothing.

use anyhow::Result;
use settlement::params::Genesis;

use super::Run;
use crate::load::hub::Hub;
use crate::load::options::{Options, Profile};

impl Run<'_> {
    pub(super) fn conditions(&mut self, hub: &Hub, genesis: &Genesis) -> Result<()> {
        let options = self.options;
        let (cores, cpu) = machine();
        // A lane of a connection for each of them, as the hub says.
        let workers = hub.metrics()?.get("hub_lanes_per_connection").copied().unwrap_or_default();
        let ledger = if hub.ledger_id().is_some() {
            "in a process of its own, whose CPU time is not in the hub's"
        } else {
            "in the hub's process, and in its figures"
        };
        let loop_ = match options.rate {
            _ if options.profile == Profile::Mixed => mix(options),
            _ if options.profile == Profile::Stream => "no payments but streams".to_owned(),
            Some(rate) => format!(
                "open loop: {rate} payments a second fall due in groups of {}, each group at the \
                 next wallet in turn; latency counts from when a payment was due",
                options.per_signature()
            ),
            None => format!(
                "closed loop: each wallet makes the next {} payments under one signature once \
                 fewer than {} are left pending; latency counts from when the update is made",
                options.per_signature(),
                options.per_signature() * (options.rounds - 1) + 1,
            ),
        };
        let conditions = [
            format!("{cores} cores ({cpu}), shared by hub and wallets"),
            format!(
                "the hub: {} shard thread(s), {workers} verify worker(s), default settings with a \
                 development ledger {ledger}: a block every {} ms",
                options.shards, genesis.block_interval_ms
            ),
            format!("the hub's program: {}", hub.program()),
            format!(
                "its data: {}; {} MiB of cache for its index",
                disk(self.dir),
                hub::config::Storage::default().cache_bytes >> 20
            ),
            loop_,
            format!(
                "wallets: {} on {} thread(s), payees at random among those of the same thread, 1 \
                 to 100 units each; a deposit of {} on the wallet's side and {} on the hub's; {} idle \
                 channels besides",
                options.wallets,
                options.generator_threads(),
                options.deposit,
                options.inbound(),
                options.idle_channels
            ),
            "nothing is signed ahead; every distinct batch signature of the hub's is checked, and \
             every rule on every update; wallets keep what they know in memory"
                .to_owned(),
            "a payment is completed when the payee's secret has reached the payer, which the hub \
             passes on once both legs are durable; that they are on the disk by then, and not in the \
             system's cache, which outlives kill -9, is not seen here (tests/tests/strace_order.rs)"
                .to_owned(),
        ];
        self.report.conditions = conditions.into();
        self.report.conditions.extend(streams(options));
        let slow = options.fsync_delay_ms;
        self.report.conditions.extend(slow.map(|ms| {
            format!("a slow disk: each fdatasync of the hub's journal takes {ms} ms more")
        }));
        Ok(())
    }
}

/// What is said of streams, if there are any.
fn streams(options: &Options) -> Vec<String> {
    let streams = options.streams();
    if streams.streams == 0 {
        return Vec::new();
    }
    let each = streams.steps_per_redemption;
    let pace = match options.redemptions() {
        Some(rate) => format!("{rate} redemptions a second fall due, one stream after the other"),
        None => "a stream is redeemed again and again".to_owned(),
    };
    vec![
        format!(
            "{} streams, each from a wallet to the next one, of 1 a step; a redemption is of {each} \
             steps, the last of a lock's {} of what is left; {pace}, while its payer is still to be told \
             of fewer than {}",
            streams.streams, streams.steps_per_lock, streams.ahead
        ),
        "payer and payee hand steps over within the generator and not by the relay, and the payee \
         hashes each; nothing is computed ahead: a chain is made when its lock is added, and every \
         256th value of it kept"
            .to_owned(),
        "a redemption counts once the hub has told the payer, which it does five times a second and \
         after the record of that very redemption is durable; after the restart neither side says \
         anything again before the hub has shown each payer what it had been told"
            .to_owned(),
    ]
}

fn mix(options: &Options) -> String {
    let pace = match options.rate {
        Some(rate) => format!(
            "open loop: {rate} payments a second fall due, latency counts from when they were due"
        ),
        None => "closed loop: a wallet goes on when nothing of its own is pending; latency counts \
                 from when the update is made"
            .to_owned(),
    };
    format!(
        "{pace}; of 95 payments 70 are single ones, 20 come 16 to a signature, and 5 are to fail \
         (unknown payee, no funds on the hub's side, refused by the payee); {} channels a second \
         are closed by both sides and opened anew by their wallets",
        options.churn
    )
}

fn machine() -> (usize, String) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    (cores, name.map_or("unknown", |(_, name)| name.trim()).to_owned())
}

/// Kind and device of the file system that the directory is on.
fn disk(dir: &std::path::Path) -> String {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let under = fields.filter(|(_, at, _)| dir.starts_with(at));
    let nearest = under.max_by_key(|(_, at, _)| at.len());
    nearest.map_or("an unknown disk".to_owned(), |(device, _, kind)| format!("{kind} on {device}"))
}
