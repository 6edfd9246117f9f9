//! The exit game, explored exhaustively within bounds.

use settlement::types::Role;
use stateright::{Model, Property};

use super::game::{Action, Bounds, Draft, Game, Theorem};

/// What the exhaustive searches look at, each a small game of its own: payments that are refused and
/// kept, a lock of the honest side's, a lock of the thief's, co-signatures, records and anchors.
pub const GAMES: [(&str, Bounds); 9] = [
    (
        "payments, kept or not",
        Bounds {
            payments: 2,
            drafts: 1,
            kinds: &[Draft::Plain, Draft::Pay, Draft::Overspend, Draft::AcknowledgeRefused],
            ..Bounds::SMALL
        },
    ),
    (
        "one payment, two proofs",
        Bounds {
            payments: 1,
            drafts: 1,
            kinds: &[Draft::Plain, Draft::Pay],
            brings: 2,
            ..Bounds::SMALL
        },
    ),
    (
        "a lock",
        Bounds { locks: 1, drafts: 1, kinds: &[Draft::Plain], refusals: 0, ..Bounds::SMALL },
    ),
    ("a lock, kept or not", Bounds { locks: 1, ..Bounds::SMALL }),
    ("a stream", Bounds { locks: 1, steps: 2, refusals: 0, ..Bounds::SMALL }),
    (
        "a stream of the thief's",
        Bounds {
            drafts: 2,
            kinds: &[
                Draft::Lock,
                Draft::Settle,
                Draft::SettleAndLose,
                Draft::Drop,
                Draft::FallBack,
            ],
            steps: 2,
            ..Bounds::SMALL
        },
    ),
    (
        "signatures",
        Bounds { payments: 1, drafts: 1, kinds: &[Draft::Pay], cosigns: 1, ..Bounds::SMALL },
    ),
    (
        "records",
        Bounds {
            payments: 1,
            drafts: 1,
            kinds: &[Draft::Pay],
            records: 1,
            sleep: true,
            ..Bounds::SMALL
        },
    ),
    (
        "records, overtaken",
        Bounds {
            payments: 1,
            drafts: 2,
            kinds: &[Draft::Pay],
            refusals: 0,
            records: 1,
            sleep: true,
            ..Bounds::SMALL
        },
    ),
];

/// The game with one side honest.
#[derive(Clone, Copy, Debug)]
pub struct ExitGame {
    /// Who follows the rules.
    pub honest: Role,
    /// How large the game is.
    pub bounds: Bounds,
}

fn holds(theorem: Theorem) -> impl Fn(&Game) -> bool {
    move |game| game.fault().is_none_or(|fault| fault.theorem != theorem)
}

impl Model for ExitGame {
    type State = Game;
    type Action = Action;

    fn init_states(&self) -> Vec<Game> {
        vec![Game::new(self.honest, self.bounds)]
    }

    fn actions(&self, state: &Game, actions: &mut Vec<Action>) {
        if state.fault().is_none() {
            actions.extend(state.actions());
        }
    }

    fn next_state(&self, state: &Game, action: Action) -> Option<Game> {
        state.after(action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("1 conservation", |_, game: &Game| holds(Theorem::Conservation)(game)),
            Property::always("2 monotone", |_, game: &Game| holds(Theorem::Monotone)(game)),
            Property::always("3 an honest side never loses", |_, game: &Game| {
                holds(Theorem::HonestNeverLoses)(game)
            }),
            Property::always("4 atomic", |_, game: &Game| holds(Theorem::Atomic)(game)),
            Property::always("5 live", |_, game: &Game| holds(Theorem::Live)(game)),
            Property::sometimes("a channel is paid out", |_, game: &Game| game.is_over()),
        ]
    }
}
