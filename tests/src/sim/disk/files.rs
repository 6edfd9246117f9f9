//! The simulated disk as the journal sees it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use settlement::journal::{Access, JournalError, Storage, StorageFile};

use super::{Naming, Node, SimDisk, Trouble};

impl Storage for SimDisk {
    fn lock(&self, dir: &Path) -> Result<Box<dyn Send + Sync>, JournalError> {
        let mut state = self.state();
        if state.locked {
            return Err(JournalError::Locked { path: dir.to_path_buf() });
        }
        state.locked = true;
        Ok(Box::new(()))
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.state().step()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let last = state.namings.iter().rposition(|naming| naming.touches(dir));
        let count = last.map_or(0, |last| last + 1);
        let done: Vec<Naming> = state.namings.drain(..count).collect();
        done.iter().for_each(|naming| naming.apply(&mut state.stored_names));
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state();
        state.step()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()).map(OsString::from).collect())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.step()?;
        let node = state.node(path)?;
        Ok(state.nodes[node].cached.clone())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        state.naming(Naming::Made(path.to_path_buf(), node));
        Ok(Box::new(SimFile { disk: self.clone(), node }))
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.step()?;
        let node = state.node(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.node(from)?;
        state.naming(Naming::Moved(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.node(path)?;
        state.naming(Naming::Gone(path.to_path_buf()));
        Ok(())
    }

    fn salt(&self) -> u64 {
        let mut state = self.state();
        state.salt += 1;
        state.salt.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

struct SimFile {
    disk: SimDisk,
    node: usize,
}

impl SimFile {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let node = self.node;
        if state.trouble == Some(Trouble::SyncError) {
            state.meet();
            // What was to be moved counts as moved, and never will be.
            state.nodes[node].dirty.clear();
            return Err(io::Error::other("EIO"));
        }
        state.nodes[node].sync();
        Ok(())
    }
}

impl super::State {
    fn meet(&mut self) -> Option<Trouble> {
        let trouble = self.trouble.take();
        self.met.extend(trouble);
        trouble
    }
}

impl StorageFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let stops = state.step().err();
        let fits = match state.trouble {
            _ if stops.is_some() => state.pick(bytes.len() + 1),
            Some(Trouble::Room(left)) => left.min(bytes.len()),
            Some(Trouble::WriteError) => {
                state.meet();
                return Err(io::Error::other("EIO"));
            }
            _ => bytes.len(),
        };
        let end = state.nodes[self.node].cached.len();
        state.nodes[self.node].write(&bytes[..fits], end);
        if let Some(error) = stops {
            return Err(error);
        }
        if let Some(Trouble::Room(left)) = state.trouble {
            state.trouble = Some(Trouble::Room(left - fits));
            if fits < bytes.len() {
                state.met.push(Trouble::Room(fits));
            }
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(fits)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let node = &mut state.nodes[self.node];
        node.cached.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        node.cut = true;
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        state.nodes[self.node].write(bytes, offset);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().nodes[self.node].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = state.nodes[self.node].cached.get(offset..).unwrap_or_default();
        let bytes = bytes.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}
