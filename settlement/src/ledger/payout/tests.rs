//! The formula against one written from the page, without sharing a line.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::channel::Claim;
use crate::ledger::fixture::{key, proof};
use crate::lock::Lock;
use crate::proof::OpenTerms;
use crate::types::{Anchor, AssetId, ChannelId, Height, LedgerId, Secret};

/// What one direction was shown.
#[derive(Clone, Debug)]
struct Shown {
    proof: Option<(u64, u64)>,
    locks: Vec<(u64, u32, u32)>,
    floor: u64,
    void_below: u64,
}

fn shown() -> impl Strategy<Value = Shown> {
    let number = prop_oneof![0..200u64, Just(u64::MAX), any::<u64>()];
    let lock = (prop_oneof![1..50u64, Just(u64::MAX)], 1..10u32, 0..12u32);
    let locks = proptest::collection::vec(lock, 0..6);
    let proof = proptest::option::of((0..5u64, number.clone()));
    (proof, locks, number, 0..5u64).prop_map(|(proof, locks, floor, void_below)| Shown {
        proof,
        locks: if proof.is_some() { locks } else { vec![] },
        floor,
        void_below,
    })
}

fn reference(shown: &Shown) -> i128 {
    let mut total = 0i128;
    if let Some((seq, transferred)) = shown.proof
        && seq >= shown.void_below
    {
        total = i128::from(transferred);
        for (unit, steps, claimed) in &shown.locks {
            total += i128::from(*unit) * i128::from((*claimed).min(*steps));
        }
    }
    if total < i128::from(shown.floor) { i128::from(shown.floor) } else { total }
}

fn direction(from: Role, shown: &Shown) -> Direction {
    let lock = |(id, (unit, steps, _)): (u64, &(u64, u32, u32))| Lock {
        id,
        anchor: Anchor([0; 32]),
        unit: Amount(*unit),
        steps: *steps,
        expiry: Height(9),
    };
    let claim = |(id, (_, _, steps)): (u64, &(u64, u32, u32))| {
        let secret = Secret([0; 32]);
        (id, Claim { secret, steps: *steps })
    };
    let claims: BTreeMap<u64, Claim> = (0..).zip(&shown.locks).map(claim).collect();
    Direction {
        standing: shown.proof.map(|(seq, paid)| proof(ChannelId([1; 32]), from, seq, paid, &[])),
        opened: true,
        locks: (0..).zip(&shown.locks).map(lock).collect(),
        claims,
        floor: Amount(shown.floor),
        void_below: shown.void_below,
    }
}

proptest! {
    #[test]
    fn the_formula(
        from_wallet in shown(),
        from_hub in shown(),
        deposits in (0..1_000u64, 0..1_000u64),
        part in 0..=100u64,
        by_wallet in any::<bool>(),
    ) {
        let out = (deposits.0 + deposits.1) * part / 100;
        let (out_w, out_h) = if by_wallet { (out, 0) } else { (0, out) };
        let channel = ChannelState {
            terms: OpenTerms {
                ledger: LedgerId([0; 32]),
                asset: AssetId(0),
                wallet: key(1).public(),
                hub: key(2).public(),
                challenge_blocks: 40,
                nonce: 0,
            },
            index: 0,
            opened: Height(1),
            deposited: PerRole { wallet: Amount(deposits.0), hub: Amount(deposits.1) },
            withdrawn: PerRole { wallet: Amount(out_w), hub: Amount(out_h) },
            closing: None,
            directions: PerRole {
                wallet: direction(Role::Wallet, &from_wallet).into(),
                hub: direction(Role::Hub, &from_hub).into(),
            },
        };
        let left = i128::from(deposits.0 + deposits.1 - out);
        let mut wallet = i128::from(deposits.0) - i128::from(out_w);
        wallet += reference(&from_hub) - reference(&from_wallet);
        if wallet < 0 { wallet = 0 }
        if wallet > left { wallet = left }
        let found = payout(&channel);
        // What wallets compute from the state root.
        if channel.directions.hub.claimed().max(channel.directions.wallet.claimed()) <= i128::from(u64::MAX) {
            prop_assert_eq!(channel.leaf().payout(), found);
        }
        prop_assert_eq!(i128::from(found.wallet.0), wallet);
        prop_assert_eq!(i128::from(found.hub.0), left - wallet);
    }
}
