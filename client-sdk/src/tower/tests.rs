//! The tower against a ledger that shows what the test says, and directories of its own.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use settlement::api::{AccountView, ChannelView, LedgerInfo, Problem};
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::params::Fees;
use settlement::state_proof::{ChannelLeaf, StateProof};
use settlement::tx::{AccountAction, Transaction};
use settlement::types::{AccountId, AssetId};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::timeout;

use super::*;
use crate::ledger_client::{Answer as Asked, LedgerError};
use crate::tower_http::HttpTower;
use crate::watchtower::Answer;
use crate::watchtower::sample::{self, LEDGER, answer, key, leaf, lock, terms};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the ledger shows and gets.
#[derive(Default)]
struct Shown {
    fees: Fees,
    height: u64,
    blocks: VecDeque<BlockEvents>,
    leaves: Vec<ChannelLeaf>,
    /// Who signs the headers of its state proofs, if not the ledger.
    forger: Option<u8>,
    /// How many submissions have to be there at once before any is taken.
    together: usize,
    /// Refused with these, one after the other, before anything is taken.
    refusals: VecDeque<Code>,
    came: Vec<Transaction>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Shown>>);

fn refused<T>(code: Code) -> Result<T, LedgerError> {
    Err(LedgerError::Refused(Box::new(Problem::new(code, code.title()))))
}

impl Fake {
    fn genesis(&self) -> Genesis {
        let mut genesis = sample::genesis();
        genesis.fees = self.0.lock().unwrap().fees;
        // A development ledger takes none.
        if !genesis.fees.is_free() {
            genesis = Genesis { development: false, challenge_blocks_min: 140, ..genesis };
        }
        genesis
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.0.lock().unwrap());
    }

    fn came(&self) -> Vec<Transaction> {
        self.0.lock().unwrap().came.clone()
    }
}

impl LedgerClient for Fake {
    fn info(&self) -> Asked<'_, LedgerInfo> {
        let genesis = self.genesis();
        let height = self.0.lock().unwrap().height;
        let tip = Some(sample::block(height, vec![]).header);
        Box::pin(async move { Ok(LedgerInfo { ledger: genesis.ledger_id(), genesis, tip }) })
    }

    fn submit(&self, transaction: &Transaction) -> Asked<'_, TxId> {
        let mut shown = self.0.lock().unwrap();
        let answer = match shown.refusals.pop_front() {
            Some(code) => refused(code),
            None => Ok(transaction.id()),
        };
        shown.came.push(transaction.clone());
        drop(shown);
        let shown = self.0.clone();
        Box::pin(async move {
            let there = || {
                let shown = shown.lock().unwrap();
                shown.came.len() >= shown.together
            };
            while !there() {
                tokio::task::yield_now().await;
            }
            answer
        })
    }

    fn events_from(&self, height: Height, _: Duration) -> Asked<'_, Vec<BlockEvents>> {
        let shown = self.0.clone();
        Box::pin(async move {
            loop {
                let block = {
                    let mut shown = shown.lock().unwrap();
                    let next = shown.blocks.pop_front_if(|b| b.header.header.height == height);
                    shown.height = next.as_ref().map_or(shown.height, |_| height.0);
                    next
                };
                match block {
                    Some(block) => return Ok(vec![block]),
                    None => tokio::task::yield_now().await,
                }
            }
        })
    }

    fn account(&self, account: &AccountId) -> Asked<'_, AccountView> {
        let view = AccountView { account: *account, nonce: 7, balances: vec![], lease: None };
        Box::pin(async move { Ok(view) })
    }

    fn channel(&self, _: &ChannelId) -> Asked<'_, ChannelView> {
        Box::pin(async { refused(Code::NoSuchChannel) })
    }

    fn state_proof(&self, channel: &ChannelId) -> Asked<'_, StateProof> {
        let shown = self.0.lock().unwrap();
        let leaf = shown.leaves.iter().find(|leaf| leaf.channel == *channel).cloned();
        let signer = shown.forger.unwrap_or(LEDGER);
        let height = shown.height;
        Box::pin(async move {
            match leaf {
                Some(leaf) => Ok(sample::proof(signer, height, leaf)),
                None => refused(Code::NoSuchChannel),
            }
        })
    }
}

