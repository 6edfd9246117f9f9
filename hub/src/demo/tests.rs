use super::*;

#[test]
fn the_demo_starts_from_nothing_and_leaves_what_it_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let given = dir.path().join("demo");
    let place = Place::of(Some(&given)).unwrap();
    std::fs::write(place.path().join("file"), "x").unwrap();
    place.tidy_up().unwrap();
    assert!(given.join("file").exists());
    let Err(refused) = Place::of(Some(&given)) else { panic!("a used directory was taken") };
    assert!(format!("{refused:#}").contains("not empty"), "{refused:#}");
}

#[test]
fn a_temporary_directory_is_gone_afterwards() {
    let place = Place::of(None).unwrap();
    let path = place.path().to_owned();
    assert!(path.exists());
    place.tidy_up().unwrap();
    assert!(!path.exists());
}

/// The whole demo, small: real sockets, real files, a real ledger.
#[test]
fn a_small_demo_loses_nothing() {
    let args = DemoArgs { wallets: 5, seconds: 1, outstanding: 2, data_dir: None, json: true };
    let place = Place::of(None).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(play(&args, place.path())).unwrap();
    let object = serde_json::to_value(&report).unwrap();
    assert!(report.is_good(), "{object}");
    assert_eq!(object["conserved"], true, "{object}");
    assert!(object["payments_completed"].as_u64().unwrap() > 10, "{object}");
    assert_eq!(object["supply_before"], object["supply_after"]);
}
