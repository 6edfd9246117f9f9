//! Every channel is closed: by both sides where that works, by the wallet alone where it does not.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use client_sdk::client::WalletHandle;
use futures_util::stream::{StreamExt, TryStreamExt, iter};

use super::progress::Progress;
use super::report::Closes;
use super::scene::{AT_ONCE, Scene, channel_of};

/// How long a challenge window with everything that follows may take.
pub(super) const WINDOW_WAIT: Duration = Duration::from_secs(600);

/// What came of it.
pub(super) struct Closed {
    /// How the channels were closed.
    pub(super) closes: Closes,
    /// How long challenge windows were waited for.
    pub(super) windows: Duration,
}

/// Closes every channel and waits until the ledger has paid all of them out.
pub(super) async fn close_all(scene: &Scene, progress: &Progress) -> Result<Closed> {
    let bar = progress.counted("closing channels", scene.wallets.len());
    let closes = iter(&scene.wallets).map(async |wallet| {
        let agreed = close_together(wallet).await;
        bar.inc(1);
        agreed.map(|agreed| (wallet, agreed))
    });
    let closes: Vec<_> = closes.buffer_unordered(AT_ONCE).try_collect().await?;
    bar.finish();
    let alone: Vec<&WalletHandle> =
        closes.iter().filter(|(_, agreed)| !agreed).map(|(wallet, _)| *wallet).collect();
    let unilateral = alone.len() as u64;
    let cooperative = (closes.len() as u64).saturating_sub(unilateral);
    let windows = close_alone(&alone, progress).await?;
    Ok(Closed { closes: Closes { cooperative, unilateral }, windows })
}

/// Whether both sides signed a close and the ledger took it.
async fn close_together(wallet: &WalletHandle) -> Result<bool> {
    match wallet.close(channel_of(wallet).await?).await {
        Ok(_) => Ok(true),
        Err(error) => {
            tracing::warn!(wallet = %wallet.public_key(), %error, "the wallet closes alone");
            Ok(false)
        }
    }
}

/// Closes without the hub, and waits for the challenge windows; returns how long that took.
pub(super) async fn close_alone(
    wallets: &[&WalletHandle],
    progress: &Progress,
) -> Result<Duration> {
    if wallets.is_empty() {
        return Ok(Duration::ZERO);
    }
    let started = Instant::now();
    let bar = progress.counted("waiting for challenge windows", wallets.len());
    let paid_out = iter(wallets).map(async |wallet| {
        let channel = channel_of(wallet).await?;
        // One that is closing already, since the other side was faster, ends the same way.
        let closing = wallet.close_alone(channel).await;
        let closed = tokio::time::timeout(WINDOW_WAIT, wallet.closed(channel)).await;
        closed.with_context(|| match closing {
            Ok(()) => format!("channel {channel} was not paid out in time"),
            Err(error) => format!("channel {channel} can't be closed: {error}"),
        })??;
        bar.inc(1);
        anyhow::Ok(())
    });
    // All at once: the windows run side by side.
    paid_out.buffer_unordered(wallets.len()).try_collect::<()>().await?;
    bar.finish();
    Ok(started.elapsed())
}
