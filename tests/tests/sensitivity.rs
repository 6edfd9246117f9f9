//! With any one rule switched off, the searches for a thief must find one. A search that finds
//! nothing whatever is broken proves nothing.
//!
//! Only with the feature `sabotage`:
//! `cargo test -p tests --features sabotage --test sensitivity -- --nocapture` prints which search
//! found what.

use settlement::rules::{Rule, switch_off};
use settlement::types::Role;
use stateright::{Checker, Model};
use tests::named::has_test;
use tests::theorems::game::{Action, Claims, Cosign, DEPOSIT, Draft, Fault, Game, PAYMENT, UNIT};
use tests::theorems::model::{ExitGame, GAMES};
use tests::theorems::pair;
use tests::theorems::search::{BOUNDS, search};

const BLOCK: Action = Action::Block { ours: true, seen: true };
/// How many random lines are played before the exhaustive search takes over.
const CASES: u32 = 800;
/// The same of two wallets. A search ends with the first thief; what takes the most lines to meet is a
/// claim that comes too late for a lock of which a part is known and not settled.
const BETWEEN_CASES: u32 = 60 * CASES;

/// Rules of the hub alone, and what the search for a thief of one channel can't see: what two
/// colluding wallets have from breaking them.
const BETWEEN: [Rule; 5] =
    [Rule::LateSecret, Rule::LateClaim, Rule::ExpiryDelta, Rule::UnitLessFee, Rule::SameSteps];

/// Rules of the engine's on which a hub between two wallets rests as well: both searches find a thief.
const ALSO_BETWEEN: [Rule; 12] = [
    Rule::LockIdsOnce,
    Rule::SettleKeepsRest,
    Rule::NoFailAfterSecret,
    Rule::GoneWhenRetired,
    Rule::RefundAtExpiry,
    Rule::FreshView,
    Rule::ClaimInTime,
    Rule::DropOnlyWhenOver,
    Rule::CosignCountsAll,
    Rule::CloseWithoutLocks,
    Rule::Void,
    Rule::ClaimBeforeExpiry,
];

/// A line of actions that breaks a theorem.
struct Caught {
    by: String,
    line: String,
    fault: Fault,
}

/// The random searches first: they are the faster ones.
fn catch(rule: Rule) -> Vec<Option<Caught>> {
    if BETWEEN.contains(&rule) {
        return vec![quietly(between)];
    }
    let alone = quietly(at_random).or_else(exhaustively);
    let also = ALSO_BETWEEN.contains(&rule).then(|| quietly(between));
    [alone].into_iter().chain(also).collect()
}

/// An engine that notices and stops itself is caught; what it says then is not of interest.
fn quietly(search: fn() -> Option<Caught>) -> Option<Caught> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = search();
    std::panic::set_hook(hook);
    found
}

fn between() -> Option<Caught> {
    let found = pair::search(BETWEEN_CASES, 7).0?;
    let line = format!("{:?} {}", found.line, found.story.join("; "));
    Some(Caught { by: "random games of two wallets".to_owned(), line, fault: found.fault })
}

fn at_random() -> Option<Caught> {
    [Role::Hub, Role::Wallet].into_iter().find_map(|honest| {
        let found = search(honest, CASES, 7)?;
        let by = format!("random games, {honest:?} honest");
        Some(Caught { by, line: format!("{:?}", found.line), fault: found.fault })
    })
}

fn exhaustively() -> Option<Caught> {
    let sides = [Role::Hub, Role::Wallet].into_iter();
    // The newest games are the most particular ones.
    let mut games = sides.flat_map(|honest| {
        GAMES.into_iter().rev().map(move |(name, bounds)| (honest, name, bounds))
    });
    games.find_map(|(honest, name, bounds)| {
        let model = ExitGame { honest, bounds };
        let found = model.checker().threads(2).finish_when(stateright::HasDiscoveries::AnyFailures);
        let found = found.spawn_bfs().join();
        let mut paths = found.discoveries().into_values();
        paths.find_map(|path| {
            let fault = path.last_state().fault().cloned()?;
            let by = format!("all games of \"{name}\", {honest:?} honest");
            Some(Caught { by, line: format!("{:?}", path.into_actions()), fault })
        })
    })
}

/// What the searches don't find, why, and a line of its own that shows whether the rule is kept.
fn own_test(rule: Rule) -> Option<(&'static str, bool)> {
    let mut game = Game::new(Role::Hub, BOUNDS);
    if rule == Rule::WaitOut {
        return Some(waits_out(game));
    }
    let mut act = |line: &[Action]| line.iter().fold(false, |_, action| game.act(*action));
    match rule {
        Rule::NothingAfterClose => {
            let why = "who closes brings its newest proof until the window is over, so what it takes \
                       meanwhile is not lost to it; the rule spares the other side the wait";
            let pay = Action::Draft { draft: Draft::Pay, newest: true };
            Some((why, !act(&[Action::Close, pay])))
        }
        Rule::ClaimsMeasuredAgain => {
            let why = "a line of its own: a step claimed on an old proof counts once more on the newer \
                       one that has it settled; the searches meet it too seldom";
            let bring = |back, claims| Action::Bring { close: true, back, claims };
            act(&[Action::Lock(2), Action::Answer { ack: true }, Action::Reveal { all: false }]);
            act(&[bring(1, Claims::One), BLOCK, bring(0, Claims::None), BLOCK]);
            game.finish();
            Some((why, game.paid(Role::Wallet) == Some(DEPOSIT + UNIT)))
        }
        Rule::DeepestClaimKept => {
            let why = "claims on a side's locks are brought by the other one alone, so whoever brings a \
                       shallower one harms itself; the rule spares it its tower's older answers";
            // With a newer proof: a claim that is known in full is refused where none comes with it.
            let bring = |back, claims| Action::Bring { close: true, back, claims };
            act(&[Action::Lock(2), Action::Answer { ack: true }, Action::Pay]);
            act(&[bring(1, Claims::All), BLOCK, bring(0, Claims::One), BLOCK]);
            game.finish();
            Some((why, game.paid(Role::Wallet) == Some(DEPOSIT + 2 * UNIT + PAYMENT)))
        }
        _ => None,
    }
}

