//! Two that cheat while the others pay each other: a wallet that closes with its best old proof, and
//! a hub that closes the channel of a wallet that sleeps, and brings nothing of what it has paid.
//!
//! Neither needs code of its own to cheat with. The wallet's store is copied before it has spent
//! what it was paid; later the wallet is opened on the copy, by the same client as any other, and
//! told to close without the hub. The hub's close is one transaction, signed with the hub's own key,
//! and goes straight to the ledger; nobody answers it, since the wallet is not running, and it has
//! never signed anything that the hub could be made to show. What pays it is the hub's own anchor
//! alone.

mod hub;
mod wallet;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use client_sdk::client::{Client, ClientConfig, WalletHandle};
use client_sdk::wallet::{Payment, PaymentState};
use serde::Serialize;
use settlement::crypto::SigningKey;
use settlement::types::{Amount, PublicKey};

use super::books::Other;
use super::progress::Progress;
use super::scene::{ASSET, Scene, fresh_key};
use hub::HubPlot;
use wallet::WalletPlot;

/// How long an invoice is good for, in blocks: it is paid at once.
const INVOICE_BLOCKS: u64 = 1_000;
/// How long what was paid may take to be settled on both sides.
const QUIET_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What somebody tried to get, and what came of it. Amounts are what the cheater is paid when the
/// channel closes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Attempt {
    /// `wallet` or `hub`.
    pub(super) who: &'static str,
    /// What it did.
    pub(super) tried: &'static str,
    /// What it would have been paid had nobody known better.
    pub(super) would_have_got: Amount,
    /// What belongs to it, by what the wallets saw.
    pub(super) was_due: Amount,
    /// What the ledger paid it.
    pub(super) got: Amount,
}

impl Attempt {
    /// What it got by cheating.
    pub(super) fn gained(&self) -> i128 {
        self.got.wide() - self.was_due.wide()
    }
}

/// Wallets that take no part in the traffic.
pub(super) struct Cast {
    /// Will cheat.
    crook: Solo,
    /// Will be cheated.
    sleeper: Solo,
    /// Pays both, and is paid.
    friend: WalletHandle,
}

/// A wallet with a client of its own, which can end without the others.
struct Solo {
    key: Arc<SigningKey>,
    config: ClientConfig,
    client: Client,
}

impl Solo {
    async fn open(scene: &Scene, dir: &Path) -> Result<Solo> {
        let key = Arc::new(fresh_key()?);
        let config = ClientConfig { new_keys: true, ..ClientConfig::new(scene.url(), dir) };
        let client = Client::open(config.clone(), vec![key.clone()]).await?;
        Ok(Solo { key, config, client })
    }

    fn wallet(&self) -> Result<WalletHandle> {
        self.client.wallets().into_iter().next().context("a client without its wallet")
    }
}

impl Cast {
    /// Makes them, with money on their accounts.
    pub(super) async fn gather(scene: &Scene, dir: &Path) -> Result<Cast> {
        let crook = Solo::open(scene, &dir.join("crook")).await?;
        let sleeper = Solo::open(scene, &dir.join("sleeper")).await?;
        let cast = Cast { crook, sleeper, friend: scene.add_wallet().await? };
        for account in cast.accounts() {
            scene.mint(account).await?;
        }
        scene.until_minted(&cast.accounts()).await?;
        Ok(cast)
    }

    /// Their accounts, in the order of their books.
    pub(super) fn accounts(&self) -> [PublicKey; 3] {
        [self.crook.key.public(), self.sleeper.key.public(), self.friend.public_key()]
    }

    /// Everything up to the moment before the two closes: channels, payments, and the copy. With it
    /// comes what each of them must have on its account in the end.
    pub(super) async fn rehearse(
        self,
        scene: &Scene,
        progress: &Progress,
    ) -> Result<(Plot, Vec<Other>)> {
        let bar = progress.counted("setting up two that cheat", 3);
        let Cast { crook, sleeper, friend } = self;
        let friends = scene.open_channel(&friend).await?;
        bar.inc(1);
        let mut books = [Other::new("the cheating wallet"), Other::new("the sleeping wallet")];
        let mut friends_book = Other::new("the friend of both");
        let [crooks_book, sleepers_book] = &mut books;
        let hub = HubPlot::lay(scene, sleeper, (&friend, &mut friends_book), sleepers_book).await?;
        bar.inc(1);
        let wallet =
            WalletPlot::lay(scene, crook, (&friend, &mut friends_book), crooks_book).await?;
        bar.inc(1);
        friend.close(friends).await?;
        bar.finish();
        let [crook, sleeper] = books;
        Ok((Plot { wallet, hub }, vec![crook, sleeper, friends_book]))
    }
}

/// Both attempts, ready to be made.
pub(super) struct Plot {
    wallet: WalletPlot,
    hub: HubPlot,
}

impl Plot {
    /// Cheats twice, side by side, and waits until the ledger has paid out.
    pub(super) async fn carry_out(self, scene: &Scene) -> Result<Vec<Attempt>> {
        let (wallet, hub) = tokio::try_join!(self.wallet.carry_out(), self.hub.carry_out(scene))?;
        Ok(vec![wallet, hub])
    }
}

/// One payment, to its end on both sides; both books are kept.
async fn pay(
    (from, payer): (&WalletHandle, &mut Other),
    (to, payee): (&WalletHandle, &mut Other),
    amount: Amount,
) -> Result<()> {
    let (invoice, _) = to.invoice(ASSET, amount, INVOICE_BLOCKS, "").await?;
    match from.pay(invoice).await? {
        Payment { state: PaymentState::Settled, amount, fee, .. } => {
            payer.paid(amount, fee);
            payee.received(amount);
        }
        payment => bail!("a payment before the cheating came to {:?}", payment.state),
    }
    for wallet in [from, to] {
        wallet.flush().await?;
        wallet.quiet(QUIET_WAIT).await?;
    }
    Ok(())
}
