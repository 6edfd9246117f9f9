//! The desk before a ledger that takes, refuses or puts off what a test tells it to.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use client_sdk::ledger_client::Answer;
use settlement::api::{AccountView, ChannelView, LedgerInfo};
use settlement::block::BlockEvents;
use settlement::params::Fees;
use settlement::proof::Withdrawal;
use settlement::state_proof::StateProof;
use settlement::types::{AccountId, Height, Role, Signature};
use tokio::sync::oneshot;

use super::*;

type Say = dyn Fn(&Transaction, usize) -> Result<(), Code> + Send + Sync;

/// Answers each transaction as `say` does, which hears how often the ledger has been asked before.
struct Scripted {
    say: Box<Say>,
    asked: AtomicUsize,
    taken: mpsc::UnboundedSender<Transaction>,
    nonce: u64,
}

impl LedgerClient for Scripted {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        never_asked()
    }

    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let answer = (self.say)(transaction, self.asked.fetch_add(1, SeqCst));
        if answer.is_ok() {
            self.taken.send(transaction.clone()).unwrap();
        }
        let id = transaction.id();
        let refused = |code| LedgerError::Refused(Box::new(Problem::new(code, "scripted")));
        Box::pin(async move { answer.map(|()| id).map_err(refused) })
    }

    fn events_from(&self, _: Height, _: Duration) -> Answer<'_, Vec<BlockEvents>> {
        never_asked()
    }

    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        let view =
            AccountView { account: *account, nonce: self.nonce, balances: Vec::new(), lease: None };
        Box::pin(async move { Ok(view) })
    }

    fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
        never_asked()
    }

    fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
        never_asked()
    }
}

fn never_asked<T>() -> T {
    panic!("the desk does not ask for this")
}

type Taken = mpsc::UnboundedReceiver<Transaction>;

fn desk(
    nonce: u64,
    say: impl Fn(&Transaction, usize) -> Result<(), Code> + Send + Sync + 'static,
) -> (Desk, Taken) {
    let (taken, seen) = mpsc::unbounded_channel();
    let ledger = Scripted { say: Box::new(say), asked: AtomicUsize::new(0), taken, nonce };
    let key = Arc::new(SigningKey::from_bytes([3; 32]).unwrap());
    let clerk = Clerk::new(Office {
        ledger: Arc::new(ledger),
        id: LedgerId([1; 32]),
        fees: Fees::default(),
        key,
        counters: Arc::default(),
        authority: crate::lease::fixture::held(),
        leases: mpsc::unbounded_channel().0,
    });
    let (_, blocks) = tokio::sync::broadcast::channel(1);
    (Desk::open(clerk, blocks), seen)
}

fn submission(channel: u8) -> Errand {
    let (locks, claims) = (Vec::new(), Vec::new());
    let channel = ChannelId([channel; 32]);
    let by = Role::Hub;
    Errand::Submit(Box::new(Submission { channel, by, close: true, proof: None, locks, claims }))
}

fn withdrawal() -> (Errand, oneshot::Receiver<Result<Cosigned, Problem>>) {
    let (answer, answered) = oneshot::channel();
    let body = Body::Withdraw(Withdrawal {
        channel: ChannelId([9; 32]),
        role: Role::Wallet,
        total_withdrawn: Amount(1),
        valid_until: Height(9),
    });
    (Errand::Cosign(Box::new(Request { body, wallet: Signature([0; 64]), answer })), answered)
}

fn is_withdrawal(transaction: &Transaction) -> bool {
    matches!(transaction, Transaction::Withdraw { .. })
}

async fn next(taken: &mut Taken) -> Transaction {
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, taken.recv()).await.expect("it never came").unwrap()
}

/// Claims have deadlines, and what wallets ask for has none.
#[tokio::test]
async fn what_the_ledger_puts_off_holds_up_no_claim() {
    let put_off = |transaction: &Transaction, _| match is_withdrawal(transaction) {
        true => Err(Code::QueueFull),
        false => Ok(()),
    };
    let (desk, mut taken) = desk(0, put_off);
    let mut waiting = Vec::new();
    for _ in 0..=AT_ONCE {
        let (errand, answered) = withdrawal();
        desk.give(errand);
        waiting.push(answered);
    }
    desk.give(submission(1));
    assert!(matches!(next(&mut taken).await, Transaction::Submit { .. }));
}
