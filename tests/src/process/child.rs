//! One process: what it prints, line by line, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{PATIENCE, eventually};

/// The most lines of its log that are shown when a test fails.
const LOG_SHOWN: usize = 60;

#[derive(Default)]
struct Printed {
    out: Vec<String>,
    err: Vec<String>,
    /// How many of the two streams have ended.
    ended: usize,
}

#[derive(Default)]
struct Output {
    printed: Mutex<Printed>,
    more: Condvar,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap()
    }

    fn read(self: Arc<Self>, stream: impl Read, put: impl Fn(&mut Printed, String)) {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            put(&mut self.lock(), String::from_utf8_lossy(&line).into_owned());
            self.more.notify_all();
        }
        self.lock().ended += 1;
        self.more.notify_all();
    }
}

/// A running process. Killed when this is dropped.
pub struct Child {
    name: String,
    process: std::process::Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Child {
    /// Starts it, with nothing on its standard input.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(name: &str, program: &Path, args: &[&str]) -> Child {
        Child::spawn(name, program, args, Stdio::null())
    }

    /// Starts it, with a standard input that [`Child::tell`] writes to.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start_told(name: &str, program: &Path, args: &[&str]) -> Child {
        Child::spawn(name, program, args, Stdio::piped())
    }

    fn spawn(name: &str, program: &Path, args: &[&str], input: Stdio) -> Child {
        let mut command = Command::new(program);
        command.args(args).env("RUST_BACKTRACE", "0").env_remove("RUST_LOG");
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = command.spawn();
        let mut process = started.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let output = Arc::new(Output::default());
        let (out, err) = (process.stdout.take().unwrap(), process.stderr.take().unwrap());
        let (for_out, for_err) = (Arc::clone(&output), Arc::clone(&output));
        let readers = vec![
            std::thread::spawn(move || for_out.read(out, |printed, line| printed.out.push(line))),
            std::thread::spawn(move || for_err.read(err, |printed, line| printed.err.push(line))),
        ];
        Child { name: name.to_owned(), process, output, readers }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When it was started without one, or has ended.
    pub fn tell(&mut self, line: &Value) {
        let input = self.process.stdin.as_mut().expect("a standard input");
        let told = writeln!(input, "{line}");
        assert!(told.is_ok(), "{} does not listen: {told:?}", self.name);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// How many lines it has printed on standard output.
    pub fn printed(&self) -> usize {
        self.output.lock().out.len()
    }

    /// The lines on its standard output so far, from this one on, as JSON.
    ///
    /// # Panics
    /// When a line is no JSON.
    pub fn json_from(&self, from: usize) -> Vec<Value> {
        let printed = self.output.lock();
        printed.out.iter().skip(from).map(|line| self.json(line)).collect()
    }

    /// The first line on its standard output, from this one on, that is JSON and fits, and the
    /// number of the line after it.
    ///
    /// # Panics
    /// When none comes in time, or the process ends before.
    pub fn wait_for(
        &self,
        what: &str,
        from: usize,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> (Value, usize) {
        let deadline = Instant::now() + within;
        let mut at = from;
        let mut printed = self.output.lock();
        loop {
            while let Some(line) = printed.out.get(at) {
                at += 1;
                let value = self.json(line);
                if fits(&value) {
                    return (value, at);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(printed.ended < 2, "{} ended, and never said: {what}", self.name);
            assert!(!left.is_zero(), "{} did not say within {within:?}: {what}", self.name);
            printed = self.output.more.wait_timeout(printed, left).unwrap().0;
        }
    }

    /// The first line on its standard output that is JSON and fits, or its log if it ends before.
    ///
    /// # Errors
    /// Its log, once it has ended without it.
    ///
    /// # Panics
    /// When neither comes in time.
    pub fn wait_for_or_end(
        &mut self,
        what: &str,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value, String> {
        super::eventually(&format!("{} to say {what}, or to end", self.name), within, || {
            let ended = self.has_ended();
            let said = self.json_from(0).into_iter().find(|line| fits(line));
            said.map(Ok).or_else(|| ended.then(|| Err(self.log())))
        })
    }

    fn json(&self, line: &str) -> Value {
        let read = serde_json::from_str(line);
        read.unwrap_or_else(|error| panic!("{} printed `{line}`: {error}", self.name))
    }

    /// Whether it has closed both streams, as it does when it ends.
    pub fn has_ended(&self) -> bool {
        self.output.lock().ended == 2
    }

    /// Everything on its standard error so far.
    pub fn log(&self) -> String {
        self.output.lock().err.join("\n")
    }

    /// Everything on its standard output so far.
    pub fn out(&self) -> String {
        self.output.lock().out.join("\n")
    }

    /// Ends it at once, as a power cut of its process would: SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait(PATIENCE)
    }

    /// Stops it where it stands, as a machine that hangs would: SIGSTOP. Its sockets stay open.
    ///
    /// # Panics
    /// When a thread of it still runs after [`PATIENCE`].
    pub fn freeze(&self) {
        self.signal("STOP");
        // It reaches one thread, which tells the others once it has a core.
        eventually("a process that stands still", PATIENCE, || self.stands_still().then_some(()));
    }

    fn stands_still(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            // One that has ended since does nothing either. What follows its name is its state.
            stat.ok().is_none_or(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
        })
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// The standard library sends SIGKILL alone.
    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(kill.is_ok_and(|status| status.success()), "no SIG{name} to {}", self.name);
    }

    /// Waits until it has written this on its standard error.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_log(&self, text: &str, within: Duration) {
        let what = format!("{} to log `{text}`", self.name);
        eventually(&what, within, || self.log().contains(text).then_some(()));
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        let mut printed = self.output.lock();
        while printed.ended < 2 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} did not end within {within:?}", self.name);
            printed = self.output.more.wait_timeout(printed, left).unwrap().0;
        }
        drop(printed);
        self.process.wait().unwrap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            return;
        }
        let printed = self.output.printed.lock().unwrap_or_else(|poison| poison.into_inner());
        for (stream, lines) in [("out", &printed.out), ("err", &printed.err)] {
            let skipped = lines.len().saturating_sub(LOG_SHOWN);
            println!("--- {} std{stream}, {skipped} lines before these left out", self.name);
            for line in &lines[skipped..] {
                println!("{line}");
            }
        }
    }
}
