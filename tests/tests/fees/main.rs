//! A ledger that takes fees.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by a panic"
)]

mod carried;
mod kept;
