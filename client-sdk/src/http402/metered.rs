//! A body that goes out as it is paid for.
//!
//! What comes from the handler is cut into events, or so many bytes, and each waits until its steps
//! are there; meanwhile the handler is not asked for more. So a reader that pays slowly slows the
//! handler down, and one that is gone stops it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::json;
use tokio::time::{Instant, Sleep, sleep_until};

use super::account::Spent;
use super::blocks::Blocks;
use super::gate::Open;
use super::layer::BoxError;
use super::price::{Per, Price};
use super::{NEED_VOUCHER, RECEIPT_EVENT};

/// See the module.
pub(super) struct Metered<R> {
    open: Option<Open>,
    body: Pin<Box<R>>,
    /// The handler's body is over.
    ended: bool,
    meter: Meter,
    steps: u64,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// What is counted, and what waits to be paid for.
enum Meter {
    Events { blocks: Blocks, next: Option<(Bytes, bool)> },
    Bytes { each: usize, left: usize, held: VecDeque<Bytes> },
}

/// The payer handed no more steps over in time, or ended the response.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the response was not paid for")]
struct NotPaid;

impl Meter {
    fn new(per: Per) -> Meter {
        match per {
            Per::Bytes(each) => Meter::Bytes {
                each: usize::try_from(each).unwrap_or(usize::MAX).max(1),
                left: 0,
                held: VecDeque::new(),
            },
            Per::Event | Per::Request => Meter::Events { blocks: Blocks::new(), next: None },
        }
    }

    fn push(&mut self, data: Bytes) -> Result<(), BoxError> {
        match self {
            Meter::Events { blocks, .. } => blocks.push(&data)?,
            Meter::Bytes { held, .. } if !data.is_empty() => held.push_back(data),
            Meter::Bytes { .. } => {}
        }
        Ok(())
    }

    /// The handler's body is over.
    fn finish(&mut self) {
        if let Meter::Events { blocks, .. } = self {
            blocks.finish();
        }
    }

    /// Whether something waits, and has to be paid for first.
    fn waits(&mut self) -> Option<bool> {
        match self {
            Meter::Events { blocks, next } => {
                if next.is_none() {
                    *next = blocks.next().map(|block| (block.bytes, block.counts));
                }
                next.as_ref().map(|(_, counts)| *counts)
            }
            Meter::Bytes { left, held, .. } => held.front().map(|_| *left == 0),
        }
    }

    /// What waits goes out; `paid` says whether it was paid for just now.
    fn release(&mut self, paid: bool) -> Option<Bytes> {
        match self {
            Meter::Events { next, .. } => next.take().map(|(bytes, _)| bytes),
            Meter::Bytes { each, left, held } => {
                if paid {
                    *left = *each;
                }
                let front = held.front_mut()?;
                let out = front.split_to(front.len().min(*left));
                *left = left.saturating_sub(out.len());
                if front.is_empty() {
                    held.pop_front();
                }
                Some(out)
            }
        }
    }

    fn has_events(&self) -> bool {
        matches!(self, Meter::Events { .. })
    }
}

/// An event of the payment.
fn event(name: &str, data: &str) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

impl<R> Metered<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    pub(super) fn new(open: Open, price: Price, body: R) -> Metered<R> {
        Metered {
            patience: open.gate.till.inner.options.patience,
            open: Some(open),
            body: Box::pin(body),
            ended: false,
            meter: Meter::new(price.per()),
            steps: price.steps().into(),
            waiting: None,
        }
    }

    /// Lets out what waits, or says that steps are needed for it, once.
    fn poll_paid(
        &mut self,
        cx: &mut Context<'_>,
        counts: bool,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        let Some(open) = &self.open else { return Poll::Ready(None) };
        let spent = match counts {
            true => open.stand.account().spend(open.session, self.steps, Some(cx.waker())),
            false => Spent::Yes,
        };
        match spent {
            Spent::Yes => {
                self.waiting = None;
                Poll::Ready(self.meter.release(counts).map(Ok))
            }
            Spent::Over => Poll::Ready(self.last(true)),
            Spent::Wait(missing) => {
                if let Some(waiting) = &mut self.waiting {
                    ready!(waiting.as_mut().poll(cx));
                    return Poll::Ready(self.last(true));
                }
                let until = Instant::now().checked_add(self.patience);
                let mut waiting = Box::pin(sleep_until(until.unwrap_or_else(Instant::now)));
                // Registers who is woken.
                let _ = waiting.as_mut().poll(cx);
                self.waiting = Some(waiting);
                if !self.meter.has_events() {
                    return Poll::Pending;
                }
                let needs = json!({ "session": open.session, "steps": missing });
                Poll::Ready(Some(Ok(event(NEED_VOUCHER, &needs.to_string()))))
            }
        }
    }

    /// The end: a last receipt for who reads events; for who reads bytes an error, if that is not
    /// all of them.
    fn last(&mut self, cut: bool) -> Option<Result<Bytes, BoxError>> {
        let open = self.open.take()?;
        open.stand.account().stop(open.session);
        self.ended = true;
        if !self.meter.has_events() {
            return cut.then(|| Err(NotPaid.into()));
        }
        let receipt = serde_json::to_string(&open.receipt()?).ok()?;
        Some(Ok(event(RECEIPT_EVENT, &receipt)))
    }
}

impl<R> Body for Metered<R>
where
    R: Body<Data = Bytes> + Send,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(counts) = this.meter.waits() {
                let out = ready!(this.poll_paid(cx, counts));
                return Poll::Ready(out.map(|out| out.map(Frame::data)));
            }
            if this.ended {
                let out = this.last(false);
                return Poll::Ready(out.map(|out| out.map(Frame::data)));
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.meter.push(data)?,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => {
                    this.open = None;
                    this.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => {
                    this.ended = true;
                    this.meter.finish();
                }
            }
        }
    }
}
