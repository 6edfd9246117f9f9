//! What a side makes of what the ledger says.

use super::drafts::lock;
use super::pair::{HUB, Pair, START, WALLET, add, pay, secret};
use crate::block::LedgerEvent;
use crate::channel::{Duty, Phase};
use crate::proof::Withdrawal;
use crate::types::{Amount, ChannelId, Height, Role};

#[test]
fn other_channels_and_its_own_opening_are_nothing_to_a_channel() {
    let pair = Pair::new();
    let (role, total) = (Role::Hub, Amount(9));
    let steps = |event: &LedgerEvent| pair.hub.channel.follow(event, Height(START)).len();
    let deposited = |channel| LedgerEvent::Deposited { channel, role, total };
    assert_eq!(steps(&deposited(ChannelId([9; 32]))), 0);
    assert_eq!(steps(&deposited(pair.id())), 1);
    let (terms, deposit) = (*pair.hub.channel.terms(), Amount(1));
    assert_eq!(steps(&LedgerEvent::Opened { terms, deposit }), 0);
}

/// What both have agreed to counts until as much is withdrawn.
#[test]
fn a_withdrawal_that_was_agreed_to_is_over_once_it_is_made() {
    for (made, open) in [(29, true), (30, false), (31, false)] {
        let mut pair = Pair::new();
        let (channel, role) = (pair.id(), WALLET);
        let valid_until = Height(START + 50);
        let wanted = Withdrawal { channel, role, total_withdrawn: Amount(30), valid_until };
        let step = pair.hub.channel.agree_withdrawal(&wanted, &pair.hub.now()).unwrap();
        pair.hub.commit(step);
        pair.hub.follow(&LedgerEvent::Withdrawn { channel, role, total: Amount(made) });
        let more = Withdrawal { total_withdrawn: Amount(40), ..wanted };
        let agreed = pair.hub.channel.agree_withdrawal(&more, &pair.hub.now());
        assert_eq!(agreed.is_err(), open, "{made}");
    }
}

/// The two directions number their locks by themselves.
#[test]
fn a_claim_on_a_lock_of_ones_own_is_not_one_on_the_others() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[add(1, 10)]);
    pair.send(HUB, &[add(2, 10)]);
    let step = pair.hub.channel.reveal(1, &secret(1, 1, 1)).unwrap().unwrap();
    pair.hub.commit(step);
    pair.close_seen(WALLET);
    let (channel, steps) = (pair.id(), 1);
    let shown =
        |from, secret| LedgerEvent::ClaimShown { channel, from, id: lock(1).id, secret, steps };
    pair.hub.follow(&shown(HUB, secret(1, 1, 1)));
    let claims = |pair: &Pair| pair.hub.channel.submission(false, Height(START)).claims.len();
    assert_eq!(claims(&pair), 1, "it has claimed nothing yet");
    pair.hub.follow(&shown(WALLET, secret(1, 1, 1)));
    assert_eq!(claims(&pair), 0);
}

#[test]
fn what_the_ledger_has_recorded_and_paid_out_is_known() {
    let mut pair = Pair::new();
    pair.send(WALLET, &[pay(5)]);
    pair.send(WALLET, &[pay(5)]);
    assert_eq!(pair.hub.channel.recorded_seq(), 0);
    pair.close_seen(WALLET);
    assert_eq!(pair.hub.channel.duty(&pair.hub.now()), Some(Duty::Answer));
    let proof = pair.hub.channel.submission(false, Height(START)).proof.unwrap().value;
    pair.hub.follow(&LedgerEvent::ProofRecorded { proof, locks: Vec::new() });
    assert_eq!(pair.hub.channel.recorded_seq(), 2);
    let (channel, wallet, hub) = (pair.id(), Amount(1), Amount(2));
    pair.hub.follow(&LedgerEvent::Settled { channel, wallet, hub, cooperative: false });
    assert_eq!(pair.hub.channel.phase(), Phase::Closed { wallet, hub });
}
