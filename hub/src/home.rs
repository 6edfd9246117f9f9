//! The hub's data directory.
//!
//! ```text
//! DIR/hub.key     the hub's private key, 64 hex digits, readable by its owner alone
//! DIR/genesis.json what the ledger started from that the channels here are on
//! DIR/LOCK        held by the process that runs the hub
//! DIR/hub/journal every change of every channel
//! DIR/hub/index   the channels as of some record
//! DIR/ledger/     the embedded ledger, with a journal and an index of its own
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use settlement::crypto::SigningKey;
use settlement::ledger::home::read_genesis;
use settlement::params::Genesis;
use zeroize::Zeroizing;

/// A hub's data directory. See the module.
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

    /// Where the hub's journal is.
    pub fn journal(&self) -> PathBuf {
        self.dir.join("hub").join("journal")
    }

    /// Where the hub's index is.
    pub fn index(&self) -> PathBuf {
        self.dir.join("hub").join("index")
    }

    /// Where the embedded ledger lives.
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("hub.key")
    }

    fn genesis_path(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }

    /// The genesis of the ledger that the channels here are on; none before the first start.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn pinned(&self) -> Result<Option<Genesis>> {
        let path = self.genesis_path();
        if path.exists() {
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}", path.display()))?;
            let genesis = serde_json::from_str(&text);
            let genesis = genesis.with_context(|| format!("{} is no genesis", path.display()))?;
            return Ok(Some(genesis));
        }
        // Versions that could only embed their ledger pinned it there alone.
        let embedded = self.ledger().join("genesis.toml");
        if embedded.exists() { read_genesis(&embedded).map(Some) } else { Ok(None) }
    }

    /// Refuses another ledger than the one that the channels here are on: heights, accounts and
    /// proofs of one mean nothing on the other. `at` says where it was found.
    ///
    /// # Errors
    /// When it is another one.
    pub fn refuse_other(&self, genesis: &Genesis, at: &str) -> Result<()> {
        match self.pinned()? {
            Some(pinned) if pinned != *genesis => bail!(
                "the channels in {} are on ledger {}, and {at} is ledger {}: name the first with \
                 --ledger, or use another --data-dir",
                self.dir.display(),
                pinned.ledger_id(),
                genesis.ledger_id()
            ),
            _ => Ok(()),
        }
    }

    /// Keeps for good which ledger the channels here are on.
    ///
    /// # Errors
    /// When they are on another one, or it can't be written.
    pub fn pin(&self, genesis: &Genesis, at: &str) -> Result<()> {
        self.refuse_other(genesis, at)?;
        let path = self.genesis_path();
        if path.exists() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(genesis).context("a genesis that is no JSON")?;
        let written = write_new(&path, &text);
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Keeps other processes out until the file is dropped.
    ///
    /// # Errors
    /// When another process runs a hub here.
    pub fn lock(&self) -> Result<File> {
        let path = self.dir.join("LOCK");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(file),
            Err(fs4::TryLockError::WouldBlock) => bail!(
                "{} is in use: another hub runs there; stop it, or use another --data-dir",
                self.dir.display()
            ),
            Err(fs4::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Whether there is a key already.
    pub fn has_key(&self) -> bool {
        self.key_path().exists()
    }

    /// The hub's key.
    ///
    /// # Errors
    /// When there is none, it can't be read, or others can read it.
    pub fn key(&self) -> Result<SigningKey> {
        let path = self.key_path();
        if !path.exists() {
            bail!(
                "there is no hub in {} yet: run `hub init --data-dir {}` first, or `hub run \
                 --development` to try things out",
                self.dir.display(),
                self.dir.display()
            );
        }
        refuse_if_shared(&path)?;
        let text = fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        let mut bytes = Zeroizing::new([0; 32]);
        let decoded = hex::decode_to_slice(text.trim(), bytes.as_mut_slice());
        decoded.with_context(|| format!("{} is not 64 hex digits", path.display()))?;
        let key = SigningKey::from_bytes(*bytes);
        key.with_context(|| format!("{} holds no key", path.display()))
    }

    /// Makes the hub's key from the system's randomness.
    ///
    /// # Errors
    /// When there is one already, or it can't be written.
    pub fn make_key(&self) -> Result<SigningKey> {
        if self.has_key() {
            bail!("there is a hub in {} already", self.dir.display());
        }
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut_slice()).context("the system gives no randomness")?;
        let key = SigningKey::from_bytes(*bytes).context("randomness that is no key")?;
        let text = Zeroizing::new(hex::encode(bytes.as_slice()));
        let path = self.key_path();
        let written = write_new(&path, text.as_bytes());
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(key)
    }
}

/// Whoever reads the key can spend all that the hub has.
fn refuse_if_shared(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if meta.permissions().mode() & 0o077 != 0 {
        bail!("{} can be read by others: run `chmod 600` on it", path.display());
    }
    Ok(())
}

/// There whole or not at all after a crash, and never another key in its place.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::hard_link(&draft, path)?;
    fs::remove_file(&draft)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        assert!(home.key().unwrap_err().to_string().contains("hub init"));
        let made = home.make_key().unwrap().public();
        assert_eq!(home.key().unwrap().public(), made);
        assert!(home.make_key().is_err());
        let path = home.key_path();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        mode(0o640);
        assert!(home.key().unwrap_err().to_string().contains("chmod 600"));
    }

    #[test]
    fn the_first_ledger_is_kept_and_no_other_taken() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let key = SigningKey::from_bytes([1; 32]).unwrap().public();
        let genesis = |salt| Genesis::development("test", key, salt);
        assert_eq!(home.pinned().unwrap(), None);
        home.pin(&genesis(1), "here").unwrap();
        home.pin(&genesis(1), "here").unwrap();
        assert_eq!(home.pinned().unwrap(), Some(genesis(1)));
        for refused in [home.pin(&genesis(2), "there"), home.refuse_other(&genesis(2), "there")] {
            let refused = refused.unwrap_err().to_string();
            for part in ["--ledger", "there is ledger", &genesis(1).ledger_id().to_string()] {
                assert!(refused.contains(part), "{refused}");
            }
        }
        assert_eq!(home.pinned().unwrap(), Some(genesis(1)));
    }

    #[test]
    fn a_directory_with_an_embedded_ledger_belongs_to_that_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let ledger = settlement::ledger::home::Home::at(home.ledger()).unwrap();
        let genesis = ledger.genesis(None, true, &ledger.key().unwrap()).unwrap();
        assert_eq!(home.pinned().unwrap(), Some(genesis.clone()));
        let other = Genesis { salt: genesis.salt ^ 1, ..genesis };
        assert!(home.pin(&other, "there").is_err());
    }

    #[test]
    fn two_hubs_cannot_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let held = home.lock().unwrap();
        assert!(home.lock().unwrap_err().to_string().contains("in use"));
        drop(held);
        home.lock().unwrap();
    }
}
