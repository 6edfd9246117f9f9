//! The same request by a hundred callers at once, and another one among them.
//!
//! The hub keeps no keys of requests: a withdrawal that was agreed to is in its channel's records, and
//! whoever asks for the same again gets the same signatures, which make the same transaction.

use std::collections::BTreeSet;
use std::sync::Mutex as Unscheduled;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use client_sdk::api::Cosigned;
use client_sdk::ledger_client::{Answer, LedgerClient};
use futures_util::FutureExt;
use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::BlockEvents;
use settlement::crypto::Signable;
use settlement::journal::Past;
use settlement::params::Fees;
use settlement::proof::Withdrawal;
use settlement::reject::Code;
use settlement::state_proof::StateProof;
use settlement::tx::Transaction;
use settlement::types::{AccountId, Amount, ChannelId, Height, LedgerId, Role, Signature, TxId};
use shuttle::rand::Rng;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::{Found, Hub, durable};
use crate::desk::{Clerk, Errand, Office};
use crate::interleavings::try_orders;
use crate::shard::tests::world::{World, key};
use crate::shard::*;
use crate::shards::{Job, Shared};
use crate::sync::Arc;
use crate::sync::thread::{JoinHandle, spawn, yield_now};
use crate::tickets::{Body, Request, Tickets};

const CALLERS: usize = 100;
/// The wallet's signature is checked before a request comes to a shard.
const SIGNATURE: Signature = Signature([0; 64]);

type Said = Result<Cosigned, Problem>;

/// A ledger that takes all in, and remembers what.
#[derive(Default)]
struct Taker(Unscheduled<BTreeSet<TxId>>);

impl LedgerClient for Taker {
    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let tx = transaction.id();
        self.0.lock().unwrap().insert(tx);
        Box::pin(async move { Ok(tx) })
    }
    fn info(&self) -> Answer<'_, LedgerInfo> {
        Box::pin(std::future::pending())
    }
    fn events_from(&self, _: Height, _: Duration) -> Answer<'_, Vec<BlockEvents>> {
        Box::pin(std::future::pending())
    }
    fn account(&self, _: &AccountId) -> Answer<'_, AccountView> {
        Box::pin(std::future::pending())
    }
    fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
        Box::pin(std::future::pending())
    }
    fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
        Box::pin(std::future::pending())
    }
}

/// What each of the two groups of callers asks for.
fn wanted(world: &World, which: usize) -> Withdrawal {
    let total_withdrawn = Amount(1_000 + which as u64);
    let valid_until = world.height().after(10);
    Withdrawal { channel: world.id(0), role: Role::Wallet, total_withdrawn, valid_until }
}

/// What the route of a withdrawal does.
fn ask(wanted: Withdrawal, tickets: &Tickets, shared: &Shared) -> oneshot::Receiver<Said> {
    let (answer, answered) = oneshot::channel();
    let ticket = tickets.keep(Request { body: Body::Withdraw(wanted), wallet: SIGNATURE, answer });
    let input = Input::Withdraw { withdrawal: wanted, signature: SIGNATURE, ticket };
    shared.queues[0].push(Job::Input(input));
    answered
}

/// The total that a hub which starts on what is durable has agreed to.
fn agreed(found: &Found, channel: ChannelId) -> Option<Amount> {
    found.channel(channel).escrow(Role::Wallet).agreed.map(|(total, _)| total)
}

/// Runs the errands as the desk does, each of which must rest on something durable.
fn serve(
    mut errands: mpsc::UnboundedReceiver<Errand>,
    ledger: Arc<Taker>,
    mut found: Found,
    past: std::sync::Arc<dyn Past>,
) -> JoinHandle<()> {
    let clerk = Clerk::new(Office {
        ledger,
        id: LedgerId([1; 32]),
        fees: Fees::default(),
        key: Arc::new(key(100)),
        counters: Arc::default(),
        authority: crate::lease::fixture::held(),
        leases: mpsc::unbounded_channel().0,
    });
    spawn(move || {
        loop {
            match errands.try_recv() {
                Ok(Errand::Cosign(request)) => {
                    let Body::Withdraw(body) = request.body else { panic!("nobody closes") };
                    found.go_on(&*past, |_, _| {});
                    let kept = agreed(&found, body.channel);
                    assert_eq!(kept, Some(body.total_withdrawn), "signed before it is durable");
                    clerk.run(Errand::Cosign(request)).now_or_never().expect("nothing to wait for");
                }
                Ok(_) => {}
                Err(TryRecvError::Empty) => yield_now(),
                Err(TryRecvError::Disconnected) => return,
            }
        }
    })
}

