//! `wallet stream` and `wallet streams`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use settlement::reject::Code;
use tokio::signal::unix::{SignalKind, signal};

use super::args::Command;
use super::lines::{Line, Lines};
use super::session::Session;
use super::show;
use crate::client::{ClientError, OutgoingStream, StreamOptions};
use crate::wallet::stream::{STEPS_MIN, StreamKey, StreamPhase, StreamView};
use crate::wallet::{Event, Way};

/// How often steps are paid, if the rate is higher.
const BEAT: Duration = Duration::from_millis(50);
/// How often it is said how the stream stands.
const TELL: Duration = Duration::from_secs(1);

/// Why paying has stopped before all was paid.
enum Stopped {
    /// Whoever asked has gone, or wants it to end.
    Told,
    /// No more can be paid.
    Failed(ClientError),
}

/// Pays so many steps at that rate, and closes the stream. Fails if fewer are settled in the end, unless
/// it was told to end before.
pub(super) async fn stream(
    session: &Session,
    command: &Command,
    lines: &Lines,
) -> Result<(), ClientError> {
    let Command::Stream { payee, unit, steps, rate, lock_steps, life_blocks, asset, memo } =
        command
    else {
        return Ok(());
    };
    session.ready().await?;
    let lock_steps = u32::try_from(*steps).unwrap_or(u32::MAX).min(*lock_steps).max(STEPS_MIN);
    let options = StreamOptions {
        steps: lock_steps,
        life_blocks: *life_blocks,
        memo: memo.clone(),
        in_all: Some(*steps),
        ..StreamOptions::new(*payee, session.asset(asset)?, *unit)
    };
    let stream = open(session, options).await?;
    let before = stream.view().await?.paid;
    let stopped = tokio::select! {
        paid = pay(&stream, *steps, *rate) => paid.err().map(Stopped::Failed),
        () = tell(&stream, lines) => Some(Stopped::Told),
        () = interrupted() => Some(Stopped::Told),
    };
    let key = stream.key();
    let (mut failed, wanted) = match stopped {
        Some(Stopped::Failed(error)) => (Some(error), 0),
        Some(Stopped::Told) => (None, 0),
        None => (None, before.saturating_add(*steps)),
    };
    let view = match stream.close().await {
        Ok(view) => view,
        Err(error) => {
            failed = failed.or(Some(error));
            view_of(session, &key).await?
        }
    };
    // So that a status right after it shows what was paid.
    session.settle().await;
    lines.say(line(&view, Line::new)).await;
    failed.or_else(|| short_of(&view, wanted)).map_or(Ok(()), Err)
}

/// What is wrong with a stream that has brought its payee less than so many steps.
fn short_of(view: &StreamView, wanted: u64) -> Option<ClientError> {
    let missing = wanted.checked_sub(view.settled).filter(|missing| *missing > 0)?;
    let code = match view.phase {
        StreamPhase::Ended(Some(code)) => code,
        _ => Code::StreamClosed,
    };
    let detail =
        format!("{} steps are settled, {missing} fewer than were to be paid", view.settled);
    Some(ClientError::new(code, detail))
}

/// A stream that an earlier command has left open, and no other one is paying, or a new one.
async fn open(session: &Session, options: StreamOptions) -> Result<OutgoingStream, ClientError> {
    let same = |view: &StreamView| {
        let same = (view.key.peer, view.asset, view.unit);
        view.key.way == Way::Out
            && view.phase == StreamPhase::Open
            && same == (options.payee, options.asset, options.unit)
            && !session.wallet.is_being_paid(&view.key)
    };
    let left_open = session.wallet.streams().await?.into_iter().find(same);
    match left_open {
        Some(view) => session.wallet.resume_stream(view.key, options).await,
        None => session.wallet.open_stream_with(options).await,
    }
}

