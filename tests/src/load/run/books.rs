//! The books at the end: what wallets were told is what both sides have signed, and all of it adds up
//! to what the ledger holds.

use anyhow::Result;
use settlement::types::{Amount, PerRole, Role};

use super::Run;
use crate::load::chain::{Chain, Held};
use crate::load::fleet::{Books, Fleet};
use crate::load::http::Http;
use crate::load::hub::Hub;
use crate::load::setup::balance;

/// A wallet's books and its channel at the end, as it and the hub have signed.
#[derive(Clone, Copy, Debug)]
struct Account {
    books: Books,
    /// Both sides' signed totals: sent and received by the wallet.
    sent: Amount,
    received: Amount,
    /// What each has by its own count.
    wallet: Amount,
    hub: Amount,
    /// What the ledger says of the channel.
    held: Held,
}

/// What the books come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Verdict {
    lost: u64,
    off: u64,
    sent: i128,
    received: i128,
    fees: i128,
}

impl Verdict {
    fn count(&mut self, account: &Account) {
        let Account { books, sent, received, wallet, hub, held } = account;
        // A payer that was shown the secret, and a payee that showed it: both are settled now.
        self.lost += books.completed.saturating_sub(books.settled);
        self.lost += books.revealed.saturating_sub(books.collected);
        self.lost += books.steps_told.saturating_sub(books.steps_settled);
        self.lost += books.steps_shown.saturating_sub(books.steps_collected);
        let net = |role: Role| held.deposited.of(role).wide() - held.withdrawn.of(role).wide();
        let escrow = net(Role::Wallet) + net(Role::Hub);
        let same = sent.0 == books.paid
            && received.0 == books.earned
            && wallet.wide() == net(Role::Wallet) + received.wide() - sent.wide()
            && wallet.wide() + hub.wide() == escrow
            && held.paid.is_none_or(|paid| paid == PerRole { wallet: *wallet, hub: *hub });
        self.off += u64::from(!same);
        self.sent += sent.wide();
        self.received += received.wide();
        self.fees += i128::from(books.fees);
    }

    /// The hub has earned exactly the fees of what was completed.
    fn adds_up(&self) -> bool {
        self.off == 0 && self.sent - self.received == self.fees
    }
}

impl Run<'_> {
    pub(super) fn check(&mut self, hub: &Hub, chain: &Chain, fleets: &[Fleet]) -> Result<()> {
        let mut verdict = Verdict::default();
        let open = fleets.iter().flat_map(|fleet| &fleet.wallets);
        let open = open.map(|wallet| (&wallet.books, &wallet.channel));
        let left = fleets.iter().flat_map(Fleet::left).map(|left| (&left.books, &left.channel));
        for (books, channel) in open.chain(left) {
            verdict.count(&Account {
                books: *books,
                sent: channel.outgoing().accepted.transferred,
                received: channel.incoming().tally.transferred,
                wallet: channel.balance(Role::Wallet),
                hub: channel.balance(Role::Hub),
                held: chain.held.get(&channel.id()).copied().unwrap_or_default(),
            });
        }
        verdict.lost += fleets.iter().map(|fleet| fleet.stats.lost_state).sum::<u64>();
        let agreed = fleets.iter().all(Fleet::all_agree);
        let ledger = ledger_adds_up(hub, chain)?;
        self.report.lost = verdict.lost;
        self.report.conserved = agreed && ledger && verdict.adds_up();
        if !self.report.is_good() {
            self.say(&format!("agreed: {agreed}, the ledger adds up: {ledger}, {verdict:?}"));
        }
        Ok(())
    }
}

/// What the hub had, less what it put into channels, plus what it was paid out, is what its account
/// holds.
fn ledger_adds_up(hub: &Hub, chain: &Chain) -> Result<bool> {
    let mut http = Http::connect(hub.ledger_url())?;
    let key = http.get_json::<client_sdk::api::HubInfo>("/v1/info").map(|info| info.hub);
    // A ledger in a process of its own does not know the hub.
    let Ok(key) = key else { return Ok(true) };
    let had: i128 = chain
        .genesis
        .allocations
        .iter()
        .filter(|it| it.account == key)
        .map(|it| it.amount.wide())
        .sum();
    let moved = chain.held.values().map(|held| {
        let back = held.paid.map_or(0, |paid| paid.hub.wide()) + held.withdrawn.hub.wide();
        back - held.deposited.hub.wide()
    });
    Ok(balance(&mut http, &key)?.wide() == had + moved.sum::<i128>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        let deposited = PerRole { wallet: Amount(100), hub: Amount(50) };
        let books = Books {
            completed: 2,
            paid: 30,
            fees: 3,
            settled: 2,
            revealed: 1,
            earned: 12,
            collected: 1,
            steps_told: 7,
            steps_settled: 7,
            steps_shown: 5,
            steps_collected: 5,
        };
        Account {
            books,
            sent: Amount(30),
            received: Amount(12),
            wallet: Amount(82),
            hub: Amount(68),
            held: Held { deposited, ..Held::default() },
        }
    }

    fn verdict(change: impl Fn(&mut Account)) -> Verdict {
        // What this wallet sent less what it received somebody else's books bring in.
        let mut verdict = Verdict { received: 15, ..Verdict::default() };
        let mut account = account();
        change(&mut account);
        verdict.count(&account);
        verdict
    }

    #[test]
    fn each_thing_that_is_missing_shows() {
        let good = verdict(|_| {});
        assert!(good.lost == 0 && good.adds_up(), "{good:?}");
        type Change = fn(&mut Account);
        let losses: [Change; 4] = [
            |it| it.books.settled = 1,
            |it| it.books.collected = 0,
            |it| it.books.steps_settled = 6,
            |it| it.books.steps_collected = 4,
        ];
        for (nth, change) in losses.into_iter().enumerate() {
            assert_eq!(verdict(change).lost, 1, "{nth}");
        }
        let paid = |wallet, hub| Some(PerRole { wallet: Amount(wallet), hub: Amount(hub) });
        assert!(verdict(|it| it.held.paid = paid(82, 68)).adds_up());
        assert!(!verdict(|it| it.held.paid = paid(81, 69)).adds_up());
        let wrong: [Change; 6] = [
            |it| it.sent = Amount(29),
            |it| it.received = Amount(13),
            |it| it.wallet = Amount(83),
            |it| it.hub = Amount(67),
            |it| it.held.deposited.hub = Amount(51),
            |it| it.books.fees = 4,
        ];
        for (nth, change) in wrong.into_iter().enumerate() {
            assert!(!verdict(change).adds_up(), "{nth}");
        }
    }
}
