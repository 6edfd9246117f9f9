//! Tests of the index: damage never shows, and a checkpoint is all there or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;

/// Something that happens to a checkpoint's directory.
type Damage = fn(&Path);
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(dir: &Path) -> SledIndex {
    SledIndex::open(dir, SledConfig::default()).unwrap()
}

/// What is in the index after the `n`th of the checkpoints that [`step`] takes.
fn rows_at(n: u64) -> Rows {
    let mut rows = Rows::new();
    for step in 1..=n {
        for (key, value) in changes(step) {
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(&key),
            };
        }
    }
    rows
}

fn changes(n: u64) -> Vec<Change> {
    let key = |i: u64| format!("row/{i:04}").into_bytes();
    let written = (n..n + 200).map(|i| (key(i), Some(vec![n as u8; 100])));
    written.chain([(key(n), None)]).collect()
}

fn step(index: &mut dyn Index, n: u64) {
    index.checkpoint(n * 10, &mut changes(n).into_iter()).unwrap();
}

fn rows(index: &dyn Index) -> Rows {
    let mut rows = Rows::new();
    index
        .scan(b"", &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(())
        })
        .unwrap();
    rows
}

/// The index holds exactly what its position says; returns which checkpoint that is.
fn settled(index: &dyn Index) -> u64 {
    let n = index.position() / 10;
    assert!(rows(index) == rows_at(n), "rows are not those of checkpoint {n}");
    n
}

fn checkpoint_dir(dir: &Path, n: u64) -> std::path::PathBuf {
    checkpoint::path_of(dir, n * 10)
}

#[test]
fn both_indexes_keep_the_rows_of_the_last_checkpoint() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::new());
    for n in 1..=5 {
        let mut indexes: [Box<dyn Index>; 2] =
            [Box::new(open(dir.path())), Box::new(MemoryIndex::open(&shelf))];
        for index in &mut indexes {
            assert_eq!(settled(index.as_ref()), n - 1);
            step(index.as_mut(), n);
            assert_eq!(settled(index.as_ref()), n);
            assert_eq!(index.archivable(), (n - 1) * 10);
            assert_eq!(index.get(b"row/0100").unwrap(), rows_at(n).get(&b"row/0100"[..]).cloned());
            assert_eq!(index.get(b"none").unwrap(), None);
            let mut count = 0;
            let refusal = index.scan(b"row/01", &mut |key, _| {
                count += 1;
                if key == b"row/0105" { Err("enough".into()) } else { Ok(()) }
            });
            assert!(matches!(refusal, Err(IndexError::Visitor { .. })));
            assert_eq!(count, 6);
        }
    }
}

#[test]
fn positions_must_grow_and_rows_fit_and_a_refusal_changes_nothing() {
    let (dir, shelf) = (tempfile::tempdir().unwrap(), Shelf::new());
    let indexes: [Box<dyn Index>; 2] =
        [Box::new(open(dir.path())), Box::new(MemoryIndex::open(&shelf))];
    for mut index in indexes {
        step(index.as_mut(), 1);
        let again = index.checkpoint(10, &mut std::iter::empty());
        assert!(matches!(again, Err(IndexError::Order { from: 10, to: 10 })));
        let row = (b"a".to_vec(), Some(vec![0; MAX_VALUE_BYTES + 1]));
        let long = index.checkpoint(20, &mut changes(2).into_iter().chain([row]));
        assert!(matches!(long, Err(IndexError::RowSize { .. })));
        assert_eq!(settled(index.as_ref()), 1);
        step(index.as_mut(), 2);
        assert_eq!(settled(index.as_ref()), 2);
    }
}

