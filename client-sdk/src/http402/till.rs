//! The payee's till: takes steps, and knows what each stream's were spent on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use settlement::types::{Amount, PublicKey};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::account::{Account, NONCES_FREE};
use super::challenge::{Challenge, Details, Terms, unit_of};
use super::credential::PaymentKey;
use super::credit::{Debtor, Debts, Owed};
use super::denial::{Denial, Kind};
use super::layer::ChargeLayer;
use super::price::{BadPrice, Price};
use super::receipt::{Receipt, ReceiptBody};
use super::session::SessionId;
use crate::client::{ClientError, OnlyTill, WalletHandle, clock_ms, fresh};
use crate::wallet::Way;
use crate::wallet::stream::{StreamId, StreamKey, StreamView};

/// Credentials that all streams together have remembered, besides those that they pay for.
const NONCES_SHARED: usize = 1 << 21;

/// How many requests of one stream wait at a time for a lock that has not come yet.
const WAITS_MAX: usize = 16;

/// How a server charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TillOptions {
    /// How many steps a payer is served beyond what is held, over all its streams of a unit. Lent anew
    /// after a restart, and to who comes back with another wallet; and to who has not been seen for
    /// long, where more payers owe something than two for each of `streams`.
    pub credit: u32,
    /// How long a response waits for its next steps before it ends.
    pub patience: Duration,
    /// How long a demand can be answered.
    pub challenge_life: Duration,
    /// Of how many streams it is kept in mind what their steps were spent on. Where there are more, those
    /// are forgotten that have ended, and then those that nobody has used for two lives of a demand.
    pub streams: usize,
}

impl Default for TillOptions {
    /// No credit, a minute of patience, five for a demand, 4,096 streams.
    fn default() -> TillOptions {
        TillOptions {
            credit: 0,
            patience: Duration::from_secs(60),
            challenge_life: Duration::from_secs(300),
            streams: 4_096,
        }
    }
}

/// Who pays for a request: in its extensions, for handlers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Who.
    pub payer: PublicKey,
    /// With which of its streams.
    pub stream: StreamId,
    /// Names the response.
    pub session: SessionId,
}

/// What a stream has brought, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Which.
    pub key: StreamKey,
    /// What a step is worth.
    pub unit: Amount,
    /// What all responses have cost since the till was made.
    pub served: u64,
    /// What the payee holds.
    pub paid: u64,
}

/// Charges for what services answer, with one wallet. Clones are the same till. A wallet has one at a
/// time, which all services that it is paid for share: another would sell the same steps again.
#[derive(Clone)]
pub struct Till {
    pub(super) inner: Arc<TillInner>,
}

pub(super) struct TillInner {
    pub(super) wallet: WalletHandle,
    pub(super) realm: String,
    pub(super) options: TillOptions,
    secret: [u8; 32],
    accounts: Mutex<HashMap<StreamKey, Arc<Stand>>>,
    debts: Mutex<Debts>,
    /// Held while an account is made: it begins with what is held then.
    opening: AsyncMutex<()>,
    _only: OnlyTill,
}

/// A stream's account, and what else is needed to take its steps.
pub(super) struct Stand {
    pub(super) opened: StreamView,
    pub(super) key: PaymentKey,
    /// Requests that wait for a lock which has not come yet.
    pub(super) waits: Semaphore,
    account: Mutex<Account>,
    last_ms: Mutex<u64>,
}

impl Stand {
    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, now_ms: u64) {
        *self.last_ms.lock().unwrap_or_else(PoisonError::into_inner) = now_ms;
    }

    fn last_ms(&self) -> u64 {
        *self.last_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle_since(&self, ms: u64) -> bool {
        self.account().is_idle() && self.last_ms() <= ms
    }
}

impl Till {
    /// A till of this wallet, whose server clients know under the authority `realm`: host and, unless
    /// it is the scheme's own, port, such as `api.example` or `127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`Code::BadArgument`] while the wallet has another till, of which a clone or an answer is left;
    /// when the system gives no randomness.
    ///
    /// [`Code::BadArgument`]: settlement::reject::Code::BadArgument
    pub fn new(wallet: WalletHandle, realm: impl Into<String>) -> Result<Till, ClientError> {
        Till::with(wallet, realm, TillOptions::default())
    }

    /// The same with everything said.
    ///
    /// # Errors
    /// As [`Till::new`].
    pub fn with(
        wallet: WalletHandle,
        realm: impl Into<String>,
        options: TillOptions,
    ) -> Result<Till, ClientError> {
        let (realm, secret) = (realm.into().to_ascii_lowercase(), fresh()?);
        let (accounts, debts, opening) = Default::default();
        let _only = wallet.only_till()?;
        let inner = TillInner { wallet, realm, options, secret, accounts, debts, opening, _only };
        Ok(Till { inner: Arc::new(inner) })
    }

