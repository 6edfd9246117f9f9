//! What both sides sign for the ledger.

use super::pair::{DEPOSIT, HUB, LAG, Pair, START, WALLET, add, pay, secret};
use crate::block::LedgerEvent;
use crate::channel::{Adoption, Phase, Step};
use crate::proof::{CooperativeClose, Withdrawal};
use crate::reject::Code;
use crate::types::{Amount, Height, Role};

fn withdrawal(pair: &Pair, role: Role, total: u64) -> Withdrawal {
    let valid_until = Height(START + 50);
    Withdrawal { channel: pair.id(), role, total_withdrawn: Amount(total), valid_until }
}

/// How each side answers.
fn agree(pair: &mut Pair, wanted: &Withdrawal) -> [Result<(), Code>; 2] {
    [WALLET, HUB].map(|by| {
        let side = pair.of(by);
        let step = side.channel.agree_withdrawal(wanted, &side.now())?;
        side.commit(step);
        Ok(())
    })
}

fn close(pair: &mut Pair) -> [Result<CooperativeClose, Code>; 2] {
    [WALLET, HUB].map(|by| pair.of(by).channel.close_terms(Height(START + 50)))
}

#[test]
fn a_withdrawal_takes_what_is_free_and_no_more() {
    for role in [WALLET, HUB] {
        for (over, expected) in [(0, Ok(())), (1, Err(Code::Overdraft))] {
            let mut pair = Pair::new();
            pair.send(role, &[pay(100), add(1, 10)]);
            pair.send(role.other(), &[pay(30)]);
            pair.acknowledge(role);
            let wanted = withdrawal(&pair, role, DEPOSIT - 100 - 10 + 30 + over);
            assert_eq!(agree(&mut pair, &wanted), [expected; 2]);
        }
    }
}

#[test]
fn what_is_agreed_counts_as_done_until_it_lapses() {
    let mut pair = Pair::new();
    let wanted = withdrawal(&pair, WALLET, DEPOSIT - 10);
    assert_eq!(agree(&mut pair, &wanted), [Ok(()); 2]);
    assert_eq!(pair.wallet.propose(&[pay(11)]), [Err(Code::Overdraft)]);
    let refused = super::drafts::try_ops(&mut pair, WALLET, vec![super::drafts::pay_op(11)]);
    assert_eq!(refused, Err(Code::Overdraft));
    assert_eq!(agree(&mut pair, &wanted), [Ok(()); 2], "asking again is answered again");
    let more = withdrawal(&pair, WALLET, DEPOSIT - 9);
    assert_eq!(agree(&mut pair, &more), [Err(Code::NotAgreed); 2]);
    pair.at(START + 51);
    for role in [WALLET, HUB] {
        let side = pair.of(role);
        let step = side.channel.lapse(&side.now()).unwrap();
        side.commit(step);
    }
    pair.send(WALLET, &[pay(11)]);
}

/// Of two withdrawals the one that can still happen stays counted.
#[test]
fn what_may_still_be_carried_does_not_lapse_with_the_rest() {
    let mut pair = Pair::new();
    for (role, until) in [(WALLET, START + 50), (HUB, START + 51)] {
        let valid_until = Height(until);
        let wanted = Withdrawal { valid_until, ..withdrawal(&pair, role, 5) };
        assert_eq!(agree(&mut pair, &wanted), [Ok(()); 2]);
    }
    pair.at(START + 51);
    let step = pair.hub.channel.lapse(&pair.hub.now()).unwrap();
    pair.hub.commit(step);
    let agreed = [WALLET, HUB].map(|role| pair.hub.channel.escrow(role).agreed.is_some());
    assert_eq!(agreed, [false, true]);
}

#[test]
fn a_withdrawal_that_happened_is_counted_once() {
    let mut pair = Pair::new();
    let wanted = withdrawal(&pair, WALLET, 400);
    assert_eq!(agree(&mut pair, &wanted), [Ok(()); 2]);
    let event = LedgerEvent::Withdrawn { channel: pair.id(), role: WALLET, total: Amount(400) };
    pair.wallet.follow(&event);
    pair.hub.follow(&event);
    assert_eq!(pair.hub.channel.balance(WALLET), Amount(DEPOSIT - 400));
    assert_eq!(agree(&mut pair, &wanted), [Err(Code::NotRising); 2]);
    let mut more = withdrawal(&pair, WALLET, 401);
    assert_eq!(agree(&mut pair, &more), [Ok(()); 2]);
    more.channel = crate::types::ChannelId([0; 32]);
    assert_eq!(agree(&mut pair, &more), [Err(Code::NotAgreed); 2]);
}

