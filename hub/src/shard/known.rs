//! Payers' locks and secrets of own locks, either of which may come first.
//!
//! A secret's chain is walked `reach` steps, as far as any payer's lock in question has some: the
//! anchors that it comes by are those of its payers. Where the walk ends is kept. A payer's lock that
//! comes later is walked from its anchor, and comes by the ends of the secrets on its chain. So each
//! secret and each lock is walked once, whatever it is compared with, and junk costs what it costs
//! once. A longer lock has all secrets walked again, twice as far: sixteen times at the most.

use std::collections::{BTreeMap, BTreeSet};

use settlement::crypto::chain_step;
use settlement::lock::STEPS_MAX;
use settlement::types::{Anchor, ChannelId, Height, Secret};

use super::Seek;
use super::lost::{Lost, Sought, Todo};
use super::seek::Trace;

/// What a payer's lock is found by.
pub(super) type Incoming = (ChannelId, u64);

impl Lost {
    /// A payer's lock is sought here. What has to be hashed for it is the caller's.
    pub(super) fn note(&mut self, seek: Seek) {
        self.found(&seek.incoming);
        self.by_anchor.entry(seek.lock.anchor).or_default().insert(seek.incoming);
        let sought = Sought { seek, trace: Trace::of(&seek.lock), walked: false };
        self.sought.insert(seek.incoming, sought);
        if seek.lock.steps > self.reach {
            self.reach = seek.lock.steps.next_power_of_two().min(STEPS_MAX);
            let ends = std::mem::take(&mut self.ends);
            self.todo.extend(ends.into_values().flatten());
        }
    }

    /// A payer's lock that is sought no more.
    pub(super) fn found(&mut self, incoming: &Incoming) -> Option<Seek> {
        let Sought { seek, .. } = self.sought.remove(incoming)?;
        if let Some(same) = self.by_anchor.get_mut(&seek.lock.anchor) {
            same.remove(incoming);
            if same.is_empty() {
                self.by_anchor.remove(&seek.lock.anchor);
            }
        }
        Some(seek)
    }

    /// Payers' locks that have ended are sought no more.
    pub(super) fn expire(&mut self, height: Height) {
        let over = self.sought.iter().filter(|(_, it)| it.seek.lock.expired_at(height));
        let over: Vec<Incoming> = over.map(|(incoming, _)| *incoming).collect();
        for incoming in over {
            self.found(&incoming);
        }
    }

    /// The payer's lock that a secret is of, and how deep it is in it: of the dearest, then the one
    /// that ends last, where it is of several, and none of those that have `paid`. With it, how many hashes it
    /// took to find out. `known` is where the secret is.
    pub(super) fn payer_of(
        &mut self,
        secret: &Secret,
        known: Todo,
        paid: &BTreeSet<Incoming>,
    ) -> (Option<(Seek, u32)>, u32) {
        let (mut value, mut found): (_, Option<(Seek, u32)>) = (secret.0, None);
        for steps in 1..=self.reach {
            value = chain_step(&value);
            let of_anchor = self.by_anchor.get(&Anchor(value)).into_iter().flatten();
            for Sought { seek, .. } in of_anchor.filter_map(|it| self.sought.get(it)) {
                let dearer = found.is_none_or(|(first, _)| seek.beats(&first));
                if steps <= seek.lock.steps && dearer && !paid.contains(&seek.incoming) {
                    found = Some((*seek, steps));
                }
            }
        }
        if found.is_none() {
            self.ends.entry(value).or_default().insert(known);
        }
        (found, self.reach)
    }

    /// Has the secrets on a payer's lock's chain compared with it; says how many hashes it took to find
    /// them. Those that come from now on find the lock.
    pub(super) fn secrets_of(&mut self, incoming: &Incoming) -> u32 {
        let Some(sought) = self.sought.get_mut(incoming) else { return 0 };
        if std::mem::replace(&mut sought.walked, true) || self.ends.is_empty() {
            return 0;
        }
        let (mut value, steps) = (sought.seek.lock.anchor.0, sought.seek.lock.steps);
        for left in (1..=self.reach).rev() {
            // So many steps of the walk from the secret led to the anchor.
            if let Some(known) = self.ends.get(&value).filter(|_| left <= steps) {
                self.todo.extend(known);
            }
            value = chain_step(&value);
        }
        self.reach
    }
}

