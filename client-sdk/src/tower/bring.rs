//! Bringing an answer to the ledger, in an envelope where the ledger takes fees.

use std::sync::Arc;

use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::TxId;

use super::Ground;
use crate::ledger_client::LedgerError;

/// How many answers are on their way at once.
const TOGETHER: usize = 16;

/// Brings answers, and pays for them from the account of its key.
pub(super) struct Bearer {
    ground: Ground,
    key: Option<Arc<SigningKey>>,
    /// The nonce after those of envelopes that may not be in a block yet.
    next: Option<u64>,
}

/// What came of it.
pub(super) enum Brought {
    /// It waits for a block.
    Taken(TxId),
    /// The ledger holds all of it already, or pays the channel out.
    Nothing,
}

/// What came of it, for [`Bearer::note`].
pub(super) struct Came {
    result: Result<Brought, LedgerError>,
    next: Option<u64>,
}

impl Bearer {
    pub(super) fn new(ground: Ground, key: Option<SigningKey>) -> Bearer {
        Bearer { ground, key: key.map(Arc::new), next: None }
    }

    /// How many may be on their way at once. The envelopes of one account have to come in the order
    /// of their nonces: each waits until the one before it has been taken.
    pub(super) fn together(&self) -> usize {
        if self.ground.genesis.fees.is_free() { TOGETHER } else { 1 }
    }

    /// Hands a wallet's submission in once.
    pub(super) fn bring(&self, answer: Transaction) -> impl Future<Output = Came> + Send + use<> {
        let (ground, key, mut next) = (self.ground.clone(), self.key.clone(), self.next);
        async move {
            let result = hand_in(&ground, key.as_deref(), &mut next, answer).await;
            Came { result, next }
        }
    }

    /// Takes note of where the account's count is now.
    pub(super) fn note(&mut self, came: Came) -> Result<Brought, LedgerError> {
        self.next = came.next;
        came.result
    }
}

async fn hand_in(
    ground: &Ground,
    key: Option<&SigningKey>,
    next: &mut Option<u64>,
    answer: Transaction,
) -> Result<Brought, LedgerError> {
    let transaction = match key {
        Some(key) if !ground.genesis.fees.is_free() => {
            let nonce = match *next {
                Some(nonce) => nonce,
                None => ground.ledger.account(&key.public()).await?.nonce,
            };
            *next = Some(nonce);
            envelope(ground, key, nonce, answer)
        }
        _ => answer,
    };
    match ground.ledger.submit(&transaction).await {
        Ok(tx) => {
            *next = next.map(|nonce| nonce.saturating_add(1));
            Ok(Brought::Taken(tx))
        }
        Err(LedgerError::Refused(problem)) if is_over(problem.code) => Ok(Brought::Nothing),
        Err(error) => {
            // The count may be behind or ahead: the account says it anew.
            *next = None;
            Err(error)
        }
    }
}

fn envelope(ground: &Ground, key: &SigningKey, nonce: u64, answer: Transaction) -> Transaction {
    match AccountAction::carry(answer.clone()) {
        Some(action) => {
            let (ledger, account) = (ground.id, key.public());
            Transaction::account(key, AccountTx { ledger, account, nonce, action })
        }
        None => answer,
    }
}

/// Refusals that say that nothing is left to bring.
fn is_over(code: Code) -> bool {
    matches!(code, Code::ChangesNothing | Code::WindowOver | Code::NoSuchChannel | Code::NotOpen)
}
