//! The `hub` command.

mod anchor;
mod close;
mod health;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};
use settlement::ledger::cli::{AuditOptions, audit_home};
use settlement::params::Genesis;
use settlement::types::{ChannelId, PublicKey};

use crate::config::{Config, Source, load};
use crate::demo::{self, DemoArgs};
use crate::home::Home;

pub use run::run_over;

#[derive(Parser)]
#[command(name = "hub", version, about = "The hub that wallets hold payment channels with")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve wallets until SIGTERM or SIGINT.
    Run(Settings),
    /// Make a data directory with a new key, and print the key.
    Init(Settings),
    /// Look at the settings without starting anything.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a hub, a ledger and many wallets that pay each other, and check every unit.
    Demo(DemoArgs),
    /// Ask a running hub whether it takes payments; its settings say where it listens.
    Health(Settings),
    /// Let a running hub put something on the ledger.
    #[command(subcommand)]
    Anchor(AnchorCommand),
    /// Let a running hub close a channel without its wallet, as when that has not been seen for
    /// long, and the money in it is wanted back. It is paid out after the challenge period.
    Close(CloseArgs),
    /// Do every block of the embedded ledger again from its genesis, and check all signatures,
    /// digests and sums. Reads alone, so the hub may go on running. Exits with 1 when a block is
    /// wrong.
    Audit(AuditArgs),
}

#[derive(Subcommand)]
enum AnchorCommand {
    /// Anchor what has moved without waiting for the next round; prints what was anchored and in
    /// which block. Exits with 1 when a part of it was not.
    Now(Settings),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check them, and print all of them as they would be used.
    Check(Settings),
}

#[derive(Args)]
struct CloseArgs {
    /// Which channel.
    channel: ChannelId,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
struct AuditArgs {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    options: AuditOptions,
}

/// Flags win over HUB_* variables, which win over the file.
#[derive(Args)]
struct Settings {
    /// A TOML file with settings.
    #[arg(long, env = "HUB_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the hub keeps everything [default: hub-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where wallets connect [default: 127.0.0.1:7400]; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where operators look: health and metrics [default: 127.0.0.1:7401].
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The address of a ledger in a process of its own [default: an embedded ledger].
    #[arg(long, value_name = "URL")]
    ledger: Option<String>,
    /// Certificates (PEM) of a private authority to believe at a ledger's https:// address.
    #[arg(long, value_name = "FILE")]
    ledger_ca: Option<String>,
    /// Listen on an address that others can reach: put a proxy that ends TLS in front.
    #[arg(long)]
    allow_public: bool,
    /// Make a key, and a ledger with a faucet unless --ledger names one, on the first start. Never for real money.
    #[arg(long)]
    development: bool,
}

impl Settings {
    fn load(&self) -> Result<Config> {
        let mut flags = toml::Table::new();
        let texts = [
            ("data_dir", &self.data_dir),
            ("listen", &self.listen),
            ("admin_listen", &self.admin_listen),
            ("ledger", &self.ledger),
            ("ledger_ca", &self.ledger_ca),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                flags.insert(key.to_owned(), text.clone().into());
            }
        }
        for (key, set) in [("allow_public", self.allow_public), ("development", self.development)] {
            if set {
                flags.insert(key.to_owned(), true.into());
            }
        }
        // A variable that is not text is none of ours.
        let env = std::env::vars_os();
        let env = env.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        load(&Source { file: self.config.clone(), env: env.collect(), flags })
    }
}

/// How the command line is understood, for whoever checks what is written about it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command; the binary, and every other one that wraps it, calls this.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(settings) => settings.load().and_then(run::run),
        Command::Init(settings) => settings.load().and_then(|config| init(&config)).map(success),
        Command::Config(ConfigCommand::Check(settings)) => {
            settings.load().and_then(|config| print_settings(&config)).map(success)
        }
        Command::Demo(args) => {
            run::log_to_stderr("warn");
            demo::run(&args)
        }
        Command::Health(settings) => {
            settings.load().and_then(|config| health::ask(config.admin_listen)).map(success)
        }
        Command::Close(CloseArgs { channel, settings }) => {
            let asked = settings.load().and_then(|config| close::ask(config.admin_listen, channel));
            asked.map(success)
        }
        Command::Anchor(AnchorCommand::Now(settings)) => {
            settings.load().and_then(|config| anchor::now(config.admin_listen))
        }
        Command::Audit(args) => args.settings.load().and_then(|config| {
            run::log_to_stderr(&config.log);
            audit(&config, &args.options)
        }),
    };
    done.unwrap_or_else(|error| {
        run::complain(&error);
        ExitCode::FAILURE
    })
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn init(config: &Config) -> Result<()> {
    let home = Home::at(&config.data_dir)?;
    let _lock = home.lock()?;
    let key = home.make_key()?;
    run::say(&serde_json::json!({ "hub": key.public(), "data_dir": config.data_dir }).to_string())
}

fn audit(config: &Config, options: &AuditOptions) -> Result<ExitCode> {
    if let Some(url) = &config.ledger {
        anyhow::bail!(
            "this hub embeds no ledger, it uses the one at {url}: run `ledger audit` where that is"
        );
    }
    let ledger = config.data_dir.join("ledger");
    let right = audit_home(&ledger, options)?;
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the margins are safe depends on the ledger: the one that the channels here are on, if
/// there is one, else one as this hub would make it.
fn check_for_ledger(config: &Config) -> Result<()> {
    let pinned =
        if config.data_dir.exists() { Home::at(&config.data_dir)?.pinned()? } else { None };
    let assumed = || {
        let (kind, genesis): (_, fn(_, _, _) -> _) = if config.development {
            ("development", Genesis::development)
        } else {
            ("standard", Genesis::standard)
        };
        run::remark(&format!(
            "no ledger is known in {} yet: the margins are checked against a {kind} one",
            config.data_dir.display()
        ));
        genesis("assumed", PublicKey([2; 33]), 0)
    };
    let genesis = pinned.unwrap_or_else(assumed);
    config.policy(&genesis)?;
    config.anchor_interval(&genesis)?;
    Ok(())
}

fn print_settings(config: &Config) -> Result<()> {
    check_for_ledger(config)?;
    run::say(toml::to_string(config)?.trim_end())
}