#[test]
fn every_damage_to_the_newest_checkpoint_falls_back_to_the_one_before() {
    let source = tempfile::tempdir().unwrap();
    let mut index = open(source.path());
    (1..=3).for_each(|n| step(&mut index, n));
    drop(index);
    assert!(!checkpoint_dir(source.path(), 1).exists(), "only two are kept");
    let damages: [(&str, Damage); 9] = [
        ("no seal", |dir| fs::remove_file(dir.join("GOOD")).unwrap()),
        ("torn seal", |dir| cut(&dir.join("GOOD"), 30)),
        ("no database", |dir| fs::remove_file(dir.join("db")).unwrap()),
        ("torn database", |dir| cut(&dir.join("db"), 1000)),
        ("empty database", |dir| cut(&dir.join("db"), 0)),
        ("flipped database", |dir| flip(&dir.join("db"), 400)),
        ("flipped settings", |dir| flip(&dir.join("conf"), 3)),
        ("a seal of another version by a bit", |dir| {
            let seal = dir.join("GOOD");
            let text = fs::read_to_string(&seal).unwrap();
            fs::write(seal, text.replace("index-checkpoint 1", "index-checkpoint 3")).unwrap();
        }),
        ("a file too many", |dir| fs::write(dir.join("snap.0000"), b"x").unwrap()),
    ];
    for (name, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        for n in [2, 3] {
            let (from, to) = (checkpoint_dir(source.path(), n), checkpoint_dir(dir.path(), n));
            checkpoint::copy(&from, &to).unwrap();
            fs::copy(from.join("GOOD"), to.join("GOOD")).unwrap();
        }
        damage(&checkpoint_dir(dir.path(), 3));
        let mut index = open(dir.path());
        assert_eq!(settled(&index), 2, "{name}");
        assert_eq!((index.set_aside().len(), index.archivable()), (1, 0), "{name}");
        step(&mut index, 3);
        drop(index);
        damage(&checkpoint_dir(dir.path(), 3));
        damage(&checkpoint_dir(dir.path(), 2));
        let index = open(dir.path());
        assert_eq!((settled(&index), index.set_aside().len()), (0, 2), "{name}");
        assert!(dir.path().join("checkpoint-00000000000000000030.damaged-2").exists());
    }
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_crash_between_any_two_steps_of_a_checkpoint_leaves_one_that_counts() {
    let source = tempfile::tempdir().unwrap();
    let mut index = open(source.path());
    (1..=2).for_each(|n| step(&mut index, n));
    drop(index);
    let finished = checkpoint_dir(source.path(), 2);
    for case in ["copied", "half copied", "applied, not sealed", "sealed, not renamed"] {
        let dir = tempfile::tempdir().unwrap();
        step(&mut open(dir.path()), 1);
        let work = dir.path().join("work");
        fs::remove_dir_all(&work).ok();
        match case {
            "copied" => checkpoint::copy(&checkpoint_dir(dir.path(), 1), &work).unwrap(),
            "half copied" => fs::create_dir(&work).unwrap(),
            _ => checkpoint::copy(&finished, &work).unwrap(),
        }
        if case == "half copied" {
            fs::write(work.join("db"), [7; 100]).unwrap();
        }
        if case == "sealed, not renamed" {
            fs::copy(finished.join("GOOD"), work.join("GOOD")).unwrap();
        }
        let mut index = open(dir.path());
        assert_eq!(settled(&index), 1, "{case}");
        assert!(index.set_aside().is_empty());
        step(&mut index, 2);
        assert_eq!(settled(&index), 2, "{case}");
    }
}

#[test]
fn a_crash_while_old_checkpoints_are_deleted_is_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = open(dir.path());
    (1..=3).for_each(|n| step(&mut index, n));
    drop(index);
    fs::create_dir(checkpoint_dir(dir.path(), 1)).unwrap();
    let index = open(dir.path());
    assert_eq!((settled(&index), index.archivable()), (3, 20));
    assert!(!checkpoint_dir(dir.path(), 1).exists() && index.set_aside().is_empty());
}

#[test]
fn a_deleted_directory_is_an_index_at_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("index");
    step(&mut open(&root), 1);
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(settled(&open(&root)), 0);
}

#[test]
fn a_second_opener_and_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = open(dir.path());
    step(&mut index, 1);
    let second = SledIndex::open(dir.path(), SledConfig::default());
    assert!(matches!(second, Err(IndexError::Locked(_))));
    drop(index);
    let seal = checkpoint_dir(dir.path(), 1).join("GOOD");
    let text =
        fs::read_to_string(&seal).unwrap().replace("index-checkpoint 1", "index-checkpoint 2");
    let (summed, _) = text.split_at(text.rfind("sum ").unwrap());
    fs::write(&seal, format!("{summed}sum {:08x}\n", crc32c::crc32c(summed.as_bytes()))).unwrap();
    let newer = SledIndex::open(dir.path(), SledConfig::default());
    assert!(matches!(newer, Err(IndexError::Version { found: 2, known: 1, .. })));
}

#[test]
fn resting_gives_the_database_back_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = open(dir.path());
    step(&mut index, 1);
    assert_eq!(settled(&index), 1);
    index.rest();
    assert_eq!(settled(&index), 1);
    step(&mut index, 2);
    assert_eq!(settled(&index), 2);
}

#[test]
fn a_simulated_index_fails_and_is_lost_on_demand() {
    let shelf = Shelf::new();
    let mut index = MemoryIndex::open(&shelf);
    step(&mut index, 1);
    shelf.fail_next_checkpoint();
    assert!(matches!(index.checkpoint(20, &mut std::iter::empty()), Err(IndexError::Simulated)));
    assert_eq!(settled(&MemoryIndex::open(&shelf)), 1);
    shelf.lose();
    assert_eq!(settled(&index), 0);
}

/// Run by hand, in release: `--ignored --nocapture cost_of_checkpoints`.
#[test]
#[ignore = "a measurement"]
fn cost_of_checkpoints() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut index = open(dir.path());
    let row = |i: u64, n: u64| {
        (i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().to_vec(), Some(vec![n as u8; 300]))
    };
    for n in 1..=30u64 {
        let rows: Box<dyn Iterator<Item = u64>> = if n == 1 {
            Box::new(0..100_000)
        } else {
            Box::new((0..10_000).map(|i| (i * 7 + n * 991) % 100_000))
        };
        let start = std::time::Instant::now();
        index.checkpoint(n, &mut rows.map(|i| row(i, n))).unwrap();
        let size = fs::metadata(checkpoint::path_of(dir.path(), n).join("db")).unwrap().len();
        if n < 4 || n % 10 == 0 {
            println!("checkpoint {n}: {:?}, {} MiB", start.elapsed(), size >> 20);
        }
    }
    drop(index);
    let start = std::time::Instant::now();
    let index = open(dir.path());
    let opened = start.elapsed();
    let count = rows(&index).len();
    println!("open {opened:?}, scan of {count} {:?}", start.elapsed() - opened);
}
