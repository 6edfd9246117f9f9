//! A wallet's directory.
//!
//! ```text
//! DIR/wallet.key     the private key, 64 hex digits, readable by its owner alone
//! DIR/wallet.json    the hub's and the ledger's address
//! DIR/lock           locked by the one process that owns the home
//! DIR/listen.sock    where `wallet listen` takes other commands
//! DIR/watchtower.json what watchtowers are known to cover
//! DIR/store/         channels and payments
//! ```
//!
//! # From words to the key
//! The 12 words are BIP-39 (English, no passphrase). With their 64-byte seed, the private key is
//! `H("wallet-key", seed ‖ path ‖ round)`, BIP-340's tagged hash over the raw bytes, where `path` is
//! the text `payhub/0` and `round` one byte, from 0, the first that gives a valid key: in practice
//! always 0. So the words alone bring back the key, and the key its channels.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bip39::{Language, Mnemonic};
use serde::{Deserialize, Serialize};
use serde_json::json;
use settlement::crypto::{SigningKey, Tag, hash_many};
use settlement::reject::Code;
use zeroize::Zeroizing;

use super::args::{Args, HUB_DEFAULT, trust};
use super::lines::Line;
use crate::client::ClientError;
use crate::hub_http::HttpHub;

/// Which of a seed's keys a wallet has.
const KEY_PATH: &[u8] = b"payhub/0";

/// What `init` remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    pub(super) hub: String,
    pub(super) ledger: Option<String>,
    /// Certificates to believe beside the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<PathBuf>,
    /// Whether the key was made here, so that no older block can be about it.
    pub(super) made_here: bool,
}

/// A wallet's directory.
pub(super) struct Home {
    dir: PathBuf,
}

/// Held while this process owns the home.
pub(super) struct Lock {
    _file: File,
}

/// Who owns a home.
pub(super) enum Owned {
    /// This process.
    Here(Lock),
    /// Another one.
    Elsewhere,
}

impl Home {
    pub(super) fn at(dir: PathBuf) -> Home {
        Home { dir }
    }

    pub(super) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn key_path(&self) -> PathBuf {
        self.dir.join("wallet.key")
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("wallet.json")
    }

    fn no_home(&self) -> ClientError {
        let dir = self.dir.display();
        let detail = format!("there is no wallet in {dir}; make one with `wallet init`");
        ClientError::new(Code::NoHome, detail)
    }

    /// Takes the home, unless another process has it.
    pub(super) fn own(&self) -> Result<Owned, ClientError> {
        if !self.has_key()? {
            return Err(self.no_home());
        }
        let path = self.dir.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| failed("open", &path, &error))?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Owned::Here(Lock { _file: file })),
            Err(fs4::TryLockError::WouldBlock) => Ok(Owned::Elsewhere),
            Err(fs4::TryLockError::Error(error)) => Err(failed("lock", &path, &error)),
        }
    }

    /// Whether there is a wallet. Not being let look is another thing than there being none.
    fn has_key(&self) -> Result<bool, ClientError> {
        let path = self.key_path();
        path.try_exists().map_err(|error| failed("look for", &path, &error))
    }

    /// The private key.
    pub(super) fn key(&self) -> Result<SigningKey, ClientError> {
        if self.has_key()? { read_key(&self.key_path()) } else { Err(self.no_home()) }
    }

    pub(super) fn remembered(&self) -> Result<Remembered, ClientError> {
        let path = self.config_path();
        let text = fs::read(&path).map_err(|error| failed("read", &path, &error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let detail = format!("{} can't be read: {error}", path.display());
            ClientError::new(Code::StoreDamaged, detail)
        })
    }

    /// The store has the wallet now: should it get lost, every block has to be looked at again.
    pub(super) fn opened(&self, remembered: &Remembered) -> Result<(), ClientError> {
        if !remembered.made_here {
            return Ok(());
        }
        let remembered = Remembered { made_here: false, ..remembered.clone() };
        let text = serde_json::to_vec_pretty(&remembered).unwrap_or_default();
        replace(&self.config_path(), &text)
    }

    /// Makes the directory, or sees that the one that is there will do. One that was not made here
    /// keeps its mode.
    fn make_dir(&self) -> Result<(), ClientError> {
        if self.has_key()? {
            return Err(self.exists());
        }
        let mode = match fs::metadata(&self.dir) {
            Ok(there) => there.permissions().mode(),
            Err(_) => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
                return made.map_err(|error| failed("create", &self.dir, &error));
            }
        };
        if mode & 0o077 != 0 {
            let dir = self.dir.display();
            let detail = format!(
                "{dir} is open to other users (mode {:o}), and a wallet keeps secrets there: \
                 `chmod 700 {dir}`, or name a directory that does not exist yet",
                mode & 0o777
            );
            return Err(ClientError::new(Code::BadArgument, detail));
        }
        Ok(())
    }

    fn exists(&self) -> ClientError {
        let detail = format!("there is a wallet in {} already", self.dir.display());
        ClientError::new(Code::HomeExists, detail)
    }

    /// Writes the files of a new home; the key comes last, and only where there is none.
    ///
    /// Its words are the only way back to it, so there is no wallet before they were shown.
    fn create(
        &self,
        key: &SigningKey,
        remembered: &Remembered,
        show: impl FnOnce() -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        self.make_dir()?;
        let text = serde_json::to_vec_pretty(remembered).unwrap_or_default();
        write(&self.config_path(), &text)?;
        let digits = Zeroizing::new(hex::encode(key.to_bytes().as_slice()));
        let draft = self.dir.join(".wallet.key.new");
        write(&draft, digits.as_bytes())?;
        let kept = show().and_then(|()| self.keep(&draft));
        // Under its own name or not at all.
        let removed = fs::remove_file(&draft).map_err(|error| failed("remove", &draft, &error));
        kept.and(removed)?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(|error| failed("sync", &self.dir, &error))
    }

    /// Gives the key its name, unless another has got there first.
    fn keep(&self, draft: &Path) -> Result<(), ClientError> {
        match fs::hard_link(draft, self.key_path()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(self.exists()),
            linked => linked.map_err(|error| failed("write", &self.key_path(), &error)),
        }
    }
}

