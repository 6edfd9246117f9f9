//! Plants one bug at a time and has the suite catch it: see README.md beside this file.
//!
//! `cargo run -p tests --features sabotage --bin mutants` prints the table and ends with
//! `bugs N, caught M`.
#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

mod programs;
mod table;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use settlement::bugs::Bug;
use settlement::rules::Rule;

use programs::{Ended, Programs};
use table::{Row, TABLE, Target, Test};

/// Plants one bug at a time, and says what of the suite catches it.
#[derive(Parser)]
struct Args {
    /// Only this bug or rule.
    #[arg(long)]
    only: Option<String>,
    /// Only one bug in so many: a sample.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
    /// Leave out the rules that the searches look after (some minutes).
    #[arg(long)]
    no_searches: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    complete()?;
    let wanted = |name: &str| args.only.as_ref().is_none_or(|only| only == name);
    let sample = TABLE.iter().step_by(usize::from(args.every));
    let rows: Vec<&Row> = sample.filter(|row| wanted(&format!("{:?}", row.bug))).collect();
    let is_orders = |test: &Test| matches!(test.target, Target::Orders(_));
    let programs = Programs::build(rows.iter().any(|row| row.tests.iter().any(is_orders)))?;
    let mut count = Count::default();
    println!("| bug | caught by | how |\n| --- | --- | --- |");
    let mut sound = BTreeMap::new();
    for row in rows {
        plant(&programs, row, &mut sound, &mut count)?;
    }
    let rules = Rule::ALL.iter().map(|rule| format!("{rule:?}")).filter(|name| wanted(name));
    for rule in rules.filter(|_| !args.no_searches) {
        search(&programs, &rule, &mut count)?;
    }
    println!("bugs {}, caught {}", count.bugs, count.caught);
    Ok(if count.bugs == count.caught { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Count {
    bugs: usize,
    caught: usize,
}

impl Count {
    fn add(&mut self, caught: bool) {
        self.bugs += 1;
        self.caught += usize::from(caught);
    }
}

/// Every bug has one row, and every row somebody who is to catch it.
fn complete() -> Result<()> {
    for bug in Bug::ALL {
        let rows = TABLE.iter().filter(|row| row.bug == *bug).count();
        ensure!(rows == 1, "{bug:?} has {rows} rows");
    }
    let empty = TABLE.iter().find(|row| row.tests.is_empty());
    empty.map_or(Ok(()), |row| bail!("nothing is to catch {:?}", row.bug))
}

/// Every test that is named must hold without the bug and fail with it.
fn plant(
    programs: &Programs,
    row: &Row,
    sound: &mut BTreeMap<Test, ()>,
    count: &mut Count,
) -> Result<()> {
    let bug = format!("{:?}", row.bug);
    let mut caught = true;
    for test in row.tests {
        if !sound.contains_key(test) {
            let ended = programs.run(test, None)?;
            ensure!(ended == Ended::Passed, "{test:?} does not hold without any bug: {ended:?}");
            sound.insert(*test, ());
        }
        let ended = programs.run(test, Some(("PLANTED_BUG", &bug)))?;
        caught &= ended != Ended::Passed;
        let how = match &ended {
            Ended::Passed => "**not caught**",
            Ended::Failed(why) => why,
            Ended::Endless => "does not end",
        };
        println!("| {bug} | `{}` | {how} |", test.name());
    }
    count.add(caught);
    Ok(())
}

/// What the test of the searches says of this rule.
fn search(programs: &Programs, rule: &str, count: &mut Count) -> Result<()> {
    let said = programs.search(rule)?;
    let found = said.lines.iter().filter_map(|line| line.strip_prefix("| "));
    let found: Vec<&str> = found.filter(|line| line.starts_with(&format!("{rule} |"))).collect();
    for line in &found {
        let mut cells = line.split('|').map(str::trim);
        let (rule, by) = (cells.next().context("a rule")?, cells.next().context("a search")?);
        println!("| {rule} | {by} | {} |", cells.next().unwrap_or_default());
    }
    if found.is_empty() || !said.passed {
        println!("| {rule} | | **not caught** |");
    }
    count.add(said.passed && !found.is_empty());
    Ok(())
}
