//! The demo's own books: what each account must hold in the end, kept from what the wallets saw,
//! and held against what the ledger says.

use anyhow::{Context, Result};
use settlement::types::Amount;

use super::scene::MINTED;

/// What one wallet saw of its money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    /// Given to it by the faucet.
    pub(super) minted: Amount,
    /// What payees got of it.
    pub(super) paid: i128,
    /// What the hub took for passing that on.
    pub(super) fees: i128,
    /// What payers sent it.
    pub(super) received: i128,
}

impl Book {
    /// What its account must hold once its channel is paid out.
    fn expected(&self) -> i128 {
        self.minted.wide() - self.paid - self.fees + self.received
    }
}

/// The book of somebody who takes no part in the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Other {
    who: &'static str,
    book: Book,
}

impl Other {
    /// Somebody whom the faucet has given money.
    pub(super) fn new(who: &'static str) -> Other {
        Other { who, book: Book { minted: MINTED, ..Book::default() } }
    }

    /// It has paid somebody this, and the hub its fee.
    pub(super) fn paid(&mut self, amount: Amount, fee: Amount) {
        self.book.paid += amount.wide();
        self.book.fees += fee.wide();
    }

    /// Somebody has paid it this.
    pub(super) fn received(&mut self, amount: Amount) {
        self.book.received += amount.wide();
    }

    /// What belongs to it in a channel into which it has put `deposit`.
    pub(super) fn in_channel(&self, deposit: Amount) -> Result<Amount> {
        let moved = self.book.expected() - self.book.minted.wide();
        Amount::from_wide(deposit.wide() + moved).context("more was spent than there was")
    }
}

/// What accounts on the ledger hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Holdings {
    /// Of each wallet, in the order of the books.
    pub(super) wallets: Vec<Amount>,
    /// Of the hub.
    pub(super) hub: Amount,
    /// Of the others, in the order of theirs.
    pub(super) others: Vec<Amount>,
}

impl Holdings {
    /// All of it.
    pub(super) fn supply(&self) -> i128 {
        let all = self.wallets.iter().chain(&self.others).chain([&self.hub]);
        all.map(|amount| amount.wide()).sum()
    }
}

/// What the comparison came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Audit {
    /// Everything that the accounts held before the first channel was opened.
    pub(super) supply_before: i128,
    /// The same after the last one was paid out.
    pub(super) supply_after: i128,
    /// A sentence for each account that does not hold what it must.
    pub(super) wrong: Vec<String>,
}

impl Audit {
    /// Holds the ledger's accounts against the books, to the unit.
    pub(super) fn of(
        books: &[Book],
        others: &[Other],
        before: &Holdings,
        after: &Holdings,
    ) -> Audit {
        let all = books.iter().chain(others.iter().map(|other| &other.book));
        let fees: i128 = all.map(|book| book.fees).sum();
        let mut wrong = Vec::new();
        let mut check = |who: String, expected: i128, held: Amount| {
            if held.wide() != expected {
                wrong.push(format!("{who} holds {held}, and must hold {expected}"));
            }
        };
        for (index, book) in books.iter().enumerate() {
            let held = after.wallets.get(index).copied().unwrap_or_default();
            check(format!("wallet {index}"), book.expected(), held);
        }
        for (index, other) in others.iter().enumerate() {
            let held = after.others.get(index).copied().unwrap_or_default();
            check(other.who.to_owned(), other.book.expected(), held);
        }
        check("the hub".to_owned(), before.hub.wide() + fees, after.hub);
        Audit { supply_before: before.supply(), supply_after: after.supply(), wrong }
    }

    /// Whether every unit is where it must be.
    pub(super) fn conserved(&self) -> bool {
        self.supply_before == self.supply_after && self.wrong.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Vec<Book> {
        let book = |paid, fees, received| Book { minted: Amount(100), paid, fees, received };
        vec![book(30, 3, 10), book(10, 1, 30)]
    }

    fn before() -> Holdings {
        Holdings { wallets: vec![Amount(100), Amount(100)], hub: Amount(500), others: Vec::new() }
    }

    fn after(first: u64, second: u64, hub: u64) -> Holdings {
        let wallets = vec![Amount(first), Amount(second)];
        Holdings { wallets, hub: Amount(hub), others: Vec::new() }
    }

    #[test]
    fn accounts_that_hold_what_the_books_say_are_conserved() {
        let audit = Audit::of(&books(), &[], &before(), &after(77, 119, 504));
        assert!(audit.conserved(), "{audit:?}");
        assert_eq!((audit.supply_before, audit.supply_after), (700, 700));
    }

    #[test]
    fn a_unit_in_the_wrong_place_is_named() {
        let cases = [
            (after(78, 118, 504), vec!["wallet 0", "wallet 1"]),
            (after(77, 118, 505), vec!["wallet 1", "the hub"]),
            (after(76, 119, 504), vec!["wallet 0"]),
            (after(77, 119, 505), vec!["the hub"]),
        ];
        for (after, who) in cases {
            let audit = Audit::of(&books(), &[], &before(), &after);
            assert!(!audit.conserved(), "{after:?}");
            let named: Vec<_> =
                audit.wrong.iter().filter_map(|line| line.split(" holds").next()).collect();
            assert_eq!(named, who);
        }
    }

    #[test]
    fn an_account_that_is_missing_counts_as_empty() {
        let after = Holdings { wallets: vec![Amount(77)], hub: Amount(504), others: Vec::new() };
        let audit = Audit::of(&books(), &[], &before(), &after);
        assert_eq!(audit.wrong, ["wallet 1 holds 0, and must hold 119"]);
    }

    /// A crook, whom a payer of the traffic has nothing to do with, and what it has left in its
    /// channel.
    #[test]
    fn the_account_of_a_cheat_is_checked_like_any_other() {
        let mut crook = Other::new("the crook");
        crook.received(Amount(50));
        crook.paid(Amount(20), Amount(3));
        assert_eq!(crook.in_channel(Amount(100)).unwrap(), Amount(127));
        assert!(
            crook.in_channel(Amount(0)).is_ok() && Other::new("x").in_channel(Amount(7)).is_ok()
        );
        let held = |crook, hub| Holdings { others: vec![Amount(crook)], ..after(77, 119, hub) };
        let before = held(MINTED.0, 500);
        let of = |after| Audit::of(&books(), &[crook.clone()], &before, &after).wrong;
        assert_eq!(of(held(MINTED.0 + 27, 507)), Vec::<String>::new());
        let expected = MINTED.0 + 27;
        let wrong = format!("the crook holds {}, and must hold {expected}", MINTED.0 + 47);
        assert_eq!(of(held(MINTED.0 + 47, 507)), [wrong]);
    }
}
