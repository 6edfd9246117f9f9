//! Which part of the suite is to catch which bug.

use settlement::bugs::Bug::{self, *};

/// A bug, and the tests each of which must fail with it.
pub(super) struct Row {
    pub(super) bug: Bug,
    pub(super) tests: &'static [Test],
}

/// A test and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) target: Target,
    pub(super) path: &'static str,
}

/// A program of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// The tests beside the code of a package.
    Lib(&'static str),
    /// Those of them that try out orders in which threads run: built apart.
    Orders(&'static str),
    /// A file of `tests/tests`.
    Whole(&'static str),
}

impl Target {
    /// The file with the searches for a thief.
    pub(super) const SEARCHES: &'static str = "sensitivity";
    /// The name of the program of tests that try out orders.
    pub(super) const ORDERS: &'static str = "orders";
    /// The other files of `tests/tests` that are named in the table.
    pub(super) const OF_TESTS: &'static [&'static str] = &["strace_order"];

    pub(super) fn package(self) -> &'static str {
        match self {
            Target::Lib(package) | Target::Orders(package) => package,
            Target::Whole(_) => "tests",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Target::Lib(_) => "lib",
            Target::Orders(_) => Target::ORDERS,
            Target::Whole(file) => file,
        }
    }
}

impl Test {
    /// As a reader finds it.
    pub(super) fn name(&self) -> String {
        match self.target {
            Target::Lib(package) | Target::Orders(package) => format!("{package} {}", self.path),
            Target::Whole(file) => format!("tests {file}::{}", self.path),
        }
    }
}

const fn row(bug: Bug, tests: &'static [Test]) -> Row {
    Row { bug, tests }
}

const fn ours(path: &'static str) -> Test {
    Test { target: Target::Lib("settlement"), path }
}

const fn hub(path: &'static str) -> Test {
    Test { target: Target::Lib("hub"), path }
}

const fn orders(path: &'static str) -> Test {
    Test { target: Target::Orders("hub"), path }
}

const fn sdk(path: &'static str) -> Test {
    Test { target: Target::Lib("client-sdk"), path }
}

const fn whole(file: &'static str, path: &'static str) -> Test {
    Test { target: Target::Whole(file), path }
}

const TRACE: Test = whole(
    "strace_order",
    "the_hub_syncs_update_lock_and_secret_before_it_sends_what_rests_on_them",
);
const TRACE_OF_WALLET: Test =
    whole("strace_order", "the_wallets_sync_lock_and_secret_before_they_send_them");
const COMMITS: Test = orders(
    "interleavings::commits::whoever_is_told_or_woken_is_so_once_it_is_durable_and_in_order",
);
const PAID: Test = orders(
    "shard::tests::interleavings::paid::\
     nothing_is_said_before_it_is_durable_and_nothing_recorded_before_what_led_to_it",
);
const CHECKPOINTED: Test = orders(
    "shard::tests::interleavings::checkpointed::\
     a_checkpoint_is_what_the_durable_records_up_to_one_of_them_make",
);
const ASKED: Test = orders(
    "shard::tests::interleavings::asked::\
     a_hundred_who_ask_at_once_for_one_thing_or_another_get_one_of_them",
);
const BOUNDARIES: Test = ours("ledger::boundaries::tests::before_at_and_after");
const CLAIMS: Test =
    ours("ledger::dispute::tests::claims::claims_count_below_the_expiry_of_their_lock");
const WAITS: Test =
    ours("ledger::dispute::tests::claims::payout_waits_for_the_window_and_for_every_lock");
const PROOFS: Test =
    ours("ledger::dispute::tests::proofs_count_up_to_and_with_the_end_of_the_window");
const COSIGNED: Test =
    ours("ledger::apply::tests::co_signed_transactions_are_valid_until_and_with_their_height");
const ANCHORS: Test =
    ours("ledger::anchor::tests::an_anchor_speaks_of_channels_opened_up_to_its_height");
const EXPIRY: Test = ours("channel::tests::boundaries::expiry_table");
const DUTY: Test = ours("channel::tests::boundaries::duty_table_of_an_open_channel");
const CLAIMABLE: Test = ours("channel::tests::boundaries::claimable_table");
const LAPSE: Test = ours("channel::tests::boundaries::lapse_table");
const LEAP: Test = ours("channel::tests::recover::leap_table");
const WAIT_OUT: Test = ours("channel::tests::forgotten::only_time_ends_the_wait");
const FORGOTTEN: Test =
    ours("channel::tests::forgotten::what_is_forgotten_takes_nothing_whenever_it_is_carried");
const FRESH: Test = ours("params::tests::a_view_is_fresh_when_its_block_is_near_on_either_side");
const LIFE: Test = ours("channel::tests::codes::expiry_too_far");
const AGREED: Test = ours("channel::tests::agree::valid_until_lies_ahead_and_not_too_far");
const OUTLIVES: Test = hub("shard::tests::ledger::the_payers_lock_outlives_the_hubs_own");
const TOWER: Test = sdk("watchtower::post::tests::what_the_ledger_holds_decides_and_until_when");
const SHORT_WRITES: Test =
    ours("journal::tests::a_failed_write_or_sync_is_told_once_and_never_retried");
const FLIPS: Test = ours(
    "journal::tests::recovery::\
     a_flip_in_the_last_group_keeps_all_before_it_and_an_earlier_one_is_refused",
);

