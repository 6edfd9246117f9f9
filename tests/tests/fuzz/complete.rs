//! No decoder is missing from the table: whatever the source says can be deserialized, and each
//! function that is named like a decoder, is in it, is reached by one that is, or is named here with
//! the reason why not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tests::fuzz::table;

/// Private types and functions, and the decoder in the table that reaches them.
const WITHIN: &[(&str, &str)] = &[
    ("HoldBytes", "channel::Hold"),
    ("OnLedger", "channel::Channel"),
    ("Seen", "channel::Channel"),
    ("Proven", "channel::Channel"),
    ("ProvenBytes", "channel::Channel"),
    ("ByLock", "channel::Channel"),
    ("Rare", "channel::Channel"),
    ("ChannelRow", "Store::open"),
    ("DirectionRow", "Store::open"),
    ("Record", "read_record"),
    ("$name", "Hash"),
    ("Bounded", "update::Payload"),
    ("Exposed", "Wallet::restore"),
    ("GivenUp", "Wallet::restore"),
    ("Refused", "Wallet::restore"),
    ("Followed", "Wallet::restore"),
    ("SessionId", "SessionId::from_str"),
    ("Receipt", "Receipt::from_json"),
    ("Entry", "wallet::Record"),
    ("Pair", "Restoring::row"),
    ("Version", "Export::read"),
    ("Config", "config::load"),
    ("Fees", "config::load"),
    ("Channels", "config::load"),
    ("Connections", "config::load"),
    ("Storage", "config::load"),
    ("PolicyTable", "config::load"),
    ("encoding::decode", "Message::from_frame"),
    ("format::decode", "SegmentHeader::decode"),
    ("past::read_segment", "SegmentHeader::decode"),
    ("recover::read_header", "SegmentHeader::decode"),
    ("key::from_bytes", "SigningKey::from_bytes"),
    ("key::parse", "VerifyingKey::parse"),
    ("http::parse", "Hash::from_str"),
    ("store::read_record", "read_record"),
    ("home::read_genesis", "home::read_genesis"),
    ("rows::parse", "Store::open"),
    ("rows::parse_id", "Wallet::restore"),
    ("rows::parse_channel_key", "Wallet::restore"),
    ("wire::from_frame", "Message::from_frame"),
    ("api::decode_hex", "tx::Transaction"),
    ("time::parse_rfc3339", "Challenge::from_header"),
    ("invoice::parse", "Invoice::parse"),
    ("relay::from_text", "StepToken::from_text"),
    ("challenge::from_text", "Challenge::from_header"),
    ("challenge::from_header", "Challenge::from_header"),
    ("credential::from_header", "Credential::from_header"),
    ("layers::parse", "config::load"),
];

/// What is not in the table, and why.
const OWN: &[(&str, &str)] = &[
    ("Command", "JSON that the CLI says to itself over a socket of mode 0600"),
    ("Watchtower", "as Command"),
    ("Line", "as Command"),
    ("Reply", "as Command"),
    ("Remembered", "JSON of a wallet's own home, read by serde_json alone"),
    ("UpTo", "as Remembered"),
    ("Covered", "as Remembered"),
    ("Setup", "as Remembered"),
    ("About", "as Remembered"),
    ("Status", "JSON that the CLI prints, and a test reads"),
    ("StatusChannel", "as Status"),
    ("AnchorReport", "JSON that the operator's own CLI reads from the admin address"),
    ("CloseReport", "as AnchorReport"),
    ("Problem", "JSON of an error, in the table under the type that is sent"),
    ("Format", "a word of an address, read by serde_urlencoded alone"),
    ("EventsQuery", "numbers of an address, read by serde_urlencoded alone"),
    ("home::read_key", "32 bytes of hex in a wallet's own home"),
    ("home::read_mnemonic", "words in a wallet's own home, read by the crate bip39"),
    ("checkpoint::parse_seal", "a private file under a checksum: `settlement/src/index/tests.rs`"),
    ("checkpoint::parse_file", "as checkpoint::parse_seal"),
];

const NAMED: [&str; 7] =
    ["parse", "decode", "from_frame", "from_text", "from_header", "from_bytes", "read_"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let of_tests = ["tests", "tests.rs", "golden", "golden.rs", "fixture.rs", "sample.rs"];
        if of_tests.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$');
    &text[..end.unwrap_or(text.len())]
}

/// Types that can be deserialized, and functions that are named like decoders and are shown bytes or
/// a text.
fn decoders_in(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy();
    let (mut found, mut derived) = (BTreeSet::new(), false);
    let mut lines = text.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        // A long list of derived traits stands on lines of its own.
        derived |= line.contains("Deserialize") && !line.starts_with("use ");
        let line = line.strip_prefix("pub").map_or(line, |rest| {
            rest.trim_start_matches("(super)").trim_start_matches("(crate)").trim_start()
        });
        let item = line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum "));
        if let Some(item) = item
            && std::mem::take(&mut derived)
        {
            found.insert(identifier(item).to_owned());
        }
        if let Some((_, of)) = line.split_once("Deserialize<'de> for ") {
            derived = false;
            found.insert(identifier(of).to_owned());
        }
        let function = line.strip_prefix("const ").unwrap_or(line).strip_prefix("fn ");
        let Some(function) = function.filter(|name| NAMED.iter().any(|one| name.starts_with(one)))
        else {
            derived &= !line.ends_with('{');
            continue;
        };
        let shown = ["bytes: &[u8]", "bytes: [u8", "text: &str", "frame: &[u8]", "value: &str"];
        let shown = shown.iter().chain(&["hex: &str", "rest: &[u8]", "line: &str", "path: &Path"]);
        let next = lines.peek().copied().unwrap_or_default();
        if shown.clone().any(|one| function.contains(one) || next.contains(one))
            || function.contains("key: &PublicKey")
        {
            found.insert(format!("{stem}::{}", identifier(function)));
        }
    }
    found
}

fn all_decoders() -> BTreeSet<String> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for room in ["settlement/src", "client-sdk/src", "hub/src"] {
        sources(&top.join(room), &mut files);
    }
    files.iter().flat_map(|file| decoders_in(file)).collect()
}

#[test]
fn no_decoder_is_missing_from_the_table() {
    let table = table::all();
    let names: BTreeSet<&str> = table.iter().map(|decoder| decoder.name).collect();
    let last = |name: &str| name.split('<').next().unwrap().rsplit("::").next().unwrap().to_owned();
    let types: BTreeSet<String> = names.iter().map(|name| last(name)).collect();
    for (_, through) in WITHIN {
        assert!(names.contains(through), "{through} is not in the table");
    }
    let elsewhere: BTreeSet<&str> = WITHIN.iter().chain(OWN).map(|(name, _)| *name).collect();
    let all = all_decoders();
    let known = |name: &String| types.contains(name) || elsewhere.contains(name.as_str());
    let missing: Vec<&String> = all.iter().filter(|name| !known(name)).collect();
    assert!(missing.is_empty(), "not in tests/src/fuzz/table.rs: {missing:?}");
    let gone: Vec<&&str> = elsewhere.iter().filter(|name| !all.contains(**name)).collect();
    assert!(gone.is_empty(), "named here, but not in the source: {gone:?}");
    assert!(all.len() > 150 && table.len() < 256, "{} of {}", all.len(), table.len());
}
