//! The one task that guards: takes answers, follows the ledger, and brings what has to be brought.
//!
//! One task decides, so there is one truth about each channel; what it asks of the ledger, and what
//! it brings, is under way for many channels at once. Everything that comes from the ledger is asked
//! for again when it fails; nothing that waits for it holds up the deadline of another channel for
//! longer than one request takes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::state_proof::StateProof;
use settlement::types::{ChannelId, Height};
use tokio::sync::mpsc;

use super::bring::{Bearer, Brought, Came};
use super::store::Store;
use super::tell::Teller;
use super::{Ground, HandIn, HandedIn, Held, NotTaken, Told};
use crate::client::{ClientError, clock_ms};
use crate::follower::{FollowError, Follower, HeaderCheck};
use crate::ledger_client::LedgerError;
use crate::watchtower::post::Sight;
use crate::watchtower::{CheckedAnswer, Move, NoAnswer, Post};

/// How long the ledger may wait for a block before it answers that there is none.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait before a ledger that fails is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How many state proofs are asked for at once.
const TOGETHER: usize = 16;

pub(super) struct Desk {
    ground: Ground,
    store: Arc<Store>,
    post: Post,
    bearer: Bearer,
    /// The newest block that was followed.
    height: Height,
    /// Closing channels of which it was told that they are answered, so that it is told once.
    answered: BTreeSet<ChannelId>,
    /// The last trouble that was told, until the ledger gives a block again.
    trouble: Option<Told>,
    teller: Teller,
}

/// How a channel stands, as the ledger has proved or said.
enum Stands {
    Live(Box<StateProof>),
    Gone,
}

impl Desk {
    pub(super) fn new(
        ground: Ground,
        store: Arc<Store>,
        post: Post,
        key: Option<SigningKey>,
        tell: mpsc::Sender<Told>,
    ) -> Desk {
        let bearer = Bearer::new(ground.clone(), key);
        let (height, answered, trouble) = (Height(0), BTreeSet::new(), None);
        Desk { ground, store, post, bearer, height, answered, trouble, teller: Teller::new(tell) }
    }

    /// Runs until it is stopped, or nobody is there any more who could hand in or be told.
    pub(super) async fn run(
        mut self,
        refused: Vec<Told>,
        mut waiting: mpsc::Receiver<HandIn>,
        listening: Option<String>,
    ) {
        for told in refused {
            self.teller.say(told).await;
        }
        let mut follower = self.start().await;
        self.look_at_due().await;
        let (ledger, channels) = (self.ground.id, self.post.len());
        self.teller.say(Told::Running { listening, ledger, channels }).await;
        loop {
            let blocks = tokio::select! {
                asked = waiting.recv() => {
                    let Some(HandIn { answers, answered }) = asked else { return };
                    let handed_in = self.take(answers).await;
                    // Whoever asked may have gone.
                    let _ = answered.send(handed_in);
                    None
                }
                blocks = follower.blocks(WAIT, clock_ms) => Some(blocks),
            };
            match blocks {
                None => {}
                Some(Ok(blocks)) => {
                    for block in blocks {
                        self.height = block.header.header.height;
                        self.trouble = None;
                        let sights = self.post.see(&block);
                        self.tell_sights(sights).await;
                    }
                }
                Some(Err(error)) => self.trouble_following(&error).await,
            }
            self.look_at_due().await;
        }
    }

    /// Tells of a trouble, unless it was the last thing that was told; whether it is that the ledger
    /// can't be reached.
    async fn trouble(&mut self, channel: Option<ChannelId>, error: &LedgerError) -> bool {
        let (code, detail) = match error {
            LedgerError::Refused(problem) => (problem.code, problem.detail.clone()),
            LedgerError::Unreachable(why) => (Code::LedgerUnavailable, why.clone()),
        };
        self.tell_trouble(channel, code, detail).await;
        matches!(error, LedgerError::Unreachable(_))
    }

    async fn tell_trouble(&mut self, channel: Option<ChannelId>, code: Code, detail: String) {
        let told = Told::Trouble { channel, code, detail };
        if self.trouble.as_ref() != Some(&told) {
            self.trouble = Some(told.clone());
            self.teller.say(told).await;
        }
    }

