//! A hub's shards between scripted wallets that run the real engine with real keys.

mod agreeing;
mod closed;
mod crash;
mod deposits;
mod doubt;
mod forgotten;
mod hidden;
mod hidden_claims;
#[cfg(feature = "shuttle")]
mod interleavings;
mod ledger;
mod ledger_again;
mod lost;
mod lost_again;
mod lost_streams;
mod moved;
mod one_payer;
mod payment;
mod play;
mod refusals;
mod starting;
mod stream_bounds;
mod streams;
mod unordered;
mod wallet;
mod world;