fn start() -> (Hub, Arc<Taker>, JoinHandle<()>) {
    let mut hub = Hub::start(1, 1);
    let ledger = Arc::<Taker>::default();
    let errands = std::mem::replace(&mut hub.errands, mpsc::unbounded_channel().1);
    let found = Found::nothing(&hub.world, 1);
    let clerk = serve(errands, ledger.clone(), found, hub.past.clone());
    (hub, ledger, clerk)
}

fn callers(hub: &Hub, count: usize) -> Vec<JoinHandle<(usize, oneshot::Receiver<Said>)>> {
    let call = |caller| {
        let wanted = wanted(&hub.world, caller % 2);
        let (tickets, shared) = (hub.tickets.clone(), hub.shared.clone());
        spawn(move || (caller % 2, ask(wanted, &tickets, &shared)))
    };
    (0..count).map(call).collect()
}

#[test]
fn a_hundred_who_ask_at_once_for_one_thing_or_another_get_one_of_them() {
    try_orders(60, || {
        let (hub, ledger, clerk) = start();
        let asked: Vec<_> =
            callers(&hub, CALLERS).into_iter().map(|it| it.join().unwrap()).collect();
        let _journal = hub.threads.stop(&hub.shared);
        clerk.join().unwrap();
        let said: Vec<(usize, Said)> = asked
            .into_iter()
            .map(|(which, mut answer)| (which, answer.try_recv().expect("nobody has answered")))
            .collect();
        let mut found = Found::nothing(&hub.world, 1);
        found.go_on(&*hub.past, |_, _| {});
        let kept = agreed(&found, hub.world.id(0)).unwrap();
        for (which, answer) in &said {
            let is_it = wanted(&hub.world, *which).total_withdrawn == kept;
            let first = said.iter().find(|(other, _)| other == which);
            match answer {
                Ok(_) => assert!(is_it && first.is_some_and(|(_, first)| first == answer)),
                Err(problem) => assert_eq!((is_it, problem.code), (false, Code::NotAgreed)),
            }
        }
        assert_eq!(ledger.0.lock().unwrap().len(), 1, "one effect");
    });
}

/// How many crashes left nothing, something that nobody was told, and something that was signed.
static LEFT: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// What a hub says that starts on these records.
fn asked_again(world: &mut World, records: Vec<Record>) -> [Action; 2] {
    world.journal = records;
    world.shards = world.replayed(1);
    world.restart();
    world.run();
    [0, 1].map(|which| {
        let withdrawal = wanted(world, which);
        world.input(Input::Withdraw { withdrawal, signature: SIGNATURE, ticket: 7 });
        world.answers.pop().unwrap()
    })
}

#[test]
fn a_crash_between_commit_and_answer_leaves_one_of_them_to_be_asked_for_again() {
    let scene = || {
        let (hub, ledger, clerk) = start();
        let asked = callers(&hub, 6);
        (0..shuttle::rand::thread_rng().gen_range(0..60)).for_each(|_| yield_now());
        // The process is killed: what is durable by now, and in the ledger's hands, is what is left.
        let mut found = Found::nothing(&hub.world, 1);
        found.go_on(&*hub.past, |_, _| {});
        let (records, signed) = (durable(&*hub.past), ledger.0.lock().unwrap().clone());
        let kept = agreed(&found, hub.world.id(0));
        LEFT[usize::from(kept.is_some()) + usize::from(!signed.is_empty())].fetch_add(1, Relaxed);
        asked.into_iter().for_each(|caller| drop(caller.join().unwrap()));
        let _journal = hub.threads.stop(&hub.shared);
        clerk.join().unwrap();
        let mut world = hub.world;
        for (which, answer) in asked_again(&mut world, records).into_iter().enumerate() {
            let withdrawal = wanted(&world, which);
            let is_it = kept.map_or(which == 0, |kept| kept == withdrawal.total_withdrawn);
            let refused = Action::Refuse { ticket: 7, code: Code::NotAgreed };
            assert_eq!(answer, if is_it { Action::Cosign { ticket: 7 } } else { refused });
            assert!(is_it || !signed.contains(&signed_by_both(withdrawal).id()), "both are signed");
        }
    };
    if try_orders(400, scene) > 1 {
        let left = LEFT.each_ref().map(|count| count.load(Relaxed));
        assert!(left.iter().all(|count| *count > 0), "not every kind of crash: {left:?}");
    }
}

/// What both have signed.
fn signed_by_both(body: Withdrawal) -> Transaction {
    let hub = key(100).sign(&body.digest());
    Transaction::Withdraw { body, wallet: SIGNATURE, hub }
}
