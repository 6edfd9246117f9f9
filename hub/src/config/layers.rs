//! Putting file, variables and flags together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use toml::{Table, Value};

use super::Config;

/// Where settings come from, the weakest first.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// The environment's variables; those that do not start with `HUB_` are left alone.
    pub env: Vec<(String, String)>,
    /// Flags, by key.
    pub flags: Table,
}

/// The settings of all sources together, checked.
///
/// # Errors
/// A file that can't be read, a key that nobody knows, a value that is none: each names its source
/// and key.
pub fn load(source: &Source) -> Result<Config> {
    let mut merged = Table::new();
    if let Some(path) = &source.file {
        overlay(&mut merged, read(path)?);
    }
    let env = from_env(&source.env)?;
    check(&env).context("in the HUB_* variables")?;
    overlay(&mut merged, env);
    overlay(&mut merged, source.flags.clone());
    let config: Config = merged.try_into().context("in the settings taken together")?;
    config.check()?;
    Ok(config)
}

/// Every layer alone must make sense, so that an error names the layer that it is in.
fn check(layer: &Table) -> Result<Config> {
    layer.clone().try_into().map_err(|error| anyhow!("{error}"))
}

fn read(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let within = || format!("in {}", path.display());
    // From the text, so that the error shows the line.
    toml::from_str::<Config>(&text).with_context(within)?;
    toml::from_str(&text).with_context(within)
}

fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// What an orchestrator sets by itself for a service that is called `hub`.
fn is_an_orchestrators(name: &str) -> bool {
    name.starts_with("HUB_SERVICE_") || name == "HUB_PORT" || name.starts_with("HUB_PORT_")
}

/// Named by flags alone: where the file is.
const FILE: &str = "HUB_CONFIG";

fn from_env(variables: &[(String, String)]) -> Result<Table> {
    let mut table = Table::new();
    for (name, text) in variables {
        let Some(key) = name.strip_prefix("HUB_") else { continue };
        if name == FILE || is_an_orchestrators(name) {
            continue;
        }
        let key = key.to_ascii_lowercase();
        let (outer, inner) = match key.split_once("__") {
            Some((outer, inner)) => (outer, Some(inner)),
            None => (key.as_str(), None),
        };
        let value = parse(text);
        match inner {
            None => {
                table.insert(outer.to_owned(), value);
            }
            Some(inner) => {
                let entry = table.entry(outer.to_owned());
                match entry.or_insert_with(|| Value::Table(Table::new())) {
                    Value::Table(inside) => inside.insert(inner.to_owned(), value),
                    _ => bail!("{name}: `{outer}` has a value already"),
                };
            }
        }
    }
    Ok(table)
}

/// Numbers and booleans as such, everything else as text.
fn parse(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::Integer(number);
    }
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => Value::String(text.to_owned()),
    }
}
