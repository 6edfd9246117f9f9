//! What goes over the socket: signing in, meeting again, and taking in what the hub says.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use settlement::channel::{Effect, Now, Received, Step, VerifiedUpdate};
use settlement::crypto::{BatchCache, Signable};
use settlement::reject::Code;
use settlement::types::{Hash, Role};
use settlement::update::Update;
use settlement::wire::{Hello, Message, SignIn, VERSION};
use tokio_tungstenite::tungstenite::{self, Error};

use super::RawWallet;
use crate::process::PATIENCE;

/// How long one look at the socket takes while nothing comes.
const LOOK: Duration = Duration::from_millis(50);
/// The wallet's challenge; what the hub signs need not be a secret here.
const CHALLENGE: Hash = Hash([7; 32]);

/// What came over the socket.
#[derive(Debug)]
pub enum Heard {
    /// A message.
    Message(Box<Message>),
    /// The hub closed the connection.
    Closed,
}

impl RawWallet {
    /// Connects, signs in and meets the hub again on its channel.
    ///
    /// # Panics
    /// When the hub does not answer as it should.
    pub fn connect(&mut self) {
        self.dial();
        let hello = self.hear("the hub's greeting", |message| matches!(message, Message::Hello(_)));
        let Message::Hello(Hello { challenge, .. }) = hello else { unreachable!() };
        self.sign_in(challenge);
        let hello = self.hear("the hub's proof", |message| matches!(message, Message::Hello(_)));
        let Message::Hello(Hello { keys, .. }) = hello else { unreachable!() };
        let asked = SignIn {
            ledger: self.info.ledger,
            hub: self.info.hub,
            challenge: CHALLENGE,
            key: self.info.hub,
            role: Role::Hub,
        };
        let (key, signature) = keys.first().expect("the hub proves its key");
        assert_eq!(*key, self.info.hub);
        assert!(self.hub_key.verify(&asked.digest(), signature).is_ok());
        self.sync();
    }

    /// Connects without saying anything.
    pub fn dial(&mut self) {
        let stream = TcpStream::connect(self.hub.host()).unwrap();
        stream.set_read_timeout(Some(LOOK)).unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/v1/connect", self.hub.host());
        // A handshake that is interrupted by the timeout is taken up again.
        let mut shaken = tungstenite::client(url, stream);
        let socket = loop {
            match shaken {
                Ok((socket, _)) => break socket,
                Err(tungstenite::HandshakeError::Interrupted(middle)) => {
                    shaken = middle.handshake()
                }
                Err(error) => panic!("no WebSocket: {error}"),
            }
        };
        self.socket = Some(socket);
    }

