//! A hub that starts on an old copy of its data, and what it has signed for the ledger and
//! forgotten: a wallet brings that in the last block that takes it.

use settlement::block::LedgerEvent;
use settlement::channel::{Channel, NewOp, Step};
use settlement::liabilities::Liabilities;
use settlement::proof::{CooperativeClose, Net, Withdrawal};
use settlement::reject::Code;
use settlement::tx::Lease;
use settlement::types::{Amount, AssetId, Hash, Height, Holder, Role, Signature};
use settlement::update::Memo;

use super::wallet::Manner;
use super::world::{DEPOSIT, World};
use crate::shard::*;

/// For how many blocks the thief asks.
pub(super) const LIFE: u64 = 100;

/// What wallet 0 has signed by the hub and keeps.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Withdrawal,
    Close,
}

/// How the hub learns that its journal is an old one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shown {
    /// A lease of a process that is not in it.
    Lease,
    /// A statement of what it owes that is not in it.
    Statement,
    /// Another wallet has a proof that is not in it.
    ByAnother,
}

impl Kept {
    fn sign(self, world: &mut World) {
        let (channel, valid_until) = (world.id(0), world.height().after(LIFE));
        let signature = Signature([0; 64]);
        let net = Net::new(DEPOSIT.wide()).unwrap();
        world.input(match self {
            Kept::Withdrawal => {
                let role = Role::Wallet;
                let withdrawal =
                    Withdrawal { channel, role, total_withdrawn: DEPOSIT, valid_until };
                Input::Withdraw { withdrawal, signature, ticket: 1 }
            }
            Kept::Close => {
                let close = CooperativeClose {
                    channel,
                    wallet_amount: DEPOSIT,
                    hub_amount: DEPOSIT,
                    wallet_net: net,
                    hub_net: net,
                    valid_until,
                };
                Input::Close { close, signature, ticket: 1 }
            }
        });
        assert_eq!(world.answers.pop(), Some(Action::Cosign { ticket: 1 }));
    }

    fn carried(self, world: &World) -> LedgerEvent {
        let channel = world.id(0);
        match self {
            Kept::Withdrawal => {
                LedgerEvent::Withdrawn { channel, role: Role::Wallet, total: DEPOSIT }
            }
            Kept::Close => {
                let (wallet, hub) = (DEPOSIT, DEPOSIT);
                LedgerEvent::Settled { channel, wallet, hub, cooperative: true }
            }
        }
    }

    /// What wallet 0 has left of what it had withdrawn or closed on, if the ledger takes it now.
    fn hub_gets(self, channel: &Channel) -> i128 {
        match self {
            Kept::Close => DEPOSIT.wide(),
            Kept::Withdrawal => {
                let moved = channel.outgoing().tip().transferred.wide()
                    - channel.incoming().tally.transferred.wide();
                DEPOSIT.wide() - moved.max(0)
            }
        }
    }
}

pub(super) fn show(world: &mut World, shown: Shown) {
    let hub = world.config.hub;
    let event = match shown {
        Shown::Lease => LedgerEvent::Leased { hub, epoch: 7, holder: Holder([7; 16]) },
        Shown::Statement => {
            let (root, total) = (Hash([7; 32]), Amount(7));
            let as_of = world.height();
            let liabilities = Liabilities { as_of, asset: AssetId(0), root, total };
            LedgerEvent::LiabilitiesAnchored { hub, liabilities }
        }
        Shown::ByAnother => {
            world.connect(1);
            return world.run();
        }
    };
    world.block(vec![event]);
    world.connect(1);
    world.run();
}

/// Wallet 0 has something signed, the hub starts on what it had before, and finds out that it has
/// lost state.
fn forgotten(shards: u16, kept: Kept, shown: Shown) -> World {
    let mut world = World::with(super::world::config(), shards, 3);
    let copy = world.journal.len();
    if shown == Shown::ByAnother {
        world.pay(2, 1, 100, 50);
        world.idle();
    }
    kept.sign(&mut world);
    (0..3).for_each(|at| world.set_online(at, false));
    world.journal.truncate(copy);
    world.restart();
    show(&mut world, shown);
    world
}

