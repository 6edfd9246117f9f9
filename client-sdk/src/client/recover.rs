//! Bringing a wallet back from nothing but its key, or from an old copy of its home.

use std::time::Duration;

use settlement::channel::{Channel, Phase};
use settlement::reject::Code;
use settlement::types::ChannelId;

use super::ClientError;
use super::handle::{WalletHandle, all_met};
use crate::wallet::Wallet;

/// How long a side that has lost state may take to get it back before others go on without that
/// channel: a view that is `lag` blocks further, and what is said before and after.
const TAKEN_BACK: Duration = Duration::from_secs(40);

impl WalletHandle {
    /// Waits until the hub has met this wallet in every channel that can be used, and for a while in
    /// those that wait for lost state to be taken back.
    pub(super) async fn met(&self) -> Result<(), ClientError> {
        self.until(all_met).await?;
        let waits = |code| matches!(code, Code::StateLost | Code::Recovering);
        let back = move |wallet: &Wallet| {
            let mut channels = wallet.channels().filter(|channel| channel.phase() == Phase::Open);
            let rests = |channel: &Channel| channel.suspended().is_some_and(waits);
            // No invoice is paid before the hub has signed that it holds what came after.
            let resting = channels.any(|channel| rests(channel) || !channel.is_certain());
            if resting { None } else { all_met(wallet) }
        };
        // What is not taken back by then is no reason not to use the others.
        let _ = self.within(TAKEN_BACK, self.until(back)).await;
        Ok(())
    }

    /// Brings the wallet back that has lost its state: it follows the whole ledger, finds its
    /// channels, takes from the hub what that shows of them as far as it can be right, and waits
    /// until it has leapt (about `lag` blocks). Channels that the hub has not shown within
    /// `patience` are closed on the ledger; their ids come back. Then it waits until it can be paid
    /// and withdraw again: until what it may have signed for the ledger and forgotten is out of date.
    /// What is lost for good: the secrets of invoices, and the history.
    ///
    /// # Errors
    /// [`Code::LedgerUnavailable`] when the ledger does not give its blocks within `patience`.
    pub async fn recover(&self, patience: Duration) -> Result<Vec<ChannelId>, ClientError> {
        self.caught_up(patience).await?;
        // Whether the connection comes and goes meanwhile does not matter.
        if self.within(patience, self.until(all_back)).await.is_ok() {
            self.until(waited_out).await?;
            return Ok(Vec::new());
        }
        let unmet = self.look(|wallet| unmet(wallet).collect::<Vec<_>>()).await?;
        for channel in &unmet {
            self.close_alone(*channel).await?;
        }
        self.until(waited_out).await?;
        Ok(unmet)
    }
}

/// The open channels in which the hub has not met this wallet.
fn unmet(wallet: &Wallet) -> impl Iterator<Item = ChannelId> {
    let open = wallet.channels().filter(|channel| channel.phase() == Phase::Open);
    open.map(Channel::id).filter(|id| !wallet.is_synced(id))
}

fn waited_out(wallet: &Wallet) -> Option<()> {
    let mut open = wallet.channels().filter(|channel| channel.phase() == Phase::Open);
    (!open.any(Channel::waits_out)).then_some(())
}

fn all_back(wallet: &Wallet) -> Option<()> {
    unmet(wallet).next().is_none().then_some(())
}
