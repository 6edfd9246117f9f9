//! A home that is open: its client, its wallet, and its ledger.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use settlement::reject::Code;
use settlement::types::AssetId;

use super::args::{Args, trust};
use super::home::Home;
use crate::client::{Client, ClientConfig, ClientError, WalletHandle};
use crate::ledger_client::LedgerClient;
use crate::ledger_http::HttpLedger;
use crate::trust::Trust;

/// How long the ledger may take to give all blocks since the last time.
const CATCH_UP: Duration = Duration::from_secs(60);
/// How long the ledger may take to give the newest blocks, and to take what they call for, before
/// the command ends.
const ANSWER: Duration = Duration::from_secs(5);

/// An open home.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) wallet: WalletHandle,
    pub(super) ledger: HttpLedger,
    /// Whose certificates are believed.
    pub(super) trust: Trust,
    dir: PathBuf,
}

impl Session {
    pub(super) async fn open(home: &Home, args: &Args) -> Result<Session, ClientError> {
        let remembered = home.remembered()?;
        let key = Arc::new(home.key()?);
        let hub_url = args.hub.clone().unwrap_or_else(|| remembered.hub.clone());
        let ledger_url = args.ledger.clone().or_else(|| remembered.ledger.clone());
        let trust = trust(args.ca.as_deref().or(remembered.ca.as_deref()))?;
        let given =
            ledger_url.as_deref().map(|url| HttpLedger::trusting(url, &trust)).transpose()?;
        let config = ClientConfig {
            ledger: given.clone().map(|ledger| Arc::new(ledger) as Arc<dyn LedgerClient>),
            connect: args.command.connects(),
            new_keys: remembered.made_here,
            trust: trust.clone(),
            ..ClientConfig::new(hub_url.clone(), home.store())
        };
        let client = Client::open(config, vec![key]).await?;
        let ledger = match given {
            Some(ledger) => ledger,
            None => {
                let url = client.hub().ledger_url.as_deref().unwrap_or(&hub_url);
                HttpLedger::trusting(url, &trust)?
            }
        };
        home.opened(&remembered)?;
        let wallet = client
            .wallets()
            .into_iter()
            .next()
            .ok_or_else(|| ClientError::new(Code::StoreDamaged, "the store has no wallet"))?;
        Ok(Session { client, wallet, ledger, trust, dir: home.dir().to_owned() })
    }

    /// The home's directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until the wallet knows all that the ledger knows.
    pub(super) async fn caught_up(&self) -> Result<(), ClientError> {
        self.wallet.caught_up(CATCH_UP).await
    }

    /// Waits until payments can go.
    pub(super) async fn ready(&self) -> Result<(), ClientError> {
        self.caught_up().await?;
        self.wallet.synced().await
    }

    /// Gives what is under way a moment, so that balances are what they will be.
    pub(super) async fn settle(&self) {
        // What takes longer is told as locked.
        self.wallet.settle().await;
    }

    /// The asset with this number or code.
    pub(super) fn asset(&self, name: &str) -> Result<AssetId, ClientError> {
        let assets = &self.client.genesis().assets;
        let by_code = (0u32..).zip(assets).find(|(_, asset)| asset.code == name);
        let by_number = name.parse().ok().filter(|id: &u32| (*id as usize) < assets.len());
        let id = by_code.map(|(id, _)| id).or(by_number);
        let unknown = || {
            let detail = format!("the ledger has no asset `{name}`");
            ClientError::new(Code::UnknownAsset, detail)
        };
        id.map(AssetId).ok_or_else(unknown)
    }

    /// Ends, with what is due settled with the hub; says so if the ledger could not be given in time
    /// what it has to get.
    pub(super) async fn close(self) -> Result<(), ClientError> {
        let answered = self.answer().await;
        self.client.shutdown().await;
        answered
    }

    /// A wallet that slept sees what others have done to its channels, and answers: whichever
    /// command woke it, the answer is with the ledger before the command ends.
    async fn answer(&self) -> Result<(), ClientError> {
        // A ledger out of reach is told by the commands that need it.
        let _ = tokio::time::timeout(ANSWER, self.wallet.caught_up(ANSWER)).await;
        self.wallet.handed_in(ANSWER).await
    }
}
