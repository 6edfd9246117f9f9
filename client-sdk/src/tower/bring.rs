//! Bringing an answer to the ledger, in an envelope where the ledger takes fees.

use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::TxId;

use super::Ground;
use crate::ledger_client::LedgerError;

/// Brings answers, and pays for them from the account of its key.
pub(super) struct Bearer {
    ground: Ground,
    key: Option<SigningKey>,
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

impl Bearer {
    pub(super) fn new(ground: Ground, key: Option<SigningKey>) -> Bearer {
        Bearer { ground, key, next: None }
    }

    /// Hands a wallet's submission in once.
    pub(super) async fn bring(&mut self, answer: Transaction) -> Result<Brought, LedgerError> {
        let ground = self.ground.clone();
        let transaction = match &self.key {
            Some(key) if !ground.genesis.fees.is_free() => {
                let nonce = match self.next {
                    Some(nonce) => nonce,
                    None => ground.ledger.account(&key.public()).await?.nonce,
                };
                self.next = Some(nonce);
                envelope(&ground, key, nonce, answer)
            }
            _ => answer,
        };
        match ground.ledger.submit(&transaction).await {
            Ok(tx) => {
                self.next = self.next.map(|nonce| nonce.saturating_add(1));
                Ok(Brought::Taken(tx))
            }
            Err(LedgerError::Refused(problem)) if is_over(problem.code) => Ok(Brought::Nothing),
            Err(error) => {
                // The count may be behind or ahead: the account says it anew.
                self.next = None;
                Err(error)
            }
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
