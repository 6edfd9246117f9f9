//! What `deploy/` says about flags, files, addresses, settings, routes and messages is what the
//! programs have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by a panic"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hub::config::{Config, Source, load};
use settlement::params::{Genesis, Policy};
use settlement::types::PublicKey;
use tests::written::{blocks, call_of, commands, understood};

const DATA: &str = "/var/lib/hub";
const SETTINGS: &str = "/etc/hub/hub.toml";
const PROGRAM: &str = "/usr/local/bin/hub";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// The values of `KEY=…` in a unit, or of `KEY …` in a Dockerfile.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let after = |line: &'a str| line.trim().strip_prefix(key).map(str::trim);
    text.lines().filter_map(after).collect()
}

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let found = values(text, key);
    assert_eq!(found.len(), 1, "{key} stands there once: {found:?}");
    found[0]
}

/// `["a", "b"]` as a Dockerfile writes it.
fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap()
}

fn from_file(file: PathBuf) -> Config {
    load(&Source { file: Some(file), ..Source::default() }).unwrap()
}

fn with_defaults() -> Config {
    Config { data_dir: DATA.into(), ..Config::default() }
}

/// `hub.toml` with every setting behind such a mark taken out of its comment: `#` for defaults, `# `
/// for examples.
fn uncommented(mark: &str) -> String {
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.contains(" = ")
            && key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_')
    };
    let shipped = text("hub.toml");
    let lines = shipped.lines().map(|line| match line.strip_prefix(mark) {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn load_text(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = load(&Source { file: Some(file), ..Source::default() });
    loaded.map_err(|error| format!("{error:#}"))
}

/// Every key that the hub knows in this table, as it says itself when it is given another one.
fn known_keys(table: &str) -> BTreeSet<String> {
    let refused = load_text(&format!("{table}\nno_such_key = 1\n")).unwrap_err();
    let list = refused.split("expected ").nth(1).unwrap();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_settings_as_shipped_are_the_defaults() {
    assert_eq!(from_file(path("hub.toml")), with_defaults());
}

#[test]
fn every_setting_is_shown_with_its_default() {
    let shown = load_text(&uncommented("#")).unwrap();
    let genesis = Genesis::standard("any", PublicKey([2; 33]), 0);
    assert_eq!(shown.policy(&genesis).unwrap(), Policy::standard());
    assert_eq!(Config { policy: toml::Table::new(), ..shown }, with_defaults());
    let examples = load_text(&uncommented("# ")).unwrap();
    assert!(examples.ledger.is_some() && examples.ledger_public.is_some());

    let parse = |mark| toml::from_str::<toml::Table>(&uncommented(mark)).unwrap();
    let (mut shown, examples) = (parse("#"), parse("# "));
    shown.extend(examples.into_iter().filter(|(_, value)| !value.is_table()));
    assert_eq!(shown.keys().cloned().collect::<BTreeSet<_>>(), known_keys(""));
    for (name, table) in shown.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        let shown: BTreeSet<String> = table.keys().cloned().collect();
        let known = if name == "policy" { margins() } else { known_keys(&format!("[{name}]")) };
        assert_eq!(shown, known, "[{name}]");
    }
}

fn margins() -> BTreeSet<String> {
    let policy = serde_json::to_value(Policy::standard()).unwrap();
    policy.as_object().unwrap().keys().cloned().collect()
}

#[test]
fn the_unit_starts_the_program_on_the_directory_that_it_may_write_to() {
    let unit = text("hub.service");
    let start = value(&unit, "ExecStart=");
    assert!(start.starts_with(PROGRAM), "{start}");
    assert!(start.ends_with(&format!("--config {SETTINGS}")), "{start}");
    understood(&call_of(start).unwrap()).unwrap();
    assert_eq!(value(&unit, "ReadWritePaths="), DATA);
    assert_eq!(format!("/var/lib/{}", value(&unit, "StateDirectory=")), DATA);
    for line in ["NoNewPrivileges=true", "ProtectSystem=strict", "MemoryDenyWriteExecute=true"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // One file descriptor for each connection, and as many again.
    let files: usize = value(&unit, "LimitNOFILE=").parse().unwrap();
    assert!(files >= 2 * Config::default().connections.most);
}

#[test]
fn the_image_starts_the_program_and_asks_for_its_health() {
    let image = text("Dockerfile");
    let entry = list(value(&image, "ENTRYPOINT "));
    assert_eq!(entry, [PROGRAM]);
    let commands = values(&image, "CMD ");
    let [health, run] = commands[..] else { panic!("a health check and a start: {commands:?}") };
    let run = [entry, list(run)].concat();
    for (call, word) in [(list(health), "health"), (run, "run")] {
        let call = call_of(&call.join(" ")).unwrap();
        assert_eq!(call[1..], [word, "--config", SETTINGS]);
        understood(&call).unwrap();
    }
    assert!(image.contains("HEALTHCHECK"));
    assert!(image.lines().any(|line| line == format!("COPY deploy/hub.toml {SETTINGS}")));
    assert_eq!(value(&image, "VOLUME "), DATA);
    assert!(values(&image, "FROM ").last().unwrap().ends_with(":nonroot"));
    let ports = [Config::default().listen.port(), Config::default().admin_listen.port()];
    assert_eq!(value(&image, "EXPOSE "), ports.map(|port| port.to_string()).join(" "));
    // The compiler is the one that the workspace asks for.
    let minimum = include_str!("../../Cargo.toml").lines().find(|l| l.starts_with("rust-version"));
    let minimum = minimum.unwrap().split('"').nth(1).unwrap();
    assert!(values(&image, "FROM ")[0].starts_with(&format!("rust:{minimum}-")));
}

#[test]
fn compose_sets_what_the_hub_knows() {
    let compose = text("compose.yaml");
    let variables = compose.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        let ours = name.starts_with("HUB_");
        ours.then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
    });
    let variables: Vec<(String, String)> = variables.collect();
    assert!(variables.len() >= 4, "{variables:?}");
    let file = Some(path("hub.toml"));
    let config = load(&Source { file, env: variables, ..Source::default() }).unwrap();
    assert!(config.development && config.allow_public);
    for address in [config.listen, config.admin_listen] {
        let port = address.port();
        assert!(address.ip().is_unspecified(), "reachable from outside the container");
        let published = format!("- 127.0.0.1:{port}:{port}");
        assert!(compose.lines().any(|line| line.trim() == published), "{published}");
    }
    assert!(compose.lines().any(|line| line.trim() == format!("- data:{DATA}")));
}

#[test]
fn every_command_in_the_guide_is_understood() {
    let guide = text("README.md");
    let scripts = blocks(&guide).into_iter().filter(|block| block.language == "sh");
    let lines: Vec<String> = scripts.flat_map(|block| commands(&block.text)).collect();
    let calls: Vec<Vec<String>> = lines.iter().filter_map(|line| call_of(line)).collect();
    assert!(calls.len() >= 6, "{calls:?}");
    for call in &calls {
        understood(call).unwrap();
    }
    for (from, to) in [("hub.toml", SETTINGS), ("hub.service", "/etc/systemd/system/hub.service")] {
        let installs = |line: &&String| line.contains(&format!("deploy/{from} {to}"));
        assert!(lines.iter().any(|line| installs(&line)), "deploy/{from} goes to {to}");
    }
    let programs = Path::new(PROGRAM).parent().unwrap().display().to_string();
    assert!(lines.iter().any(|line| line.ends_with(&format!("target/release/ledger {programs}/"))));
}
