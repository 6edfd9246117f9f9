//! `wallet watchtower`, and how `wallet listen --tower` keeps one fresh.
//!
//! What a tower has confirmed, or what was written into a file, is remembered in the home
//! (`watchtower.json`), so that `wallet status` can say up to which proof of the hub's each channel
//! is covered. Nothing rests on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use settlement::reject::Code;
use settlement::types::ChannelId;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::args::{Args, Watchtower, trust};
use super::home::{failed, read_key, replace};
use super::lines::{Line, Lines, Printer, error_json};
use super::session::Session;
use super::show;
use crate::client::{ClientError, Ranks, WalletHandle};
use crate::ledger_http::HttpLedger;
use crate::tower::{HandedIn, Tower, TowerConfig};
use crate::tower_http::HttpTower;
use crate::watchtower::answer::EXPORT_BYTES_MAX;
use crate::watchtower::{Answer, Export};

/// At least so long lies between two hand-ins: what changes meanwhile goes together.
const EVERY: Duration = Duration::from_secs(1);
/// A tower that does not answer is asked again after so long at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long the last hand-in may take.
const LAST: Duration = Duration::from_secs(10);

/// Up to where a channel is covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UpTo {
    /// The hub's proof.
    pub(super) seq: u64,
    /// The tower that confirmed it, or the file.
    pub(super) to: String,
}

/// Up to where the home's channels are covered.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Covered {
    pub(super) channels: BTreeMap<ChannelId, UpTo>,
}

impl Covered {
    fn path(dir: &Path) -> std::path::PathBuf {
        dir.join("watchtower.json")
    }

    /// What the home remembers.
    pub(super) fn read(dir: &Path) -> Result<Covered, ClientError> {
        let path = Covered::path(dir);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Covered::default()),
            read => read.map_err(|error| failed("read", &path, &error))?,
        };
        serde_json::from_slice(&text).map_err(|error| {
            let detail = format!("{} can't be read ({error}); remove it", path.display());
            ClientError::new(Code::StoreDamaged, detail)
        })
    }

    pub(super) fn of(&self, channel: &ChannelId) -> Option<&UpTo> {
        self.channels.get(channel)
    }

    /// Remembers what is covered now.
    fn add(
        dir: &Path,
        to: &str,
        now: impl Iterator<Item = (ChannelId, u64)>,
    ) -> Result<(), ClientError> {
        let mut covered = Covered::read(dir)?;
        for (channel, seq) in now {
            covered.channels.insert(channel, UpTo { seq, to: to.to_owned() });
        }
        let text = serde_json::to_vec_pretty(&covered);
        let text = text.map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
        replace(&Covered::path(dir), &text)
    }
}

/// `watchtower export`.
pub(super) async fn export(session: &Session, to: Option<&str>) -> Result<Line, ClientError> {
    let answers = session.wallet.answers().await?;
    let Some(to) = to else {
        let export = Export::new(answers);
        let human = serde_json::to_string_pretty(&export).unwrap_or_default();
        return Ok(Line::new(json!(export), human));
    };
    let handed_in = if to.contains("://") {
        HttpTower::trusting(to, &session.trust)?.hand_in(&answers).await?
    } else {
        write(Path::new(to), &answers)?
    };
    let covered = covered(&answers, &handed_in);
    Covered::add(session.dir(), to, covered.iter().copied())?;
    Ok(exported(to, &covered, &handed_in))
}

/// What is covered at least: what is held, and what was refused as older than what is held.
fn covered(answers: &[Answer], handed_in: &HandedIn) -> Vec<(ChannelId, u64)> {
    let held = |channel: &ChannelId| handed_in.held.iter().any(|held| held.channel == *channel);
    let newer = |channel: &ChannelId| {
        let mut refused = handed_in.refused.iter().filter(|refused| refused.channel == *channel);
        refused.any(|refused| refused.code == Code::OlderAnswer)
    };
    let covered = answers.iter().filter(|answer| held(&answer.channel) || newer(&answer.channel));
    covered.map(|answer| (answer.channel, answer.seq)).collect()
}

fn write(path: &Path, answers: &[Answer]) -> Result<HandedIn, ClientError> {
    let text = serde_json::to_vec(&Export::new(answers.to_vec()));
    let text = text.map_err(|error| ClientError::new(Code::Internal, error.to_string()))?;
    if text.len() > EXPORT_BYTES_MAX {
        let detail = "the export would be larger than 16 MiB; hand it to a tower's address";
        return Err(ClientError::new(Code::BadArgument, detail));
    }
    replace(path, &text)?;
    let held = answers
        .iter()
        .map(|answer| crate::tower::Held { channel: answer.channel, seq: answer.seq });
    Ok(HandedIn { held: held.collect(), refused: Vec::new() })
}

