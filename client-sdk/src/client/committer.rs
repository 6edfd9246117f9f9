//! The committer: one thread that makes groups durable and then performs what follows from them.
//!
//! It never waits for a connection or a ledger. A connection whose queue is full is dropped, and
//! meeting again says everything anew; so a hub that does not read can't hold up other wallets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use settlement::bugs::{Bug, planted};
use settlement::encoding::encode;
use settlement::index::Change;
use settlement::journal::{Journal, Lsn, abort_on, append_to};

use super::connection::{Batch, Outgoing, Outlet};
use super::members::Members;
use super::pipe::{Effect, Group, Pipe};
use super::submit::Submissions;
use crate::wallet::Action;

/// What the index thread takes: the rows that changed up to a position.
pub(crate) type Rows = (Lsn, Vec<Change>);

/// Everything that the committer's thread owns.
pub(crate) struct Committer {
    pub(crate) pipe: Arc<Pipe>,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) indexer: SyncSender<Rows>,
    /// Up to where two checkpoints cover the journal.
    pub(crate) archivable: Arc<AtomicU64>,
    pub(crate) members: Arc<Members>,
    pub(crate) outlets: Vec<Outlet>,
    pub(crate) submissions: Submissions,
}

impl Committer {
    /// Runs until the pipe is closed and empty.
    pub(crate) fn run(mut self) {
        let mut batches: Vec<Batch> = self.outlets.iter().map(|_| Batch::new()).collect();
        while let Some(group) = self.pipe.take() {
            let Group { entries, mut effects, checkpoint } = group;
            if planted(Bug::PerformBeforeSync) {
                effects.drain(..).for_each(|effect| self.perform(effect, &mut batches));
                self.flush(&mut batches);
            }
            for entry in &entries {
                self.append(&encode(entry));
            }
            let durable = self.journal.sync().unwrap_or_else(|error| abort_on(&error));
            if let Some(rows) = checkpoint {
                // The index thread takes one at a time, and the core asks for the next only later.
                let _ = self.indexer.send((durable, rows));
                self.archive();
            }
            for effect in effects {
                self.perform(effect, &mut batches);
            }
            self.flush(&mut batches);
        }
    }

    fn flush(&self, batches: &mut [Batch]) {
        for (outlet, batch) in self.outlets.iter().zip(batches) {
            outlet.send(std::mem::take(batch));
        }
    }

    /// Moves what no start will need any more out of the way. Only convenience: a later one does it
    /// as well.
    fn archive(&mut self) {
        let archived = self.journal.archive_before(self.archivable.load(Ordering::Acquire));
        if let Err(error) = archived {
            tracing::warn!(%error, "old segments of the journal stay where they are");
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        // Its effects wait for the sync of the whole group all the same.
        if let Err(error) = append_to(self.journal.as_mut(), bytes) {
            abort_on(&error);
        }
    }

    fn perform(&self, effect: Effect, batches: &mut [Batch]) {
        let mut say = |connection: usize, outgoing: Outgoing| {
            if let Some(batch) = batches.get_mut(connection) {
                batch.push(outgoing);
            }
        };
        match effect {
            Effect::Say(connection, message) => say(connection, Outgoing::Message(message)),
            Effect::Met { connection, session } => say(connection, Outgoing::Met(session)),
            Effect::Release(release) => release(),
            Effect::Perform(index, action) => match action {
                Action::Send(message) => {
                    say(self.members.connection_of(index), Outgoing::Message(message));
                }
                Action::SendUpdate { channel, base, ops, proof } => {
                    let update = Outgoing::Update { index, channel, base, ops, proof };
                    say(self.members.connection_of(index), update);
                }
                Action::Submit(submission) => self.submissions.give(index, submission),
                Action::Tell(event) => self.members.tell(index, event),
            },
        }
    }
}

#[cfg(test)]
mod tests;