fn everything(mut with: impl FnMut(u16, Kept, Shown)) {
    for shards in [1, 3] {
        for kept in [Kept::Withdrawal, Kept::Close] {
            for shown in [Shown::Lease, Shown::Statement, Shown::ByAnother] {
                with(shards, kept, shown);
            }
        }
    }
}

/// ⚔ The wallet pays with what it has signed away, and brings that last.
#[test]
fn what_was_signed_for_the_ledger_and_forgotten_takes_nothing() {
    everything(|shards, kept, shown| {
        let mut world = forgotten(shards, kept, shown);
        let before = world.completed;
        world.connect(0);
        // Again and again, until nothing can be carried any more.
        for seed in 1..=(LIFE as u8 / 10) {
            world.pay(0, 1, 1_000, seed);
            world.blocks(9);
            world.idle();
        }
        let context = format!("{shards} shards, {kept:?}, {shown:?}");
        assert_eq!(world.completed, before, "{context}");
        let hub = kept.hub_gets(world.channel(0));
        let carried = kept.carried(&world);
        world.block(vec![carried]);
        world.idle();
        let paid = world.channel(1).outgoing().tip().transferred.wide();
        let before = if shown == Shown::ByAnother { 100 } else { 0 };
        assert_eq!((hub, paid), (DEPOSIT.wide(), before), "{context}");
        assert_ne!(world.channel(0).suspended(), Some(Code::StateLost), "{context}");
    });
}

/// Once nothing of it can be carried any more, all goes on as before.
#[test]
fn the_hub_goes_on_when_nothing_that_it_forgot_can_be_carried_any_more() {
    everything(|shards, kept, shown| {
        let mut world = forgotten(shards, kept, shown);
        let before = world.completed;
        world.connect(0);
        world.connect(2);
        world.blocks(LIFE + 2 * 20 + 2);
        world.pay(0, 1, 1_000, 1);
        world.idle();
        world.pay(1, 2, 500, 2);
        world.idle();
        let context = format!("{shards} shards, {kept:?}, {shown:?}");
        assert_eq!(world.completed, before + 2, "{context}");
        let until = world.height().after(LIFE);
        kept_again(&mut world, until, &context);
    });
}

/// And signs for the ledger again.
fn kept_again(world: &mut World, valid_until: Height, context: &str) {
    let (channel, role) = (world.id(2), Role::Wallet);
    let withdrawal = Withdrawal { channel, role, total_withdrawn: Amount(5), valid_until };
    let signature = Signature([0; 64]);
    world.input(Input::Withdraw { withdrawal, signature, ticket: 3 });
    world.run();
    world.input(Input::Withdraw { withdrawal, signature, ticket: 4 });
    assert_eq!(world.answers.pop(), Some(Action::Cosign { ticket: 4 }), "{context}");
}

/// A start that has lost nothing waits for nothing.
#[test]
fn an_ordinary_restart_costs_no_time() {
    let mut world = World::new(2);
    let own = Lease { epoch: 1, holder: Holder([1; 16]) };
    world.input(Input::Lease(own));
    let hub = world.config.hub;
    world.block(vec![LedgerEvent::Leased { hub, epoch: 1, holder: own.holder }]);
    world.pay(0, 1, 1_000, 1);
    world.idle();
    world.restart();
    world.pay(0, 1, 1_000, 2);
    world.idle();
    assert_eq!(world.completed, 2);
}

