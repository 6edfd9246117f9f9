//! A ledger on which each kind of transaction could be done in the next block.

use settlement::crypto::{Signable, Signed, SigningKey, chain_step};
use settlement::ledger::Ledger;
use settlement::ledger::mempool::Mempool;
use settlement::liabilities::Liabilities;
use settlement::lock::{Lock, locked_total, locks_root};
use settlement::params::{Allocation, Genesis};
use settlement::proof::{BalanceProof, CooperativeClose, Net, OpenTerms, Withdrawal};
use settlement::reject::Code;
use settlement::tx::{
    AccountAction, AccountTx, AnchorEntry, Anchoring, Lease, Mint, Submission, Transaction,
};
use settlement::types::{
    Amount, Anchor, AssetId, ChannelId, Hash, Height, Holder, Role, Salt, Secret,
};

const EUR: AssetId = AssetId(0);
const WINDOW: u32 = 40;
const SECRET: Secret = Secret([5; 32]);

/// 1 is the wallet's, 2 the hub's, 9 the ledger's.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes([number; 32]).expect("a key")
}

/// The ledger, with three channels of the same two: one that the messages are about, one opened
/// after it, and one that is to be paid out in the next block.
pub(crate) struct Stand {
    pub(crate) ledger: Ledger,
    pub(crate) terms: OpenTerms,
    again: OpenTerms,
    due: ChannelId,
}

impl Stand {
    pub(crate) fn new() -> Stand {
        let mut genesis = Genesis::development("domains", key(9).public(), 1);
        let rich = |number| Allocation {
            account: key(number).public(),
            asset: EUR,
            amount: Amount(10_000),
        };
        genesis.allocations = vec![rich(1), rich(2)];
        let mut ledger = Ledger::genesis(genesis).expect("a genesis");
        let terms = open(&mut ledger);
        let again = open(&mut ledger);
        let due = open(&mut ledger).channel_id();
        let close = Submission::close_with_nothing(due, Role::Wallet);
        block(&mut ledger, Transaction::submit(&key(1), close));
        let ends = |ledger: &Ledger| ledger.channel(&due).and_then(|channel| channel.due());
        while ends(&ledger).is_some_and(|due| due > ledger.tip().height.after(1)) {
            let time = ledger.tip().time_ms + 1_000;
            ledger.apply([], time).expect("a block");
        }
        Stand { ledger, terms, again, due }
    }

    /// The channel that the same two opened after the one that the messages are about.
    pub(crate) fn opened_again(&self) -> OpenTerms {
        self.again
    }

    /// What the ledger's queue answers.
    pub(crate) fn answer(&self, tx: Transaction) -> Result<(), Code> {
        Mempool::default().submit(&self.ledger, tx).map(|_| ())
    }

    fn later(&self, blocks: u64) -> Height {
        self.ledger.tip().height.after(blocks)
    }

    fn locks(&self) -> Vec<Lock> {
        let anchor = Anchor(chain_step(&SECRET.0));
        vec![Lock { id: 1, anchor, unit: Amount(7), steps: 1, expiry: self.later(300) }]
    }

    /// The wallet's.
    pub(crate) fn proof(&self) -> Signed<BalanceProof> {
        let locks = self.locks();
        let value = BalanceProof {
            channel: self.terms.channel_id(),
            from: Role::Wallet,
            seq: 4,
            transferred: Amount(30),
            locked: locked_total(&locks).expect("a sum"),
            locks_root: locks_root(&locks),
            peer_seq: 2,
            peer_transferred: Amount(8),
        };
        Signed::alone(&key(1), value, Salt([6; 16]))
    }

    /// The hub's close with that proof.
    pub(crate) fn submission(&self, proof: &Signed<BalanceProof>) -> Submission {
        Submission {
            channel: self.terms.channel_id(),
            by: Role::Hub,
            close: true,
            proof: Some(proof.clone()),
            locks: self.locks(),
            claims: vec![(1, SECRET)],
        }
    }

    pub(crate) fn withdrawal(&self) -> Withdrawal {
        Withdrawal {
            channel: self.terms.channel_id(),
            role: Role::Wallet,
            total_withdrawn: Amount(20),
            valid_until: self.later(9),
        }
    }

    pub(crate) fn cooperative_close(&self) -> CooperativeClose {
        CooperativeClose {
            channel: self.terms.channel_id(),
            wallet_amount: Amount(600),
            hub_amount: Amount(400),
            wallet_net: Net::new(1_000).expect("a net"),
            hub_net: Net::new(0).expect("a net"),
            valid_until: self.later(9),
        }
    }

