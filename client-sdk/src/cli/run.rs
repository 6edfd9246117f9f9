//! What each command does with an open wallet.

use std::time::Duration;

use serde_json::{Value, json};
use settlement::api::{ChannelPhase, FaucetRequest};
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId};

use super::args::{Command, Watchtower};
use super::lines::{Line, Lines, error_json};
use super::session::Session;
use super::watchtower::Covered;
use super::{show, stream, watchtower};
use crate::client::{ClientError, Closed, StatusChannel};
use crate::wallet::{Payment, PaymentState};

/// How long the faucet's money may take to be in a block.
const FAUCET_TRIES: u32 = 100;
const FAUCET_PAUSE: Duration = Duration::from_millis(200);

/// How long hub and ledger may take to prove how far the channels are protected and counted.
const PROOFS: Duration = Duration::from_secs(3);

/// Runs a command; what it says goes to `lines`.
pub(super) async fn run(
    session: &Session,
    command: &Command,
    lines: &Lines,
) -> Result<(), ClientError> {
    match command {
        Command::Status => lines.say(status(session).await?).await,
        Command::Recover { wait } => lines.say(recover(session, *wait).await?).await,
        Command::Faucet { amount, asset } => {
            lines.say(faucet(session, *amount, asset).await?).await
        }
        Command::Open { deposit, asset } => lines.say(open(session, *deposit, asset).await?).await,
        Command::Deposit { amount, channel } => {
            session.ready().await?;
            let channel = pick(session, *channel, ChannelPhase::Open).await?;
            session.wallet.deposit(channel, *amount).await?;
            lines.say(moved(session, channel).await?).await;
        }
        Command::Withdraw { amount, channel } => {
            session.ready().await?;
            let channel = pick(session, *channel, ChannelPhase::Open).await?;
            session.wallet.withdraw(channel, *amount).await?;
            lines.say(moved(session, channel).await?).await;
        }
        Command::Invoice { .. } => invoice(session, command, lines).await?,
        Command::Request { .. } => lines.say(request(session, command).await?).await,
        Command::Pay { invoice, no_wait } => {
            session.ready().await?;
            let payment = session.wallet.pay_no_wait(invoice.as_str()).await?;
            lines.say(payment_line(session, payment, *no_wait).await?).await;
        }
        Command::Send { payee, amount, asset, memo, no_wait } => {
            session.ready().await?;
            let (asset, memo) = (session.asset(asset)?, memo.as_str());
            let payment = session.wallet.send_no_wait(*payee, asset, *amount, memo).await?;
            lines.say(payment_line(session, payment, *no_wait).await?).await;
        }
        Command::Stream { .. } => stream::stream(session, command, lines).await?,
        Command::Streams { close } => {
            lines.say(stream::streams(session, close.as_deref()).await?).await;
        }
        Command::History => lines.say(history(session).await?).await,
        Command::Close { channel, unilateral, no_wait } => {
            lines.say(close(session, *channel, *unilateral, *no_wait).await?).await;
        }
        Command::Watchtower { command: Watchtower::Export { to } } => {
            lines.say(watchtower::export(session, to.as_deref()).await?).await;
        }
        Command::Init { .. } | Command::Listen { .. } | Command::Watchtower { .. } => {
            let detail = "this command can't go through a running `wallet listen`";
            return Err(ClientError::new(Code::BadArgument, detail));
        }
    }
    Ok(())
}

async fn status(session: &Session) -> Result<Line, ClientError> {
    session.caught_up().await?;
    // Without the hub, what is known here is still true.
    if session.wallet.synced().await.is_ok() {
        session.settle().await;
    }
    let account = session.wallet.account().await?;
    let status = session.wallet.status().await?;
    let covered = Covered::read(session.dir())?;
    let proofs =
        tokio::try_join!(session.wallet.protections(PROOFS), session.wallet.counted(PROOFS));
    let (protections, counts) = proofs?;
    let shown = show::Shown { covered: &covered, protections: &protections, counts: &counts };
    let mut human = show::status(&status, &account.balances);
    human.push_str(&show::guarded(&status, &shown));
    let json = json!({
        "public_key": status.public_key,
        "height": status.height,
        "accounts": account.balances,
        "channels": show::channels(&status, &shown),
    });
    Ok(Line::new(json, human))
}