/// A ledger with one open channel.
fn ledger() -> Fake {
    let fake = Fake::default();
    fake.show(|shown| {
        shown.height = 10;
        shown.leaves = vec![leaf(0, None, 0, 0)];
    });
    fake
}

fn config(fake: &Fake, dir: &Path) -> TowerConfig {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    let (ledger, dir) = (Arc::new(fake.clone()), dir.to_owned());
    TowerConfig { ledger, dir, listen, key: None, channels_max: 2 }
}

/// A tower that runs, and the way to it.
async fn start(fake: &Fake, dir: &Path) -> (Tower, HttpTower) {
    let mut tower = Tower::start(config(fake, dir)).await.unwrap();
    match hear(&mut tower).await {
        Told::Running { listening: Some(url), .. } => (tower, HttpTower::new(&url).unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn hear(tower: &mut Tower) -> Told {
    timeout(PATIENCE, tower.next()).await.expect("it says nothing").expect("it has ended")
}

fn newest() -> Answer {
    answer(0, 3, &[lock(1, 10)], &[1])
}

/// A close, in the next block; the ledger then holds the channel like this.
fn close(fake: &Fake, stands: ChannelLeaf) {
    fake.show(|shown| {
        let proofs_until = Height(60);
        let close =
            LedgerEvent::CloseStarted { channel: stands.channel, by: Role::Hub, proofs_until };
        shown.blocks.push_back(sample::block(shown.height + 1, vec![close]));
        shown.leaves = vec![stands];
    });
}

#[tokio::test]
async fn what_is_handed_in_is_on_disk_when_it_is_confirmed_and_answers_after_a_restart() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    let (mut tower, http) = start(&fake, dir.path()).await;
    let handed_in = http.hand_in(&[newest()]).await.unwrap();
    assert_eq!(handed_in.held, [Held { channel: terms(0).channel_id(), seq: 3 }]);
    assert_eq!(handed_in.refused, []);
    let path = dir.path().join("answers").join(format!("{}.json", terms(0).channel_id()));
    let export = Export::read(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(export.answers, [newest()]);
    assert!(matches!(hear(&mut tower).await, Told::Guarding { seq: 3, .. }));
    tower.stop().await;
    assert_eq!(fake.came(), []);

    // It was down when the close came.
    fake.show(|shown| shown.leaves = vec![leaf(0, Some(60), 0, 0)]);
    let mut tower = Tower::start(config(&fake, dir.path())).await.unwrap();
    assert!(matches!(hear(&mut tower).await, Told::Brought { seq: 3, .. }));
    assert_eq!(fake.came(), [newest().transaction().unwrap()]);
    tower.stop().await;
}

#[tokio::test]
async fn a_close_is_answered_once_the_ledger_can_and_that_is_told_once() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    let (mut tower, http) = start(&fake, dir.path()).await;
    http.hand_in(&[newest()]).await.unwrap();
    hear(&mut tower).await;
    fake.show(|shown| shown.refusals = VecDeque::from([Code::QueueFull]));
    close(&fake, leaf(0, Some(60), 0, 0));
    assert!(matches!(hear(&mut tower).await, Told::Closing { by: Role::Hub, .. }));
    assert!(matches!(hear(&mut tower).await, Told::Trouble { code: Code::QueueFull, .. }));
    // A few blocks on it is tried again.
    fake.show(|shown| {
        let empty = |height| sample::block(height, vec![]);
        shown.blocks.extend((12..=11 + crate::watchtower::post::LOOK_AGAIN).map(empty));
    });
    assert!(matches!(hear(&mut tower).await, Told::Brought { seq: 3, .. }));
    fake.show(|shown| {
        shown.leaves = vec![leaf(0, Some(60), 3, 10)];
        let (channel, from, secret) =
            (terms(0).channel_id(), Role::Hub, settlement::types::Secret([1; 32]));
        let shows = LedgerEvent::ClaimShown { channel, from, id: 1, secret, steps: 1 };
        let next = shown.height + 1;
        shown.blocks.push_back(sample::block(next, vec![shows.clone()]));
        shown.blocks.push_back(sample::block(next + 1, vec![shows]));
    });
    assert!(matches!(hear(&mut tower).await, Told::Answered { seq: 3, .. }));
    assert_eq!(fake.came().len(), 2);
    fake.show(|shown| {
        let (channel, wallet, hub) = (terms(0).channel_id(), Amount(5), Amount(6));
        let paid = LedgerEvent::Settled { channel, wallet, hub, cooperative: false };
        let next = shown.blocks.back().unwrap_or(&sample::block(shown.height, vec![])).header;
        shown.blocks.push_back(sample::block(next.header.height.0 + 1, vec![paid]));
    });
    assert!(matches!(hear(&mut tower).await, Told::Settled { wallet: Some(Amount(5)), .. }));
    tower.stop().await;
}

/// A ledger that is far away takes a while for each: many closes at once are answered at once.
#[tokio::test]
async fn answers_to_many_closes_are_on_their_way_together() {
    const CLOSES: usize = 16;
    let (dir, fake) = (tempfile::tempdir().unwrap(), Fake::default());
    let leaves = |proofs_until| (0..CLOSES as u64).map(move |n| leaf(n, proofs_until, 0, 0));
    fake.show(|shown| {
        shown.height = 10;
        shown.leaves = leaves(None).collect();
        shown.together = CLOSES;
    });
    let config = TowerConfig { channels_max: CLOSES, ..config(&fake, dir.path()) };
    let mut tower = Tower::start(config).await.unwrap();
    let Told::Running { listening: Some(url), .. } = hear(&mut tower).await else { panic!() };
    let answers: Vec<Answer> = (0..CLOSES as u64).map(|n| answer(n, 1, &[], &[])).collect();
    let handed_in = HttpTower::new(&url).unwrap().hand_in(&answers).await.unwrap();
    assert_eq!(handed_in.held.len(), CLOSES);
    fake.show(|shown| {
        let (by, proofs_until) = (Role::Hub, Height(60));
        let close = |leaf: ChannelLeaf| LedgerEvent::CloseStarted {
            channel: leaf.channel,
            by,
            proofs_until,
        };
        shown.blocks.push_back(sample::block(11, leaves(None).map(close).collect()));
        shown.leaves = leaves(Some(60)).collect();
    });
    let mut brought = 0;
    while brought < CLOSES {
        brought += usize::from(matches!(hear(&mut tower).await, Told::Brought { .. }));
    }
    assert_eq!(fake.came().len(), CLOSES);
    tower.stop().await;
}

#[tokio::test]
async fn what_can_t_be_guarded_is_refused_with_a_number() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    let (tower, http) = start(&fake, dir.path()).await;
    let code = async |answer: Answer| http.hand_in(&[answer]).await.unwrap().refused[0].code;
    assert_eq!(code(answer(1, 1, &[], &[])).await, Code::NotOpen, "nobody opened it");
    fake.show(|shown| shown.forger = Some(5));
    assert_eq!(code(newest()).await, Code::LedgerUnavailable, "a proof that is not the ledger's");
    fake.show(|shown| shown.forger = None);
    assert_eq!(http.hand_in(&[newest()]).await.unwrap().held.len(), 1);
    assert_eq!(code(answer(0, 2, &[], &[])).await, Code::OlderAnswer);
    fake.show(|shown| shown.leaves.extend([leaf(1, None, 0, 0), leaf(2, None, 0, 0)]));
    let two = [answer(1, 1, &[], &[]), answer(2, 1, &[], &[])];
    let handed_in = http.hand_in(&two).await.unwrap();
    assert_eq!(handed_in.held.len(), 1);
    assert_eq!(handed_in.refused[0].code, Code::TowerFull);
    tower.stop().await;
    let unreachable = http.hand_in(&[newest()]).await.unwrap_err();
    assert_eq!(unreachable.code, Code::TowerUnavailable);
}

/// ⚔ Words of a ledger, or of somebody before it, move nothing: what is done about a channel needs
/// the ledger's signature.
#[tokio::test]
async fn a_close_that_is_not_proved_brings_nothing() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    let (mut tower, http) = start(&fake, dir.path()).await;
    http.hand_in(&[newest()]).await.unwrap();
    hear(&mut tower).await;
    fake.show(|shown| shown.forger = Some(5));
    close(&fake, leaf(0, Some(60), 0, 0));
    assert!(matches!(hear(&mut tower).await, Told::Closing { .. }));
    assert!(matches!(hear(&mut tower).await, Told::Trouble { code: Code::LedgerUnavailable, .. }));
    assert_eq!(fake.came(), []);
    tower.stop().await;
}

