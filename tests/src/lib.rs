//! Tests of the whole: seeded worlds in one thread, and helpers for tests with real processes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has to stop"
)]

pub mod closes;
pub mod crash_lab;
pub mod fuzz;
pub mod load;
pub mod long_ledger;
pub mod named;
pub mod orders;
pub mod process;
pub mod shop;
pub mod sim;
pub mod slow_disk;
pub mod theorems;
pub mod tower_load;
pub mod written;
