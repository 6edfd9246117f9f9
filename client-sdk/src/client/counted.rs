//! Asking a hub whether it counts a wallet's channels in what it owes, and the ledger whether it has
//! signed that.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use settlement::api::ChannelPhase;
use settlement::reject::Code;
use settlement::state_proof::StateProof;
use settlement::types::ChannelId;

use super::core::clock_ms;
use super::{ClientError, WalletHandle};
use crate::api::LiabilityAnswer;
use crate::ledger_client::LedgerError;
use crate::wallet::{Counted, NotCounted, Shown};

/// How many channels are asked for at once.
const TOGETHER: usize = 8;
/// How long to wait before a hub is asked again whose statement is on its way.
const PAUSE: Duration = Duration::from_millis(200);

/// What the hub has signed that it owes in each channel that is not paid out. One of which it, or
/// the ledger, has shown nothing in time is left out.
pub type Counts = BTreeMap<ChannelId, Result<Counted, ClientError>>;

impl WalletHandle {
    /// Whether the hub counts each channel that is not paid out in what it has signed that it owes,
    /// and with enough. Takes at most `patience`; what hub and ledger do not answer is left out. A
    /// leaf that does not hold is an error of its channel: [`Code::NotCounted`],
    /// [`Code::CountedTooLow`], and as of [`WalletHandle::protections`].
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn counted(&self, patience: Duration) -> Result<Counts, ClientError> {
        let channels = self.status().await?.channels.into_iter();
        let open = channels.filter(|channel| channel.state != ChannelPhase::Closed);
        let asked = open.map(|channel| async move { (channel.id, self.count(channel.id).await) });
        let mut asked = futures_util::stream::iter(asked).buffer_unordered(TOGETHER);
        let mut counts = Counts::new();
        let asking = async {
            while let Some((id, count)) = asked.next().await {
                if let Some(count) = count.transpose() {
                    counts.insert(id, count);
                }
            }
        };
        // What has come until then is what there is.
        let _ = tokio::time::timeout(patience, asking).await;
        Ok(counts)
    }

    async fn count(&self, id: ChannelId) -> Result<Option<Counted>, ClientError> {
        // Before the hub is asked: what the ledger holds by now, the hub has to count.
        let Some(state) = there(self.shared.ledger.state_proof(&id).await)? else {
            return Ok(None);
        };
        let answer = match self.liability(id).await? {
            Said::This(answer) => answer,
            Said::NoStatement => return self.not_shown(id, state).await.map(|()| None),
            Said::Nothing => return Ok(None),
        };
        let Some(height) = answer.block else { return Ok(None) };
        let Some(block) = there(self.shared.ledger.block(height).await)? else { return Ok(None) };
        let did = there(self.shared.ledger.events_from(height, Duration::ZERO).await)?;
        let Some(did) = did.and_then(|did| did.into_iter().next()) else { return Ok(None) };
        let judged = self.look(move |wallet| {
            let shown = Shown { state: &state, answer: &answer, block: &block, did: &did };
            wallet.counted(&shown, clock_ms())
        });
        Ok(Some(judged.await??))
    }

    /// A hub says that it has made no statement about a channel: judged by what the ledger proves.
    async fn not_shown(&self, id: ChannelId, state: StateProof) -> Result<(), ClientError> {
        // It may have been paid out just now, and be in no statement any more.
        if there(self.shared.ledger.state_proof(&id).await)?.is_none() {
            return Ok(());
        }
        let judged = self.look(move |wallet| wallet.may_not_be_counted(&state, clock_ms())).await?;
        Ok(judged?)
    }

    /// The hub's answer once it names a block.
    async fn liability(&self, id: ChannelId) -> Result<Said, ClientError> {
        loop {
            match self.shared.hub.liability(id).await {
                Ok(answer) if answer.block.is_some() => return Ok(Said::This(answer)),
                Ok(_) => {}
                Err(error) => match error.code {
                    Code::Overloaded => {}
                    Code::NotFound | Code::UnknownChannel => return Ok(Said::NoStatement),
                    Code::HubUnavailable => return Ok(Said::Nothing),
                    _ => return Err(error),
                },
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a hub answers.
enum Said {
    This(LiabilityAnswer),
    NoStatement,
    Nothing,
}

/// What the ledger has shown, if it has answered.
fn there<T>(answer: Result<T, LedgerError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(shown) => Ok(Some(shown)),
        // Paid out a moment ago, or a block that it has not got.
        Err(LedgerError::Refused(problem))
            if matches!(problem.code, Code::NoSuchChannel | Code::NotFound) =>
        {
            Ok(None)
        }
        Err(LedgerError::Unreachable(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<NotCounted> for ClientError {
    fn from(error: NotCounted) -> ClientError {
        match error {
            NotCounted::State(error) => error.into(),
            NotCounted::TooLow { .. } => ClientError::new(Code::CountedTooLow, error.to_string()),
            _ => ClientError::new(Code::NotCounted, error.to_string()),
        }
    }
}
