//! Being paid: which locks the wallet shows its secret for.

use settlement::reject::Code;
use settlement::types::*;
use settlement::update::Payload;

use super::super::*;
use super::harness::*;
use crate::payload::{Content, ContentKey, seal};

fn content(secret: u8, unit: u64) -> Content {
    Content {
        key: ContentKey::Secret(Secret([secret; 32])),
        unit: Amount(unit),
        steps: 1,
        asset: AssetId(0),
        anchor: anchor_of(secret),
        memo: "hello".to_owned(),
    }
}

fn sealed(content: &Content, payer: u8, payee: u8) -> Payload {
    let payee = key(payee).public();
    seal(content, &key(payer), &payee, &genesis().ledger_id(), &[1; 24]).unwrap()
}

fn unasked(content: &Content) -> NewLock {
    NewLock { payload: sealed(content, 3, 1), ..NewLock::of(7, content.unit.0) }
}

/// What the wallet answered to the only lock: its code, or `None` when it showed the secret.
pub(super) fn answer(world: &World) -> Option<Code> {
    match (world.hub.learned.len(), world.hub.failures.as_slice()) {
        (1, []) => None,
        (0, [(_, code)]) => Some(*code),
        other => panic!("neither one secret nor one failure: {other:?}"),
    }
}

#[test]
fn an_invoice_is_paid_once_and_the_secret_goes_to_its_lock() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    let Some(Event::Invoiced { invoice, payment }) = world.events.first().cloned() else {
        panic!("no invoice")
    };
    let parsed = crate::invoice::Invoice::parse(&invoice).unwrap();
    assert_eq!((parsed.amount, parsed.anchor), (Amount(300), payment.anchor));
    assert_eq!(payment.state, PaymentState::Pending);
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
    assert_eq!(world.hub.learned, [Secret([7; 32])]);
    assert_eq!(world.balance(), WALLET_DEPOSIT + 300);
    // The second lock for it gets no secret.
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.hub.failures, [(2, Code::InvoiceUsed)]);
    assert_eq!(world.hub.learned.len(), 1);
    world.assert_agreed();
}

#[test]
fn two_locks_for_one_invoice_in_one_update_get_one_secret() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.hub.script.mute = true;
    world.hub_pays(1);
    world.hub_adds(NewLock::of(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.hub.learned.len(), 1);
    assert_eq!(world.hub.failures, [(2, Code::InvoiceUsed)]);
}

#[test]
fn the_record_of_the_lock_comes_before_the_one_that_shows_its_secret() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    let at = |what: fn(&Step) -> bool| {
        let found = |record: &Record| matches!(record, Record::Step { step, .. } if what(step));
        world.records.iter().position(found).unwrap()
    };
    let received = at(|step| matches!(step, Step::Received(_)));
    let shown = at(|step| matches!(step, Step::Answered { .. }));
    assert!(received < shown);
}

#[test]
fn a_lock_that_is_not_what_the_invoice_says_gets_no_secret() {
    let lock = || NewLock::of(7, 300);
    let (stranger, margins) = (key(3).public(), 30 + 40);
    let cases = [
        (lock(), None),
        (NewLock { unit: 299, ..lock() }, Some(Code::WrongAmount)),
        (NewLock { unit: 301, ..lock() }, Some(Code::WrongAmount)),
        (NewLock { unit: 150, steps: 2, ..lock() }, Some(Code::WrongAmount)),
        (NewLock { steps: 2, ..lock() }, Some(Code::WrongAmount)),
        (NewLock { to: stranger, ..lock() }, Some(Code::UnknownPayee)),
        (NewLock { anchor: anchor_of(8), ..lock() }, Some(Code::UnknownInvoice)),
        (NewLock { life: margins, ..lock() }, None),
        (NewLock { life: margins - 1, ..lock() }, Some(Code::ExpiryTooSoon)),
    ];
    for (at, (lock, expected)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        world.command(invoice(7, 300));
        world.hub_adds(lock);
        world.run();
        assert_eq!(answer(&world), expected, "case {at}");
        if expected.is_some() {
            assert_eq!(world.state_of(7), Some(PaymentState::Pending), "case {at}");
            // A right lock still gets through.
            world.hub_adds(NewLock::of(7, 300));
            world.run();
            assert_eq!(world.hub.learned.len(), 1, "case {at}");
        }
    }
}

