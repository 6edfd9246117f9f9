//! Answers, and paying for them as they are read.

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
use flow::{Flow, too_much};

/// An answer that cost nothing or was paid by the request.
#[derive(Debug)]
pub struct PaidResponse {
    /// It.
    pub response: Response,
    /// What was paid; none for what cost nothing.
    pub receipt: Option<Receipt>,
}

impl PaidResponse {
    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidResponse, PayError> {
        let Answered { response, paid } = client.send(&request).await?;
        let Some(paid) = paid else { return Ok(PaidResponse { response, receipt: None }) };
        if is_error(&response) {
            paid.purse.book().give_back(paid.assigned);
            return Ok(PaidResponse { response, receipt: None });
        }
        if paid.known.price.per() != Per::Request {
            let flow = Flow::new(client, paid);
            drop(response);
            flow.close().await?;
            let how = "it is paid for as it is read: ask for `events` or `bytes`";
            return Err(PayError::Demand(how.to_owned()));
        }
        let receipt = receipt_of(&response, &paid)?;
        settle(&paid, &receipt)?;
        Ok(PaidResponse { response, receipt: Some(receipt) })
    }
}

fn is_error(response: &Response) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
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
    response: Response,
    blocks: Blocks,
    ended: bool,
    each: u64,
    /// None for what costs nothing, or was paid by the request.
    flow: Option<Flow>,
    receipt: Option<Receipt>,
}

impl PaidEvents {
    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidEvents, PayError> {
        let Answered { response, paid } = client.send(&request).await?;
        let (blocks, ended) = (Blocks::new(), false);
        let mut events = PaidEvents { response, blocks, ended, each: 0, flow: None, receipt: None };
        let Some(paid) = paid else { return Ok(events) };
        if is_error(&events.response) {
            paid.purse.book().give_back(paid.assigned);
            return Ok(events);
        }
        let receipt = receipt_of(&events.response, &paid)?;
        match paid.known.price.per() {
            Per::Request => settle(&paid, &receipt)?,
            Per::Event => {
                events.each = paid.known.price.steps().into();
                events.flow = Some(Flow::new(client, paid));
            }
            Per::Bytes(_) => {
                Flow::new(client, paid).close().await?;
                return Err(PayError::Demand("it is paid by the byte: ask for `bytes`".to_owned()));
            }
        }
        events.receipt = Some(receipt);
        Ok(events)
    }

    /// The answer's status and headers.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The next event; `None` at the end, or when all is read that was paid for before
    /// [`PaidEvents::stop`].
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, PayError> {
        loop {
            if self.flow.as_ref().is_some_and(Flow::is_done) {
                return Ok(None);
            }
            while let Some(block) = self.blocks.next() {
                let event = read(&block.bytes);
                if block.counts && !self.is_about_payment(&event)? {
                    if let Some(flow) = &mut self.flow {
                        flow.read_more(self.each);
                    }
                    return Ok(Some(event));
                }
            }
            if self.ended {
                return Ok(None);
            }
            let chunk = match &mut self.flow {
                Some(flow) => flow.chunk(&mut self.response).await?,
                None => self.response.chunk().await?,
            };
            match chunk {
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
        let Some(flow) = &mut self.flow else { return Ok(false) };
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
        if let Some(flow) = &mut self.flow {
            flow.stop();
        }
    }

    /// Ends it, and returns its last receipt; none for what cost nothing. What was handed over and
    /// not used pays for what the payee is asked for next.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn finish(self) -> Result<Option<Receipt>, PayError> {
        match self.flow {
            Some(flow) => flow.close().await.map(Some),
            None => Ok(self.receipt),
        }
    }
}

/// A body that is paid for as it is read, as [`PaidEvents`].
pub struct PaidBytes {
    response: Response,
    each: u64,
    bytes_each: u64,
    bytes: u64,
    flow: Option<Flow>,
    receipt: Option<Receipt>,
}

impl PaidBytes {
    pub(super) async fn of(
        client: Arc<ClientInner>,
        request: Request,
    ) -> Result<PaidBytes, PayError> {
        let Answered { response, paid } = client.send(&request).await?;
        let (each, bytes_each, bytes) = (0, 1, 0);
        let mut body = PaidBytes { response, each, bytes_each, bytes, flow: None, receipt: None };
        let Some(paid) = paid else { return Ok(body) };
        if is_error(&body.response) {
            paid.purse.book().give_back(paid.assigned);
            return Ok(body);
        }
        let receipt = receipt_of(&body.response, &paid)?;
        match paid.known.price.per() {
            Per::Request => settle(&paid, &receipt)?,
            Per::Bytes(bytes) => {
                (body.each, body.bytes_each) = (paid.known.price.steps().into(), bytes.into());
                body.flow = Some(Flow::new(client, paid));
            }
            Per::Event => {
                Flow::new(client, paid).close().await?;
                return Err(PayError::Demand(
                    "it is paid by the event: ask for `events`".to_owned(),
                ));
            }
        }
        body.receipt = Some(receipt);
        Ok(body)
    }

    /// The answer's status and headers.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The next bytes; `None` at the end, or when all is read that was paid for before
    /// [`PaidBytes::stop`].
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PayError> {
        let Some(flow) = &mut self.flow else { return Ok(self.response.chunk().await?) };
        let blocks = |bytes: u64| bytes.div_ceil(self.bytes_each.max(1)).saturating_mul(self.each);
        // The last of the blocks that were paid for may be begun.
        let whole = self.bytes.is_multiple_of(self.bytes_each.max(1));
        if flow.is_done() && whole {
            return Ok(None);
        }
        let chunk = flow.chunk(&mut self.response).await?;
        if let Some(chunk) = &chunk {
            self.bytes = self.bytes.saturating_add(chunk.len() as u64);
            flow.read_to(blocks(self.bytes));
        }
        Ok(chunk)
    }

    /// Hands over no more. What was paid for still comes: read on until `None`.
    pub fn stop(&mut self) {
        if let Some(flow) = &mut self.flow {
            flow.stop();
        }
    }

    /// Ends it, and returns its last receipt; none for what cost nothing.
    ///
    /// # Errors
    /// [`PayError`].
    pub async fn finish(self) -> Result<Option<Receipt>, PayError> {
        match self.flow {
            Some(flow) => flow.close().await.map(Some),
            None => Ok(self.receipt),
        }
    }
}
