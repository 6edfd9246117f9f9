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

/// What the store knows of hub and ledger, brought up to date as far as they answer.
pub(super) async fn find_setup(
    config: &ClientConfig,
    hub: &HttpHub,
    ledger: &dyn LedgerClient,
) -> Result<(Setup, Option<SignedHeader>), ClientError> {
    let known = read_setup(&config.store_dir)?;
    let answers = async { tokio::join!(hub.info(), ledger.info()) };
    let (info, of_ledger) = match &known {
        None => answers.await,
        Some(known) => match tokio::time::timeout(REFRESH_WAIT, answers).await {
            Ok(answers) => answers,
            Err(_) => return Ok((known.clone(), None)),
        },
    };
    let info = match (info, &known) {
        (Ok(info), Some(known)) => same_hub(info, &known.hub)?,
        (Ok(info), None) => info,
        (Err(_), Some(known)) => known.hub.clone(),
        (Err(error), None) => return Err(error),
    };
    let (genesis, newest) = match (of_ledger, &known) {
        (Ok(answer), _) => {
            let wrong = |error: BadGenesis| ClientError::new(Code::WrongLedger, error.to_string());
            let key = check_genesis(&answer, &info.ledger).map_err(wrong)?;
            let tip = answer.tip.filter(|tip| tip.verify(&key).is_ok());
            (answer.genesis, tip)
        }
        (Err(_), Some(known)) => (known.genesis.clone(), None),
        (Err(error), None) => return Err(error.into()),
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
