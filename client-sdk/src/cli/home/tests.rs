use clap::Parser;
use std::fs::Permissions;

use super::*;

/// BIP-39's own test vector for entropy of all zeros.
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                     abandon abandon about";

fn init_at(dir: &Path, words: Option<&Path>) -> Result<serde_json::Value, ClientError> {
    let args = ["wallet", "--home", dir.to_str().unwrap(), "--hub", "http://127.0.0.1:1", "status"];
    let args = Args::try_parse_from(args).unwrap();
    let mut shown = None;
    init(&Home::at(dir.to_path_buf()), &args, words, |line| {
        assert!(!dir.join("wallet.key").exists(), "the words come first");
        shown = Some(line.json.clone());
        Ok(())
    })?;
    Ok(shown.expect("the words were shown"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_words_alone_bring_back_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let first = init_at(&dir.path().join("a"), None).unwrap();
    let file = dir.path().join("words");
    let words = first["mnemonic"].as_str().unwrap();
    fs::write(&file, format!("  {}\n", words.to_uppercase().replace(' ', "\n"))).unwrap();
    let second = init_at(&dir.path().join("b"), Some(&file)).unwrap();
    assert_eq!(first["public_key"], second["public_key"]);
    let kept = Home::at(dir.path().join("b")).key().unwrap().public();
    assert_eq!(first["public_key"], kept.to_string());
    let homes = ["a", "b"].map(|name| Home::at(dir.path().join(name)).remembered().unwrap());
    assert_eq!(homes.map(|kept| kept.made_here), [true, false]);
}

/// Whoever changes this loses everybody's wallets.
#[test]
fn the_derivation_is_frozen() {
    let words = Mnemonic::parse_in_normalized(Language::English, WORDS).unwrap();
    let seed = hex::encode(words.to_seed_normalized(""));
    assert!(seed.starts_with("5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"));
    let public = key_of(&words).unwrap().public().to_string();
    assert_eq!(public, "028540d2c003f2682a38d621cb8050680acbfb8ea0a4cd9e281a51d5d81aa22230");
}

#[test]
fn what_is_secret_is_readable_by_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    init_at(&home, None).unwrap();
    assert_eq!(mode(&home), 0o700);
    assert_eq!(mode(&home.join("wallet.key")), 0o600);
    assert_eq!(mode(&home.join("wallet.json")), 0o600);
}

#[test]
fn a_wallet_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    init_at(&home, None).unwrap();
    let before = fs::read(home.join("wallet.key")).unwrap();
    let args = Args::try_parse_from(["wallet", "status"]).unwrap();
    // One that comes between the look and the end is no better.
    fs::rename(home.join("wallet.key"), home.join("aside")).unwrap();
    let beaten = init(&Home::at(home.clone()), &args, None, |_| {
        fs::rename(home.join("aside"), home.join("wallet.key")).unwrap();
        Ok(())
    });
    for refused in [beaten, init_at(&home, None).map(|_| ())] {
        assert_eq!(refused.unwrap_err().code, Code::HomeExists);
        assert_eq!(fs::read(home.join("wallet.key")).unwrap(), before);
    }
}

#[test]
fn words_that_are_no_mnemonic_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("words");
    let longer = format!("{WORDS} about");
    let mistyped = WORDS.replace("about", "abandon");
    for words in ["", "abandon", &mistyped, &longer] {
        fs::write(&file, words).unwrap();
        let refused = init_at(&dir.path().join("home"), Some(&file)).unwrap_err();
        assert_eq!(refused.code, Code::BadArgument, "{words}");
    }
    assert!(!dir.path().join("home").exists());
}

#[test]
fn a_home_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home"));
    assert_eq!(home.own().err().map(|error| error.code), Some(Code::NoHome));
    init_at(home.dir(), None).unwrap();
    let owned = home.own().unwrap();
    assert!(matches!(owned, Owned::Here(_)));
    assert!(matches!(home.own().unwrap(), Owned::Elsewhere));
    drop(owned);
    assert!(matches!(home.own().unwrap(), Owned::Here(_)));
}

#[test]
fn there_is_no_wallet_whose_words_nobody_has_seen() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let args = ["wallet", "--home", home.to_str().unwrap(), "status"];
    let args = Args::try_parse_from(args).unwrap();
    let unseen = |_: &Line| Err(ClientError::new(Code::Internal, "cannot write"));
    let refused = init(&Home::at(home.clone()), &args, None, unseen).unwrap_err();
    assert_eq!(refused.detail, "no wallet was made: cannot write");
    assert_eq!(Home::at(home.clone()).key().unwrap_err().code, Code::NoHome);
    let left = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["wallet.json"], "and no key either");
    init_at(&home, None).unwrap();
}

#[test]
fn a_directory_that_was_there_keeps_its_mode_and_is_refused_if_others_can_look_in() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    for open_to in [0o755, 0o710, 0o701] {
        fs::set_permissions(&open, Permissions::from_mode(open_to)).unwrap();
        let refused = init_at(&open, None).unwrap_err();
        assert!(refused.detail.contains("chmod 700"), "{}", refused.detail);
        assert_eq!(mode(&open), open_to);
        assert_eq!(fs::read_dir(&open).unwrap().count(), 0);
    }
    fs::set_permissions(&open, Permissions::from_mode(0o700)).unwrap();
    init_at(&open, None).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(init_at(&open, None).unwrap_err().code, Code::HomeExists);
    assert_eq!(mode(&open), 0o750);
}

#[test]
fn a_home_that_can_not_be_looked_into_is_not_said_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "no directory").unwrap();
    let home = Home::at(file.clone());
    for refused in
        [home.key().map(|_| ()), home.own().map(|_| ()), init_at(&file, None).map(|_| ())]
    {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, Code::BadArgument, "{}", refused.detail);
        assert!(refused.detail.contains("cannot look for"), "{}", refused.detail);
    }
}
