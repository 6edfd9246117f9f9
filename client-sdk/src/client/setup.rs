//! Who hub and ledger are: asked at every start, and remembered for starts without them.

use std::sync::Arc;
use std::time::Duration;

use settlement::block::SignedHeader;
use settlement::crypto::SigningKey;
use settlement::params::{BadParameters, Genesis};
use settlement::reject::Code;
use tokio::sync::watch;

use super::connection::Link;
use super::core::{CoreInput, CoreQueue};
use super::store::{Setup, read_setup, write_setup};
use super::{ClientConfig, ClientError};
use crate::api::{FeePolicy, HubInfo};
use crate::follower::{BadGenesis, check_genesis};
use crate::hub_http::HttpHub;
use crate::ledger_client::LedgerClient;
use crate::ledger_http::HttpLedger;
use crate::wallet::WalletConfig;

/// How long hub and ledger may take to say who they are when the store knows them already.
const REFRESH_WAIT: Duration = Duration::from_secs(3);

/// What a wallet is made with.
pub(super) fn wallet_config(
    key: Arc<SigningKey>,
    genesis: &Genesis,
    info: &HubInfo,
    fees: &FeePolicy,
) -> WalletConfig {
    let (genesis, hub, policy, fees) = (genesis.clone(), info.hub, info.policy, *fees);
    WalletConfig { key, genesis, hub, policy, fees }
}

/// What a client needs to know of hub and ledger.
pub(super) struct Found {
    pub(super) setup: Setup,
    pub(super) ledger: Arc<dyn LedgerClient>,
    /// The newest block's header, if the ledger answered.
    pub(super) newest: Option<SignedHeader>,
}

/// What the store knows of hub and ledger, brought up to date as far as they answer.
pub(super) async fn find_setup(config: &ClientConfig, hub: &HttpHub) -> Result<Found, ClientError> {
    let known = read_setup(&config.store_dir)?;
    let info = match (answer(known.is_some(), hub.info()).await, &known) {
        (Ok(info), Some(known)) => same_hub(info, &known.hub)?,
        (Ok(info), None) => info,
        (Err(_), Some(known)) => known.hub.clone(),
        (Err(error), None) => return Err(error),
    };
    let ledger = ledger_of(config, &info)?;
    let (setup, newest) = with_genesis(config, ledger.as_ref(), info, known).await?;
    Ok(Found { setup, ledger, newest })
}

/// An answer that is waited for only shortly if it can be done without.
async fn answer<T, E>(
    is_known: bool,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, ClientError>
where
    ClientError: From<E>,
{
    if !is_known {
        return Ok(answer.await?);
    }
    let late = |_| ClientError::new(Code::Unanswered, "no answer in time");
    Ok(tokio::time::timeout(REFRESH_WAIT, answer).await.map_err(late)??)
}

/// The ledger that the caller names, else the one that the hub names, else the hub's own.
fn ledger_of(config: &ClientConfig, info: &HubInfo) -> Result<Arc<dyn LedgerClient>, ClientError> {
    if let Some(ledger) = &config.ledger {
        return Ok(ledger.clone());
    }
    let url = info.ledger_url.as_deref().unwrap_or(&config.hub_url);
    Ok(Arc::new(HttpLedger::trusting(url, &config.trust)?))
}

async fn with_genesis(
    config: &ClientConfig,
    ledger: &dyn LedgerClient,
    info: HubInfo,
    known: Option<Setup>,
) -> Result<(Setup, Option<SignedHeader>), ClientError> {
    let (genesis, newest) = match (answer(known.is_some(), ledger.info()).await, &known) {
        (Ok(answer), _) => {
            let wrong = |error: BadGenesis| ClientError::new(Code::WrongLedger, error.to_string());
            let key = check_genesis(&answer, &info.ledger).map_err(wrong)?;
            let tip = answer.tip.filter(|tip| tip.verify(&key).is_ok());
            (answer.genesis, tip)
        }
        (Err(_), Some(known)) => (known.genesis.clone(), None),
        (Err(error), None) => return Err(error),
    };
    let unsafe_policy = |error: BadParameters| {
        ClientError::new(Code::PolicyRefused, format!("the hub's policy: {error}"))
    };
    info.policy.check(&genesis).map_err(unsafe_policy)?;
    let setup = Setup { hub: info, genesis };
    if known.as_ref() != Some(&setup) {
        write_setup(&config.store_dir, &setup)?;
    }
    Ok((setup, newest))
}

/// A hub that answers under the same address must be the same hub, on the same ledger.
fn same_hub(info: HubInfo, known: &HubInfo) -> Result<HubInfo, ClientError> {
    if (info.hub, info.ledger) == (known.hub, known.ledger) {
        return Ok(info);
    }
    let detail = format!(
        "the hub at this address is {} on ledger {}; this store belongs to {} on {}",
        info.hub, info.ledger, known.hub, known.ledger
    );
    Err(ClientError::new(Code::WrongLedger, detail))
}

/// Asks for the hub's fees whenever the connection has come up again: they may be others then.
pub(super) async fn keep_terms(hub: HttpHub, mut link: watch::Receiver<Link>, core: CoreQueue) {
    let mut was_up = false;
    while link.changed().await.is_ok() {
        let is_up = matches!(*link.borrow_and_update(), Link::Up { .. });
        if is_up
            && !was_up
            && let Ok(info) = hub.info().await
            && core.send(CoreInput::Fees(info.fees)).await.is_err()
        {
            return;
        }
        was_up = is_up;
    }
}
