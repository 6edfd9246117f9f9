//! Wallets for payment channels with a hub.
//!
//! [`wallet`] is the pure core: a state machine that knows no clock, randomness, thread, socket or
//! file, so that it can go wherever a wallet lives. The feature `client` adds an async client with
//! a durable store around it, `tls` lets it ask over `https://`, `cli` is the `wallet` command,
//! `http402` has services charge for what they answer and clients pay for it.

pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod follower;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "http402")]
pub mod http402;
#[cfg(feature = "client")]
pub mod hub_http;
pub mod invoice;
pub mod ledger_client;
#[cfg(feature = "client")]
pub mod ledger_http;
pub mod payload;
pub mod relay;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tower")]
pub mod tower_http;
#[cfg(all(feature = "client", feature = "tls"))]
pub mod trust;
#[cfg(all(feature = "client", not(feature = "tls")))]
#[path = "trust_none.rs"]
pub mod trust;
pub mod wallet;
pub mod watchtower;
