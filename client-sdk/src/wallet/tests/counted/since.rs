//! What came between the hub's statement and the look at it.

use super::*;

#[test]
fn what_has_changed_since_is_no_lie() {
    type Change = fn(&mut Scene);
    let changes: [(&str, Change, Option<u64>); 8] = [
        ("nothing", |s| s.world.second(), Some(HAS)),
        (
            "the hub has paid since",
            |s| {
                s.world.hub_pays(40);
                s.world.second();
            },
            Some(HAS),
        ),
        (
            "the wallet has paid since",
            |s| {
                pay_hub(&mut s.world, 200);
                s.world.second();
            },
            Some(HAS - 200),
        ),
        (
            "what the wallet pays has no answer yet",
            |s| {
                pay_hub(&mut s.world, 200);
                s.world.forget_unsent();
                assert!(s.world.channel().outgoing().in_flight.is_some());
            },
            Some(HAS - 200),
        ),
        (
            "the wallet has agreed to take some out",
            |s| {
                let (channel, role) = (s.world.id(), Role::Wallet);
                let valid_until = s.world.wallet.followed().after(30);
                let total_withdrawn = Amount(100);
                let withdrawal = Withdrawal { channel, role, total_withdrawn, valid_until };
                s.world.command(Command::AgreeWithdrawal { withdrawal });
            },
            Some(HAS - 100),
        ),
        (
            "the wallet has put money in since, which the proved state does not have yet",
            |s| {
                let (channel, role) = (s.world.id(), Role::Wallet);
                let total = Amount(WALLET_DEPOSIT + 1_000);
                // Behind the statement's height.
                s.world.pass(1);
                s.world.block(vec![LedgerEvent::Deposited { channel, role, total }]);
                s.world.pass(3);
            },
            None,
        ),
        ("the two have not met since", |s| s.world.disconnect(), None),
        (
            "the channel is closing",
            |s| {
                let (channel, by) = (s.world.id(), Role::Hub);
                let proofs_until = Height(1_000);
                s.world.block(vec![LedgerEvent::CloseStarted { channel, by, proofs_until }]);
                s.world.pass(3);
            },
            None,
        ),
    ];
    for (what, change, at_least) in changes {
        let mut scene = Scene::new();
        change(&mut scene);
        // A wallet that has followed on compares no block with this one.
        assert_ne!(scene.world.wallet.followed(), scene.block.header.header.height, "{what}");
        let judged = scene.judge().map(|counted| counted.at_least);
        assert_eq!(judged, Ok(at_least.map(Amount)), "{what}");
    }
}

/// From the statement's height on the deposit has to be in it, and a restart remembers that.
#[test]
fn a_deposit_counts_from_the_height_at_which_it_came() {
    let mut scene = Scene::new();
    let (channel, role, total) = (scene.world.id(), Role::Wallet, Amount(WALLET_DEPOSIT + 1_000));
    scene.world.block(vec![LedgerEvent::Deposited { channel, role, total }]);
    scene.world.restart();
    scene.world.reconnect();
    let deposited = scene.world.wallet.followed();
    scene.state.leaf.deposited.wallet = total;
    let leaf = scene.state.leaf.digest();
    let mut header = scene.state.header.header;
    header.state_root = settlement::state_proof::state_root(&leaf, 1);
    scene.state.header = SignedHeader::sign(&key(9), header);
    scene.move_block(Height(deposited.0 + 10));
    for (as_of, at_least) in [(deposited.0 - 1, None), (deposited.0, Some(HAS + 1_000))] {
        let (liabilities, tree) = says(as_of, HAS + 1_000);
        scene.shows(liabilities, &tree);
        scene.seal(vec![anchoring(2, liabilities)]);
        let hub = key(2).public();
        scene.did.events = vec![LedgerEvent::LiabilitiesAnchored { hub, liabilities }];
        let judged = scene.judge().map(|counted| counted.at_least);
        assert_eq!(judged, Ok(at_least.map(Amount)), "as of {as_of}");
    }
}
