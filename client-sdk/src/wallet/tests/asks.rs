//! Asking for invoices over the relay, and being asked.

use std::collections::BTreeMap;

use settlement::reject::Code;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::harness::*;
use super::streams::hears;
use crate::invoice::Invoice;
use crate::relay::{AskId, Body, RelayKeys};

pub(super) const OTHER: u8 = 3;

fn ask_id(number: u8) -> AskId {
    [number; 16]
}

pub(super) fn ask(number: u8, amount: u64, memo: &str) -> Body {
    let (asset, memo) = (AssetId(0), memo.to_owned());
    Body::Ask { ask: ask_id(number), asset, amount: Amount(amount), memo }
}

/// What the wallet has said to another one.
fn said_to(world: &mut World, other: u8) -> Vec<Body> {
    let (mut keys, ledger) = (RelayKeys::default(), genesis().ledger_id());
    let open = |message| match message {
        Message::Relay { to, from, ciphertext } => {
            assert_eq!(to, key(other).public());
            keys.open(&ciphertext, &from, &key(other), &ledger).unwrap()
        }
        other => panic!("{other:?}"),
    };
    world.relayed.drain(..).map(open).collect()
}

/// What the wallet says when it is asked.
pub(super) fn answer(
    world: &mut World,
    other: u8,
    question: &Body,
) -> Option<Result<String, Code>> {
    hears(world, other, question);
    let mut said = said_to(world, other);
    assert!(said.len() <= 1, "{said:?}");
    said.pop().map(|said| match said {
        Body::Invoice { invoice, .. } => Ok(invoice),
        Body::Declined { code, .. } => Err(code),
        other => panic!("{other:?}"),
    })
}

fn answers(world: &mut World, terms: Option<AnswerTerms>) {
    world.command(Command::AnswerAsks(Secret([77; 32]), terms));
}

pub(super) fn open_to(amount_max: u64) -> World {
    let mut world = World::new();
    answers(&mut world, Some(AnswerTerms::up_to(Amount(amount_max))));
    world
}

pub(super) fn expected(world: &World) -> usize {
    world.wallet.payments().filter(|payment| payment.way == Way::In).count()
}

#[test]
fn a_wallet_answers_nobody_until_it_is_told_to() {
    let mut world = World::new();
    let question = ask(1, 5, "tea");
    assert_eq!(answer(&mut world, OTHER, &question), None);
    answers(&mut world, Some(AnswerTerms::up_to(Amount(100))));
    let text = answer(&mut world, OTHER, &question).unwrap().unwrap();
    let invoice = Invoice::parse(&text).unwrap();
    assert_eq!((invoice.payee, invoice.amount), (key(1).public(), Amount(5)));
    assert_eq!((invoice.memo.as_str(), invoice.hub), ("tea", Some(key(2).public())));
    assert_eq!(invoice.expires, world.wallet.followed().after(1_500));
    let told = |event: &Event| matches!(event, Event::Invoiced { invoice, .. } if *invoice == text);
    assert!(world.events.iter().any(told), "the user hears of it");
    answers(&mut world, None);
    assert_eq!(answer(&mut world, OTHER, &question), None);
    assert_eq!(expected(&world), 1);
}

/// ⚔ A hub that says a question again, as often as it likes, has no more payments kept for it.
#[test]
fn a_question_that_comes_again_gets_the_same_invoice_while_that_can_be_paid() {
    let mut world = open_to(100);
    let first = answer(&mut world, OTHER, &ask(1, 5, "tea")).unwrap();
    assert_eq!(answer(&mut world, OTHER, &ask(1, 5, "tea")), Some(first.clone()));
    assert_ne!(answer(&mut world, OTHER, &ask(2, 5, "tea")).unwrap(), first);
    // Another payer's question is another one, whatever its name.
    assert_ne!(answer(&mut world, OTHER + 1, &ask(1, 5, "tea")).unwrap(), first);
    assert_eq!(expected(&world), 3);
    world.pass(1_501);
    let anew = answer(&mut world, OTHER, &ask(1, 5, "tea")).unwrap();
    let anchor = |text: Result<String, Code>| Invoice::parse(&text.unwrap()).unwrap().anchor;
    assert_ne!(anchor(anew), anchor(first), "its secret is another one");
    assert_eq!(expected(&world), 1);
}

