//! The newest headers that wallets show when they meet the hub.
//!
//! Nothing can be above the tip of a ledger that this process embeds. A header above it that the
//! ledger's key has signed says that the ledger runs on an old copy of its data: it would sign other
//! blocks of the same heights, so the process stops and says what to restore. On any ledger, a second
//! header of one height is evidence of a fork.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client_sdk::ledger_client::{LedgerClient, LedgerError};
use settlement::block::{BlockEvents, SignedHeader};
use settlement::crypto::{Signable, VerifyingKey};
use settlement::params::Genesis;
use settlement::types::{Hash, Height, LedgerId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};

use crate::lease::Authority;

/// Headers that wait to be looked at; more are not.
const WAITING: usize = 64;
/// Blocks whose headers are remembered. What is older is asked of the ledger.
const REMEMBERED: usize = 4_096;

/// Where headers are handed in.
#[derive(Clone)]
pub(crate) struct Tips(mpsc::Sender<SignedHeader>);

impl Tips {
    /// Has a header looked at, if not too many are waiting: another wallet shows the same.
    pub(crate) fn look(&self, header: SignedHeader) {
        let _ = self.0.try_send(header);
    }
}

/// Looks at headers.
pub(crate) struct Watch {
    ledger: Arc<dyn LedgerClient>,
    id: LedgerId,
    key: VerifyingKey,
    embedded: Option<PathBuf>,
    authority: Arc<Authority>,
}

impl Watch {
    /// For this ledger; `embedded` says where its data is, if it is embedded.
    ///
    /// # Errors
    /// When the ledger's key is none.
    pub(crate) fn over(
        ledger: Arc<dyn LedgerClient>,
        genesis: &Genesis,
        embedded: Option<PathBuf>,
        authority: Arc<Authority>,
    ) -> Result<Watch> {
        let key = VerifyingKey::parse(&genesis.ledger_key).context("the ledger's key")?;
        Ok(Watch { ledger, id: genesis.ledger_id(), key, embedded, authority })
    }

    /// Starts; ends with the blocks.
    pub(crate) fn start(self, blocks: broadcast::Receiver<Arc<BlockEvents>>) -> Tips {
        let (shown, waiting) = mpsc::channel(WAITING);
        tokio::spawn(self.run(blocks, waiting));
        Tips(shown)
    }

