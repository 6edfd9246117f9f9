//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use settlement::reject::Code;
use settlement::types::{Amount, ChannelId, PublicKey};

use crate::client::ClientError;
use crate::tower::CHANNELS_MAX;
use crate::trust::Trust;

/// Where the hub is when nobody says so.
pub(super) const HUB_DEFAULT: &str = "http://127.0.0.1:7400";

/// A wallet for payment channels with a hub.
///
/// Amounts are whole base units of the asset (cents, for example). Exit codes: 0 done, 1 refused or
/// failed, 2 usage, 3 hub, ledger or tower out of reach. Whatever the command, but for `init`: before it
/// ends, it follows the ledger to its newest block and answers what others have closed meanwhile.
#[derive(Debug, Parser)]
#[command(name = "wallet", version)]
pub(super) struct Args {
    /// The wallet's directory [default: ~/.payhub-wallet]
    #[arg(long, global = true, env = "WALLET_HOME", value_name = "DIR")]
    home: Option<PathBuf>,
    /// The hub's address; `init` remembers it [default: http://127.0.0.1:7400]
    #[arg(long, global = true, env = "WALLET_HUB", value_name = "URL")]
    pub(super) hub: Option<String>,
    /// The ledger's address, where it is not the one that the hub says; `init` remembers it
    #[arg(long, global = true, env = "WALLET_LEDGER", value_name = "URL")]
    pub(super) ledger: Option<String>,
    /// A file with the certificates (PEM) of a private authority to believe beside the public ones,
    /// where an address starts with https://; `init` remembers it
    #[arg(long, global = true, env = "WALLET_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Whose certificates are believed.
pub(super) fn trust(ca: Option<&Path>) -> Result<Trust, ClientError> {
    let bad = |why: String| ClientError::new(Code::BadArgument, why);
    match ca {
        None => Ok(Trust::default()),
        #[cfg(feature = "tls")]
        Some(file) => Trust::with_authority(file).map_err(|error| bad(error.to_string())),
        #[cfg(not(feature = "tls"))]
        Some(_) => Err(bad("this program was built without TLS".to_owned())),
    }
}

impl Args {
    /// The home that is meant.
    pub(super) fn home(&self) -> Result<PathBuf, ClientError> {
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let user = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let none = || ClientError::new(Code::BadArgument, "give --home DIR: there is no $HOME");
        Ok(PathBuf::from(user.ok_or_else(none)?).join(".payhub-wallet"))
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Command {
    /// Make a new wallet, or one from the words of an old one
    Init {
        /// A file with the 12 words of an existing wallet
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
    },
    /// Show what the wallet holds on the ledger and in its channels
    ///
    /// Each channel that is not paid out is shown with what is proved of it. `--json` has these in
    /// `channels[]`, each null if nobody answered in time, and {"error"} if what was shown does not
    /// hold: `covered` {seq, to}: up to which proof of the hub's a watchtower covers it; `protection`
    /// {as_of, protected, unprotected}: what the ledger pays whatever the hub brings, though nobody
    /// watches; `counted` {as_of, block, owed, at_least}: what the hub has signed in that block that
    /// it owed as of that height, and what it had to be at the least (null: can't be told). Error 614
    /// means that the hub has signed less than it owes, 613 that what it shows proves nothing.
    Status,
    /// Take back from the hub what this wallet has lost, after `init --mnemonic-file` or from an old
    /// copy of its home; close on the ledger what the hub does not show. Secrets of invoices, and
    /// the history, stay lost
    ///
    /// `--json` has `channels[]` as in `status`, without what is proved of them, and
    /// `closed_on_ledger`: the ids of those that the hub did not show.
    Recover {
        /// How long hub and ledger may take before channels are closed
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        wait: u64,
    },
    /// Get new money from a development ledger
    Faucet {
        /// How much
        amount: Amount,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
    },
    /// Open a channel with the hub
    Open {
        /// How much of the account to put into it
        #[arg(long, value_name = "AMOUNT")]
        deposit: Amount,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
    },
    /// Put more of the account into a channel
    Deposit {
        /// How much
        amount: Amount,
        /// Which channel, if there is more than one
        #[arg(long)]
        channel: Option<ChannelId>,
    },
    /// Take money out of a channel into the account, with the hub's signature
    Withdraw {
        /// How much
        amount: Amount,
        /// Which channel, if there is more than one
        #[arg(long)]
        channel: Option<ChannelId>,
    },
    /// Ask for a payment
    Invoice {
        /// How much
        amount: Amount,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
        /// What for, at most 256 bytes
        #[arg(long, default_value = "")]
        memo: String,
        /// For how many ledger blocks it can be paid
        #[arg(long, default_value_t = 3_600, value_name = "BLOCKS")]
        expires_blocks: u64,
        /// Stay until it is paid or has expired
        #[arg(long)]
        wait: bool,
    },
    /// Ask another wallet for an invoice, and print it: `wallet pay` pays it
    ///
    /// It has to be connected and to give invoices (`wallet listen --invoices-up-to`). `--json` prints
    /// {"invoice", "payee", "asset", "amount"}.
    Request {
        /// Its public key
        payee: PublicKey,
        /// How much
        amount: Amount,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
        /// What for, at most 256 bytes
        #[arg(long, default_value = "")]
        memo: String,
        /// How long the other wallet may take
        #[arg(long, value_name = "SECONDS", default_value_t = 20)]
        patience: u64,
    },
    /// Pay an invoice
    Pay {
        /// The invoice's text
        invoice: String,
        /// Return when the payment is on its way; it goes on while the wallet is connected
        #[arg(long)]
        no_wait: bool,
    },
    /// Pay a wallet that has not asked
    Send {
        /// Its public key
        payee: PublicKey,
        /// How much
        amount: Amount,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
        /// What for, at most 256 bytes
        #[arg(long, default_value = "")]
        memo: String,
        /// Return when the payment is on its way; it goes on while the wallet is connected
        #[arg(long)]
        no_wait: bool,
    },
    /// Pay a wallet step by step, and give the rest of what was locked for it back at the end
    ///
    /// Goes on with a stream of the same unit to the same wallet that an earlier command has left
    /// open. An interrupt ends it as if all steps were paid; else the command fails when fewer are
    /// settled in the end. `--json` prints an object a second, and a last one when it has ended:
    /// {"event": "stream", "stream", "way", "peer", "asset", "unit", "memo", "state" ("opening",
    /// "open", "closing" or "ended"), "ended_by" (a code or null), "amount", "fees", "paid", "taken",
    /// "returned", "redeemed", "settled", "left"}, the last six in steps. Steps that are "returned" were
    /// handed out and are not "paid": their locks ended before the payee redeemed them.
    Stream {
        /// Its public key
        payee: PublicKey,
        /// What it gets for a step
        #[arg(long, value_name = "AMOUNT")]
        unit: Amount,
        /// How many steps
        #[arg(long, value_name = "COUNT")]
        steps: u64,
        /// Steps a second
        #[arg(long, value_name = "COUNT", default_value_t = 10,
              value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
        /// Steps that are locked at a time, 2 to 65536
        #[arg(long, value_name = "COUNT", default_value_t = 4_096,
              value_parser = clap::value_parser!(u32).range(2..=65_536))]
        lock_steps: u32,
        /// For how many ledger blocks a lock stands at most
        #[arg(long, value_name = "BLOCKS", default_value_t = 1_500)]
        life_blocks: u64,
        /// Which asset, by number or code
        #[arg(long, default_value = "0")]
        asset: String,
        /// What for, at most 256 bytes
        #[arg(long, default_value = "")]
        memo: String,
    },
    /// Show all streams, to and from this wallet
    ///
    /// `--json` has them in `streams[]`, each as `stream` prints it, without `event`.
    Streams {
        /// Close this one first, from either side
        #[arg(long, value_name = "STREAM")]
        close: Option<String>,
    },
    /// Stay connected, take payments, and print what happens; other commands go through it
    Listen {
        /// Keep the watchtower at this address fresh: it answers while the wallet sleeps
        #[arg(long, env = "WALLET_TOWER", value_name = "URL")]
        tower: Option<String>,
        /// Give an invoice to any wallet that asks for one of at most so much (`wallet request`)
        #[arg(long, value_name = "AMOUNT")]
        invoices_up_to: Option<Amount>,
    },
    /// Have somebody answer for a wallet that sleeps, or answer for others
    Watchtower {
        #[command(subcommand)]
        command: Watchtower,
    },
    /// Show all payments and streams, oldest first
    ///
    /// `--json` has them in `payments[]` and `streams[]`, the latter as `streams` prints them.
    History,
    /// Close a channel and have the ledger pay it out
    Close {
        /// Which channel, if there is more than one
        channel: Option<ChannelId>,
        /// Without the hub: takes a challenge period
        #[arg(long)]
        unilateral: bool,
        /// Return when the close is in a block, before it is paid out
        #[arg(long, requires = "unilateral")]
        no_wait: bool,
    },
}

/// What is to be done about watchtowers.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Watchtower {
    /// Write a ready-signed answer for each channel, to be given to a watchtower
    Export {
        /// The tower's address (http://…), or a file [default: standard output]
        #[arg(long, value_name = "URL|FILE")]
        to: Option<String>,
    },
    /// Guard the channels of all wallets that hand in their answers; needs no wallet
    Run {
        /// The tower's directory; exports put into its `inbox` are taken
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// Take answers over HTTP at this address
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// The private key (64 hex digits) of the account that pays where the ledger takes fees
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// The most channels that are guarded
        #[arg(long, default_value_t = CHANNELS_MAX, value_name = "COUNT")]
        channels_max: usize,
    },
}