/// Secrets by where their walks end, and payers' locks by their anchors.
pub(super) type Ends = BTreeMap<[u8; 32], BTreeSet<Todo>>;

#[cfg(test)]
mod tests {
    use settlement::lock::Lock;
    use settlement::types::Amount;

    use super::*;

    fn hashed(value: [u8; 32], times: u32) -> [u8; 32] {
        (0..times).fold(value, |value, _| chain_step(&value))
    }

    /// The lock number `number` of so many steps, on the chain of this seed.
    fn seek(seed: u8, steps: u32, number: u64) -> Seek {
        let anchor = Anchor(hashed([seed; 32], steps));
        let (unit, expiry) = (Amount(1), Height(9));
        let lock = Lock { id: number, anchor, unit, steps, expiry };
        let incoming = (ChannelId([1; 32]), number);
        Seek { incoming, outgoing: ChannelId([2; 32]), lock, whole: false }
    }

    fn todo(number: u64) -> Todo {
        Todo::Over(number)
    }

    #[test]
    fn whichever_comes_first_is_found_by_the_other() {
        // Steps of the lock, depth of the secret; whether the lock has it.
        let cases =
            [(100, 1, true), (100, 100, true), (100, 101, false), (1, 1, true), (64, 64, true)];
        for (steps, depth, fits) in cases {
            let wanted = seek(7, steps, 1);
            let secret = match fits {
                true => Secret(hashed([7; 32], steps - depth)),
                false => Secret([6; 32]),
            };
            let mut lost = Lost::default();
            lost.note(wanted);
            assert_eq!(
                lost.payer_of(&secret, todo(1), &BTreeSet::new()).0,
                fits.then_some((wanted, depth))
            );
            // A lock that is as long is there already; so the secret has been walked far enough.
            let mut lost = Lost::default();
            lost.note(seek(8, steps, 2));
            assert_eq!(lost.payer_of(&secret, todo(1), &BTreeSet::new()).0, None);
            lost.todo.clear();
            lost.note(wanted);
            lost.secrets_of(&wanted.incoming);
            assert_eq!(lost.todo.contains(&todo(1)), fits, "{steps} {depth}");
            // And one that is longer has it walked again.
            let mut lost = Lost::default();
            assert_eq!(lost.payer_of(&secret, todo(1), &BTreeSet::new()), (None, 0));
            lost.note(wanted);
            assert!(lost.todo.contains(&todo(1)));
            assert_eq!(
                lost.payer_of(&secret, todo(1), &BTreeSet::new()).0,
                fits.then_some((wanted, depth))
            );
        }
    }

    /// Junk secrets and payers' locks, in turns: each is walked once.
    #[test]
    fn what_is_compared_with_many_is_hashed_once() {
        let mut lost = Lost::default();
        lost.note(seek(1, 64, 0));
        let mut hashes = 0;
        for number in 0..100u8 {
            let junk = Secret([number.wrapping_add(100); 32]);
            hashes += lost.payer_of(&junk, todo(number.into()), &BTreeSet::new()).1;
            let wanted = seek(number, 64, u64::from(number) + 1);
            lost.note(wanted);
            hashes += lost.secrets_of(&wanted.incoming);
            hashes += lost.secrets_of(&wanted.incoming);
        }
        assert_eq!(hashes, 200 * 64);
    }

    #[test]
    fn what_has_ended_is_sought_no_more() {
        let mut lost = Lost::default();
        let wanted = seek(7, 10, 1);
        lost.note(wanted);
        lost.expire(Height(9));
        assert!(lost.sought.is_empty() && lost.by_anchor.is_empty());
        assert_eq!(lost.payer_of(&Secret([7; 32]), todo(1), &BTreeSet::new()).0, None);
    }
}
