//! The half of a session that reads: decodes, verifies, and hands over to the core.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::stream::SplitStream;
use futures_util::{Stream, StreamExt};
use settlement::channel::VerifiedUpdate;
use settlement::crypto::BatchCache;
use settlement::reject::Code;
use settlement::types::{Hash, Role};
use settlement::update::Update;
use settlement::wire::{Hello, Message, SignIn};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use super::session::{Asked, Socket, decode, said_goodbye};
use super::{Broken, Connection, Link, Peer};
use crate::client::LAST_WORDS;
use crate::client::core::{CoreInput, CoreQueue};
use crate::wallet::Input;

/// After this long without a word the hub is taken to be gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Frames that are handed to the core together.
const FRAMES_TOGETHER: usize = 256;
/// Batches of the hub's signatures that are remembered.
const CACHED_BATCHES: usize = 1_024;

/// The half that reads.
pub(super) struct Reader {
    peer: Arc<Peer>,
    connection: usize,
    session: u64,
    core: CoreQueue,
    asked: Asked,
    control: mpsc::Sender<Message>,
    ours: Hash,
    greeted: bool,
    signed_in: usize,
    link: watch::Sender<Link>,
    cache: BatchCache,
}

impl Reader {
    pub(super) fn new(
        connection: &Connection,
        asked: Asked,
        control: mpsc::Sender<Message>,
        ours: Hash,
    ) -> Reader {
        Reader {
            peer: connection.peer.clone(),
            connection: connection.number,
            session: connection.session,
            core: connection.core.clone(),
            asked,
            control,
            ours,
            greeted: false,
            signed_in: 0,
            link: connection.link.clone(),
            cache: BatchCache::new(CACHED_BATCHES),
        }
    }

    pub(super) async fn run(&mut self, stream: &mut SplitStream<Socket>) -> Broken {
        let broken = self.read(stream.ready_chunks(FRAMES_TOGETHER)).await;
        broken.err().unwrap_or_else(|| Broken::socket("the hub hung up"))
    }

    async fn read<S>(&mut self, mut frames: S) -> Result<(), Broken>
    where
        S: Stream<Item = Vec<tungstenite::Result<Frame>>> + Unpin,
    {
        loop {
            let together = timeout(SILENCE_MAX, frames.next()).await;
            let together = together.map_err(|_| Broken::socket("the hub is silent"))?;
            let together = together.ok_or_else(|| Broken::socket("the hub hung up"))?;
            let mut inputs = Vec::with_capacity(together.len());
            let mut end = Ok(());
            for frame in together {
                match self.take(frame, &mut inputs) {
                    Ok(None) => {}
                    // In order: what came before the sign-in's answer goes to the core before it.
                    Ok(Some(connected)) => {
                        self.hand_over(std::mem::take(&mut inputs)).await?;
                        self.send(connected).await?;
                    }
                    Err(broken) => {
                        end = Err(broken);
                        break;
                    }
                }
            }
            self.hand_over(inputs).await?;
            end?;
        }
    }

    async fn hand_over(&self, inputs: Vec<Input>) -> Result<(), Broken> {
        if inputs.is_empty() {
            return Ok(());
        }
        self.send(CoreInput::FromHub { connection: self.connection, inputs }).await
    }

    async fn send(&self, input: CoreInput) -> Result<(), Broken> {
        if self.core.send(input).await.is_ok() {
            return Ok(());
        }
        // The client is ending: the other half ends the session once all is said.
        tokio::time::sleep(LAST_WORDS).await;
        Err(Broken::new(Code::ShuttingDown, "the client is shutting down"))
    }

    /// Takes one frame; what it means for the core is added to `inputs` or returned.
    fn take(
        &mut self,
        frame: tungstenite::Result<Frame>,
        inputs: &mut Vec<Input>,
    ) -> Result<Option<CoreInput>, Broken> {
        let Some(message) = decode(frame.map_err(Broken::socket)?)? else {
            return Ok(None);
        };
        match message {
            Message::Hello(hello) => return self.signed_in(&hello).map(Some),
            Message::Goodbye { code } => return Err(said_goodbye(code)),
            Message::Ping { number, pong: false } => {
                // A hub that asks more often than it reads gets fewer answers.
                let _ = self.control.try_send(Message::Ping { number, pong: true });
            }
            Message::Ping { .. } => {}
            Message::Relay { to, from, ciphertext } => {
                inputs.push(Input::Relay { to, from, ciphertext });
            }
            Message::Update(update) => inputs.push(self.verify(update)),
            other => inputs.push(Input::Message(Box::new(other))),
        }
        Ok(None)
    }

    fn verify(&mut self, update: Update) -> Input {
        let (channel, seq) = (update.channel, update.proof.value.seq);
        match VerifiedUpdate::check(update, &self.peer.hub_key, &mut self.cache) {
            Ok(verified) => Input::Update(Box::new(verified)),
            Err(code) => Input::BadUpdate { channel, seq, code },
        }
    }

    /// The hub has answered a sign-in. Its own key is checked once: the connection stays the same.
    fn signed_in(&mut self, hello: &Hello) -> Result<CoreInput, Broken> {
        if !self.greeted {
            let expected = SignIn {
                ledger: self.peer.ledger,
                hub: self.peer.hub,
                challenge: self.ours,
                key: self.peer.hub,
                role: Role::Hub,
            };
            if !expected.is_proved_by(hello) {
                return Err(Broken::new(Code::BadSignIn, "the hub did not prove its key"));
            }
            self.greeted = true;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let wallets = asked.pop_front();
        let wallets = wallets.ok_or_else(|| {
            Broken::new(Code::MalformedFrame, "the hub answered a sign-in that nobody asked for")
        })?;
        self.signed_in = self.signed_in.saturating_add(wallets.len());
        self.link.send_replace(Link::Up { wallets: self.signed_in });
        let (connection, session) = (self.connection, self.session);
        Ok(CoreInput::Connected { connection, session, wallets })
    }
}
