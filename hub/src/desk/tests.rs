use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use client_sdk::ledger_client::Answer;
use settlement::api::{AccountView, ChannelView, LedgerInfo};
use settlement::block::{Header, SignedHeader};
use settlement::params::Fees;
use settlement::proof::{CooperativeClose, Net};
use settlement::state_proof::StateProof;
use settlement::tx::{AccountAction, AccountTx};
use settlement::types::{AccountId, Hash, Height, Role, Signature};
use tokio::sync::{broadcast, oneshot};

use super::*;

/// A ledger that answers each transaction as the test has laid ready, and shows it what came.
struct Scripted {
    answers: Mutex<std::collections::VecDeque<Result<(), Code>>>,
    came: mpsc::UnboundedSender<Transaction>,
    nonce: u64,
    /// How often it was asked about the account.
    asked: Arc<AtomicU64>,
}

impl LedgerClient for Scripted {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        Box::pin(std::future::pending())
    }
    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(Ok(()));
        let tx = transaction.id();
        self.came.send(transaction.clone()).unwrap();
        let refused = |code| LedgerError::Refused(Box::new(Problem::new(code, code.title())));
        Box::pin(async move { answer.map(|()| tx).map_err(refused) })
    }
    fn events_from(&self, _: Height, _: Duration) -> Answer<'_, Vec<BlockEvents>> {
        Box::pin(std::future::pending())
    }
    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        self.asked.fetch_add(1, Relaxed);
        let view =
            AccountView { account: *account, nonce: self.nonce, balances: Vec::new(), lease: None };
        Box::pin(async move { Ok(view) })
    }
    fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
        let gone = LedgerError::Unreachable("gone".to_owned());
        Box::pin(async move { Err(gone) })
    }

    fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
        let gone = LedgerError::Unreachable("gone".to_owned());
        Box::pin(async move { Err(gone) })
    }
}

struct Scene {
    desk: Desk,
    counters: Arc<Counters>,
    came: mpsc::UnboundedReceiver<Transaction>,
    blocks: broadcast::Sender<Arc<BlockEvents>>,
    asked: Arc<AtomicU64>,
}

const CHANNEL: ChannelId = ChannelId([3; 32]);
const LEDGER: LedgerId = LedgerId([1; 32]);

impl Scene {
    fn set(answers: &[Result<(), Code>]) -> Scene {
        Scene::with_fees(answers, Fees::default())
    }

    fn with_fees(answers: &[Result<(), Code>], fees: Fees) -> Scene {
        let asked = Arc::new(AtomicU64::new(0));
        let (came, coming) = mpsc::unbounded_channel();
        let answers = Mutex::new(answers.iter().copied().collect());
        let ledger = Arc::new(Scripted { answers, came, nonce: 7, asked: asked.clone() });
        let key = Arc::new(SigningKey::from_bytes([1; 32]).unwrap());
        let counters = Arc::new(Counters::default());
        let clerk = Clerk::new(Office {
            ledger,
            id: LEDGER,
            fees,
            key,
            counters: counters.clone(),
            authority: crate::lease::fixture::held(),
            leases: mpsc::unbounded_channel().0,
        });
        let (blocks, followed) = broadcast::channel(16);
        Scene { desk: Desk::open(clerk, followed), counters, came: coming, blocks, asked }
    }

    async fn next(&mut self) -> Transaction {
        tokio::time::timeout(Duration::from_secs(30), self.came.recv()).await.unwrap().unwrap()
    }

    /// Hands the errand in until the ledger sees it, as a shard does that hears nothing.
    async fn again(&mut self, errand: impl Fn() -> Errand) -> Transaction {
        loop {
            self.desk.give(errand());
            for _ in 0..8 {
                tokio::task::yield_now().await;
                if let Ok(came) = self.came.try_recv() {
                    return came;
                }
            }
        }
    }

