//! Damage: one byte of a journal flipped after another, and what the audit says of each.
//!
//! The auditor goes on from one flipped byte to the next: all blocks before it are right, and were
//! found so once. It reads the whole journal each time, as it always does.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use settlement::journal::JournalReader;
use settlement::ledger::audit::{AuditReport, Auditor};
use settlement::ledger::home::{Home, JOURNAL_KIND};

/// The start of a segment, of a group, and of a record, in bytes.
const SEGMENT: u64 = 48;
const GROUP: u64 = 24;
const RECORD: u64 = 8;
const GROUP_MAGIC: [u8; 4] = [0xA7, b'G', b'R', 0xFF];

/// What became of flipped bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Found, with the block, the file and the header or record that they are in.
    pub located: u64,
    /// In the last group: the tail is torn, and all blocks before it are right.
    pub torn: u64,
}

/// A frame of a segment: a header, or a record with its own.
#[derive(Clone, Copy, Debug)]
struct Frame {
    start: u64,
    end: u64,
    /// The block that it belongs to; for a segment's header, the first in it.
    block: u64,
}

struct Segment {
    path: PathBuf,
    frames: Vec<Frame>,
}

/// The journal of one ledger, to be damaged.
pub struct Flips {
    segments: Vec<Segment>,
    reader: JournalReader,
    auditor: Auditor,
    blocks: u64,
    found: Found,
}

impl Flips {
    /// In the ledger's directory.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new(dir: &Path) -> Result<Flips> {
        let (_, genesis) = Home::existing(dir)?;
        let journal = super::journal_in(dir);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&journal)? {
            paths.push(entry?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|end| end == "seg"));
        paths.sort();
        let (mut segments, mut next) = (Vec::new(), 1);
        for path in paths {
            let bytes = fs::read(&path)?;
            segments.push(Segment { path, frames: frames(&bytes, &mut next)? });
        }
        let reader = JournalReader::new(journal, JOURNAL_KIND);
        let auditor = Auditor::new(genesis)?;
        Ok(Flips { segments, reader, auditor, blocks: next - 1, found: Found::default() })
    }

    /// How many bytes the journal has.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// Where the last group starts, counted over all segments.
    pub fn last_group(&self) -> u64 {
        let groups = self.segments.last().map_or(&[][..], |segment| &segment.frames);
        let tail: u64 = groups.iter().rev().take(2).map(|frame| frame.end - frame.start).sum();
        self.bytes() - tail
    }

    /// Flips one bit of the byte at this place, counted over all segments, audits, and flips it
    /// back. Places have to come in ascending order.
    ///
    /// # Errors
    /// When the audit does not find the byte, or says that it is elsewhere.
    pub fn flip(&mut self, at: u64) -> Result<()> {
        let (segment, inside) = self.place(at).context("the journal ends before")?;
        let frame = segment.frame(inside).context("no frame is there")?;
        let (path, is_tail) = (segment.path.clone(), at >= self.last_group());
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let bit = 1 << (at % 8);
        flip_bit(&file, inside, bit)?;
        let report = self.auditor.audit(&self.reader, &mut |_| {});
        flip_bit(&file, inside, bit)?;
        let said = if is_tail {
            self.is_torn(&report, &path, frame)
        } else {
            is_located(&report, &path, frame)
        };
        ensure!(said, "byte {inside} of {}, in {frame:?}: {report:?}", path.display());
        if is_tail {
            self.found.torn += 1
        } else {
            self.found.located += 1
        }
        Ok(())
    }

    /// Audits once more, with everything as it was.
    ///
    /// # Errors
    /// When something is wrong.
    pub fn finish(mut self) -> Result<(AuditReport, Found)> {
        let report = self.auditor.audit(&self.reader, &mut |_| {});
        ensure!(report.is_right() && report.torn_tail.is_none(), "{report:?}");
        ensure!(report.right.blocks == self.blocks, "{report:?}");
        Ok((report, self.found))
    }

    fn place(&self, at: u64) -> Option<(&Segment, u64)> {
        let mut before = 0;
        self.segments.iter().find_map(|segment| {
            let inside = at - before;
            before += segment.bytes();
            (at < before).then_some((segment, inside))
        })
    }

    fn is_torn(&self, report: &AuditReport, path: &Path, frame: Frame) -> bool {
        report
            .torn_tail
            .as_ref()
            .is_some_and(|torn| torn.file == path && torn.offset == frame.start)
            && report.wrong.is_none()
            && report.right.blocks == self.blocks - 1
    }
}

fn is_located(report: &AuditReport, path: &Path, frame: Frame) -> bool {
    report.wrong.as_ref().is_some_and(|wrong| {
        wrong.block.0 == frame.block
            && wrong.file.as_deref() == Some(path)
            && wrong.offset.is_some_and(|at| (frame.start..frame.end).contains(&at))
    })
}

fn flip_bit(file: &File, at: u64, bit: u8) -> Result<()> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ bit], at)?;
    Ok(())
}

impl Segment {
    fn bytes(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.end)
    }

    fn frame(&self, at: u64) -> Option<Frame> {
        let after = self.frames.partition_point(|frame| frame.start <= at);
        self.frames.get(after.checked_sub(1)?).copied()
    }
}

/// The frames of a whole segment; `next` is the block of the first record in it, and then of the
/// first behind it.
fn frames(bytes: &[u8], next: &mut u64) -> Result<Vec<Frame>> {
    let mut frames = vec![Frame { start: 0, end: SEGMENT, block: *next }];
    let mut start = SEGMENT;
    while start < bytes.len() as u64 {
        let head = bytes.get(usize::try_from(start)?..).and_then(|rest| rest.first_chunk());
        let head: [u8; 4] = *head.context("a frame is cut short")?;
        let is_group = head == GROUP_MAGIC;
        let long = if is_group { GROUP } else { RECORD + u64::from(u32::from_le_bytes(head)) };
        frames.push(Frame { start, end: start + long, block: *next });
        start += long;
        *next += u64::from(!is_group);
    }
    Ok(frames)
}
