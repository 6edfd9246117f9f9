//! Every deadline there is, with the test that looks at it one block before, at and after. The
//! tables themselves stand beside the code; this one holds that each is there, and that no deadline
//! of the ledger's and no margin of the policy is left out.

use std::collections::BTreeSet;

use tests::named::{has_test, source};

/// What a deadline is a question of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A function in `settlement/src/ledger/boundaries.rs`.
    Boundary(&'static str),
    /// A field of `settlement::params::Policy`.
    Margin(&'static str),
    /// A rule of the engine's, or of a shell's.
    Rule,
}

use Of::{Boundary, Margin, Rule};

const BOUNDARIES: &str = "settlement/src/ledger/boundaries.rs";
const DISPUTE: &str = "settlement/src/ledger/dispute/tests.rs";
const CLAIMS: &str = "settlement/src/ledger/dispute/tests/claims.rs";
const APPLY: &str = "settlement/src/ledger/apply/tests.rs";
const ANCHOR: &str = "settlement/src/ledger/anchor/tests.rs";
const ENGINE: &str = "settlement/src/channel/tests/boundaries.rs";
const RECOVER: &str = "settlement/src/channel/tests/recover.rs";
const STREAMS: &str = "settlement/src/channel/tests/streams.rs";
const AGREE: &str = "settlement/src/channel/tests/agree.rs";
const PARAMS: &str = "settlement/src/params/tests.rs";
const SHARD: &str = "hub/src/shard/tests/ledger.rs";
const REFUSALS: &str = "hub/src/shard/tests/refusals.rs";
const PAID: &str = "client-sdk/src/wallet/tests/paid.rs";
const PAYING: &str = "client-sdk/src/wallet/tests/paying.rs";
const CLOSE: &str = "client-sdk/src/wallet/tests/close.rs";
const TOWER: &str = "client-sdk/src/watchtower/post/tests.rs";

/// The question, whose it is, and the test that asks it around its deadline.
#[rustfmt::skip]
const TABLE: [(&str, Of, &str, &str); 35] = [
    ("does a claim count", Boundary("claim_counts"), CLAIMS, "claims_count_below_the_expiry_of_their_lock"),
    ("has a lock expired, for the ledger", Boundary("lock_expired_from"), CLAIMS, "payout_waits_for_the_window_and_for_every_lock"),
    ("until when do proofs count", Boundary("proofs_until"), DISPUTE, "a_close_is_announced_with_the_end_of_its_window"),
    ("does a proof count", Boundary("proof_counts"), DISPUTE, "proofs_count_up_to_and_with_the_end_of_the_window"),
    ("does an anchor's entry count", Boundary("proof_counts"), ANCHOR, "entries_count_up_to_and_with_the_end_of_the_window"),
    ("when does the ledger pay out by itself", Boundary("window_over_from"), DISPUTE, "anybody_may_settle_what_is_due_and_nothing_before"),
    ("may a withdrawal or a cooperative close be carried", Boundary("still_valid"), APPLY, "co_signed_transactions_are_valid_until_and_with_their_height"),
    ("is a channel under an anchor", Boundary("anchored"), ANCHOR, "an_anchor_speaks_of_channels_opened_up_to_its_height"),
    ("is the sender's money back, does the receiver take a drop, a secret, a new lock", Rule, ENGINE, "expiry_table"),
    ("may an expired lock be dropped in every fresh view", Rule, ENGINE, "a_drop_waits_until_every_fresh_view_is_past_the_expiry"),
    ("does an older view take the lock", Rule, ENGINE, "a_sender_keeps_to_what_an_older_view_takes"),
    ("may a payee reveal", Margin("settle_grace"), ENGINE, "claimable_table"),
    ("must who knows a secret close and claim", Margin("claim_margin"), ENGINE, "duty_table_of_an_open_channel"),
    ("is the newest proof due in the window", Rule, ENGINE, "duty_table_of_a_closing_channel"),
    ("is a claim due past the window", Rule, ENGINE, "a_claim_is_due_past_the_window_until_its_lock_expires"),
    ("does a claim on the ledger still teach a secret", Rule, STREAMS, "a_claim_that_is_too_late_teaches_nothing_of_the_rest_of_a_stream"),
    ("has who took its state back waited long enough to leap", Rule, RECOVER, "leap_table"),
    ("does an agreement lapse", Rule, ENGINE, "lapse_table"),
    ("is what may still be carried kept", Rule, AGREE, "what_may_still_be_carried_does_not_lapse_with_the_rest"),
    ("is valid_until ahead and near enough to sign", Rule, AGREE, "valid_until_lies_ahead_and_not_too_far"),
    ("do the margins keep to the inequalities, each off by one", Margin("margin"), PARAMS, "each_inequality_is_named_when_it_breaks"),
    ("is there time for what the ledger takes to include", Margin("inclusion_delay"), PARAMS, "each_inequality_is_named_when_it_breaks"),
    ("is the challenge period long enough", Margin("challenge_blocks"), PARAMS, "each_inequality_is_named_when_it_breaks"),
    ("is a view fresh", Margin("stale_view_ms"), PARAMS, "a_view_is_fresh_when_its_block_is_near_on_either_side"),
    ("does a lock live too long to be taken", Margin("lock_life_max"), ENGINE, "a_sender_keeps_to_what_an_older_view_takes"),
    ("does a stream live too long to be taken", Margin("stream_life_max"), ENGINE, "a_sender_keeps_to_what_an_older_view_takes"),
    ("how long does a payer let a lock live", Margin("lock_life"), PAYING, "the_lock_is_worth_amount_and_fee_and_lives_as_the_policy_says"),
    ("does the payer's lock outlive the hub's", Margin("expiry_delta"), SHARD, "the_payers_lock_outlives_the_hubs_own"),
    ("is a payment still passed on", Margin("expiry_delta"), REFUSALS, "expiry_too_soon"),
    ("is a secret taken from the payee", Rule, SHARD, "a_secret_at_or_after_the_hubs_own_expiry_is_ignored"),
    ("is the payer claimed from in time", Margin("claim_margin"), SHARD, "a_payer_that_does_not_settle_is_closed_on_and_claimed_from_in_time"),
    ("does the payee still take the invoice's lock", Rule, PAID, "an_invoice_ends_after_its_last_height"),
    ("does the payer still pay the invoice", Rule, PAYING, "an_invoice_can_be_paid_at_its_last_height_and_not_after"),
    ("does the wallet close and claim in time", Margin("claim_margin"), CLOSE, "who_is_not_settled_with_closes_and_claims_in_time_connected_or_not"),
    ("does a tower still bring the proof, and the claim", Rule, TOWER, "what_the_ledger_holds_decides_and_until_when"),
];

#[test]
fn each_deadline_has_its_test() {
    for (question, _, file, test) in TABLE {
        assert!(has_test(file, test), "{question}? {file} has no test {test}");
    }
}

#[test]
fn no_boundary_of_the_ledger_is_left_out() {
    let source = source(BOUNDARIES);
    let names = source.lines().filter_map(|line| line.strip_prefix("pub fn "));
    let there: BTreeSet<&str> = names.filter_map(|name| name.split('(').next()).collect();
    let listed = TABLE.iter().filter_map(|(_, of, ..)| match of {
        Boundary(name) => Some(*name),
        _ => None,
    });
    assert_eq!(there, listed.collect());
}

#[test]
fn no_margin_of_the_policy_is_left_out() {
    let source = source("settlement/src/params.rs");
    let policy = source.split("pub struct Policy {").nth(1).and_then(|rest| rest.split('}').next());
    let fields = policy.into_iter().flat_map(str::lines).filter_map(|line| {
        let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
        matches!(kind, "u64," | "u32,").then_some(name)
    });
    let there: BTreeSet<&str> = fields.collect();
    let listed = TABLE.iter().filter_map(|(_, of, ..)| match of {
        Margin(name) => Some(*name),
        _ => None,
    });
    assert_eq!(there, listed.collect());
}
