//! A thread with its wallets and its connections: it reads what came, lets the wallets answer, and
//! writes all that with one write for each connection.

mod due;
mod ending;
mod live;
mod sign_in;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use mio::{Events, Interest, Poll, Token};
use settlement::wire::Message;

use super::fleet::Fleet;
use super::socket::{Came, Socket};
use due::{Leaving, Payments, Redemptions};
use ending::Ending;
pub use live::Live;
use sign_in::sign_in;

/// How long a turn waits at most for something to come.
const TURN: Duration = Duration::from_millis(20);
/// How often idle wallets are looked at.
const SWEEP_NS: u64 = 250_000_000;

/// What the threads are to do.
const PAY: u8 = 0;
const END: u8 = 1;

/// What the threads share.
#[derive(Debug)]
pub struct Shared {
    phase: AtomicU8,
    /// Whether all wallets have met the hub.
    pub ready: AtomicU64,
    /// Whether the end of the connections is expected.
    killed: AtomicBool,
    began: Instant,
    /// Payments a second over all threads, as bits; 0 leaves each thread its own.
    rate: AtomicU64,
}

impl Shared {
    /// Wallets that pay as soon as they have met the hub; or, after a restart, only bring to an end
    /// what is pending.
    pub fn new(paying: bool) -> Arc<Shared> {
        let phase = AtomicU8::new(if paying { PAY } else { END });
        let (ready, killed) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(Shared { phase, ready, killed, began: Instant::now(), rate: AtomicU64::new(0) })
    }

    /// Nanoseconds since the load began.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The hub is about to be killed: connections end.
    pub fn expect_the_end(&self) {
        self.killed.store(true, Relaxed);
    }

    /// From now on so many payments fall due in a second, and none of those before.
    pub fn set_rate(&self, rate: f64) {
        self.rate.store(rate.to_bits(), Relaxed);
    }

    /// No new payments: what is pending is brought to an end.
    pub fn end(&self) {
        self.phase.store(END, Relaxed);
    }
}

/// How much one thread is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Its share of the payments a second, and payments under one signature on the average: in open
    /// loop.
    pub rate: Option<(f64, f64)>,
    /// Its share of the wallets that leave their channel in a second.
    pub leaving: Option<f64>,
    /// Its share of the redemptions of streams that fall due in a second.
    pub redemptions: Option<f64>,
    /// Its share of a rate that is set for all threads together.
    pub share: f64,
    /// Payments under one signature.
    pub per_signature: f64,
}

/// A thread that runs.
pub struct Generator {
    /// What it has counted.
    pub live: Arc<Live>,
    thread: JoinHandle<(Fleet, Result<()>)>,
}

impl Generator {
    /// Connects this fleet to the hub at `host` and lets it go.
    pub fn start(
        mut fleet: Fleet,
        host: String,
        connections: usize,
        pace: Pace,
        shared: Arc<Shared>,
    ) -> Generator {
        let live = Arc::<Live>::default();
        let (told, wrong_of) = (live.clone(), live.clone());
        let thread = std::thread::spawn(move || {
            fleet.part();
            let done = Loop::connect(&mut fleet, &host, connections, shared, told)
                .and_then(|turning| turning.run(pace));
            if let Err(wrong) = &done {
                wrong_of.wrong.get_or_init(|| format!("{wrong:#}"));
            }
            (fleet, done)
        });
        Generator { live, thread }
    }

    /// Whether all of them go on, as they do until they are told to end.
    ///
    /// # Errors
    /// Why one does not: the hub broke a rule, or a connection broke. It is not waited for the others.
    pub fn all_go_on(generators: &[Generator]) -> Result<()> {
        let Some(ended) = generators.iter().find(|it| it.thread.is_finished()) else {
            return Ok(());
        };
        let wrong = ended.live.wrong.get().map(String::as_str);
        bail!("{}", wrong.unwrap_or("the wallets ended before they should"))
    }

