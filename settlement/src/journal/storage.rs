//! The files that a journal lives in, behind a trait: the operating system's, or a simulated disk's
//! that fails in every way that a real one does.
//!
//! The operations are those that the argument of the journal rests on, one by one, so that a
//! simulator can stop between any two of them.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::JournalError;
use super::files;

/// Directories and the files in them.
pub trait Storage: Send + Sync {
    /// Takes the exclusive lock of `dir`, creating both; it is held until the answer is dropped.
    ///
    /// # Errors
    /// [`JournalError::Locked`] and [`JournalError::Io`].
    fn lock(&self, dir: &Path) -> Result<Box<dyn Send + Sync>, JournalError>;

    /// Creates a directory, if it is not there, and makes its name durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: files created, renamed or removed.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such directory, and as the operating system says.
    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// All bytes of a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// A new file, which must not exist, to append to. Its name is not durable yet.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// A file that exists, to do this with.
    ///
    /// # Errors
    /// As the operating system says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>>;

    /// Gives a file another name, at once or not at all. Durable once both directories are synced.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file's name away. Durable once the directory is synced.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// A number for a new segment, unpredictable to whoever only sends payments.
    fn salt(&self) -> u64;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// [`StorageFile::length`] and [`StorageFile::read_at`].
    Read,
    /// [`StorageFile::append`] and syncing.
    Append,
    /// [`StorageFile::set_len`], [`StorageFile::write_at`] and syncing.
    Repair,
}

/// An open file.
pub trait StorageFile: Send + Sync {
    /// Writes at the end, perhaps a part only; how many bytes were written.
    ///
    /// # Errors
    /// As the operating system says; how much was written is then not known.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes its bytes, and as many of them as there are, durable.
    ///
    /// # Errors
    /// As the operating system says; what is durable is then not known, and asking again tells
    /// nothing.
    fn sync_data(&mut self) -> io::Result<()>;

    /// As [`StorageFile::sync_data`], and all else that is to be known of the file.
    ///
    /// # Errors
    /// As there.
    fn sync_all(&mut self) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// As the operating system says.
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;

    /// Writes all of this at an offset.
    ///
    /// # Errors
    /// As the operating system says.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// How many bytes it has.
    ///
    /// # Errors
    /// As the operating system says.
    fn length(&self) -> io::Result<u64>;

    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when there is less, and as the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsStorage;

impl Storage for OsStorage {
    fn lock(&self, dir: &Path) -> Result<Box<dyn Send + Sync>, JournalError> {
        files::lock_dir(dir).map(|file| Box::new(file) as Box<dyn Send + Sync>)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        files::create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        files::sync_dir(dir)
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        let options = match access {
            Access::Read => options.read(true),
            Access::Append => options.append(true),
            Access::Repair => options.write(true),
        };
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// The standard library seeds it from the system.
    fn salt(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

impl StorageFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match Write::write(self, bytes) {
                // A signal arrived before the first byte: nothing was written.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&mut self) -> io::Result<()> {
        File::sync_all(self)
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}
