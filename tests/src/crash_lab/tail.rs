//! A journal that a hub has left, cut and flipped at every byte of its last 64 KiB.
//!
//! What counts as right is told from the bytes alone, by the layout that
//! [`settlement::journal`] documents: where groups start, and which record is the first of each.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use settlement::journal::{FileJournal, Journal, JournalConfig, JournalError, Kind, Lsn};

/// How much of the end is damaged: 64 KiB.
pub const DAMAGED_BYTES: usize = 64 << 10;

const GROUP_MAGIC: [u8; 4] = [0xA7, b'G', b'R', 0xFF];
const SEGMENT_HEADER_BYTES: usize = 48;
const GROUP_HEADER_BYTES: usize = 24;
const FIRST_AT: usize = 8;

/// What was done to the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Cuts, each at a byte of its own.
    pub cuts: usize,
    /// Flips, each of one bit of a byte of its own.
    pub flips: usize,
    /// How many flips were refused, with the file and the byte named.
    pub refused: usize,
    /// How many flips were taken for a torn tail, in the last group.
    pub torn: usize,
}

/// A journal of one segment, as it was left.
pub struct Image {
    name: String,
    bytes: Vec<u8>,
    kind: Kind,
    /// Where each group starts, and the record before it.
    groups: Vec<(usize, Lsn)>,
    last: Lsn,
    /// What its records are, in order.
    records: Vec<Vec<u8>>,
}

impl Image {
    /// The newest segment of a journal that nobody has open, as if it were all.
    ///
    /// # Errors
    /// When its files can't be read, or it has no group.
    pub fn of(journal: &Path, kind: Kind) -> io::Result<Image> {
        let newest = super::disk::segments(journal).pop();
        let newest = newest.ok_or_else(|| io::Error::other("there is no segment"))?;
        let bytes = fs::read(&newest)?;
        let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let groups = groups(&bytes);
        let mut image = Image { name, bytes, kind, groups, last: 0, records: Vec::new() };
        let dir = tempfile::tempdir()?;
        image.write(dir.path(), &image.bytes)?;
        let (last, journal) = image.open(dir.path()).map_err(io::Error::other)?;
        let mut records = Vec::new();
        let visited = journal.replay(image.first(), &mut |_, record| {
            records.push(record.to_vec());
            Ok(())
        });
        visited.map_err(|error| io::Error::other(error.to_string()))?;
        (image.last, image.records) = (last, records);
        let whole = image.groups.len() > 1 && image.last > 0;
        if whole { Ok(image) } else { Err(io::Error::other("there are not two groups")) }
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many groups it has.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Cuts it at, and flips a bit of, every `step`th byte of its last [`DAMAGED_BYTES`], in `dir`.
    ///
    /// # Errors
    /// The first outcome that is not right: what was done, and what came of it.
    pub fn try_all(&self, dir: &Path, step: usize) -> Result<Tried, String> {
        let start = self.bytes.len().saturating_sub(DAMAGED_BYTES).max(SEGMENT_HEADER_BYTES);
        let mut tried = Tried::default();
        for at in (start..self.bytes.len()).step_by(step.max(1)) {
            self.try_cut(dir, at).map_err(|wrong| format!("cut at byte {at}: {wrong}"))?;
            tried.cuts += 1;
            let refused = self.try_flip(dir, at);
            let refused = refused.map_err(|wrong| format!("flip in byte {at}: {wrong}"))?;
            tried.flips += 1;
            tried.refused += usize::from(refused);
            tried.torn += usize::from(!refused);
        }
        Ok(tried)
    }

    /// A cut keeps every group before it, and of the group that it is in whole records only.
    fn try_cut(&self, dir: &Path, at: usize) -> Result<(), String> {
        let kept = self.bytes.get(..at).unwrap_or_default();
        let last = self.taken(dir, kept)?;
        let before = self.last_before(at);
        if last < before { Err(format!("ends at record {last}, not {before}")) } else { Ok(()) }
    }

    /// A flip in the last group is a torn tail; an earlier one is refused. Whether it was.
    fn try_flip(&self, dir: &Path, at: usize) -> Result<bool, String> {
        let mut bytes = self.bytes.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (at % 8);
        }
        let (last_group, before) = self.groups.last().copied().unwrap_or_default();
        self.write(dir, &bytes).map_err(|error| error.to_string())?;
        match self.open(dir) {
            Ok((last, _)) if at >= last_group && last >= before && last < self.last => Ok(false),
            Ok((last, _)) => Err(format!("goes unnoticed: ends at record {last}")),
            Err(JournalError::Damaged { file, offset, .. }) => {
                let there = file == dir.join(&self.name) && offset <= at as u64;
                let kept = fs::read(&file).is_ok_and(|kept| kept == bytes);
                let right = at < last_group && there && kept;
                if right { Ok(true) } else { Err(format!("refused at byte {offset}")) }
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The last record that is left; what is kept must be the records that were there.
    fn taken(&self, dir: &Path, bytes: &[u8]) -> Result<Lsn, String> {
        self.write(dir, bytes).map_err(|error| error.to_string())?;
        let (last, journal) = self.open(dir).map_err(|error| error.to_string())?;
        let mut next = self.first();
        let mut were = self.records.iter();
        let visited = journal.replay(next, &mut |lsn, record| {
            next = next.saturating_add(1);
            let same = were.next().is_some_and(|was| was == record);
            if lsn == next && same { Ok(()) } else { Err(format!("record {lsn} is another")) }
        });
        visited.map_err(|error| error.to_string())?;
        if next == last { Ok(last) } else { Err(format!("{next} of {last} records come back")) }
    }

    /// The record before its first one.
    fn first(&self) -> Lsn {
        self.groups.first().map_or(0, |(_, before)| *before)
    }

    /// The last record of the groups that end at or before this byte.
    fn last_before(&self, at: usize) -> Lsn {
        self.groups.iter().rfind(|(start, _)| *start <= at).map_or(0, |(_, before)| *before)
    }

    fn write(&self, dir: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = fs::File::create(dir.join(&self.name))?;
        file.write_all(bytes)
    }

    fn open(&self, dir: &Path) -> Result<(Lsn, FileJournal), JournalError> {
        let journal = FileJournal::open(dir, JournalConfig::new(self.kind))?;
        Ok((journal.last(), journal))
    }
}

/// Where the groups of a segment start, and the record before each: headers whose first record
/// continues what was before, so that bytes in a record that look like one are left out.
fn groups(bytes: &[u8]) -> Vec<(usize, Lsn)> {
    let mut found: Vec<(usize, Lsn)> = Vec::new();
    let ends = bytes.len().saturating_sub(GROUP_HEADER_BYTES);
    for at in SEGMENT_HEADER_BYTES..ends {
        let Some(header) = bytes.get(at..).filter(|rest| rest.starts_with(&GROUP_MAGIC)) else {
            continue;
        };
        let first = header.get(FIRST_AT..).and_then(|rest| rest.first_chunk().copied());
        let first = first.map_or(0, u64::from_le_bytes);
        let newest = found.last().map_or(0, |(_, before)| *before);
        if first > newest && first < newest.saturating_add(1 << 20) || found.is_empty() {
            found.push((at, first.saturating_sub(1)));
        }
    }
    found
}

/// A directory in memory, where a sync costs nothing, if the machine has one.
pub fn quick_dir() -> io::Result<tempfile::TempDir> {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() }
}
