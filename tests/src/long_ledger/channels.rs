//! What happens to the channels of a long history, one step per block.

use rand::RngExt;
use settlement::crypto::{Signable, Signed, chain_step};
use settlement::ledger::Ledger;
use settlement::liabilities::{Liabilities, LiabilityTree};
use settlement::lock::{Lock, locked_total, locks_root};
use settlement::proof::{BalanceProof, CooperativeClose, Net, OpenTerms, Withdrawal};
use settlement::tx::{AccountAction, AnchorEntry, Anchoring, Submission, Transaction};
use settlement::types::{Amount, Anchor, ChannelId, Hash, Height, Role, Salt, Secret, Signature};

use super::{EUR, Maker, Party};

/// The shortest window of a development ledger.
const WINDOW: u32 = 40;
const DEPOSIT: Amount = Amount(10_000);
/// Steps of the stream that is claimed in the end.
const STEPS: u32 = 100;

/// The channels that are under way.
#[derive(Default)]
pub(super) struct Life {
    open: Vec<Channel>,
    closing: Vec<ChannelId>,
    opened: u64,
}

#[derive(Clone, Copy)]
struct Channel {
    id: ChannelId,
    number: u64,
    wallet: usize,
    hub: usize,
    /// How many blocks ago it was asked for.
    age: u32,
}

impl Maker {
    /// A block's transactions about channels.
    pub(super) fn live(&mut self) -> Vec<Transaction> {
        let mut txs = self.due();
        let mut open = std::mem::take(&mut self.life.open);
        let mut anchored = vec![Vec::new(); self.hubs.len()];
        open.retain_mut(|channel| {
            channel.age += 1;
            let channel = *channel;
            match channel.age {
                1 => txs.push(self.deposit(channel)),
                2 => txs.push(self.record(channel)),
                3 => anchored[channel.hub].push(self.entry(channel)),
                4 if channel.number.is_multiple_of(4) => txs.push(self.withdraw(channel)),
                5 => txs.extend(self.end(channel)),
                6 => txs.extend(self.answer(channel)),
                _ => {}
            }
            channel.age < 6
        });
        self.life.open = open;
        let anchors = (0..).zip(anchored).filter(|(_, entries)| !entries.is_empty());
        txs.extend(anchors.map(|(hub, entries)| self.anchor(hub, entries)).collect::<Vec<_>>());
        txs.extend((0..self.plan.opened).map(|_| self.open()).collect::<Vec<_>>());
        txs
    }

    /// Somebody asks for half of the payouts that are due; the ledger makes the others by itself.
    fn due(&mut self) -> Vec<Transaction> {
        let ledger = self.producer.ledger();
        let next = ledger.tip().height.after(1);
        let is_due = |id: &ChannelId| ledger.channel(id).is_some_and(|c| c.due() == Some(next));
        let asked = |id: &&ChannelId| is_due(id) && id.0[0].is_multiple_of(2);
        let settles: Vec<_> = self.life.closing.iter().filter(asked).copied().collect();
        self.life.closing.retain(|id| ledger.channel(id).is_some() && !is_due(id));
        settles.into_iter().map(|channel| Transaction::Settle { channel }).collect()
    }

    fn open(&mut self) -> Transaction {
        let (wallet, number) = (self.rng.random_range(0..self.wallets.len()), self.life.opened);
        let hub = usize::try_from(number).unwrap_or(0) % self.hubs.len();
        let ledger = self.producer.ledger().id();
        let party = &mut self.wallets[wallet];
        let terms = OpenTerms {
            ledger,
            asset: EUR,
            wallet: party.public,
            hub: self.hubs[hub].public,
            challenge_blocks: WINDOW,
            nonce: party.nonce,
        };
        self.life.opened += 1;
        self.life.open.push(Channel { id: terms.channel_id(), number, wallet, hub, age: 0 });
        party.act(ledger, AccountAction::Open { terms, deposit: DEPOSIT })
    }

    fn deposit(&mut self, of: Channel) -> Transaction {
        let ledger = self.producer.ledger().id();
        let action = AccountAction::Deposit { channel: of.id, role: Role::Hub, amount: DEPOSIT };
        self.hubs[of.hub].act(ledger, action)
    }

    /// A submission on an open channel.
    fn record(&self, of: Channel) -> Transaction {
        let proof = Some(self.proof(of, Role::Wallet, 1, 10, &[]));
        self.submission(of, Submission { proof, ..Submission::nothing(of.id, Role::Hub) })
    }

    fn entry(&self, of: Channel) -> AnchorEntry {
        let wallet_proof = Some(self.proof(of, Role::Wallet, 2, 20, &[]));
        AnchorEntry { channel: of.id, wallet_proof, hub_transferred: Amount(5) }
    }

