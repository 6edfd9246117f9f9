//! The rules that both sides of a payment channel are bound by, and the ledger that settles them.
//!
//! A channel has two directions. Each is a one-way tally that only grows: its owner signs balance
//! proofs ([`proof`]), the receiver keeps the newest. Locks ([`lock`]) make payments conditional on
//! a secret. [`channel`] holds the rules of updates, used alike by wallet and hub; [`wire`] what
//! they say to each other; [`tx`] and [`block`] what they say to the ledger and hear from it.
//!
//! Pure by default: no clock, randomness, thread, socket or file. The feature `journal` adds the
//! append-only journal and the index behind it, `ledger` the settlement ledger as a state machine
//! with its store, `http` its routes and binary, `socket` what bounds the sockets of whatever listens.

pub mod api;
pub mod block;
pub mod bugs;
pub mod channel;
pub mod crypto;
pub mod encoding;
#[cfg(feature = "journal")]
pub mod index;
#[cfg(feature = "journal")]
pub mod journal;
#[cfg(feature = "ledger")]
pub mod ledger;
pub mod liabilities;
pub mod lock;
pub mod params;
pub mod proof;
pub mod rare;
pub mod reject;
pub mod rules;
#[cfg(feature = "socket")]
pub mod socket;
pub mod state_proof;
pub mod terminal;
pub mod tx;
pub mod types;
pub mod update;
pub mod wire;

#[cfg(test)]
mod golden;