/// Makes a wallet, and shows its words before it is one.
///
/// # Errors
/// Whatever keeps the words from being shown, or the files from being written: then there is no
/// wallet, and the words, if they were seen, stand for none.
pub(super) fn init(
    home: &Home,
    args: &Args,
    mnemonic_file: Option<&Path>,
    show: impl FnOnce(&Line) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let words = match mnemonic_file {
        Some(path) => read_mnemonic(path)?,
        None => new_mnemonic()?,
    };
    let hub = args.hub.clone().unwrap_or_else(|| HUB_DEFAULT.to_owned());
    // A mistyped address is better found now.
    let trust = trust(args.ca.as_deref())?;
    HttpHub::trusting(&hub, &trust)?;
    if let Some(ledger) = &args.ledger {
        HttpHub::trusting(ledger, &trust)?;
    }
    // Remembered from the root: later commands run elsewhere.
    let ca = args.ca.as_ref().map(std::path::absolute).transpose();
    let ca = ca.map_err(|error| ClientError::new(Code::BadArgument, format!("--ca: {error}")))?;
    let key = key_of(&words)?;
    let made_here = mnemonic_file.is_none();
    let (public_key, mnemonic) = (key.public(), Zeroizing::new(words.to_string()));
    let human = format!(
        "wallet {public_key}\n\nWrite these words down: they are the wallet.\n\n    {}",
        mnemonic.as_str()
    );
    let line = Line::new(json!({ "public_key": public_key, "mnemonic": mnemonic.as_str() }), human);
    let remembered = Remembered { hub, ledger: args.ledger.clone(), ca, made_here };
    home.create(&key, &remembered, || show(&line)).map_err(|error| {
        let detail = format!("no wallet was made: {}", error.detail);
        ClientError::new(error.code, detail)
    })
}

fn new_mnemonic() -> Result<Mnemonic, ClientError> {
    let mut entropy = Zeroizing::new([0; 16]);
    let filled = getrandom::fill(entropy.as_mut_slice());
    filled.map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
    let words = Mnemonic::from_entropy_in(Language::English, entropy.as_slice());
    words.map_err(|error| ClientError::new(Code::Internal, error.to_string()))
}

fn read_mnemonic(path: &Path) -> Result<Mnemonic, ClientError> {
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| failed("read", path, &error))?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = Zeroizing::new(words.join(" ").to_lowercase());
    let parsed = Mnemonic::parse_in_normalized(Language::English, &joined);
    let bad = |why: String| {
        let detail = format!("{} does not hold the 12 words of a wallet: {why}", path.display());
        ClientError::new(Code::BadArgument, detail)
    };
    if words.len() != 12 {
        return Err(bad(format!("it has {} words", words.len())));
    }
    parsed.map_err(|error| bad(error.to_string()))
}

/// The key that the words stand for. See the module.
fn key_of(words: &Mnemonic) -> Result<SigningKey, ClientError> {
    let seed = Zeroizing::new(words.to_seed_normalized(""));
    let key = (0..=u8::MAX).find_map(|round| {
        let digest = hash_many(Tag::WalletKey, &[seed.as_slice(), KEY_PATH, &[round]]);
        SigningKey::from_bytes(digest.0).ok()
    });
    key.ok_or_else(|| ClientError::new(Code::Internal, "the words stand for no key"))
}

/// The private key in a file: 64 hex digits.
pub(super) fn read_key(path: &Path) -> Result<SigningKey, ClientError> {
    let text = fs::read_to_string(path).map_err(|error| failed("read", path, &error))?;
    let text = Zeroizing::new(text);
    let mut bytes = Zeroizing::new([0; 32]);
    let decoded = hex::decode_to_slice(text.trim(), bytes.as_mut_slice());
    let key = decoded.ok().and_then(|()| SigningKey::from_bytes(*bytes).ok());
    key.ok_or_else(|| {
        let detail = format!("{} holds no key", path.display());
        ClientError::new(Code::StoreDamaged, detail)
    })
}

/// Puts a file, synced, in the place of what was there. Until it is whole its name begins with a
/// dot.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.new"));
    write(&draft, bytes)?;
    fs::rename(&draft, path).map_err(|error| failed("write", path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).create(true).truncate(true);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| failed("write", path, &error))
}

pub(super) fn failed(doing: &str, path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::new(Code::BadArgument, format!("cannot {doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
