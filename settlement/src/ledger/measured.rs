//! Hash chains of a block, measured on all cores before it is applied.
//!
//! How deep a secret is in a lock depends on nothing but the two, so it may be found out at any
//! time: a table made ahead saves the ledger the hashing while it applies one transaction after the
//! other, and decides nothing. What is missing in it (a lock that another transaction of the same
//! block brings) is measured there and then. No more is measured ahead than fits into the block's
//! room for hashes.

use std::collections::HashMap;

use super::Ledger;
use super::channel::{Direction, find};
use super::dispute::Plan;
use super::room::Room;
use super::verified::VerifiedTx;
use crate::crypto::chain_to;
use crate::lock::Lock;
use crate::tx::{OnChannel, Submission};
use crate::types::{Anchor, Height, Secret};

/// Below this many steps it costs less to hash than to look up.
const STEPS_MIN: u32 = 64;

/// A chain to be measured: from the secret to the anchor in at most so many steps.
type Chain = (Secret, Anchor, u32);

/// How many steps each chain has; `None` if the secret does not lead to the anchor.
#[derive(Debug, Default)]
pub(super) struct Measured(HashMap<Chain, Option<u32>>);

impl Measured {
    /// What applying these transactions in a block of this height would hash.
    pub(super) fn ahead(ledger: &Ledger, transactions: &[VerifiedTx], block: Height) -> Measured {
        let mut room = Room::of(ledger.parameters());
        let mut chains: Vec<Chain> = Vec::new();
        for tx in transactions {
            let Some(OnChannel::Submit(body, _)) = tx.tx().on_channel() else { continue };
            let Ok(plan) = ledger.plan_submit(body, block) else { continue };
            let Some(channel) = ledger.channel(&body.channel) else { continue };
            if room.takes(tx, plan.cost) {
                chains.extend(chains_of(body, &plan, channel.directions.of(body.by.other())));
            }
        }
        let measure = |(secret, anchor, steps): &Chain| chain_to(secret, anchor, *steps);
        let steps = ledger.workers.map(1, &chains, measure);
        Measured(chains.into_iter().zip(steps).collect())
    }

    /// How many steps of the lock this secret redeems; 0 if it does not fit.
    pub(super) fn steps(&self, lock: &Lock, secret: &Secret) -> u32 {
        let known = match lock.steps {
            0..STEPS_MIN => None,
            steps => self.0.get(&(*secret, lock.anchor, steps)),
        };
        let redeemed = match known {
            Some(steps) => steps.and_then(|steps| lock.redeemed(secret, steps)),
            None => {
                #[cfg(test)]
                tests::hashed_while_applying(lock);
                lock.redeem(secret)
            }
        };
        redeemed.map_or(0, |redeemed| redeemed.steps)
    }
}

/// The chains that are long enough.
fn chains_of(body: &Submission, plan: &Plan, direction: &Direction) -> Vec<Chain> {
    let locks = if plan.stands { body.locks.as_slice() } else { direction.locks.as_slice() };
    let again = direction.claims.iter().filter(|_| plan.stands);
    let again = again.map(|(id, claim)| (*id, claim.secret));
    let long = |lock: &&Lock| lock.steps >= STEPS_MIN;
    let chain = |(id, secret): (u64, Secret)| {
        find(locks, id).filter(long).map(|lock| (secret, lock.anchor, lock.steps))
    };
    plan.claims.iter().copied().chain(again).filter_map(chain).collect()
}

#[cfg(test)]
mod tests;
