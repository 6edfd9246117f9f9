//! Answers that nobody waits for any more.
//!
//! A server may have served what was given up in between: only its answer tells. So a request that
//! pays is asked by a task of its own, and who gives it up leaves the task [`LINGER`] to hear what came
//! of it. What comes counts as if it had been read. What does not come is cut off: its steps are there
//! for the next request, and stay handed out as long as the server does not serve something for them.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::payee::{LINGER, Payee};
use super::{ClientInner, Tried};
use crate::client::ClientError;
use crate::http402::reader::Answer;

/// What came of a request, until somebody takes it.
struct Untaken {
    client: Arc<ClientInner>,
    tried: Option<Tried>,
}

impl Drop for Untaken {
    fn drop(&mut self) {
        if let Some(Ok(Ok(answered))) = self.tried.take() {
            // Its receipt counts; and what is paid for as it is read ends.
            drop(Answer::open(self.client.clone(), answered));
        }
    }
}

/// Does this whether or not somebody waits for it.
pub(super) async fn carried(
    client: Arc<ClientInner>,
    payee: Arc<Payee>,
    asking: impl Future<Output = Tried> + Send + 'static,
) -> Tried {
    let (mut to, answer) = oneshot::channel();
    tokio::spawn(async move {
        let mut asking = Box::pin(asking);
        let (tried, ending) = tokio::select! {
            tried = &mut asking => (Some(tried), None),
            () = to.closed() => {
                let ending = payee.ending();
                (timeout(LINGER, &mut asking).await.ok(), Some(ending))
            }
        };
        drop(asking);
        if let Some(tried) = tried {
            // Where nobody is there, it is dropped.
            drop(to.send(Untaken { client, tried: Some(tried) }));
        }
        // Only now is it known what it has cost.
        drop(ending);
    });
    let mut untaken: Untaken = answer.await.map_err(|_| ClientError::stopped())?;
    untaken.tried.take().ok_or_else(ClientError::stopped)?
}