    async fn trouble_following(&mut self, error: &FollowError) {
        self.tell_trouble(None, Code::LedgerUnavailable, error.to_string()).await;
        tokio::time::sleep(PAUSE).await;
    }

    /// Follows from the ledger's newest block on: what came before is in the state proofs.
    async fn start(&mut self) -> Follower {
        loop {
            match self.ground.ledger.info().await {
                Ok(info) => {
                    let tip = info.tip.map_or(Height(0), |tip| tip.header.height);
                    let genesis = &self.ground.genesis;
                    let check = HeaderCheck::new(genesis, tip.after(1), self.ground.future_ms());
                    if let Ok(check) = check {
                        self.height = tip;
                        return Follower::new(self.ground.ledger.clone(), check);
                    }
                }
                Err(error) => {
                    self.trouble(None, &error).await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes what was handed in, one answer after the other.
    async fn take(
        &mut self,
        answers: Vec<(ChannelId, Result<CheckedAnswer, NoAnswer>)>,
    ) -> HandedIn {
        let mut handed_in = HandedIn::default();
        for (channel, checked) in answers {
            let taken = match checked {
                Ok(checked) => self.take_one(checked).await,
                Err(refused) => Err(refused),
            };
            match taken {
                Ok(held) => handed_in.held.push(held),
                Err(NoAnswer { code, detail }) => {
                    let told = Told::Refused {
                        file: None,
                        channel: Some(channel),
                        code,
                        detail: detail.clone(),
                    };
                    self.teller.say(told).await;
                    handed_in.refused.push(NotTaken { channel, code, detail });
                }
            }
        }
        handed_in
    }

    async fn take_one(&mut self, checked: CheckedAnswer) -> Result<Held, NoAnswer> {
        let (channel, seq) = (checked.answer().channel, checked.answer().seq);
        let held = Held { channel, seq };
        if !self.post.is_news(&checked)? {
            return Ok(held);
        }
        let open = match self.post.seq(&channel) {
            // What becomes of a channel that is guarded is in a block.
            Some(_) => None,
            None => Some(self.look_first(&channel).await?),
        };
        let durable = checked.answer().clone();
        let written = self.on_disk(move |store| store.put(&durable)).await;
        written.map_err(|error| NoAnswer::new(error.code, error.detail))?;
        self.post.guard(&checked);
        self.answered.remove(&channel);
        self.teller.say(Told::Guarding { channel, seq }).await;
        // One that is being closed is due, and is brought with all the others that are.
        if let Some(proof) = open.filter(|proof| proof.leaf.proofs_until.is_none()) {
            self.post.judge(&proof.leaf, proof.header.header.height);
        }
        Ok(held)
    }

    /// How a channel stands of which nothing is known yet.
    async fn look_first(&self, channel: &ChannelId) -> Result<Box<StateProof>, NoAnswer> {
        match stands(self.ground.clone(), *channel, self.height).await {
            Ok(Stands::Live(proof)) => Ok(proof),
            Ok(Stands::Gone) => {
                let detail = format!("channel {channel} is paid out, or was never opened");
                Err(NoAnswer::new(Code::NotOpen, detail))
            }
            Err(error) => {
                let detail = format!("the channel can't be looked at now: {error}");
                Err(NoAnswer::new(Code::LedgerUnavailable, detail))
            }
        }
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T, ClientError> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.map_err(|_| ClientError::stopped())?
    }

    /// Looks at every channel that is due, and brings what has to be brought.
    async fn look_at_due(&mut self) {
        let (ground, height) = (self.ground.clone(), self.height);
        let asked = self.post.due(height).into_iter().map(|channel| {
            let ground = ground.clone();
            async move { (channel, stands(ground, channel, height).await) }
        });
        let mut asked = futures_util::stream::iter(asked).buffer_unordered(TOGETHER);
        let mut brought = FuturesUnordered::new();
        loop {
            let unreachable = tokio::select! {
                Some((channel, came)) = brought.next() => self.brought(channel, came).await,
                Some((channel, stands)) = asked.next(), if brought.len() < self.bearer.together() => {
                    let (bring, unreachable) = self.looked(channel, stands).await;
                    brought.extend(bring.map(|bring| async move { (channel, bring.await) }));
                    unreachable
                }
                else => return,
            };
            // The others would fare no better; the next block, or the end of the wait for one, has
            // them all looked at again.
            if unreachable {
                return;
            }
        }
    }

    /// What the ledger says of a channel: the bringing of its answer, if it is to be brought, and
    /// whether the ledger can't be reached.
    async fn looked(
        &mut self,
        channel: ChannelId,
        stands: Result<Stands, LedgerError>,
    ) -> (Option<impl Future<Output = Came> + use<>>, bool) {
        match stands {
            Ok(Stands::Live(proof)) => {
                match self.post.judge(&proof.leaf, proof.header.header.height) {
                    Move::Wait => {}
                    Move::Answer => return (self.bring(channel).await, false),
                    Move::Answered => self.tell_answered(channel).await,
                }
                (None, false)
            }
            Ok(Stands::Gone) => {
                self.forget(channel, None).await;
                (None, false)
            }
            Err(error) => (None, self.trouble(Some(channel), &error).await),
        }
    }

    async fn bring(&mut self, channel: ChannelId) -> Option<impl Future<Output = Came> + use<>> {
        let read = self.on_disk(move |store| store.get(&channel)).await;
        let transaction = read.and_then(|answer| {
            let bad = |error: NoAnswer| ClientError::new(error.code, error.detail);
            answer.transaction().map_err(bad)
        });
        match transaction {
            Ok(transaction) => Some(self.bearer.bring(transaction)),
            Err(ClientError { code, detail, .. }) => {
                self.tell_trouble(Some(channel), code, detail).await;
                None
            }
        }
    }

    /// What came of an answer; whether the ledger can't be reached.
    async fn brought(&mut self, channel: ChannelId, came: Came) -> bool {
        match self.bearer.note(came) {
            Ok(Brought::Taken(tx)) => {
                let seq = self.post.seq(&channel).unwrap_or(0);
                self.teller.say(Told::Brought { channel, seq, tx }).await;
                false
            }
            Ok(Brought::Nothing) => {
                self.post.answered(&channel);
                self.tell_answered(channel).await;
                false
            }
            Err(error) => self.trouble(Some(channel), &error).await,
        }
    }

    async fn tell_answered(&mut self, channel: ChannelId) {
        let seq = self.post.seq(&channel).unwrap_or(0);
        if self.answered.insert(channel) {
            self.teller.say(Told::Answered { channel, seq }).await;
        }
    }

    async fn tell_sights(&mut self, sights: Vec<Sight>) {
        for sight in sights {
            match sight {
                Sight::Closing { channel, by, proofs_until } => {
                    self.teller.say(Told::Closing { channel, by, proofs_until }).await;
                }
                Sight::PaidOut { channel, wallet, hub } => {
                    self.forget(channel, Some((wallet, hub))).await;
                }
            }
        }
    }

    async fn forget(
        &mut self,
        channel: ChannelId,
        paid: Option<(settlement::types::Amount, settlement::types::Amount)>,
    ) {
        self.post.forget(&channel);
        self.answered.remove(&channel);
        if let Err(error) = self.on_disk(move |store| store.remove(&channel)).await {
            let ClientError { code, detail, .. } = error;
            self.tell_trouble(Some(channel), code, detail).await;
        }
        let (wallet, hub) = paid.unzip();
        self.teller.say(Told::Settled { channel, wallet, hub }).await;
    }
}

/// How a channel stands now, proved by the ledger's signature; that it is gone is the ledger's word.
async fn stands(
    ground: Ground,
    channel: ChannelId,
    at_least: Height,
) -> Result<Stands, LedgerError> {
    let proof = match ground.ledger.state_proof(&channel).await {
        Ok(proof) => proof,
        Err(LedgerError::Refused(problem)) if problem.code == Code::NoSuchChannel => {
            return Ok(Stands::Gone);
        }
        Err(error) => return Err(error),
    };
    let unproved = |why: String| LedgerError::Unreachable(format!("its state proof: {why}"));
    let verified = proof.verify(&ground.id, &ground.key, &channel).map(|_| ());
    verified.map_err(|error| unproved(error.to_string()))?;
    if proof.header.header.height < at_least {
        return Err(unproved("it is older than a block that was followed".to_owned()));
    }
    Ok(Stands::Live(Box::new(proof)))
}
