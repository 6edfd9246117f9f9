//! What takes hub, ledger and wallet together: opening, depositing, withdrawing, closing.

use std::time::Duration;

use settlement::channel::{Channel, Phase};
use settlement::proof::{CooperativeClose, OpenTerms, Withdrawal};
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, Role};
use tokio::sync::oneshot;

use super::ClientError;
use super::core::CoreInput;
use super::handle::WalletHandle;
use super::kept;
use crate::wallet::{Command, Wallet};

/// How long something may take that needs a block or two.
const BLOCK_WAIT: Duration = Duration::from_secs(60);
/// How long a new channel may wait for what the hub puts into it, which it says and does not sign.
const INBOUND_WAIT: Duration = Duration::from_secs(10);
/// How long the sides may take to have nothing pending between them.
const QUIET_WAIT: Duration = Duration::from_secs(15);
/// How often a close is tried when payments keep coming in between.
const CLOSE_TRIES: u32 = 5;
/// How often the hub is asked to sign what this side has signed already.
const COSIGN_TRIES: u32 = 20;
const COSIGN_PAUSE: Duration = Duration::from_millis(250);

/// A channel that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its id.
    pub channel: ChannelId,
    /// What the hub is putting into it.
    pub inbound: Amount,
}

/// What a channel paid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Its id.
    pub channel: ChannelId,
    /// What the wallet got.
    pub wallet_amount: Amount,
    /// What the hub got.
    pub hub_amount: Amount,
}

impl WalletHandle {
    /// Opens a channel with `deposit` of the wallet's account in it, and waits until it is in a
    /// block and payments can go: out of it, and into it as far as the hub puts something in, unless
    /// that takes longer than 10 s.
    ///
    /// # Errors
    /// [`Code::InsufficientFunds`], [`Code::PolicyRefused`], [`Code::HubUnavailable`],
    /// [`Code::LedgerUnavailable`] and others of hub and ledger.
    pub async fn open_channel(
        &self,
        asset: AssetId,
        deposit: Amount,
    ) -> Result<Opened, ClientError> {
        let member = self.shared.members.get(self.index).ok_or_else(ClientError::stopped)?;
        let _turn = member.account.lock().await;
        let nonce = self.paying_into(asset, deposit, 1).await?;
        let info = &self.shared.info;
        let terms = OpenTerms {
            ledger: info.ledger,
            asset,
            wallet: self.public_key(),
            hub: info.hub,
            challenge_blocks: info.policy.challenge_blocks,
            nonce,
        };
        let opening = self.account_tx(nonce, AccountAction::Open { terms, deposit });
        let answer = self.shared.hub.open(&opening).await?;
        let channel = terms.channel_id();
        let met = self.until(move |wallet| wallet.is_synced(&channel).then_some(()));
        self.in_blocks(met).await?;
        let inbound = answer.inbound;
        let deposited = self.until(move |wallet| {
            let there = wallet.channel(&channel)?.escrow(Role::Hub).deposited;
            (there >= inbound).then_some(())
        });
        // A wallet that can't be paid yet can pay all the same.
        match self.within(INBOUND_WAIT, deposited).await {
            Err(error) if error.code != Code::Unanswered => Err(error),
            _ => Ok(Opened { channel, inbound }),
        }
    }

    /// Puts more of the wallet's account into an open channel, and waits until that is in a block.
    ///
    /// # Errors
    /// [`Code::NoChannel`], [`Code::InsufficientFunds`], [`Code::LedgerUnavailable`] and others of
    /// the ledger.
    pub async fn deposit(&self, channel: ChannelId, amount: Amount) -> Result<(), ClientError> {
        let member = self.shared.members.get(self.index).ok_or_else(ClientError::stopped)?;
        let _turn = member.account.lock().await;
        let deposited = |c: &Channel| c.escrow(Role::Wallet).deposited;
        let before = self.of_channel(channel, deposited).await?;
        let after = before.checked_add(amount);
        let after = after.ok_or_else(|| ClientError::new(Code::TxOverflow, "too much"))?;
        let asset = self.of_channel(channel, |channel| channel.terms().asset).await?;
        let nonce = self.paying_into(asset, amount, 0).await?;
        let action = AccountAction::Deposit { channel, role: Role::Wallet, amount };
        let transaction = self.account_tx(nonce, action);
        let (refused, refusal) = oneshot::channel();
        let tx = transaction.id();
        let waiting = CoreInput::AwaitRefusal { tx, refused };
        self.shared.core.send(waiting).await.map_err(|_| ClientError::stopped())?;
        self.shared.ledger.submit(&transaction).await?;
        let arrived = self.until(move |wallet| {
            let channel = wallet.channel(&channel)?;
            (deposited(channel) >= after).then_some(())
        });
        tokio::select! {
            arrived = self.in_blocks(arrived) => arrived,
            Ok(code) = refusal => Err(ClientError::new(code, code.title())),
        }
    }

