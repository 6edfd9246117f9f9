//! The theorems of the protocol (section 5), as searches that try to break them.
//!
//! | theorem | what tries to break it |
//! | --- | --- |
//! | 1 Conservation | every state and every block of the [`game`]s; the seeded [`world`]s |
//! | 2 Monotone | the [`model`] (no small game in which bringing more lowers a payout, or a lock is said to be back that can be claimed), the random [`search`] |
//! | 3 An honest side never loses | the [`model`] (all small games, each side honest), the random [`search`] (records, anchors, nights, streams redeemed in part, co-signatures), the seeded [`world`]s (two wallets and a hub, one wallet a thief, crashes) |
//! | 4 Atomic | the seeded [`world`]s (payer and payee agree about every payment), the [`search`] (no lock's money is back twice) |
//! | 5 Live | the [`model`] and the [`search`] (every closed channel is paid out in time), the seeded [`world`]s (every payment ends) |
//! | 6 Durable | crashes at every write in the seeded [`world`]s; real processes killed in `tests/kill_*.rs`; what is synced before it is sent in `tests/strace_order.rs` |
//! | 7 Bounded | `tests/bad_input.rs` for messages; the limits' own tests beside the code |
//!
//! The reference that says what a side is entitled to is [`history`]: it knows what was signed, taken
//! and shown, and asks neither the engine nor the ledger. What it grants the thief is generous (the
//! best of all proofs that the thief has not itself retired, with every secret that it brought in
//! time), so that whatever is below it is a theft.
//!
//! That the searches find thieves is shown by `tests/sensitivity.rs`: with any one rule of
//! [`settlement::rules`] switched off, they do.
//!
//! [`world`]: crate::world

pub mod game;
pub mod history;
pub mod model;
pub mod pair;
pub mod search;
