//! A second count of all money, from what blocks wrote and told alone.
//!
//! Two theorems, after every block. Per asset: accounts and escrow are what genesis gave and what
//! was minted since. Per channel: what it paid out is what was deposited less what was withdrawn.

use std::collections::{BTreeMap, HashMap};

use super::Held;
use crate::block::LedgerEvent;
use crate::ledger::Ledger;
use crate::ledger::blocks::Applied;
use crate::ledger::rows::{Place, Row, money_of};
use crate::types::{Amount, AssetId, ChannelId, Height, PerRole};

/// See the module.
#[derive(Default)]
pub(super) struct Books {
    /// What each row that holds money held last.
    rows: HashMap<Vec<u8>, (AssetId, Place, i128)>,
    held: BTreeMap<(AssetId, Place), i128>,
    issued: BTreeMap<AssetId, i128>,
    channels: HashMap<ChannelId, Flow>,
}

/// What went into a channel and out of it.
#[derive(Clone, Copy, Default)]
struct Flow {
    deposited: PerRole<Amount>,
    withdrawn: PerRole<Amount>,
}

impl Flow {
    fn left(&self) -> i128 {
        let sum = |of: &PerRole<Amount>| of.wallet.wide() + of.hub.wide();
        sum(&self.deposited) - sum(&self.withdrawn)
    }
}

impl Books {
    /// The books of a ledger before its first block.
    pub(super) fn open(ledger: &Ledger) -> Result<Books, String> {
        let mut books = Books::default();
        for allocation in &ledger.parameters().allocations {
            books.issue(allocation.asset, allocation.amount);
        }
        books.enter_rows(&ledger.all_rows())?;
        books.balance(Height(0))?;
        Ok(books)
    }

    /// Takes a block in.
    pub(super) fn enter(&mut self, applied: &Applied) -> Result<(), String> {
        for event in &applied.events {
            self.enter_event(event)?;
        }
        self.enter_rows(&applied.rows)?;
        self.balance(applied.header.height)
    }

    fn issue(&mut self, asset: AssetId, amount: Amount) {
        *self.issued.entry(asset).or_default() += amount.wide();
    }

    fn enter_event(&mut self, event: &LedgerEvent) -> Result<(), String> {
        match event {
            LedgerEvent::Minted { asset, amount, .. } => self.issue(*asset, *amount),
            LedgerEvent::Opened { terms, deposit } => {
                self.channels.entry(terms.channel_id()).or_default().deposited.wallet = *deposit;
            }
            LedgerEvent::Deposited { channel, role, total } => {
                *self.channels.entry(*channel).or_default().deposited.of_mut(*role) = *total;
            }
            LedgerEvent::Withdrawn { channel, role, total } => {
                *self.channels.entry(*channel).or_default().withdrawn.of_mut(*role) = *total;
            }
            LedgerEvent::Settled { channel, wallet, hub, .. } => {
                let left = self.channels.remove(channel).map_or(0, |flow| flow.left());
                let paid = wallet.wide() + hub.wide();
                if paid != left {
                    return Err(format!("channel {channel} paid out {paid} of {left}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn enter_rows(&mut self, rows: &[Row]) -> Result<(), String> {
        for (key, value) in rows {
            let new = value.as_deref().map(|value| money_of(key, value)).transpose()?.flatten();
            let old = match new {
                Some(new) => self.rows.insert(key.clone(), new),
                None => self.rows.remove(key),
            };
            for ((asset, place, amount), sign) in
                old.map(|o| (o, -1)).into_iter().chain(new.map(|n| (n, 1)))
            {
                if amount < 0 {
                    return Err(format!("row {} holds less than nothing", hex::encode(key)));
                }
                *self.held.entry((asset, place)).or_default() += sign * amount;
            }
        }
        Ok(())
    }

    fn balance(&self, height: Height) -> Result<(), String> {
        let mut sums: BTreeMap<AssetId, i128> = BTreeMap::new();
        for ((asset, _), amount) in &self.held {
            *sums.entry(*asset).or_default() += amount;
        }
        let of = |sums: &BTreeMap<AssetId, i128>, asset| sums.get(asset).copied().unwrap_or(0);
        for asset in sums.keys().chain(self.issued.keys()) {
            let (held, issued) = (of(&sums, asset), of(&self.issued, asset));
            if held != issued {
                return Err(format!(
                    "after block {height} accounts and escrow hold {held} of asset {asset}, \
                     and {issued} were issued"
                ));
            }
        }
        Ok(())
    }

    /// What there is now.
    pub(super) fn held(&self) -> Vec<Held> {
        let of = |asset, place| self.held.get(&(asset, place)).copied().unwrap_or(0);
        let held = |asset: &AssetId| Held {
            asset: *asset,
            accounts: of(*asset, Place::Account),
            escrow: of(*asset, Place::Channel),
        };
        self.issued.keys().map(held).collect()
    }
}
