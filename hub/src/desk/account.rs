//! What spends the nonces of the hub's account, one after the other: leases, anchors, and the hub's
//! own money on its way into channels.
//!
//! What is refused is not tried here for ever: a shard asks again for a deposit some blocks later,
//! for as long as the channel needs it, whoever anchors has what is missing in the next round, and a
//! lease is taken anew. So an account that was empty works as soon as somebody has filled it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use settlement::api::Problem;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Anchoring, Lease, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Role, TxId};
use tokio::sync::{mpsc, oneshot};

use super::{Clerk, PAUSE, What};

/// How often something is tried whose nonce was taken.
const NONCE_TRIES: u32 = 8;

/// Something that the hub's account does.
pub(super) enum Spend {
    Deposit(ChannelId, Amount),
    Anchor(Box<Anchoring>, oneshot::Sender<Result<TxId, Problem>>),
    Lease(Lease),
}

impl Spend {
    fn what(&self) -> What {
        match self {
            Spend::Deposit(channel, _) => What::Deposit(*channel),
            Spend::Anchor(..) => What::Anchor,
            Spend::Lease(_) => What::Lease,
        }
    }

    fn action(&self) -> AccountAction {
        match self {
            Spend::Deposit(channel, amount) => {
                AccountAction::Deposit { channel: *channel, role: Role::Hub, amount: *amount }
            }
            Spend::Anchor(anchoring, _) => AccountAction::Anchor((**anchoring).clone()),
            Spend::Lease(lease) => AccountAction::Lease(*lease),
        }
    }
}

/// What is known about the account beside the ledger.
#[derive(Default)]
pub(super) struct Account {
    /// Deposits that wait or are on their way: a shard that hears nothing asks again, and two would
    /// be twice the money.
    depositing: Mutex<HashSet<ChannelId>>,
    /// Whether the operator was told that the account holds too little.
    told: AtomicBool,
}

impl Account {
    fn depositing(&self) -> MutexGuard<'_, HashSet<ChannelId>> {
        self.depositing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this deposit is new.
    pub(super) fn begin(&self, channel: ChannelId) -> bool {
        self.depositing().insert(channel)
    }
}

impl Clerk {
    pub(super) async fn spend_all(self: Arc<Clerk>, mut queue: mpsc::UnboundedReceiver<Spend>) {
        let mut nonce = 0;
        while let Some(spend) = queue.recv().await {
            let answer = self.spend_one(&spend, &mut nonce).await;
            if let Err(problem) = &answer {
                self.refused(spend.what(), problem.code).await;
            }
            match spend {
                Spend::Deposit(channel, _) => {
                    self.account.depositing().remove(&channel);
                }
                // Who waited for it may have given up.
                Spend::Anchor(_, waiting) => drop(waiting.send(answer)),
                Spend::Lease(_) => self.tell_lease(answer.map(|_| ()).map_err(|p| p.code)),
            }
        }
    }

    async fn spend_one(&self, spend: &Spend, nonce: &mut u64) -> Result<TxId, Problem> {
        let (what, action) = (spend.what(), spend.action());
        let mut left = NONCE_TRIES;
        loop {
            if what != What::Lease && !self.authority.may_sign() {
                let detail = "this process may not sign for the hub right now";
                return Err(Problem::new(Code::LedgerStalled, detail));
            }
            left = left.saturating_sub(1);
            match self.spend(action.clone(), what, nonce).await {
                Err(problem) if problem.code == Code::BadNonce && left > 0 => {
                    tracing::debug!(?what, "the account's nonce has moved");
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// One try, with the nonce after the last one or, if the ledger knows better, that one.
    async fn spend(
        &self,
        action: AccountAction,
        what: What,
        nonce: &mut u64,
    ) -> Result<TxId, Problem> {
        let account = self.key.public();
        if let Ok(view) = self.ledger.account(&account).await {
            *nonce = view.nonce.max(*nonce);
        }
        let body = AccountTx { ledger: self.id, account, nonce: *nonce, action };
        let transaction = Transaction::account(&self.key, body);
        let brought = self.bring(&transaction, what).await;
        match &brought {
            Ok(_) => {
                *nonce = nonce.saturating_add(1);
                self.account.told.store(false, Relaxed);
            }
            // What was handed in before may have been refused, so count from the ledger again.
            Err(_) => *nonce = 0,
        }
        brought
    }

    /// Tells the operator what to do, once until something goes through again.
    pub(super) async fn needs_money(&self, what: What) {
        if self.account.told.swap(true, Relaxed) {
            return;
        }
        let account = self.key.public();
        let asset = match what {
            What::Deposit(channel) => {
                self.ledger.channel(&channel).await.map_or(AssetId(0), |it| it.terms.asset)
            }
            _ => self.fees,
        };
        let lacks = match what {
            What::Lease => "so this process can't take the hub's lease, and signs nothing",
            What::Anchor => "so nothing is anchored, and wallets that sleep are not protected",
            _ => "so no money of the hub's goes into channels and their wallets can't be paid",
        };
        tracing::warn!(
            %account,
            %asset,
            "the hub's account on the ledger holds too little, {lacks}: have somebody transfer to \
             that account, or on a development ledger POST {{\"account\":\"{account}\",\
             \"asset\":{asset},\"amount\":\"1000000\"}} to its /v1/ledger/faucet; it is tried again \
             by itself"
        );
    }
}
