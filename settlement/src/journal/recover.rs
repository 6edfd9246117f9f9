//! Opening after a crash: walk every live segment, cut a torn tail, refuse a hole.

use std::path::Path;

use super::files::{list_segments, segment_path};
use super::format::{
    Broken, Cursor, FORMAT_VERSION, HeaderFault, Kind, SEGMENT_HEADER_BYTES, SegmentHeader,
    group_follows,
};
use super::storage::{Access, Storage};
use super::{JournalError, Lsn};
use crate::bugs::{Bug, planted};

/// Where a segment starts and how many bytes of it are valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) first: Lsn,
    pub(super) bytes: u64,
}

/// The journal as it was found, whole and durable.
pub(super) struct Recovered {
    pub(super) segments: Vec<Segment>,
    pub(super) salt: u64,
    pub(super) last: Lsn,
    pub(super) running: u64,
}

/// How far one segment is valid, and how it ends.
struct Walked {
    header: SegmentHeader,
    end: usize,
    last_group: Option<usize>,
    next: Lsn,
    running: u64,
    broken: Option<Broken>,
}

/// Walks the live segments of `dir`; `None` when there is none.
pub(super) fn recover(
    storage: &dyn Storage,
    dir: &Path,
    kind: Kind,
) -> Result<Option<Recovered>, JournalError> {
    let firsts = list_segments(storage, dir)?;
    let mut recovered: Option<Recovered> = None;
    for (index, first) in firsts.iter().enumerate() {
        let is_last = index.saturating_add(1) == firsts.len();
        let path = segment_path(dir, *first);
        let bytes = storage.read(&path).map_err(JournalError::io("read", &path))?;
        if is_last && never_used(&bytes, *first, recovered.as_ref()) {
            discard(storage, dir, &path)?;
            break;
        }
        let expected = recovered.as_ref().map(|so_far| (next(so_far.last), so_far.running));
        let walked = walk(&path, &bytes, kind, *first, expected)?;
        if is_last {
            settle_tail(storage, &path, &bytes, &walked)?;
        } else if let Some(broken) = walked.broken {
            return Err(damaged(&path, broken));
        }
        let segments = recovered.take().map(|so_far| so_far.segments).unwrap_or_default();
        recovered = Some(extend(segments, &walked));
    }
    storage.sync_dir(dir).map_err(JournalError::io("sync", dir))?;
    Ok(recovered)
}

fn extend(mut segments: Vec<Segment>, walked: &Walked) -> Recovered {
    segments.push(Segment { first: walked.header.first, bytes: length(walked.end) });
    Recovered {
        segments,
        salt: walked.header.salt,
        last: walked.next.saturating_sub(1),
        running: walked.running,
    }
}

/// A crash while a segment was being created leaves it without a durable header, and no group can
/// be in it. It has to continue the segments before it, or a lost header would go unnoticed.
fn never_used(bytes: &[u8], first: Lsn, before: Option<&Recovered>) -> bool {
    let expected = before.map_or(1, |so_far| next(so_far.last));
    bytes.len() <= SEGMENT_HEADER_BYTES
        && first == expected
        && matches!(SegmentHeader::decode(bytes), Err(HeaderFault::Invalid(_)))
}

fn discard(storage: &dyn Storage, dir: &Path, path: &Path) -> Result<(), JournalError> {
    tracing::warn!(file = %path.display(), "a segment was created but never used; removed");
    storage.remove(path).map_err(JournalError::io("remove", path))?;
    storage.sync_dir(dir).map_err(JournalError::io("sync", dir))
}

fn walk(
    path: &Path,
    bytes: &[u8],
    kind: Kind,
    first: Lsn,
    expected: Option<(Lsn, u64)>,
) -> Result<Walked, JournalError> {
    let header = read_header(path, bytes, kind, first)?;
    if expected.is_some_and(|expected| expected != (header.first, header.running)) {
        let reason = "the segment does not continue the one before it";
        return Err(damaged(path, Broken { offset: 0, reason }));
    }
    let mut cursor = Cursor::new(bytes, &header);
    let broken = loop {
        match cursor.record() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(broken) => break Some(broken),
        }
    };
    Ok(Walked {
        header,
        end: cursor.end,
        last_group: cursor.last_group,
        next: cursor.next,
        running: cursor.running,
        broken,
    })
}

/// Decodes a segment's header and checks that it is what the file's name says.
pub(super) fn read_header(
    path: &Path,
    bytes: &[u8],
    kind: Kind,
    first: Lsn,
) -> Result<SegmentHeader, JournalError> {
    let header = SegmentHeader::decode(bytes).map_err(|fault| header_error(path, fault))?;
    if header.kind != kind {
        return Err(JournalError::Kind {
            file: path.to_path_buf(),
            found: header.kind.name(),
            expected: kind.name(),
        });
    }
    if header.first != first {
        let reason = "the file's name does not match its header";
        return Err(damaged(path, Broken { offset: 0, reason }));
    }
    Ok(header)
}

fn header_error(path: &Path, fault: HeaderFault) -> JournalError {
    match fault {
        HeaderFault::Newer(found) => {
            JournalError::Version { file: path.to_path_buf(), found, known: FORMAT_VERSION }
        }
        HeaderFault::Invalid(reason) => damaged(path, Broken { offset: 0, reason }),
    }
}

pub(super) fn damaged(path: &Path, broken: Broken) -> JournalError {
    JournalError::Damaged {
        file: path.to_path_buf(),
        offset: length(broken.offset),
        reason: broken.reason,
    }
}

/// Cuts what a crash left behind the last whole record. A group behind the damage means that the
/// damaged bytes were durable once: then nothing is touched.
fn settle_tail(
    storage: &dyn Storage,
    path: &Path,
    bytes: &[u8],
    walked: &Walked,
) -> Result<(), JournalError> {
    if let Some(broken) = walked.broken {
        let hole = group_follows(bytes, broken.offset, walked.header.salt);
        if hole && !planted(Bug::HoleTakenForTail) {
            return Err(damaged(path, broken));
        }
        tracing::warn!(
            file = %path.display(), offset = broken.offset, reason = broken.reason,
            cut_bytes = bytes.len().saturating_sub(walked.end), "the journal's tail was torn; cut"
        );
    }
    rewrite_last_group(storage, path, bytes, walked).map_err(JournalError::io("restore", path))
}

/// Cuts the file, and writes its last group once more so that the next sync really covers it.
fn rewrite_last_group(
    storage: &dyn Storage,
    path: &Path,
    bytes: &[u8],
    walked: &Walked,
) -> std::io::Result<()> {
    let mut file = storage.open(path, Access::Repair)?;
    if walked.end < bytes.len() && !planted(Bug::TornTailLeft) {
        file.set_len(length(walked.end))?;
    }
    let start = walked.last_group.unwrap_or(0);
    file.write_at(bytes.get(start..walked.end).unwrap_or_default(), length(start))?;
    file.sync_all()
}

fn next(last: Lsn) -> Lsn {
    last.saturating_add(1)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
