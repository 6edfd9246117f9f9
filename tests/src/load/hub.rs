//! The hub under load: a process of its own, with its data on a disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::http::Http;
use super::options::Options;
use crate::process::child::Child;

/// How long a hub may take to start.
const START: Duration = Duration::from_secs(120);
/// How often it is asked whether it is ready.
const ASK: Duration = Duration::from_millis(2);

/// A running hub.
pub struct Hub {
    program: PathBuf,
    config: PathBuf,
    /// Milliseconds on top of each of its fdatasyncs.
    slow: Option<u64>,
    process: Child,
    /// Where wallets connect.
    pub url: String,
    admin: String,
    ledger: Option<Ledger>,
}

/// The ledger in a process of its own.
struct Ledger {
    process: Child,
    url: String,
}

impl Ledger {
    fn start(options: &Options, dir: &Path) -> Result<Ledger> {
        let program = program(options, "ledger")?;
        let data = dir.join("ledger").display().to_string();
        let args = ["run", "--development", "--listen", "127.0.0.1:0", "--data-dir", &data];
        let process = Child::start("ledger", &program, &args);
        let serving = |line: &Value| line["listening"].is_string();
        let (line, _) = process.wait_for("its address", 0, START, serving);
        let url = line["listening"].as_str().context("the ledger's address")?.to_owned();
        Ok(Ledger { process, url })
    }
}

impl Hub {
    /// Starts a hub in this directory as the options say, and waits until it takes payments.
    ///
    /// # Errors
    /// When there is no such program, or it does not start.
    pub fn start(options: &Options, dir: &Path) -> Result<Hub> {
        let slow = options.fsync_delay_ms;
        let program = program(options, if slow.is_some() { "slow-hub" } else { "hub" })?;
        let config = dir.join("hub.toml");
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let ledger = options.separate_ledger.then(|| Ledger::start(options, dir)).transpose()?;
        let at = ledger.as_ref().map(|ledger| ledger.url.as_str());
        std::fs::write(&config, settings(options, dir, at)?)?;
        let process = launch(&program, &config, slow);
        let (url, admin) = (String::new(), String::new());
        let hub = Hub { program, config, slow, process, url, admin, ledger };
        hub.wait_ready(Instant::now())
    }

    /// Ends it at once, with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again; says how long it took from its start until it was ready.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn start_again(mut self) -> Result<(Hub, Duration)> {
        let began = Instant::now();
        self.process = launch(&self.program, &self.config, self.slow);
        let hub = self.wait_ready(began)?;
        Ok((hub, began.elapsed()))
    }

    fn wait_ready(mut self, began: Instant) -> Result<Hub> {
        let serving = |line: &Value| line["listening"].is_string();
        let said = self.process.wait_for_or_end("its address", START, serving);
        let line = said.map_err(|log| anyhow!("the hub ended before it served:\n{log}"))?;
        let address = |key: &str| line[key].as_str().map(str::to_owned).context("its address");
        (self.url, self.admin) = (address("listening")?, address("admin")?);
        while Http::connect(&self.admin)?.get("/readyz").is_err() {
            if began.elapsed() > START {
                bail!("the hub is not ready after {START:?}:\n{}", self.process.log());
            }
            std::thread::sleep(ASK);
        }
        Ok(self)
    }

    /// Which program it is, how large, and when that was written: a program that was built before the
    /// last change is measured like any other.
    pub fn program(&self) -> String {
        let (name, file) = (self.program.display(), std::fs::metadata(&self.program).ok());
        let written = file.as_ref().and_then(|file| file.modified().ok()?.elapsed().ok());
        let minutes = written.map_or("at an unknown time".to_owned(), |it| {
            format!("{} minutes before", it.as_secs() / 60)
        });
        format!("{name}, {} bytes, written {minutes}", file.map_or(0, |file| file.len()))
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where the ledger is.
    pub fn ledger_url(&self) -> &str {
        self.ledger.as_ref().map_or(&self.url, |ledger| &ledger.url)
    }

    /// The process of the ledger, if it has one of its own.
    pub fn ledger_id(&self) -> Option<u32> {
        self.ledger.as_ref().map(|ledger| ledger.process.id())
    }

    /// Host and port where wallets connect.
    pub fn host(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its figures by name.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metrics(&self) -> Result<HashMap<String, f64>> {
        let body = Http::connect(&self.admin)?.get("/metrics")?;
        Ok(parse(&String::from_utf8_lossy(&body)))
    }
}

fn parse(text: &str) -> HashMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figures = lines.filter_map(|line| line.rsplit_once(' '));
    figures.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn launch(program: &Path, config: &Path, slow: Option<u64>) -> Child {
    let (config, delay) = (config.display().to_string(), slow.unwrap_or_default().to_string());
    let mut args = vec!["run", "--config", &config];
    if slow.is_some() {
        args.extend(["--fsync-delay-ms", &delay]);
    }
    Child::start("hub", program, &args)
}

/// A program beside this one, or the hub that was named.
fn program(options: &Options, name: &str) -> Result<PathBuf> {
    if let (Some(named), "hub" | "slow-hub") = (&options.hub, name) {
        ensure!(named.is_file(), "there is no program {}", named.display());
        return Ok(named.clone());
    }
    let this = std::env::current_exe()?;
    let dir = this.parent().context("a program in no directory")?;
    // Cargo puts tests one directory deeper.
    let dirs = [dir, dir.parent().unwrap_or(dir)];
    let names = [name.to_owned(), format!("test-{name}")];
    let found = dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
    found.into_iter().find(|path| path.exists()).with_context(|| {
        let dir = dir.display();
        format!("there is no `{name}` in {dir}: cargo build --release -p hub -p settlement -p tests --bins")
    })
}

/// What an operator would set for so many wallets; the rest are the defaults.
fn settings(options: &Options, dir: &Path, ledger: Option<&str>) -> Result<String> {
    let mut settings = toml::Table::new();
    let mut set = |key: &str, value: toml::Value| settings.insert(key.to_owned(), value);
    set("data_dir", dir.join("data").display().to_string().into());
    set("listen", "127.0.0.1:0".into());
    set("admin_listen", "127.0.0.1:0".into());
    set("development", true.into());
    set("log", "warn".into());
    set("shards", i64::from(options.shards).into());
    set("verify_workers", i64::try_from(options.verify_workers)?.into());
    if let Some(url) = ledger {
        set("ledger", url.into());
    }
    let mut channels = toml::Table::new();
    channels.insert("inbound_max".into(), i64::try_from(options.inbound().0)?.into());
    set("channels", channels.into());
    Ok(toml::to_string(&settings)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_with_their_labels() {
        let text = "# HELP hub_a A.\n# TYPE hub_a counter\nhub_a 12\nhub_queue{shard=\"0\"} 3\n";
        let figures = parse(text);
        assert_eq!((figures["hub_a"], figures["hub_queue{shard=\"0\"}"]), (12.0, 3.0));
        assert_eq!(figures.len(), 2);
    }
}