#[test]
fn a_lock_of_another_asset_than_the_invoices_gets_no_secret() {
    let mut world = World::new();
    let Command::Invoice { secret, amount, life_blocks, memo, .. } = invoice(7, 300) else {
        panic!()
    };
    let asset = AssetId(1);
    world.command(Command::Invoice { secret, asset, amount, life_blocks, memo });
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(answer(&world), Some(Code::WrongAmount));
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
}

#[test]
fn an_invoice_ends_after_its_last_height() {
    for (blocks, expected) in [(1_000, None), (1_001, Some(Code::InvoiceExpired))] {
        let mut world = World::new();
        world.command(invoice(7, 300));
        world.pass(blocks);
        world.run();
        world.hub_adds(NewLock::of(7, 300));
        world.run();
        assert_eq!(answer(&world), expected);
    }
}

#[test]
fn an_invoice_whose_time_is_over_is_told_as_failed() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    world.pass(1_001);
    let failed = PaymentState::Failed(Code::InvoiceExpired);
    assert_eq!(world.state_of(7), Some(failed));
    let told = |e: &Event| matches!(e, Event::Payment(p) if p.state == failed);
    assert_eq!(world.events.iter().filter(|e| told(e)).count(), 1);
}

#[test]
fn a_payment_that_nobody_asked_for_is_taken_with_an_authentic_payload() {
    let mut world = World::new();
    world.hub_adds(unasked(&content(7, 300)));
    world.run();
    assert_eq!(answer(&world), None);
    let payment = world.wallet.payment(&anchor_of(7)).unwrap();
    assert_eq!(payment.state, PaymentState::Settled);
    assert_eq!((payment.peer, payment.amount), (Some(key(3).public()), Amount(300)));
    assert_eq!(payment.memo, "hello");
    let told = world.events.iter().filter(|e| matches!(e, Event::Payment(_))).count();
    assert_eq!(told, 1, "told once");
    // A copy of the payload under a new lock gets nothing.
    world.hub_adds(unasked(&content(7, 300)));
    world.run();
    assert_eq!(world.hub.failures, [(2, Code::InvoiceUsed)]);
}

#[test]
fn a_lock_that_is_not_what_its_payload_says_gets_no_secret() {
    let good = || content(7, 300);
    let with = |payload: Payload| NewLock { payload, ..NewLock::of(7, 300) };
    let says = |content: Content| with(sealed(&content, 3, 1));
    let wrong_secret = Content { key: ContentKey::Secret(Secret([8; 32])), ..good() };
    let garbage = Payload::new(vec![1; 120]).unwrap();
    let cases = [
        (says(good()), None),
        (with(garbage), Code::BadPayload.into()),
        (with(sealed(&good(), 3, 4)), Code::BadPayload.into()),
        (says(Content { anchor: anchor_of(8), ..good() }), Code::BadPayload.into()),
        (says(wrong_secret), Code::BadPayload.into()),
        (says(content(8, 300)), Code::BadPayload.into()),
        (says(Content { unit: Amount(301), ..good() }), Code::WrongAmount.into()),
        (says(Content { steps: 2, ..good() }), Code::WrongAmount.into()),
        (says(Content { asset: AssetId(1), ..good() }), Code::WrongAmount.into()),
        (NewLock { steps: 2, ..says(good()) }, Code::WrongAmount.into()),
        (NewLock { unit: 200, ..says(good()) }, Code::WrongAmount.into()),
        (NewLock { life: 69, ..says(good()) }, Code::ExpiryTooSoon.into()),
    ];
    for (at, (lock, expected)) in cases.into_iter().enumerate() {
        let mut world = World::new();
        world.hub_adds(lock);
        world.run();
        assert_eq!(answer(&world), expected, "case {at}");
        assert_eq!(world.state_of(7).is_some(), expected.is_none(), "case {at}");
    }
}