#[tokio::test]
async fn where_the_ledger_takes_fees_the_answer_comes_in_an_envelope_that_the_tower_pays() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    fake.show(|shown| shown.fees = Fees { asset: AssetId(0), flat: Amount(5), ..Fees::default() });
    let refused = Tower::start(config(&fake, dir.path())).await;
    assert_eq!(refused.err().map(|error| error.code), Some(Code::EnvelopeNeeded));

    let info = fake.info().await.unwrap();
    let verifying = check_genesis(&info, &info.ledger).unwrap();
    let genesis = Arc::new(info.genesis);
    let ground =
        Ground { ledger: Arc::new(fake.clone()), id: info.ledger, key: verifying, genesis };
    let mut bearer = bring::Bearer::new(ground, Some(key(6)));
    let inner = newest().transaction().unwrap();
    // The count goes on while blocks are outstanding, and is asked for again after a refusal.
    fake.show(|shown| shown.refusals = VecDeque::from([Code::BadNonce]));
    let mut bring = async || {
        let came = bearer.bring(inner.clone()).await;
        bearer.note(came)
    };
    assert!(bring().await.is_err());
    for _ in 0..2 {
        assert!(matches!(bring().await, Ok(bring::Brought::Taken(_))));
    }
    let nonces = fake.came().into_iter().map(|came| match came {
        Transaction::Account { body, .. } => {
            assert_eq!(Some(&body.action), AccountAction::carry(inner.clone()).as_ref());
            assert_eq!((body.account, body.ledger), (key(6).public(), fake.genesis().ledger_id()));
            body.nonce
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(nonces.collect::<Vec<_>>(), [7, 7, 8]);
}

#[tokio::test]
async fn what_lies_in_the_inbox_is_taken_and_what_is_none_is_put_aside() {
    let (dir, fake) = (tempfile::tempdir().unwrap(), ledger());
    let (mut tower, _http) = start(&fake, dir.path()).await;
    let inbox = dir.path().join("inbox");
    let text = serde_json::to_vec(&Export::new(vec![newest()])).unwrap();
    // One that is being written has a name with a dot before it.
    std::fs::write(inbox.join(".a.json.new"), &text[..20]).unwrap();
    std::fs::write(inbox.join("a.json"), &text).unwrap();
    assert!(matches!(hear(&mut tower).await, Told::Guarding { seq: 3, .. }));
    std::fs::write(inbox.join("b.json"), b"{}").unwrap();
    let told = hear(&mut tower).await;
    assert!(
        matches!(&told, Told::Refused { code: Code::BadAnswer, file: Some(_), .. }),
        "{told:?}"
    );
    std::fs::write(inbox.join("c.json"), &text).unwrap();
    let left = || {
        let names = std::fs::read_dir(&inbox).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    let settled = async {
        while left() != [".a.json.new", "b.json.refused"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{:?}", left()));
    tower.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_asks_and_never_reads_is_closed() {
    let ground = ground(Arc::new(ledger())).await.unwrap();
    let (served, mut asks) = duplex(64);
    let (desk, _kept) = mpsc::channel(1);
    asks.write_all(b"GET /v1/tower HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // The clock moves on when nobody has anything to do, so this takes no time.
    let ended = timeout(PATIENCE * 100, serve::connection(served, ground, desk)).await;
    let error = ended.expect("it is held for ever").unwrap_err();
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("does not read"), "{error}: {why}");
}
