//! The bytes of a segment: headers, records, and a cursor that reads them back.

use super::Lsn;
use crate::bugs::{Bug, planted};

/// The format version this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// The longest record, in bytes: 16 MiB.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Where in a segment's header its version stands, and its kind.
pub(super) const VERSION_AT: u64 = 8;
pub(super) const KIND_AT: u64 = 12;
pub(super) const SEGMENT_HEADER_BYTES: usize = 48;
pub(super) const GROUP_HEADER_BYTES: usize = 24;
pub(super) const RECORD_HEADER_BYTES: usize = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"SETLJRNL";
/// As a length it is over [`MAX_RECORD_BYTES`], so a group header is never taken for a record.
const GROUP_MAGIC: [u8; 4] = [0xA7, b'G', b'R', 0xFF];

/// What a journal belongs to, so that a hub never opens a ledger's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind([u8; 8]);

impl Kind {
    /// The first 8 bytes of `name`; a shorter name is padded with zeros.
    #[must_use]
    pub const fn new(name: &str) -> Kind {
        let mut bytes = [0; 8];
        let (mut to, mut from): (&mut [u8], &[u8]) = (&mut bytes, name.as_bytes());
        while let ([place, places @ ..], [byte, rest @ ..]) = (to, from) {
            *place = *byte;
            (to, from) = (places, rest);
        }
        Kind(bytes)
    }

    /// The name, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.0).trim_end_matches('\0').to_owned()
    }
}

/// The start of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) kind: Kind,
    pub(super) salt: u64,
    pub(super) first: Lsn,
    pub(super) running: u64,
}

/// Why the start of a file is not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    Newer(u32),
    Invalid(&'static str),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.kind.0);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.running.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The version is looked at before the checksum: a newer header may be laid out differently.
    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, HeaderFault> {
        const SHORT: HeaderFault = HeaderFault::Invalid("the segment header is cut short");
        if bytes.get(..8).ok_or(SHORT)? != SEGMENT_MAGIC {
            return Err(HeaderFault::Invalid("this is not a journal segment"));
        }
        let version = u32_at(bytes, 8).ok_or(SHORT)?;
        if version > FORMAT_VERSION {
            return Err(HeaderFault::Newer(version));
        }
        let crc = u32_at(bytes, 44).ok_or(SHORT)?;
        if version == 0 || bytes.get(..44).map(crc32c::crc32c) != Some(crc) {
            return Err(HeaderFault::Invalid("the segment header's checksum is wrong"));
        }
        Ok(SegmentHeader {
            kind: Kind(bytes_at(bytes, 12).ok_or(SHORT)?),
            salt: u64_at(bytes, 20).ok_or(SHORT)?,
            first: u64_at(bytes, 28).ok_or(SHORT)?,
            running: u64_at(bytes, 36).ok_or(SHORT)?,
        })
    }
}

/// The start of a group: what one sync made durable.
pub(super) fn group_header(salt: u64, first: Lsn, running: u64) -> [u8; GROUP_HEADER_BYTES] {
    let crc = group_crc(salt, first, running);
    let mut header = [0; GROUP_HEADER_BYTES];
    let fields = GROUP_MAGIC
        .into_iter()
        .chain(crc.to_le_bytes())
        .chain(first.to_le_bytes())
        .chain(running.to_le_bytes());
    header.iter_mut().zip(fields).for_each(|(place, byte)| *place = byte);
    header
}

fn group_crc(salt: u64, first: Lsn, running: u64) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &first.to_le_bytes());
    crc32c::crc32c_append(crc, &running.to_le_bytes())
}

/// (first, running) of the group header at `offset`, if a valid one is there.
fn group_at(bytes: &[u8], offset: usize, salt: u64) -> Option<(Lsn, u64)> {
    let header = bytes.get(offset..)?.get(..GROUP_HEADER_BYTES)?;
    let (first, running) = (u64_at(header, 8)?, u64_at(header, 16)?);
    let valid = header.starts_with(&GROUP_MAGIC)
        && u32_at(header, 4) == Some(group_crc(salt, first, running));
    valid.then_some((first, running))
}

/// Whether a valid group header starts at `from` or anywhere behind it.
pub(super) fn group_follows(bytes: &[u8], from: usize, salt: u64) -> bool {
    next_group(bytes, from, salt).is_some()
}

/// Where a group of a segment starts, and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupStart {
    pub(super) offset: usize,
    pub(super) first: Lsn,
    pub(super) running: u64,
}

/// The first valid group header at `from` or anywhere behind it.
pub(super) fn next_group(bytes: &[u8], from: usize, salt: u64) -> Option<GroupStart> {
    let mut offset = from;
    loop {
        let rest = bytes.get(offset..)?;
        offset = offset.saturating_add(rest.iter().position(|byte| *byte == GROUP_MAGIC[0])?);
        if let Some((first, running)) = group_at(bytes, offset, salt) {
            return Some(GroupStart { offset, first, running });
        }
        offset = offset.saturating_add(1);
    }
}

