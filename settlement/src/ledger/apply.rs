//! What each transaction needs and does, submissions excepted.
//!
//! Each has a `plan`, which looks at borrowed state and refuses or says what will change, and a
//! commit, which cannot fail. The mempool's check is the plan alone.

use super::Ledger;
use super::boundaries;
use super::channel::ChannelState;
use super::measured::Measured;
use super::payout::payout;
use super::verified::VerifiedTx;
use crate::block::LedgerEvent;
use crate::bugs::{Bug, planted};
use crate::proof::{CooperativeClose, OpenTerms, Withdrawal};
use crate::reject::Code;
use crate::tx::{AccountAction, AccountTx, Mint, OnChannel, Transaction};
use crate::types::{Amount, AssetId, ChannelId, Height, PerRole, Role};

/// The most channels that the ledger pays out by itself at the end of one block. The others follow
/// in the next blocks, oldest first.
pub const SETTLEMENTS_MAX: usize = 1_024;

/// How many transactions of the same account are queued before this one: its nonce may be that
/// much higher. Zero in a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ahead(pub(super) u64);

impl Ledger {
    /// Whether a transaction would be taken in a block of this height.
    pub(super) fn plan(&self, tx: &VerifiedTx, block: Height, ahead: Ahead) -> Result<(), Code> {
        match tx.tx() {
            Transaction::Account { body, .. } => {
                let fee = self.fee(tx, block);
                self.plan_account(body, fee, block, ahead)
            }
            Transaction::Mint { body, .. } => self.plan_mint(body, ahead),
            bare => bare.on_channel().map_or(Ok(()), |tx| self.plan_on_channel(tx, block)),
        }
    }

    fn plan_on_channel(&self, tx: OnChannel<'_>, block: Height) -> Result<(), Code> {
        match tx {
            OnChannel::Withdraw(body, ..) => self.plan_withdraw(body, block).map(|_| ()),
            OnChannel::CooperativeClose(body, ..) => {
                self.plan_cooperative_close(body, block).map(|_| ())
            }
            OnChannel::Submit(body, _) => self.plan_submit(body, block).map(|_| ()),
            OnChannel::Settle(channel) => self.plan_settle(channel, block),
        }
    }

