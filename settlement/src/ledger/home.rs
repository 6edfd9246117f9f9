//! The directory that a ledger lives in: its genesis, its signing key, its journal and its index.
//!
//! ```text
//! DIR/genesis.toml   what it started from; another one is refused
//! DIR/ledger.key     the signing key, 64 hex digits, readable by its owner alone
//! DIR/journal/       every block
//! DIR/index/         the state as of some block
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::producer::{Producer, ProducerConfig};
use crate::crypto::SigningKey;
use crate::index::{SledConfig, SledIndex};
use crate::journal::{FileJournal, JournalConfig, JournalReader, Kind};
use crate::params::Genesis;

/// What the ledger's journal is marked with.
pub const JOURNAL_KIND: Kind = Kind::new("ledger");

/// The index is read once, in order, and written from end to end: it needs no cache to speak of.
const INDEX: SledConfig = SledConfig { cache_bytes: 4 << 20 };

/// A ledger's directory. See the module.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The home in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn at(dir: impl Into<PathBuf>) -> Result<Home> {
        let dir = dir.into();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Home { dir })
    }

    /// The home in this directory, which must hold a ledger already. Nothing is written.
    ///
    /// # Errors
    /// When it holds none, or its genesis can't be read.
    pub fn existing(dir: impl Into<PathBuf>) -> Result<(Home, Genesis)> {
        let home = Home { dir: dir.into() };
        let genesis = read_genesis(&home.genesis_path());
        let genesis =
            genesis.with_context(|| format!("there is no ledger in {}", home.dir.display()))?;
        Ok((home, genesis))
    }

    /// The journal of this home, to be read while somebody else may be writing to it.
    pub fn journal(&self) -> JournalReader {
        JournalReader::new(self.journal_path(), JOURNAL_KIND)
    }

    fn journal_path(&self) -> PathBuf {
        self.dir.join("journal")
    }

    fn genesis_path(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("ledger.key")
    }

    /// The signing key; made from the system's randomness if there is none.
    ///
    /// # Errors
    /// When the file can't be read or written, or holds no key.
    pub fn key(&self) -> Result<SigningKey> {
        let path = self.key_path();
        if !path.exists() {
            return self.make_key();
        }
        let text = fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let mut bytes = Zeroizing::new([0; 32]);
        let decoded = hex::decode_to_slice(text.trim(), bytes.as_mut_slice());
        decoded.with_context(|| format!("{} is not 64 hex digits", path.display()))?;
        let key = SigningKey::from_bytes(*bytes);
        key.with_context(|| format!("{} holds no key", path.display()))
    }

    fn make_key(&self) -> Result<SigningKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).context("the system gives no randomness")?;
        let key = SigningKey::from_bytes(*bytes).context("randomness that is no key")?;
        let text = Zeroizing::new(hex::encode(bytes.as_slice()));
        write_new(&self.key_path(), text.as_bytes(), 0o600)?;
        Ok(key)
    }

    /// The genesis that this home was started with, or `given` for a new one; without either, a
    /// new development ledger if `development` says so. What is used is kept.
    ///
    /// # Errors
    /// When `given` is another than the one kept, when there is none, or files can't be used.
    pub fn genesis(
        &self,
        given: Option<Genesis>,
        development: bool,
        key: &SigningKey,
    ) -> Result<Genesis> {
        let path = self.genesis_path();
        if path.exists() {
            let kept = read_genesis(&path)?;
            if given.is_some_and(|given| given != kept) {
                bail!(
                    "{} was started with another genesis: leave --genesis out, give the same file, \
                     or use another directory",
                    self.dir.display()
                );
            }
            return Ok(kept);
        }
        let genesis = match given {
            Some(given) => given,
            None if development => {
                Genesis::development("development", key.public(), random_salt()?)
            }
            None => bail!(
                "there is no ledger in {} yet: give --genesis FILE.toml, or --development for one \
                 with a faucet",
                self.dir.display()
            ),
        };
        genesis.check().context("the genesis cannot be used")?;
        let text = toml::to_string(&genesis).context("the genesis cannot be written as TOML")?;
        write_new(&path, text.as_bytes(), 0o644)?;
        Ok(genesis)
    }

    /// Opens the ledger of this home.
    ///
    /// # Errors
    /// When its files can't be used; each error says what to do.
    pub fn open(
        &self,
        genesis: Genesis,
        key: SigningKey,
        mut config: ProducerConfig,
    ) -> Result<Producer> {
        config.store.archive = true;
        let journal = JournalConfig::new(JOURNAL_KIND);
        let journal = FileJournal::open(self.journal_path(), journal)?;
        let index = SledIndex::open(self.dir.join("index"), INDEX)?;
        let producer = Producer::open(genesis, key, Box::new(journal), Box::new(index), config);
        Ok(producer?)
    }
}

/// A genesis from its TOML file.
///
/// # Errors
/// When it can't be read, or has an unknown or missing field.
pub fn read_genesis(path: &Path) -> Result<Genesis> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let genesis = toml::from_str(&text);
    genesis.with_context(|| format!("{} is no genesis", path.display()))
}

/// TOML's integers end at 2^63.
fn random_salt() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(u64::from_le_bytes(bytes) >> 1)
}

/// Writes a file that must not exist, so that it is there whole or not at all after a crash.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut file = options.open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
