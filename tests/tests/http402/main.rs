//! A real server, a real client and a real hub: what is served is paid for, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

mod authority;
mod flood;
mod given_up;
mod http2;
mod https;
mod killed;
mod limits;
mod paying;
mod preimages;
mod receipts;
mod silent;
mod stage;
mod thief;
