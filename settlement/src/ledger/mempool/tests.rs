//! What waits, in which order, and what is answered when it comes again.

use super::super::fixture::*;
use super::*;
use crate::types::{ChannelId, Role};

fn numbered(w: &World, nonce: u64, amount: u64) -> Transaction {
    let Transaction::Account { mut body, .. } = w.transfer(Role::Wallet, w.hub.public(), amount)
    else {
        unreachable!()
    };
    body.nonce = nonce;
    Transaction::account(&w.wallet, body)
}

/// What a producer does, without its files.
fn make_block(w: &mut World, pool: &mut Mempool, bytes: usize) -> Vec<Result<(), Code>> {
    let taken = pool.take(bytes, u64::MAX);
    let time = w.ledger.tip().time_ms + 1_000;
    let applied = w.ledger.apply(taken, time).unwrap();
    pool.done(&applied.transactions, &applied.outcomes, applied.left_over);
    applied.outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[test]
fn nonces_follow_what_waits() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let submit = |pool: &mut Mempool, w: &World, nonce| {
        pool.submit(&w.ledger, numbered(w, nonce, 1)).map(|_| ())
    };
    assert_eq!(submit(&mut pool, &w, 1), Err(Code::BadNonce));
    assert_eq!(submit(&mut pool, &w, 0), Ok(()));
    assert_eq!(submit(&mut pool, &w, 1), Ok(()));
    assert_eq!(submit(&mut pool, &w, 3), Err(Code::BadNonce));
    assert_eq!((pool.len(), pool.spending(&w.wallet.public())), (2, 2));
    assert_eq!(make_block(&mut w, &mut pool, 1 << 20), [Ok(()), Ok(())]);
    assert_eq!(pool.spending(&w.wallet.public()), 0);
    assert_eq!(submit(&mut pool, &w, 2), Ok(()));
}

#[test]
fn the_same_transaction_again_repeats_its_answer() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let tx = numbered(&w, 0, 1);
    let id = pool.submit(&w.ledger, tx.clone()).unwrap();
    assert_eq!(pool.submit(&w.ledger, tx.clone()), Ok(id));
    assert_eq!(pool.len(), 1);
    make_block(&mut w, &mut pool, 1 << 20);
    assert_eq!(pool.submit(&w.ledger, tx), Ok(id));
    assert_eq!(pool.len(), 0);
    // Not the same bytes, so not the same transaction.
    assert_eq!(pool.submit(&w.ledger, numbered(&w, 0, 2)), Err(Code::BadNonce));
}

/// Two transfers of all there is: the second is refused in the block, and may come again later.
#[test]
fn what_a_block_refused_may_come_again() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    pool.submit(&w.ledger, numbered(&w, 0, 1_000)).unwrap();
    let second = numbered(&w, 1, 1_000);
    pool.submit(&w.ledger, second.clone()).unwrap();
    let outcomes = make_block(&mut w, &mut pool, 1 << 20);
    assert_eq!(outcomes, [Ok(()), Err(Code::InsufficientFunds)]);
    assert_eq!(pool.submit(&w.ledger, second.clone()), Err(Code::InsufficientFunds));
    w.ledger.state.issue(EUR, crate::types::Amount(1_000));
    w.ledger.state.credit(w.wallet.public(), EUR, crate::types::Amount(1_000));
    assert!(pool.submit(&w.ledger, second).is_ok());
}

#[test]
fn what_does_not_fit_keeps_its_place() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    for nonce in 0..3 {
        pool.submit(&w.ledger, numbered(&w, nonce, 1)).unwrap();
    }
    let one = w.ledger.verify_tx(numbered(&w, 0, 1)).unwrap().bytes();
    assert_eq!(make_block(&mut w, &mut pool, 2 * one), [Ok(()), Ok(())]);
    assert_eq!(pool.len(), 1);
    assert_eq!(make_block(&mut w, &mut pool, 2 * one), [Ok(())]);
    assert!(pool.is_empty());
}

#[test]
fn leftovers_of_a_block_go_back_in_order() {
    let (w, mut pool) = (World::new(), Mempool::default());
    for nonce in 0..3 {
        pool.submit(&w.ledger, numbered(&w, nonce, 1)).unwrap();
    }
    let taken = pool.take(1 << 20, u64::MAX);
    let ids: Vec<TxId> = taken.iter().map(VerifiedTx::id).collect();
    pool.done(&[], &[], taken);
    let again: Vec<TxId> = pool.take(1 << 20, u64::MAX).iter().map(VerifiedTx::id).collect();
    assert_eq!(ids, again);
}

