//! The process may end between any two records; what comes back must be right with what the hub has.

use settlement::encoding::DecodeError;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::harness::*;

/// Payments both ways, a failure, a refusal and a repeated invoice, with a break in between.
fn busy() -> World {
    let mut world = World::new();
    for secret in [1, 2, 3] {
        world.hub.script.secrets.insert(anchor_of(secret), Secret([secret; 32]));
    }
    world.hub.script.fail_others = Some(settlement::reject::Code::PayeeOffline);
    world.command(pay(3, 1, 100));
    world.command(pay(3, 2, 100));
    world.command(pay(3, 4, 100));
    world.command(invoice(11, 70));
    world.hub_adds(NewLock::of(11, 70));
    world.run();
    world.hub_adds(NewLock::of(11, 70));
    world.hub_adds(unasked(12, 40));
    world.command(pay(3, 3, 100));
    world.run();
    world.hub.script.reject_next = Some(settlement::reject::Code::StaleView);
    world.command(pay(3, 5, 100));
    world.run();
    world.second();
    world.reconnect();
    world.second();
    world.second();
    world
}

fn unasked(secret: u8, unit: u64) -> NewLock {
    let content = crate::payload::Content {
        key: crate::payload::ContentKey::Secret(Secret([secret; 32])),
        unit: Amount(unit),
        steps: 1,
        asset: AssetId(0),
        anchor: anchor_of(secret),
        memo: String::new(),
    };
    let (payer, payee, ledger) = (key(3), key(1).public(), genesis().ledger_id());
    let payload = crate::payload::seal(&content, &payer, &payee, &ledger, &[1; 24]).unwrap();
    NewLock { payload, ..NewLock::of(secret, unit) }
}

/// Lets everything come to its end: each lock settles, fails or expires.
fn finish(world: &mut World) {
    for _ in 0..4 {
        world.second();
    }
    world.pass(300);
    for _ in 0..4 {
        world.second();
    }
}

fn assert_finished(world: &World, at: usize) {
    world.assert_agreed();
    assert_eq!(world.channel().locked(), Amount(0), "record {at}");
    let (mut paid, mut received) = (0, 0);
    for payment in world.wallet.payments() {
        match (payment.way, payment.state) {
            (_, PaymentState::Failed(_)) => {}
            (Way::Out, PaymentState::Settled) => paid += payment.amount.0 + payment.fee.0,
            (Way::In, PaymentState::Settled) => received += payment.amount.0,
            (Way::In, PaymentState::Pending) if payment.lock.is_none() => {}
            other => panic!("record {at}: {other:?} has not ended"),
        }
    }
    assert_eq!(world.balance() + paid, WALLET_DEPOSIT + received, "record {at}: every unit");
}

#[test]
fn the_busy_world_ends_as_it_should() {
    let mut world = busy();
    finish(&mut world);
    assert_finished(&world, world.records.len());
    assert_eq!(world.balance(), WALLET_DEPOSIT - 3 * 101 + 70 + 40);
}

#[test]
fn a_crash_between_any_two_records_loses_nothing() {
    let world = busy();
    let counts: Vec<usize> = world.history.iter().map(|(count, _)| *count).collect();
    for (turn, (count, hub)) in world.history.iter().enumerate() {
        let end = counts.get(turn + 1).copied().unwrap_or(world.records.len());
        // Records of one output, of which only some were written. No action of it was performed.
        for at in *count..end {
            let records = world.records[..at].to_vec();
            let now_ms = world.now_ms;
            let mut back = World::with(replay(&records), hub.clone(), records, now_ms);
            back.blocks = world.blocks.clone();
            if back.wallet.channels().count() == 0 {
                continue;
            }
            back.restart();
            back.feed(Input::Connected);
            back.run();
            finish(&mut back);
            assert_finished(&back, at);
        }
    }
}

#[test]
fn every_prefix_of_the_records_makes_the_rows_that_its_changes_make() {
    let world = busy();
    let mut wallet = Wallet::new(config());
    let mut index = std::collections::BTreeMap::new();
    for record in &world.records {
        wallet.replay(record);
        for (key, value) in wallet.take_dirty_rows() {
            match value {
                Some(value) => index.insert(key, value),
                None => index.remove(&key),
            };
        }
        // A wallet that went through its rows goes on like one that never stopped.
        let rows = index.clone();
        wallet = Wallet::restore(config(), &mut rows.clone().into_iter()).unwrap();
        let mut whole = wallet.rows();
        whole.sort();
        assert!(rows.into_iter().eq(whole));
    }
    assert_eq!(wallet.rows(), world.wallet.rows());
}

#[test]
fn a_channel_of_many_locks_is_cut_into_rows_and_the_surplus_goes() {
    let mut world = World::new();
    for secret in 0..100 {
        let payee = key(3).public();
        world.command(Command::Send {
            secret: Secret([secret; 32]),
            nonce: [secret; 24],
            payee,
            asset: AssetId(0),
            amount: Amount(1),
            memo: "x".repeat(200),
        });
    }
    // The first is acknowledged, all the others are in flight.
    world.hear(Message::Ack { channel: world.id(), seq: 1 });
    let parts = |world: &World| {
        let rows = world.wallet.rows();
        rows.iter().filter(|(key, _)| key[0] == b'c').count()
    };
    let full = parts(&world);
    assert!(full > 2, "{full}");
    world.run();
    // That the rows in the index are these and no more is checked with each record.
    assert!(parts(&world) < full);
}

type Row = (Vec<u8>, Vec<u8>);

#[test]
fn rows_that_make_no_wallet_are_refused() {
    let world = busy();
    let rows = world.wallet.rows();
    let restore = |rows: Vec<Row>| Wallet::restore(config(), &mut rows.into_iter()).err();
    let at = |kind: u8| rows.iter().position(|(key, _)| key[0] == kind).unwrap();
    let with = |at: usize, change: &dyn Fn(&mut Row)| {
        let mut rows = rows.clone();
        change(&mut rows[at]);
        restore(rows)
    };
    assert_eq!(restore(rows.clone()), None);
    let (channel, payment, followed) = (at(b'c'), at(b'p'), at(b'f'));
    let key = |at: usize| rows[at].0.clone();
    assert_eq!(with(followed, &|row| row.0[0] = b'x'), Some(RestoreError::Key(b"x".to_vec())));
    let cut = |at: usize| with(at, &|row| row.1.truncate(row.1.len() - 1));
    let malformed = |at| Some(RestoreError::Value { key: key(at), error: DecodeError::Malformed });
    for at in [payment, followed, channel] {
        assert_eq!(cut(at), malformed(at));
    }
    let moved = |at: usize| with(at, &|row| row.0[1] ^= 1);
    assert!(matches!(moved(payment), Some(RestoreError::Misplaced(_))));
    assert!(matches!(moved(channel), Some(RestoreError::Misplaced(_))));
    let late = with(channel, &|row| row.0[34] += 1);
    assert_eq!(late, Some(RestoreError::Missing { channel: world.id(), part: 0 }));
}