    /// The account's next nonce, if it can put so much into a channel, one of `new` ones or one that
    /// stands, and keep what closing costs.
    async fn paying_into(
        &self,
        asset: AssetId,
        amount: Amount,
        new: usize,
    ) -> Result<u64, ClientError> {
        let channels = self.until(|wallet| Some(kept::standing(wallet))).await?;
        let view = self.account().await?;
        let fees = &self.shared.genesis.fees;
        kept::check_left(fees, &view, (asset, amount), channels.saturating_add(new))?;
        Ok(view.nonce)
    }

    /// Takes money out of an open channel into the wallet's account, with the hub's signature, and
    /// waits until that is in a block.
    ///
    /// # Errors
    /// [`Code::Overdraft`], [`Code::NotAgreed`], [`Code::HubUnavailable`]; [`Code::TooLate`] when
    /// the ledger did not take it in time, and nothing has moved.
    pub async fn withdraw(&self, channel: ChannelId, amount: Amount) -> Result<(), ClientError> {
        self.acknowledged(channel).await?;
        let (height, before) = self
            .until(move |wallet| {
                let found = wallet.channel(&channel)?;
                Some((wallet.followed(), found.escrow(Role::Wallet).withdrawn))
            })
            .await?;
        let total = before.checked_add(amount);
        let total_withdrawn = total.ok_or_else(|| ClientError::new(Code::Overdraft, "too much"))?;
        let valid_until = height.after(self.valid_blocks());
        let role = Role::Wallet;
        let withdrawal = Withdrawal { channel, role, total_withdrawn, valid_until };
        self.command(Command::AgreeWithdrawal { withdrawal }).await?;
        self.cosigned(|| self.shared.hub.withdraw(&self.key, &withdrawal)).await?;
        let done = self.until(move |wallet| {
            let found = wallet.channel(&channel)?;
            let arrived = found.escrow(Role::Wallet).withdrawn >= total_withdrawn;
            let lapsed = !arrived && wallet.followed() > valid_until;
            (arrived || lapsed).then_some(arrived)
        });
        if self.in_blocks(done).await? { Ok(()) } else { Err(too_late("withdrawal")) }
    }

    /// For how many blocks what both sides sign for the ledger is valid.
    fn valid_blocks(&self) -> u64 {
        let (policy, genesis) = (&self.shared.info.policy, &self.shared.genesis);
        policy.agreed_blocks(policy.lag(genesis))
    }

    /// Closes a channel together with the hub, and waits until the ledger has paid out.
    ///
    /// # Errors
    /// [`Code::NotAgreed`] while payments are pending on it, [`Code::HubUnavailable`],
    /// [`Code::NoChannel`]; the channel is then still open, or closes all the same a little later.
    pub async fn close(&self, channel: ChannelId) -> Result<Closed, ClientError> {
        if let Some(closed) = self.of_channel(channel, paid_out).await? {
            return Ok(closed);
        }
        for _ in 0..CLOSE_TRIES {
            self.acknowledged(channel).await?;
            let close = self.closable(channel).await?;
            match self.command(Command::AgreeClose { close }).await {
                Ok(_) => return self.finish_close(close).await,
                // Something came in between.
                Err(error) if error.code == Code::NotAgreed => {}
                Err(error) => return Err(error),
            }
        }
        Err(pending(channel))
    }

    /// Waits until nothing is pending on the channel, and has its last state's terms.
    async fn closable(&self, channel: ChannelId) -> Result<CooperativeClose, ClientError> {
        let valid_blocks = self.valid_blocks();
        let terms = self.until(move |wallet| {
            let valid_until = wallet.followed().after(valid_blocks);
            match wallet.channel(&channel)?.close_terms(valid_until) {
                Err(Code::NotAgreed) => None,
                other => Some(other),
            }
        });
        let terms = self.within(QUIET_WAIT, terms).await;
        let terms = terms.map_err(|error| late(error, || pending(channel)))?;
        terms.map_err(|code| ClientError::new(code, code.title()))
    }

    async fn finish_close(&self, close: CooperativeClose) -> Result<Closed, ClientError> {
        self.cosigned(|| self.shared.hub.close(&self.key, &close)).await?;
        let id = close.channel;
        let done = self.until(move |wallet| {
            let closed = paid_out(wallet.channel(&id)?);
            let lapsed = closed.is_none() && wallet.followed() > close.valid_until;
            (closed.is_some() || lapsed).then_some(closed)
        });
        self.in_blocks(done).await?.ok_or_else(|| too_late("close"))
    }