    async fn run(
        self,
        mut blocks: broadcast::Receiver<Arc<BlockEvents>>,
        mut shown: mpsc::Receiver<SignedHeader>,
    ) {
        let mut known: BTreeMap<Height, Hash> = BTreeMap::new();
        loop {
            tokio::select! {
                block = blocks.recv() => match block {
                    Ok(block) => {
                        let header = &block.header.header;
                        known.insert(header.height, header.digest());
                        if known.len() > REMEMBERED {
                            known.pop_first();
                        }
                    }
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                header = shown.recv() => match header {
                    Some(header) => self.judge(&header, &known).await,
                    None => return,
                },
            }
        }
    }

    async fn judge(&self, shown: &SignedHeader, known: &BTreeMap<Height, Hash>) {
        let (height, digest) = (shown.header.height, shown.header.digest());
        if shown.header.ledger != self.id || known.get(&height) == Some(&digest) {
            return;
        }
        // Most headers are the ledger's own, and known. An old one is asked of the ledger, which reads
        // it from disk: not for whoever makes one up.
        if shown.verify(&self.key).is_err() {
            return;
        }
        let own = match known.get(&height) {
            Some(own) => Some(*own),
            None => match self.digest_at(height).await {
                Ok(own) => own,
                // It can't be asked now; the header is shown again.
                Err(_) => return,
            },
        };
        if own == Some(digest) {
            return;
        }
        match (own, &self.embedded) {
            (Some(_), None) => tracing::error!(
                %height, ?shown,
                "the ledger has signed two blocks of one height: keep this line, it is evidence"
            ),
            (None, None) => {}
            (_, Some(dir)) => self.authority.stop(format!(
                "the embedded ledger has lost its newest blocks: a wallet shows block {height}, signed \
                 with the ledger's key, and it is not in {}. It would sign others of the same heights. \
                 Restore the newest copy of that directory, or of the whole data directory, and start \
                 again; what this ledger has paid out by that block can't be undone by another",
                dir.display()
            )),
        }
    }

    /// What the ledger itself says about this height; `None` if it has no such block.
    async fn digest_at(&self, height: Height) -> Result<Option<Hash>, LedgerError> {
        let blocks = self.ledger.events_from(height, Duration::ZERO).await?;
        let block = blocks.first().filter(|block| block.header.header.height == height);
        Ok(block.map(|block| block.header.header.digest()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use client_sdk::ledger_client::Answer;
    use settlement::api::{AccountView, ChannelView, LedgerInfo};
    use settlement::block::Header;
    use settlement::crypto::SigningKey;
    use settlement::state_proof::StateProof;
    use settlement::tx::Transaction;
    use settlement::types::{AccountId, ChannelId, TxId};

    use super::*;

    /// A ledger that counts how often it is asked for blocks, and has none.
    struct Asked(Arc<AtomicU64>);

    fn never_asked<T>() -> T {
        panic!("only blocks are asked for")
    }

    impl LedgerClient for Asked {
        fn info(&self) -> Answer<'_, LedgerInfo> {
            never_asked()
        }
        fn submit(&self, _: &Transaction) -> Answer<'_, TxId> {
            never_asked()
        }
        fn events_from(&self, _: Height, _: Duration) -> Answer<'_, Vec<BlockEvents>> {
            self.0.fetch_add(1, Relaxed);
            Box::pin(async { Ok(Vec::new()) })
        }
        fn account(&self, _: &AccountId) -> Answer<'_, AccountView> {
            never_asked()
        }
        fn channel(&self, _: &ChannelId) -> Answer<'_, ChannelView> {
            never_asked()
        }
        fn state_proof(&self, _: &ChannelId) -> Answer<'_, StateProof> {
            never_asked()
        }
    }

    fn header(key: u8, height: u64, time_ms: u64) -> SignedHeader {
        let header = Header {
            ledger: LedgerId([1; 32]),
            height: Height(height),
            parent: Hash::ZERO,
            time_ms,
            tx_root: Hash::ZERO,
            tx_count: 0,
            writes: Hash::ZERO,
            state_root: Hash::ZERO,
        };
        SignedHeader::sign(&SigningKey::from_bytes([key; 32]).unwrap(), header)
    }

    /// A made-up header costs the ledger nothing; one above an embedded ledger's own ends the process.
    #[tokio::test]
    async fn only_a_header_of_the_ledgers_is_looked_up() {
        let own = header(9, 5, 1);
        let known = BTreeMap::from([(Height(5), own.header.digest())]);
        let table = [
            ("the ledger's own", own, 0, false),
            ("made up for a height that is known", header(8, 5, 2), 0, false),
            ("made up for an old height", header(8, 4, 2), 0, false),
            ("a second one of a height", header(9, 5, 2), 0, true),
            ("one that the ledger does not have", header(9, 6, 2), 1, true),
        ];
        for (name, shown, asked, stops) in table {
            let (count, authority) = (Arc::default(), crate::lease::fixture::held());
            let watch = Watch {
                ledger: Arc::new(Asked(Arc::clone(&count))),
                id: LedgerId([1; 32]),
                key: VerifyingKey::parse(&SigningKey::from_bytes([9; 32]).unwrap().public())
                    .unwrap(),
                embedded: Some(PathBuf::from("ledger")),
                authority: authority.clone(),
            };
            watch.judge(&shown, &known).await;
            assert_eq!((count.load(Relaxed), authority.is_fenced()), (asked, stops), "{name}");
        }
    }
}
