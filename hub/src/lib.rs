//! The hub that wallets hold payment channels with.
//!
//! [`shard`] is the pure core: the single writer of its channels, which knows no clock, randomness,
//! thread, socket or file. Everything around it verifies, commits, signs and sends:
//!
//! ```text
//! socket → admission → connect → verify (all cores) → shards → committer: one fdatasync → outbox → socket
//!                      follow (the ledger) ↗                                ↘ desk → the ledger
//! ```
//!
//! [`anchor`] puts what has moved on the ledger every so often; `lease` says whether this process is
//! the one that signs for the hub.
//!
//! Nothing leaves the process before what it rests on is durable: replies and signatures are made
//! by the outbox alone, and it gets them from the committer, after the sync.

mod admin;
mod admission;
pub mod anchor;
mod answers;
mod api;
mod by_channel;
mod checkpoint;
pub mod cli;
mod committer;
pub mod config;
mod connect;
mod counters;
mod demo;
mod desk;
mod embedded;
mod follow;
pub mod home;
mod hub;
#[cfg(feature = "shuttle")]
#[cfg(test)]
mod interleavings;
mod lease;
mod outbox;
mod peer;
mod peers;
mod queue;
mod relay;
mod remote;
mod router;
mod run;
mod scheduling;
pub mod shard;
mod shards;
mod sync;
mod tickets;
mod tips;
mod verify;

pub use counters::Counters;
pub use run::{RunningHub, start, start_over};
