//! A wallet's payments by the ids of their locks, which count up by one.

use std::collections::VecDeque;

use crate::load::mix::Meant;

/// A payment that is neither completed nor failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payment {
    /// Since when its latency counts: sent, or due.
    pub(super) since_ns: u64,
    /// What it costs, the fee included.
    pub(super) unit: u64,
    /// The fee.
    pub(super) fee: u64,
    /// Whom it is for; nobody here, if it is for an unknown one.
    pub(super) payee: Option<u32>,
    /// Why it can't succeed, if it is meant not to.
    pub(super) meant: Option<Meant>,
}

/// Payments in the order of their locks.
#[derive(Debug, Default)]
pub(super) struct Pending {
    first: u64,
    payments: VecDeque<Option<Payment>>,
    count: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The payment with the lock `id`, which is above all before.
    pub(super) fn push(&mut self, id: u64, payment: Payment) {
        if self.payments.is_empty() {
            self.first = id;
        }
        let next = self.first.saturating_add(self.payments.len() as u64);
        self.payments.extend((next..id).map(|_| None));
        self.payments.push_back(Some(payment));
        self.count += 1;
    }

    /// Takes it out, if it is pending.
    pub(super) fn take(&mut self, id: u64) -> Option<Payment> {
        let at = usize::try_from(id.checked_sub(self.first)?).ok()?;
        let payment = self.payments.get_mut(at)?.take()?;
        self.count -= 1;
        while let Some(None) = self.payments.front() {
            self.payments.pop_front();
            self.first += 1;
        }
        Some(payment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(since_ns: u64) -> Payment {
        Payment { since_ns, unit: 12, fee: 2, payee: Some(1), meant: None }
    }

    #[test]
    fn each_is_taken_once_in_any_order_and_over_gaps() {
        let mut pending = Pending::default();
        for id in [5, 6, 9] {
            pending.push(id, payment(id));
        }
        assert_eq!(pending.len(), 3);
        for (id, expected) in
            [(9, true), (7, false), (5, true), (5, false), (4, false), (6, true), (9, false)]
        {
            let taken = pending.take(id);
            assert_eq!(taken, expected.then(|| payment(id)), "{id}");
        }
        assert!(pending.is_empty());
        pending.push(u64::from(u32::MAX) << 32, payment(1));
        assert_eq!(pending.payments.len(), 1, "a leap costs no memory when nothing is pending");
    }
}
