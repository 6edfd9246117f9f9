//! The client's store: one journal for all of its wallets, and the index behind it.
//!
//! ```text
//! DIR/setup.json   the hub's terms and the ledger's genesis, as last seen: not secret, not money
//! DIR/journal/     every record of every wallet, framed with the wallet's number
//! DIR/index/       the wallets' rows as of some record
//! ```
//!
//! Rows are keyed `k` + number (the wallet's public key) and `r` + number + the wallet's own key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use settlement::encoding::{decode, encode};
use settlement::index::{Change, Index, SledConfig, SledIndex};
use settlement::journal::{FileJournal, Journal, JournalConfig, Kind};
use settlement::params::Genesis;
use settlement::reject::Code;
use settlement::types::PublicKey;

use super::ClientError;
use crate::api::HubInfo;
use crate::wallet::{Record, Wallet, WalletConfig};

/// What the journal is marked with.
const KIND: Kind = Kind::new("wallet");
const KEY_ROWS: u8 = b'k';
const WALLET_ROWS: u8 = b'r';

/// A record of the journal. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// The wallet with this number, counting from 0, has this key.
    Wallet { index: u32, key: PublicKey },
    /// A change of this wallet's.
    Record { index: u32, record: Record },
}

/// What has to be known of hub and ledger before a wallet can work, hub reachable or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) hub: HubInfo,
    pub(crate) genesis: Genesis,
}

/// Reads what was last seen of hub and ledger.
pub(crate) fn read_setup(dir: &Path) -> Result<Option<Setup>, ClientError> {
    let path = dir.join("setup.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(format!("cannot read {}: {error}", path.display()))),
    };
    let setup = serde_json::from_slice(&text);
    setup.map(Some).map_err(|error| damaged(format!("{} can't be read: {error}", path.display())))
}

/// Keeps what was seen of hub and ledger; it is there whole or not at all after a crash.
pub(crate) fn write_setup(dir: &Path, setup: &Setup) -> Result<(), ClientError> {
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(dir)?;
        let draft = dir.join("setup.json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(setup)?)?;
        file.sync_all()?;
        fs::rename(&draft, dir.join("setup.json"))?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|error| damaged(format!("cannot write to {}: {error}", dir.display())))
}

fn damaged(detail: String) -> ClientError {
    ClientError::new(Code::StoreDamaged, detail)
}

/// Journal and index, open.
pub(crate) struct Store {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) index: Box<dyn Index>,
}

/// What the store knows of one wallet.
pub(crate) type Restored = (PublicKey, Wallet);

impl Store {
    /// Opens or creates the store in `dir`, which no other process may have open.
    pub(crate) fn open(dir: &Path) -> Result<Store, ClientError> {
        let journal = FileJournal::open(dir.join("journal"), JournalConfig::new(KIND))?;
        let index = SledIndex::open(dir.join("index"), SledConfig::default())?;
        Ok(Store { journal: Box::new(journal), index: Box::new(index) })
    }

    /// Every wallet in it by number, as of the last durable record. `config` gives the key of each,
    /// or refuses.
    pub(crate) fn load(
        &self,
        config: &dyn Fn(&PublicKey) -> Result<WalletConfig, ClientError>,
    ) -> Result<Vec<Restored>, ClientError> {
        let mut wallets = self.load_index(config)?;
        let mut failed = None;
        let replayed = self.journal.replay(self.index.position(), &mut |_, bytes| {
            let entry: Entry = decode(bytes).map_err(|error| error.to_string())?;
            apply(&mut wallets, entry, config).map_err(|error| {
                let reason = error.to_string();
                failed = Some(error);
                reason
            })
        });
        match (failed, replayed) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => Ok(wallets),
        }
    }

    fn load_index(
        &self,
        config: &dyn Fn(&PublicKey) -> Result<WalletConfig, ClientError>,
    ) -> Result<Vec<Restored>, ClientError> {
        let mut keys: BTreeMap<u32, PublicKey> = BTreeMap::new();
        self.index.scan(&[KEY_ROWS], &mut |key, value| {
            let index = number_in(key).ok_or("a key of the wrong length")?;
            let value: PublicKey = decode(value).map_err(|error| error.to_string())?;
            keys.insert(index, value);
            Ok(())
        })?;
        let mut wallets = Vec::with_capacity(keys.len());
        for (index, key) in keys {
            let mut rows = Vec::new();
            let prefix = prefix(WALLET_ROWS, index);
            self.index.scan(&prefix, &mut |key, value| {
                let own = key.get(prefix.len()..).unwrap_or_default();
                rows.push((own.to_vec(), value.to_vec()));
                Ok(())
            })?;
            let wallet = Wallet::restore(config(&key)?, &mut rows.into_iter());
            wallets.push((key, wallet.map_err(|error| damaged(error.to_string()))?));
        }
        Ok(wallets)
    }
}

/// Makes a record's change again.
fn apply(
    wallets: &mut Vec<Restored>,
    entry: Entry,
    config: &dyn Fn(&PublicKey) -> Result<WalletConfig, ClientError>,
) -> Result<(), ClientError> {
    match entry {
        Entry::Wallet { index, key } => {
            if index as usize != wallets.len() {
                return Err(damaged(format!("wallet {index} follows {}", wallets.len())));
            }
            wallets.push((key, Wallet::new(config(&key)?)));
        }
        Entry::Record { index, record } => {
            let known = wallets.get_mut(index as usize);
            let (_, wallet) =
                known.ok_or_else(|| damaged(format!("there is no wallet {index}")))?;
            wallet.replay(&record);
        }
    }
    Ok(())
}

/// The row that names a wallet.
pub(crate) fn key_row(index: u32, key: &PublicKey) -> Change {
    (prefix(KEY_ROWS, index).to_vec(), Some(encode(key)))
}

/// A wallet's changed row, as the index holds it.
pub(crate) fn wallet_row(index: u32, (key, value): Change) -> Change {
    let mut framed = prefix(WALLET_ROWS, index).to_vec();
    framed.extend_from_slice(&key);
    (framed, value)
}

fn prefix(kind: u8, index: u32) -> [u8; 5] {
    let [a, b, c, d] = index.to_be_bytes();
    [kind, a, b, c, d]
}

fn number_in(key: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = key.get(1..)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests;
