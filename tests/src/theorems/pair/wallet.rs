//! One of the two wallets: it keeps every proof that it ever took, and signs and says what it likes.

use std::collections::{BTreeMap, BTreeSet};

use hub::shard::Input;
use settlement::channel::VerifiedUpdate;
use settlement::crypto::{BatchCache, Signed, SigningKey, VerifyingKey, chain_step};
use settlement::lock::{Lock, locked_total, locks_root};
use settlement::proof::{BalanceProof, OpenTerms, SnapshotRef};
use settlement::reject::Code;
use settlement::tx::{Submission, Transaction};
use settlement::types::{Amount, Anchor, ChannelId, PerRole, Role, Salt, Secret};
use settlement::update::{Op, Update};
use settlement::wire::Message;

use super::super::game::Claims;
use super::super::history::History;
use super::{FEE, Pair, UNIT};

/// A proof of the hub's that a wallet took, whatever it said.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) proof: Signed<BalanceProof>,
    refused: bool,
    answered: bool,
}

/// A draft that the hub has not answered.
#[derive(Debug)]
struct Draft {
    base: u64,
    ops: Vec<Op>,
    seq: u64,
    acknowledged: u64,
}

#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) name: &'static str,
    pub(super) key: SigningKey,
    pub(super) terms: OpenTerms,
    pub(super) channel: ChannelId,
    /// The hub's direction of this channel, and the wallet's.
    pub(super) ours: History,
    pub(super) theirs: History,
    taken: Vec<Taken>,
    seq: u64,
    pub(super) last_lock: u64,
    draft: Option<Draft>,
    /// The newest proof of its own that the hub took, and what that one acknowledges.
    newest: Option<BalanceProof>,
    /// What it had co-signed and keeps.
    pub(super) kept: Vec<Transaction>,
    /// Paid to the hub without a lock.
    pub(super) direct: u64,
    /// Own locks that the hub has passed on, by the hub's lock in the other channel.
    pub(super) passed_on: BTreeMap<u64, u64>,
    pub(super) failed: BTreeSet<u64>,
    pub(super) closing: bool,
    pub(super) withdrawn: PerRole<u64>,
    pub(super) paid: Option<PerRole<u64>>,
}

/// A chain of secrets that both wallets know, one step longer than the lock that it was made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    seed: u8,
    depth: u32,
}

impl Chain {
    pub(super) fn new(seed: u8, steps: u32) -> Chain {
        Chain { seed, depth: steps + 1 }
    }

    pub(super) fn value(&self, steps: u32) -> [u8; 32] {
        (steps..self.depth).fold([self.seed; 32], |value, _| chain_step(&value))
    }

    /// The secret that redeems so many steps of a lock on this chain.
    fn secret(&self, lock: &Lock, steps: u32) -> Option<Secret> {
        let used = (0..self.depth).find(|used| self.value(*used) == lock.anchor.0)?;
        (used + steps <= self.depth).then(|| Secret(self.value(used + steps)))
    }
}

impl Wallet {
    pub(super) fn new(name: &'static str, key: SigningKey, terms: OpenTerms) -> Wallet {
        Wallet {
            name,
            key,
            terms,
            channel: terms.channel_id(),
            ours: History::default(),
            theirs: History::default(),
            taken: Vec::new(),
            seq: 0,
            last_lock: 0,
            draft: None,
            newest: None,
            kept: Vec::new(),
            direct: 0,
            passed_on: BTreeMap::new(),
            failed: BTreeSet::new(),
            closing: false,
            withdrawn: PerRole::default(),
            paid: None,
        }
    }

    pub(super) fn keep(&mut self, base: u64, ops: &[Op], proof: Signed<BalanceProof>) {
        self.ours.sign(base, ops, proof.value.seq);
        self.taken.push(Taken { proof, refused: false, answered: false });
    }

    /// Steps of the hub's locks that were settled in what this wallet has acknowledged.
    pub(super) fn settled_steps(&self) -> u64 {
        self.ours.taken_state().paid / UNIT
    }

    fn back(&self, back: u8) -> Option<&Taken> {
        self.taken.iter().rev().nth(usize::from(back))
    }

    /// The hub's locks in the newest proof that was taken.
    pub(super) fn locks(&self) -> Vec<Lock> {
        let newest = self.taken.last().map_or(0, |taken| taken.proof.value.seq);
        self.ours.state(newest).locks
    }

    /// What the hub's update with this seq did has come true for both.
    fn accepted(&mut self, seq: u64) {
        let Some(taken) = self.taken.iter_mut().find(|t| t.proof.value.seq == seq) else { return };
        (taken.refused, taken.answered) = (false, true);
        self.ours.take(seq);
    }

