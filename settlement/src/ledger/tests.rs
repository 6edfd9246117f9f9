//! Random worlds: whatever is thrown at a ledger, no money is made or lost, a follower that checks
//! every block stays equal, and the stored rows bring back the very same state.

use proptest::prelude::*;

use super::fixture::*;
use super::*;
use crate::lock::Lock;
use crate::proof::Net;
use crate::proof::{BalanceProof, CooperativeClose};
use crate::tx::{Submission, Transaction};
use crate::types::{Amount, Role};

/// One thing that somebody tries; indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Transfer(bool, u64),
    Open(u64),
    Deposit(usize, bool, u64),
    Withdraw(usize, bool, u64),
    Agree(usize, u64, u64),
    Submit(usize, bool, bool, Option<(u64, u64, u64)>, Vec<u8>, Vec<(u8, u32)>),
    Settle(usize),
    Mint(u64),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let proof = proptest::option::of((0..8u64, 0..150u64, 0..8u64));
    let locks = proptest::collection::vec(1..6u8, 0..4);
    let claims = proptest::collection::vec((1..6u8, 0..4u32), 0..4);
    let at = 0..4usize;
    prop_oneof![
        (any::<bool>(), 0..400u64).prop_map(|(a, b)| Step::Transfer(a, b)),
        (0..200u64).prop_map(Step::Open),
        (at.clone(), any::<bool>(), 1..200u64).prop_map(|(a, b, c)| Step::Deposit(a, b, c)),
        (at.clone(), any::<bool>(), 0..250u64).prop_map(|(a, b, c)| Step::Withdraw(a, b, c)),
        (at.clone(), 0..200u64, 0..200u64).prop_map(|(a, b, c)| Step::Agree(a, b, c)),
        (at.clone(), any::<bool>(), any::<bool>(), proof, locks, claims)
            .prop_map(|(a, b, c, d, e, f)| Step::Submit(a, b, c, d, e, f)),
        at.prop_map(Step::Settle),
        (0..500u64).prop_map(Step::Mint),
        (0..60u8).prop_map(Step::Wait),
    ]
}

fn role(wallet: bool) -> Role {
    if wallet { Role::Wallet } else { Role::Hub }
}

/// The step as a transaction, as the ledger stands now.
fn transaction(w: &World, opened: &[ChannelId], step: &Step) -> Option<Transaction> {
    let id = |at: usize| opened.get(at % opened.len().max(1)).copied();
    Some(match step {
        Step::Transfer(wallet, amount) => {
            w.transfer(role(*wallet), w.key(role(!*wallet)).public(), *amount)
        }
        Step::Open(deposit) => w.open_tx(*deposit),
        Step::Deposit(at, wallet, amount) => w.deposit_tx(id(*at)?, role(*wallet), *amount),
        Step::Withdraw(at, wallet, total) => {
            w.withdraw_tx(id(*at)?, role(*wallet), *total, w.height() + 1)
        }
        Step::Agree(at, wallet, hub) => w.cooperative_tx(CooperativeClose {
            channel: id(*at)?,
            wallet_amount: Amount(*wallet),
            hub_amount: Amount(*hub),
            wallet_net: Net::new((*wallet).into()).unwrap(),
            hub_net: Net::new((*hub).into()).unwrap(),
            valid_until: Height(w.height() + 1),
        }),
        Step::Submit(at, wallet, close, proof, locks, claims) => {
            let (id, by) = (id(*at)?, role(*wallet));
            w.submit_tx(Submission {
                close: *close,
                claims: distinct(claims),
                ..with_proof(w, submission(id, by), *proof, locks)
            })
        }
        Step::Settle(at) => Transaction::Settle { channel: id(*at)? },
        Step::Mint(amount) => w.mint_tx(w.ledger.next_mint(), *amount),
        Step::Wait(_) => return None,
    })
}

fn distinct(claims: &[(u8, u32)]) -> Vec<(u64, crate::types::Secret)> {
    let mut claims = claims.to_vec();
    claims.sort_unstable();
    claims.dedup_by_key(|(id, _)| *id);
    let claim = |(seed, depth): (u8, u32)| (u64::from(seed), secret(seed, 3, depth.min(3)));
    claims.into_iter().map(claim).collect()
}

