//! Accounts and channels for the load: one account is given money, hands it on, and every wallet
//! opens a channel with its part.

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use client_sdk::api::HubInfo;
use settlement::api::{AccountView, FaucetRequest, Problem, SubmitRequest};
use settlement::block::LedgerEvent;
use settlement::channel::Channel;
use settlement::crypto::SigningKey;
use settlement::encoding::encode;
use settlement::proof::OpenTerms;
use settlement::tx::{AccountAction, AccountTx, Transaction};
use settlement::types::{Amount, AssetId, ChannelId, PublicKey, Role};

use super::chain::Chain;
use super::http::Http;

/// Connections that transactions go over. The ledger takes one after the other anyhow.
const LANES: usize = 4;
/// Transactions between two looks at the ledger's blocks: it has room for these.
const WAITING: usize = 16_384;
const ASSET: AssetId = AssetId(0);

/// An account that all others get their money from.
pub struct Purse {
    key: SigningKey,
    nonce: u64,
}

/// A key of fresh randomness.
///
/// # Errors
/// Practically never: nearly every 32 bytes are a key.
pub fn fresh_key() -> Result<SigningKey> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes[..]);
    Ok(SigningKey::from_bytes(bytes)?)
}

impl Purse {
    /// One with so much in it.
    ///
    /// # Errors
    /// When the ledger has no faucet, or does not answer.
    pub fn fill(url: &str, chain: &mut Chain, amount: Amount) -> Result<Purse> {
        let key = fresh_key()?;
        Purse::fill_account(url, chain, &key.public(), amount)?;
        Ok(Purse { key, nonce: 0 })
    }

    /// Has the faucet give an account so much.
    ///
    /// # Errors
    /// When the ledger has no faucet, or does not answer.
    pub fn fill_account(
        url: &str,
        chain: &mut Chain,
        account: &PublicKey,
        amount: Amount,
    ) -> Result<()> {
        let request = FaucetRequest { account: *account, asset: ASSET, amount };
        let body = serde_json::to_string(&request)?;
        for answer in Http::connect(url)?.post_all("/v1/ledger/faucet", &[body])? {
            answer.success().context("the faucet")?;
        }
        chain.follow_until("the faucet", |block| {
            let minted =
                |e: &LedgerEvent| matches!(e, LedgerEvent::Minted { to, .. } if to == account);
            Ok(block.events.iter().any(minted))
        })
    }

    /// Hands so much to each of these.
    fn hand_out(&mut self, info: &HubInfo, to: &[PublicKey], amount: Amount) -> Vec<String> {
        let mut transactions = Vec::with_capacity(to.len());
        for to in to {
            let action = AccountAction::Transfer { to: *to, asset: ASSET, amount };
            let (account, nonce) = (self.key.public(), self.nonce);
            let body = AccountTx { ledger: info.ledger, account, nonce, action };
            self.nonce += 1;
            transactions.push(request(&Transaction::account(&self.key, body)));
        }
        transactions
    }
}

/// What hands it in.
pub(super) fn request(transaction: &Transaction) -> String {
    let transaction = hex::encode(encode(transaction));
    // Two quotation marks around hex digits need no escaping.
    serde_json::to_string(&SubmitRequest { transaction }).unwrap_or_default()
}

/// Opens a channel with `deposit` in it for each key, and waits until the hub's own money is in
/// each, too.
///
/// # Errors
/// When the ledger or the hub refuses.
pub fn open_channels(
    url: &str,
    info: &HubInfo,
    chain: &mut Chain,
    purse: &mut Purse,
    keys: &[SigningKey],
    deposit: Amount,
) -> Result<Vec<Channel>> {
    let mut channels = Vec::with_capacity(keys.len());
    for some in keys.chunks(WAITING) {
        let to: Vec<PublicKey> = some.iter().map(SigningKey::public).collect();
        let transfers = purse.hand_out(info, &to, deposit);
        // In the order of their nonces, so over one connection.
        hand_in(url, &[transfers])?;
        let last = *to.last().context("no wallet")?;
        chain.follow_until("transfers", |block| {
            let is_last = |event: &LedgerEvent| {
                matches!(event, LedgerEvent::Transferred { to, .. } if *to == last)
            };
            Ok(block.events.iter().any(is_last))
        })?;
        channels.extend(open_some(url, info, chain, some, deposit)?);
    }
    Ok(channels)
}

