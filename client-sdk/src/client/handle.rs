//! One wallet of a client, as its user sees it.

use std::sync::Arc;
use std::time::Duration;

use settlement::api::AccountView;
use settlement::channel::{Answer, Channel};
use settlement::crypto::SigningKey;
use settlement::reject::Code;
use settlement::types::{Amount, Anchor, AssetId, ChannelId, Height, PublicKey, Secret};
use tokio::sync::{broadcast, oneshot};
use tokio::time::timeout;

use super::connection::Link;
use super::core::{CoreInput, Watch};
use super::{ClientError, Shared, Status, StatusChannel};
use crate::invoice::{CheckedInvoice, InvoiceError};
use crate::wallet::{Command, Event, Payment, PaymentState, Wallet};

/// How long what is under way may take to be settled before a client ends or balances are shown.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// A wallet. Clones are the same wallet.
#[derive(Clone)]
pub struct WalletHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) index: u32,
    pub(super) key: Arc<SigningKey>,
}

/// What happens to a wallet, as it happens.
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    /// The next event; `None` when the client has ended. Events that a slow listener missed are
    /// left out: [`WalletHandle::payments`] and [`WalletHandle::status`] have what came of them.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.next_or_missed().await? {
                return Some(event);
            }
        }
    }

    /// The next event, or `Some(None)` where some were missed.
    pub(super) async fn next_or_missed(&mut self) -> Option<Option<Event>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Some(event)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(None),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl WalletHandle {
    pub(super) fn new(shared: Arc<Shared>, index: u32, key: Arc<SigningKey>) -> WalletHandle {
        WalletHandle { shared, index, key }
    }

    /// The wallet's key.
    pub fn public_key(&self) -> PublicKey {
        self.key.public()
    }

    /// Expects a payment; returns the invoice's text and the payment that it waits for.
    ///
    /// # Errors
    /// [`Code::StaleView`], [`Code::BadArgument`], [`Code::ZeroAmount`] and others of the wallet's.
    pub async fn invoice(
        &self,
        asset: AssetId,
        amount: Amount,
        life_blocks: u64,
        memo: impl Into<String>,
    ) -> Result<(String, Payment), ClientError> {
        let (secret, memo) = (Secret(fresh()?), memo.into());
        let command = Command::Invoice { secret, asset, amount, life_blocks, memo };
        match self.command(command).await? {
            Some(Event::Invoiced { invoice, payment }) => Ok((invoice, payment)),
            _ => Err(ClientError::new(Code::Internal, "the wallet made no invoice")),
        }
    }

    /// Pays an invoice and waits for the end: settled, or failed with the money back for good. A
    /// wait that is given up changes nothing about the payment.
    ///
    /// # Errors
    /// When no payment was made: [`Code::BadInvoice`], [`Code::AlreadyPaid`],
    /// [`Code::InsufficientBalance`], [`Code::HubUnavailable`] and others.
    pub async fn pay(&self, invoice: impl Into<String>) -> Result<Payment, ClientError> {
        self.ended(self.pay_no_wait(invoice).await?).await
    }

    /// The same without waiting for the end.
    ///
    /// # Errors
    /// As [`WalletHandle::pay`].
    pub async fn pay_no_wait(&self, invoice: impl Into<String>) -> Result<Payment, ClientError> {
        // Here, so that the one thread that owns the wallets need not.
        let invoice = CheckedInvoice::parse(&invoice.into());
        let bad = |error: InvoiceError| ClientError::new(Code::BadInvoice, error.to_string());
        let invoice = Box::new(invoice.map_err(bad)?);
        self.payment_of(Command::PayChecked { invoice }).await
    }

    /// Pays a wallet that has not asked, and waits for the end.
    ///
    /// # Errors
    /// As [`WalletHandle::pay`].
    pub async fn send(
        &self,
        payee: PublicKey,
        asset: AssetId,
        amount: Amount,
        memo: impl Into<String>,
    ) -> Result<Payment, ClientError> {
        self.ended(self.send_no_wait(payee, asset, amount, memo).await?).await
    }

    /// The same without waiting for the end.
    ///
    /// # Errors
    /// As [`WalletHandle::pay`].
    pub async fn send_no_wait(
        &self,
        payee: PublicKey,
        asset: AssetId,
        amount: Amount,
        memo: impl Into<String>,
    ) -> Result<Payment, ClientError> {
        let (secret, nonce, memo) = (Secret(fresh()?), fresh()?, memo.into());
        self.payment_of(Command::Send { secret, nonce, payee, asset, amount, memo }).await
    }

    /// Pays the hub itself, directly and unconditionally. Returns when the payment is durable here.
    ///
    /// # Errors
    /// [`Code::InsufficientBalance`], [`Code::NoChannel`] and others of the wallet's.
    pub async fn pay_hub(
        &self,
        channel: ChannelId,
        amount: Amount,
        memo: impl Into<String>,
    ) -> Result<(), ClientError> {
        let memo = memo.into();
        self.command(Command::PayHub { channel, amount, memo }).await.map(|_| ())
    }

    /// Waits for a payment's end, in or out.
    ///
    /// # Errors
    /// When the client is shut down before.
    pub async fn wait(&self, anchor: Anchor) -> Result<Payment, ClientError> {
        let (ended, end) = oneshot::channel();
        self.give(CoreInput::Await { index: self.index, anchor, ended }).await?;
        end.await.map_err(|_| ClientError::stopped())
    }

    /// Every payment, in and out, oldest first.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn payments(&self) -> Result<Vec<Payment>, ClientError> {
        let mut payments: Vec<Payment> =
            self.look(|wallet| wallet.payments().cloned().collect()).await?;
        payments.sort_by_key(|payment| (payment.created_ms, payment.anchor));
        Ok(payments)
    }

    /// What the wallet holds in its channels.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.look(|wallet| Status {
            public_key: wallet.public_key(),
            height: wallet.followed(),
            channels: wallet.channels().map(StatusChannel::of).collect(),
        })
        .await
    }

    /// What the wallet's account on the ledger holds.
    ///
    /// # Errors
    /// [`Code::LedgerUnavailable`].
    pub async fn account(&self) -> Result<AccountView, ClientError> {
        Ok(self.shared.ledger.account(&self.key.public()).await?)
    }

    /// What happens from now on.
    pub fn events(&self) -> Option<Events> {
        let receiver = self.shared.members.listen(self.index)?;
        Some(Events { receiver })
    }

    /// How the wallet's connection stands.
    pub fn link(&self) -> Link {
        let number = self.shared.members.connection_of(self.index);
        self.shared.links.get(number).map_or(Link::Connecting, |link| link.borrow().clone())
    }

    /// Waits until the wallet is connected and the hub has met it in every open channel, or until
    /// it is clear that the hub can't be reached now.
    ///
    /// # Errors
    /// [`Code::HubUnavailable`] or with what the hub ended the connection.
    pub async fn synced(&self) -> Result<(), ClientError> {
        let number = self.shared.members.connection_of(self.index);
        let Some(link) = self.shared.links.get(number).filter(|_| self.shared.connect) else {
            return Err(ClientError::new(Code::HubUnavailable, "this client does not connect"));
        };
        let mut link = link.clone();
        let up = link.clone().wait_for(|link| *link != Link::Connecting).await.is_ok();
        if !up {
            return Err(ClientError::stopped());
        }
        let broken = async {
            loop {
                if let Link::Down { code, detail } = &*link.borrow_and_update() {
                    return ClientError::new(*code, detail.clone());
                }
                if link.changed().await.is_err() {
                    return ClientError::stopped();
                }
            }
        };
        tokio::select! {
            biased;
            error = broken => Err(error),
            met = self.met() => met,
        }
    }

    /// Settles now, in every open channel, what would otherwise wait up to a second for an update to
    /// ride in. Nothing to settle, or no hub to settle it with, is no failure.
    ///
    /// # Errors
    /// When the client has been shut down.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let open = |wallet: &Wallet| {
            let open = wallet.channels().filter(|channel| channel.usable().is_ok());
            open.map(Channel::id).collect::<Vec<_>>()
        };
        for channel in self.look(open).await? {
            match self.command(Command::Flush { channel }).await {
                Err(error) if error.code == Code::Internal => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Waits until nothing is on its way any more that the next moments would settle: no update
    /// unanswered, no lock whose secret is known. Gives up after `patience`.
    ///
    /// # Errors
    /// When the client has been shut down; [`Code::Unanswered`] after `patience`.
    pub async fn quiet(&self, patience: Duration) -> Result<(), ClientError> {
        self.within(patience, self.until(|wallet| is_quiet(wallet).then_some(()))).await
    }

    /// Gives what is under way a moment to be settled with the hub: at most [`SETTLE`].
    pub(crate) async fn settle(&self) {
        // What takes longer goes on later.
        let _ = self.flush().await;
        let _ = self.quiet(SETTLE).await;
    }

    /// Waits until the wallet has followed what is the ledger's newest block now.
    ///
    /// # Errors
    /// [`Code::LedgerUnavailable`], also when it does not get there within `patience`.
    pub async fn caught_up(&self, patience: Duration) -> Result<(), ClientError> {
        let tip = self.shared.ledger.info().await?.tip;
        let height = tip.map_or(Height(0), |tip| tip.header.height);
        let there = self.until(move |wallet| (wallet.followed() >= height).then_some(()));
        self.within(patience, there).await.map_err(|error| match error.code {
            Code::Unanswered => {
                let detail = format!("the ledger did not give its blocks up to {height} in time");
                ClientError::new(Code::LedgerUnavailable, detail)
            }
            _ => error,
        })
    }

    /// Waits until the ledger has answered everything that this client had to bring before it until
    /// now: closes, proofs against somebody else's close, claims. Without this, a client that ends
    /// leaves what is still on its way to its next start. Gives up after `patience`.
    ///
    /// # Errors
    /// When the client has been shut down; [`Code::LedgerUnavailable`] after `patience`.
    pub async fn handed_in(&self, patience: Duration) -> Result<(), ClientError> {
        // Behind everything that the core has made the committer perform.
        self.look(|_| ()).await?;
        let mut unanswered = self.shared.unanswered.clone();
        let answered = timeout(patience, unanswered.wait_for(|count| *count == 0)).await;
        let Ok(Ok(_)) = answered else {
            let detail = "the ledger has not taken what this wallet has to bring before it";
            return Err(ClientError::new(Code::LedgerUnavailable, detail));
        };
        Ok(())
    }

    async fn ended(&self, payment: Payment) -> Result<Payment, ClientError> {
        if payment.state == PaymentState::Pending {
            self.wait(payment.anchor).await
        } else {
            Ok(payment)
        }
    }

    async fn payment_of(&self, command: Command) -> Result<Payment, ClientError> {
        match self.command(command).await? {
            Some(Event::Payment(payment)) => Ok(payment),
            _ => Err(ClientError::new(Code::Internal, "the wallet made no payment")),
        }
    }

    async fn give(&self, input: CoreInput) -> Result<(), ClientError> {
        self.shared.core.send(input).await.map_err(|_| ClientError::stopped())
    }

    /// Has the wallet do something; returns what it says at once, when that is durable.
    pub(super) async fn command(&self, command: Command) -> Result<Option<Event>, ClientError> {
        let (answered, answer) = oneshot::channel();
        self.give(CoreInput::Command { index: self.index, command, answered }).await?;
        answer.await.map_err(|_| ClientError::stopped())?
    }

    /// Looks at the wallet once.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        mut look: impl FnMut(&Wallet) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        self.until(move |wallet| Some(look(wallet))).await
    }

    /// Looks at the wallet until there is something to see.
    pub(crate) async fn until<T: Send + 'static>(
        &self,
        mut look: impl FnMut(&Wallet) -> Option<T> + Send + 'static,
    ) -> Result<T, ClientError> {
        let (found, waiting) = oneshot::channel();
        let mut found = Some(found);
        let watch: Watch = Box::new(move |wallet| {
            if found.as_ref().is_none_or(oneshot::Sender::is_closed) {
                // Whoever asked has gone.
                return Some(Box::new(|| ()));
            }
            let seen = look(wallet)?;
            let found = found.take()?;
            Some(Box::new(move || {
                let _ = found.send(seen);
            }))
        });
        self.give(CoreInput::Watch { index: self.index, watch }).await?;
        waiting.await.map_err(|_| ClientError::stopped())
    }

    pub(super) async fn within<T>(
        &self,
        patience: Duration,
        what: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = |_| ClientError::new(Code::Unanswered, Code::Unanswered.title());
        timeout(patience, what).await.map_err(late)?
    }
}

pub(super) fn all_met(wallet: &Wallet) -> Option<()> {
    let mut open = wallet.channels().filter(|channel| channel.usable().is_ok());
    open.all(|channel| wallet.is_synced(&channel.id())).then_some(())
}

fn is_quiet(wallet: &Wallet) -> bool {
    let known = |answer: &Option<Answer>| matches!(answer, Some(Answer::Known { .. }));
    let mut open = wallet.channels().filter(|channel| channel.usable().is_ok());
    open.all(|channel| {
        let (out, inc) = (channel.outgoing(), channel.incoming());
        let unsettled = |(id, standing): (&u64, &settlement::channel::Standing)| {
            known(&standing.answer) && out.tip().lock(*id).is_some()
        };
        out.in_flight.is_none()
            && !out.standing.iter().any(unsettled)
            && !inc.locks.values().any(|lock| known(&lock.answer))
    })
}

/// Fresh randomness.
pub(crate) fn fresh<const N: usize>() -> Result<[u8; N], ClientError> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|_| ClientError::new(Code::Internal, "the system gives no randomness"))?;
    Ok(bytes)
}
