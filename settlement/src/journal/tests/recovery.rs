//! Recovery as a table: every cut and every flip of a journal of several segments and groups.

use super::*;

/// A journal as bytes: its segments, and where each group of each starts.
struct Image {
    segments: Vec<(Lsn, Vec<u8>)>,
    /// (segment, offset of the group's start, last record before it), in order.
    groups: Vec<(usize, usize, Lsn)>,
    last: Lsn,
}

fn image() -> Image {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    let mut groups = Vec::new();
    for count in [3, 2, 5, 1, 4, 2, 6, 3, 3, 4, 5, 3] {
        let before = journal.last();
        let bytes = total(dir.path());
        append_group(&mut journal, count);
        let firsts = list_segments(dir.path()).unwrap();
        let index = firsts.len() - 1;
        let rolled = firsts[index] == before + 1 && before > 0;
        let start = if rolled { 48 } else { bytes[index] };
        groups.push((index, start, before));
    }
    let firsts = list_segments(dir.path()).unwrap();
    let segments =
        firsts.iter().map(|first| (*first, fs::read(segment_path(dir.path(), *first)).unwrap()));
    Image { segments: segments.collect(), groups, last: journal.last() }
}

fn total(dir: &Path) -> Vec<usize> {
    let firsts = list_segments(dir).unwrap();
    firsts.iter().map(|first| fs::read(segment_path(dir, *first)).unwrap().len()).collect()
}

impl Image {
    /// Last record before the group that the byte at `offset` of a segment belongs to.
    fn durable_before(&self, segment: usize, offset: usize) -> Lsn {
        let group = self.groups.iter().rfind(|(s, start, _)| (*s, *start) <= (segment, offset));
        group.map_or(0, |(.., before)| *before)
    }

    fn last_group(&self) -> (usize, usize, Lsn) {
        *self.groups.last().unwrap()
    }

    fn write(&self, dir: &Path, changed: usize, bytes: &[u8]) {
        for (index, (first, original)) in self.segments.iter().enumerate() {
            let bytes = if index == changed { bytes } else { original };
            fs::write(segment_path(dir, *first), bytes).unwrap();
        }
    }
}

/// What opening made of it: the last record kept, or the error. What is kept must be right.
fn outcome(dir: &Path) -> Result<Lsn, JournalError> {
    let journal = FileJournal::open(dir, small())?;
    let last = journal.last();
    assert_eq!(records(&journal, 0).unwrap(), expected(0, last));
    Ok(last)
}

fn names(error: &JournalError, path: &Path) -> bool {
    match error {
        JournalError::Damaged { file, .. }
        | JournalError::Version { file, .. }
        | JournalError::Kind { file, .. } => file == path,
        _ => false,
    }
}

#[test]
fn a_file_cut_at_any_byte_keeps_every_group_before_the_cut_or_is_refused() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let newest = image.segments.len() - 1;
    for (index, (first, bytes)) in image.segments.iter().enumerate() {
        for cut in 0..bytes.len() {
            image.write(dir.path(), index, &bytes[..cut]);
            let path = segment_path(dir.path(), *first);
            match outcome(dir.path()) {
                Ok(last) => {
                    assert_eq!(index, newest, "segment {first} cut at {cut} went unnoticed");
                    assert!(last >= image.durable_before(index, cut), "cut at {cut}: {last}");
                }
                Err(error) => {
                    assert_ne!(index, newest, "cut at {cut}: {error}");
                    let next = segment_path(dir.path(), image.segments[index + 1].0);
                    assert!(names(&error, &path) || names(&error, &next), "{cut}: {error}");
                }
            }
        }
    }
}

#[test]
fn a_flip_in_the_last_group_keeps_all_before_it_and_an_earlier_one_is_refused() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let (newest, last_start, before) = image.last_group();
    assert!(last_start > 48, "the last segment has several groups");
    for (index, (first, original)) in image.segments.iter().enumerate() {
        let path = segment_path(dir.path(), *first);
        for offset in 0..original.len() {
            let mut bytes = original.clone();
            bytes[offset] ^= 1 << (offset % 8);
            image.write(dir.path(), index, &bytes);
            let in_last_group = index == newest && offset >= last_start;
            match outcome(dir.path()) {
                Ok(last) => {
                    assert!(in_last_group, "flip at {first}:{offset} went unnoticed");
                    assert!(last >= before && last < image.last, "{offset}: {last}");
                }
                Err(error) => {
                    assert!(!in_last_group, "flip at {first}:{offset}: {error}");
                    assert!(names(&error, &path), "{first}:{offset}: {error}");
                    assert_eq!(fs::read(&path).unwrap(), bytes, "a refused file is not changed");
                }
            }
        }
    }
}

