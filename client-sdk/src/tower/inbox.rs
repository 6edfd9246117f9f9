//! The directory's inbox: exports that are put there are taken like those over HTTP, and removed.
//! A file with something in it that is not taken stays, as `NAME.refused`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use settlement::reject::Code;
use settlement::types::LedgerId;
use tokio::sync::mpsc;

use super::store::Store;
use super::{HandIn, Told};
use crate::watchtower::answer::EXPORT_BYTES_MAX;
use crate::watchtower::{Export, NoAnswer};

/// How often it is looked into.
const EVERY: Duration = Duration::from_millis(500);

/// Looks into the inbox until the tower ends.
pub(super) async fn watch(
    store: Arc<Store>,
    ledger: LedgerId,
    desk: mpsc::Sender<HandIn>,
    tell: mpsc::Sender<Told>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let dir = store.inbox().to_owned();
        let files = tokio::task::spawn_blocking(move || waiting(&dir)).await.unwrap_or_default();
        for (path, read) in files {
            let done = match read {
                Ok(export) => hand_in(&desk, ledger, export).await,
                Err(refused) => Err(refused),
            };
            match done {
                Ok(Taken::All) => remove(path).await,
                Ok(Taken::Some) => put_aside(path).await,
                // Tried again with the next look.
                Ok(Taken::NotNow) => {}
                Err(NoAnswer { code, detail }) => {
                    let told =
                        Told::Refused { file: Some(path.clone()), channel: None, code, detail };
                    let _ = tell.send(told).await;
                    put_aside(path).await;
                }
            }
        }
        if desk.is_closed() {
            return;
        }
    }
}

enum Taken {
    All,
    Some,
    NotNow,
}

async fn hand_in(
    desk: &mpsc::Sender<HandIn>,
    ledger: LedgerId,
    export: Export,
) -> Result<Taken, NoAnswer> {
    let handed_in = HandIn::give(export, ledger, desk).await?;
    // What is older than what is held has been taken before.
    let refused = handed_in.refused.iter().filter(|refused| refused.code != Code::OlderAnswer);
    let (later, never): (Vec<_>, Vec<_>) = refused.partition(|refused| refused.code.retryable());
    Ok(match (never.is_empty(), later.is_empty()) {
        (true, true) => Taken::All,
        (true, false) => Taken::NotNow,
        (false, _) => Taken::Some,
    })
}

/// The files that wait, with what is in them. Names that begin with a dot are still being written.
fn waiting(dir: &Path) -> Vec<(PathBuf, Result<Export, NoAnswer>)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !name.ends_with(".refused") && path.is_file() {
            let read = read(&path);
            files.push((path, read));
        }
    }
    files
}

fn read(path: &Path) -> Result<Export, NoAnswer> {
    let bad = |error: std::io::Error| NoAnswer::new(Code::BadAnswer, error.to_string());
    let length = std::fs::metadata(path).map_err(bad)?.len();
    if usize::try_from(length).is_ok_and(|length| length <= EXPORT_BYTES_MAX) {
        Export::read(&std::fs::read(path).map_err(bad)?)
    } else {
        Err(NoAnswer::new(Code::BadAnswer, "the file is larger than 16 MiB"))
    }
}

async fn remove(path: PathBuf) {
    if let Err(error) = tokio::fs::remove_file(&path).await {
        tracing::warn!(%error, path = %path.display(), "a file of the inbox stays");
    }
}

async fn put_aside(path: PathBuf) {
    let mut name = path.clone().into_os_string();
    name.push(".refused");
    if let Err(error) = tokio::fs::rename(&path, PathBuf::from(name)).await {
        tracing::warn!(%error, path = %path.display(), "a file of the inbox stays");
    }
}