/// `{"channels": [as in status, without covered and protection], "closed_on_ledger": [ids]}`.
async fn recover(session: &Session, wait_seconds: u64) -> Result<Line, ClientError> {
    let closed = session.wallet.recover(Duration::from_secs(wait_seconds)).await?;
    let status = session.wallet.status().await?;
    let human = status.channels.iter().map(|channel| {
        let StatusChannel { id, state, wallet_amount, .. } = channel;
        let how = match state {
            _ if closed.contains(id) => "not shown by the hub, so it is closed on the ledger",
            ChannelPhase::Open => "recovered",
            _ => show::phase(*state),
        };
        format!("channel {id}: {how}; {wallet_amount} of the wallet")
    });
    let human: Vec<String> = human.collect();
    let none = || "this wallet has no channel with its hub".to_owned();
    let human = if human.is_empty() { none() } else { human.join("\n") };
    let json = json!({ "channels": status.channels, "closed_on_ledger": closed });
    Ok(Line::new(json, human))
}

async fn faucet(session: &Session, amount: Amount, asset: &str) -> Result<Line, ClientError> {
    let asset = session.asset(asset)?;
    let (wallet, account) = (&session.wallet, session.wallet.public_key());
    let before = balance(session, asset).await?;
    let tx = session.ledger.faucet(&FaucetRequest { account, asset, amount }).await?;
    for _ in 0..FAUCET_TRIES {
        let held = balance(session, asset).await?;
        if held > before {
            let human = format!("got {amount} of asset {asset}; the account holds {held}");
            let json = json!({
                "public_key": wallet.public_key(), "asset": asset, "amount": held, "tx": tx,
            });
            return Ok(Line::new(json, human));
        }
        tokio::time::sleep(FAUCET_PAUSE).await;
    }
    let detail = "the ledger took it, but makes no blocks; look at the status later";
    Err(ClientError::new(Code::LedgerUnavailable, detail))
}

async fn balance(
    session: &Session,
    asset: settlement::types::AssetId,
) -> Result<Amount, ClientError> {
    let account = session.wallet.account().await?;
    let held = account.balances.iter().find(|held| held.asset == asset);
    Ok(held.map_or(Amount::ZERO, |held| held.amount))
}

async fn open(session: &Session, deposit: Amount, asset: &str) -> Result<Line, ClientError> {
    session.caught_up().await?;
    session.wallet.synced().await?;
    let asset = session.asset(asset)?;
    let opened = session.wallet.open_channel(asset, deposit).await?;
    let (channel, inbound) = (opened.channel, opened.inbound);
    let human = format!("opened channel {channel} with {deposit}; the hub adds {inbound}");
    let json = json!({ "channel": channel, "deposit": deposit, "inbound": inbound });
    Ok(Line::new(json, human))
}

async fn invoice(session: &Session, command: &Command, lines: &Lines) -> Result<(), ClientError> {
    let Command::Invoice { amount, asset, memo, expires_blocks, wait } = command else {
        return Ok(());
    };
    session.caught_up().await?;
    if *wait {
        session.wallet.synced().await?;
    }
    let asset = session.asset(asset)?;
    let made = session.wallet.invoice(asset, *amount, *expires_blocks, memo.as_str()).await?;
    let (text, payment) = made;
    let json = json!({
        "invoice": text,
        "payment": payment.anchor,
        "asset": asset,
        "amount": amount,
        "expires_height": payment.expires,
    });
    lines.say(Line::new(json, text)).await;
    if *wait {
        lines.say(payment_line(session, payment, false).await?).await;
    }
    Ok(())
}

/// The invoice that another wallet gives.
async fn request(session: &Session, command: &Command) -> Result<Line, ClientError> {
    let Command::Request { payee, amount, asset, memo, patience } = command else {
        return Err(ClientError::new(Code::Internal, "this is no request"));
    };
    session.ready().await?;
    let (asset, memo, patience) =
        (session.asset(asset)?, memo.as_str(), Duration::from_secs(*patience));
    let wallet = &session.wallet;
    let invoice = wallet.request_invoice_within(patience, *payee, asset, *amount, memo).await?;
    let json = json!({ "invoice": invoice, "payee": payee, "asset": asset, "amount": amount });
    Ok(Line::new(json, invoice))
}

