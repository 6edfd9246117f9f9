//! How a response that is paid for as it is read ends, whatever is counted in it.
//!
//! The server is told first, then what it has sent by then is read to its end: it has spent those steps,
//! and only what comes is known to have been served. So it is when nobody waits for it, too.

use std::future::Future;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

use super::PaidResponse;
use super::flow::Flow;
use crate::http402::client::LINGER;
use crate::http402::error::PayError;
use crate::http402::receipt::Receipt;

/// A response, and how it is paid for.
pub(super) struct Reading {
    response: Response,
    /// None for what costs nothing, or was paid by the request.
    flow: Option<Flow>,
    /// Of what was paid by the request.
    receipt: Option<Receipt>,
}

impl Reading {
    pub(super) fn new(response: Response, flow: Flow) -> Reading {
        Reading { response, flow: Some(flow), receipt: None }
    }

    pub(super) fn whole(answer: PaidResponse) -> Reading {
        let PaidResponse { response, receipt } = answer;
        Reading { response, flow: None, receipt }
    }

    pub(super) fn response(&self) -> &Response {
        &self.response
    }

    pub(super) fn flow(&mut self) -> Option<&mut Flow> {
        self.flow.as_mut()
    }

    /// Whether all that was paid for is read, and no more is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.flow.as_ref().is_some_and(Flow::is_done)
    }

    /// Hands over no more.
    pub(super) fn stop(&mut self) {
        if let Some(flow) = &mut self.flow {
            flow.stop();
        }
    }

    /// The next bytes, paid for meanwhile.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, PayError> {
        match &mut self.flow {
            Some(flow) => flow.chunk(&mut self.response).await,
            None => Ok(self.response.chunk().await?),
        }
    }

    /// What there is to be ended once nobody reads on.
    pub(super) fn leave(&mut self) -> Option<Reading> {
        let flow = self.flow.as_mut().is_some_and(Flow::leave).then(|| self.flow.take())??;
        let nothing = Response::from(http::Response::new(Vec::new()));
        let response = std::mem::replace(&mut self.response, nothing);
        Some(Reading::new(response, flow))
    }
}

/// What counts what it reads.
pub(super) trait Counted: Send + 'static {
    fn reading(&mut self) -> &mut Reading;

    /// Reads something and counts it; says whether more may come.
    fn read_on(&mut self) -> impl Future<Output = Result<bool, PayError>> + Send;
}

/// Ends it: its last receipt, if it has one.
pub(super) async fn end(counted: &mut impl Counted) -> Result<Option<Receipt>, PayError> {
    let reading = counted.reading();
    let Some(flow) = &mut reading.flow else { return Ok(reading.receipt.take()) };
    flow.close().await?;
    // What does not come now, or can't be read, was not served.
    let _ = timeout(LINGER, async { while let Ok(true) = counted.read_on().await {} }).await;
    counted.reading().flow.take().map(Flow::settle).transpose()
}

/// Ends it when nobody waits for that.
pub(super) fn leave(mut counted: impl Counted) {
    let Reading { flow: Some(flow), .. } = counted.reading() else { return };
    let (ending, runtime) = (flow.ending(), flow.runtime());
    runtime.spawn(async move {
        // A server that does not even answer has had its time.
        let _ = timeout(LINGER.saturating_mul(2), end(&mut counted)).await;
        drop(counted);
        drop(ending);
    });
}