    /// Closes a channel without the hub: brings its newest proof and every claim to the ledger.
    /// Returns as soon as that is durable here; the client goes on bringing it.
    ///
    /// # Errors
    /// [`Code::NoChannel`], [`Code::ChannelClosing`], [`Code::NothingToDo`].
    pub async fn close_alone(&self, channel: ChannelId) -> Result<(), ClientError> {
        self.command(Command::CloseAlone { channel }).await.map(|_| ())
    }

    /// Waits until the ledger has paid a channel out, however that came; as long as its challenge
    /// period and its pending locks take.
    ///
    /// # Errors
    /// [`Code::NoChannel`]; when the client is shut down before.
    pub async fn closed(&self, channel: ChannelId) -> Result<Closed, ClientError> {
        self.of_channel(channel, |_| ()).await?;
        self.until(move |wallet| wallet.channel(&channel).and_then(paid_out)).await
    }

    /// Waits until a close of this channel is in a block, or it is paid out already.
    ///
    /// # Errors
    /// As [`WalletHandle::closed`].
    pub async fn closing(&self, channel: ChannelId) -> Result<(), ClientError> {
        self.of_channel(channel, |_| ()).await?;
        let on_ledger = self.until(move |wallet| {
            let phase = wallet.channel(&channel)?.phase();
            matches!(phase, Phase::Closing { .. } | Phase::Closed { .. }).then_some(())
        });
        self.in_blocks(on_ledger).await
    }

    /// Settles what is due, then acknowledges all that was accepted, so that both sides' newest
    /// proofs say the same.
    async fn acknowledged(&self, channel: ChannelId) -> Result<(), ClientError> {
        self.of_channel(channel, |_| ()).await?;
        let usable = self.of_channel(channel, Channel::usable).await?;
        usable.map_err(|code| ClientError::new(code, code.title()))?;
        self.within(QUIET_WAIT, self.synced()).await.map_err(|error| {
            late(error, || ClientError::new(Code::HubUnavailable, "the hub does not answer"))
        })?;
        for command in [Command::Flush { channel }, Command::Acknowledge { channel }] {
            let settled = self.until(move |wallet| calm(wallet, channel).then_some(()));
            self.within(QUIET_WAIT, settled)
                .await
                .map_err(|error| late(error, || pending(channel)))?;
            self.command(command).await?;
        }
        let answered = self.until(move |wallet| calm(wallet, channel).then_some(()));
        self.within(QUIET_WAIT, answered).await.map_err(|error| late(error, || pending(channel)))
    }

    /// Has the hub sign what this side has signed: again while it is not as far yet, or can't be
    /// reached. Asking twice gets the same signature.
    async fn cosigned<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let mut tries = 0u32;
        loop {
            match ask().await {
                Err(error)
                    if tries < COSIGN_TRIES
                        && (error.code == Code::NotAgreed || error.is_unreachable()) =>
                {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(COSIGN_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    fn account_tx(&self, nonce: u64, action: AccountAction) -> Transaction {
        let (ledger, account) = (self.shared.info.ledger, self.public_key());
        Transaction::account(&self.key, AccountTx { ledger, account, nonce, action })
    }

    async fn of_channel<T: Send + 'static>(
        &self,
        id: ChannelId,
        mut look: impl FnMut(&Channel) -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let found = self.look(move |wallet| wallet.channel(&id).map(&mut look)).await?;
        let missing = || ClientError::new(Code::NoChannel, format!("there is no channel {id}"));
        found.ok_or_else(missing)
    }

    /// Waits for something that a block or two bring.
    async fn in_blocks<T>(
        &self,
        what: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        self.within(BLOCK_WAIT, what).await.map_err(|error| {
            late(error, || {
                let detail =
                    "it was handed in, but no block has shown it; look at the status later";
                ClientError::new(Code::LedgerUnavailable, detail)
            })
        })
    }
}

fn calm(wallet: &Wallet, channel: ChannelId) -> bool {
    wallet.is_synced(&channel)
        && wallet.channel(&channel).is_some_and(|c| c.outgoing().in_flight.is_none())
}

fn paid_out(channel: &Channel) -> Option<Closed> {
    match channel.phase() {
        Phase::Closed { wallet, hub } => {
            Some(Closed { channel: channel.id(), wallet_amount: wallet, hub_amount: hub })
        }
        _ => None,
    }
}

fn late(error: ClientError, instead: impl FnOnce() -> ClientError) -> ClientError {
    if error.code == Code::Unanswered { instead() } else { error }
}

fn pending(channel: ChannelId) -> ClientError {
    let detail = format!(
        "payments are still pending on channel {channel}; try again, or close it without the hub"
    );
    ClientError::new(Code::NotAgreed, detail)
}

fn too_late(what: &str) -> ClientError {
    let detail = format!("the ledger did not take the {what} in time; nothing has moved");
    ClientError::new(Code::TooLate, detail)
}
