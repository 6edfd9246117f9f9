//! The exit game, played at random in long lines; a line that breaks a theorem is shrunk to the few
//! actions that matter.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use settlement::types::Role;

use super::game::{Action, Bounds, Claims, Cosign, Draft, Fault, Game, Theorem};

/// How large the random games are.
pub const BOUNDS: Bounds = Bounds {
    payments: u8::MAX,
    locks: u8::MAX,
    steps: 3,
    drafts: u8::MAX,
    refusals: u8::MAX,
    brings: u8::MAX,
    cosigns: u8::MAX,
    records: u8::MAX,
    nights: true,
    sleep: true,
    horizon: u64::MAX,
    lag: 2,
    delay: 2,
    ..Bounds::SMALL
};

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who was honest.
    pub honest: Role,
    /// The shortest line of actions that breaks a theorem.
    pub line: Vec<Action>,
    /// Which, and how.
    pub fault: Fault,
}

/// Plays the line to its end, and on until the channel is paid out.
pub fn play(honest: Role, line: &[Action]) -> Game {
    let mut game = Game::new(honest, BOUNDS);
    for action in line {
        if game.fault().is_none() {
            game.act(*action);
        }
    }
    if game.fault().is_none() {
        game.finish();
    }
    game
}

/// The theorem that the line breaks, if any. An engine that stops itself has lost, too.
fn fault_of(honest: Role, line: &[Action]) -> Option<Fault> {
    let played = std::panic::catch_unwind(|| play(honest, line).fault().cloned());
    played.unwrap_or_else(|_| {
        let how = "the engine's own check stopped the honest side".to_owned();
        Some(Fault { theorem: Theorem::HonestNeverLoses, how })
    })
}

/// Plays so many random lines; the first that breaks a theorem comes back, shrunk.
pub fn search(honest: Role, cases: u32, seed: u8) -> Option<Found> {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let lines = proptest::collection::vec(action(), 1..50);
    let result = runner.run(&lines, |line| match fault_of(honest, &line) {
        None => Ok(()),
        Some(fault) => Err(TestCaseError::fail(fault.how)),
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(_, line)) => {
            let fault = fault_of(honest, &line)?;
            Some(Found { honest, line, fault })
        }
        Err(TestError::Abort(why)) => panic!("the search was given up: {why}"),
    }
}

fn action() -> impl Strategy<Value = Action> {
    let draft = prop_oneof![1 => Just(Draft::Lock), 4 => prop::sample::select(&Draft::ALL[..])];
    let talk = prop_oneof![
        12 => prop::bool::weighted(0.75).prop_map(|ack| Action::Answer { ack }),
        4 => any::<bool>().prop_map(|all| Action::Reveal { all }),
        3 => Just(Action::Fail),
        12 => (draft, prop::bool::weighted(0.8))
            .prop_map(|(draft, newest)| Action::Draft { draft, newest }),
        2 => prop_oneof![Just(Cosign::Withdraw), Just(Cosign::WithdrawHalf), Just(Cosign::Close)]
            .prop_map(Action::Cosign),
    ];
    let claims = prop_oneof![Just(Claims::None), Just(Claims::One), Just(Claims::All)];
    let ledger = prop_oneof![
        4 => (prop::bool::weighted(0.7), 0..4u8, claims)
            .prop_map(|(close, back, claims)| Action::Bring { close, back, claims }),
        1 => Just(Action::BringOwn),
        1 => (0..3u8).prop_map(|back| Action::Anchor { back }),
        2 => Just(Action::Carry),
    ];
    let honest = prop_oneof![
        4 => Just(Action::Pay),
        6 => (1..=BOUNDS.steps).prop_map(Action::Lock),
        7 => any::<bool>().prop_map(|all| Action::Show { all }),
        3 => Just(Action::GiveUp),
        1 => Just(Action::Close),
        2 => Just(Action::Record),
    ];
    let world = prop_oneof![
        6 => (any::<bool>(), any::<bool>()).prop_map(|(ours, seen)| Action::Block { ours, seen }),
        5 => Just(Action::Wait),
        1 => Just(Action::Dark),
        1 => Just(Action::Sleep),
    ];
    prop_oneof![8 => talk, 2 => ledger, 5 => honest, 4 => world]
}
