//! The pair game, played at random in long lines; a line that breaks a theorem is shrunk to the few
//! moves that matter, and told.

use std::cell::RefCell;
use std::fmt;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use super::super::game::{Claims, Fault, Theorem};
use super::{Life, Move, Pair, Seen};

/// What a search found.
#[derive(Clone, PartialEq, Eq)]
pub struct Found {
    /// The shortest line of moves that breaks a theorem.
    pub line: Vec<Move>,
    /// Which, and how.
    pub fault: Fault,
    /// What happened on it.
    pub story: Vec<String>,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.fault)?;
        self.story.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{:?}", self.line)
    }
}

/// Plays the line to its end, and on until both channels are paid out.
pub fn play(line: &[Move]) -> Pair {
    let mut pair = Pair::new();
    for action in line {
        pair.act(*action);
    }
    if pair.fault().is_none() {
        pair.finish();
    }
    pair
}

/// An engine that stops itself has lost, too.
fn told(line: &[Move]) -> (Option<Fault>, Seen, Vec<String>) {
    let played = std::panic::catch_unwind(|| {
        let pair = play(line);
        (pair.fault().cloned(), pair.seen(), pair.story().to_vec())
    });
    played.unwrap_or_else(|_| {
        let how = "the hub's own check stopped it".to_owned();
        (Some(Fault { theorem: Theorem::HonestNeverLoses, how }), Seen::default(), Vec::new())
    })
}

/// Plays so many random lines; the first that breaks a theorem comes back, shrunk. What was seen in
/// all of them comes beside it.
pub fn search(cases: u32, seed: u8) -> (Option<Found>, Seen) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let lines = proptest::collection::vec(action(), 1..80);
    let sum = RefCell::new(Seen::default());
    let result = runner.run(&lines, |line| {
        let (fault, seen, _) = told(&line);
        sum.borrow_mut().add(seen);
        match fault {
            None => Ok(()),
            Some(fault) => Err(TestCaseError::fail(fault.how)),
        }
    });
    let found = match result {
        Ok(()) => None,
        Err(TestError::Fail(_, line)) => {
            let (fault, _, story) = told(&line);
            fault.map(|fault| Found { line, fault, story })
        }
        Err(TestError::Abort(why)) => panic!("the search was given up: {why}"),
    };
    (found, sum.into_inner())
}

/// Most of what is paid goes from A to B.
fn payer() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 1 => Just(1)]
}

fn payee() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 4 => Just(1)]
}

fn action() -> impl Strategy<Value = Move> {
    let life = prop_oneof![3 => Just(Life::Long), 3 => Just(Life::Least), 1 => Just(Life::Short)];
    let lock = (payer(), 1..=3u8, life, prop::bool::weighted(0.1))
        .prop_map(|(who, steps, life, again)| Move::Lock { who, steps, life, again });
    let answer =
        (payee(), prop::bool::weighted(0.8)).prop_map(|(who, ack)| Move::Answer { who, ack });
    let reveal = (payee(), any::<bool>(), any::<bool>())
        .prop_map(|(who, all, newest)| Move::Reveal { who, all, newest });
    let plain = (0..2usize, prop::bool::weighted(0.8))
        .prop_map(|(who, newest)| Move::Plain { who, newest });
    let ask = (0..2usize, any::<bool>()).prop_map(|(who, close)| Move::Ask { who, close });
    let meet = (0..2usize, prop_oneof![5 => Just(0), 1 => 1..3u8])
        .prop_map(|(who, back)| Move::Meet { who, back });
    let talk = prop_oneof![
        12 => lock,
        14 => answer,
        6 => reveal,
        3 => plain,
        4 => payer().prop_map(Move::Settle),
        1 => payer().prop_map(Move::Drop),
        1 => payer().prop_map(Move::Pay),
        3 => payee().prop_map(Move::GiveUp),
        2 => meet,
        1 => ask,
    ];
    let claims = prop_oneof![Just(Claims::None), Just(Claims::One), Just(Claims::All)];
    let bring = (payee(), prop::bool::weighted(0.5), 0..3u8, claims)
        .prop_map(|(who, close, back, claims)| Move::Bring { who, close, back, claims });
    let ledger = prop_oneof![
        3 => bring,
        1 => (0..2usize).prop_map(Move::Carry),
        1 => Just(Move::Anchor),
        1 => (0..2usize).prop_map(Move::HubCloses),
    ];
    let blocks = prop_oneof![
        6 => (any::<bool>(), any::<bool>()).prop_map(|(ours, seen)| Move::Block { ours, seen }),
        3 => (1..8u8).prop_map(Move::Blocks),
        2 => any::<bool>().prop_map(|hubs| Move::Edge { hubs }),
        1 => Just(Move::Dark),
    ];
    prop_oneof![24 => talk, 3 => ledger, 10 => blocks]
}
