//! Watchtowers: somebody who answers for a wallet that sleeps, and needs no key of its.
//!
//! A wallet signs an [`Answer`] for each of its channels: a submission that does not close, with the
//! hub's newest proof, its locks opened, and claims on those whose secrets the hub has been shown.
//! The tower ([`Post`]) keeps the newest answer of each channel, follows the ledger, and brings the
//! answer when a close comes. [`answer`] says what an answer is and which secrets it may hold,
//! [`post`] when one is brought.
//!
//! # What a tower can do, and what not
//! - It can fail to answer: then the wallet is where it would be without it. A wallet may hand the
//!   same answers to as many towers as it likes.
//! - It can bring an answer too early. On an open channel the ledger then records the proof, which
//!   is what an anchor does too, and keeps no claim: the wallet brings its claims again
//!   (`settlement::channel`), and the secrets were the hub's already.
//! - It can't close a channel, pay anybody, or bring anything but what the wallet has signed; and
//!   the newest answer never pays a wallet less than an older one would.
//! - Whoever hands in an older answer changes nothing: a tower can't be rolled back.
//!
//! What is absent: the clock, the files, the ledger and the sockets are the shell's (`tower`, behind
//! a feature of that name).

pub mod answer;
pub mod post;

pub use answer::{Answer, CheckedAnswer, Export, NoAnswer};
pub use post::{Move, Post};

#[cfg(test)]
pub(crate) mod sample;
