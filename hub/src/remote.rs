//! A ledger in a process of its own, perhaps somebody else's.
//!
//! It is believed nothing: its genesis has to hash to the ledger's id, the first one seen is kept
//! for good in the data directory, and headers are checked by [`crate::follow`]. Once it is known,
//! the hub starts without it, is not ready, and goes on when it is there.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use client_sdk::follower::check_genesis;
use client_sdk::ledger_client::{LedgerClient, LedgerError};
use client_sdk::ledger_http::HttpLedger;
use client_sdk::trust::Trust;
use settlement::api::LedgerInfo;
use settlement::params::Genesis;
use tokio::time::{Instant, sleep, timeout};

use crate::home::Home;

/// How long a ledger that is not known yet may take to answer: it may be starting beside the hub.
const FIRST: Duration = Duration::from_secs(10);
/// How long one that is known may take before the hub starts without it.
const AGAIN: Duration = Duration::from_secs(3);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// See the module.
pub(crate) struct Remote {
    pub(crate) client: HttpLedger,
    pub(crate) genesis: Genesis,
}

impl Remote {
    /// Asks the ledger at `url` what it started from, and checks it against what is kept in the
    /// data directory. Keeps nothing itself.
    ///
    /// # Errors
    /// When it is another ledger than before; when it does not answer and none is known yet.
    pub(crate) async fn find(home: &Home, url: &str, trust: &Trust) -> Result<Remote> {
        let client = HttpLedger::trusting(url, trust)?;
        let Some(genesis) = home.pinned()? else {
            let info = first_answer(&client, url).await?;
            checked(&info, url)?;
            return Ok(Remote { client, genesis: info.genesis });
        };
        match timeout(AGAIN, client.info()).await {
            Ok(Ok(info)) => {
                checked(&info, url)?;
                home.refuse_other(&info.genesis, url)?;
            }
            Ok(Err(error)) => tracing::warn!(%error, url, "starting without the ledger"),
            Err(_) => tracing::warn!(url, "starting without the ledger: it does not answer"),
        }
        Ok(Remote { client, genesis })
    }
}

fn checked(info: &LedgerInfo, url: &str) -> Result<()> {
    let key = check_genesis(info, &info.ledger);
    key.with_context(|| format!("{url} is no ledger that can be used")).map(|_| ())
}

async fn first_answer(client: &HttpLedger, url: &str) -> Result<LedgerInfo> {
    let deadline = Instant::now() + FIRST;
    loop {
        let why = match timeout(FIRST, client.info()).await {
            Ok(Ok(info)) => return Ok(info),
            Ok(Err(LedgerError::Refused(problem))) if !problem.retryable => {
                bail!("{url} is no ledger: {} ({})", problem.detail, problem.code.number());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() >= deadline {
            bail!("the ledger at {url} has to answer at the first start, and does not: {why}");
        }
        sleep(PAUSE).await;
    }
}