/// Pays so many steps, none before its time, and waits until the payee has them.
async fn pay(stream: &OutgoingStream, steps: u64, rate: u32) -> Result<(), ClientError> {
    let begun = Instant::now();
    let mut beats = tokio::time::interval(BEAT.max(Duration::from_secs(1) / rate));
    let mut paid = 0u64;
    while paid < steps {
        beats.tick().await;
        let passed_us = begun.elapsed().as_micros().saturating_mul(rate.into());
        let due = u64::try_from(passed_us / 1_000_000).unwrap_or(u64::MAX).saturating_add(1);
        let now = due.min(steps).saturating_sub(paid);
        if now > 0 {
            stream.pay(now).await?;
            paid = paid.saturating_add(now);
        }
    }
    stream.delivered().await.map(|_| ())
}

/// Says how it stands until nobody listens any more.
async fn tell(stream: &OutgoingStream, lines: &Lines) {
    let mut times = tokio::time::interval(TELL);
    while !lines.gone().load(Ordering::Relaxed) {
        times.tick().await;
        if let Ok(view) = stream.view().await {
            lines.say(line(&view, Line::live)).await;
        }
    }
}

async fn interrupted() {
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn line(view: &StreamView, make: fn(Value, String) -> Line) -> Line {
    let (json, human) = show::event(&Event::Stream(Box::new(view.clone())));
    make(json, human)
}

async fn view_of(session: &Session, key: &StreamKey) -> Result<StreamView, ClientError> {
    let all = session.wallet.streams().await?;
    let unknown = || ClientError::new(Code::UnknownStream, Code::UnknownStream.title());
    all.into_iter().find(|view| view.key == *key).ok_or_else(unknown)
}

/// All streams; one of them is closed first, if that is wanted.
pub(super) async fn streams(session: &Session, close: Option<&str>) -> Result<Line, ClientError> {
    if let Some(wanted) = close {
        session.ready().await?;
        let all = session.wallet.streams().await?;
        let found = all.into_iter().find(|view| view.key.stream.to_string() == wanted);
        let unknown = || {
            let detail = format!("there is no stream {wanted}");
            ClientError::new(Code::UnknownStream, detail)
        };
        session.wallet.end_stream(found.ok_or_else(unknown)?.key).await?;
        session.settle().await;
    }
    let all = session.wallet.streams().await?;
    let json: Vec<Value> = all.iter().map(show::stream_json).collect();
    let human: Vec<String> = all.iter().map(show::stream).collect();
    let human = if human.is_empty() { "no streams".to_owned() } else { human.join("\n") };
    Ok(Line::new(json!({ "streams": json }), human))
}

/// What was said of each stream, and when: one that is paid a thousand times a second is told of once.
#[derive(Default)]
pub(super) struct Told(HashMap<StreamKey, (Instant, StreamPhase)>);

impl Told {
    /// Whether an event is worth a line.
    pub(super) fn is_news(&mut self, event: &Event) -> bool {
        let Event::Stream(view) = event else { return true };
        let told = self.0.get(&view.key);
        let again =
            |(at, phase): &(Instant, StreamPhase)| *phase == view.phase && at.elapsed() < TELL;
        if told.is_some_and(again) {
            return false;
        }
        if view.has_ended() {
            self.0.remove(&view.key);
        } else {
            self.0.insert(view.key, (Instant::now(), view.phase));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exit code must not say that all was paid when it was not.
    #[test]
    fn a_stream_that_ends_short_has_failed_with_what_ended_it() {
        let cases = [
            (10, 10, None, None),
            (11, 10, Some(Code::StreamClosed), None),
            (9, 10, None, Some(Code::StreamClosed)),
            (9, 10, Some(Code::StreamClosed), Some(Code::StreamClosed)),
            (0, 10, Some(Code::Expired), Some(Code::Expired)),
            (0, 0, Some(Code::Expired), None),
        ];
        for (settled, wanted, code, failed) in cases {
            let phase = StreamPhase::Ended(code);
            let error = short_of(&StreamView { settled, phase, ..StreamView::sample() }, wanted);
            assert_eq!(error.as_ref().map(|error| error.code), failed, "{settled} of {wanted}");
            let says = |error: ClientError| error.detail.contains(&settled.to_string());
            assert!(error.is_none_or(says));
        }
    }
}
