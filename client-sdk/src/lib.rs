//! Wallets for payment channels with a hub.
//!
//! [`wallet`] is the pure core: a state machine that knows no clock, randomness, thread, socket or
//! file, so that it can go wherever a wallet lives. The feature `client` adds an async client with
//! a durable store around it, `cli` the `wallet` command.

pub mod api;
pub mod invoice;
pub mod ledger_client;
pub mod payload;
pub mod wallet;
