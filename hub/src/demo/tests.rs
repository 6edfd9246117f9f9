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
    let cheats = object["cheats"].as_array().unwrap();
    assert_eq!([&cheats[0]["who"], &cheats[1]["who"]], ["wallet", "hub"], "{object}");
    for cheat in cheats {
        assert_eq!(cheat["got"], cheat["was_due"], "{object}");
        assert_ne!(
            cheat["got"], cheat["would_have_got"],
            "there was something to be got: {object}"
        );
    }
}

/// Where closing together fails, the demo closes without the hub: the same accounts, later.
#[test]
fn channels_closed_without_the_hub_pay_out_the_same() {
    let place = Place::of(None).unwrap();
    let progress = Progress::new();
    let ended = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let scene = Scene::set(3, place.path(), &progress).await.unwrap();
        let before = scene.holdings(&[]).await.unwrap();
        scene.open_channels(&progress).await.unwrap();
        let paid = traffic::run(&scene, 1, Duration::from_millis(300), &progress).await.unwrap();
        let all: Vec<_> = scene.wallets.iter().collect();
        let waited = closing::close_alone(&all, &progress).await.unwrap();
        let after = scene.holdings(&[]).await.unwrap();
        scene.strike().await;
        (paid.completed, waited, Audit::of(&paid.books, &[], &before, &after))
    });
    let (completed, waited, audit) = ended;
    assert!(completed > 0);
    assert!(audit.conserved(), "{audit:?}");
    assert!(waited > Duration::from_secs(5), "50 blocks of 200 ms were waited for: {waited:?}");
}
