//! What is written for people about the programs: command lines and code blocks in Markdown, to be
//! held against what the programs understand.

/// A fenced block of a Markdown file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The heading that it stands under.
    pub heading: String,
    /// What follows the opening fence: `sh`, `toml`, …
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// The fenced blocks of a Markdown file, in order.
pub fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut heading = String::new();
    let mut open: Option<Block> = None;
    for line in markdown.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let (heading, language) = (heading.clone(), language.trim().to_owned());
                open = Some(Block { heading, language, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {
                if let Some(text) = line.strip_prefix('#') {
                    heading = text.trim_start_matches('#').trim().to_owned();
                }
            }
        }
    }
    found
}

/// The commands of a shell script, a line each, without comments and with lines that end in a
/// backslash put together.
pub fn commands(script: &str) -> Vec<String> {
    let joined = script.replace("\\\n", " ");
    let bare = joined.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// What a command of a script calls one of our programs with, if it does: the program's name first.
/// `sudo`, cargo and containers in front of it are taken away.
pub fn call_of(line: &str) -> Option<Vec<String>> {
    let fronts = [
        ("sudo -u hub ", ""),
        ("sudo ", ""),
        ("cargo run --release -p hub -- ", "hub "),
        ("docker compose -f deploy/compose.yaml run --rm --entrypoint ledger hub ", "ledger "),
        ("docker compose -f deploy/compose.yaml run --rm hub ", "hub "),
    ];
    let front =
        fronts.iter().find_map(|(front, instead)| Some((line.strip_prefix(front)?, instead)));
    let line = front.map_or(line.to_owned(), |(rest, instead)| format!("{instead}{rest}"));
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let program = words.first()?.rsplit('/').next()?.to_owned();
    let ours = ["hub", "wallet", "ledger"].contains(&program.as_str());
    ours.then(|| std::iter::once(program).chain(words.into_iter().skip(1)).collect())
}

/// Whether our program of that name understands this call.
///
/// # Errors
/// What the program would say.
pub fn understood(call: &[String]) -> Result<(), String> {
    let command = match call.first().map(String::as_str) {
        Some("hub") => hub::cli::command(),
        Some("wallet") => client_sdk::cli::command(),
        Some("ledger") => settlement::ledger::cli::command(),
        other => return Err(format!("{other:?} is none of the programs")),
    };
    let parsed = command.try_get_matches_from(call);
    parsed.map(|_| ()).map_err(|error| format!("`{}`: {error}", call.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_headings() {
        let text = "# A\n```sh\none\n```\ntext\n## B b\n```toml\ntwo\nthree\n```\n";
        let block = |heading: &str, language: &str, text: &str| Block {
            heading: heading.to_owned(),
            language: language.to_owned(),
            text: text.to_owned(),
        };
        assert_eq!(blocks(text), [block("A", "sh", "one\n"), block("B b", "toml", "two\nthree\n")]);
    }

    #[test]
    fn commands_are_lines_without_comments() {
        let script = "# all\nhub run \\\n  --data-dir x  # here\n\nwallet status\n";
        assert_eq!(commands(script), ["hub run    --data-dir x", "wallet status"]);
    }

    #[test]
    fn a_call_is_found_behind_what_starts_it() {
        let cases = [
            ("sudo -u hub hub init --data-dir d", Some("hub init --data-dir d")),
            ("sudo systemctl stop hub", None),
            ("/usr/local/bin/hub run", Some("hub run")),
            ("cargo run --release -p hub -- demo", Some("hub demo")),
            ("cargo test --workspace", None),
        ];
        for (line, expected) in cases {
            assert_eq!(call_of(line).map(|call| call.join(" ")).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn a_flag_that_is_none_is_noticed() {
        let call = |line: &str| call_of(line).map(|call| understood(&call));
        assert_eq!(call("hub run --data-dir d"), Some(Ok(())));
        assert!(call("hub run --date-dir d").is_some_and(|understood| understood.is_err()));
        assert!(call("ledger run").is_some_and(|understood| understood.is_err()));
    }
}
