//! From a demand to steps: is it to be met, over which stream, with what credential.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, PublicKey};

use super::payee::Payee;
use super::{ClientInner, Known, Limits, PurseView};
use crate::client::{ClientError, Exposure, OutgoingStream, StreamOptions, clock_ms, fresh};
use crate::http402::challenge::{Challenge, Terms, base64};
use crate::http402::credential::{Action, Credential, CredentialPayload, Handing, PaymentKey};
use crate::http402::error::PayError;
use crate::http402::price::{Price, STEPS_MAX};
use crate::http402::purse::{Book, Reserved, Stop};
use crate::http402::session::SessionId;
use crate::relay::StepToken;
use crate::wallet::Way;
use crate::wallet::stream::{STEPS_MIN, StreamPhase, StreamView};

/// Who is paid over one stream: by whom, of what asset, in what unit.
pub(super) type PurseName = (PublicKey, AssetId, Amount);

/// In how many streams money is locked for a payee at most that does not say that it has it.
const SILENT_MAX: usize = 2;

/// How many streams to a payee stand at a time: it is paid over one for each unit that it asks for, and
/// money is locked in each.
const UNITS_MAX: usize = 4;

/// A stream to a payee, and what was handed over.
pub(in crate::http402) struct Purse {
    pub(super) stream: OutgoingStream,
    payer: PublicKey,
    unit: Amount,
    key: PaymentKey,
    book: Mutex<Book>,
    payee: Arc<Payee>,
    /// What was handed over by clients before this one.
    before: u64,
    /// What the hub had taken for it by then.
    fees_before: Amount,
}

/// Steps that are set aside for a response. Until it is known what became of them they are for the
/// next one if this is dropped: the server says what it does not hold.
pub(in crate::http402) struct Reservation {
    purse: Arc<Purse>,
    reserved: Reserved,
    open: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.open {
            self.purse.book().give_back(self.reserved.steps);
        }
    }
}

impl Reservation {
    /// How many.
    pub(in crate::http402) fn steps(&self) -> u64 {
        self.reserved.steps
    }

    /// The new ones were not handed out after all.
    fn never_left(mut self) {
        self.open = false;
        self.purse.book().cancel(self.reserved);
    }

    /// They are the response's.
    pub(in crate::http402) fn taken(mut self) {
        self.open = false;
    }

    /// The server lacks so many of them.
    pub(in crate::http402) fn denied(mut self, missing: Option<u64>) {
        self.open = false;
        self.purse.book().denied(self.reserved, missing);
    }
}

/// A request as its credential is bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http402) struct Target {
    pub(in crate::http402) method: String,
    pub(in crate::http402) realm: String,
    pub(in crate::http402) path: String,
}

impl Target {
    pub(in crate::http402) fn of(method: &str, url: &Url) -> Target {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (method, path) = (method.to_owned(), format!("{}{query}", url.path()));
        Target { method, realm: authority(url), path }
    }
}

/// Host and port as a server's realm has them.
fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

impl Purse {
    pub(in crate::http402) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> PurseView {
        let (handed, served, spare) = self.book().figures();
        PurseView { key: self.stream.key(), unit: self.unit, handed, served, spare }
    }

    fn count_fees(&self, view: &StreamView) {
        self.book().fees_are(view.fees.0.saturating_sub(self.fees_before.0));
    }

    /// Whether a receipt is of this stream's payee.
    pub(in crate::http402) fn names(&self) -> (PublicKey, PublicKey, crate::payload::StreamId) {
        let key = self.stream.key();
        (key.peer, self.payer, key.stream)
    }

    /// Sets steps aside for a response, and hands out what is missing. Where too much is out already,
    /// what nobody waits for is waited for: some of it may be served, or come back.
    ///
    /// Who does not wait for this to return leaves nothing half done: steps that have left the wallet
    /// are there for the next.
    pub(in crate::http402) async fn reserve(
        self: &Arc<Purse>,
        steps: u64,
    ) -> Result<Reservation, PayError> {
        let reserved = self.set_aside(steps).await?;
        let reservation = Reservation { purse: self.clone(), reserved, open: true };
        let Some(fresh) = u32::try_from(reserved.fresh).ok().filter(|fresh| *fresh > 0) else {
            return Ok(reservation);
        };
        let handed = tokio::spawn(async move {
            let purse = reservation.purse.clone();
            match purse.stream.advance(fresh).await {
                Ok(tokens) => purse.book().keep(&tokens),
                Err(error) => {
                    reservation.never_left();
                    return Err(error);
                }
            }
            Ok(reservation)
        });
        Ok(handed.await.map_err(|_| ClientError::stopped())??)
    }

