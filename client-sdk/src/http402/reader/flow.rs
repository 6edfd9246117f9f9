//! A response that is paid for as it is read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::Response;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::http402::client::{ClientInner, Ending, LINGER, Paid, TRIES, is_short, whole};
use crate::http402::credential::Action;
use crate::http402::error::PayError;
use crate::http402::receipt::Receipt;

/// A hand-over on its way.
type Voucher = Pin<Box<dyn Future<Output = Result<(u64, Option<Receipt>), PayError>> + Send>>;

/// A response that is paid for as it is read.
pub(super) struct Flow {
    client: Arc<ClientInner>,
    pub(super) paid: Arc<Paid>,
    /// Steps that it was given.
    assigned: u64,
    /// Steps' worth that was read.
    got: u64,
    voucher: Option<Voucher>,
    /// No more is handed over.
    stopped: bool,
    /// The newest.
    receipt: Option<Receipt>,
    /// The server has said that it ends.
    over: bool,
    /// The receipt is the last.
    is_last: bool,
    /// Nobody reads on but what ends it.
    left: bool,
    /// What was not used is with the purse again.
    settled: bool,
    /// Where what ends it goes on.
    runtime: Handle,
}

impl Drop for Flow {
    /// It could not be ended: what was not read is there for the next request.
    fn drop(&mut self) {
        if !self.settled {
            let unread = self.assigned.saturating_sub(self.got);
            self.paid.purse.book().give_back(unread);
        }
    }
}

impl Flow {
    pub(super) fn new(client: Arc<ClientInner>, paid: Paid) -> Flow {
        let assigned = paid.assigned;
        Flow {
            client,
            paid: Arc::new(paid),
            assigned,
            got: 0,
            voucher: None,
            stopped: false,
            receipt: None,
            over: false,
            is_last: false,
            left: false,
            settled: false,
            runtime: Handle::current(),
        }
    }

    /// Nobody reads on; says whether that is news.
    pub(super) fn leave(&mut self) -> bool {
        !std::mem::replace(&mut self.left, true)
    }

    /// Where what ends it goes on when nobody waits for it.
    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// Says that it is not known yet what this costs.
    pub(super) fn ending(&self) -> Ending {
        self.paid.purse.payee().ending()
    }

    /// So many steps' worth was read besides.
    pub(super) fn read_more(&mut self, steps: u64) {
        self.read_to(self.got.saturating_add(steps));
    }

    /// No more is handed over.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// The server has ended it, and this is the last receipt.
    pub(super) fn ended(&mut self, receipt: Receipt) {
        self.receipt = Some(receipt);
        (self.over, self.is_last) = (true, true);
    }

    /// So many steps' worth was read in all.
    pub(super) fn read_to(&mut self, got: u64) {
        self.paid.purse.book().serve(got.saturating_sub(self.got));
        self.got = got;
    }

    /// Whether all that was paid for is read, and no more is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.stopped && self.voucher.is_none() && self.got >= self.assigned
    }

    /// Hands the next steps over when less than half of a window is ahead.
    fn hand_over(&mut self) {
        let window = u64::from(self.client.limits.window.min(self.client.ahead()));
        let ahead = self.assigned.saturating_sub(self.got);
        if self.stopped || self.over || self.voucher.is_some() || ahead > window / 2 {
            return;
        }
        let each = u64::from(self.paid.known.price.steps());
        let lent = self.got.saturating_sub(self.assigned);
        let wanted = window.saturating_sub(ahead).max(each).saturating_add(lent);
        let steps = whole(wanted.min(self.paid.purse.book().room()), each);
        if steps == 0 && ahead > 0 {
            // What is there comes first.
            return;
        }
        // Where there is no room the purse says why, or waits for some.
        let steps = steps.max(each);
        let (client, paid) = (self.client.clone(), self.paid.clone());
        self.voucher = Some(Box::pin(hand(client, paid, steps)));
    }

    /// Waits for the next bytes, and for hand-overs meanwhile.
    pub(super) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<Bytes>, PayError> {
        loop {
            self.hand_over();
            let Some(voucher) = &mut self.voucher else {
                return Ok(response.chunk().await?);
            };
            let handed = tokio::select! {
                biased;
                handed = voucher => handed,
                chunk = response.chunk() => return Ok(chunk?),
            };
            self.handed(handed)?;
        }
    }

    fn handed(&mut self, handed: Result<(u64, Option<Receipt>), PayError>) -> Result<(), PayError> {
        self.voucher = None;
        match handed? {
            (steps, Some(receipt)) => {
                self.assigned = self.assigned.saturating_add(steps);
                self.receipt = Some(receipt);
            }
            (_, None) => self.over = true,
        }
        Ok(())
    }

    /// Ends it at the server, if that has not. What was sent by then can still be read.
    pub(super) async fn close(&mut self) -> Result<(), PayError> {
        if let Some(voucher) = &mut self.voucher {
            let handed = timeout(LINGER, voucher).await;
            self.voucher = None;
            if let Ok(handed) = handed {
                self.handed(handed)?;
            }
        }
        self.stopped = true;
        if !self.is_last {
            let closed = self.client.manage(&self.paid, Action::Close, 0).await?;
            self.receipt = closed.or(self.receipt.take());
        }
        (self.over, self.is_last) = (true, true);
        Ok(())
    }

    /// All is read: its last receipt. What the server did not use is the purse's again; what it says
    /// that it used, and nobody could read, is not.
    pub(super) fn settle(mut self) -> Result<Receipt, PayError> {
        let receipt = self.receipt.take();
        let receipt = receipt.ok_or_else(|| PayError::Receipt("there is none".to_owned()))?;
        let credit = self.paid.known.challenge.terms().map_or(0, |terms| terms.details.credit);
        if receipt.body.steps > self.assigned.saturating_add(credit.into()) {
            return Err(too_much());
        }
        let unused = self.assigned.saturating_sub(receipt.body.steps.max(self.got));
        self.paid.purse.book().give_back(unused);
        self.settled = true;
        Ok(receipt)
    }
}

/// Hands so many steps over. Some that were handed over before may not be there any more, where a server
/// has started again: it is given new ones for those.
async fn hand(
    client: Arc<ClientInner>,
    paid: Arc<Paid>,
    steps: u64,
) -> Result<(u64, Option<Receipt>), PayError> {
    let mut tries = 0u32..TRIES;
    loop {
        let reservation = paid.purse.reserve(steps).await?;
        match client.manage(&paid, Action::Voucher, steps).await {
            Ok(Some(receipt)) => {
                reservation.taken();
                return Ok((steps, Some(receipt)));
            }
            // The response was over already; they pay for the next.
            Ok(None) => return Ok((steps, None)),
            Err(PayError::Refused { kind, .. }) if is_short(&kind) && tries.next().is_some() => {
                reservation.denied(None);
            }
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn too_much() -> PayError {
    PayError::Receipt("it claims more than was agreed on".to_owned())
}
