use client_sdk::ledger_client::Answer;
use settlement::api::{AccountView, ChannelView, LedgerInfo};
use settlement::block::BlockEvents;
use settlement::params::Genesis;
use settlement::state_proof::StateProof;
use settlement::tx::Transaction;
use settlement::types::{AccountId, ChannelId, TxId};

use super::super::fixture::{block, hub, terms};
use super::*;
use crate::queue::Queue;
use crate::shard::Own;

/// A ledger whose newest block is this one.
struct At(u64);

fn never_asked<T>() -> T {
    panic!("only the tip and the account are asked for")
}

impl LedgerClient for At {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        let genesis = Genesis::development("test", hub(), 0);
        let ledger = genesis.ledger_id();
        let tip = Some(block(self.0, vec![]).header);
        Box::pin(async move { Ok(LedgerInfo { ledger, genesis, tip }) })
    }
    fn submit(&self, _: &Transaction) -> Answer<'_, TxId> {
        never_asked()
    }
    fn events_from(&self, _: Height, _: Duration) -> Answer<'_, Vec<BlockEvents>> {
        never_asked()
    }
    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        let view = AccountView { account: *account, nonce: 0, balances: Vec::new(), lease: None };
        Box::pin(async move { Ok(view) })
    }
    fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
        never_asked()
    }
    fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
        never_asked()
    }
}

/// Even where the lease is held at once: what an earlier process has seen on the ledger, this one knows before
/// it takes or refuses a payment.
#[tokio::test]
async fn shards_sign_only_once_they_know_what_the_ledger_had_at_the_start() {
    let authority = Arc::new(Authority::new(terms(true), Own::default()));
    let queues: ShardQueues = [Queue::new(8)].into_iter().collect();
    let (followed, heights) = watch::channel(Height(3));
    let (answer, answers) = mpsc::unbounded_channel();
    answer.send(Ok(())).unwrap();
    let taking = Taking {
        authority: authority.clone(),
        hub: hub(),
        ledger: Arc::new(At(5)),
        queues: queues.clone(),
        heights,
        answers,
    };
    tokio::spawn(taking.run());
    let signing = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let told = std::iter::from_fn(|| (queues[0].len() > 0).then(|| queues[0].take()).flatten());
        told.filter(|job| matches!(job, Job::Input(Input::Signing(true)))).count()
    };
    assert_eq!(signing().await, 0);
    assert!(authority.is_held());
    for (height, told) in [(4, 0), (5, 1)] {
        followed.send(Height(height)).unwrap();
        assert_eq!(signing().await, told, "at height {height} of 5");
    }
}
