//! What becomes of a channel that is paid out.

use std::sync::Arc;

use settlement::block::{BlockEvents, LedgerEvent};
use settlement::channel::Phase;
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, Role};

use super::starting::{Rows, checkpoint, restored};
use super::wallet::Manner;
use super::world::{DEPOSIT, World, config, secret};
use crate::shard::*;

fn settled(channel: ChannelId) -> LedgerEvent {
    LedgerEvent::Settled { channel, wallet: DEPOSIT, hub: DEPOSIT, cooperative: true }
}

fn has(world: &World, id: ChannelId) -> bool {
    world.shards.iter().any(|shard| shard.channel(&id).is_some())
}

/// What the hub owes is told to whoever anchors it.
fn anchor(world: &mut World) -> Vec<Option<Amount>> {
    world.input(Input::Anchor { round: world.height().0, most: 100 });
    let told = std::mem::take(&mut world.answers);
    let owed = |action: Action| match action {
        Action::Moved(moved) => moved.channels.into_iter().map(|moved| moved.owed).collect(),
        _ => Vec::new(),
    };
    told.into_iter().flat_map(owed).collect()
}

#[test]
fn it_goes_from_memory_and_index_once_it_is_told_that_nothing_is_owed() {
    let mut world = World::new(2);
    let id = world.id(0);
    let mut rows = Rows::new();
    checkpoint(&mut world.shards, &mut rows);
    let before = rows.len();
    anchor(&mut world);
    world.block(vec![settled(id)]);
    world.blocks(3);
    assert!(has(&world, id), "what is owed still counts it");
    assert_eq!(anchor(&mut world), [None]);
    world.blocks(1);
    assert!(!has(&world, id));
    assert_eq!(world.shards[0].counters().channels, 1);
    checkpoint(&mut world.shards, &mut rows);
    assert!(rows.len() < before, "{} rows of {before} are left", rows.len());
    // From rows and from all the records.
    for from_rows in [true, false] {
        let shards = match from_rows {
            true => restored(&world, &rows, world.journal.len(), 1),
            false => world.replayed(1),
        };
        world.start_with(shards);
        anchor(&mut world);
        world.blocks(1);
        assert!(!has(&world, id));
        assert!(has(&world, world.id(1)));
    }
    // Its wallet may not have heard.
    world.connect(0);
    world.run();
    assert_eq!(world.wallets[0].rejected.last(), Some(&Code::UnknownChannel));
}

/// What came of the hub's lock is known in the payee's channel alone until the payer's has recorded
/// it.
#[test]
fn a_payees_channel_is_kept_until_the_payer_has_heard() {
    let mut world = World::new(2);
    world.wallets[1].manner = Manner::StaysSilent;
    world.pay(0, 1, 1_000, 1);
    world.run();
    let (payer, payee) = (world.id(0), world.id(1));
    let claim = LedgerEvent::ClaimShown {
        channel: payee,
        from: Role::Hub,
        id: 1,
        secret: secret(1).0,
        steps: 1,
    };
    anchor(&mut world);
    let events = vec![claim, settled(payee)];
    let mut passes = Vec::new();
    // The pass to the payer's channel is on its way.
    for events in [events, Vec::new(), Vec::new()] {
        let block = next(&mut world, events);
        let mut out = Output::default();
        world.shards[0].handle(block, world.now_ms, &world.directory, &mut out);
        passes.append(&mut out.passes);
        world.finish(out);
        anchor(&mut world);
    }
    assert_eq!(world.channel(1).phase(), Phase::Closed { wallet: DEPOSIT, hub: DEPOSIT });
    assert_eq!(passes.len(), 1, "{passes:?}");
    passes.into_iter().for_each(|pass| world.input(Input::Passed(pass)));
    world.run();
    assert_eq!(world.wallets[0].secrets, [(1, secret(1).0)]);
    world.blocks(1);
    assert!(!has(&world, payee) && has(&world, payer));
}

/// The next block, for the shards alone.
fn next(world: &mut World, events: Vec<LedgerEvent>) -> Input {
    let mut block: BlockEvents = world.blocks.last().unwrap().clone();
    block.header.header.height = world.height().after(1);
    block.header.header.time_ms += 200;
    block.events = events;
    world.blocks.push(block.clone());
    Input::Block(Arc::new(block))
}