    async fn set_aside(&self, steps: u64) -> Result<Reserved, PayError> {
        let mut endings = self.payee.endings();
        loop {
            let some_end = *endings.borrow_and_update() > 0;
            let reserved = self.book().reserve(steps);
            match reserved {
                Err(Stop::Ahead) if some_end => {}
                reserved => return reserved.map_err(|stop| self.stopped(stop)),
            }
            endings.changed().await.map_err(|_| ClientError::stopped())?;
        }
    }

    /// What is kept of its payee.
    pub(in crate::http402) fn payee(&self) -> &Arc<Payee> {
        &self.payee
    }

    /// How many of the steps that this client handed over were redeemed, once that is final.
    pub(super) async fn redeemed_at_the_end(&self) -> Option<u64> {
        let redeemed = self.stream.redeemed_at_the_end().await.ok()??;
        Some(redeemed.saturating_sub(self.before))
    }

    pub(in crate::http402) fn stopped(&self, stop: Stop) -> PayError {
        let (handed, served) = self.book().totals();
        let steps = |amount: u64| amount.checked_div(self.unit.0).unwrap_or(0);
        match stop {
            Stop::Ahead => PayError::Exposure { handed: steps(handed), served: steps(served) },
            Stop::Over => {
                let code = Code::StreamClosed;
                PayError::Wallet(ClientError::new(code, code.title()))
            }
            Stop::Spent => PayError::TooDear(format!("the budget is spent: {handed} base units")),
        }
    }

    /// A header that hands over what was not heard of yet, and says what it is for.
    pub(in crate::http402) fn credential(
        &self,
        challenge: &Challenge,
        action: Action,
        target: &Target,
        (session, steps): (SessionId, u64),
    ) -> Result<(String, Vec<StepToken>), PayError> {
        let (tokens, key) = (self.book().loose(), self.stream.key());
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let (payer, stream) = (self.payer, key.stream);
        let payload = CredentialPayload { action, payer, stream, sealed: String::new() };
        let mut credential = Credential { challenge: challenge.clone(), payload };
        let bound = credential.bound(&target.method, &target.realm, &target.path);
        let handing = Handing { session, steps, tokens: tokens.clone() };
        let sealed = self.key.seal(&handing, &bound, fresh()?);
        credential.payload.sealed = base64(&sealed);
        Ok((credential.to_header(), tokens))
    }
}

