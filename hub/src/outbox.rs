//! Performs what shards decided, once the records before it are durable.
//!
//! It gets the releases of one commit at a time, in order. All proofs of a commit are signed
//! together, up to 256 under one signature. Frames are put into the queues of their connections,
//! and each writer is woken once for all of them.
//!
//! It alone knows which connection a channel's messages go to: connections come and go in the same
//! order as the messages, so nothing said before a wallet met the hub again reaches its new
//! connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::thread::{Builder, JoinHandle};

use settlement::crypto::{BATCH_MAX, MerklePath, Signable, Signed, SigningKey, sign_batch};
use settlement::proof::BalanceProof;
use settlement::types::{ChannelId, Hash, Salt, Signature};
use settlement::update::{Op, Update};
use settlement::wire::Message;

use crate::counters::{Counters, add};
use crate::desk::{Desk, Errand};
use crate::peer::Peer;
use crate::shard::Action;
use crate::shards::Release;
use crate::tickets::Tickets;

/// What the outbox works with.
pub(crate) struct Outbox {
    key: Arc<SigningKey>,
    desk: Desk,
    tickets: Arc<Tickets>,
    counters: Arc<Counters>,
    /// Where messages about a channel go.
    peers: HashMap<ChannelId, Arc<Peer>>,
}

impl Outbox {
    /// An outbox that knows no connection yet.
    pub(crate) fn new(
        key: Arc<SigningKey>,
        desk: Desk,
        tickets: Arc<Tickets>,
        counters: Arc<Counters>,
    ) -> Outbox {
        Outbox { key, desk, tickets, counters, peers: HashMap::new() }
    }

    /// Starts its thread; it ends with the committer.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(
        mut self,
        commits: Receiver<Vec<Release>>,
    ) -> std::io::Result<JoinHandle<()>> {
        let thread = Builder::new().name("outbox".to_owned());
        thread.spawn(move || {
            while let Ok(releases) = commits.recv() {
                self.perform(releases);
            }
        })
    }

    fn perform(&mut self, releases: Vec<Release>) {
        let mut signatures = self.sign(&releases).into_iter();
        let mut touched: Vec<Arc<Peer>> = Vec::new();
        for release in releases {
            match release {
                Release::Attach(channel, peer) => {
                    self.peers.insert(channel, peer);
                }
                Release::Detach(channel, id) => {
                    if self.peers.get(&channel).is_some_and(|peer| peer.id == id) {
                        self.peers.remove(&channel);
                    }
                }
                Release::Do(Action::SendUpdate { channel, base, ops, proof }) => {
                    let signed = signatures.next();
                    let message = signed.map(|by| update(channel, base, ops, proof, by));
                    self.deliver(message, &mut touched);
                }
                Release::Do(Action::Send(message)) => self.deliver(Some(message), &mut touched),
                Release::Do(action) => self.act(action),
            }
        }
        touched.iter().for_each(|peer| peer.wake());
    }

    /// The signatures of all proofs in a commit, in order.
    fn sign(&self, releases: &[Release]) -> Vec<(Signature, MerklePath)> {
        let proof = |release: &Release| match release {
            Release::Do(Action::SendUpdate { proof, .. }) => Some(proof.digest()),
            _ => None,
        };
        let digests: Vec<Hash> = releases.iter().filter_map(proof).collect();
        let salts = salts(digests.len());
        let leaves: Vec<(Hash, Salt)> = digests.into_iter().zip(salts).collect();
        let batches = leaves.chunks(BATCH_MAX);
        add(&self.counters.signatures, batches.len());
        batches.flat_map(|batch| sign_batch(&self.key, batch)).collect()
    }

    fn deliver(&self, message: Option<Message>, touched: &mut Vec<Arc<Peer>>) {
        let Some(message) = message else { return };
        let peer = message.channel().and_then(|channel| self.peers.get(&channel));
        let Some(peer) = peer else { return };
        peer.queue(&message);
        add(&self.counters.frames_out, 1);
        if !touched.iter().any(|known| known.id == peer.id) {
            touched.push(peer.clone());
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::Submit(submission) => self.desk.give(Errand::Submit(submission)),
            Action::Deposit { channel, amount } => {
                self.desk.give(Errand::Deposit { channel, amount });
            }
            Action::Cosign { ticket } => {
                if let Some(request) = self.tickets.take(ticket) {
                    self.desk.give(Errand::Cosign(Box::new(request)));
                }
            }
            Action::Refuse { ticket, code } => {
                if let Some(request) = self.tickets.take(ticket) {
                    request.refuse(code);
                }
            }
            Action::Count { completed: true } => {
                self.counters.completed.fetch_add(1, Relaxed);
            }
            Action::Count { completed: false } => {
                self.counters.failed.fetch_add(1, Relaxed);
            }
            Action::Send(_) | Action::SendUpdate { .. } => {}
        }
    }
}

fn update(
    channel: ChannelId,
    base: u64,
    ops: Vec<Op>,
    value: BalanceProof,
    (signature, path): (Signature, MerklePath),
) -> Message {
    Message::Update(Update { channel, base, ops, proof: Signed { value, signature, path } })
}

/// Fresh randomness for each proof, so that the siblings in a path tell its reader nothing.
fn salts(count: usize) -> Vec<Salt> {
    let mut bytes = vec![0; count.saturating_mul(Salt::LEN)];
    if let Err(error) = getrandom::fill(&mut bytes) {
        // Without randomness a neighbour could guess a proof: better to end than to sign so.
        tracing::error!(%error, "the system gives no randomness; the process ends");
        std::process::abort();
    }
    let (salts, _) = bytes.as_chunks::<{ Salt::LEN }>();
    salts.iter().map(|salt| Salt(*salt)).collect()
}

#[cfg(test)]
mod tests;