/// What a payment came to, after its end unless `no_wait`.
async fn payment_line(
    session: &Session,
    payment: Payment,
    no_wait: bool,
) -> Result<Line, ClientError> {
    let pending = payment.state == PaymentState::Pending;
    let payment =
        if pending && !no_wait { session.wallet.wait(payment.anchor).await? } else { payment };
    // So that a status right after it shows what was paid.
    session.settle().await;
    let mut line = Line::new(show::payment_json(&payment), show::payment(&payment));
    if let PaymentState::Failed(code) = payment.state {
        line.failed = true;
        if let Value::Object(fields) = &mut line.json {
            let error = error_json(&ClientError::new(code, code.title()));
            fields.insert("error".to_owned(), error);
        }
    }
    Ok(line)
}

async fn history(session: &Session) -> Result<Line, ClientError> {
    let payments = session.wallet.payments().await?;
    let mut streams = session.wallet.streams().await?;
    streams.sort_by_key(|stream| (stream.created_ms, stream.key));
    let json: Vec<Value> = payments.iter().map(show::payment_json).collect();
    let streaming: Vec<Value> = streams.iter().map(show::stream_json).collect();
    let human = show::history(&payments, &streams);
    Ok(Line::new(json!({ "payments": json, "streams": streaming }), human))
}

async fn close(
    session: &Session,
    channel: Option<ChannelId>,
    unilateral: bool,
    no_wait: bool,
) -> Result<Line, ClientError> {
    session.caught_up().await?;
    let channel = pick(session, channel, ChannelPhase::Closing).await?;
    if !unilateral {
        return Ok(closed_line(session.wallet.close(channel).await?));
    }
    match session.wallet.close_alone(channel).await {
        // The hub, or an earlier run, was first; the end is the same.
        Err(error) if matches!(error.code, Code::ChannelClosing | Code::NothingToDo) => {}
        other => other?,
    }
    session.wallet.closing(channel).await?;
    if no_wait {
        return moved(session, channel).await;
    }
    Ok(closed_line(session.wallet.closed(channel).await?))
}

fn closed_line(closed: Closed) -> Line {
    let Closed { channel, wallet_amount, hub_amount } = closed;
    let human =
        format!("closed channel {channel}: {wallet_amount} to the wallet, {hub_amount} to the hub");
    let json = json!({
        "channel": channel,
        "state": ChannelPhase::Closed,
        "wallet_amount": wallet_amount,
        "hub_amount": hub_amount,
    });
    Line::new(json, human)
}

/// How a channel stands after something was done to it.
async fn moved(session: &Session, id: ChannelId) -> Result<Line, ClientError> {
    let status = session.wallet.status().await?;
    let channel = status.channels.into_iter().find(|channel| channel.id == id);
    let channel = channel.ok_or_else(|| none(id))?;
    let StatusChannel { state, wallet_amount, hub_amount, .. } = channel;
    let human = format!(
        "channel {id} is {}: {wallet_amount} of the wallet, {hub_amount} of the hub",
        show::phase(state)
    );
    let json = json!({
        "channel": id,
        "state": state,
        "wallet_amount": wallet_amount,
        "hub_amount": hub_amount,
    });
    Ok(Line::new(json, human))
}

fn none(id: ChannelId) -> ClientError {
    ClientError::new(Code::NoChannel, format!("there is no channel {id}"))
}

/// The channel that is meant: the one named, or the only one that is not further than `phase`.
async fn pick(
    session: &Session,
    named: Option<ChannelId>,
    phase: ChannelPhase,
) -> Result<ChannelId, ClientError> {
    let channels = session.wallet.status().await?.channels;
    if let Some(id) = named {
        let known = channels.iter().any(|channel| channel.id == id);
        return if known { Ok(id) } else { Err(none(id)) };
    }
    let fits =
        |channel: &&StatusChannel| channel.state == ChannelPhase::Open || channel.state == phase;
    let mut fitting = channels.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.id),
        (None, _) => Err(ClientError::new(Code::NoChannel, "there is no open channel")),
        (Some(_), Some(_)) => {
            let detail = "there is more than one channel; say which (`wallet status` lists them)";
            Err(ClientError::new(Code::BadArgument, detail))
        }
    }
}