#[test]
fn a_settle_that_came_too_early_is_taken_when_it_is_due() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let channel: ChannelId = w.open(10, 0);
    let settle = Transaction::Settle { channel };
    assert_eq!(pool.submit(&w.ledger, settle.clone()), Err(Code::NotDue));
    w.done(w.close(channel, Role::Hub));
    w.advance_to(w.height() + u64::from(WINDOW));
    assert!(pool.submit(&w.ledger, settle).is_ok());
}

/// A claim on a channel of the fixture's two sides, whose lock expires at this height.
fn claim_until(w: &mut World, seed: u8, expiry: u64) -> Transaction {
    claims_until(w, &[(seed, expiry)])
}

/// The same on several locks, in one transaction.
fn claims_until(w: &mut World, until: &[(u8, u64)]) -> Transaction {
    let id = w.open(50, 0);
    let locks: Vec<_> = until.iter().map(|(seed, expiry)| lock(*seed, 5, 1, *expiry)).collect();
    let proof = crate::ledger::fixture::proof(id, Role::Wallet, 1, 0, &locks);
    w.done(w.bring(Role::Hub, true, proof, &locks));
    let claims: Vec<_> =
        until.iter().map(|(seed, _)| (u64::from(*seed), secret(*seed, 1, 1))).collect();
    w.claim(id, Role::Hub, &claims)
}

/// By the nearest expiry that each protects, or by arrival and the delay if that is earlier.
#[test]
fn the_most_urgent_come_first() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let far = claim_until(&mut w, 1, 900);
    let near = claim_until(&mut w, 2, 30);
    let nearest = claim_until(&mut w, 3, 25);
    let height = w.height();
    assert!(height < 10, "the expiries are ahead");
    // Patient: wanted by height + 1 + 5.
    let transfer = w.transfer(Role::Wallet, w.hub.public(), 1);
    w.advance_to(height);
    for tx in [&far, &transfer] {
        pool.submit(&w.ledger, tx.clone()).unwrap();
    }
    w.advance_to(23);
    for tx in [&near, &nearest] {
        pool.submit(&w.ledger, tx.clone()).unwrap();
    }
    let order: Vec<TxId> = pool.take(1 << 20, u64::MAX).iter().map(VerifiedTx::id).collect();
    assert_eq!(order, [&far, &transfer, &nearest, &near].map(Transaction::id));
}

/// What claims on several locks is as urgent as the one that expires first.
#[test]
fn a_claim_that_is_near_is_urgent_beside_one_that_is_far() {
    for until in [[(1, 900), (2, 25)], [(1, 25), (2, 900)]] {
        let (mut w, mut pool) = (World::new(), Mempool::default());
        let both = claims_until(&mut w, &until);
        let single = claim_until(&mut w, 3, 27);
        w.advance_to(23);
        for tx in [&single, &both] {
            pool.submit(&w.ledger, tx.clone()).unwrap();
        }
        let order: Vec<TxId> = pool.take(1 << 20, u64::MAX).iter().map(VerifiedTx::id).collect();
        assert_eq!(order, [&both, &single].map(Transaction::id), "{until:?}");
    }
}

/// An urgent envelope takes along what its account has sent before, in the order of nonces.
#[test]
fn what_an_account_sent_before_moves_forward_with_an_urgent_envelope() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let claim = claim_until(&mut w, 1, 12);
    w.advance_to(9);
    let nonce = w.ledger.account(&w.wallet.public()).nonce;
    let foreign = w.transfer(Role::Hub, w.wallet.public(), 1);
    pool.submit(&w.ledger, foreign.clone()).unwrap();
    let before: Vec<Transaction> = (nonce..nonce + 2).map(|at| numbered(&w, at, 1)).collect();
    for tx in &before {
        pool.submit(&w.ledger, tx.clone()).unwrap();
    }
    let action = crate::tx::AccountAction::carry(claim).unwrap();
    let body = crate::tx::AccountTx {
        ledger: w.ledger.id(),
        account: w.wallet.public(),
        nonce: nonce + 2,
        action,
    };
    let urgent = Transaction::account(&w.wallet, body);
    pool.submit(&w.ledger, urgent.clone()).unwrap();
    let order: Vec<TxId> = pool.take(1 << 20, u64::MAX).iter().map(VerifiedTx::id).collect();
    assert_eq!(order, [&before[0], &before[1], &urgent, &foreign].map(Transaction::id));
}

