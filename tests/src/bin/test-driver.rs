//! One wallet in a process of its own that takes orders as lines of JSON and says what happens in
//! lines of JSON: what a test starts a thousand payments with, and kills in their middle.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use client_sdk::client::{ClientError, WalletHandle};
use client_sdk::wallet::{Event, Payment, Way};
use serde::Deserialize;
use serde_json::{Value, json};
use settlement::api::ChannelPhase;
use settlement::reject::Code;
use settlement::types::{Amount, AssetId, PublicKey};
use tests::orders::{say, wallet};
use tokio::io::{AsyncBufReadExt, BufReader};

/// How long a payment waits that is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// For how many blocks an invoice can be paid.
const LIFE: u64 = 3_600;

/// One wallet that does what its standard input says.
#[derive(Parser)]
struct Args {
    /// Where the wallet keeps what it knows.
    #[arg(long)]
    store: PathBuf,
    /// The hub's address.
    #[arg(long)]
    hub: String,
    /// Makes the wallet's key.
    #[arg(long)]
    key: u8,
}

/// What a test asks for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Put this much into a channel.
    Open { amount: Amount },
    /// Make so many payments that nobody asked for, some of them at the same time; when patient, try
    /// again what was refused for a passing reason.
    Send { payee: PublicKey, amount: Amount, count: usize, at_once: usize, patient: bool },
    /// Make invoices.
    Invoice { amount: Amount, count: usize },
    /// Pay invoices, some of them at the same time, with patience.
    Pay { invoices: Vec<String>, at_once: usize },
    /// Say what the wallet holds, and how its payments stand.
    Report,
    /// Close the channel together with the hub.
    Close,
}

/// Payments to make.
struct Work {
    what: What,
    count: usize,
    patient: bool,
}

enum What {
    Send(PublicKey, Amount),
    Pay(Vec<String>),
}

fn main() -> Result<()> {
    tests::orders::run(run(Args::parse()))
}

async fn run(args: Args) -> Result<()> {
    let (client, wallet) = wallet(args.hub, args.store, args.key).await?;
    let mut events = wallet.events().context("events")?;
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::Payment(payment) = event {
                say(&json!({ "payment": line_of(&payment) }));
            }
        }
    });
    say(&json!({ "ready": wallet.public_key() }));
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&line).context(line)?;
        tokio::spawn(obey_and_say(wallet.clone(), order));
    }
    client.shutdown().await;
    Ok(())
}

fn line_of(payment: &Payment) -> Value {
    let way = if payment.way == Way::In { "in" } else { "out" };
    let (anchor, state, fee) = (payment.anchor, payment.state, payment.fee);
    json!({ "anchor": anchor, "way": way, "state": state, "amount": payment.amount, "fee": fee })
}

async fn obey_and_say(wallet: WalletHandle, order: Order) {
    match obey(&wallet, order).await {
        Ok(line) => say(&line),
        Err(error) => say(&json!({ "failed": { "code": error.code, "detail": error.detail } })),
    }
}

async fn obey(wallet: &WalletHandle, order: Order) -> Result<Value, ClientError> {
    match order {
        Order::Open { amount } => {
            let opened = wallet.open_channel(AssetId(0), amount).await?;
            wallet.synced().await?;
            Ok(json!({ "opened": opened.channel, "inbound": opened.inbound }))
        }
        Order::Send { payee, amount, count, at_once, patient } => {
            let what = What::Send(payee, amount);
            Ok(do_all(wallet, Work { what, count, patient }, at_once).await)
        }
        Order::Pay { invoices, at_once } => {
            let (count, what) = (invoices.len(), What::Pay(invoices));
            Ok(do_all(wallet, Work { what, count, patient: true }, at_once).await)
        }
        Order::Invoice { amount, count } => {
            let mut invoices = Vec::new();
            for _ in 0..count {
                let (invoice, payment) = wallet.invoice(AssetId(0), amount, LIFE, "").await?;
                invoices.push(json!({ "invoice": invoice, "anchor": payment.anchor }));
            }
            Ok(json!({ "invoices": invoices }))
        }
        Order::Report => {
            let (status, payments) = (wallet.status().await?, wallet.payments().await?);
            let payments: Vec<Value> = payments.iter().map(line_of).collect();
            Ok(json!({ "report": { "status": status, "payments": payments } }))
        }
        Order::Close => {
            let status = wallet.status().await?;
            let open = status.channels.iter().find(|channel| channel.state == ChannelPhase::Open);
            let channel = open.ok_or_else(|| ClientError::new(Code::NoChannel, "none is open"))?;
            let closed = wallet.close(channel.id).await?;
            Ok(
                json!({ "closed": closed.channel, "wallet": closed.wallet_amount, "hub": closed.hub_amount }),
            )
        }
    }
}

/// Makes the payments in so many tasks at once, and says so when each of them has ended.
async fn do_all(wallet: &WalletHandle, work: Work, at_once: usize) -> Value {
    let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..at_once).map(|_| {
        let (wallet, work, next) = (wallet.clone(), work.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= work.count {
                    return;
                }
                one(&wallet, &work, number).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        let _ = task.await;
    }
    json!({ "done": work.count })
}

/// One payment. What was refused made no payment.
async fn one(wallet: &WalletHandle, work: &Work, number: usize) {
    let mut tries = tokio::time::interval(RETRY);
    loop {
        tries.tick().await;
        let paid = match &work.what {
            What::Send(payee, amount) => wallet.send(*payee, AssetId(0), *amount, "").await,
            What::Pay(invoices) => match invoices.get(number) {
                Some(invoice) => wallet.pay(invoice).await,
                None => return,
            },
        };
        match paid {
            Ok(payment) => return say(&json!({ "ended": line_of(&payment) })),
            Err(error) if work.patient && error.code.retryable() => {}
            Err(error) => return say(&json!({ "refused": error.code, "detail": error.detail })),
        }
    }
}
