//! What spends the nonces of the hub's account, one after the other: leases, anchors, the hub's own
//! money on its way into channels, and where the ledger takes fees the envelopes of all else.
//!
//! An envelope may have a deadline in it, so the account is kept from nobody while the ledger has no
//! room or does not answer: what was handed in then is handed in again as it is, and if somebody
//! else has had its nonce meanwhile, it is made anew.
//!
//! Where the ledger takes fees, a part of the account is kept back for what defends the hub
//! ([`purse`](super::purse)): nothing else is handed in that would take it.
//!
//! What is refused is not tried here for ever: a shard asks again for a deposit some blocks later,
//! for as long as the channel needs it, whoever anchors has what is missing in the next round, and a
//! lease is taken anew. So an account that was empty works as soon as somebody has filled it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client_sdk::ledger_client::LedgerError;
use settlement::api::Problem;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Anchoring, Lease, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Role, TxId};
use tokio::sync::{mpsc, oneshot};

use super::purse::{Purse, fee, kept_back};
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

/// What goes to the ledger one after the other.
#[derive(Default)]
struct Line {
    /// The nonce after the last one that was taken in, if the ledger does not know better.
    next: u64,
    purse: Purse,
}

/// What is known about the account beside the ledger.
#[derive(Default)]
pub(super) struct Account {
    line: tokio::sync::Mutex<Line>,
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

    /// It was taken in, or never will be.
    fn end(&self, channel: &ChannelId) {
        let mut depositing = self.depositing();
        depositing.remove(channel);
        if depositing.is_empty() {
            // There may have been thousands.
            depositing.shrink_to(64);
        }
    }
}

impl Clerk {
    pub(super) async fn spend_all(self: Arc<Clerk>, mut queue: mpsc::UnboundedReceiver<Spend>) {
        while let Some(spend) = queue.recv().await {
            let answer = self.spend(&spend.action(), spend.what()).await;
            if let Err(problem) = &answer {
                self.refused(spend.what(), problem.code).await;
            }
            match spend {
                Spend::Deposit(channel, _) => self.account.end(&channel),
                // Who waited for it may have given up.
                Spend::Anchor(_, waiting) => drop(waiting.send(answer)),
                Spend::Lease(_) => self.tell_lease(answer.map(|_| ()).map_err(|p| p.code)),
            }
        }
    }

    /// Brings something about a channel: as it is, or where the ledger takes fees in an envelope
    /// that the hub's account pays for.
    pub(super) async fn carry(
        &self,
        transaction: Transaction,
        what: What,
    ) -> Result<TxId, Problem> {
        if self.fees.is_free() {
            return self.bring(&transaction, what).await;
        }
        match AccountAction::carry(transaction) {
            Some(action) => self.spend(&action, what).await,
            None => Err(Problem::new(Code::Internal, "only what is about a channel is carried")),
        }
    }

    async fn spend(&self, action: &AccountAction, what: What) -> Result<TxId, Problem> {
        let mut left = NONCE_TRIES;
        loop {
            if !self.may_spend(what) {
                let detail = "this process may not sign for the hub right now";
                return Err(Problem::new(Code::LedgerStalled, detail));
            }
            left = left.saturating_sub(1);
            match self.spend_once(action, what).await {
                Err(problem) if problem.code == Code::BadNonce && left > 0 => {
                    tracing::debug!(?what, "the account's nonce has moved");
                    tokio::time::sleep(PAUSE).await;
                }
                // How much is left is not known now. What may be tried is tried until it is.
                Err(problem) if problem.code == Code::LedgerUnavailable => {
                    left = left.saturating_add(1);
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// What was judged before, or binds nobody to anything new, goes at any time.
    fn may_spend(&self, what: What) -> bool {
        let judged = matches!(what, What::Lease | What::Submission(_) | What::Agreement(_));
        judged || self.authority.may_sign()
    }

    /// One try, with the nonce after the last one or, if the ledger is asked and knows better, that one.
    async fn spend_once(&self, action: &AccountAction, what: What) -> Result<TxId, Problem> {
        let (nonce, transaction) = {
            let mut line = self.account.line.lock().await;
            let transaction = self.signed(action.clone(), &mut line).await?;
            let nonce = line.next;
            if let Some(answer) = self.attempt(&transaction, what).await {
                self.note(&answer, nonce, &mut line);
                return answer;
            }
            (nonce, transaction)
        };
        tokio::time::sleep(PAUSE).await;
        let answer = self.bring(&transaction, what).await;
        let mut line = self.account.line.lock().await;
        self.note(&answer, nonce, &mut line);
        answer
    }

    /// What was handed in with this nonce was taken, or never will be.
    fn note(&self, answer: &Result<TxId, Problem>, nonce: u64, line: &mut Line) {
        match answer {
            Ok(_) => {
                line.next = nonce.saturating_add(1).max(line.next);
                self.account.told.store(false, Relaxed);
            }
            // What was handed in before may have been refused: the ledger counts.
            Err(_) => line.next = 0,
        }
    }

    /// # Errors
    /// [`Code::InsufficientFunds`] when it would take what is kept back, [`Code::LedgerUnavailable`]
    /// when that can't be told.
    async fn signed(&self, action: AccountAction, line: &mut Line) -> Result<Transaction, Problem> {
        let account = self.key.public();
        let keeps = kept_back(&self.fees, &action, self.counters.channels.load(Relaxed));
        // What defends the hub asks no more often than it must: on the day on which everybody closes
        // each question is as long as an answer.
        let view = match (keeps, line.next) {
            (None, 1..) => None,
            _ => Some(self.ledger.account(&account).await),
        };
        if let Some(Ok(view)) = &view {
            line.next = view.nonce.max(line.next);
        }
        let nonce = line.next;
        let moved = self.moved_by(&action).await;
        let body = AccountTx { ledger: self.id, account, nonce, action };
        let transaction = Transaction::account(&self.key, body);
        if self.fees.is_free() {
            return Ok(transaction);
        }
        let takes = moved.saturating_add(fee(&self.fees, &transaction).wide());
        if let (Some(keeps), Some(view)) = (keeps, view) {
            let unknown =
                |error: LedgerError| Problem::new(Code::LedgerUnavailable, error.to_string());
            let left = line.purse.left(&view.map_err(unknown)?, self.fees.asset);
            if left.saturating_sub(takes) < keeps {
                let detail = format!("{keeps} of the account is kept for answers to closes");
                return Err(Problem::new(Code::InsufficientFunds, detail));
            }
        }
        line.purse.take(nonce, takes);
        Ok(transaction)
    }

    /// What this moves out of the account beside its fee, of the asset that fees are in.
    async fn moved_by(&self, action: &AccountAction) -> i128 {
        let AccountAction::Deposit { channel, amount, .. } = action else { return 0 };
        if self.fees.is_free() {
            return 0;
        }
        let of = self.ledger.channel(channel).await;
        let other = of.is_ok_and(|view| view.terms.asset != self.fees.asset);
        if other { 0 } else { amount.wide() }
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
            _ => self.fees.asset,
        };
        let lacks = match what {
            What::Lease => "so this process can't take the hub's lease, and signs nothing",
            What::Anchor => "so nothing is anchored, and wallets that sleep are not protected",
            What::Submission(_) => {
                "so it can't pay for a proof or claim of its own, and may lose money"
            }
            What::Agreement(_) => "so wallets can't withdraw or close together with it",
            What::Deposit(_) => {
                "so no money of the hub's goes into channels and their wallets can't be paid"
            }
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
