//! Paying: what is refused, what is locked, and when a payment ends.

use settlement::reject::Code;
use settlement::types::*;
use settlement::wire::Message;

use super::super::*;
use super::harness::*;

const PENDING: Option<PaymentState> = Some(PaymentState::Pending);
const SETTLED: Option<PaymentState> = Some(PaymentState::Settled);

fn failed(code: Code) -> Option<PaymentState> {
    Some(PaymentState::Failed(code))
}

fn send(secret: u8, payee: PublicKey, amount: u64) -> Command {
    Command::Send {
        secret: Secret([secret; 32]),
        nonce: [secret; 24],
        payee,
        asset: AssetId(0),
        amount: Amount(amount),
        memo: "hello".to_owned(),
    }
}

#[test]
fn a_payment_is_settled_when_the_secret_comes_and_costs_amount_and_fee() {
    let mut world = World::new();
    world.hub.script.secrets.insert(anchor_of(7), Secret([7; 32]));
    world.command(pay(3, 7, 500));
    assert_eq!(world.state_of(7), PENDING);
    world.run();
    assert_eq!(world.state_of(7), SETTLED);
    let payment = world.wallet.payment(&anchor_of(7)).unwrap();
    assert_eq!((payment.amount, payment.fee), (Amount(500), Amount(1)));
    assert_eq!(payment.secret, Some(Secret([7; 32])), "the proof of payment");
    assert_eq!(payment.lock, Some((world.id(), 1)));
    // The settlement rides alone after an idle second.
    assert_eq!(world.channel().locked(), Amount(501));
    world.second();
    world.run();
    assert_eq!((world.channel().locked(), world.balance()), (Amount(0), WALLET_DEPOSIT - 501));
    world.assert_agreed();
}

#[test]
fn the_lock_is_worth_amount_and_fee_and_lives_as_the_policy_says() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let lock = world.hub.channel.incoming().tally.locks[0];
    assert_eq!((lock.unit, lock.steps, lock.anchor), (Amount(501), 1, anchor_of(7)));
    let life = Policy::development().lock_life;
    assert_eq!(lock.expiry, world.wallet.height().after(life));
    let to = world.hub.channel.incoming().locks.get(&lock.id).unwrap().to;
    assert_eq!((to.hub, to.wallet), (None, key(3).public()));
}

#[test]
fn each_invoice_that_can_not_be_paid_is_refused_with_its_code() {
    let with = |change: fn(&mut crate::invoice::Invoice)| {
        let mut invoice = invoice_by(3, 7, 500, 10_000);
        change(&mut invoice);
        invoice.to_text(&key(3)).unwrap()
    };
    let own = invoice_by(1, 7, 500, 10_000).to_text(&key(1)).unwrap();
    let cases = [
        ("phi1nonsense".to_owned(), Code::BadInvoice),
        (with(|_| {}).replace("qqq", "qqp").replace('z', "x"), Code::BadInvoice),
        (with(|i| i.ledger = LedgerId([1; 32])), Code::InvoiceForAnotherLedger),
        (with(|i| i.hub = Some(key(5).public())), Code::ForeignHub),
        (with(|i| i.expires = Height(1)), Code::InvoiceExpired),
        (with(|i| i.asset = AssetId(2)), Code::UnknownAsset),
        (own, Code::PaymentToSelf),
        (with(|i| i.amount = Amount(WALLET_DEPOSIT)), Code::InsufficientBalance),
        (with(|i| i.amount = Amount(u64::MAX)), Code::AmountOverflow),
    ];
    for (invoice, code) in cases {
        // However its signature was checked.
        let checked = CheckedInvoice::parse(&invoice).ok();
        assert_eq!(checked.is_none(), code == Code::BadInvoice, "{code:?}");
        let checked = checked.map(|invoice| Command::PayChecked { invoice: Box::new(invoice) });
        for command in [Some(Command::Pay { invoice }), checked].into_iter().flatten() {
            let mut world = World::new();
            let before = world.records.len();
            world.command(command);
            assert_eq!(world.refused().map(|(code, _)| code), Some(code));
            assert_eq!(world.records.len(), before, "{code:?}: nothing may change");
            assert!(world.unsent().is_empty());
        }
    }
}

