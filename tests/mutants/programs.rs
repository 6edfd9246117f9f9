//! The programs of the tests, built once with the switches in them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::spawn;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::table::{Target, Test};

/// Longer than any of the tests takes.
const PATIENCE: Duration = Duration::from_secs(240);
/// The most of a panic's text that a cell of the table shows.
const SHOWN: usize = 100;

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Passed,
    /// With what its panic said.
    Failed(String),
    Endless,
}

/// What the test of the searches has printed.
pub(super) struct Said {
    pub(super) lines: Vec<String>,
    pub(super) passed: bool,
}

/// A program of tests, and where cargo would start it.
struct Program {
    path: PathBuf,
    dir: PathBuf,
}

/// All of them, by package and target.
pub(super) struct Programs(BTreeMap<(String, String), Program>);

impl Programs {
    /// Builds them, those that try out orders only if they are needed.
    pub(super) fn build(orders: bool) -> Result<Programs> {
        let files: Vec<&str> = [Target::SEARCHES].iter().chain(Target::OF_TESTS).copied().collect();
        let mut programs = built("tests/sabotage", &files)?;
        if orders {
            let lib = ("hub".to_owned(), "lib".to_owned());
            let found = built("tests/sabotage,hub/shuttle", &[])?.remove(&lib);
            let orders = found.context("the tests of orders were not built")?;
            programs.insert((lib.0, Target::ORDERS.to_owned()), orders);
        }
        Ok(Programs(programs))
    }
    /// Runs one test, with this in its environment.
    pub(super) fn run(&self, test: &Test, planted: Option<(&str, &str)>) -> Result<Ended> {
        let program = self.get(test.target.package(), test.target.name())?;
        let mut command = program.command();
        command.args(["--exact", test.path]).envs(planted);
        let Some((text, passed)) = finish(&mut command)? else { return Ok(Ended::Endless) };
        let ran = text.contains("running 1 test");
        ensure!(ran, "{} has no test {}: {text}", test.target.name(), test.path);
        Ok(if passed { Ended::Passed } else { Ended::Failed(reason(&text)) })
    }

    /// Runs the searches with this rule off.
    pub(super) fn search(&self, rule: &str) -> Result<Said> {
        let program = self.get("tests", Target::SEARCHES)?;
        let mut command = program.command();
        let test = "with_any_one_rule_off_the_searches_find_a_thief";
        command.args(["--exact", test, "--nocapture"]).env("RULE", rule);
        let ended = finish(&mut command)?;
        let (text, passed) = ended.unwrap_or_default();
        Ok(Said { lines: text.lines().map(str::to_owned).collect(), passed })
    }

    fn get(&self, package: &str, target: &str) -> Result<&Program> {
        let key = (package.to_owned(), target.to_owned());
        self.0.get(&key).with_context(|| format!("{package} has no tests {target}"))
    }
}

/// What cargo makes of the tests beside the code, and of these files of `tests/tests`.
fn built(features: &str, files: &[&str]) -> Result<BTreeMap<(String, String), Program>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--no-run", "--locked", "--message-format=json-render-diagnostics"]);
    command.args(["--features", features, "--lib"]);
    // What cargo says of this program to it. A build script that asks for it would run again, and with
    // it much of what a build from a shell has made.
    let of_this =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if of_this(&name) {
            command.env_remove(name);
        }
    }
    for package in ["settlement", "client-sdk", "hub", "tests"] {
        command.args(["-p", package]);
    }
    for file in files {
        command.args(["--test", file]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the tests can't be built");
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line).context("what cargo says")?;
        programs.extend(program(&message));
    }
    Ok(programs)
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.dir).env("RUST_BACKTRACE", "0").env_remove("PLANTED_BUG");
        command
    }
}

/// A program that cargo says it has built.
fn program(message: &Value) -> Option<((String, String), Program)> {
    let text = |place: &str| message.pointer(place).and_then(Value::as_str);
    if message.pointer("/profile/test") != Some(&Value::Bool(true)) {
        return None;
    }
    let dir = Path::new(text("/manifest_path")?).parent()?;
    let package = dir.file_name()?.to_str()?.to_owned();
    let is_lib = text("/target/kind/0")? == "lib";
    let name = if is_lib { "lib" } else { text("/target/name")? };
    let program = Program { path: text("/executable")?.into(), dir: dir.to_owned() };
    Some(((package, name.to_owned()), program))
}

/// What it printed on either stream, and whether it ended well; none if it did not end.
fn finish(command: &mut Command) -> Result<Option<(String, bool)>> {
    let started =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.context("cannot start a test")?;
    let (said, hear) = channel();
    let streams: [Option<Box<dyn Read + Send>>; 2] =
        [boxed(child.stdout.take()), boxed(child.stderr.take())];
    for mut stream in streams.into_iter().flatten() {
        let said = said.clone();
        spawn(move || {
            let mut text = Vec::new();
            // A stream that breaks off has said what it said.
            let _ = stream.read_to_end(&mut text);
            let _ = said.send(String::from_utf8_lossy(&text).into_owned());
        });
    }
    drop(said);
    let mut text = String::new();
    loop {
        match hear.recv_timeout(PATIENCE) {
            Ok(part) => text.push_str(&part),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => return end(child).map(|()| None),
        }
    }
    let status = child.wait().context("cannot wait for a test")?;
    Ok(Some((text, status.success())))
}

fn boxed<R: Read + Send + 'static>(stream: Option<R>) -> Option<Box<dyn Read + Send>> {
    stream.map(|stream| Box::new(stream) as Box<dyn Read + Send>)
}

fn end(mut child: Child) -> Result<()> {
    child.kill().and_then(|()| child.wait()).context("cannot end a test")?;
    Ok(())
}

/// The first line of what the first panic said, as a cell of a table.
fn reason(text: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let said = lines.next().unwrap_or("it ends without a word").trim();
    let mut shown: String = said.chars().take(SHOWN).collect();
    if shown.len() < said.len() {
        shown.push('…');
    }
    shown.replace('|', "\\|")
}
