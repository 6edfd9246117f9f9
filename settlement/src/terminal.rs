//! Text that may come from strangers (memos, details of refusals), before it reaches a terminal or a
//! log: nothing of it may move a cursor, hide or turn round what stands beside it, or look like a line
//! of its own.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether a character would steer a terminal rather than be shown: controls, line ends among them,
/// and those that change the direction of what follows.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text as one line, with a replacement character for each that steers.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The same of lines that this program has made itself: their ends stay.
pub fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// A JSON text that means the same: what steers can only stand in its strings, and is escaped there.
pub fn json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            // All of them are of the basic plane; writing to a string can't fail.
            let _ = write!(plain, "\\u{:04x}", u32::from(c));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Where log lines go: standard error, each event on one line. What colours them may pass; of an
/// event's own text the formatter has escaped it.
pub fn log() -> Plain<io::Stderr> {
    Plain(io::stderr())
}

/// Writes each buffer that it is given as one line; see [`log`].
#[derive(Debug)]
pub struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let mut plain = String::with_capacity(event.len());
        for c in text.chars() {
            if steers(c) && c != '\u{1b}' {
                plain.extend(c.escape_default());
            } else {
                plain.push(c);
            }
        }
        plain.push_str(end);
        self.0.write_all(plain.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "tea\u{1b}[2J\r\n\u{202e}eet\u{7}\u{9b}1m\u{61c}\u{2028}\u{7f}";

    #[test]
    fn what_steers_is_replaced_and_all_else_is_kept() {
        let shown = "tea\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}eet\u{fffd}\u{fffd}1m";
        assert_eq!(line(HOSTILE), format!("{shown}\u{fffd}\u{fffd}\u{fffd}"));
        assert_eq!(lines("a\nb\u{7}\n"), "a\nb\u{fffd}\n");
        let plain = "Grüße, 茶 \u{1f600} e\u{301} שלום";
        assert_eq!((line(plain), json(plain)), (plain.to_owned(), plain.to_owned()));
        let kept = (0..=u8::MAX).map(char::from).filter(|c| !steers(*c)).count();
        assert_eq!(kept, 256 - 32 - 33, "all controls of the first two blocks");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({ "memo": HOSTILE, "\u{85}key": "\\u001b \"" });
        let text = json(&value.to_string());
        assert!(!text.chars().any(steers), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn an_event_is_one_line_of_a_log_and_its_colours_stay() {
        let mut out = Vec::new();
        let event = "\u{1b}[32mINFO\u{1b}[0m refused: a\nERROR forged\r\u{202e}\u{85}\n";
        Plain(&mut out).write_all(event.as_bytes()).unwrap();
        let shown = "\u{1b}[32mINFO\u{1b}[0m refused: a\\nERROR forged\\r\\u{202e}\\u{85}\n";
        assert_eq!(String::from_utf8(out).unwrap(), shown);
    }
}