/// Gives an invoice of 5 to whoever asks so.
pub(super) fn given(world: &mut World, other: u8, number: u8) -> Anchor {
    let text = answer(world, other, &ask(number, 5, "")).unwrap().unwrap();
    Invoice::parse(&text).unwrap().anchor
}

pub(super) fn lock_for(anchor: Anchor) -> NewLock {
    NewLock { anchor, ..NewLock::of(0, 5) }
}

/// Its payments by anchor, as it stands and as its rows make it.
pub(super) fn kept(world: &World) -> BTreeMap<Anchor, PaymentState> {
    let stand = |wallet: &Wallet| -> BTreeMap<Anchor, PaymentState> {
        wallet.payments().map(|payment| (payment.anchor, payment.state)).collect()
    };
    let restored = Wallet::restore(config(), &mut world.wallet.rows().into_iter()).unwrap();
    assert_eq!(stand(&restored), stand(&world.wallet));
    stand(&world.wallet)
}

/// ⚔ What strangers ask for and never pay does not stay; what somebody has paid, or may pay yet, does.
#[test]
fn what_was_asked_for_and_not_paid_is_forgotten_when_nobody_can_pay_it_any_more() {
    for restarts in [false, true] {
        let mut world = open_to(100);
        world.command(invoice(7, 300));
        let [paid, locked, unpaid] = [1, 2, 3].map(|number| given(&mut world, OTHER, number));
        world.hub_adds(lock_for(paid));
        world.run();
        // Too late for a secret to be shown, and there when the invoice runs out.
        world.pass(1_480);
        world.hub.script.keep_due = true;
        world.hub_adds(NewLock { life: 60, ..lock_for(locked) });
        world.run();
        assert_eq!(world.hub.failures, [(2, Code::ExpiryTooSoon)]);
        if restarts {
            world.restart();
            world.reconnect();
        }
        let expires = world.wallet.payment(&unpaid).unwrap().expires;
        world.pass(expires.0 - world.hub.height);
        assert_eq!(kept(&world)[&unpaid], PaymentState::Pending);
        world.events.clear();
        world.pass(1);
        let failed = PaymentState::Failed(Code::InvoiceExpired);
        let mut stand = BTreeMap::from([
            (anchor_of(7), failed),
            (paid, PaymentState::Settled),
            (locked, PaymentState::Pending),
        ]);
        assert_eq!(kept(&world), stand, "restarts: {restarts}");
        let told = |event: &Event| matches!(event, Event::Payment(it) if it.anchor == unpaid && it.state == failed);
        assert!(world.events.iter().any(told), "the user hears of it");
        // The hub has the secret from elsewhere, and pays.
        world.hub.learn(2, world.wallet.payment(&locked).unwrap().secret.unwrap());
        world.hub.script.keep_due = false;
        world.run();
        stand.insert(locked, PaymentState::Settled);
        world.restart();
        assert_eq!(kept(&world), stand);
        // Whoever comes too late hears so and loses nothing.
        world.reconnect();
        world.hub_adds(lock_for(unpaid));
        world.run();
        assert_eq!(world.hub.failures.last(), Some(&(3, Code::UnknownInvoice)));
    }
}

fn asks(world: &mut World, number: u8, amount: u64) {
    world.command(Command::Ask(Box::new(Ask {
        ask: ask_id(number),
        payee: key(OTHER).public(),
        asset: AssetId(0),
        amount: Amount(amount),
        memo: "tea".to_owned(),
        patience_ms: 5_000,
    })));
}

fn invoice_text(change: impl Fn(&mut Invoice)) -> String {
    let mut invoice = invoice_by(OTHER, 9, 5, 1_000);
    invoice.memo = "tea".to_owned();
    change(&mut invoice);
    invoice.to_text(&key(OTHER)).unwrap()
}