impl ClientInner {
    /// Looks at the demand in an answer; remembers it if it is to be met.
    pub(in crate::http402) fn meet(
        &self,
        name: &str,
        target: &Target,
        headers: &HeaderMap,
    ) -> Result<(), PayError> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter();
        let mut demands = values.filter_map(|value| Challenge::from_header(value.to_str().ok()?));
        let challenge = demands.next().ok_or_else(|| {
            PayError::Demand("it takes no streams (method `payhub`, intent `session`)".to_owned())
        })?;
        let bad = |why: &str| PayError::Demand(why.to_owned());
        if challenge.realm != target.realm {
            return Err(bad("it is for another server"));
        }
        if challenge.expires_ms().is_none_or(|expires| expires <= clock_ms()) {
            return Err(bad("it has expired, or this machine's clock is wrong"));
        }
        let terms = challenge.terms().ok_or_else(|| bad("its terms can't be read"))?;
        let price = self.agree(&terms)?;
        self.remember(name.to_owned(), Known { challenge, payee: terms.recipient, price });
        Ok(())
    }

    /// Whether the terms are within the limits.
    fn agree(&self, terms: &Terms) -> Result<Price, PayError> {
        let bad = |why: &str| PayError::Demand(why.to_owned());
        let (Limits { asset, amount_max, lock_max, payee, .. }, details) =
            (self.limits, &terms.details);
        let price = terms.price().map_err(|error| PayError::Demand(error.to_string()))?;
        if details.ledger != self.wallet.ledger_id() || details.hub != self.wallet.hub_key() {
            return Err(bad("the payee is on another ledger or at another hub"));
        }
        if payee.is_some_and(|payee| payee != terms.recipient) {
            return Err(bad("another payee is asked for than the one who is to be paid"));
        }
        if price.asset() != asset {
            return Err(bad("it is of another asset"));
        }
        if price.amount() > amount_max {
            return Err(PayError::TooDear(format!("{} at a time", price.amount())));
        }
        if price.amount() > lock_max || price.steps() > self.ahead() {
            return Err(PayError::TooDear(format!(
                "{} can't be handed over at once",
                price.amount()
            )));
        }
        Ok(price)
    }

    /// How many steps a payee is handed beyond what it served.
    pub(in crate::http402) fn ahead(&self) -> u32 {
        self.limits.ahead.min(STEPS_MAX)
    }

    /// The stream that a payee is paid over; opened when there is none that goes on.
    pub(in crate::http402) async fn purse(
        &self,
        known: &Known,
        realm: &str,
    ) -> Result<Arc<Purse>, PayError> {
        let name = (known.payee, known.price.asset(), known.price.unit());
        let payee = self.payee(known.payee, known.price.asset());
        if let Some(purse) = standing(&payee, name.2).await? {
            return Ok(purse);
        }
        let _turn = payee.opening.lock().await;
        if let Some(purse) = standing(&payee, name.2).await? {
            return Ok(purse);
        }
        payee.pay_over(name.2, None);
        payee.look_back().await;
        let left = Amount(payee.left());
        if known.price.amount() > left {
            return Err(PayError::TooDear(format!("of the budget {left} is left, fees included")));
        }
        let purse = Arc::new(self.open(name, realm, payee.clone()).await?);
        payee.pay_over(name.2, Some(purse.clone()));
        Ok(purse)
    }

    async fn open(
        &self,
        (payee, asset, unit): PurseName,
        realm: &str,
        of: Arc<Payee>,
    ) -> Result<Purse, PayError> {
        let Limits { lock_max, life_blocks, .. } = self.limits;
        let affordable = |amount: Amount| amount.0.checked_div(unit.0).unwrap_or(0);
        let steps = u32::try_from(affordable(lock_max)).unwrap_or(u32::MAX);
        let ahead = self.ahead();
        let options = StreamOptions {
            steps: steps.clamp(STEPS_MIN, settlement::lock::STEPS_MAX),
            life_blocks,
            memo: realm.chars().take(200).collect(),
            // The book holds what is handed out against what was served, which is stricter than
            // against what the payee says that it holds; and needs no word from the payee.
            exposure: Exposure { ahead: u32::MAX, ..Exposure::default() },
            ..StreamOptions::new(payee, asset, unit)
        };
        let (stream, is_new) = self.stream(options).await?;
        let (mine, ledger) = (self.wallet.signing_key(), self.wallet.ledger_id());
        let key = PaymentKey::of_payer(mine, &payee, &ledger);
        let key = key.map_err(|error| PayError::Demand(error.to_string()))?;
        let book = Mutex::new(Book::new(ahead.into(), unit.0, of.sums.clone()));
        let (payer, view) = (self.wallet.public_key(), stream.view().await?);
        let fees_before = if is_new { Amount::ZERO } else { view.fees };
        let before = view.paid;
        let purse = Purse { stream, payer, unit, key, book, payee: of, before, fees_before };
        purse.count_fees(&view);
        Ok(purse)
    }

    /// What is kept of a payee.
    pub(super) fn payee(&self, payee: PublicKey, asset: AssetId) -> Arc<Payee> {
        let mut payees = self.payees.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = payees.entry((payee, asset));
        begun.or_insert_with(|| Arc::new(Payee::new(self.limits.budget.0))).clone()
    }

    /// A stream of an earlier client's that goes on, or a new one, and whether it is that. There is no
    /// further one beside [`UNITS_MAX`] others, nor while the payee keeps what is locked in
    /// [`SILENT_MAX`], and does not say that it has it or gives it back.
    async fn stream(&self, options: StreamOptions) -> Result<(OutgoingStream, bool), PayError> {
        let fits = |view: &StreamView| {
            let same = (view.key.way, view.key.peer) == (Way::Out, options.payee)
                && (view.asset, view.unit) == (options.asset, options.unit)
                && view.memo == options.memo;
            same && view.phase == StreamPhase::Open
        };
        let streams = self.wallet.streams().await?;
        if let Some(view) = streams.iter().find(|view| fits(view)) {
            return Ok((self.wallet.resume_stream(view.key, options.clone()).await?, false));
        }
        let to_payee = |view: &&StreamView| {
            (view.key.way, view.key.peer, view.asset) == (Way::Out, options.payee, options.asset)
        };
        let phases = || streams.iter().filter(to_payee).map(|view| view.phase);
        if phases().filter(|phase| *phase == StreamPhase::Open).count() >= UNITS_MAX {
            return Err(PayError::TooDear(format!(
                "the payee asks for steps of {}, and is paid over {UNITS_MAX} streams already",
                options.unit
            )));
        }
        let is_kept =
            |phase: &StreamPhase| matches!(phase, StreamPhase::Opening | StreamPhase::Closing);
        if phases().filter(is_kept).count() >= SILENT_MAX {
            let detail = "the payee does not answer, and no more money is locked for it before it \
                          does or what is locked comes back";
            return Err(ClientError::new(Code::Unanswered, detail).into());
        }
        Ok((self.wallet.open_stream_with(options).await?, true))
    }
}

/// The stream of this unit, if it goes on.
async fn standing(payee: &Payee, unit: Amount) -> Result<Option<Arc<Purse>>, PayError> {
    payee.look_back().await;
    let Some(purse) = payee.purse(unit) else { return Ok(None) };
    let view = purse.stream.view().await?;
    purse.count_fees(&view);
    Ok(matches!(view.phase, StreamPhase::Open | StreamPhase::Opening).then_some(purse))
}
