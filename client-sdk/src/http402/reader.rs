//! Answers, and paying for them as they are read.

mod ending;
mod flow;

use std::sync::Arc;

use bytes::Bytes;
use reqwest::{Request, Response};

use super::blocks::{Blocks, ServerEvent, read};
use super::client::{Answered, ClientInner, Paid, check_receipt, receipt_of};
use super::error::PayError;
use super::price::Per;
use super::receipt::Receipt;
use super::{NEED_VOUCHER, RECEIPT_EVENT};
use ending::{Counted, Reading, end, leave};
use flow::{Flow, too_much};

/// An answer that cost nothing or was paid by the request.
#[derive(Debug)]
pub struct PaidResponse {
    /// It.
    pub response: Response,
    /// What was paid; none for what cost nothing.
    pub receipt: Option<Receipt>,
}

/// What came of a request, by what it is paid for.
pub(super) enum Answer {
    Whole(PaidResponse),
    Events(PaidEvents),
    Bytes(PaidBytes),
}

impl Answer {
    async fn to(client: Arc<ClientInner>, request: Request) -> Result<Answer, PayError> {
        let answered = client.send(&request).await?;
        Answer::open(client, answered)
    }

    /// What is paid by the request is paid now; what is paid for as it is read ends when it is
    /// dropped.
    pub(super) fn open(client: Arc<ClientInner>, answered: Answered) -> Result<Answer, PayError> {
        let Answered { response, paid } = answered;
        let free = |response| Answer::Whole(PaidResponse { response, receipt: None });
        let Some(paid) = paid else { return Ok(free(response)) };
        if response.status().is_client_error() || response.status().is_server_error() {
            paid.purse.book().give_back(paid.assigned);
            return Ok(free(response));
        }
        let (price, receipt) = (paid.known.price, receipt_of(&response, &paid));
        let each = price.steps().into();
        let answer = match price.per() {
            Per::Request => {
                let receipt = receipt?;
                settle(&paid, &receipt)?;
                return Ok(Answer::Whole(PaidResponse { response, receipt: Some(receipt) }));
            }
            Per::Event => Answer::Events(PaidEvents::new(
                Reading::new(response, Flow::new(client, paid)),
                each,
            )),
            Per::Bytes(bytes) => {
                let reading = Reading::new(response, Flow::new(client, paid));
                Answer::Bytes(PaidBytes { reading, each, bytes_each: bytes.into(), bytes: 0 })
            }
        };
        receipt.map(|_| answer)
    }

    /// It is paid for in another way than was expected.
    async fn refuse(self) -> Result<PayError, PayError> {
        let how = match self {
            Answer::Whole(_) => "it is paid by the request",
            Answer::Events(events) => {
                events.finish().await?;
                "it is paid by the event: ask for `events`"
            }
            Answer::Bytes(bytes) => {
                bytes.finish().await?;
                "it is paid by the byte: ask for `bytes`"
            }
        };
        Ok(PayError::Demand(how.to_owned()))
    }
}

impl PaidResponse {
    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidResponse, PayError> {
        match Answer::to(client, request).await? {
            Answer::Whole(answer) => Ok(answer),
            other => Err(other.refuse().await?),
        }
    }
}

/// A response that is paid by the request: what it cost, out of what it was given.
fn settle(paid: &Paid, receipt: &Receipt) -> Result<(), PayError> {
    let cost = receipt.body.steps;
    let unused = paid.assigned.checked_sub(cost).ok_or_else(too_much)?;
    let mut book = paid.purse.book();
    book.serve(cost);
    book.give_back(unused);
    Ok(())
}

/// Server-sent events that are paid for as they are read. [`PaidEvents::finish`] ends it and returns the
/// receipt; one that is dropped ends too, without one.
pub struct PaidEvents {
    reading: Reading,
    blocks: Blocks,
    ended: bool,
    each: u64,
}

impl PaidEvents {
    fn new(reading: Reading, each: u64) -> PaidEvents {
        PaidEvents { reading, blocks: Blocks::new(), ended: false, each }
    }

    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidEvents, PayError> {
        match Answer::to(client, request).await? {
            Answer::Events(events) => Ok(events),
            Answer::Whole(answer) => Ok(PaidEvents::new(Reading::whole(answer), 0)),
            other => Err(other.refuse().await?),
        }
    }

