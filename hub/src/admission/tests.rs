use super::*;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

fn gate() -> Arc<Gate> {
    Arc::new(Gate::new(Arc::default()))
}

/// A socket whose frames are as large as the numbers that are put in.
fn socket() -> (UnboundedSender<u64>, impl futures_util::Stream<Item = u64> + Unpin) {
    let (put, taken) = unbounded_channel();
    let take = |mut taken: UnboundedReceiver<u64>| async { Some((taken.recv().await?, taken)) };
    (put, Box::pin(stream::unfold(taken, take)))
}

fn ops(item: &u64) -> u64 {
    *item
}

/// Reads everything that comes and leaves it under way; says what it read.
fn read_on(
    gate: &Arc<Gate>,
    id: usize,
    mut from: impl futures_util::Stream<Item = u64> + Unpin + Send + 'static,
    told: &UnboundedSender<(usize, u64)>,
) -> tokio::task::JoinHandle<()> {
    let (gate, told) = (gate.clone(), told.clone());
    tokio::spawn(async move {
        let mut reader = gate.reader();
        while let Some((item, admitted)) = reader.next(&mut from, ops, || false).await {
            admitted.handed_on();
            told.send((id, item)).unwrap();
        }
    })
}

/// Everything that can be done without anybody from outside is done.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn drain(from: &mut UnboundedReceiver<(usize, u64)>) -> Vec<(usize, u64)> {
    std::iter::from_fn(|| from.try_recv().ok()).collect()
}

#[tokio::test]
async fn a_full_hub_reads_on_once_it_has_finished_something() {
    let gate = gate();
    let limit = gate.figures().limit;
    let (told, mut heard) = unbounded_channel();
    let (put, from) = socket();
    let task = read_on(&gate, 0, from, &told);
    for _ in 0..20 {
        put.send(1_000).unwrap();
    }
    settle().await;
    let read = drain(&mut heard).len() as u64;
    assert!(read * 1_000 >= limit && (read - 1) * 1_000 < limit, "{read} of {limit}");
    let figures = gate.figures();
    assert_eq!((figures.under_way, figures.waiting), (read * 1_000, 1));
    gate.finish(2_000);
    settle().await;
    assert_eq!(drain(&mut heard).len(), 2, "until it is full again");
    let mut left = 20 - read - 2;
    while left > 0 {
        gate.finish(gate.figures().under_way);
        settle().await;
        let more = drain(&mut heard).len() as u64;
        assert!(more > 0, "{left} wait, and nothing is under way");
        left -= more;
    }
    gate.finish(gate.figures().under_way);
    assert_eq!((gate.figures().under_way, gate.figures().waiting), (0, 0));
    assert_eq!(gate.figures().finished, 20_000);
    drop(put);
    task.await.unwrap();
}

#[tokio::test]
async fn one_that_says_little_is_let_in_beside_one_that_floods() {
    let gate = gate();
    let (told, mut heard) = unbounded_channel();
    let (sockets, tasks): (Vec<_>, Vec<_>) = (0..3)
        .map(|id| {
            let (put, from) = socket();
            (put, read_on(&gate, id, from, &told))
        })
        .unzip();
    for _ in 0..2_000 {
        sockets[0].send(1_000).unwrap();
        sockets[1].send(1_000).unwrap();
    }
    settle().await;
    // A secret, when the hub is full already.
    sockets[2].send(1).unwrap();
    settle().await;
    drain(&mut heard);
    let mut before = 0;
    loop {
        gate.finish(1_000);
        settle().await;
        let read = drain(&mut heard);
        if read.contains(&(2, 1)) {
            break;
        }
        before += read.len();
        assert!(before <= 4, "it waits for a turn of each of the others");
    }
    drop(sockets);
    tasks.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn what_is_let_in_and_comes_to_nothing_makes_room() {
    let gate = gate();
    let mut frames = stream::repeat(1_000u64);
    let mut reader = gate.reader();
    for _ in 0..100 {
        let (item, admitted) = reader.next(&mut frames, ops, || false).await.unwrap();
        assert_eq!((item, gate.figures().under_way), (1_000, 1_000));
        drop(admitted);
    }
    assert_eq!(gate.figures().under_way, 0);
}

#[tokio::test]
async fn one_that_goes_away_holds_nobody_up() {
    let gate = gate();
    let (told, mut heard) = unbounded_channel();
    let mut full = stream::repeat(100_000u64);
    let (_, admitted) = gate.reader().next(&mut full, ops, || false).await.unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|id| {
            let (put, from) = socket();
            put.send(1).unwrap();
            (put, read_on(&gate, id, from, &told))
        })
        .collect();
    settle().await;
    assert_eq!(gate.figures().waiting, 4);
    waiting[0].1.abort();
    settle().await;
    assert_eq!(gate.figures().waiting, 3);
    drop(admitted);
    // Let in, and gone before it knows.
    waiting[1].1.abort();
    settle().await;
    let mut read = drain(&mut heard);
    read.sort();
    assert_eq!(read, [(2, 1), (3, 1)]);
    let state = gate.lock();
    assert_eq!((state.turns.reserved(), state.turns.waiting()), (0, 0));
    assert!(gate.is_open());
}

#[tokio::test]
async fn a_wait_that_is_broken_off_goes_on_where_it_was() {
    let gate = gate();
    let mut full = stream::repeat(100_000u64);
    let (_, admitted) = gate.reader().next(&mut full, ops, || false).await.unwrap();
    let mut frames = stream::iter([7u64, 8]);
    let mut reader = gate.reader();
    for _ in 0..3 {
        let mut next = Box::pin(reader.next(&mut frames, ops, || false));
        assert!(futures_util::poll!(next.as_mut()).is_pending());
    }
    assert_eq!(gate.figures().waiting, 1, "once, not three times");
    drop(admitted);
    let read = reader.next(&mut frames, ops, || false).await.map(|(item, _)| item);
    assert_eq!(read, Some(7));
    // The rest of its turn is given back once its socket has nothing.
    let rest = frames.chain(stream::pending());
    let mut rest = rest.boxed();
    assert!(reader.next(&mut rest, ops, || false).await.is_some_and(|(item, _)| item == 8));
    assert!(futures_util::poll!(Box::pin(reader.next(&mut rest, ops, || false))).is_pending());
    assert_eq!(gate.lock().turns.reserved(), 0);
}