    /// Waits for its end and gives the fleet back.
    ///
    /// # Errors
    /// When the hub broke a rule, or a connection broke that should not have.
    pub fn join(self) -> Result<Fleet> {
        let (fleet, done) = self.thread.join().map_err(|_| anyhow!("a thread of wallets died"))?;
        done?;
        Ok(fleet)
    }
}

struct Loop<'a> {
    fleet: &'a mut Fleet,
    poll: Poll,
    sockets: Vec<Socket>,
    /// Which of them have something to write.
    to_write: Vec<usize>,
    listed: Vec<bool>,
    shared: Arc<Shared>,
    live: Arc<Live>,
    closed: bool,
    /// The newest rate that was set, as bits.
    rate: u64,
}

impl<'a> Loop<'a> {
    fn connect(
        fleet: &'a mut Fleet,
        host: &str,
        connections: usize,
        shared: Arc<Shared>,
        live: Arc<Live>,
    ) -> Result<Loop<'a>> {
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(connections);
        for connection in 0..connections {
            let mut socket = sign_in(fleet, connection, host)?;
            let interest = Interest::READABLE.add(Interest::WRITABLE);
            poll.registry().register(&mut socket.stream, Token(connection), interest)?;
            sockets.push(socket);
        }
        let listed = vec![false; connections];
        let to_write = Vec::new();
        Ok(Loop { fleet, poll, sockets, to_write, listed, shared, live, closed: false, rate: 0 })
    }

    fn run(mut self, pace: Pace) -> Result<()> {
        self.fleet.look();
        for at in 0..self.fleet.wallets.len() {
            let connection = self.fleet.wallets[at].connection;
            self.fleet.meet(at, &mut self.sockets[connection]);
            self.write_later(connection);
        }
        // Something may have been read together with the sign-in.
        for at in 0..self.sockets.len() {
            self.take_in(at)?;
        }
        let mut payments =
            pace.rate.map(|(rate, each)| Payments::new(self.shared.now_ns(), rate, each));
        let mut leaving = pace.leaving.map(|rate| Leaving::new(self.shared.now_ns(), rate));
        let mut redemptions =
            pace.redemptions.map(|rate| Redemptions::new(self.shared.now_ns(), rate));
        let mut sweep_ns = 0;
        let mut ending: Option<Ending> = None;
        let mut events = Events::with_capacity(self.sockets.len().max(16));
        while !self.closed {
            let now_ns = self.shared.now_ns();
            self.fleet.look();
            let paying = self.shared.phase.load(Relaxed) == PAY;
            self.fleet.pay(paying);
            self.change_rate(&mut payments, &pace, now_ns);
            if let (Some(payments), true) = (&mut payments, paying) {
                payments.fall_due(self.fleet, now_ns);
            }
            if let Some(leaving) = &mut leaving {
                leaving.fall_due(self.fleet, now_ns);
            }
            if let (Some(redemptions), true) = (&mut redemptions, paying) {
                redemptions.fall_due(self.fleet, now_ns);
            }
            if now_ns.saturating_sub(sweep_ns) >= SWEEP_NS {
                sweep_ns = now_ns;
                self.fleet.settle_idle(now_ns);
            }
            self.turn(now_ns)?;
            if !paying && ending.get_or_insert_with(Ending::new).is_over(&mut self)? {
                return Ok(());
            }
            let due = payments.as_ref().map_or(TURN, |it| it.wait(self.shared.now_ns()));
            let wait = if self.fleet.goes_on() { Duration::ZERO } else { due };
            self.wait(&mut events, wait)?;
        }
        if self.shared.killed.load(Relaxed) { Ok(()) } else { bail!("the hub closed a connection") }
    }

    fn change_rate(&mut self, payments: &mut Option<Payments>, pace: &Pace, now_ns: u64) {
        let bits = self.shared.rate.load(Relaxed);
        if std::mem::replace(&mut self.rate, bits) != bits {
            self.fleet.forget_due();
            *payments =
                Some(Payments::new(now_ns, f64::from_bits(bits) * pace.share, pace.per_signature));
        }
    }

    /// Lets the wallets say what they want to, and writes it.
    fn turn(&mut self, now_ns: u64) -> Result<()> {
        let Loop { fleet, sockets, to_write, listed, .. } = self;
        let mut said = |at: usize| {
            if !std::mem::replace(&mut listed[at], true) {
                to_write.push(at);
            }
        };
        fleet.come_and_go(sockets, now_ns, &mut said);
        fleet.flow(sockets, now_ns, &mut said);
        fleet.pump(sockets, now_ns, &mut said);
        while let Some(at) = self.to_write.pop() {
            self.listed[at] = false;
            match self.sockets[at].flush() {
                // What is left goes when the system says that there is room again.
                Ok(_) => {}
                Err(error) => self.broken(&error)?,
            }
        }
        self.publish();
        Ok(())
    }

    fn wait(&mut self, events: &mut Events, wait: Duration) -> Result<()> {
        match self.poll.poll(events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in events.iter() {
            let Token(at) = event.token();
            if event.is_writable() && self.sockets[at].waiting() > 0 {
                self.write_later(at);
            }
            if event.is_readable() || event.is_read_closed() {
                self.read(at)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, at: usize) -> Result<()> {
        loop {
            let more = match self.sockets[at].read() {
                Ok(Some(more)) => more,
                Ok(None) => {
                    self.closed = true;
                    return Ok(());
                }
                Err(error) => return self.broken(&error),
            };
            self.take_in(at)?;
            if !more {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, at: usize) -> Result<()> {
        let now_ns = self.shared.now_ns();
        let socket = &mut self.sockets[at];
        loop {
            match socket.take()? {
                Came::Nothing => break,
                Came::Closed => {
                    self.closed = true;
                    break;
                }
                Came::Frame(range) => {
                    let message = Message::from_frame(&socket.bytes()[range])?;
                    self.fleet.hear(message, socket, now_ns)?;
                }
            }
        }
        if socket.waiting() > 0 {
            self.write_later(at);
        }
        Ok(())
    }

    fn write_later(&mut self, at: usize) {
        if !std::mem::replace(&mut self.listed[at], true) {
            self.to_write.push(at);
        }
    }

    fn broken(&mut self, error: &std::io::Error) -> Result<()> {
        self.closed = true;
        if self.shared.killed.load(Relaxed) { Ok(()) } else { bail!("a connection broke: {error}") }
    }

    fn publish(&self) {
        let (stats, live) = (&self.fleet.stats, &self.live);
        live.completed.store(stats.completed, Relaxed);
        live.failed.store(stats.failed, Relaxed);
        live.backlog.store(self.fleet.backlog() as u64, Relaxed);
        live.unmeant.store(stats.unmeant, Relaxed);
        live.redemptions.store(stats.redemptions, Relaxed);
        live.steps.store(stats.steps, Relaxed);
        live.signatures.store(stats.signatures, Relaxed);
        live.updates_heard.store(stats.updates_heard, Relaxed);
        live.checked.store(self.fleet.batches_checked(), Relaxed);
    }
}

/// The sum of a figure over all threads.
pub fn sum(generators: &[Generator], of: impl Fn(&Live) -> &AtomicU64) -> u64 {
    generators.iter().map(|generator| of(&generator.live).load(Relaxed)).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;

    /// The one that ended is not the first: nobody waits for those before it, which go on.
    #[test]
    fn why_one_thread_ended_is_told_while_others_go_on() {
        let going = Generator {
            live: Arc::default(),
            thread: std::thread::spawn(|| {
                loop {
                    std::thread::park()
                }
            }),
        };
        let mut all = vec![going];
        assert!(Generator::all_go_on(&all).is_ok());
        let thread = std::thread::spawn(|| std::panic::resume_unwind(Box::new(())));
        while !thread.is_finished() {
            std::thread::yield_now();
        }
        let live =
            Arc::new(Live { wrong: OnceLock::from("cut off".to_owned()), ..Live::default() });
        all.push(Generator { live, thread });
        let told = Generator::all_go_on(&all).map_err(|error| error.to_string());
        assert_eq!(told, Err("cut off".to_owned()));
    }
}