/// However urgent each is, one after the other: those of one account stay in the order of nonces, and
/// all of them come before what is less urgent than the last.
#[test]
fn a_line_stays_in_order_whatever_is_urgent_in_it() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let claims =
        [(1, 15), (2, 13), (3, 14)].map(|(seed, expiry)| claim_until(&mut w, seed, expiry));
    w.advance_to(10);
    let nonce = w.ledger.account(&w.wallet.public()).nonce;
    let foreign = w.transfer(Role::Hub, w.wallet.public(), 1);
    pool.submit(&w.ledger, foreign.clone()).unwrap();
    let mut line = Vec::new();
    for claim in claims {
        let at = nonce + line.len() as u64;
        line.push(numbered(&w, at, 1));
        let action = crate::tx::AccountAction::carry(claim).unwrap();
        let (ledger, account) = (w.ledger.id(), w.wallet.public());
        let body = crate::tx::AccountTx { ledger, account, nonce: at + 1, action };
        line.push(Transaction::account(&w.wallet, body));
    }
    line.push(numbered(&w, nonce + 6, 1));
    for tx in &line {
        pool.submit(&w.ledger, tx.clone()).unwrap();
    }
    let order: Vec<TxId> = pool.take(1 << 20, u64::MAX).iter().map(VerifiedTx::id).collect();
    let last = line.pop().unwrap();
    let expected: Vec<TxId> = line.iter().chain([&foreign, &last]).map(Transaction::id).collect();
    assert_eq!(order, expected);
}

/// Claims on streams that are more than a block takes don't keep a payment behind them waiting.
#[test]
fn dear_claims_do_not_crowd_out_what_comes_after_them() {
    let (mut w, mut pool) = (World::new(), Mempool::default());
    let id = w.open(50, 0);
    let locks = [lock(1, 1, 40, 90), lock(2, 1, 40, 90), lock(3, 1, 1, 95)];
    let newest = crate::ledger::fixture::proof(id, Role::Wallet, 1, 0, &locks);
    w.done(w.bring(Role::Hub, true, newest, &locks));
    w.advance_to(88);
    let claims = [(1, 40), (2, 40), (3, 1)]
        .map(|(seed, steps)| w.claim(id, Role::Hub, &[(u64::from(seed), secret(seed, steps, 1))]));
    for tx in &claims {
        pool.submit(&w.ledger, tx.clone()).unwrap();
    }
    let ids = |txs: Vec<VerifiedTx>| txs.iter().map(VerifiedTx::id).collect::<Vec<_>>();
    assert_eq!(ids(pool.take(1 << 20, 79)), [claims[0].id(), claims[2].id()]);
    assert_eq!(ids(pool.take(1 << 20, 79)), [claims[1].id()]);
}

/// Who is put off tries again and again, so a full queue looks at no signature. A block makes room.
#[test]
fn a_full_queue_puts_off_before_it_checks_a_signature() {
    let w = World::new();
    let (first, second) = (numbered(&w, 0, 1), numbered(&w, 1, 1));
    let bytes = encode(&first).len();
    let Transaction::Account { body, .. } = second.clone() else { unreachable!() };
    let unsigned = Transaction::Account { body, signature: crate::types::Signature([1; 64]) };
    let full = [
        MempoolConfig { count: 1, ..MempoolConfig::default() },
        MempoolConfig { bytes: bytes + 1, ..MempoolConfig::default() },
    ];
    for config in full {
        let (mut w, mut pool) = (World::new(), Mempool::new(config));
        assert!(pool.submit(&w.ledger, first.clone()).is_ok());
        assert_eq!(pool.submit(&w.ledger, unsigned.clone()), Err(Code::QueueFull));
        assert_eq!(make_block(&mut w, &mut pool, 1 << 20), [Ok(())]);
        assert_eq!(pool.submit(&w.ledger, unsigned.clone()), Err(Code::TxBadSignature));
        assert!(pool.submit(&w.ledger, second.clone()).is_ok());
    }
}