    /// A layer that charges this for the responses of whatever it wraps. To be put around a whole
    /// `axum::Router` (`Router::layer`), outside of what compresses bodies or takes a part of the
    /// path away.
    ///
    /// # Errors
    /// [`BadPrice::Asset`] for an asset that the ledger does not have.
    pub fn charge(&self, price: Price) -> Result<ChargeLayer, BadPrice> {
        let request = self.inner.terms(&price).ok_or(BadPrice::Asset)?.to_text();
        Ok(ChargeLayer::new(self.clone(), price, request))
    }

    /// What each stream has brought since this till was made.
    pub fn charged(&self) -> Vec<Charged> {
        let accounts = self.inner.accounts();
        let charged = accounts.iter().map(|(key, stand)| {
            let (served, paid) = stand.account().totals();
            Charged { key: *key, unit: stand.opened.unit, served, paid }
        });
        charged.collect()
    }
}

impl TillInner {
    fn accounts(&self) -> MutexGuard<'_, HashMap<StreamKey, Arc<Stand>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn terms(&self, price: &Price) -> Option<Terms> {
        let (unit_type, bytes) = unit_of(price.per());
        let details = Details {
            asset: price.asset(),
            bytes,
            credit: self.options.credit,
            hub: self.wallet.hub_key(),
            ledger: self.wallet.ledger_id(),
            steps: price.steps(),
            unit: price.unit(),
        };
        Some(Terms {
            amount: price.amount(),
            currency: self.wallet.asset_code(price.asset())?.to_owned(),
            details,
            recipient: self.wallet.public_key(),
            unit_type: unit_type.to_owned(),
        })
    }

    pub(super) fn life_ms(&self) -> u64 {
        u64::try_from(self.options.challenge_life.as_millis()).unwrap_or(u64::MAX)
    }

    /// A fresh demand.
    pub(super) fn demand(&self, request: &str) -> Challenge {
        let expires_ms = clock_ms().saturating_add(self.life_ms());
        Challenge::issue(&self.secret, &self.realm, request, expires_ms)
    }

    pub(super) fn made(&self, challenge: &Challenge, request: &str, now_ms: u64) -> bool {
        challenge.holds(&self.secret, &self.realm, request, now_ms)
    }

    /// The account of a stream to this wallet, made when it is first needed. Nothing is computed for
    /// who has no stream.
    pub(super) async fn stand(&self, key: StreamKey) -> Result<Arc<Stand>, Denial> {
        let now_ms = clock_ms();
        if let Some(stand) = self.known(&key, now_ms) {
            return Ok(stand);
        }
        // Who names a stream that is not there keeps nobody waiting who has one.
        self.standing(key).await?;
        let _turn = self.opening.lock().await;
        if let Some(stand) = self.known(&key, now_ms) {
            return Ok(stand);
        }
        self.make_room(now_ms).await?;
        let view = self.standing(key).await?;
        let (mine, ledger) = (self.wallet.signing_key(), self.wallet.ledger_id());
        let payment_key = PaymentKey::of_payee(mine, &key.peer, &ledger);
        let payment_key = payment_key.map_err(|_| unknown_stream())?;
        let owed = self.owed((key.peer, view.asset, view.unit));
        let stand = Arc::new(Stand {
            account: Mutex::new(Account::new(view.paid, self.options.credit.into(), owed)),
            opened: view,
            key: payment_key,
            waits: Semaphore::new(WAITS_MAX),
            last_ms: Mutex::new(now_ms),
        });
        self.accounts().insert(key, stand.clone());
        Ok(stand)
    }

    fn owed(&self, debtor: Debtor) -> Owed {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        debts.of(debtor, self.options.streams.saturating_mul(2))
    }

    /// The stream with this name, if it has not ended.
    async fn standing(&self, key: StreamKey) -> Result<StreamView, Denial> {
        let view = self.wallet.look(move |wallet| wallet.stream(&key)).await;
        let view = view.map_err(busy)?;
        view.filter(|view| !view.has_ended()).ok_or_else(unknown_stream)
    }

    fn known(&self, key: &StreamKey, now_ms: u64) -> Option<Arc<Stand>> {
        let stand = self.accounts().get(key).cloned()?;
        stand.touch(now_ms);
        Some(stand)
    }

    /// Room for one account more. One is forgotten only when no credential of its can be taken again:
    /// no demand is good any more that it could have answered, or its stream has ended, and nothing
    /// is taken for that. How many streams stand at a time is bounded by what payers have to lock for
    /// them, so whoever opens and ends them in numbers keeps nobody out.
    async fn make_room(&self, now_ms: u64) -> Result<(), Denial> {
        if self.accounts().len() < self.options.streams {
            return Ok(());
        }
        let long_ago = now_ms.saturating_sub(self.life_ms().saturating_mul(2));
        let mut ended = self.ended().await?;
        let mut accounts = self.accounts();
        accounts.retain(|_, stand| !stand.is_idle_since(long_ago));
        // What is left over is still good for its payer, so that goes last.
        ended.sort_by_key(|(_, left, last_ms)| (*left, *last_ms));
        for (key, left, _) in ended {
            let is_full = accounts.len() >= self.options.streams;
            let is_idle = accounts.get(&key).is_some_and(|stand| stand.account().is_idle());
            if is_idle && (is_full || !left) {
                accounts.remove(&key);
            }
        }
        if accounts.len() >= self.options.streams {
            return Err(Denial::new(Kind::Busy, "too many streams pay at the moment"));
        }
        Ok(())
    }

    /// Accounts whose streams have ended: whether steps are left over in them, and when they were used
    /// last.
    async fn ended(&self) -> Result<Vec<(StreamKey, bool, u64)>, Denial> {
        let keys: Vec<StreamKey> = self.accounts().keys().copied().collect();
        let ended = self.wallet.look(move |wallet| {
            let has_ended =
                |key: &StreamKey| wallet.stream(key).is_none_or(|view| view.has_ended());
            keys.iter().filter(|key| has_ended(key)).copied().collect::<Vec<_>>()
        });
        let (ended, accounts) = (ended.await.map_err(busy)?, self.accounts());
        let known = ended.into_iter().filter_map(|key| {
            let stand = accounts.get(&key)?;
            Some((key, stand.account().left() > 0, stand.last_ms()))
        });
        Ok(known.collect())
    }

    /// How many credentials each stream may have remembered, besides those that it pays for.
    pub(super) fn nonces_each(&self) -> usize {
        let streams = self.accounts().len().max(1);
        NONCES_SHARED.checked_div(streams).unwrap_or(0).min(NONCES_FREE)
    }

    /// How a response stands, signed; `None` for one that is unknown or long over.
    pub(super) fn receipt(&self, stand: &Stand, session: SessionId) -> Option<Receipt> {
        let figures = stand.account().figures(session)?;
        let StreamView { key, asset, unit, .. } = stand.opened;
        let body = ReceiptBody {
            ledger: self.wallet.ledger_id(),
            payee: self.wallet.public_key(),
            payer: key.peer,
            stream: key.stream,
            asset,
            unit,
            session,
            resource: figures.resource.to_string(),
            steps: figures.used,
            served: figures.served,
            paid: figures.paid,
            time_ms: clock_ms(),
        };
        Some(Receipt::sign(body, self.wallet.signing_key()))
    }
}

