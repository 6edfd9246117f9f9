//! `hub demo`: a hub, its ledger and many wallets in one process, over real sockets and files.
//!
//! Nothing in it is a stand-in: the hub is the one that `hub run` starts, the wallets are those of
//! the `wallet` command, every payment is signed, synced to disk on both sides, and settled on the
//! ledger in the end. What each account must hold then is computed from what the wallets saw, not
//! asked from hub or ledger. Two cheat meanwhile, see [`cheats`].

mod books;
mod cheats;
mod closing;
mod progress;
mod report;
mod scene;
mod traffic;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use books::Audit;
use cheats::Cast;
use progress::Progress;
use report::{Measured, Report};
use scene::Scene;

/// What `hub demo` is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// How many wallets pay each other.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    wallets: u32,
    /// How long they do.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// How many payments each wallet has under way at a time.
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    outstanding: u32,
    /// Where hub, ledger and wallets keep their files; must be empty, and is kept [default: a
    /// temporary directory that is removed at the end].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print one JSON object instead of a table. Its `cheats` say of each that cheated `who` did
    /// (wallet or hub), what it `tried`, and in units what it `would_have_got`, `was_due` and `got`;
    /// `gained_by_cheating` is what they got beyond their due, in sum.
    #[arg(long)]
    json: bool,
}

/// Runs the demo. The exit code is 1 when a payment was lost, a unit is not where it must be, or
/// somebody got something by cheating.
///
/// # Errors
/// When the demo could not be carried through: a file, a socket, a setting.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode> {
    let place = Place::of(args.data_dir.as_deref())?;
    let _ = crate::scheduling::finish_turns();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let report = runtime.block_on(play(args, place.path()))?;
    drop(runtime);
    place.tidy_up()?;
    let text = if args.json { serde_json::to_string(&report)? } else { report.table() };
    writeln!(std::io::stdout().lock(), "{text}").context("cannot write to stdout")?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything from the first file to the last check.
async fn play(args: &DemoArgs, dir: &Path) -> Result<Report> {
    let started = Instant::now();
    let progress = Progress::new();
    let scene = Scene::set(args.wallets, dir, &progress).await?;
    let cast = Cast::gather(&scene, dir).await?;
    let others = cast.accounts();
    let before = scene.holdings(&others).await?;
    scene.open_channels(&progress).await?;
    let (plot, others_books) = cast.rehearse(&scene, &progress).await?;
    let time = Duration::from_secs(u64::from(args.seconds));
    let traffic = async {
        let paid = traffic::run(&scene, args.outstanding, time, &progress).await?;
        progress.say("waiting for those that cheat");
        anyhow::Ok((paid, Instant::now()))
    };
    let ((paid, paid_by), cheats) = tokio::try_join!(traffic, plot.carry_out(&scene))?;
    let waited = paid_by.elapsed();
    let closed = closing::close_all(&scene, &progress).await?;
    let after = scene.holdings(&others).await?;
    let audit = Audit::of(&paid.books, &others_books, &before, &after);
    let measured = Measured {
        wallets: scene.wallets.len(),
        paying: paid.took,
        completed: paid.completed,
        completed_in_time: paid.completed_in_time,
        failed: paid.failed,
        lost: paid.lost,
        failures: paid.failures,
        latency_us: paid.latency_us,
        fsyncs: scene.fsyncs(),
        blocks: scene.height().0,
        closes: closed.closes,
        windows: closed.windows.saturating_add(waited),
        cheats,
        total: started.elapsed(),
    };
    scene.strike().await;
    Ok(Report::of(&measured, &audit))
}

/// The demo's directory.
enum Place {
    Temporary(tempfile::TempDir),
    Given(PathBuf),
}

impl Place {
    fn of(given: Option<&Path>) -> Result<Place> {
        let Some(dir) = given else {
            let dir = tempfile::Builder::new().prefix("hub-demo-").tempdir();
            return dir.map(Place::Temporary).context("cannot make a temporary directory");
        };
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut inside =
            dir.read_dir().with_context(|| format!("cannot read {}", dir.display()))?;
        if inside.next().is_some() {
            bail!("{} is not empty: the demo starts from nothing", dir.display());
        }
        Ok(Place::Given(dir.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Place::Temporary(dir) => dir.path(),
            Place::Given(dir) => dir,
        }
    }

    fn tidy_up(self) -> Result<()> {
        match self {
            Place::Temporary(dir) => dir.close().context("cannot remove the temporary directory"),
            Place::Given(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