/// How many bytes the frame takes that starts here: a group's header, or a record with its own. Of
/// fewer than [`RECORD_HEADER_BYTES`] no more can be told than that it takes at least these.
pub(super) fn frame_bytes(start: &[u8]) -> usize {
    match u32_at(start, 0) {
        _ if start.len() < RECORD_HEADER_BYTES => RECORD_HEADER_BYTES,
        Some(_) if start.starts_with(&GROUP_MAGIC) => GROUP_HEADER_BYTES,
        length => {
            let length = length.and_then(|length| usize::try_from(length).ok());
            let payload = length.unwrap_or(0).min(MAX_RECORD_BYTES);
            RECORD_HEADER_BYTES.saturating_add(payload)
        }
    }
}

/// Appends a record's frame to `group` and returns the running hash after it.
pub(super) fn put_record(group: &mut Vec<u8>, running: u64, lsn: Lsn, payload: &[u8]) -> u64 {
    // The caller has checked the length against MAX_RECORD_BYTES, far below u32::MAX.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let check = record_check(running, lsn, length, payload);
    group.extend_from_slice(&length.to_le_bytes());
    group.extend_from_slice(&check.to_le_bytes());
    group.extend_from_slice(payload);
    step(running, check)
}

fn record_check(running: u64, lsn: Lsn, length: u32, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&running.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &lsn.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

/// Takes a record's check into the running hash; the odd factor is 2^64 over the golden ratio.
fn step(running: u64, check: u32) -> u64 {
    (running.rotate_left(23) ^ u64::from(check)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The first frame that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

/// All that a [`Cursor`] has to know of what it has read, to go on with the bytes behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) salt: u64,
    pub(super) next: Lsn,
    pub(super) running: u64,
    pub(super) in_group: bool,
}

/// Reads the records of a segment in order, checking each against the running hash.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    salt: u64,
    offset: usize,
    group_start: Option<usize>,
    /// End of the last whole record (or of the segment header).
    pub(super) end: usize,
    /// Start of the group that the last whole record is in.
    pub(super) last_group: Option<usize>,
    /// Position of the record that comes next.
    pub(super) next: Lsn,
    /// Running hash up to `end`.
    pub(super) running: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &SegmentHeader) -> Cursor<'a> {
        Cursor {
            bytes,
            salt: header.salt,
            offset: SEGMENT_HEADER_BYTES,
            group_start: None,
            end: SEGMENT_HEADER_BYTES,
            last_group: None,
            next: header.first,
            running: header.running,
        }
    }

    /// Goes on with these bytes, which start with a frame.
    pub(super) fn resume(bytes: &'a [u8], progress: Progress) -> Cursor<'a> {
        Cursor {
            bytes,
            salt: progress.salt,
            offset: 0,
            group_start: progress.in_group.then_some(0),
            end: 0,
            last_group: None,
            next: progress.next,
            running: progress.running,
        }
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            salt: self.salt,
            next: self.next,
            running: self.running,
            in_group: self.group_start.is_some(),
        }
    }

    /// The next record, or `None` at the end of the bytes.
    pub(super) fn record(&mut self) -> Result<Option<(Lsn, &'a [u8])>, Broken> {
        loop {
            match self.bytes.get(self.offset..) {
                None | Some([]) => return Ok(None),
                Some(rest) if rest.starts_with(&GROUP_MAGIC) => self.enter_group()?,
                Some(rest) => return self.take_record(rest).map(Some),
            }
        }
    }

    fn enter_group(&mut self) -> Result<(), Broken> {
        let (first, running) = group_at(self.bytes, self.offset, self.salt)
            .ok_or_else(|| self.broken("the group header is torn or damaged"))?;
        if (first, running) != (self.next, self.running) {
            return Err(self.broken("the group does not continue the records before it"));
        }
        self.group_start = Some(self.offset);
        self.offset = self.offset.saturating_add(GROUP_HEADER_BYTES);
        Ok(())
    }

    fn take_record(&mut self, rest: &'a [u8]) -> Result<(Lsn, &'a [u8]), Broken> {
        if self.group_start.is_none() {
            return Err(self.broken("a group header should be here"));
        }
        let cut = self.broken("the record is cut short");
        let length = u32_at(rest, 0).ok_or(cut)?;
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes == 0 || bytes > MAX_RECORD_BYTES {
            return Err(self.broken("the record's length is out of bounds"));
        }
        let check = u32_at(rest, 4).ok_or(cut)?;
        let payload =
            rest.get(RECORD_HEADER_BYTES..).and_then(|rest| rest.get(..bytes)).ok_or(cut)?;
        let lsn = self.next;
        let right = check == record_check(self.running, lsn, length, payload);
        if !right && !planted(Bug::RecordUnchecked) {
            return Err(self.broken("the record's checksum is wrong"));
        }
        self.offset = self.offset.saturating_add(RECORD_HEADER_BYTES).saturating_add(bytes);
        self.end = self.offset;
        self.last_group = self.group_start;
        self.next = lsn.saturating_add(1);
        self.running = step(self.running, check);
        Ok((lsn, payload))
    }

    fn broken(&self, reason: &'static str) -> Broken {
        Broken { offset: self.offset, reason }
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes_at(bytes, offset).map(u64::from_le_bytes)
}