    pub(crate) fn mint(&self) -> Mint {
        Mint {
            ledger: self.ledger.id(),
            number: self.ledger.next_mint(),
            to: key(1).public(),
            asset: EUR,
            amount: Amount(5),
        }
    }

    pub(crate) fn anchoring(&self, proof: &Signed<BalanceProof>) -> Anchoring {
        let channel = self.terms.channel_id();
        let wallet_proof = Some(proof.clone());
        let entries = vec![AnchorEntry { channel, wallet_proof, hub_transferred: Amount(3) }];
        let (as_of, root) = (self.ledger.tip().height, Hash([3; 32]));
        let liabilities = Liabilities { as_of, asset: EUR, root, total: Amount(7) };
        Anchoring { epoch: 0, entries, liabilities }
    }

    /// The next transaction of this account.
    pub(crate) fn account_tx(&self, by: u8, action: AccountAction) -> AccountTx {
        let account = key(by).public();
        let nonce = self.ledger.account(&account).nonce;
        AccountTx { ledger: self.ledger.id(), account, nonce, action }
    }

    /// Each kind of account transaction, with whose it is.
    pub(crate) fn account_txs(&self) -> Vec<(&'static str, u8, AccountTx)> {
        let (hub, amount) = (key(2).public(), Amount(4));
        let terms = OpenTerms { nonce: self.ledger.account(&key(1).public()).nonce, ..self.terms };
        let channel = self.terms.channel_id();
        let lease = Lease { epoch: 3, holder: Holder([4; 16]) };
        let anchor = self.anchoring(&self.proof());
        let actions = [
            ("a transfer", 1, AccountAction::Transfer { to: hub, asset: EUR, amount }),
            ("an opening", 1, AccountAction::Open { terms, deposit: amount }),
            ("a deposit", 1, AccountAction::Deposit { channel, role: Role::Hub, amount }),
            ("an anchor", 2, AccountAction::Anchor(anchor)),
            ("a lease", 2, AccountAction::Lease(lease)),
        ];
        let carried = self
            .on_channels()
            .into_iter()
            .map(|(name, tx)| (name, 2, AccountAction::carry(tx).expect("it is about a channel")));
        let all = actions.into_iter().chain(carried);
        all.map(|(name, by, action)| (name, by, self.account_tx(by, action))).collect()
    }

    fn on_channels(&self) -> [(&'static str, Transaction); 4] {
        let withdraw = self.withdrawal();
        let close = self.cooperative_close();
        let signed = |digest: Hash| (key(1).sign(&digest), key(2).sign(&digest));
        let (wallet, hub) = signed(withdraw.digest());
        let withdraw = Transaction::Withdraw { body: withdraw, wallet, hub };
        let (wallet, hub) = signed(close.digest());
        let close = Transaction::CooperativeClose { body: close, wallet, hub };
        let submit = Transaction::submit(&key(2), self.submission(&self.proof()));
        [
            ("an envelope with a withdrawal", withdraw),
            ("an envelope with a cooperative close", close),
            ("an envelope with a submission", submit),
            ("an envelope with a payout", Transaction::Settle { channel: self.due }),
        ]
    }

    /// One of each kind that is signed.
    pub(crate) fn transactions(&self) -> Vec<(&'static str, Transaction)> {
        let account = |(name, by, body)| (name, Transaction::account(&key(by), body));
        let mut all: Vec<_> = self.account_txs().into_iter().map(account).collect();
        let [withdraw, close, submit, _] = self.on_channels();
        let body = self.mint();
        let signature = key(9).sign(&body.digest());
        all.extend([withdraw, close, submit, ("a mint", Transaction::Mint { body, signature })]);
        all
    }
}

fn block(ledger: &mut Ledger, tx: Transaction) {
    let verified = ledger.verify_tx(tx).expect("a good transaction");
    let time = ledger.tip().time_ms + 1_000;
    let applied = ledger.apply([verified], time).expect("a block");
    assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{applied:?}");
}

fn open(ledger: &mut Ledger) -> OpenTerms {
    let (wallet, hub) = (key(1).public(), key(2).public());
    let nonce = ledger.account(&wallet).nonce;
    let terms =
        OpenTerms { ledger: ledger.id(), asset: EUR, wallet, hub, challenge_blocks: WINDOW, nonce };
    let action = AccountAction::Open { terms, deposit: Amount(1_000) };
    let body = AccountTx { ledger: ledger.id(), account: wallet, nonce, action };
    block(ledger, Transaction::account(&key(1), body));
    terms
}
