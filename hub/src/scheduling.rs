//! How the operating system divides cores among the hub's threads.
//!
//! A payment passes from thread to thread: socket, verify worker, shard, committer, outbox. Where
//! each wake-up takes the core from whoever computes, every thread finds little to do when it runs,
//! and a worker finds its tables out of the cache when it goes on. `SCHED_BATCH` lets a thread finish
//! its turn, a few milliseconds at most; what has gathered meanwhile is then done at once. An idle
//! core still takes a woken thread at once.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

const BATCH: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

/// The niceness that the thread has already, of 0 to 99 for 19 down to -20 and rounded down. One less
/// would take a privilege.
const NICENESS_0: u8 = 48;

/// Has this thread, and those that it starts from now on, not take a core from another thread that
/// has not finished its turn. Says whether that holds now: a niceness that somebody gave the process
/// is left alone, and with it everything else.
pub(crate) fn finish_turns() -> bool {
    // Whoever starts the program may have seen to it, and have taken the right to do so away.
    if thread_schedule_policy() == Ok(BATCH) {
        return true;
    }
    if !matches!(rustix::process::getpriority_process(None), Ok(0)) {
        return false;
    }
    let Ok(as_it_is) = ThreadPriorityValue::try_from(NICENESS_0) else { return false };
    let as_it_is = ThreadPriority::Crossplatform(as_it_is);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), as_it_is, BATCH) {
        tracing::warn!(%error, "a wake-up may take the core from a thread that computes");
        return false;
    }
    thread_schedule_policy() == Ok(BATCH)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests fail by a panic")]

    use super::*;

    #[test]
    fn threads_finish_their_turns_and_so_do_those_they_start() {
        // The system's threads each have their own.
        let nice = || rustix::process::getpriority_process(None);
        let inherited = nice();
        let started = std::thread::spawn(move || {
            let done = finish_turns();
            let started = std::thread::spawn(move || (thread_schedule_policy(), nice()));
            (done, started.join().unwrap())
        });
        let (done, (policy, niceness)) = started.join().unwrap();
        // Whoever gave the process a niceness meant it.
        let expected = inherited == Ok(0);
        assert_eq!((done, policy == Ok(BATCH), niceness), (expected, expected, inherited));
        assert_ne!(thread_schedule_policy(), Ok(BATCH), "nobody else's thread is changed");
    }
}