    /// The answer's status and headers.
    pub fn response(&self) -> &Response {
        self.reading.response()
    }

    /// The next event; `None` at the end, or when all is read that was paid for before
    /// [`PaidEvents::stop`].
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, PayError> {
        loop {
            if self.reading.is_done() {
                return Ok(None);
            }
            while let Some(block) = self.blocks.next() {
                let event = read(&block.bytes);
                if block.counts && !self.is_about_payment(&event)? {
                    if let Some(flow) = self.reading.flow() {
                        flow.read_more(self.each);
                    }
                    return Ok(Some(event));
                }
            }
            if self.ended {
                return Ok(None);
            }
            match self.reading.chunk().await? {
                Some(chunk) => self.blocks.push(&chunk)?,
                None => {
                    self.ended = true;
                    self.blocks.finish();
                }
            }
        }
    }

    /// Whether an event is one of the server's about the payment. They are free.
    fn is_about_payment(&mut self, event: &ServerEvent) -> Result<bool, PayError> {
        let Some(flow) = self.reading.flow() else { return Ok(false) };
        match event.event.as_str() {
            RECEIPT_EVENT => {
                flow.ended(check_receipt(event.data.as_bytes(), &flow.paid)?);
                Ok(true)
            }
            NEED_VOUCHER => Ok(true),
            _ => Ok(false),
        }
    }

    /// Hands over no more. What was paid for still comes: read on until `None`.
    pub fn stop(&mut self) {
        self.reading.stop();
    }

    /// Ends it, and returns its last receipt; none for what cost nothing. What was handed over and
    /// not used pays for what the payee is asked for next; what was sent by now counts as read.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn finish(mut self) -> Result<Option<Receipt>, PayError> {
        end(&mut self).await
    }
}

impl Counted for PaidEvents {
    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    async fn read_on(&mut self) -> Result<bool, PayError> {
        Ok(self.next().await?.is_some())
    }
}

impl Drop for PaidEvents {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.leave() {
            let blocks = std::mem::replace(&mut self.blocks, Blocks::new());
            let (ended, each) = (self.ended, self.each);
            leave(PaidEvents { reading, blocks, ended, each });
        }
    }
}

/// A body that is paid for as it is read, as [`PaidEvents`].
pub struct PaidBytes {
    reading: Reading,
    each: u64,
    bytes_each: u64,
    bytes: u64,
}

impl PaidBytes {
    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidBytes, PayError> {
        match Answer::to(client, request).await? {
            Answer::Bytes(bytes) => Ok(bytes),
            Answer::Whole(answer) => {
                let reading = Reading::whole(answer);
                Ok(PaidBytes { reading, each: 0, bytes_each: 1, bytes: 0 })
            }
            other => Err(other.refuse().await?),
        }
    }

    /// The answer's status and headers.
    pub fn response(&self) -> &Response {
        self.reading.response()
    }

    /// The next bytes; `None` at the end, or when all is read that was paid for before
    /// [`PaidBytes::stop`].
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PayError> {
        let bytes_each = self.bytes_each.max(1);
        // The last of the blocks that were paid for may be begun.
        if self.reading.is_done() && self.bytes.is_multiple_of(bytes_each) {
            return Ok(None);
        }
        let chunk = self.reading.chunk().await?;
        if let (Some(chunk), Some(flow)) = (&chunk, self.reading.flow()) {
            self.bytes = self.bytes.saturating_add(chunk.len() as u64);
            flow.read_to(self.bytes.div_ceil(bytes_each).saturating_mul(self.each));
        }
        Ok(chunk)
    }

    /// Hands over no more. What was paid for still comes: read on until `None`.
    pub fn stop(&mut self) {
        self.reading.stop();
    }

    /// Ends it, and returns its last receipt; none for what cost nothing. See [`PaidEvents::finish`].
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn finish(mut self) -> Result<Option<Receipt>, PayError> {
        end(&mut self).await
    }
}

impl Counted for PaidBytes {
    fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    async fn read_on(&mut self) -> Result<bool, PayError> {
        Ok(self.chunk().await?.is_some())
    }
}

impl Drop for PaidBytes {
    fn drop(&mut self) {
        if let Some(reading) = self.reading.leave() {
            let (each, bytes_each, bytes) = (self.each, self.bytes_each, self.bytes);
            leave(PaidBytes { reading, each, bytes_each, bytes });
        }
    }
}