/// The stream that a credential names.
pub(super) fn incoming(payer: PublicKey, stream: StreamId) -> StreamKey {
    StreamKey { way: Way::In, peer: payer, stream }
}

fn busy(error: ClientError) -> Denial {
    Denial::new(Kind::Busy, error.to_string())
}

fn unknown_stream() -> Denial {
    Denial::new(Kind::Verification, "the payee has no such stream, or it has ended")
}

#[cfg(test)]
mod tests {
    use settlement::reject::Code;
    use settlement::types::AssetId;

    use super::*;
    use crate::client::tests::world::{PATIENCE, World, key};
    use crate::http402::price::Per;

    #[tokio::test]
    async fn who_has_no_stream_keeps_nobody_waiting() {
        let world = World::new().await;
        let client = world.open(vec![key(1)]).await.unwrap();
        let wallet = client.wallets().into_iter().next().unwrap();
        let till = Till::new(wallet, "shop").unwrap();
        let _turn = till.inner.opening.lock().await;
        let nobody = incoming(key(2).public(), StreamId([7; 16]));
        let denied = tokio::time::timeout(PATIENCE, till.inner.stand(nobody)).await;
        let denied = denied.expect("it waits for its turn").map(|_| ());
        assert_eq!(denied, Err(unknown_stream()));
    }

    /// Each would have an account of its own of the same stream, and sell its steps.
    #[tokio::test]
    async fn a_wallet_has_one_till_at_a_time() {
        let world = World::new().await;
        let client = world.open(vec![key(1), key(2)]).await.unwrap();
        let wallets = || client.wallets().into_iter();
        let till = Till::new(wallets().next().unwrap(), "shop").unwrap();
        let again = client.add_wallet(key(1)).await.unwrap();
        for wallet in [wallets().next().unwrap(), again.clone()] {
            let refused = Till::new(wallet, "another.shop").err().unwrap();
            assert_eq!(refused.code, Code::BadArgument, "{refused}");
        }
        Till::new(wallets().nth(1).unwrap(), "shop").unwrap();
        let price = Price::new(AssetId(0), Amount(1), 1, Per::Request).unwrap();
        let layer = till.charge(price).unwrap();
        drop(till);
        assert!(Till::new(again.clone(), "shop").is_err(), "its layer still sells");
        drop(layer);
        Till::new(again, "shop").unwrap();
    }
}
