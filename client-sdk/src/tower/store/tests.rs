use settlement::types::LedgerId;

use super::*;
use crate::watchtower::sample::{answer, genesis, lock, terms};

fn open(dir: &Path) -> Result<Store, Code> {
    Store::open(dir, &genesis().ledger_id()).map_err(|error| error.code)
}

fn answers(store: &Store) -> Vec<Result<Answer, String>> {
    let mut answers = Vec::new();
    store.each(|_, answer| answers.push(answer)).unwrap();
    answers
}

#[test]
fn the_newest_answer_of_a_channel_is_what_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let (old, new) = (answer(0, 1, &[], &[]), answer(0, 2, &[lock(1, 10)], &[1]));
    store.put(&old).unwrap();
    store.put(&new).unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(answers(&store), [Ok(new.clone())]);
    assert_eq!(store.get(&new.channel), Ok(new.clone()));
    store.remove(&new.channel).unwrap();
    store.remove(&new.channel).unwrap();
    assert_eq!(answers(&store), []);
    assert_eq!(store.get(&new.channel).map_err(|error| error.code), Err(Code::StoreDamaged));
}

#[test]
fn what_a_crash_left_of_an_answer_is_cleared_away_and_the_one_before_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let held = answer(0, 1, &[], &[]);
    store.put(&held).unwrap();
    let draft = store.path(&held.channel).with_extension("new");
    fs::write(&draft, b"{\"version\":1,\"ans").unwrap();
    assert_eq!(answers(&store), [Ok(held)]);
    assert!(!draft.exists());
}

#[test]
fn a_file_that_is_damaged_or_not_its_names_is_told_of_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.put(&answer(0, 1, &[], &[])).unwrap();
    let path = store.path(&terms(0).channel_id());
    fs::copy(&path, store.path(&terms(1).channel_id())).unwrap();
    fs::write(&path, b"not it").unwrap();
    let found = answers(&store);
    assert!(found.len() == 2 && found.iter().all(Result::is_err), "{found:?}");
    assert!(path.exists());
}

#[test]
fn a_directory_has_one_owner_and_one_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(open(dir.path()).err(), Some(Code::HomeLocked));
    drop(store);
    let other = Store::open(dir.path(), &LedgerId([5; 32]));
    assert_eq!(other.err().map(|error| error.code), Some(Code::WrongLedger));
    fs::write(dir.path().join("tower.json"), br#"{"version":2,"ledger":""}"#).unwrap();
    assert_eq!(open(dir.path()).err(), Some(Code::StoreDamaged));
}