#[test]
fn garbage_and_zeros_behind_the_last_group_are_cut() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let (newest, last_start, before) = image.last_group();
    let original = &image.segments[newest].1;
    for length in [1, 7, 8, 23, 24, 25, 4096] {
        for fill in [0u8, 0xFF, 0xA7, 0x41] {
            for keep in [last_start, original.len()] {
                let mut bytes = original[..keep].to_vec();
                bytes.resize(keep + length, fill);
                image.write(dir.path(), newest, &bytes);
                let last = if keep == last_start { before } else { image.last };
                assert_eq!(outcome(dir.path()).unwrap(), last);
                let kept = fs::read(segment_path(dir.path(), image.segments[newest].0)).unwrap();
                assert_eq!(kept.len(), keep, "what was cut is gone from the file");
            }
        }
    }
}

#[test]
fn a_recovery_that_crashes_is_recovered_from_again() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let (newest, last_start, before) = image.last_group();
    let (first, original) = &image.segments[newest];
    for cut in last_start..original.len() {
        image.write(dir.path(), newest, &original[..cut]);
        let once = outcome(dir.path()).unwrap();
        // The process appends a group, and the power fails while it is written.
        let mut journal = open(dir.path());
        append_group(&mut journal, 3);
        drop(journal);
        let path = segment_path(dir.path(), list_segments(dir.path()).unwrap().pop().unwrap());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let twice = outcome(dir.path()).unwrap();
        assert!(once >= before && twice == once + 2, "{first}:{cut}: {once} then {twice}");
        assert_eq!(outcome(dir.path()).unwrap(), twice, "and it is settled");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_segment_that_was_created_but_never_used_is_replaced() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    let next = segment_path(dir.path(), image.last + 1);
    for junk in [vec![], vec![0; 20], vec![0; 48]] {
        let newest = image.segments.len() - 1;
        image.write(dir.path(), newest, &image.segments[newest].1);
        fs::write(&next, junk).unwrap();
        assert_eq!(outcome(dir.path()).unwrap(), image.last);
        assert!(!next.exists());
    }
    // A crash while the very first segment was created.
    let fresh = tempfile::tempdir().unwrap();
    fs::write(segment_path(fresh.path(), 1), b"SETL").unwrap();
    append_group(&mut open(fresh.path()), 2);
    assert_eq!(outcome(fresh.path()).unwrap(), 2);
}

#[test]
fn a_missing_or_foreign_segment_is_refused() {
    let image = image();
    let dir = tempfile::tempdir().unwrap();
    image.write(dir.path(), 0, &image.segments[0].1);
    let removed = segment_path(dir.path(), image.segments[1].0);
    let after = segment_path(dir.path(), image.segments[2].0);
    fs::remove_file(&removed).unwrap();
    let error = outcome(dir.path()).unwrap_err();
    assert!(names(&error, &after), "{error}");

    // The same records, journaled elsewhere: only the chain tells them apart.
    let other = super::recovery::image();
    assert_eq!(other.segments[1].0, image.segments[1].0);
    fs::write(&removed, &other.segments[1].1).unwrap();
    let error = outcome(dir.path()).unwrap_err();
    assert!(names(&error, &removed), "{error}");
}

#[test]
fn a_dropped_record_is_noticed_where_its_successor_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(dir.path(), JournalConfig::new(KIND)).unwrap();
    append_group(&mut journal, 3);
    append_group(&mut journal, 3);
    drop(journal);
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let start = 48 + 24;
    bytes.drain(start..start + 8 + record(1).len());
    fs::write(&path, bytes).unwrap();
    let error = outcome(dir.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { offset: 72, .. }), "{error}");
}

#[test]
fn a_group_header_hidden_in_a_payload_does_not_stop_recovery() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path());
    append_group(&mut journal, 2);
    let guess = format::group_header(0, 9, 0);
    journal.append(b"torn").unwrap();
    journal.append(&guess).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let path = segment_path(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let torn = bytes.windows(4).position(|window| window == b"torn").unwrap();
    bytes[torn] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(outcome(dir.path()).unwrap(), 2);
}