/// A side that starts on an old copy.
fn waits_out(mut game: Game) -> (&'static str, bool) {
    let why = "no game has a side that starts on an old copy; a line of its own: the thief is paid out \
               what it has withdrawn, and the honest side is never paid what was paid with that";
    let copy = game.copy();
    assert!(game.act(Action::Cosign(Cosign::Withdraw)));
    game.restore(copy);
    let taken = game.act(Action::Draft { draft: Draft::Pay, newest: true });
    let carried = [Action::Carry, BLOCK, Action::Close].into_iter().all(|action| game.act(action));
    assert!(carried, "the ledger takes what both have signed");
    game.finish();
    let due = if taken { DEPOSIT + PAYMENT } else { DEPOSIT };
    (why, game.paid(Role::Hub) == Some(due))
}

#[test]
fn with_any_one_rule_off_the_searches_find_a_thief() {
    let wanted = std::env::var("RULE").ok();
    let mut missed = Vec::new();
    // With every rule on, the rules' own tests hold. The switch is the whole process's, so all this
    // is one test.
    let kept = Rule::ALL.into_iter().filter_map(own_test).all(|(_, kept)| kept);
    assert!(kept, "a rule is not kept");
    for rule in Rule::ALL {
        if wanted.as_ref().is_some_and(|wanted| *wanted != format!("{rule:?}")) {
            continue;
        }
        switch_off(Some(rule));
        if let Some((why, kept)) = own_test(rule) {
            eprintln!("| {rule:?} | its own test | {why} | |");
            missed.extend(kept.then_some(rule));
            continue;
        }
        for found in catch(rule) {
            match found {
                Some(Caught { by, line, fault }) => {
                    eprintln!("| {rule:?} | {by} | {:?}: {} | {line} |", fault.theorem, fault.how);
                }
                None => missed.push(rule),
            }
        }
    }
    switch_off(None);
    assert_eq!(missed, [], "nothing finds a thief with these rules off");
}

const SHARD: &str = "hub/src/shard/tests/";
const SDK: &str = "client-sdk/src/wallet/tests/";
const ENGINE: &str = "settlement/src/channel/tests/";

/// Rules that have no switch: breaking one harms nobody whom the searches look after (a payer, a
/// payee, who waits), or takes more than one place in the code. Each was taken out by hand, and this
/// test of its own failed.
#[rustfmt::skip]
const OWN_TESTS: [(&str, &str, &str, &str); 17] = [
    ("a payer never has two locks with one anchor that are not gone", SDK, "paying.rs", "an_anchor_is_not_paid_twice_while_it_is_not_gone_nor_after"),
    ("a payee shows a secret for exactly what its invoice says", SDK, "paid.rs", "a_lock_that_is_not_what_the_invoice_says_gets_no_secret"),
    ("and in its asset", SDK, "paid.rs", "a_lock_of_another_asset_than_the_invoices_gets_no_secret"),
    ("unasked, for exactly what the payer's payload says", SDK, "paid.rs", "a_lock_that_is_not_what_its_payload_says_gets_no_secret"),
    ("a payee reveals with settle_grace blocks more than claim_margin left", ENGINE, "boundaries.rs", "claimable_table"),
    ("one pending lock with the same channel, payee and anchor", SHARD, "refusals.rs", "duplicate_payment"),
    ("a secret goes to the paired lock alone, never by its hash", SHARD, "payment.rs", "a_secret_is_passed_to_the_paired_lock_alone"),
    ("no more pending locks than the ledger can take claims for", SHARD, "refusals.rs", "no_capacity_beyond_a_channels_share_of_what_the_ledger_can_settle"),
    ("at most 256 pending locks in a direction", ENGINE, "codes.rs", "too_many_locks"),
    ("and 2^20 steps of them together", ENGINE, "codes.rs", "too_many_steps"),
    ("with 1,024 proofs unacknowledged only updates without operations", ENGINE, "codes.rs", "too_many_unacknowledged"),
    ("who lost state leaps to height x 2^32", ENGINE, "recover.rs", "what_was_not_shown_is_retired_by_the_first_acknowledgment"),
    ("and only past lag blocks", ENGINE, "recover.rs", "leap_table"),
    ("a poisoned or stale snapshot is closed on", ENGINE, "not_taken.rs", "a_poisoned_or_stale_snapshot_is_closed_on"),
    ("so is one below what the ledger has shown", ENGINE, "not_taken.rs", "what_falls_behind_the_ledger_is_closed_on"),
    ("adopted locks are held", ENGINE, "not_taken.rs", "adopted_locks_are_held"),
    ("other bytes for a known batch are checked afresh", "settlement/src/crypto/", "tests.rs", "other_bytes_for_a_known_batch_are_checked_afresh"),
];
#[test]
fn each_rule_without_a_switch_has_its_own_test() {
    for (rule, room, file, test) in OWN_TESTS {
        assert!(
            has_test(&format!("{room}{file}"), test),
            "{rule}: {room}{file} has no test {test}"
        );
    }
}
