//! What strangers that ask for invoices can have a wallet do and keep.

use settlement::reject::Code;
use settlement::types::*;

use super::super::*;
use super::asks::*;
use super::harness::*;

/// ⚔ What strangers can have a wallet keep in mind and do is bounded.
#[test]
fn what_is_given_to_whoever_asks_is_bounded() {
    let mut world = open_to(100);
    let refused = Some(Err(Code::RefusedByPayee));
    for question in [ask(1, 101, ""), ask(1, 0, ""), ask(1, 5, &"x".repeat(257))] {
        assert_eq!(answer(&mut world, OTHER, &question), refused, "{question:?}");
    }
    assert_eq!(expected(&world), 0);
    let too_much = Some(Err(Code::Overloaded));
    for number in 0..4 {
        world.second();
        assert!(answer(&mut world, OTHER, &ask(number, 5, "")).unwrap().is_ok());
    }
    world.second();
    assert_eq!(answer(&mut world, OTHER, &ask(4, 5, "")), too_much, "for one payer");
    fill(&mut world, 10..70, 1);
    assert_eq!(expected(&world), 64);
    world.second();
    assert_eq!(answer(&mut world, 10, &ask(2, 5, "")), too_much, "for all of them");
    // Those that nobody has paid make room.
    world.pass(1_502);
    assert!(answer(&mut world, OTHER, &ask(5, 5, "")).unwrap().is_ok());
}

/// Each of these wallets asks for so many invoices of 5.
fn fill(world: &mut World, others: std::ops::Range<u8>, each: u8) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    for (other, number) in others.flat_map(|other| (0..each).map(move |number| (other, number))) {
        world.second();
        anchors.push(given(world, other, number));
    }
    anchors
}

/// ⚔ Sixteen wallets ask for all that is given and pay nothing: whoever else asks gets one, and can pay
/// it.
#[test]
fn who_asks_and_never_pays_keeps_nobody_out() {
    for restarts in [false, true] {
        let mut world = open_to(100);
        let thieves = fill(&mut world, 10..26, 4);
        if restarts {
            world.restart();
            world.reconnect();
            world.second();
            let terms = Some(AnswerTerms::up_to(Amount(100)));
            world.command(Command::AnswerAsks(Secret([78; 32]), terms));
            let more = answer(&mut world, 25, &ask(9, 5, ""));
            assert_eq!(more, Some(Err(Code::Overloaded)), "what was given before counts");
        }
        world.events.clear();
        let honest = fill(&mut world, 100..116, 1);
        // The oldest of each: then nobody has four any more, and the next is the first's again.
        let gone = |anchor: &&Anchor| world.wallet.payment(anchor).is_none();
        let oldest: Vec<Anchor> = thieves.iter().step_by(4).copied().collect();
        assert_eq!(thieves.iter().filter(gone).copied().collect::<Vec<_>>(), oldest);
        let ended = PaymentState::Failed(Code::Overloaded);
        let told = |e: &&Event| matches!(e, Event::Payment(it) if it.state == ended);
        assert_eq!(world.events.iter().filter(told).count(), 16, "the user hears of it");
        fill(&mut world, 116..117, 1);
        assert_eq!(world.wallet.payment(&thieves[1]), None);
        assert_eq!(kept(&world).len(), 64);
        // A thief that has some gets no more.
        let more = answer(&mut world, 10, &ask(9, 5, ""));
        assert_eq!(more, Some(Err(Code::Overloaded)));
        world.hub_adds(lock_for(honest[0]));
        world.run();
        assert_eq!(kept(&world)[&honest[0]], PaymentState::Settled);
        // What made room is declined, and nobody is paid.
        let before = world.balance();
        world.hub_adds(lock_for(oldest[0]));
        world.run();
        assert_eq!(world.hub.failures, [(2, Code::UnknownInvoice)]);
        assert_eq!((world.balance(), world.hub.learned.len()), (before, 1));
        world.assert_agreed();
    }
}

/// ⚔ Nobody's invoice goes for a question that gets none, nor one that somebody is paying.
#[test]
fn what_makes_room_is_nobodys_who_pays_and_goes_for_nothing_else() {
    let mut world = open_to(100);
    let waiting = fill(&mut world, 10..74, 1);
    world.second();
    let refused = Some(Err(Code::RefusedByPayee));
    for question in [ask(1, 101, ""), ask(1, 0, ""), ask(1, 5, &"x".repeat(257))] {
        assert_eq!(answer(&mut world, OTHER, &question), refused, "{question:?}");
    }
    assert!(waiting.iter().all(|anchor| world.wallet.payment(anchor).is_some()));
    // A lock for the oldest stands.
    world.hub.script.keep_due = true;
    world.hub_adds(NewLock { life: 60, ..lock_for(waiting[0]) });
    world.run();
    given(&mut world, OTHER, 1);
    let gone = |anchor: &&Anchor| world.wallet.payment(anchor).is_none();
    assert_eq!(waiting.iter().filter(gone).collect::<Vec<_>>(), [&waiting[1]]);
}

#[test]
fn where_all_that_was_given_is_being_paid_there_is_no_room() {
    let mut world = open_to(100);
    let waiting = fill(&mut world, 10..74, 1);
    world.hub.script.keep_due = true;
    // While this one is on its way all the locks come together.
    world.hub_pays(1);
    waiting.iter().for_each(|anchor| world.hub_adds(NewLock { life: 60, ..lock_for(*anchor) }));
    world.run();
    assert_eq!(answer(&mut world, OTHER, &ask(1, 5, "")), Some(Err(Code::Overloaded)));
    assert_eq!(expected(&world), 64);
}

/// ⚔ What one stranger says without end keeps nobody else's question from being heard.
#[test]
fn junk_of_one_stranger_keeps_no_other_out() {
    let mut world = open_to(100);
    let (from, to) = (key(5).public(), key(1).public());
    for _ in 0..1_000 {
        let ciphertext = crate::relay::Ciphertext::new(vec![0; 40]).unwrap();
        world.feed(Input::Relay { to, from, ciphertext });
    }
    assert!(answer(&mut world, OTHER, &ask(1, 5, "")).is_some());
}