fn with_proof(
    w: &World,
    body: Submission,
    numbers: Option<(u64, u64, u64)>,
    seeds: &[u8],
) -> Submission {
    let Some((seq, paid, peer)) = numbers else {
        return body;
    };
    let mut seeds = seeds.to_vec();
    seeds.sort_unstable();
    seeds.dedup();
    let lock = |seed: &u8| lock(*seed, 4, 3, u64::from(*seed) * 20);
    let locks: Vec<Lock> = seeds.iter().map(lock).collect();
    let proof = BalanceProof {
        peer_seq: peer,
        peer_transferred: Amount(peer * 10),
        ..proof(body.channel, body.by.other(), seq, paid, &locks)
    };
    Submission { proof: Some(w.sign(proof)), locks, ..body }
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn restored(genesis: Genesis, header: &Header, rows: Rows) -> Result<Ledger, LedgerError> {
    let rows = rows.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    Ledger::restore(genesis, header, rows)
}

/// The same rows in a ledger that has seen nothing else.
fn reloaded(w: &World) -> Ledger {
    let rows = w.ledger.all_rows().into_iter();
    let mut rows: Vec<_> = rows.filter_map(|(key, value)| Some((key, value?))).collect();
    rows.sort();
    let header = w.blocks.last().unwrap().header.header;
    restored(w.ledger.parameters().clone(), &header, rows).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// [`World::block`] checks the sums and the follower after each block.
    #[test]
    fn nothing_makes_or_loses_money(steps in proptest::collection::vec(step(), 1..60)) {
        let mut w = World::new();
        let mut opened = vec![];
        for step in steps {
            if let Step::Wait(blocks) = step {
                w.advance_to(w.height() + u64::from(blocks));
                continue;
            }
            let Some(tx) = transaction(&w, &opened, &step) else { continue };
            if w.ledger.verify_tx(tx.clone()).is_err() { continue }
            if let Step::Open(_) = step {
                opened.push(w.terms().channel_id());
            }
            let expected = w.answer(&tx);
            let found = w.block(vec![tx]).outcomes[0].1;
            // Claims are hashed only when they are applied.
            if found != Err(crate::reject::Code::ChangesNothing) {
                prop_assert_eq!(found, expected);
            }
        }
        w.block(vec![]);
        let again = reloaded(&w);
        prop_assert_eq!(&again.state, &w.ledger.state);
        prop_assert_eq!(again.tip(), w.ledger.tip());
    }
}

#[test]
fn a_genesis_that_breaks_a_rule_makes_no_ledger() {
    let no_assets = Genesis { assets: vec![], ..genesis() };
    assert!(matches!(Ledger::genesis(no_assets), Err(LedgerError::Parameters(_))));
    let no_key = Genesis { ledger_key: PublicKey([9; 33]), ..genesis() };
    assert_eq!(Ledger::genesis(no_key).unwrap_err(), LedgerError::Key);
}

#[test]
fn rows_that_are_not_whole_are_refused() {
    let mut w = World::new();
    let id = w.open(100, 0);
    let locks = [lock(1, 5, 1, 300), lock(2, 5, 1, 300)];
    let newest = proof(id, Role::Wallet, 1, 3, &locks);
    w.done(w.bring(Role::Hub, true, newest, &locks));
    let header = w.blocks.last().unwrap().header.header;
    let rows = w.ledger.all_rows().into_iter();
    let mut rows: Vec<_> = rows.filter_map(|(key, value)| Some((key, value?))).collect();
    rows.sort();
    let load = |rows: Vec<_>| restored(genesis(), &header, rows);
    assert!(load(rows.clone()).is_ok());
    for kind in [b'b', b'c', b'i', b'l'] {
        let at = rows.iter().rposition(|(key, _)| key[0] == kind).unwrap();
        let mut fewer = rows.clone();
        fewer.remove(at);
        assert!(load(fewer).is_err(), "without a row of kind {}", char::from(kind));
    }
    let mut strange = rows.clone();
    strange.push((b"x".to_vec(), vec![]));
    assert!(load(strange).is_err());
}

#[test]
fn due_channels_are_paid_out_in_portions() {
    // One wallet, one hub: as many channels as two blocks pay out, all due at once.
    let mut w = World::new();
    let many = SETTLEMENTS_MAX + 10;
    for nonce in 0..many {
        let mut terms = w.terms();
        terms.nonce = nonce as u64;
        let mut channel = ChannelState::new(terms, nonce as u64, Height(0), Amount(0));
        channel.closing = Some(Closing {
            by: Role::Hub,
            height: Height(0),
            proofs_until: Height(u64::from(WINDOW)),
        });
        w.ledger.state.put_channel(terms.channel_id(), Some(channel));
    }
    w.ledger.state.dirty.clear();
    let mut ledger = w.ledger.clone();
    let mut settled = vec![];
    for time in 1..=u64::from(WINDOW) + 3 {
        settled.push(ledger.apply([], time * 1_000).unwrap().events.len());
    }
    let window = WINDOW as usize;
    assert_eq!(settled[window - 1..], [0, SETTLEMENTS_MAX, 10, 0]);
}
