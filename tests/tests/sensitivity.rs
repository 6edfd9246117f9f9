//! With any one rule switched off, the searches for a thief must find one. A search that finds
//! nothing whatever is broken proves nothing.
//!
//! Only with the feature `sabotage`:
//! `cargo test -p tests --features sabotage --test sensitivity -- --nocapture` prints which search
//! found what.

use settlement::rules::{Rule, switch_off};
use settlement::types::Role;
use stateright::{Checker, Model};
use tests::theorems::game::{Action, Claims, DEPOSIT, Draft, Fault, Game, PAYMENT, UNIT};
use tests::theorems::model::{ExitGame, GAMES};
use tests::theorems::search::{BOUNDS, search};

const BLOCK: Action = Action::Block { ours: true, seen: true };
/// How many random lines are played before the exhaustive search takes over.
const CASES: u32 = 800;

/// A line of actions that breaks a theorem.
struct Caught {
    by: String,
    line: Vec<Action>,
    fault: Fault,
}

/// The random search first: it is the faster one.
fn catch() -> Option<Caught> {
    // An engine that notices and stops itself is caught; what it says then is not of interest.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = at_random();
    std::panic::set_hook(hook);
    found.or_else(exhaustively)
}

fn at_random() -> Option<Caught> {
    [Role::Hub, Role::Wallet].into_iter().find_map(|honest| {
        let found = search(honest, CASES, 7)?;
        let by = format!("random games, {honest:?} honest");
        Some(Caught { by, line: found.line, fault: found.fault })
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
            Some(Caught { by, line: path.into_actions(), fault })
        })
    })
}

/// What the searches don't find, why, and a line of its own that shows whether the rule is kept.
fn own_test(rule: Rule) -> Option<(&'static str, bool)> {
    let mut game = Game::new(Role::Hub, BOUNDS);
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
        match catch() {
            Some(Caught { by, line, fault }) => {
                eprintln!("| {rule:?} | {by} | {:?}: {} | {line:?} |", fault.theorem, fault.how);
            }
            None => missed.push(rule),
        }
    }
    switch_off(None);
    assert_eq!(missed, [], "nothing finds a thief with these rules off");
}
