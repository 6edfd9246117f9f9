//! What hubs signed that they owe, held against each other and against the escrow on the ledger.

use std::collections::{BTreeMap, HashMap};

use super::{Contradiction, Owed};
use crate::block::LedgerEvent;
use crate::ledger::blocks::Applied;
use crate::liabilities::Liabilities;
use crate::types::{Amount, AssetId, ChannelId, Height, PerRole, PublicKey};

/// See the module.
#[derive(Default)]
pub(super) struct Statements {
    said: HashMap<(PublicKey, Height, AssetId), (Height, Liabilities)>,
    escrows: Escrows,
    newest: BTreeMap<(PublicKey, AssetId), Owed>,
    pub(super) contradictions: Vec<Contradiction>,
    pub(super) uncovered: Vec<Owed>,
}

impl Statements {
    /// Takes a block in.
    pub(super) fn enter(&mut self, applied: &Applied) {
        let block = applied.header.height;
        applied.events.iter().for_each(|event| self.escrows.enter(block, event));
        for event in &applied.events {
            if let LedgerEvent::LiabilitiesAnchored { hub, liabilities } = event {
                self.state(block, *hub, *liabilities);
            }
        }
    }

    fn state(&mut self, block: Height, hub: PublicKey, liabilities: Liabilities) {
        let Liabilities { as_of, asset, total, .. } = liabilities;
        let said = self.said.entry((hub, as_of, asset));
        let (first_block, first) = *said.or_insert((block, liabilities));
        if first.contradicts(&liabilities) {
            let (first, other) = ((first_block, first), (block, liabilities));
            self.contradictions.push(Contradiction { hub, first, other });
        }
        let escrow = self.escrows.at(hub, asset, as_of);
        let owed = Owed { hub, block, liabilities, escrow };
        // The chunks of one anchor all say the same.
        let repeated = self.newest.get(&(hub, asset)).map(|owed| owed.liabilities);
        if total.wide() > escrow && repeated != Some(liabilities) {
            self.uncovered.push(owed);
        }
        self.newest.insert((hub, asset), owed);
    }

    /// What each hub said last.
    pub(super) fn newest(&self) -> Vec<Owed> {
        self.newest.values().copied().collect()
    }
}

/// What the channels of each hub hold, at every height.
#[derive(Default)]
struct Escrows {
    channels: HashMap<ChannelId, Held>,
    /// After each block that changed it, in order.
    history: HashMap<(PublicKey, AssetId), Vec<(Height, i128)>>,
}

#[derive(Clone, Copy)]
struct Held {
    of: (PublicKey, AssetId),
    deposited: PerRole<Amount>,
    withdrawn: PerRole<Amount>,
}

impl Held {
    fn escrow(&self) -> i128 {
        let sum = |of: &PerRole<Amount>| of.wallet.wide().saturating_add(of.hub.wide());
        sum(&self.deposited).saturating_sub(sum(&self.withdrawn))
    }
}

impl Escrows {
    fn enter(&mut self, block: Height, event: &LedgerEvent) {
        let Some(id) = event.channel() else { return };
        let before = self.channels.get(&id).copied();
        let after = after(before, event);
        match after {
            Some(held) => self.channels.insert(id, held),
            None => self.channels.remove(&id),
        };
        let holds = |held: Option<Held>| held.map_or(0, |held| held.escrow());
        let change = holds(after).saturating_sub(holds(before));
        if let (Some(held), true) = (after.or(before), change != 0) {
            self.moved(block, held.of, change);
        }
    }

    fn moved(&mut self, block: Height, of: (PublicKey, AssetId), change: i128) {
        let history = self.history.entry(of).or_default();
        let now = history.last().map_or(0, |(_, held)| *held).saturating_add(change);
        match history.last_mut().filter(|(at, _)| *at == block) {
            Some(last) => last.1 = now,
            None => history.push((block, now)),
        }
    }

    /// What a hub's channels held after this block.
    fn at(&self, hub: PublicKey, asset: AssetId, height: Height) -> i128 {
        let Some(history) = self.history.get(&(hub, asset)) else { return 0 };
        let later = history.partition_point(|(at, _)| *at <= height);
        let newest = later.checked_sub(1).and_then(|at| history.get(at));
        newest.map_or(0, |(_, held)| *held)
    }
}

/// What a channel holds after an event of its own; none once it is paid out.
fn after(before: Option<Held>, event: &LedgerEvent) -> Option<Held> {
    let mut held = before;
    match event {
        LedgerEvent::Opened { terms, deposit } => {
            let deposited = PerRole { wallet: *deposit, hub: Amount::ZERO };
            let of = (terms.hub, terms.asset);
            held = Some(Held { of, deposited, withdrawn: PerRole::default() });
        }
        LedgerEvent::Deposited { role, total, .. } => {
            *held.as_mut()?.deposited.of_mut(*role) = *total;
        }
        LedgerEvent::Withdrawn { role, total, .. } => {
            *held.as_mut()?.withdrawn.of_mut(*role) = *total;
        }
        LedgerEvent::Settled { .. } => held = None,
        _ => {}
    }
    held
}