fn hears_invoice(world: &mut World, from: u8, invoice: String) {
    hears(world, from, &Body::Invoice { ask: ask_id(1), invoice });
}

#[test]
fn a_question_is_said_until_it_is_answered_or_nobody_waits() {
    let mut world = World::new();
    asks(&mut world, 1, 5);
    let question = ask(1, 5, "tea");
    assert_eq!(said_to(&mut world, OTHER), std::slice::from_ref(&question));
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Waiting);
    world.second();
    assert_eq!(said_to(&mut world, OTHER), [question]);
    hears_invoice(&mut world, OTHER, invoice_text(|_| {}));
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Answered(Ok(invoice_text(|_| {}))));
    world.second();
    assert_eq!(said_to(&mut world, OTHER), []);
    (0..4).for_each(|_| world.second());
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Unknown);
}

/// ⚔ An answer is believed only if it is the asked wallet's, and for what was asked.
#[test]
fn an_answer_that_is_not_for_what_was_asked_is_none() {
    type Change = fn(&mut Invoice);
    let changes: [Change; 5] = [
        |it| it.amount = Amount(6),
        |it| it.asset = AssetId(1),
        |it| it.memo = "gold".to_owned(),
        |it| it.ledger = LedgerId([1; 32]),
        |it| it.hub = Some(key(8).public()),
    ];
    let not_it = Asked::Answered(Err(Code::BadInvoice));
    for (number, change) in changes.into_iter().enumerate() {
        let mut world = World::new();
        asks(&mut world, 1, 5);
        hears_invoice(&mut world, OTHER, invoice_text(change));
        assert_eq!(world.wallet.asked(&ask_id(1)), not_it, "change {number}");
    }
    for text in [String::new(), "x".repeat(16_000)] {
        let mut world = World::new();
        asks(&mut world, 1, 5);
        hears_invoice(&mut world, OTHER, text);
        assert_eq!(world.wallet.asked(&ask_id(1)), not_it);
    }
    // Somebody else's answer is nobody's, and what was not asked is not heard.
    let mut world = World::new();
    asks(&mut world, 1, 5);
    let others = invoice_by(OTHER + 1, 9, 5, 1_000).to_text(&key(OTHER + 1)).unwrap();
    hears_invoice(&mut world, OTHER + 1, others.clone());
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Waiting);
    hears(&mut world, OTHER, &Body::Declined { ask: ask_id(2), code: Code::Overloaded });
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Waiting);
    hears_invoice(&mut world, OTHER, others);
    assert_eq!(world.wallet.asked(&ask_id(1)), not_it, "another payee's invoice");
}

#[test]
fn the_first_answer_counts() {
    let mut world = World::new();
    asks(&mut world, 1, 5);
    hears(&mut world, OTHER, &Body::Declined { ask: ask_id(1), code: Code::Overloaded });
    hears_invoice(&mut world, OTHER, invoice_text(|_| {}));
    assert_eq!(world.wallet.asked(&ask_id(1)), Asked::Answered(Err(Code::Overloaded)));
}

#[test]
fn what_can_not_be_asked_is_refused() {
    type Change = fn(&mut Ask);
    let cases: [(Code, Change); 4] = [
        (Code::PaymentToSelf, |it| it.payee = key(1).public()),
        (Code::ZeroAmount, |it| it.amount = Amount(0)),
        (Code::UnknownAsset, |it| it.asset = AssetId(9)),
        (Code::BadArgument, |it| it.memo = "x".repeat(257)),
    ];
    let mut world = World::new();
    let good = Ask {
        ask: ask_id(1),
        payee: key(OTHER).public(),
        asset: AssetId(0),
        amount: Amount(5),
        memo: String::new(),
        patience_ms: 5_000,
    };
    for (code, change) in cases {
        let mut bad = good.clone();
        change(&mut bad);
        world.command(Command::Ask(Box::new(bad)));
        assert_eq!(world.refused(), Some((code, None)));
    }
    world.disconnect();
    world.command(Command::Ask(Box::new(good)));
    assert_eq!(world.refused(), Some((Code::HubUnavailable, None)));
    assert_eq!(world.relayed, []);
}
