//! The settlement ledger in a process of its own.

fn main() {}