#[test]
fn an_invoice_can_be_paid_at_its_last_height_and_not_after() {
    for (late, expected) in [(0, None), (1, Some(Code::InvoiceExpired))] {
        let mut world = World::new();
        let last = world.wallet.height().0;
        world.pass(late);
        let invoice = invoice_by(3, 7, 500, last).to_text(&key(3)).unwrap();
        world.command(Command::Pay { invoice });
        assert_eq!(world.refused().map(|(code, _)| code), expected);
    }
}

#[test]
fn without_channel_connection_or_fresh_view_nothing_is_paid() {
    let mut world = World::bare();
    world.block(Vec::new());
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap().0, Code::NoChannel);

    let mut world = World::new();
    world.disconnect();
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap(), (Code::HubUnavailable, Some(anchor_of(7))));

    let mut world = World::new();
    world.now_ms += Policy::development().stale_view_ms + 1;
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap().0, Code::LedgerStalled);
    assert_eq!(world.state_of(7), None);
}

#[test]
fn a_view_is_fresh_within_the_policy_on_either_side_of_the_own_clock() {
    let mut world = World::new();
    let (seen_ms, stale_ms) = (world.now_ms, Policy::development().stale_view_ms);
    let fresh = |world: &World, now_ms| world.wallet.view(now_ms).fresh;
    let cases = [
        (seen_ms, true),
        (seen_ms + stale_ms, true),
        (seen_ms + stale_ms + 1, false),
        (seen_ms - stale_ms, true),
        (seen_ms - stale_ms - 1, false),
    ];
    for (now_ms, expected) in cases {
        assert_eq!(fresh(&world, now_ms), expected, "{now_ms}");
    }
    world.now_ms = 0;
    assert!(!Wallet::new(config()).view(0).fresh, "who has seen no block has no view");
}

#[test]
fn an_anchor_is_not_paid_twice_while_it_is_not_gone_nor_after() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused(), Some((Code::AlreadyPaid, Some(anchor_of(7)))));
    world.run();
    world.command(pay(3, 7, 400));
    assert_eq!(world.refused().unwrap().0, Code::AlreadyPaid);
    assert_eq!(world.hub.channel.incoming().tally.locks.len(), 1);
    let lock = world.hub.only_lock();
    world.hub.reveal(lock, Secret([7; 32]));
    world.run();
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap().0, Code::AlreadyPaid);
    world.restart();
    world.feed(Input::Connected);
    world.run();
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap().0, Code::AlreadyPaid);
}

#[test]
fn a_failed_payment_stays_pending_until_its_lock_is_gone_and_can_be_tried_again_then() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let id = world.hub.only_lock();
    // The hub gives up, and holds a proof in which the lock stands.
    world.hub.script.mute = true;
    world.hub.fail(id, Code::PayeeOffline);
    world.run();
    assert_eq!(world.state_of(7), PENDING);
    world.command(pay(3, 7, 500));
    assert_eq!(world.refused().unwrap().0, Code::AlreadyPaid);
    // Only with its acknowledgment of a proof without the lock is the money back.
    world.hub.script.mute = false;
    world.reconnect();
    assert_eq!(world.state_of(7), failed(Code::PayeeOffline));
    assert_eq!(world.balance(), WALLET_DEPOSIT);
    world.command(pay(3, 7, 500));
    assert_eq!((world.refused(), world.state_of(7)), (None, PENDING));
}

#[test]
fn a_refused_update_leaves_its_payments_pending_until_it_is_retired() {
    let mut world = World::new();
    world.hub.script.reject_next = Some(Code::StaleView);
    world.command(pay(3, 7, 500));
    // The update, and the refusal; then an update without operations, which the hub ignores.
    world.hub.script.mute = true;
    world.hub.script.reject_next = Some(Code::StaleView);
    let before = world.events.len();
    world.hear(Message::Reject { channel: world.id(), seq: 1, code: Code::StaleView });
    assert_eq!(world.state_of(7), PENDING);
    assert_eq!(world.events.len(), before, "nothing has ended");
    world.forget_unsent();
    world.hub.script = Script::default();
    world.reconnect();
    assert_eq!(world.state_of(7), failed(Code::StaleView));
    assert_eq!(world.channel().spendable(), Amount(WALLET_DEPOSIT));
    world.assert_agreed();
}