/// Rule 5 is kept for every unretired proof, so that a refused one, which may have been kept, stays
/// covered.
#[test]
fn a_withdrawal_leaves_what_refused_proofs_could_be_made_to_pay() {
    let mut pair = Pair::new();
    pair.hub.view.fresh = false;
    pair.wallet.propose(&[add(1, 1_000)]);
    assert!(pair.deliver(WALLET).is_err());
    let all = withdrawal(&pair, WALLET, DEPOSIT);
    let side = &pair.wallet;
    assert_eq!(side.channel.agree_withdrawal(&all, &side.now()), Err(Code::Overdraft));
    pair.quiet();
    assert_eq!(agree(&mut pair, &all), [Ok(()); 2]);
}

#[test]
fn valid_until_lies_ahead_and_not_too_far() {
    for (until, expected) in [
        (START, Err(Code::TooLate)),
        (START + 1, Ok(())),
        (START + 100 + LAG, Ok(())),
        (START + 101 + LAG, Err(Code::TooLate)),
    ] {
        let mut pair = Pair::new();
        let wanted = Withdrawal { valid_until: Height(until), ..withdrawal(&pair, HUB, 1) };
        assert_eq!(agree(&mut pair, &wanted), [expected; 2]);
        let Pair { wallet, hub } = Pair::new();
        let terms = wallet.channel.close_terms(Height(until)).unwrap();
        let agreed = hub.channel.agree_close(&terms, &hub.now());
        assert_eq!(agreed.map(|_| ()), expected);
    }
}

#[test]
fn both_sides_make_the_same_cooperative_close() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(100), add(1, 10)]);
    pair.reveal(HUB, 1, &secret(1, 1, 1));
    pair.quiet();
    pair.send(HUB, &[pay(30)]);
    let [wallet, hub] = close(&mut pair);
    let terms = wallet.unwrap();
    assert_eq!(hub, Ok(terms));
    assert_eq!((terms.wallet_amount.0, terms.hub_amount.0), (DEPOSIT - 80, DEPOSIT + 80));
    assert_eq!((terms.wallet_net.wide(), terms.hub_net.wide()), (1_000_000, 1_000_000));
}

/// A side that has withdrawn more than it deposited, of what it was paid, can still close.
#[test]
fn what_a_side_has_put_in_on_balance_may_be_negative() {
    let mut pair = Pair::new();
    pair.send(HUB, &[pay(500)]);
    pair.acknowledge(WALLET);
    let wanted = withdrawal(&pair, WALLET, DEPOSIT + 400);
    assert_eq!(agree(&mut pair, &wanted), [Ok(()); 2]);
    let total = wanted.total_withdrawn;
    let event = LedgerEvent::Withdrawn { channel: pair.id(), role: WALLET, total };
    pair.wallet.follow(&event);
    pair.hub.follow(&event);
    let [wallet, hub] = close(&mut pair);
    assert_eq!(wallet, hub);
    let terms = wallet.unwrap();
    assert_eq!((terms.wallet_amount.0, terms.wallet_net.wide()), (100, -400));
}

/// No cooperative close while an update is unanswered, a lock is not gone, or money is on its way
/// out.
#[test]
fn nothing_pending_is_closed_over() {
    type Make = fn(&mut Pair);
    let pending: [(&str, Make); 6] = [
        ("a lock", |pair| assert_eq!(pair.send(WALLET, &[add(1, 10)]), 1)),
        ("a lock whose secret is known", |pair| {
            pair.send(WALLET, &[add(1, 10)]);
            pair.reveal(HUB, 1, &secret(1, 1, 1));
        }),
        ("an update in flight", |pair| drop(pair.wallet.propose(&[pay(1)]))),
        ("a refused lock", |pair| {
            pair.hub.view.fresh = false;
            pair.wallet.propose(&[add(1, 10)]);
            pair.deliver(WALLET).unwrap_err();
        }),
        ("a dropped lock that is not retired", |pair| {
            pair.send(WALLET, &[add(1, 10)]);
            pair.fail(HUB, 1);
            pair.send(WALLET, &[]);
        }),
        ("a withdrawal", |pair| {
            let wanted = withdrawal(pair, HUB, 5);
            assert_eq!(agree(pair, &wanted), [Ok(()); 2]);
        }),
    ];
    for (what, make) in pending {
        let mut pair = Pair::new();
        make(&mut pair);
        assert_eq!(close(&mut pair)[0], Err(Code::NotAgreed), "{what}");
        // What only the wallet knows of does not keep the hub: the wallet does not sign.
        let shared = !what.starts_with("an update") && !what.starts_with("a refused");
        let shared = shared && !what.starts_with("a dropped");
        assert_eq!(close(&mut pair)[1].is_err(), shared, "{what}");
    }
}