/// A channel that was opened, and used, in the life that is forgotten leaps, too; a later one has
/// nothing to forget.
#[test]
fn a_channel_of_which_nothing_is_remembered_leaps() {
    let mut world = World::new(1);
    let hub = world.config.hub;
    let leased = LedgerEvent::Leased { hub, epoch: 7, holder: Holder([7; 16]) };
    let events = vec![leased, world.open(2)];
    world.block(events);
    let (early, start) = (world.id(1), world.height());
    assert_eq!(world.channel(1).suspended(), Some(Code::Recovering));
    world.blocks(25);
    assert_eq!((world.channel(1).suspended(), world.channel(1).waits_out()), (None, true));
    let events = vec![world.open(3)];
    world.block(events);
    assert_eq!((world.channel(2).suspended(), world.channel(2).waits_out()), (None, false));
    // A restart in the middle waits from anew.
    world.restart();
    world.blocks(LIFE + 2 * 20);
    assert!(world.height() > start.after(LIFE + 2 * 20 + 2));
    assert!(world.channel(1).waits_out(), "{early}");
    world.blocks(2);
    assert!(!world.channel(1).waits_out());
    assert_eq!(World::state(&world.replayed(1)), World::state(&world.shards));
}

/// The numbers of the proofs that the hub made on that wallet's channel.
pub(super) fn sent(world: &World, wallet: usize, from: usize) -> Vec<u64> {
    let id = world.id(wallet);
    let of = |record: &Record| match record {
        Record::Step { channel, step: Step::Sent(flight) }
        | Record::Forwarded { channel, step: Step::Sent(flight), .. }
            if *channel == id =>
        {
            Some(flight.proof.seq)
        }
        _ => None,
    };
    world.journal[from..].iter().filter_map(of).collect()
}

/// Before the ledger has been followed far enough to show what is lost, nothing is made that could
/// be wrong.
#[test]
fn before_this_process_signs_it_makes_and_takes_nothing() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    world.input(Input::Signing(false));
    world.wallets[1].manner = Manner::Reveals;
    let from = world.journal.len();
    let said = world.with_now(1, |wallet, now| {
        let mut said = Vec::new();
        wallet.act_on_locks(&mut said, now);
        said
    });
    said.into_iter().for_each(|input| world.input(input));
    let pay = NewOp::Pay { amount: Amount(5), memo: Memo::default() };
    world.add(0, pay);
    world.idle();
    assert_eq!(world.wallets[0].rejected, [Code::StaleView]);
    let channel = world.id(0);
    let withdrawal = Withdrawal {
        channel,
        role: Role::Wallet,
        total_withdrawn: Amount(5),
        valid_until: world.height().after(9),
    };
    world.input(Input::Withdraw { withdrawal, signature: Signature([0; 64]), ticket: 5 });
    let refused = Action::Refuse { ticket: 5, code: Code::LedgerStalled };
    assert_eq!(world.answers.pop(), Some(refused));
    assert_eq!((sent(&world, 0, from), sent(&world, 1, from)), (vec![], vec![]));
    assert_eq!(world.wallets[0].secrets.len(), 1, "a secret is passed on always");
    world.input(Input::Signing(true));
    world.run();
    assert_eq!(sent(&world, 1, from).len(), 1, "what waited goes out at once");
}

/// What comes after the lease of this process is its own.
#[test]
fn what_this_process_itself_puts_on_the_ledger_shows_no_loss() {
    for shards in [1, 3] {
        let mut world = World::with(super::world::config(), shards, 3);
        let own = Lease { epoch: 3, holder: Holder([3; 16]) };
        world.input(Input::Lease(own));
        let hub = world.config.hub;
        world.block(vec![LedgerEvent::Leased { hub, epoch: 3, holder: own.holder }]);
        let (root, total) = (Hash([7; 32]), Amount(7));
        let liabilities = Liabilities { as_of: world.height(), asset: AssetId(0), root, total };
        world.block(vec![LedgerEvent::LiabilitiesAnchored { hub, liabilities }]);
        assert!((0..3).all(|at| world.channel(at).suspended().is_none()), "{shards} shards");
    }
}
