//! Stopping: nothing new, what is pending answered, everything durable and checkpointed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use settlement::reject::Code;
use tokio::sync::watch;
use tokio::task;
use tokio::time::{interval, timeout};

use super::open::Opened;
use crate::hub::Hub;
use crate::shard::Input;
use crate::shards::Job;
use crate::sync::thread::JoinHandle;

/// How long pending payments may take.
const PENDING: Duration = Duration::from_secs(5);
/// How often it is looked whether some are left.
const LOOK: Duration = Duration::from_millis(20);
/// How long goodbyes may take.
const GOODBYES: Duration = Duration::from_secs(2);

/// See the module.
pub(super) async fn stop(
    hub: Arc<Hub>,
    opened: Opened,
    stop: &watch::Sender<bool>,
    servers: Vec<task::JoinHandle<()>>,
) {
    hub.draining.store(true, Relaxed);
    hub.shared.queues.iter().for_each(|queue| queue.push(Job::Input(Input::Drain)));
    opened.tasks.iter().for_each(task::JoinHandle::abort);
    // One that is fenced brings nothing to an end any more.
    let pending = if hub.authority.is_fenced() { Duration::ZERO } else { PENDING };
    if timeout(pending, quiet(&hub)).await.is_err() {
        tracing::info!(pending = hub.shared.pending(), "stopping with payments pending");
    }
    hub.peers().close_all(Code::ShuttingDown);
    stop.send_replace(true);
    if timeout(GOODBYES, hub.peers().gone()).await.is_err() {
        tracing::info!(connections = hub.peers().len(), "stopping with connections that stay");
    }
    for server in servers {
        let _ = server.await;
    }
    opened.follower.abort();
    let ledger = opened.ledger;
    let ended = task::spawn_blocking(move || {
        hub.pool.close();
        opened.verifiers.into_iter().for_each(join);
        // The shards stand still for it, so they must still run.
        opened.checkpointer.stop();
        hub.shared.queues.iter().for_each(|queue| queue.push(Job::Stop));
        opened.shards.into_iter().for_each(join);
        hub.shared.queues.iter().for_each(crate::queue::Queue::close);
        hub.shared.log.close();
        join(opened.committer);
        join(opened.outbox);
        drop(opened.lock);
    });
    if ended.await.is_err() {
        tracing::error!("the hub did not stop cleanly; the journal has everything");
    }
    // Last, so that what the outbox brought to it was taken in.
    if let Some(ledger) = ledger {
        ledger.stop().await;
    }
}

/// Until no payment is pending.
async fn quiet(hub: &Hub) {
    let mut look = interval(LOOK);
    while hub.shared.pending() > 0 {
        look.tick().await;
    }
}

fn join<T>(thread: JoinHandle<T>) {
    if thread.join().is_err() {
        tracing::error!("a thread did not end cleanly");
    }
}