/// One row for each bug.
pub(super) const TABLE: &[Row] = &[
    row(
        ReleaseBeforeSync,
        &[
            hub("committer::tests::nothing_is_released_before_its_sync_has_returned"),
            COMMITS,
            PAID,
            ASKED,
            TRACE,
        ],
    ),
    row(
        FailedSyncTold,
        &[orders(
            "interleavings::commits::nobody_is_told_or_woken_of_a_group_whose_sync_has_failed",
        )],
    ),
    row(
        SaidUnlocked,
        &[orders("interleavings::commits::whoever_waits_for_the_last_record_of_all_is_woken")],
    ),
    row(PassedBeforeAppended, &[PAID]),
    row(CheckpointUnwaited, &[CHECKPOINTED]),
    row(CheckpointMoves, &[CHECKPOINTED]),
    row(TicketTwice, &[ASKED]),
    row(
        PerformBeforeSync,
        &[
            sdk("client::committer::tests::\
                 nothing_is_performed_before_its_records_and_all_earlier_ones_are_durable"),
            TRACE_OF_WALLET,
        ],
    ),
    row(NoSync, &[SHORT_WRITES, TRACE]),
    row(ShortWriteTaken, &[SHORT_WRITES]),
    row(RecordUnchecked, &[FLIPS]),
    row(HoleTakenForTail, &[FLIPS]),
    row(
        TornTailLeft,
        &[ours("journal::tests::recovery::garbage_and_zeros_behind_the_last_group_are_cut")],
    ),
    row(
        SealUnchecked,
        &[ours("index::tests::every_damage_to_the_newest_checkpoint_falls_back_to_the_one_before")],
    ),
    row(SignsUnleased, &[hub("outbox::tests::updates_wait_until_this_process_may_sign")]),
    row(
        SeqReused,
        &[
            ours("channel::tests::gone::no_order_of_answers_gives_a_lock_back_that_is_not_gone"),
            ours("channel::tests::random::two_honest_sides_agree_and_nobody_loses"),
        ],
    ),
    row(
        SeqForgotten,
        &[hub("shard::tests::starting::\
             any_prefix_of_the_records_and_any_rows_below_it_give_the_same_state")],
    ),
    row(
        LeapSkipped,
        &[ours(
            "channel::tests::recover::what_was_not_shown_is_retired_by_the_first_acknowledgment",
        )],
    ),
    row(HighSTaken, &[ours("crypto::tests::high_s_zero_and_out_of_range_signatures_are_refused")]),
    row(TagSkipped, &[ours("golden::digests::digests_are_frozen")]),
    row(TrailingBytesTaken, &[ours("golden::decoding::bytes_after_a_message_are_refused")]),
    row(OverlongTaken, &[ours("golden::decoding::no_integer_is_taken_in_a_longer_form")]),
    row(
        KnownBatchTaken,
        &[ours("crypto::tests::other_bytes_for_a_known_batch_are_checked_afresh")],
    ),
    row(LongPathTaken, &[ours("crypto::tests::a_path_of_the_wrong_shape_is_refused")]),
    row(NonceUnchecked, &[ours("ledger::apply::tests::each_refusal_by_name")]),
    row(
        InvoiceTwice,
        &[sdk("wallet::tests::paid::an_invoice_is_paid_once_and_the_secret_goes_to_its_lock")],
    ),
    row(ClaimCountsShort, &[BOUNDARIES, CLAIMS]),
    row(ClaimCountsLong, &[BOUNDARIES, CLAIMS]),
    row(LockExpiresEarly, &[BOUNDARIES, WAITS]),
    row(LockExpiresLate, &[BOUNDARIES, WAITS]),
    row(ProofCountsShort, &[BOUNDARIES, PROOFS]),
    row(ProofCountsLong, &[BOUNDARIES, PROOFS]),
    row(WindowOverEarly, &[BOUNDARIES, WAITS]),
    row(WindowOverLate, &[BOUNDARIES, WAITS]),
    row(ValidShort, &[BOUNDARIES, COSIGNED]),
    row(ValidLong, &[BOUNDARIES, COSIGNED]),
    row(AnchorShort, &[BOUNDARIES, ANCHORS]),
    row(AnchorLong, &[BOUNDARIES, ANCHORS]),
    row(SideExpiresEarly, &[EXPIRY]),
    row(SideExpiresLate, &[EXPIRY]),
    row(ClosesEarly, &[DUTY]),
    row(ClosesLate, &[DUTY]),
    row(RevealsLate, &[CLAIMABLE]),
    row(RevealsShort, &[CLAIMABLE]),
    row(PassesOnLate, &[OUTLIVES]),
    row(PassesOnShort, &[OUTLIVES]),
    row(LeapsEarly, &[LEAP]),
    row(LeapsLate, &[LEAP]),
    row(WaitsOutEarly, &[WAIT_OUT, FORGOTTEN]),
    row(WaitsOutLate, &[WAIT_OUT, FORGOTTEN]),
    row(LapsesEarly, &[LAPSE]),
    row(LapsesLate, &[LAPSE]),
    row(StaleEarly, &[FRESH]),
    row(StaleLate, &[FRESH]),
    row(LivesLong, &[LIFE]),
    row(LivesShort, &[LIFE]),
    row(AgreesLong, &[AGREED, FORGOTTEN]),
    row(AgreesShort, &[AGREED, FORGOTTEN]),
    row(TowerProvesShort, &[TOWER]),
    row(TowerProvesLong, &[TOWER]),
];