    fn acknowledged(&self, newest: bool) -> (u64, Amount) {
        let said = |taken: &Taken| (taken.proof.value.seq, taken.proof.value.transferred);
        let before = || self.newest.map_or((0, Amount(0)), |p| (p.peer_seq, p.peer_transferred));
        let held = self.taken.iter().rev().find(|taken| !taken.refused).filter(|_| newest);
        held.map_or_else(before, said).max(before())
    }
}

impl Pair {
    /// The oldest update of the hub's that is to be answered, and the seq.
    fn in_flight(&self, who: usize) -> Option<u64> {
        let out = self.hub.channel(&self.wallets[who].channel)?.outgoing();
        let refused = out.refused.iter().map(|refused| refused.flight.proof.seq);
        let flying = out.in_flight.as_ref().map(|flight| flight.proof.seq);
        flying.or(refused.max())
    }

    /// Acknowledges what the hub waits for, or says that it refused what it keeps.
    pub(super) fn answer(&mut self, who: usize, ack: bool) -> bool {
        let Some(seq) = self.in_flight(who) else { return false };
        let (channel, name) = (self.wallets[who].channel, self.wallets[who].name);
        if ack {
            self.tell(format!("{name} acknowledges {seq}"));
            self.say(Message::Ack { channel, seq });
            let out = self.hub.channel(&channel).map(|channel| channel.outgoing().accepted.seq);
            if out == Some(seq) {
                self.wallets[who].accepted(seq);
            }
            return true;
        }
        self.tell(format!("{name} says that it refuses {seq}, and keeps it"));
        self.seen.kept += 1;
        let taken = self.wallets[who].taken.iter_mut().find(|t| t.proof.value.seq == seq);
        if let Some(taken) = taken.filter(|taken| !taken.answered) {
            taken.refused = true;
        }
        self.say(Message::Reject { channel, seq, code: Code::StaleView });
        true
    }

    fn say(&mut self, message: Message) {
        self.hub(Input::Message(Box::new(message)));
    }

    /// An update on top of the wallet's newest state that was taken.
    pub(super) fn draft(&mut self, who: usize, ops: Vec<Op>, newest: bool) -> bool {
        let wallet = &mut self.wallets[who];
        let after = wallet.theirs.taken_state().with(&ops);
        let acknowledged = wallet.acknowledged(newest);
        wallet.seq += 1;
        let proof = BalanceProof {
            channel: wallet.channel,
            from: Role::Wallet,
            seq: wallet.seq,
            transferred: Amount(after.paid),
            locked: locked_total(&after.locks).unwrap_or_default(),
            locks_root: locks_root(&after.locks),
            peer_seq: acknowledged.0,
            peer_transferred: acknowledged.1,
        };
        let (base, seq, name) = (wallet.theirs.taken, wallet.seq, wallet.name);
        let signed = Signed::alone(&wallet.key, proof, Salt([8; 16]));
        let update = Update { channel: wallet.channel, base, ops: ops.clone(), proof: signed };
        let key = VerifyingKey::parse(&wallet.key.public()).expect("a key");
        let verified = VerifiedUpdate::check(update, &key, &mut BatchCache::new(0));
        let verified = verified.expect("it was signed");
        wallet.draft = Some(Draft { base, ops, seq, acknowledged: acknowledged.0 });
        let ops = wallet.draft.as_ref().map_or(&[][..], |draft| &draft.ops);
        let line =
            format!("{name}'s update {seq}, up to {}: {}", acknowledged.0, super::moves::said(ops));
        self.tell(line);
        self.hub(Input::Update(Box::new(verified)));
        let taken = self.wallets[who].draft.take().is_none();
        if taken {
            self.wallets[who].newest = Some(proof);
        }
        taken
    }

    /// The hub has taken an update.
    pub(super) fn hear_ack(&mut self, who: usize, seq: u64) {
        let wallet = &mut self.wallets[who];
        let Some(draft) = wallet.draft.take_if(|draft| draft.seq == seq) else { return };
        wallet.theirs.drop_shown(draft.base, &draft.ops);
        wallet.theirs.sign(draft.base, &draft.ops, seq);
        wallet.theirs.take(seq);
        let direct = |op: &Op| match op {
            Op::Pay { amount, .. } => amount.0,
            _ => 0,
        };
        wallet.direct += draft.ops.iter().map(direct).sum::<u64>();
        wallet.ours.retired_below = wallet.ours.retired_below.max(draft.acknowledged);
        if draft.acknowledged > wallet.ours.taken {
            wallet.accepted(draft.acknowledged);
        }
    }

    fn secret(&self, lock: &Lock, steps: u32) -> Option<Secret> {
        self.chains.iter().find_map(|chain| chain.secret(lock, steps))
    }

