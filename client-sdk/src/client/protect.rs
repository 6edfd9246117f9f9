//! What guards a wallet that sleeps: what the ledger holds already, and the answers that a tower gets.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use settlement::channel::Phase;
use settlement::reject::Code;
use settlement::types::ChannelId;

use super::core::clock_ms;
use super::{ClientError, WalletHandle};
use crate::ledger_client::LedgerError;
use crate::wallet::{NotProved, Protection};
use crate::watchtower::Answer;

/// How many proofs are asked for at once.
const TOGETHER: usize = 8;

/// What the ledger's proofs show of each channel that is not paid out. One that the ledger did not
/// answer for in time is left out.
pub type Protections = BTreeMap<ChannelId, Result<Protection, ClientError>>;

/// What the answers of a wallet's channels would tell.
pub type Ranks = BTreeMap<ChannelId, (u64, u64)>;

impl WalletHandle {
    /// The answers that the wallet would give now to closes of its channels, signed for a tower. A
    /// channel on which the hub has paid nothing yet needs none.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn answers(&self) -> Result<Vec<Answer>, ClientError> {
        let key = self.key.clone();
        self.look(move |wallet| {
            let answers = wallet.channels().filter_map(|channel| Answer::of(channel, &key));
            answers.collect()
        })
        .await
    }

    /// How much those answers would tell, by channel ([`Answer::rank_of`]), as soon as that is not
    /// `known`.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn answers_changed(&self, known: &Ranks) -> Result<Ranks, ClientError> {
        let known = known.clone();
        self.until(move |wallet| {
            let open = wallet.channels().filter(|c| !matches!(c.phase(), Phase::Closed { .. }));
            let ranks = open.filter_map(|c| Some((c.id(), Answer::rank_of(c)?)));
            let ranks: Ranks = ranks.collect();
            (ranks != known).then_some(ranks)
        })
        .await
    }

    /// How far each channel that is not paid out is protected from any close by the hub, as the
    /// ledger proves it now. Takes at most `patience`; what the ledger does not answer is left out.
    /// A proof that does not hold is an error of its channel: [`Code::NotProved`],
    /// [`Code::StaleView`], [`Code::StateLost`].
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn protections(&self, patience: Duration) -> Result<Protections, ClientError> {
        let open = self.look(|wallet| {
            let open = wallet.channels().filter(|c| !matches!(c.phase(), Phase::Closed { .. }));
            open.map(settlement::channel::Channel::id).collect::<Vec<_>>()
        });
        let asked = open
            .await?
            .into_iter()
            .map(|id| async move { (id, self.shared.ledger.state_proof(&id).await) });
        let mut asked = futures_util::stream::iter(asked).buffer_unordered(TOGETHER);
        let mut protections = Protections::new();
        let asking = async {
            while let Some((id, answer)) = asked.next().await {
                let shown = match answer {
                    Ok(proof) => {
                        let judged = self.look(move |wallet| wallet.protection(&proof, clock_ms()));
                        judged.await?.map_err(ClientError::from)
                    }
                    // Paid out a moment ago; or no answer at all.
                    Err(LedgerError::Refused(problem)) if problem.code == Code::NoSuchChannel => {
                        continue;
                    }
                    Err(LedgerError::Unreachable(_)) => continue,
                    Err(error) => Err(error.into()),
                };
                protections.insert(id, shown);
            }
            Ok::<_, ClientError>(())
        };
        if let Ok(ended) = tokio::time::timeout(patience, asking).await {
            ended?;
        }
        Ok(protections)
    }
}

impl From<NotProved> for ClientError {
    fn from(error: NotProved) -> ClientError {
        let code = match error {
            NotProved::Stale => Code::StaleView,
            NotProved::StateLost => Code::StateLost,
            NotProved::NoChannel => Code::NoChannel,
            NotProved::Bad(_) | NotProved::Key | NotProved::Fork => Code::NotProved,
        };
        ClientError::new(code, error.to_string())
    }
}
