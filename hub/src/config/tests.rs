use super::*;
use settlement::types::PublicKey;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn message(source: &Source) -> String {
    format!("{:#}", load(source).expect_err("it must be refused"))
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_defaults() {
    let (_dir, path) = file("shards = 2\nlog = \"warn\"\n[fees]\nbase = 5\nppm = 7\n");
    let mut flags = toml::Table::new();
    flags.insert("shards".into(), 4.into());
    let source = Source {
        file: Some(path),
        env: env(&[("HUB_SHARDS", "3"), ("HUB_FEES__PPM", "9"), ("PATH", "/bin")]),
        flags,
    };
    let config = load(&source).unwrap();
    assert_eq!((config.shards, config.log.as_str()), (4, "warn"));
    assert_eq!((config.fees.base, config.fees.ppm, config.fees.id), (5, 9, 1));
    assert_eq!(load(&Source::default()).unwrap(), Config::default());
}

#[test]
fn an_unknown_key_is_named_with_its_source() {
    let (_dir, path) = file("[fees]\nbsae = 5\n");
    let text = message(&Source { file: Some(path), ..Source::default() });
    assert!(text.contains("bsae") && text.contains("hub.toml"), "{text}");
    for (name, key) in [("HUB_SHRADS", "shrads"), ("HUB_FEES__BSAE", "bsae")] {
        let text = message(&Source { env: env(&[(name, "3")]), ..Source::default() });
        assert!(text.contains(key) && text.contains("HUB_*"), "{text}");
    }
}

#[test]
fn a_table_may_set_some_of_its_keys_and_leave_the_others() {
    for (table, key, value) in [
        ("fees", "base", 7),
        ("channels", "deposit_min", 7),
        ("payments", "queue_max", 7),
        ("connections", "most", 7),
        ("storage", "cache_bytes", 7 << 20),
    ] {
        let (_dir, path) = file(&format!("[{table}]\n{key} = {value}\n"));
        let one = load(&Source { file: Some(path), ..Source::default() });
        assert!(one.is_ok(), "{table}: {one:?}");
        let (_dir, path) = file(&format!("[{table}]\n"));
        let none = load(&Source { file: Some(path), ..Source::default() });
        assert_eq!(none.unwrap(), Config::default(), "{table}");
    }
}

#[test]
fn what_an_orchestrator_sets_for_a_service_called_hub_is_left_alone() {
    let own = env(&[("HUB_PORT", "tcp://10.0.0.1:7400"), ("HUB_SERVICE_HOST", "10.0.0.1")]);
    assert!(load(&Source { env: own, ..Source::default() }).is_ok());
}

#[test]
fn a_public_address_needs_to_be_allowed_and_the_reason_is_said() {
    for key in ["HUB_LISTEN", "HUB_ADMIN_LISTEN"] {
        for address in ["0.0.0.0:7400", "[::]:7400", "192.0.2.1:7400"] {
            let text = message(&Source { env: env(&[(key, address)]), ..Source::default() });
            assert!(text.contains("TLS") && text.contains("--allow-public"), "{text}");
            let allowed = env(&[(key, address), ("HUB_ALLOW_PUBLIC", "true")]);
            assert!(load(&Source { env: allowed, ..Source::default() }).is_ok());
        }
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let cases = [
        ("HUB_SHARDS", "0", "shards"),
        ("HUB_SHARDS", "65", "shards"),
        ("HUB_FEES__PPM", "1000001", "fees.ppm"),
        ("HUB_CONNECTIONS__MOST", "0", "connections.most"),
        ("HUB_CONNECTIONS__KEYS", "0", "connections.keys"),
        ("HUB_CONNECTIONS__OUT_BYTES", "1000", "connections.out_bytes"),
        ("HUB_CONNECTIONS__SIGN_IN_MS", "1", "connections.sign_in_ms"),
        ("HUB_STORAGE__SEGMENT_BYTES", "1", "storage.segment_bytes"),
        ("HUB_STORAGE__CHECKPOINT_RECORDS", "1", "storage.checkpoint_records"),
        ("HUB_STORAGE__LEDGER_CHECKPOINT_BLOCKS", "9", "storage.ledger_checkpoint_blocks"),
        ("HUB_STORAGE__CACHE_BYTES", "0", "storage.cache_bytes"),
        ("HUB_VERIFY_WORKERS", "100000", "verify_workers"),
        ("HUB_PAYMENTS__QUEUE_MAX", "0", "payments.queue_max"),
        ("HUB_PAYMENTS__QUEUE_WAIT_MS", "0", "payments.queue_wait_ms"),
        ("HUB_PAYMENTS__IDLE_MS", "0", "payments.idle_ms"),
        ("HUB_PAYMENTS__HASHES_PER_SECOND", "4095", "payments.hashes_per_second"),
        ("HUB_CHANNELS__DEPOSIT_MIN", "0", "channels.deposit_min"),
        ("HUB_CHANNELS__LOW_WATER_PPM", "1000001", "channels.low_water_ppm"),
        ("HUB_CONNECTIONS__STRANGERS", "0", "connections.strangers"),
        ("HUB_CONNECTIONS__STRANGER_MS", "0", "connections.stranger_ms"),
        ("HUB_ANCHOR_INTERVAL_MS", "0", "anchor_interval_ms"),
        ("HUB_LOG", "hub=shouting", "log"),
        ("HUB_POLICY__CLAIM_MARIGN", "90", "policy.claim_marign"),
        ("HUB_POLICY__CLAIM_MARGIN", "much", "in [policy]"),
    ];
    for (name, value, key) in cases {
        let text = message(&Source { env: env(&[(name, value)]), ..Source::default() });
        assert!(text.starts_with(key), "{text} instead of {key}");
    }
}

#[test]
fn margins_are_set_one_by_one_and_checked_together() {
    let genesis = Genesis::development("test", PublicKey([2; 33]), 0);
    let with = |key: &str, value: i64| {
        let mut config = Config::default();
        config.policy.insert(key.to_owned(), value.into());
        config.policy(&genesis)
    };
    assert_eq!(Config::default().policy(&genesis).unwrap(), Policy::development());
    assert_eq!(with("claim_margin", 31).unwrap().claim_margin, 31);
    assert_eq!(with("min_lock", 9).unwrap().min_lock, Amount(9));
    let broken = format!("{:#}", with("claim_margin", 1).unwrap_err());
    assert!(broken.contains("claim_margin >= lag"), "{broken}");
    let unknown = format!("{:#}", with("claim_marign", 1).unwrap_err());
    assert!(unknown.contains("claim_marign"), "{unknown}");
}