    /// Applies one transaction; an error says that it changed nothing.
    pub(super) fn execute(
        &mut self,
        tx: &VerifiedTx,
        block: Height,
        measured: &Measured,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Code> {
        match tx.tx() {
            Transaction::Account { body, .. } => {
                let fee = self.fee(tx, block);
                self.plan_account(body, fee, block, Ahead(0))?;
                // Before anything is hashed, and kept whatever comes of it.
                self.charge(body.account, fee);
                match &body.action {
                    AccountAction::Carry(carried) => {
                        self.state.spend_nonce(body.account);
                        let carried = carried.as_ref().into();
                        let done = self.execute_on_channel(carried, block, measured, events);
                        let refused = |code| LedgerEvent::Refused { tx: tx.id(), code };
                        events.extend(done.err().map(refused));
                        Ok(())
                    }
                    _ => self.commit_account(body, block, events),
                }
            }
            Transaction::Mint { body, .. } => {
                self.plan_mint(body, Ahead(0))?;
                events.push(self.commit_mint(body));
                Ok(())
            }
            bare => match bare.on_channel() {
                Some(tx) => self.execute_on_channel(tx, block, measured, events),
                None => Ok(()),
            },
        }
    }

    fn execute_on_channel(
        &mut self,
        tx: OnChannel<'_>,
        block: Height,
        measured: &Measured,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Code> {
        match tx {
            OnChannel::Withdraw(body, ..) => {
                let amount = self.plan_withdraw(body, block)?;
                events.push(self.commit_withdraw(body, amount)?);
            }
            OnChannel::CooperativeClose(body, ..) => {
                let amounts = self.plan_cooperative_close(body, block)?;
                events.extend(self.pay_out(&body.channel, amounts, true));
            }
            OnChannel::Submit(body, _) => self.execute_submit(body, block, measured, events)?,
            OnChannel::Settle(channel) => {
                self.plan_settle(channel, block)?;
                events.extend(self.settle(channel));
            }
        }
        Ok(())
    }

    pub(super) fn known_asset(&self, asset: AssetId) -> Result<(), Code> {
        let assets = self.parameters().assets.len();
        let known = usize::try_from(asset.0).is_ok_and(|id| id < assets);
        known.then_some(()).ok_or(Code::UnknownAsset)
    }

    fn existing(&self, id: &ChannelId) -> Result<&ChannelState, Code> {
        self.state.channel(id).ok_or(Code::NoSuchChannel)
    }

    fn open(&self, id: &ChannelId) -> Result<&ChannelState, Code> {
        let channel = self.existing(id)?;
        match channel.closing {
            None => Ok(channel),
            Some(_) => Err(Code::NotOpen),
        }
    }

    fn plan_account(
        &self,
        body: &AccountTx,
        fee: Amount,
        block: Height,
        ahead: Ahead,
    ) -> Result<(), Code> {
        let next = self.state.nonce(&body.account).checked_add(ahead.0);
        if next != Some(body.nonce) && !planted(Bug::NonceUnchecked) {
            return Err(Code::BadNonce);
        }
        match &body.action {
            AccountAction::Transfer { asset, amount, .. } => {
                self.known_asset(*asset)?;
                self.affords(body.account, *asset, *amount, fee)
            }
            AccountAction::Open { terms, deposit } => {
                self.plan_open(terms)?;
                self.affords(body.account, terms.asset, *deposit, fee)
            }
            AccountAction::Deposit { channel, role, amount } => {
                let channel = self.open(channel)?;
                let total = channel.deposited.of(*role).checked_add(*amount);
                total.ok_or(Code::TxOverflow)?;
                self.affords(body.account, channel.terms.asset, *amount, fee)
            }
            AccountAction::Anchor(anchor) => {
                self.plan_anchor(&body.account, anchor)?;
                self.affords_fee(body.account, fee)
            }
            AccountAction::Lease(lease) => {
                self.plan_lease(&body.account, lease)?;
                self.affords_fee(body.account, fee)
            }
            AccountAction::Carry(carried) => {
                self.plan_on_channel(carried.as_ref().into(), block)?;
                self.affords_fee(body.account, fee)
            }
        }
    }

    fn plan_open(&self, terms: &OpenTerms) -> Result<(), Code> {
        self.known_asset(terms.asset)?;
        let genesis = self.parameters();
        let bounds = genesis.challenge_blocks_min..=genesis.challenge_blocks_max;
        if !bounds.contains(&terms.challenge_blocks) {
            return Err(Code::BadTerms);
        }
        // Nonces make this impossible; if it came about nevertheless, escrow would be overwritten.
        if self.state.channels.contains_key(&terms.channel_id()) {
            return Err(Code::ChannelExists);
        }
        Ok(())
    }

    fn commit_account(
        &mut self,
        body: &AccountTx,
        block: Height,
        events: &mut Vec<LedgerEvent>,
    ) -> Result<(), Code> {
        let payer = body.account;
        let event = match &body.action {
            AccountAction::Transfer { to, asset, amount } => {
                self.state.debit(payer, *asset, *amount);
                self.state.credit(*to, *asset, *amount);
                LedgerEvent::Transferred { from: payer, to: *to, asset: *asset, amount: *amount }
            }
            AccountAction::Open { terms, deposit } => {
                self.state.debit(payer, terms.asset, *deposit);
                let index = self.state.next_index();
                let channel = ChannelState::new(*terms, index, block, *deposit);
                self.state.put_channel(terms.channel_id(), Some(channel));
                LedgerEvent::Opened { terms: *terms, deposit: *deposit }
            }
            AccountAction::Deposit { channel: id, role, amount } => {
                let mut channel = self.existing(id)?.clone();
                let total = channel.deposited.of_mut(*role);
                *total = total.checked_add(*amount).ok_or(Code::TxOverflow)?;
                let total = *total;
                self.state.debit(payer, channel.terms.asset, *amount);
                self.state.put_channel(*id, Some(channel));
                LedgerEvent::Deposited { channel: *id, role: *role, total }
            }
            AccountAction::Anchor(anchor) => self.commit_anchor(payer, anchor, block, events),
            AccountAction::Lease(lease) => self.commit_lease(payer, lease),
            // Executed before it comes here.
            AccountAction::Carry(_) => return Ok(()),
        };
        events.push(event);
        self.state.spend_nonce(payer);
        Ok(())
    }

    /// How much is paid out.
    fn plan_withdraw(&self, body: &Withdrawal, block: Height) -> Result<Amount, Code> {
        let channel = self.open(&body.channel)?;
        if !boundaries::still_valid(block, body.valid_until) {
            return Err(Code::TooLate);
        }
        let before = *channel.withdrawn.of(body.role);
        let amount = body.total_withdrawn.checked_sub(before);
        let amount = amount.filter(|amount| *amount > Amount::ZERO);
        let amount = amount.ok_or(Code::NotRising)?;
        let enough = amount.wide() <= channel.escrow();
        enough.then_some(amount).ok_or(Code::EscrowMismatch)
    }

    fn commit_withdraw(&mut self, body: &Withdrawal, amount: Amount) -> Result<LedgerEvent, Code> {
        let mut channel = self.existing(&body.channel)?.clone();
        let terms = channel.terms;
        *channel.withdrawn.of_mut(body.role) = body.total_withdrawn;
        self.state.put_channel(body.channel, Some(channel));
        self.state.credit(*terms.key(body.role), terms.asset, amount);
        Ok(LedgerEvent::Withdrawn {
            channel: body.channel,
            role: body.role,
            total: body.total_withdrawn,
        })
    }

    /// What each side gets: what was agreed, and what its side moved since.
    fn plan_cooperative_close(
        &self,
        body: &CooperativeClose,
        block: Height,
    ) -> Result<PerRole<Amount>, Code> {
        let channel = self.existing(&body.channel)?;
        if !boundaries::still_valid(block, body.valid_until) {
            return Err(Code::TooLate);
        }
        let wallet = body.wallet_amount.wide() + channel.net(Role::Wallet) - body.wallet_net.wide();
        let hub = body.hub_amount.wide() + channel.net(Role::Hub) - body.hub_net.wide();
        match (Amount::from_wide(wallet), Amount::from_wide(hub)) {
            (Some(w), Some(h)) if wallet + hub == channel.escrow() => {
                Ok(PerRole { wallet: w, hub: h })
            }
            _ => Err(Code::EscrowMismatch),
        }
    }

    fn plan_settle(&self, id: &ChannelId, block: Height) -> Result<(), Code> {
        let due = self.existing(id)?.due();
        let is_due = due.is_some_and(|due| due <= block);
        is_due.then_some(()).ok_or(Code::NotDue)
    }

    fn settle(&mut self, id: &ChannelId) -> Option<LedgerEvent> {
        let amounts = self.state.channel(id).map(payout)?;
        self.pay_out(id, amounts, false)
    }

    fn pay_out(
        &mut self,
        id: &ChannelId,
        amounts: PerRole<Amount>,
        cooperative: bool,
    ) -> Option<LedgerEvent> {
        let channel = self.state.channel(id)?;
        let (terms, closed) = (channel.terms, channel.closed(amounts));
        self.state.closed.push(closed);
        // The channel goes first: money is never in two places.
        self.state.put_channel(*id, None);
        for role in [Role::Wallet, Role::Hub] {
            let amount = *amounts.of(role);
            self.state.credit(*terms.key(role), terms.asset, amount);
        }
        Some(LedgerEvent::Settled {
            channel: *id,
            wallet: amounts.wallet,
            hub: amounts.hub,
            cooperative,
        })
    }

    /// Pays out what is due after the transactions of the block of this height.
    pub(super) fn settle_due(&mut self, applied: Height, events: &mut Vec<LedgerEvent>) {
        for _ in 0..SETTLEMENTS_MAX {
            let next = self.state.due.first().filter(|(due, _)| *due <= applied);
            let Some((_, id)) = next.copied() else {
                return;
            };
            events.extend(self.settle(&id));
        }
    }

    fn plan_mint(&self, body: &Mint, ahead: Ahead) -> Result<(), Code> {
        self.known_asset(body.asset)?;
        if self.state.mints.checked_add(ahead.0) != Some(body.number) {
            return Err(Code::BadNonce);
        }
        let issued = self.state.issued(body.asset).checked_add(body.amount);
        issued.map(|_| ()).ok_or(Code::TxOverflow)
    }

    fn commit_mint(&mut self, body: &Mint) -> LedgerEvent {
        self.state.spend_mint();
        self.state.issue(body.asset, body.amount);
        self.state.credit(body.to, body.asset, body.amount);
        LedgerEvent::Minted { to: body.to, asset: body.asset, amount: body.amount }
    }
}

#[cfg(test)]
mod tests;