/// A hub of two shards, one of which has followed how a channel was paid out, and so many blocks since;
/// what the other has followed of them is lost with the process. And the single shard that starts from
/// that.
fn behind(blocks: u64) -> (World, Shard) {
    let mut world = World::with(config(), 2, 2);
    let id = world.id(0);
    let kept = world.journal.len();
    anchor(&mut world);
    world.block(vec![settled(id)]);
    anchor(&mut world);
    world.blocks(blocks);
    assert!(!has(&world, id));
    let all = world.journal.split_off(kept);
    let other = u16::from(Slice::index_of(&id, 2) == 0);
    let lags =
        |record: &Record| matches!(record, Record::Followed { slice, .. } if slice.index == other);
    world.journal.extend(all.into_iter().filter(|record| !lags(record)));
    let shard = started(&world);
    (world, shard)
}

fn started(world: &World) -> Shard {
    let mut shard = world.replayed(1).remove(0);
    shard.recovered(&[], world.now_ms, &mut Output::default());
    shard
}

/// With another count of shards blocks come again that some shard had followed, and with them
/// channels that are paid out in later ones. Nothing is taken on there.
#[test]
fn what_blocks_open_again_is_not_paid_through() {
    let (world, mut shard) = behind(1);
    let ahead = world.height();
    assert!(shard.followed().0 < ahead);
    let now_ms = world.now_ms;
    assert!(!shard.now(now_ms).view.fresh, "it is not where the ledger is known to be");
    let missing: Vec<BlockEvents> = world.blocks[shard.followed().0.0 as usize..].to_vec();
    for block in missing {
        assert!(!shard.now(now_ms).view.fresh);
        let block = Input::Block(Arc::new(block));
        shard.handle(block, now_ms, &world.directory, &mut Output::default());
    }
    assert_eq!(shard.followed().0, ahead);
    assert!(shard.now(now_ms).view.fresh);
}

/// What was streamed in part, when both channels end on the ledger.
#[test]
fn both_channels_of_a_stream_go() {
    use super::streams::{at, redeem, streaming, tick};
    let mut world = streaming();
    world.wallets[0].settles = false;
    redeem(&mut world, 20);
    tick(&mut world);
    let (payer, payee) = (world.id(0), world.id(1));
    anchor(&mut world);
    let claim =
        |channel, from| LedgerEvent::ClaimShown { channel, from, id: 1, secret: at(20), steps: 20 };
    world.block(vec![claim(payee, Role::Hub), settled(payee)]);
    anchor(&mut world);
    world.blocks(1);
    world.block(vec![claim(payer, Role::Wallet), settled(payer)]);
    anchor(&mut world);
    world.blocks(1);
    anchor(&mut world);
    world.blocks(300);
    anchor(&mut world);
    world.blocks(2);
    assert!(!has(&world, payer) && !has(&world, payee));
    world.restart();
    anchor(&mut world);
    world.blocks(3);
    assert!(!has(&world, payer) && !has(&world, payee));
}

/// The payer's lock is settled in part, the payee gives up the rest, the payer's channel closes.
#[test]
fn the_payees_channel_goes_though_the_payers_went_first() {
    use super::streams::{at, give_up, hurry, redeem, streaming, tick};
    let mut world = streaming();
    world.wallets[0].settles = false;
    redeem(&mut world, 20);
    tick(&mut world);
    hurry(&mut world);
    world.run();
    give_up(&mut world);
    world.run();
    world.blocks(2);
    world.idle();
    let (payer, payee) = (world.id(0), world.id(1));
    anchor(&mut world);
    let claim =
        |channel, from| LedgerEvent::ClaimShown { channel, from, id: 1, secret: at(20), steps: 20 };
    world.block(vec![claim(payer, Role::Wallet), settled(payer)]);
    anchor(&mut world);
    world.blocks(300);
    world.idle();
    world.block(vec![settled(payee)]);
    anchor(&mut world);
    world.blocks(3);
    assert!(!has(&world, payer) && !has(&world, payee));
}

/// As `what_blocks_open_again_is_not_paid_through`, with one more crash on the way.
#[test]
fn which_blocks_come_again_is_known_after_a_second_crash() {
    let (mut world, mut shard) = behind(2);
    let ahead = world.height();
    let now_ms = world.now_ms;
    let first = world.blocks[shard.followed().0.0 as usize].clone();
    let mut out = Output::default();
    shard.handle(Input::Block(Arc::new(first)), now_ms, &world.directory, &mut out);
    assert!(!shard.now(now_ms).view.fresh);
    world.journal.extend(out.records);
    let shard = started(&world);
    assert!(shard.followed().0 < ahead, "{:?} {ahead:?}", shard.followed());
    assert!(
        !shard.now(now_ms).view.fresh,
        "at {:?} of {ahead:?} it counts as fresh",
        shard.followed().0
    );
}
