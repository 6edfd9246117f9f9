use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use settlement::journal::{Disk, MemoryJournal};
use settlement::types::{ChannelId, Height};
use settlement::wire::Message;

use super::*;
use crate::client::store::Entry;
use crate::wallet::Record;

fn record(height: u64) -> Entry {
    let record = Record::Followed { height: Height(height), time_ms: 0 };
    Entry::Record { index: 0, record }
}

/// Takes the rule "durable first" out, and this fails.
#[test]
fn nothing_is_performed_before_its_records_and_all_earlier_ones_are_durable() {
    let disk = Disk::new();
    let pipe = Arc::<Pipe>::default();
    let seen = Arc::<Mutex<Vec<Lsn>>>::default();
    let watch = || {
        let (disk, seen) = (disk.clone(), seen.clone());
        let release = move || seen.lock().unwrap().push(disk.durable());
        Effect::Release(Box::new(release))
    };
    let (indexer, rows) = sync_channel(1);
    let (submissions, _submitted) = crate::client::submit::submissions();
    let committer = Committer {
        pipe: pipe.clone(),
        journal: Box::new(MemoryJournal::open(&disk).unwrap()),
        indexer,
        archivable: Arc::default(),
        members: Arc::new(Members::new(1)),
        outlets: Vec::new(),
        submissions,
    };
    let entries = vec![record(1), record(2)];
    pipe.put(Group { entries, effects: vec![watch()], checkpoint: None });
    let effects = vec![watch()];
    pipe.put(Group { entries: vec![record(3)], effects, checkpoint: Some(Vec::new()) });
    pipe.close();
    committer.run();
    assert_eq!(*seen.lock().unwrap(), [3, 3]);
    assert_eq!((disk.syncs(), rows.recv().unwrap()), (1, (3, Vec::new())));
}

#[test]
fn a_connection_that_does_not_keep_up_never_holds_up_the_committer() {
    let members = Arc::new(Members::new(1));
    let (core, _queue) = crate::client::core::queue();
    let peer = crate::client::tests::peer();
    let (_connection, outlet, _) =
        crate::client::connection::Connection::new(0, peer, members, core);
    let ack = || Outgoing::Message(Message::Ack { channel: ChannelId([1; 32]), seq: 1 });
    // Nobody takes anything out: were the queue not bounded or the sender patient, this would
    // never be noticed, or never end.
    let mut sent = 0u32;
    while !outlet.is_overrun() {
        outlet.send(vec![ack()]);
        sent += 1;
        assert!(sent < 100_000, "the queue has no bound");
    }
}