fn open_some(
    url: &str,
    info: &HubInfo,
    chain: &mut Chain,
    keys: &[SigningKey],
    deposit: Amount,
) -> Result<Vec<Channel>> {
    let mut opening: HashMap<ChannelId, Channel> = HashMap::new();
    let (mut order, mut lanes) = (Vec::new(), vec![Vec::new(); LANES]);
    for (nth, key) in keys.iter().enumerate() {
        let (terms, transaction) = open_with(info, key, 0, deposit);
        lanes[nth % LANES].push(request(&transaction));
        order.push(terms.channel_id());
        opening.insert(terms.channel_id(), Channel::open(terms, Role::Wallet, deposit));
    }
    hand_in(url, &lanes)?;
    let mut missing = order.len();
    chain.follow_until("the hub's money in every channel", |block| {
        for event in &block.events {
            if let LedgerEvent::Refused { code, .. } = event {
                bail!("the ledger refused a transaction in a block: {code}");
            }
            let channel = event.channel().and_then(|id| opening.get_mut(&id));
            let Some(channel) = channel else { continue };
            for step in channel.follow(event, block.header.header.height) {
                channel.commit(&step);
            }
            let deposited = matches!(event, LedgerEvent::Deposited { role: Role::Hub, .. });
            missing = missing.saturating_sub(usize::from(deposited));
        }
        Ok(missing == 0)
    })?;
    let open = order.iter().filter_map(|id| opening.remove(id));
    Ok(open.collect())
}

/// Opens a channel for this key, with the next nonce of its account.
pub(super) fn open_with(
    info: &HubInfo,
    key: &SigningKey,
    nonce: u64,
    deposit: Amount,
) -> (OpenTerms, Transaction) {
    let account = key.public();
    let terms = OpenTerms {
        ledger: info.ledger,
        asset: ASSET,
        wallet: account,
        hub: info.hub,
        challenge_blocks: info.policy.challenge_blocks,
        nonce,
    };
    let action = AccountAction::Open { terms, deposit };
    let body = AccountTx { ledger: info.ledger, account, nonce, action };
    (terms, Transaction::account(key, body))
}

/// Hands transactions in, each lane in its order; those for which there is no room once more.
fn hand_in(url: &str, lanes: &[Vec<String>]) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            lanes.iter().map(|lane| scope.spawn(|| hand_in_lane(url, lane))).collect();
        let mut results = threads.into_iter().map(|thread| thread.join());
        results.try_for_each(|done| done.map_err(|_| anyhow!("a thread died"))?)
    })
}

fn hand_in_lane(url: &str, lane: &[String]) -> Result<()> {
    let mut http = Http::connect(url)?;
    for answer in http.post_all("/v1/ledger/transactions", lane)? {
        if answer.status >= 300 {
            let problem: Problem = serde_json::from_slice(&answer.body)?;
            bail!("the ledger refused a transaction: {} ({})", problem.title, problem.detail);
        }
    }
    Ok(())
}

/// What an account holds.
///
/// # Errors
/// When the ledger does not answer.
pub fn balance(http: &mut Http, account: &PublicKey) -> Result<Amount> {
    let view: AccountView = http.get_json(&format!("/v1/ledger/accounts/{account}"))?;
    let held = view.balances.iter().find(|held| held.asset == ASSET);
    Ok(held.map_or(Amount::ZERO, |held| held.amount))
}
