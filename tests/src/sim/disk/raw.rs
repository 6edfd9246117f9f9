//! The files themselves, for whoever damages them by hand.

use std::path::{Path, PathBuf};

use super::{Naming, Node, SimDisk};

impl SimDisk {
    /// Every file with its bytes, in the order of the names.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let state = self.state();
        let file =
            |(path, node): (&PathBuf, &usize)| (path.clone(), state.nodes[*node].cached.clone());
        state.names.iter().map(file).collect()
    }

    /// A disk on which these files are, and nothing else.
    pub(crate) fn with_files(files: &[(PathBuf, Vec<u8>)]) -> SimDisk {
        let disk = SimDisk::new(0);
        files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
        disk
    }

    fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let node = state.nodes.len();
        let (cached, stored) = (bytes.to_vec(), bytes.to_vec());
        state.nodes.push(Node { cached, stored, ..Node::default() });
        state.naming(Naming::Made(path.to_path_buf(), node));
    }
}