    fn anchor(&mut self, hub: usize, entries: Vec<AnchorEntry>) -> Transaction {
        let leaves = entries.iter().map(|entry| (entry.channel, entry.hub_transferred)).collect();
        let tree = LiabilityTree::new(leaves).expect("small sums");
        let (root, total) = tree.root();
        let ledger = self.producer.ledger();
        let (id, as_of) = (ledger.id(), ledger.tip().height);
        let liabilities = Liabilities { as_of, asset: EUR, root, total };
        let action = AccountAction::Anchor(Anchoring { epoch: 0, entries, liabilities });
        self.hubs[hub].act(id, action)
    }

    fn withdraw(&self, of: Channel) -> Transaction {
        let body = Withdrawal {
            channel: of.id,
            role: Role::Wallet,
            total_withdrawn: Amount(100),
            valid_until: self.later(10),
        };
        let (wallet, hub) = self.both(of, body.digest());
        Transaction::Withdraw { body, wallet, hub }
    }

    /// A third of the channels each: both close it, the wallet closes, the hub closes and claims.
    fn end(&mut self, of: Channel) -> Option<Transaction> {
        match of.number % 3 {
            0 => Some(self.close_together(of)),
            1 => {
                self.life.closing.push(of.id);
                Some(self.submission(of, Submission::close_with_nothing(of.id, Role::Wallet)))
            }
            _ => Some(self.newest(of, true)),
        }
    }

    /// To a wallet's close, the hub's newest proof and its claim.
    fn answer(&mut self, of: Channel) -> Option<Transaction> {
        (of.number % 3 == 1).then(|| self.newest(of, false))
    }

    fn close_together(&self, of: Channel) -> Transaction {
        let ledger: &Ledger = self.producer.ledger();
        let channel = ledger.channel(&of.id).expect("it is open");
        let net = |role| Net::new(channel.net(role)).expect("small sums");
        let hub_amount = Amount(DEPOSIT.0 + 25);
        let wallet_amount = Amount::from_wide(channel.escrow() - hub_amount.wide());
        let body = CooperativeClose {
            channel: of.id,
            wallet_amount: wallet_amount.expect("small sums"),
            hub_amount,
            wallet_net: net(Role::Wallet),
            hub_net: net(Role::Hub),
            valid_until: self.later(10),
        };
        let (wallet, hub) = self.both(of, body.digest());
        Transaction::CooperativeClose { body, wallet, hub }
    }

    fn newest(&mut self, of: Channel, close: bool) -> Transaction {
        if close {
            self.life.closing.push(of.id);
        }
        let seed: [u8; 32] = self.rng.random();
        let way = |steps: u32| (0..steps).fold(seed, |value, _| chain_step(&value));
        let (anchor, secret) = (Anchor(way(STEPS)), Secret(way(STEPS / 3)));
        let expiry = self.later(u64::from(WINDOW) - 5);
        let locks = vec![Lock { id: 1, anchor, unit: Amount(2), steps: STEPS, expiry }];
        let proof = Some(self.proof(of, Role::Wallet, 3, 30, &locks));
        let claims = vec![(1, secret)];
        let nothing = Submission::nothing(of.id, Role::Hub);
        self.submission(of, Submission { close, proof, locks, claims, ..nothing })
    }

    fn later(&self, blocks: u64) -> Height {
        self.producer.ledger().tip().height.after(blocks)
    }

    fn party(&self, of: Channel, role: Role) -> &Party {
        match role {
            Role::Wallet => &self.wallets[of.wallet],
            Role::Hub => &self.hubs[of.hub],
        }
    }

    fn both(&self, of: Channel, digest: Hash) -> (Signature, Signature) {
        let sign = |role| self.party(of, role).key.sign(&digest);
        (sign(Role::Wallet), sign(Role::Hub))
    }

    fn submission(&self, of: Channel, body: Submission) -> Transaction {
        Transaction::submit(&self.party(of, body.by).key, body)
    }

    fn proof(
        &self,
        of: Channel,
        from: Role,
        seq: u64,
        transferred: u64,
        locks: &[Lock],
    ) -> Signed<BalanceProof> {
        let value = BalanceProof {
            channel: of.id,
            from,
            seq,
            transferred: Amount(transferred),
            locked: locked_total(locks).expect("small sums"),
            locks_root: locks_root(locks),
            peer_seq: 0,
            peer_transferred: Amount::ZERO,
        };
        Signed::alone(&self.party(of, from).key, value, Salt([7; 16]))
    }
}