fn exported(to: &str, covered: &[(ChannelId, u64)], handed_in: &HandedIn) -> Line {
    let channels = covered.iter().map(|(channel, seq)| json!({ "channel": channel, "seq": seq }));
    let refused = handed_in.refused.iter().filter(|refused| refused.code != Code::OlderAnswer);
    let refused: Vec<_> = refused.collect();
    let mut human = format!("{} answers to {to}", covered.len());
    for (channel, seq) in covered {
        human.push_str(&format!("\n{channel} covered up to seq {seq} of the hub's"));
    }
    let errors = refused.iter().map(|refused| {
        let error = ClientError::new(refused.code, refused.detail.clone());
        json!({ "channel": refused.channel, "error": error_json(&error) })
    });
    let errors: Vec<_> = errors.collect();
    for refused in &refused {
        let (channel, detail, code) = (refused.channel, &refused.detail, refused.code);
        human.push_str(&format!("\n{channel} not covered: {detail} [{code}]"));
    }
    let json = json!({ "to": to, "channels": channels.collect::<Vec<_>>(), "refused": errors });
    Line { failed: !refused.is_empty(), ..Line::new(json, human) }
}

/// Keeps a tower fresh while `wallet listen` runs.
pub(super) struct Keeper<'a> {
    wallet: WalletHandle,
    dir: &'a Path,
    tower: HttpTower,
    lines: Lines,
    /// What the tower holds.
    ranks: Ranks,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        session: &'a Session,
        tower: &str,
        lines: Lines,
    ) -> Result<Keeper<'a>, ClientError> {
        let (wallet, ranks) = (session.wallet.clone(), Ranks::new());
        let tower = HttpTower::trusting(tower, &session.trust)?;
        Ok(Keeper { wallet, dir: session.dir(), tower, lines, ranks })
    }

    /// Hands in whatever changes, until the wallet is gone.
    pub(super) async fn keep(&mut self) {
        let mut pause = EVERY;
        while let Ok(ranks) = self.wallet.answers_changed(&self.ranks).await {
            match self.hand_in(ranks).await {
                Ok(()) => pause = EVERY,
                Err(error) => {
                    let json = json!({ "event": "not_covered", "error": error_json(&error) });
                    let human = format!("the watchtower was not reached: {error}");
                    self.lines.say(Line::new(json, human)).await;
                    pause = pause.saturating_mul(2).min(PAUSE_MAX);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Hands in what the wallet ends with.
    pub(super) async fn last(&mut self) {
        let changed = self.wallet.answers_changed(&self.ranks);
        // Nothing may have changed: then there is nothing to wait for.
        let Ok(Ok(ranks)) = timeout(Duration::from_millis(50), changed).await else { return };
        if !matches!(timeout(LAST, self.hand_in(ranks)).await, Ok(Ok(()))) {
            tracing::warn!("the watchtower has not got the wallet's last state");
        }
    }

    async fn hand_in(&mut self, ranks: Ranks) -> Result<(), ClientError> {
        let answers = self.wallet.answers().await?;
        let handed_in = self.tower.hand_in(&answers).await?;
        let covered = covered(&answers, &handed_in);
        let to = self.tower.url().to_owned();
        Covered::add(self.dir, &to, covered.iter().copied())?;
        self.ranks = ranks;
        let mut line = exported(&to, &covered, &handed_in);
        if let serde_json::Value::Object(fields) = &mut line.json {
            fields.insert("event".to_owned(), "covered".into());
        }
        self.lines.say(Line { failed: false, ..line }).await;
        Ok(())
    }
}

/// `watchtower run`: until it is told to end.
pub(super) async fn run(
    args: &Args,
    command: &Watchtower,
    printer: Printer,
) -> Result<(), ClientError> {
    let Watchtower::Run { dir, listen, key_file, channels_max } = command else { return Ok(()) };
    let url = args.ledger.as_deref().ok_or_else(|| {
        ClientError::new(Code::BadArgument, "give the ledger's address: --ledger URL")
    })?;
    let config = TowerConfig {
        ledger: Arc::new(HttpLedger::trusting(url, &trust(args.ca.as_deref())?)?),
        dir: dir.clone(),
        listen: *listen,
        key: key_file.as_deref().map(read_key).transpose()?,
        channels_max: *channels_max,
    };
    let no_signals = |error: std::io::Error| ClientError::new(Code::Internal, error.to_string());
    let mut interrupted = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut tower = Tower::start(config).await?;
    let mut printed = Ok(());
    loop {
        let told = tokio::select! {
            told = tower.next() => told,
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
        };
        let Some(told) = told else { break };
        // Whether anybody reads it or not, it goes on guarding.
        printed = printed.and(printer.line(&show::told(&told)));
    }
    tower.stop().await;
    printed
}