    /// Signs in over the hub's challenge, with the wallet's own key.
    pub fn sign_in(&mut self, challenge: Hash) {
        let key = self.public();
        let asked = SignIn {
            ledger: self.info.ledger,
            hub: self.info.hub,
            challenge,
            key,
            role: Role::Wallet,
        };
        let signature = self.key.sign(&asked.digest());
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger: self.info.ledger,
            challenge: CHALLENGE,
            keys: vec![(key, signature)],
        };
        self.say(&Message::Hello(hello));
    }

    /// Shows what it holds, and takes in what the hub holds.
    ///
    /// # Panics
    /// When the two do not agree.
    pub fn sync(&mut self) {
        let channel = self.channel.id();
        let (own, yours) = self.channel.snapshot_refs();
        self.say(&Message::Sync { channel, own, yours, tip: None });
        let heard = self.hear("the hub's view", |message| matches!(message, Message::Sync { .. }));
        let Message::Sync { own, yours, .. } = heard else { unreachable!() };
        let outcome = self.channel.check_sync(&own, &yours);
        assert_eq!(outcome.lost, None, "the hub or the wallet has lost state");
        for step in &outcome.steps {
            self.channel.commit(step);
        }
        for effect in self.channel.to_resend() {
            match effect {
                Effect::SendUpdate => {
                    let update = self.in_flight();
                    self.say(&Message::Update(update));
                }
                Effect::SendReveal { id, secret } => {
                    self.say(&Message::Reveal { channel, id, secret });
                }
                _ => {}
            }
        }
    }

    /// Sends a message.
    pub fn say(&mut self, message: &Message) {
        self.say_bytes(message.to_frame());
    }

    /// Sends a frame of any bytes. That the hub has closed meanwhile is no failure.
    pub fn say_bytes(&mut self, frame: Vec<u8>) {
        self.say_frame(tungstenite::Message::Binary(frame.into()));
    }

    /// Sends a frame of text, which the protocol does not have.
    pub fn say_text(&mut self, text: &str) {
        self.say_frame(tungstenite::Message::Text(text.into()));
    }

    fn say_frame(&mut self, frame: tungstenite::Message) {
        let socket = self.socket.as_mut().expect("connected");
        match socket.send(frame) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Io(_)) => {}
            Err(error) => panic!("can't send: {error}"),
        }
    }

    /// Breaks the connection off without a word.
    pub fn hang_up(&mut self) {
        self.socket = None;
    }

    /// Breaks the connection off after the first bytes of a frame that announces more.
    pub fn hang_up_in_the_middle_of(&mut self, frame: &[u8]) {
        let length = u16::try_from(frame.len()).unwrap().to_be_bytes();
        // A binary frame, masked as a client's must be, with a mask that changes nothing.
        let head = [0x82, 0xfe, length[0], length[1], 0, 0, 0, 0];
        let socket = self.socket.as_mut().expect("connected").get_mut();
        socket.write_all(&head).unwrap();
        socket.write_all(&frame[..frame.len() / 2]).unwrap();
        self.socket = None;
    }

    /// The next message, taken in as a well-behaved wallet would.
    pub fn listen(&mut self, what: &str, within: Duration) -> Heard {
        let deadline = Instant::now() + within;
        loop {
            let socket = self.socket.as_mut().expect("connected");
            match socket.read() {
                Ok(tungstenite::Message::Binary(frame)) => {
                    let message = Message::from_frame(&frame).expect("the hub's frames decode");
                    self.take_in(&message);
                    return Heard::Message(Box::new(message));
                }
                Ok(tungstenite::Message::Close(_)) | Err(Error::ConnectionClosed) => {
                    return Heard::Closed;
                }
                Ok(_) => {}
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(Error::Io(_) | Error::Protocol(_) | Error::AlreadyClosed) => {
                    return Heard::Closed;
                }
                Err(error) => panic!("waiting for {what}: {error}"),
            }
            assert!(Instant::now() < deadline, "the hub did not say within {within:?}: {what}");
        }
    }

    /// Waits for a message, taking in everything on the way.
    ///
    /// # Panics
    /// When it does not come, or the hub closes first.
    pub fn hear(&mut self, what: &str, fits: impl Fn(&Message) -> bool) -> Message {
        loop {
            match self.listen(what, PATIENCE) {
                Heard::Message(message) if fits(&message) => return *message,
                Heard::Message(message) => {
                    let goodbye = matches!(*message, Message::Goodbye { .. });
                    assert!(!goodbye, "{message:?} instead of {what}");
                }
                Heard::Closed => panic!("the hub closed instead of saying {what}"),
            }
        }
    }

    /// What the hub says to the update with this seq.
    pub fn answer_to(&mut self, asked: u64) -> Result<u64, Code> {
        let answer = self.hear("an answer to the update", |message| match message {
            Message::Ack { seq, .. } | Message::Reject { seq, .. } => *seq == asked,
            _ => false,
        });
        match answer {
            Message::Reject { code, .. } => Err(code),
            _ => Ok(asked),
        }
    }

    /// Waits for the hub's goodbye and for the end of the connection.
    ///
    /// # Panics
    /// When it does not close, or closes without saying why.
    pub fn hear_goodbye(&mut self) -> Code {
        let mut why = None;
        while let Heard::Message(message) = self.listen("goodbye", PATIENCE) {
            if let Message::Goodbye { code } = *message {
                why = Some(code);
            }
        }
        self.socket = None;
        why.expect("the hub says why it closes")
    }

    /// The own update that awaits an answer, signed.
    pub(super) fn in_flight(&self) -> Update {
        let flight = self.channel.outgoing().in_flight.as_ref().expect("an update in flight");
        let proof = self.sign(&self.key, flight.proof);
        Update { channel: self.channel.id(), base: flight.base, ops: flight.ops(), proof }
    }

    fn take_in(&mut self, message: &Message) {
        let view = self.view_for(message);
        let now = Now { view, policy: &self.info.policy, lag: self.lag };
        let step = match message {
            Message::Update(update) => {
                let mut cache = BatchCache::new(0);
                let checked = VerifiedUpdate::check(update.clone(), &self.hub_key, &mut cache);
                let seq = update.proof.value.seq;
                let update = checked.expect("the hub signs its updates");
                let received = self.channel.check_update(&update, &now);
                let received = received.expect("the hub keeps to the rules");
                if let Received::New(step) = received {
                    self.channel.commit(&step);
                }
                self.say(&Message::Ack { channel: self.channel.id(), seq });
                None
            }
            Message::Ack { seq, .. } => Some(Step::Acked { seq: *seq }),
            Message::Reject { seq, code, .. } => Some(Step::Rejected { seq: *seq, code: *code }),
            Message::Reveal { id, secret, .. } => {
                self.channel.check_reveal(*id, secret, &now).expect("the secret fits")
            }
            Message::Fail { id, code, .. } => self.channel.check_fail(*id, *code),
            Message::Ping { number, pong: false } => {
                self.say(&Message::Ping { number: *number, pong: true });
                None
            }
            _ => None,
        };
        if let Some(step) = step {
            self.channel.commit(&step);
        }
    }

    /// The ledger is asked only where the rules look at it.
    fn view_for(&self, message: &Message) -> settlement::params::View {
        match message {
            Message::Update(_) | Message::Reveal { .. } => self.view(),
            _ => settlement::params::View::default(),
        }
    }
}