/// An expired lock is gone, once the newest state is without it.
#[test]
fn an_expired_lock_does_not_keep_a_channel_from_closing() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10)]);
    pair.at(START + 450 + LAG);
    pair.wallet.expire();
    assert_eq!(close(&mut pair)[0], Err(Code::NotAgreed));
    pair.send(WALLET, &[]);
    assert!(close(&mut pair).iter().all(Result::is_ok));
}

#[test]
fn after_a_cooperative_close_is_signed_nothing_more_is_agreed_until_it_lapses() {
    let mut pair = Pair::new();
    let terms = pair.wallet.channel.close_terms(Height(START + 50)).unwrap();
    for role in [WALLET, HUB] {
        let side = pair.of(role);
        let step = side.channel.agree_close(&terms, &side.now()).unwrap();
        side.commit(step);
        assert!(side.channel.agree_close(&terms, &side.now()).is_ok(), "the same again");
    }
    let other = CooperativeClose { valid_until: Height(START + 51), ..terms };
    let more = CooperativeClose { hub_amount: Amount(1), ..terms };
    let side = &pair.hub;
    assert_eq!(side.channel.agree_close(&other, &side.now()), Err(Code::ChannelNotOpen));
    assert_eq!(side.channel.agree_close(&more, &side.now()), Err(Code::NotAgreed));
    assert_eq!(pair.wallet.propose(&[pay(1)]), [Err(Code::ChannelNotOpen)]);
    let wanted = withdrawal(&pair, WALLET, 5);
    assert_eq!(agree(&mut pair, &wanted), [Err(Code::ChannelNotOpen); 2]);
    pair.at(START + 51);
    for role in [WALLET, HUB] {
        let side = pair.of(role);
        let step = side.channel.lapse(&side.now()).unwrap();
        assert!(matches!(step, Step::Lapsed { .. }));
        side.commit(step);
        assert_eq!(side.channel.phase(), Phase::Open);
    }
    pair.send(WALLET, &[pay(1)]);
}

#[test]
fn a_close_of_other_amounts_is_not_agreed() {
    let pair = Pair::new();
    let terms = pair.wallet.channel.close_terms(Height(START + 50)).unwrap();
    let more = Amount(terms.wallet_amount.0 + 1);
    let forged = CooperativeClose { wallet_amount: more, ..terms };
    let agreed = pair.hub.channel.agree_close(&forged, &pair.hub.now());
    assert_eq!(agreed, Err(Code::NotAgreed));
}

/// So nothing of it can become due on the ledger either.
#[test]
fn nothing_is_taken_or_taken_back_while_a_close_is_agreed() {
    for role in [WALLET, HUB] {
        let mut pair = Pair::new();
        pair.send(role, &[pay(5)]);
        let backup = pair.of(role).channel.clone();
        pair.send(role.other(), &[add(1, 100)]);
        let shown = pair.shown_by(role.other());
        pair.of(role).channel = backup;
        assert!(matches!(pair.judge(role, &shown), Adoption::Take(_)));
        let side = pair.of(role);
        let terms = side.channel.close_terms(Height(START + 50)).unwrap();
        let step = side.channel.agree_close(&terms, &side.now()).unwrap();
        side.commit(step);
        assert_eq!(pair.judge(role, &shown), Adoption::Nothing);
        let refused = super::drafts::try_ops(&mut pair, role.other(), Vec::new());
        assert_eq!(refused, Err(Code::ChannelNotOpen));
        let side = pair.of(role);
        assert!(side.channel.incoming().locks.is_empty());
        assert_eq!(side.channel.duty(&side.now()), None);
    }
}
