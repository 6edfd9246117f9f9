//! The hub that closes the channel of a wallet that sleeps.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use client_sdk::client::WalletHandle;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, ChannelId, PerRole, Role};

use super::{Attempt, Other, Scene, Solo, pay};
use crate::demo::closing::WINDOW_WAIT;
use crate::demo::scene::DEPOSIT;

/// What the wallet was paid before it went to sleep, and the hub would like to keep.
const PAID: Amount = Amount(300_000);
/// How long the hub may take to anchor it.
const ANCHOR_WAIT: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct HubPlot {
    sleeper: Solo,
    channel: ChannelId,
    /// What the hub has put into it.
    inbound: Amount,
    was_due: PerRole<Amount>,
}

impl HubPlot {
    /// The wallet is paid.
    pub(super) async fn lay(
        scene: &Scene,
        sleeper: Solo,
        friend: (&WalletHandle, &mut Other),
        book: &mut Other,
    ) -> Result<HubPlot> {
        let wallet = sleeper.wallet()?;
        let channel = scene.open_channel(&wallet).await?;
        pay(friend, (&wallet, book), PAID).await?;
        let view = scene.ledger().channel(channel).await;
        let inbound = view.map_err(|code| anyhow!("the ledger: {code}"))?.deposited.hub;
        let hub = inbound.checked_sub(PAID).context("the hub had nothing to pay with")?;
        let was_due = PerRole { wallet: book.in_channel(DEPOSIT)?, hub };
        Ok(HubPlot { sleeper, channel, inbound, was_due })
    }

    /// The wallet goes to sleep once it is protected; then its channel is closed with the hub's key,
    /// and with nothing.
    pub(super) async fn carry_out(self, scene: &Scene) -> Result<Attempt> {
        self.wait_anchored(scene).await?;
        let HubPlot { sleeper, channel, inbound, was_due } = self;
        sleeper.client.shutdown().await;
        let nothing = Submission::close_with_nothing(channel, Role::Hub);
        let close = Transaction::submit(&scene.hub_key()?, nothing);
        let taken = scene.ledger().submit(close).await;
        taken.map_err(|code| anyhow!("the ledger refused the hub's close: {code}"))?;
        let paid = tokio::time::timeout(WINDOW_WAIT, paid_out(scene, channel)).await;
        let paid = paid.context("the sleeping wallet's channel was not paid out in time")??;
        Ok(Attempt {
            who: "hub",
            tried: "closed a sleeping wallet's channel with nothing",
            would_have_got: inbound,
            was_due: was_due.hub,
            got: paid.hub,
        })
    }

    /// Until the ledger knows what the wallet has, without anybody's doing but the hub's own anchor.
    async fn wait_anchored(&self, scene: &Scene) -> Result<()> {
        let anchored = scene.until_block(async || {
            let proof = scene.ledger().state_proof(self.channel).await;
            let proof = proof.map_err(|code| anyhow!("the ledger: {code}"))?;
            Ok((proof.leaf.payout().wallet >= self.was_due.wallet).then_some(()))
        });
        match tokio::time::timeout(ANCHOR_WAIT, anchored).await {
            Ok(anchored) => anchored,
            Err(_) => bail!("the hub anchored nothing within {} s", ANCHOR_WAIT.as_secs()),
        }
    }
}

async fn paid_out(scene: &Scene, channel: ChannelId) -> Result<PerRole<Amount>> {
    let paid = scene.until_block(async || {
        let view = scene.ledger().channel(channel).await;
        Ok(view.map_err(|code| anyhow!("the ledger: {code}"))?.paid)
    });
    paid.await
}
