//! Tests of the whole: seeded worlds in one thread, and helpers for tests with real processes.

pub mod process;
pub mod world;