#[test]
fn a_wrongly_refused_update_is_paid_for_if_it_was_kept() {
    // "Rejected" may mean "kept": the acknowledgment wins and the payment goes on.
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.hear(Message::Reject { channel: world.id(), seq: 1, code: Code::StaleView });
    world.hear(Message::Ack { channel: world.id(), seq: 1 });
    assert_eq!(world.state_of(7), PENDING);
    assert_eq!(world.channel().locked(), Amount(501));
}

#[test]
fn an_expired_lock_fails_in_a_fresh_view_alone() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let expiry = world.hub.channel.incoming().tally.locks[0].expiry;
    world.disconnect();
    world.pass(expiry.0 - world.hub.height - 1);
    assert_eq!(world.state_of(7), PENDING);
    // The block at the expiry comes late: whoever feeds old blocks gains nothing.
    world.hub.height += 1;
    let late = world.block_at(world.hub.height, Vec::new());
    world.now_ms += Policy::development().stale_view_ms + 1;
    world.feed(Input::Block(Box::new(late)));
    assert_eq!(world.state_of(7), PENDING);
    world.block(Vec::new());
    assert_eq!(world.state_of(7), failed(Code::Expired));
}

#[test]
fn what_waits_goes_out_together_in_one_update() {
    let mut world = World::new();
    world.command(pay(3, 1, 10));
    for secret in 2..=20 {
        world.command(pay(3, secret, 10));
    }
    assert_eq!(world.unsent().len(), 1, "one update is unanswered, the rest waits");
    world.run();
    assert_eq!(world.hub.channel.incoming().tally.locks.len(), 20);
    assert_eq!(world.hub.channel.incoming().tally.seq, 2);
    world.assert_agreed();
}

#[test]
fn tries_to_spend_one_balance_get_through_as_far_as_it_goes() {
    let mut world = World::new();
    for number in 0..200u8 {
        world.command(pay(3, number, 99));
    }
    world.run();
    let pending = world.wallet.payments().filter(|p| p.state == PaymentState::Pending).count();
    assert_eq!(pending as u64, WALLET_DEPOSIT / 100);
    assert_eq!(world.wallet.payments().count(), pending, "the others are refused at once");
    assert_eq!(world.channel().spendable(), Amount(0));
}

#[test]
fn a_payment_that_never_got_into_an_update_fails_cleanly() {
    for restarts in [false, true] {
        let mut world = World::new();
        world.command(pay(3, 1, 10));
        world.command(pay(3, 2, 10));
        assert_eq!(world.wallet.payment(&anchor_of(2)).unwrap().lock, None);
        if restarts {
            world.restart();
            assert_eq!(world.state_of(2), PENDING, "the home may be an old copy");
        } else {
            world.disconnect();
            assert_eq!(world.state_of(2), failed(Code::HubUnavailable));
        }
        assert_eq!(world.state_of(1), PENDING, "this one may have reached the hub");
        world.reconnect();
        if restarts {
            assert_eq!(world.state_of(2), PENDING, "a new block may open a channel that has it");
            world.pass(1);
        }
        assert_eq!(world.state_of(2), failed(Code::HubUnavailable));
        assert_eq!(world.hub.channel.incoming().tally.locks.len(), 1);
        world.command(pay(3, 2, 10));
        assert_eq!(world.refused(), None, "and can be tried again");
    }
}

#[test]
fn a_payment_that_waits_past_its_end_fails() {
    let mut world = World::new();
    world.command(pay(3, 1, 10));
    let expires = world.wallet.height().0 + 3;
    let invoice = invoice_by(3, 2, 10, expires).to_text(&key(3)).unwrap();
    world.command(Command::Pay { invoice });
    world.pass(3);
    assert_eq!(world.state_of(2), PENDING);
    world.block(Vec::new());
    assert_eq!(world.state_of(2), failed(Code::Unanswered));
    assert_eq!(world.state_of(1), PENDING);
}

