//! Opening a channel and putting money into it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use client_sdk::api::{ChannelOpened, LiabilityAnswer};
use settlement::api::{SubmitAnswer, SubmitRequest};
use settlement::block::{BlockEvents, LedgerEvent};
use settlement::ledger::http::Refusal;
use settlement::proof::OpenTerms;
use settlement::reject::Code;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, ChannelId, Role, TxId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{channel_id, decode_hex, from_ledger, read, refusal};
use crate::hub::Hub;

/// How long an opening may take into a block.
const OPENING: Duration = Duration::from_secs(30);

type Body = Result<Bytes, BytesRejection>;

/// `POST /v1/channels`. Asking again for a channel that stands gets the same answer again.
pub(super) async fn open(
    State(hub): State<Arc<Hub>>,
    body: Body,
) -> Result<Json<ChannelOpened>, Refusal> {
    let request: SubmitRequest = read(body)?;
    let transaction: Transaction = decode_hex(&request.transaction, Code::MalformedTransaction)?;
    let (terms, deposit) = opening(&transaction)?;
    check_policy(&hub, &terms, deposit)?;
    let channel = terms.channel_id();
    let inbound = hub.config.inbound().target(deposit);
    if hub.shared.router.route(&channel).is_some() {
        return Ok(Json(ChannelOpened { channel, inbound }));
    }
    if hub.is_draining() {
        return Err(Code::ShuttingDown.into());
    }
    // Before it is handed in, so that its block is not missed.
    let blocks = hub.blocks.subscribe();
    let tx = submit(&hub, &transaction).await?;
    let seen = tokio::time::timeout(OPENING, opened(&hub, blocks, channel, tx)).await;
    seen.map_err(|_| {
        refusal(
            Code::LedgerStalled,
            "the opening is in no block yet; ask again with the same transaction",
        )
    })??;
    Ok(Json(ChannelOpened { channel, inbound }))
}

fn opening(transaction: &Transaction) -> Result<(OpenTerms, Amount), Refusal> {
    match transaction {
        Transaction::Account {
            body: AccountTx { action: AccountAction::Open { terms, deposit }, .. },
            ..
        } => Ok((*terms, *deposit)),
        _ => Err(refusal(Code::MalformedTransaction, "this is not the opening of a channel")),
    }
}

fn check_policy(hub: &Hub, terms: &OpenTerms, deposit: Amount) -> Result<(), Refusal> {
    let refuse = |detail: String| Err(refusal(Code::PolicyRefused, detail));
    if terms.ledger != hub.ledger_id {
        return Err(refusal(Code::TxWrongLedger, "the terms name another ledger"));
    }
    if terms.hub != hub.key.public() {
        return refuse(format!("the terms name the hub {}, not this one", terms.hub));
    }
    if !usize::try_from(terms.asset.0).is_ok_and(|id| id < hub.genesis.assets.len()) {
        return Err(refusal(Code::UnknownAsset, "GET /v1/info lists the assets"));
    }
    let period = hub.policy.challenge_blocks;
    if terms.challenge_blocks != period {
        return refuse(format!("challenge_blocks must be {period}, as GET /v1/info says"));
    }
    let least = hub.config.channels.deposit_min;
    if deposit.0 < least {
        return refuse(format!("a channel needs a deposit of {least} at least"));
    }
    Ok(())
}

/// Until a block has the opening and the shards were given that block.
async fn opened(
    hub: &Hub,
    mut blocks: Receiver<Arc<BlockEvents>>,
    channel: ChannelId,
    tx: TxId,
) -> Result<(), Refusal> {
    loop {
        match blocks.recv().await {
            Ok(block) => {
                if let Some(code) = refused_in(&block, tx) {
                    return Err(refusal(code, "the ledger refused the opening in a block"));
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Err(Code::ShuttingDown.into()),
        }
        if hub.shared.router.route(&channel).is_some() {
            return Ok(());
        }
    }
}

fn refused_in(block: &BlockEvents, wanted: TxId) -> Option<Code> {
    block.events.iter().find_map(|event| match event {
        LedgerEvent::Refused { tx, code } if *tx == wanted => Some(*code),
        _ => None,
    })
}

/// `POST /v1/channels/{id}/deposit`: handed on to the ledger.
pub(super) async fn deposit(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<SubmitAnswer>, Refusal> {
    let id = channel_id(&id)?;
    let request: SubmitRequest = read(body)?;
    let transaction: Transaction = decode_hex(&request.transaction, Code::MalformedTransaction)?;
    let fits = matches!(
        &transaction,
        Transaction::Account {
            body: AccountTx { action: AccountAction::Deposit { channel, role: Role::Wallet, .. }, .. },
            ..
        } if *channel == id
    );
    if !fits {
        let detail = "this is not a deposit for the wallet's side of this channel";
        return Err(refusal(Code::MalformedTransaction, detail));
    }
    if hub.shared.router.route(&id).is_none() {
        return Err(Code::UnknownChannel.into());
    }
    Ok(Json(SubmitAnswer { tx: submit(&hub, &transaction).await? }))
}

/// `GET /v1/channels/{id}/liability`. For anybody: all that a leaf says, the ledger shows to whoever
/// asks since the channel was anchored.
pub(super) async fn liability(
    State(hub): State<Arc<Hub>>,
    Path(id): Path<String>,
) -> Result<Json<LiabilityAnswer>, Refusal> {
    let id = channel_id(&id)?;
    let route = hub.shared.router.route(&id).ok_or(Code::UnknownChannel)?;
    let leaf = hub.books.leaf(route.asset, &id);
    leaf.map(Json).map_err(|code| {
        let detail = match code {
            Code::NotFound => "the hub has signed nothing yet since this channel was opened",
            _ => "the next statement is being made; ask again in a moment",
        };
        refusal(code, detail)
    })
}

async fn submit(hub: &Hub, transaction: &Transaction) -> Result<TxId, Refusal> {
    hub.ledger.submit(transaction).await.map_err(from_ledger)
}
