//! The theorems of the protocol (section 5), as searches that try to break them.
//!
//! | theorem | what tries to break it |
//! | --- | --- |
//! | 1 Conservation | every state and every block of the [`game`]s and the [`pair`]; the seeded worlds ([`sim`]); `settlement/src/ledger/payout/tests.rs::the_formula`, `settlement/src/ledger/apply/tests.rs::minted_money_counts_as_issued` |
//! | 2 Monotone | the [`model`] (no small game in which bringing more lowers a payout, or a lock is said to be back that can be claimed) and the random [`search`]: `tests/tests/theorems.rs::no_random_line_of_a_larger_game_robs_an_honest_side`; `settlement/src/channel/tests/gone.rs::no_order_of_answers_gives_a_lock_back_that_is_not_gone` |
//! | 3 An honest side never loses | the [`model`], all small games with each side honest: `tests/tests/theorems.rs::no_wallet_robs_an_honest_hub_in_any_small_game`, `tests/tests/theorems.rs::no_hub_robs_an_honest_wallet_in_any_small_game`; the random [`search`] (records, anchors, nights, streams redeemed in part, co-signatures); two wallets that collude against a hub over both their channels, the [`pair`]: `tests/tests/theorems.rs::no_two_wallets_rob_an_honest_hub_between_them`; the seeded worlds ([`sim`]) (two wallets and a hub, one wallet a thief, crashes): `tests/tests/sim.rs::every_unit_is_where_the_rules_say_whatever_breaks` |
//! | 4 Atomic | the seeded worlds ([`sim`]) (payer and payee agree about every payment), the [`search`] (no lock's money is back twice), the [`pair`] (no payer's lock is given up while the hub's own can be claimed); `hub/src/shard/tests/payment.rs::a_failed_lock_goes_back_only_once_the_hubs_own_is_gone`, `hub/src/shard/tests/payment.rs::a_secret_is_passed_to_the_paired_lock_alone` |
//! | 5 Live | the [`model`], the [`search`] and the [`pair`] (every closed channel is paid out in time), the seeded worlds ([`sim`]) (every payment ends); `client-sdk/src/wallet/tests/close.rs::a_payment_of_a_closed_channel_ends_at_the_latest_with_its_lock` |
//! | 6 Durable | ends at every operation of the disk, power cuts, torn and failed writes in the seeded worlds ([`sim`]): `tests/tests/sim.rs::an_end_at_each_operation_of_each_disk_loses_nothing`; at every record of a hub's and a wallet's: `hub/src/shard/tests/crash.rs::no_end_of_the_process_after_any_record_loses_a_payment`, `client-sdk/src/wallet/tests/crash.rs::a_crash_between_any_two_records_loses_nothing`; real processes killed: `tests/tests/kill.rs::what_was_complete_stays_and_all_else_ends_when_the_hub_is_killed`; what is synced before it is sent: `tests/tests/strace_order.rs::the_hub_syncs_update_lock_and_secret_before_it_sends_what_rests_on_them`, `tests/tests/strace_order.rs::the_wallets_sync_lock_and_secret_before_they_send_them` |
//! | 7 Bounded | `tests/tests/bad_input.rs::every_bad_update_is_refused_by_its_number_and_changes_nothing`, `settlement/src/golden/decoding.rs::a_frame_above_its_limit_is_refused_before_it_is_read`, `settlement/src/golden/decoding.rs::lists_are_taken_up_to_their_limit_only`, `settlement/src/channel/tests/streams.rs::hashing_is_capped_and_who_is_further_ahead_catches_up_in_strides`, `settlement/src/ledger/measured/tests.rs::no_more_is_hashed_ahead_than_a_block_has_room_for`, `hub/src/shard/tests/refusals.rs::no_capacity_beyond_a_channels_share_of_what_the_ledger_can_settle`; the limits' own tests beside the code |
//!
//! The reference that says what a side is entitled to is [`history`]: it knows what was signed, taken
//! and shown, and asks neither the engine nor the ledger. What it grants the thief is generous (the
//! best of all proofs that the thief has not itself retired, with every secret that it brought in
//! time), so that whatever is below it is a theft.
//!
//! That each test named here is there is held by `tests/named.rs`. That the searches find thieves is
//! shown by `tests/sensitivity.rs`: with any one rule of [`settlement::rules`] switched off, they do.
//!
//! [`sim`]: crate::sim

pub mod game;
pub mod history;
pub mod model;
pub mod pair;
pub mod search;

use settlement::tx::Transaction;
use settlement::types::Height;

/// What a block takes of all that an honest side waits for: all of it if the ledger is willing, else
/// what it has to take by this height. The rest goes on waiting.
fn take_waiting(
    waiting: &mut Vec<(Transaction, Height)>,
    willing: bool,
    height: Height,
) -> Vec<Transaction> {
    let taken = waiting.extract_if(.., |(_, latest)| willing || *latest <= height);
    taken.map(|(tx, _)| tx).collect()
}
