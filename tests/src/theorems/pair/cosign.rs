//! What a wallet has the hub sign for the ledger.

use hub::shard::Input;
use settlement::crypto::Signable;
use settlement::proof::{CooperativeClose, Net, Withdrawal};
use settlement::tx::Transaction;
use settlement::types::{Amount, Role};

use super::{DEPOSIT, Pair, VALID};

impl Pair {
    /// Asks for a signature under a withdrawal of half of its deposit, or under the close that the
    /// states of both make.
    pub(super) fn ask(&mut self, who: usize, close: bool) -> bool {
        let ticket = self.asked.len() as u64;
        if !close {
            self.ask_to_withdraw(who, ticket);
            return true;
        }
        let Some(body) = self.close_of(who) else { return false };
        let wallet = &self.wallets[who];
        let signature = wallet.key.sign(&body.digest());
        let hub = self.hub_key.sign(&body.digest());
        self.asked.push(Transaction::CooperativeClose { body, wallet: signature, hub });
        self.tell(format!("{} asks for a close, {} to it", wallet.name, body.wallet_amount));
        self.hub(Input::Close { close: body, signature, ticket });
        true
    }

    fn close_of(&self, who: usize) -> Option<CooperativeClose> {
        let wallet = &self.wallets[who];
        let (sent, got) = (wallet.theirs.taken_state().paid, wallet.ours.taken_state().paid);
        let net = |withdrawn: u64| Net::new(i128::from(DEPOSIT) - i128::from(withdrawn));
        let of_wallet = DEPOSIT - wallet.withdrawn.wallet + got;
        Some(CooperativeClose {
            channel: wallet.channel,
            wallet_amount: of_wallet.checked_sub(sent).map(Amount)?,
            hub_amount: Amount((DEPOSIT + sent).saturating_sub(got)),
            wallet_net: net(wallet.withdrawn.wallet)?,
            hub_net: net(wallet.withdrawn.hub)?,
            valid_until: self.hub.followed().0.after(VALID),
        })
    }

    fn ask_to_withdraw(&mut self, who: usize, ticket: u64) {
        let wallet = &self.wallets[who];
        let (channel, valid_until) = (wallet.channel, self.hub.followed().0.after(VALID));
        let total_withdrawn = Amount(wallet.withdrawn.wallet + DEPOSIT / 2);
        let body = Withdrawal { channel, role: Role::Wallet, total_withdrawn, valid_until };
        let signature = wallet.key.sign(&body.digest());
        let hub = self.hub_key.sign(&body.digest());
        self.asked.push(Transaction::Withdraw { body, wallet: signature, hub });
        self.tell(format!("{} asks to withdraw {total_withdrawn} in all", wallet.name));
        self.hub(Input::Withdraw { withdrawal: body, signature, ticket });
    }

    /// The hub signs: it hands it to the ledger itself, and the wallet has it.
    pub(super) fn cosigned(&mut self, ticket: u64) {
        let at = usize::try_from(ticket).unwrap_or(usize::MAX);
        let Some(tx) = self.asked.get(at).cloned() else { return };
        let channel = match &tx {
            Transaction::CooperativeClose { body, .. } => body.channel,
            Transaction::Withdraw { body, .. } => body.channel,
            _ => return,
        };
        self.tell("the hub co-signs");
        self.seen.cosigned += 1;
        if let Some(who) = self.who(&channel) {
            self.wallets[who].kept.push(tx.clone());
        }
        self.hand_in(tx);
    }

    pub(super) fn carry(&mut self, who: usize) -> bool {
        let Some(tx) = self.wallets[who].kept.pop() else { return false };
        let line = format!("{} brings what was co-signed", self.wallets[who].name);
        self.queue(tx, line)
    }
}