#[test]
fn a_lock_with_the_anchor_of_a_payment_out_gets_no_secret() {
    let mut world = World::new();
    world.command(pay(3, 7, 100));
    world.run();
    world.hub_adds(unasked(&content(7, 300)));
    world.run();
    assert_eq!(world.hub.failures, [(1, Code::DuplicatePayment)]);
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
}

/// The world as it is when the process ended right after the first such record, and the hub has
/// heard nothing of what followed.
pub(super) fn cut_after(world: World, what: impl Fn(&Record) -> bool) -> World {
    let at = world.records.iter().position(what).unwrap();
    let (_, hub) = world.history.iter().rev().find(|(count, _)| *count <= at).unwrap().clone();
    let records = world.records[..=at].to_vec();
    let mut back = World::with(replay(&records), hub, records, world.now_ms);
    back.blocks = world.blocks;
    back
}

#[test]
fn a_payment_that_nobody_asked_for_and_that_failed_stays_failed() {
    let mut world = World::new();
    world.hub_adds(unasked(&content(7, 300)));
    world.run();
    // Recorded, and not answered until it was too late.
    let mut world = cut_after(world, |record| matches!(record, Record::Payment(_)));
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
    world.catch_up();
    world.pass(150);
    world.reconnect();
    let failed = Some(PaymentState::Failed(Code::ExpiryTooSoon));
    assert_eq!((answer(&world), world.state_of(7)), (Some(Code::ExpiryTooSoon), failed));
    world.hub_adds(unasked(&content(7, 300)));
    world.run();
    assert_eq!((world.hub.failures.len(), world.hub.learned.len()), (2, 0));
    assert_eq!(world.state_of(7), failed);
}

#[test]
fn a_lock_that_the_hub_settles_unasked_completes_its_invoice() {
    let mut world = World::new();
    world.command(invoice(7, 300));
    let mut lock = NewLock::of(7, 300);
    // It is refused for the margin, but the hub has the secret from elsewhere and pays.
    lock.life = 60;
    world.hub_adds(lock);
    world.hub.script.keep_due = true;
    world.run();
    assert_eq!(world.hub.failures, [(1, Code::ExpiryTooSoon)]);
    assert_eq!(world.state_of(7), Some(PaymentState::Pending));
    world.hub.learn(1, Secret([7; 32]));
    world.hub.script.keep_due = false;
    world.run();
    assert_eq!(world.state_of(7), Some(PaymentState::Settled));
    assert_eq!(world.balance(), WALLET_DEPOSIT + 300);
    world.hub_adds(NewLock::of(7, 300));
    world.run();
    assert_eq!(world.hub.failures[1], (2, Code::InvoiceUsed));
}

#[test]
fn the_hub_pays_directly_and_the_wallet_says_so() {
    let mut world = World::new();
    world.hub_pays(25);
    world.run();
    let expected = Event::PaidByHub { channel: world.id(), amount: Amount(25), memo: vec![] };
    assert!(world.events.contains(&expected));
    assert_eq!(world.balance(), WALLET_DEPOSIT + 25);
}

#[test]
fn each_invoice_that_can_not_be_made_is_refused_with_its_code() {
    let with = |asset, amount, life_blocks, memo: &str| Command::Invoice {
        secret: Secret([7; 32]),
        asset: AssetId(asset),
        amount: Amount(amount),
        life_blocks,
        memo: memo.to_owned(),
    };
    let cases = [
        (with(2, 5, 10, ""), Code::UnknownAsset),
        (with(0, 0, 10, ""), Code::BadArgument),
        (with(0, 5, 0, ""), Code::BadArgument),
        (with(0, 5, 10, &"x".repeat(257)), Code::BadArgument),
    ];
    for (command, code) in cases {
        let mut world = World::new();
        world.command(command);
        assert_eq!(world.refused().map(|(code, _)| code), Some(code));
        assert_eq!(world.state_of(7), None);
    }
    let mut world = World::new();
    world.command(invoice(7, 5));
    world.command(invoice(7, 6));
    assert_eq!(world.refused().unwrap().0, Code::BadArgument, "a secret is fresh");
    world.now_ms += Policy::development().stale_view_ms + 1;
    world.command(invoice(8, 6));
    assert_eq!(world.refused().unwrap().0, Code::LedgerStalled);
}