    async fn until_refused(&self, count: u64) {
        while self.counters.refused_by_ledger.load(Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }
}

fn submission() -> Errand {
    let (proof, locks, claims) = (None, Vec::new(), Vec::new());
    let by = Role::Hub;
    Errand::Submit(Box::new(Submission { channel: CHANNEL, by, close: true, proof, locks, claims }))
}

fn deposit() -> Errand {
    Errand::Deposit { channel: CHANNEL, amount: Amount(5) }
}

fn deposited(transaction: &Transaction) -> (u64, ChannelId) {
    match transaction {
        Transaction::Account {
            body: AccountTx { nonce, action: AccountAction::Deposit { channel, .. }, .. },
            ..
        } => (*nonce, *channel),
        other => panic!("{other:?} is no deposit"),
    }
}

fn nonce(transaction: &Transaction) -> u64 {
    deposited(transaction).0
}

#[tokio::test]
async fn a_passing_lack_of_the_ledger_is_waited_out() {
    let lacks = [Code::QueueFull, Code::Overloaded, Code::LedgerUnavailable];
    let mut scene = Scene::set(&lacks.map(Err));
    scene.desk.give(submission());
    let first = scene.next().await;
    for _ in lacks {
        assert_eq!(scene.next().await, first, "the very same again");
    }
    assert_eq!(scene.counters.refused_by_ledger.load(Relaxed), 0);
}

#[tokio::test]
async fn a_refused_submission_is_counted_and_can_be_brought_again() {
    let mut scene = Scene::set(&[Err(Code::LocksMismatch)]);
    scene.desk.give(submission());
    let first = scene.next().await;
    scene.until_refused(1).await;
    assert_eq!(scene.again(submission).await, first);
    assert_eq!(scene.counters.refused_by_ledger.load(Relaxed), 1);
}

#[tokio::test]
async fn what_was_taken_in_and_refused_in_a_block_is_counted_if_it_is_of_this_hub() {
    let mut scene = Scene::set(&[]);
    scene.desk.give(submission());
    let tx = scene.next().await.id();
    let header = Header {
        ledger: LEDGER,
        height: Height(1),
        parent: Hash::ZERO,
        time_ms: 1,
        tx_root: Hash::ZERO,
        tx_count: 2,
        writes: Hash::ZERO,
        state_root: Hash::ZERO,
    };
    let header = SignedHeader::sign(&SigningKey::from_bytes([2; 32]).unwrap(), header);
    let refused = |tx| LedgerEvent::Refused { tx, code: Code::WindowOver };
    let events = vec![refused(TxId([9; 32])), refused(tx)];
    assert!(scene.blocks.send(Arc::new(BlockEvents { header, events })).is_ok());
    scene.until_refused(1).await;
    assert_eq!(scene.counters.refused_by_ledger.load(Relaxed), 1, "the other's is not counted");
}

#[tokio::test]
async fn the_wallet_is_told_why_the_ledger_refused_what_both_had_signed() {
    let mut scene = Scene::set(&[Err(Code::EscrowMismatch)]);
    let close = CooperativeClose {
        channel: CHANNEL,
        wallet_amount: Amount(1),
        hub_amount: Amount(2),
        wallet_net: Net::new(1).unwrap(),
        hub_net: Net::new(2).unwrap(),
        valid_until: Height(9),
    };
    let (answer, answered) = oneshot::channel();
    let (body, wallet) = (Body::Close(close), Signature([0; 64]));
    scene.desk.give(Errand::Cosign(Box::new(Request { body, wallet, answer })));
    assert_eq!(scene.next().await.channel(), Some(CHANNEL));
    assert_eq!(answered.await.unwrap().unwrap_err().code, Code::EscrowMismatch);
}

#[tokio::test]
async fn a_deposit_without_money_is_made_when_the_shard_asks_again() {
    let mut scene = Scene::set(&[Err(Code::InsufficientFunds), Err(Code::InsufficientFunds)]);
    scene.desk.give(deposit());
    assert_eq!(nonce(&scene.next().await), 7);
    scene.until_refused(1).await;
    for _ in 0..2 {
        assert_eq!(nonce(&scene.again(deposit).await), 7, "what was refused spent no nonce");
    }
    let next = scene.again(deposit).await;
    assert_eq!(nonce(&next), 8, "the third was taken");
}

#[tokio::test]
async fn a_deposit_that_is_asked_for_again_while_it_waits_is_made_once() {
    let mut scene = Scene::set(&[Err(Code::LedgerUnavailable)]);
    scene.desk.give(deposit());
    let first = scene.next().await;
    scene.desk.give(deposit());
    assert_eq!(scene.next().await, first, "the same is tried again");
    let other = ChannelId([4; 32]);
    scene.desk.give(Errand::Deposit { channel: other, amount: Amount(5) });
    assert_eq!(deposited(&scene.next().await), (8, other), "none of the first came between");
}

/// On the day on which everybody closes: one request for each envelope.
#[tokio::test]
async fn answers_follow_each_other_without_asking_for_the_nonce_again() {
    let fees = Fees { flat: Amount(1), ..Fees::default() };
    let mut scene = Scene::with_fees(&[Ok(()), Ok(()), Err(Code::BadNonce)], fees);
    let of = |number| {
        let body = Submission::close_with_nothing(ChannelId([number; 32]), Role::Hub);
        Errand::Submit(Box::new(body))
    };
    for (number, nonce, asked) in [(1, 7, 1), (2, 8, 1), (3, 9, 1), (3, 7, 2), (4, 8, 2)] {
        if (number, asked) != (3, 2) {
            scene.desk.give(of(number));
        }
        match scene.next().await {
            Transaction::Account { body, .. } => assert_eq!(body.nonce, nonce, "{number}"),
            other => panic!("{other:?} is in no envelope"),
        }
        assert_eq!(scene.asked.load(Relaxed), asked, "{number}");
    }
}