/// What comes, whose room it takes, and who is left: two transfers of the wallet, then one of the
/// hub, fill the queue.
#[test]
fn a_full_queue_makes_room_for_what_protects_a_deadline_alone() {
    let mut w = World::new();
    let [near, nearer] = [(1, 60), (2, 50)].map(|(seed, expiry)| claim_until(&mut w, seed, expiry));
    w.advance_to(20);
    let nonce = w.ledger.account(&w.wallet.public()).nonce;
    let [first, second, third] = [0, 1, 2].map(|at| numbered(&w, nonce + at, 1));
    let foreign = w.transfer(Role::Hub, w.wallet.public(), 1);
    let enveloped = |tx: &Transaction, at: u64| {
        let action = crate::tx::AccountAction::carry(tx.clone()).unwrap();
        let (ledger, account) = (w.ledger.id(), w.wallet.public());
        let body = crate::tx::AccountTx { ledger, account, nonce: nonce + at, action };
        Transaction::account(&w.wallet, body)
    };
    let urgent = enveloped(&near, 2);
    let full = Err(Code::QueueFull);
    let transfers = [&first, &second, &foreign];
    // What waits, what comes, what becomes of it, what then is not there any more.
    type Row<'a> = (&'a str, [&'a Transaction; 3], &'a Transaction, Result<(), Code>, Vec<usize>);
    let table: Vec<Row<'_>> = vec![
        ("a transfer waits outside", transfers, &third, full, vec![]),
        ("a claim takes the room of the newest transfer", transfers, &near, Ok(()), vec![2]),
        ("the last of a line goes", [&foreign, &first, &second], &near, Ok(()), vec![2]),
        ("an envelope leaves its own line alone", transfers, &urgent, Ok(()), vec![2]),
        ("nor takes from it", [&foreign, &first, &second], &urgent, Ok(()), vec![0]),
        (
            "a nearer claim takes no claim's room first",
            [&near, &first, &foreign],
            &nearer,
            Ok(()),
            vec![2],
        ),
        (
            "a later claim takes no nearer one's room",
            [&nearer, &first, &second],
            &near,
            Ok(()),
            vec![2],
        ),
    ];
    for (name, waiting, comes, outcome, gone) in table {
        // A byte too few for all of them.
        let all = waiting.iter().chain([&comes]).map(|tx| encode(tx).len()).sum::<usize>();
        let by_count = MempoolConfig { count: 3, ..MempoolConfig::default() };
        let by_bytes = MempoolConfig { bytes: all - 1, ..MempoolConfig::default() };
        for config in [by_count, by_bytes] {
            let mut pool = Mempool::new(config);
            for tx in waiting {
                pool.submit(&w.ledger, tx.clone()).expect(name);
            }
            assert_eq!(pool.submit(&w.ledger, comes.clone()).map(|_| ()), outcome, "{name}");
            assert!(pool.bytes <= config.bytes && pool.len() <= config.count, "{name}");
            let order = pool.take(1 << 20, u64::MAX);
            let left: HashSet<TxId> = order.iter().map(VerifiedTx::id).collect();
            assert_eq!(left.contains(&comes.id()), outcome.is_ok(), "{name}");
            let missing = |at: &usize| !left.contains(&waiting[*at].id());
            assert_eq!((0..3).filter(missing).collect::<Vec<_>>(), gone, "{name}");
            // Whatever went, every nonce that is left can still be spent.
            let time = w.ledger.tip().time_ms + 1_000;
            let applied = w.ledger.clone().apply(order, time).unwrap();
            assert!(applied.outcomes.iter().all(|(_, outcome)| outcome.is_ok()), "{name}");
        }
    }
    let later = [&nearer, &near, &first];
    let mut pool = Mempool::new(MempoolConfig { count: 2, ..MempoolConfig::default() });
    let codes = later.map(|tx| pool.submit(&w.ledger, tx.clone()).map(|_| ()));
    assert_eq!(codes, [Ok(()), Ok(()), full], "a transfer takes no claim's room");
}

/// Else what fills it first delays a claim that comes later by more than everybody's margins allow.
#[test]
fn a_full_queue_is_in_blocks_within_the_inclusion_delay() {
    let genesis = Genesis { block_bytes: 256 << 10, ..genesis() };
    let delay = Policy::for_genesis(&genesis).inclusion_delay;
    let mut w = World::with(genesis.clone());
    let mut pool = Mempool::new(MempoolConfig::default().within_delay(&genesis));
    let refusal = (0..).find_map(|nonce| pool.submit(&w.ledger, numbered(&w, nonce, 1)).err());
    assert_eq!(refusal, Some(Code::QueueFull));
    let mut blocks = 0;
    while !pool.is_empty() {
        make_block(&mut w, &mut pool, 256 << 10);
        blocks += 1;
    }
    assert!(blocks < delay, "{blocks} blocks, and {delay} is the delay");
}

#[test]
fn the_newest_that_were_applied_are_known_and_no_more_than_twice_as_many() {
    let id =
        |n: usize| TxId(crate::crypto::hash_many(crate::crypto::Tag::TxId, &[&n.to_be_bytes()]).0);
    let mut applied = Applied::default();
    for n in 0..3 * REMEMBERED + 7 {
        applied.remember(id(n));
        if n % 4_096 == 0 {
            let newest = n.saturating_sub(REMEMBERED - 1);
            assert!(applied.contains(&id(newest)) && applied.contains(&id(n)), "{n}");
        }
        assert!(applied.newest.len() + applied.before.len() <= 2 * REMEMBERED);
    }
    assert!(!applied.contains(&id(0)));
}