    /// Reveals of the oldest or newest lock that the hub has added: one step, or all.
    pub(super) fn reveal(&mut self, who: usize, all: bool, newest: bool) -> bool {
        let locks = self.wallets[who].locks();
        let lock = if newest { locks.last() } else { locks.first() };
        let Some(lock) = lock.copied() else { return false };
        let steps = if all { lock.steps } else { 1 };
        let Some(secret) = self.secret(&lock, steps) else { return false };
        let (channel, name) = (self.wallets[who].channel, self.wallets[who].name);
        self.tell(format!(
            "{name} reveals {steps} of {} of the hub's lock {}",
            lock.steps, lock.id
        ));
        self.seen.reveals += 1;
        self.say(Message::Reveal { channel, id: lock.id, secret });
        true
    }

    /// Gives up a lock whose secret it has.
    pub(super) fn give_up(&mut self, who: usize) -> bool {
        let Some(lock) = self.wallets[who].locks().first().copied() else { return false };
        let (channel, name) = (self.wallets[who].channel, self.wallets[who].name);
        self.tell(format!("{name} gives up the hub's lock {}", lock.id));
        self.say(Message::Fail { channel, id: lock.id, code: Code::RefusedByPayee });
        true
    }

    /// A new connection; the wallet shows the proof that it took so many before the newest.
    pub(super) fn meet(&mut self, who: usize, back: u8) -> bool {
        let wallet = &self.wallets[who];
        let (channel, name) = (wallet.channel, wallet.name);
        let own = wallet.newest.map_or(SnapshotRef::NONE, |proof| SnapshotRef::of(&proof));
        let shown = wallet.back(back).map(|taken| taken.proof.value);
        let yours = shown.map_or(SnapshotRef::NONE, |proof| SnapshotRef::of(&proof));
        self.tell(format!("{name} meets the hub anew and shows proof {}", yours.seq));
        self.hub(Input::Disconnected(channel));
        self.hub(Input::Connected(channel));
        self.say(Message::Sync { channel, own, yours, tip: None });
        true
    }

    /// Secrets of locks that the hub ever added in this channel.
    fn claims(&self, who: usize, claims: Claims) -> Vec<(u64, Secret)> {
        let locks = self.wallets[who].ours.signed.values().flat_map(|state| &state.locks);
        let first: BTreeMap<u64, Lock> = locks.rev().map(|lock| (lock.id, *lock)).collect();
        let depth = |lock: &Lock| match claims {
            Claims::None => None,
            Claims::One => Some(1),
            Claims::All => Some(lock.steps),
        };
        let claim = |lock: &Lock| Some((lock.id, self.secret(lock, depth(lock)?)?));
        first.values().filter_map(claim).collect()
    }

    /// Brings the proof that it took so many before the newest; none beyond the oldest.
    pub(super) fn bring(&mut self, who: usize, close: bool, back: u8, claims: Claims) -> bool {
        let claims = self.claims(who, claims);
        let wallet = &self.wallets[who];
        let proof = wallet.back(back).map(|taken| taken.proof.clone());
        let seq = proof.as_ref().map_or(0, |proof| proof.value.seq);
        let (locks, name) = (wallet.ours.state(seq).locks, wallet.name);
        let (channel, by, count) = (wallet.channel, Role::Wallet, claims.len());
        let body = Submission { channel, by, close, proof, locks, claims };
        let tx = Transaction::submit(&wallet.key, body);
        let verb = if close { "closes" } else { "comes" };
        let line = format!("{name} {verb} with proof {seq} and {count} claims");
        self.queue(tx, line)
    }

    /// What no block would take is not tried.
    pub(super) fn queue(&mut self, tx: Transaction, line: String) -> bool {
        let verified = self.ledger.verify_tx(tx.clone());
        let good = verified.is_ok_and(|tx| self.ledger.check(&tx).is_ok());
        if good && !self.brought.contains(&tx) {
            self.tell(line);
            self.brought.push(tx);
        }
        good
    }

    /// Its proof that is worth most to it, with all claims.
    pub(super) fn bring_best(&mut self, who: usize) -> bool {
        let wallet = &self.wallets[who];
        let worth = |taken: &&Taken| {
            let state = wallet.ours.state(taken.proof.value.seq);
            (state.paid + state.pending(), taken.proof.value.seq)
        };
        let alive = |t: &&Taken| t.proof.value.seq >= wallet.ours.retired_below;
        let best = wallet.taken.iter().filter(alive).max_by_key(worth);
        let seq = best.map(|taken| taken.proof.value.seq);
        let at = wallet.taken.iter().rev().position(|t| Some(t.proof.value.seq) == seq);
        let back = at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        self.bring(who, true, back, Claims::All)
    }

    /// A lock for the other wallet.
    pub(super) fn new_lock(&self, who: usize, anchor: Anchor, steps: u32, life: u64) -> Lock {
        Lock {
            id: self.wallets[who].last_lock + 1,
            anchor,
            unit: Amount(UNIT + FEE),
            steps,
            // As the hub counts, which may be behind.
            expiry: self.hub.followed().0.after(life),
        }
    }
}