impl Command {
    /// The same where every file is named from the root: it may be run by a process elsewhere.
    pub(super) fn anywhere(self) -> Result<Command, ClientError> {
        let Command::Watchtower { command: Watchtower::Export { to: Some(to) } } = &self else {
            return Ok(self);
        };
        if to.contains("://") {
            return Ok(self);
        }
        let bad = |why: &str| ClientError::new(Code::BadArgument, format!("--to {to}: {why}"));
        let path = std::path::absolute(to).map_err(|error| bad(&error.to_string()))?;
        let to = Some(path.to_str().ok_or_else(|| bad("the path is no text"))?.to_owned());
        Ok(Command::Watchtower { command: Watchtower::Export { to } })
    }

    /// Whether the hub is connected to for it.
    pub(super) fn connects(&self) -> bool {
        match self {
            Command::Init { .. }
            | Command::Faucet { .. }
            | Command::History
            | Command::Watchtower { .. }
            | Command::Invoice { wait: false, .. } => false,
            Command::Status
            | Command::Recover { .. }
            | Command::Open { .. }
            | Command::Deposit { .. }
            | Command::Withdraw { .. }
            | Command::Invoice { .. }
            | Command::Request { .. }
            | Command::Pay { .. }
            | Command::Send { .. }
            | Command::Stream { .. }
            | Command::Streams { .. }
            | Command::Listen { .. }
            | Command::Close { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_command_survives_the_socket() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|args| args.command);
        let channel = "11".repeat(32);
        let payee = format!("02{}", "22".repeat(32));
        let lines = [
            "wallet status --json".to_owned(),
            "wallet --home /x invoice 5 --memo tea --wait".to_owned(),
            format!("wallet send {payee} 7 --asset EUR"),
            format!("wallet request {payee} 7 --memo tea"),
            format!("wallet stream {payee} --unit 1 --steps 100 --rate 20"),
            "wallet streams --close 00".to_owned(),
            format!("wallet close {channel} --unilateral --no-wait"),
            "wallet watchtower export --to http://127.0.0.1:7402".to_owned(),
        ];
        for line in lines {
            let command = parse(&line).unwrap();
            let sent = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<Command>(&sent).unwrap(), command, "{line}");
        }
        for line in ["wallet", "wallet pay", "wallet open --deposit -1", "wallet invoice 1.5"] {
            assert!(parse(line).is_err(), "{line} was taken");
        }
    }
}
