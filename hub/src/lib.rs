//! The hub that wallets hold payment channels with.
//!
//! [`shard`] is the pure core: the single writer of its channels, which knows no clock, randomness,
//! thread, socket or file. Everything around it verifies, commits, signs and sends.

pub mod shard;
