//! The hub's own money on its way into channels, one deposit after the other.
//!
//! What is refused is not tried here for ever: the shard asks again some blocks later, for as long
//! as the channel needs it. So an account that was empty works as soon as somebody has filled it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use settlement::api::Problem;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Role};
use tokio::sync::mpsc;

use super::{Clerk, PAUSE, What};

/// How often a deposit is tried whose nonce was taken.
const NONCE_TRIES: u32 = 8;

/// Deposits that wait or are on their way: a shard that hears nothing asks again, and two would be
/// twice the money.
#[derive(Default)]
pub(super) struct Deposits {
    under_way: Mutex<HashSet<ChannelId>>,
    /// Whether the operator was told that the account holds too little.
    told: AtomicBool,
}

impl Deposits {
    fn under_way(&self) -> MutexGuard<'_, HashSet<ChannelId>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this one is new.
    pub(super) fn begin(&self, channel: ChannelId) -> bool {
        self.under_way().insert(channel)
    }
}

impl Clerk {
    pub(super) async fn deposit_all(
        self: Arc<Clerk>,
        mut queue: mpsc::UnboundedReceiver<(ChannelId, Amount)>,
    ) {
        let mut nonce = 0;
        while let Some((channel, amount)) = queue.recv().await {
            for _ in 0..NONCE_TRIES {
                match self.deposit(channel, amount, &mut nonce).await {
                    Ok(()) => break,
                    Err(problem) if problem.code == Code::BadNonce => {
                        tracing::debug!(?channel, "the account's nonce has moved");
                    }
                    Err(problem) => {
                        self.refused(What::Deposit(channel), problem.code).await;
                        break;
                    }
                }
            }
            self.deposits.under_way().remove(&channel);
        }
    }

    /// One try, with the nonce after the last one or, if the ledger knows better, that one.
    async fn deposit(
        &self,
        channel: ChannelId,
        amount: Amount,
        nonce: &mut u64,
    ) -> Result<(), Problem> {
        let account = self.key.public();
        if let Ok(view) = self.ledger.account(&account).await {
            *nonce = view.nonce.max(*nonce);
        }
        let action = AccountAction::Deposit { channel, role: Role::Hub, amount };
        let body = AccountTx { ledger: self.id, account, nonce: *nonce, action };
        let transaction = Transaction::account(&self.key, body);
        let brought = self.bring(&transaction, What::Deposit(channel)).await;
        match brought {
            Ok(_) => {
                *nonce = nonce.saturating_add(1);
                self.deposits.told.store(false, Relaxed);
                Ok(())
            }
            Err(problem) => {
                // What was handed in before may have been refused, so count from the ledger again.
                *nonce = 0;
                if problem.code == Code::BadNonce {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(problem)
            }
        }
    }

    /// Tells the operator what to do, once until a deposit goes through again.
    pub(super) async fn needs_money(&self, channel: ChannelId) {
        if self.deposits.told.swap(true, Relaxed) {
            return;
        }
        let account = self.key.public();
        let asset = self.ledger.channel(&channel).await.map_or(AssetId(0), |it| it.terms.asset);
        tracing::warn!(
            %account,
            %asset,
            "the hub's account on the ledger holds too little, so no money of the hub's goes into \
             channels and their wallets can't be paid: have somebody transfer to that account, or \
             on a development ledger POST {{\"account\":\"{account}\",\"asset\":{asset},\
             \"amount\":\"1000000\"}} to its /v1/ledger/faucet; deposits are tried again by \
             themselves"
        );
    }
}