#[test]
fn a_reveal_that_comes_at_the_expiry_changes_nothing() {
    for (early, expected) in [(1, SETTLED), (0, failed(Code::Expired))] {
        let mut world = World::new();
        world.command(pay(3, 7, 500));
        world.run();
        let lock = world.hub.channel.incoming().tally.locks[0];
        world.pass(lock.expiry.0 - world.hub.height - early);
        let (channel, id) = (world.id(), lock.id);
        world.hear(Message::Reveal { channel, id, secret: Secret([7; 32]) });
        assert_eq!(world.state_of(7), expected);
    }
}

#[test]
fn a_secret_that_does_not_fit_suspends_the_channel_until_the_sides_meet() {
    let mut world = World::new();
    world.command(pay(3, 7, 500));
    world.run();
    let (channel, id) = (world.id(), world.hub.only_lock());
    world.hear(Message::Reveal { channel, id, secret: Secret([8; 32]) });
    assert_eq!(world.refused().unwrap().0, Code::SecretMismatch);
    assert_eq!(world.channel().suspended(), Some(Code::SecretMismatch));
    world.command(pay(3, 9, 1));
    assert_eq!(world.refused().unwrap().0, Code::SecretMismatch);
    world.now_ms += 10_000;
    world.second();
    assert_eq!(world.channel().suspended(), None);
    assert_eq!(world.state_of(7), PENDING);
}

#[test]
fn sending_unasked_seals_the_secret_for_the_payee() {
    let mut world = World::new();
    world.command(send(7, key(3).public(), 500));
    world.run();
    let id = world.hub.only_lock();
    let payload = world.hub.channel.incoming().locks.get(&id).unwrap().payload.clone();
    let (payer, content) = crate::payload::open(&payload, &key(3), &genesis().ledger_id()).unwrap();
    assert_eq!(payer, key(1).public());
    assert_eq!(content.key, crate::payload::ContentKey::Secret(Secret([7; 32])));
    assert_eq!((content.unit, content.steps, content.asset), (Amount(500), 1, AssetId(0)));
    assert_eq!(content.anchor, anchor_of(7));
    world.hub.reveal(id, Secret([7; 32]));
    world.run();
    assert_eq!(world.state_of(7), SETTLED);
}

#[test]
fn each_send_that_can_not_be_is_refused_with_its_code() {
    let wordy = Command::Send {
        secret: Secret([7; 32]),
        nonce: [0; 24],
        payee: key(3).public(),
        asset: AssetId(0),
        amount: Amount(1),
        memo: "x".repeat(257),
    };
    let cases = [
        (send(7, key(3).public(), 0), Code::ZeroAmount),
        (send(7, key(1).public(), 5), Code::PaymentToSelf),
        (send(7, PublicKey([5; 33]), 5), Code::BadArgument),
        (wordy, Code::BadArgument),
        (send(7, key(3).public(), WALLET_DEPOSIT), Code::InsufficientBalance),
    ];
    for (command, code) in cases {
        let mut world = World::new();
        world.command(command);
        assert_eq!(world.refused().map(|(code, _)| code), Some(code));
        assert_eq!(world.state_of(7), None);
    }
    let mut world = World::new();
    world.command(send(7, key(3).public(), 5));
    world.command(send(7, key(4).public(), 5));
    assert_eq!(world.refused().unwrap().0, Code::BadArgument, "a secret is fresh");
}

#[test]
fn the_hub_is_paid_directly_and_says_so() {
    let mut world = World::new();
    let (channel, memo) = (world.id(), "fee".to_owned());
    world.command(Command::PayHub { channel, amount: Amount(40), memo: memo.clone() });
    world.run();
    assert!(world.events.contains(&Event::PaidToHub { channel, amount: Amount(40) }));
    assert_eq!(world.balance(), WALLET_DEPOSIT - 40);
    let cases = [
        (channel, 0, Code::ZeroAmount),
        (channel, WALLET_DEPOSIT, Code::InsufficientBalance),
        (ChannelId([1; 32]), 1, Code::NoChannel),
    ];
    for (channel, amount, code) in cases {
        world.command(Command::PayHub { channel, amount: Amount(amount), memo: memo.clone() });
        assert_eq!(world.refused().unwrap().0, code);
    }
}
