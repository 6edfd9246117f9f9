//! The half of a session that writes: signs, encodes, and flushes when nothing more waits.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use settlement::crypto::{Signable, Signed, SigningKey};
use settlement::reject::Code;
use settlement::types::{PublicKey, Role, Salt, Signature};
use settlement::update::Update;
use settlement::wire::{HELLO_KEYS_MAX, Hello, Message, SignIn, VERSION};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::session::{Asked, Challenges, Socket};
use super::{Batch, Broken, Connection, Outgoing, Peer};
use crate::client::members::Members;

/// This often a ping is sent.
const PING_AFTER: Duration = Duration::from_secs(20);
/// After so many signatures other tasks get their turn.
const SIGNATURES_TOGETHER: usize = 32;

/// The half that writes.
pub(super) struct Writer {
    sink: SplitSink<Socket, Frame>,
    peer: Arc<Peer>,
    members: Arc<Members>,
    connection: usize,
    session: u64,
    /// Whether what is queued was said in this session.
    met: bool,
    /// The number of the first wallet that was not asked to sign in yet.
    next_member: u32,
    asked: Asked,
    challenges: Challenges,
    signed: usize,
}

impl Writer {
    pub(super) fn new(
        connection: &Connection,
        sink: SplitSink<Socket, Frame>,
        asked: Asked,
        challenges: Challenges,
    ) -> Writer {
        Writer {
            sink,
            peer: connection.peer.clone(),
            members: connection.members.clone(),
            connection: connection.number,
            session: connection.session,
            met: false,
            next_member: 0,
            asked,
            challenges,
            signed: 0,
        }
    }

    pub(super) async fn run(
        &mut self,
        batches: &mut mpsc::Receiver<Batch>,
        control: mpsc::Receiver<Message>,
    ) -> Broken {
        let broken = self.write(batches, control).await;
        broken.err().unwrap_or_else(|| Broken::new(Code::ShuttingDown, "the client is gone"))
    }

    /// Ends without an error when the client is gone.
    async fn write(
        &mut self,
        batches: &mut mpsc::Receiver<Batch>,
        mut control: mpsc::Receiver<Message>,
    ) -> Result<(), Broken> {
        let mut joined = self.members.watch();
        let mut pings = tokio::time::interval(PING_AFTER);
        pings.reset();
        self.sign_in().await?;
        loop {
            self.sink.flush().await.map_err(Broken::socket)?;
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => self.feed_all(batch).await?,
                    None => return Ok(()),
                },
                reply = control.recv() => match reply {
                    Some(message) => self.feed(&message).await?,
                    None => return Ok(()),
                },
                changed = joined.changed() => match changed {
                    Ok(()) => self.sign_in().await?,
                    Err(_) => return Ok(()),
                },
                _ = pings.tick() => self.feed(&Message::Ping { number: 0, pong: false }).await?,
            }
            // Whatever waits already goes out with the same write.
            while let Ok(batch) = batches.try_recv() {
                self.feed_all(batch).await?;
            }
        }
    }

    async fn feed_all(&mut self, batch: Batch) -> Result<(), Broken> {
        for outgoing in batch {
            let message = match outgoing {
                Outgoing::Met(session) => {
                    self.met = session == self.session;
                    continue;
                }
                _ if !self.met => continue,
                Outgoing::Message(message) => message,
                Outgoing::Update { index, channel, base, ops, proof } => {
                    let Some(member) = self.members.get(index) else {
                        continue;
                    };
                    let proof = Signed::alone(&member.key, proof, fresh_salt()?);
                    self.signed = self.signed.wrapping_add(1);
                    if self.signed.is_multiple_of(SIGNATURES_TOGETHER) {
                        tokio::task::yield_now().await;
                    }
                    Message::Update(Update { channel, base, ops, proof })
                }
            };
            self.feed(&message).await?;
        }
        Ok(())
    }

    async fn feed(&mut self, message: &Message) -> Result<(), Broken> {
        self.sink.feed(Frame::Binary(message.to_frame().into())).await.map_err(Broken::socket)
    }

    /// Asks the hub to sign in the wallets that were added since the last time.
    async fn sign_in(&mut self) -> Result<(), Broken> {
        let joined = self.members.of_connection(self.connection, self.next_member);
        for together in joined.chunks(HELLO_KEYS_MAX) {
            let keys = together.iter().map(|(_, key)| self.prove(key)).collect();
            let hello = Hello {
                version_min: VERSION,
                version_max: VERSION,
                features: 0,
                ledger: self.peer.ledger,
                challenge: self.challenges.ours,
                keys,
            };
            let numbers: Vec<u32> = together.iter().map(|(index, _)| *index).collect();
            self.next_member = numbers.last().map_or(self.next_member, |last| last + 1);
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(numbers);
            self.feed(&Message::Hello(hello)).await?;
        }
        Ok(())
    }

    fn prove(&self, key: &SigningKey) -> (PublicKey, Signature) {
        let sign_in = SignIn {
            ledger: self.peer.ledger,
            hub: self.peer.hub,
            challenge: self.challenges.theirs,
            key: key.public(),
            role: Role::Wallet,
        };
        (key.public(), key.sign(&sign_in.digest()))
    }

    pub(super) async fn last_words(&mut self, message: Message) -> Result<(), Broken> {
        self.feed(&message).await?;
        self.sink.flush().await.map_err(Broken::socket)?;
        self.sink.close().await.map_err(Broken::socket)
    }
}

fn fresh_salt() -> Result<Salt, Broken> {
    let mut salt = Salt([0; 16]);
    let filled = getrandom::fill(&mut salt.0);
    filled.map_err(|_| Broken::new(Code::Internal, "the system gives no randomness"))?;
    Ok(salt)
}
