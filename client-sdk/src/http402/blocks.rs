//! Server-sent events as bytes: where one ends, and what is in it. Payer and payee count with this.

use std::collections::VecDeque;

use bytes::Bytes;

/// The most bytes of one event.
pub(super) const EVENT_MAX: usize = 256 << 10;

/// Bytes up to the end of an event, an empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) bytes: Bytes,
    /// Whether it is an event and has to be paid for: comments alone are not.
    pub(super) counts: bool,
}

/// An event was longer than [`EVENT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event has at most {EVENT_MAX} bytes")]
pub struct EventTooLong;

/// Cuts bytes into blocks. Lines end with LF, CR or both.
#[derive(Debug)]
pub(super) struct Blocks {
    held: Vec<u8>,
    /// Nothing has come of the line yet.
    line_is_empty: bool,
    counts: bool,
    after_cr: bool,
    ready: VecDeque<Block>,
}

impl Blocks {
    pub(super) fn new() -> Blocks {
        let (held, ready) = Default::default();
        Blocks { held, line_is_empty: true, counts: false, after_cr: false, ready }
    }

    /// More bytes have come.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        for byte in bytes {
            self.take(*byte);
            if self.held.len() > EVENT_MAX {
                return Err(EventTooLong);
            }
        }
        Ok(())
    }

    fn take(&mut self, byte: u8) {
        self.held.push(byte);
        // The second half of a line's end ends no line.
        let second_half = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
        if second_half {
            return;
        }
        if byte != b'\n' && byte != b'\r' {
            self.counts |= self.line_is_empty && byte != b':';
            self.line_is_empty = false;
        } else if std::mem::replace(&mut self.line_is_empty, true) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let (bytes, counts) = (std::mem::take(&mut self.held), std::mem::take(&mut self.counts));
        self.ready.push_back(Block { bytes: bytes.into(), counts });
    }

    /// No more bytes come: what is begun is a block.
    pub(super) fn finish(&mut self) {
        if !self.held.is_empty() {
            self.cut();
        }
    }

    /// The next whole block.
    pub(super) fn next(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }
}

/// A server-sent event, as its reader gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its kind; empty for none.
    pub event: String,
    /// Its lines of data, with line feeds between them.
    pub data: String,
    /// Its id; empty for none.
    pub id: String,
}

/// What is in a block. What is no UTF-8 is replaced.
pub(super) fn read(block: &[u8]) -> ServerEvent {
    let text = String::from_utf8_lossy(block).replace("\r\n", "\n").replace('\r', "\n");
    let mut event = ServerEvent::default();
    let mut data: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(':')) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "event" => value.clone_into(&mut event.event),
            "id" => value.clone_into(&mut event.id),
            _ => {}
        }
    }
    event.data = data.join("\n");
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<(String, bool)> {
        let mut blocks = Blocks::new();
        parts.iter().for_each(|part| blocks.push(part).unwrap());
        blocks.finish();
        let text = |block: Block| String::from_utf8_lossy(&block.bytes).into_owned();
        std::iter::from_fn(|| blocks.next().map(|it| (it.counts, it)))
            .map(|(counts, block)| (text(block), counts))
            .collect()
    }

    #[test]
    fn events_end_with_an_empty_line_however_they_are_cut() {
        let text = "data: a\n\n: alive\n\nevent: x\r\ndata: b\r\n\r\nid: 1\rdata: c\r\rdata: d";
        let whole = cut(&[text.as_bytes()]);
        let counted: Vec<&str> =
            whole.iter().filter(|(_, counts)| *counts).map(|(text, _)| text.trim()).collect();
        assert_eq!(counted, ["data: a", "event: x\r\ndata: b", "id: 1\rdata: c", "data: d"]);
        for at in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(cut(&[left, right]), whole, "cut at {at}");
        }
        let joined: String = whole.into_iter().map(|(text, _)| text).collect();
        assert_eq!(joined, text, "nothing is lost or added");
    }

    #[test]
    fn comments_and_empty_lines_are_free() {
        for free in [":\n\n", "\n", "\r\n\r\n", ": a\n: b\n\n"] {
            assert!(cut(&[free.as_bytes()]).iter().all(|(_, counts)| !counts), "{free:?}");
        }
        for dear in ["data\n\n", "retry: 5\n\n", ": a\ndata: b\n\n", "x"] {
            let paid = cut(&[dear.as_bytes()]).iter().filter(|(_, counts)| *counts).count();
            assert_eq!(paid, 1, "{dear:?}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut blocks = Blocks::new();
        assert_eq!(blocks.push(&vec![b'x'; EVENT_MAX]), Ok(()));
        assert_eq!(blocks.push(b"x"), Err(EventTooLong));
    }

    #[test]
    fn an_event_is_read() {
        let event = read(b": no\nevent: word\nid: 7\ndata: a: b\ndata:c\nother: x\n\n");
        let expected = ServerEvent {
            event: "word".to_owned(),
            data: "a: b\nc".to_owned(),
            id: "7".to_owned(),
        };
        assert_eq!(event, expected);
        assert_eq!(read(b"data: a\r\ndata: b\r\rx").data, "a\nb");
        assert_eq!(read(&[0xff]).data, "");
    }
}
