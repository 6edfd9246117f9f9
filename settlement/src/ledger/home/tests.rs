//! The directory, with real files.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_development_ledger_is_made_once_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("a/b")).unwrap();
    let key = home.key().unwrap();
    assert!(home.genesis(None, false, &key).is_err(), "nothing was asked for");
    let genesis = home.genesis(None, true, &key).unwrap();
    assert_eq!(genesis.ledger_key, key.public());
    assert_eq!(home.key().unwrap().public(), key.public());
    assert_eq!(home.genesis(None, false, &key).unwrap(), genesis);
    assert_eq!(home.genesis(Some(genesis.clone()), false, &key).unwrap(), genesis);
    let other = Genesis { salt: 1, ..genesis };
    let refused = home.genesis(Some(other), false, &key).unwrap_err().to_string();
    assert!(refused.contains("another genesis"), "{refused}");
}

#[test]
fn the_key_is_its_owners_alone_and_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    home.key().unwrap();
    let path = dir.path().join("ledger.key");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for wrong in ["", "zz", &"0".repeat(64), &"0".repeat(62)] {
        fs::write(&path, wrong).unwrap();
        assert!(home.key().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_genesis_with_an_unknown_field_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let key = home.key().unwrap();
    home.genesis(None, true, &key).unwrap();
    let path = dir.path().join("genesis.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("blocks = 1\n{text}")).unwrap();
    let refused = format!("{:#}", home.genesis(None, true, &key).unwrap_err());
    assert!(refused.contains("blocks"), "{refused}");
}

#[test]
fn blocks_in_files_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path()).unwrap();
    let open = || {
        let key = home.key().unwrap();
        let genesis = home.genesis(None, true, &key).unwrap();
        home.open(genesis, key, ProducerConfig::default()).unwrap()
    };
    let mut producer = open();
    for time in 1..=3 {
        producer.produce(time * 1_000).unwrap().unwrap();
    }
    let tip = *producer.ledger().tip();
    drop(producer);
    let mut producer = open();
    assert_eq!(*producer.ledger().tip(), tip, "replayed");
    producer.checkpoint();
    drop(producer);
    let producer = open();
    assert_eq!(*producer.ledger().tip(), tip, "from the index");
    assert_eq!(
        producer.history().block(tip.height).unwrap().unwrap().header,
        *producer.tip().unwrap()
    );
}
