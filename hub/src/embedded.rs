//! The embedded ledger, seen like any other.

use std::time::Duration;

use client_sdk::ledger_client::{Answer, LedgerClient, LedgerError};
use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::{Block, BlockEvents};
use settlement::ledger::service::LedgerHandle;
use settlement::reject::Code;
use settlement::state_proof::StateProof;
use settlement::tx::Transaction;
use settlement::types::{AccountId, ChannelId, Height, TxId};

/// Blocks in one answer.
const BLOCKS: usize = 256;

/// A ledger in this process.
pub(crate) struct Embedded(pub(crate) LedgerHandle);

fn refused(code: Code) -> LedgerError {
    match code {
        Code::LedgerUnavailable => LedgerError::Unreachable("it has stopped".to_owned()),
        code => LedgerError::Refused(Box::new(Problem::new(code, code.title()))),
    }
}

impl LedgerClient for Embedded {
    fn info(&self) -> Answer<'_, LedgerInfo> {
        Box::pin(async { self.0.info().await.map_err(refused) })
    }

    fn submit(&self, transaction: &Transaction) -> Answer<'_, TxId> {
        let transaction = transaction.clone();
        Box::pin(async { self.0.submit(transaction).await.map_err(refused) })
    }

    fn events_from(&self, height: Height, wait: Duration) -> Answer<'_, Vec<BlockEvents>> {
        Box::pin(async move {
            let blocks = self.0.events_from(height, BLOCKS, wait).await.map_err(refused)?;
            Ok(blocks.into_iter().map(|block| (*block).clone()).collect())
        })
    }

    fn account(&self, account: &AccountId) -> Answer<'_, AccountView> {
        let account = *account;
        Box::pin(async move { self.0.account(account).await.map_err(refused) })
    }

    fn channel(&self, channel: &ChannelId) -> Answer<'_, ChannelView> {
        let channel = *channel;
        Box::pin(async move { self.0.channel(channel).await.map_err(refused) })
    }

    fn state_proof(&self, channel: &ChannelId) -> Answer<'_, StateProof> {
        let channel = *channel;
        Box::pin(async move { self.0.state_proof(channel).await.map_err(refused) })
    }

    fn block(&self, height: Height) -> Answer<'_, Block> {
        Box::pin(async move {
            let block = self.0.block(height).await.map_err(refused)?;
            block.ok_or_else(|| refused(Code::NotFound))
        })
    }
}
