//! A WebSocket that costs next to nothing: frames are written behind each other into one buffer and
//! read where they lie in another. The mask that a client's frames must carry is zero, which is a
//! mask like any other to the server and spares this side the work.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use settlement::encoding::append;
use settlement::wire::{FRAME_MAX, Message};

/// How long the hub may take while a connection is being set up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const READ: usize = 1 << 17;

const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A message, at this place of [`Socket::bytes`].
    Frame(Range<usize>),
    /// Nothing whole any more.
    Nothing,
    /// The other side has closed.
    Closed,
}

/// A connection.
pub struct Socket {
    /// What reads and writes.
    pub stream: mio::net::TcpStream,
    frames: Frames,
    out: Vec<u8>,
    written: usize,
    scratch: Vec<u8>,
}

impl Socket {
    /// Connects to `/v1/connect` of the hub at `host`, and waits until it is a WebSocket. After
    /// [`Socket::settle`] nothing waits any more.
    ///
    /// # Errors
    /// When the hub does not take the connection.
    pub fn connect(host: &str) -> Result<(Socket, TcpStream)> {
        let mut stream =
            TcpStream::connect(host).with_context(|| format!("cannot reach {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET /v1/connect HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\n\
             connection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: bG9hZCB0b29sIG9mIGh1Yg==\r\n\r\n"
        )?;
        let mut frames = Frames::default();
        let head = loop {
            if frames.fill(&mut stream)? == 0 {
                bail!("the hub closed the connection before it was a WebSocket");
            }
            if let Some(at) = frames.bytes().windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let answer = String::from_utf8_lossy(&frames.bytes()[..head]).into_owned();
        if !answer.starts_with("HTTP/1.1 101") {
            bail!("the hub refused the connection: {answer}");
        }
        frames.from += head;
        let shared = mio::net::TcpStream::from_std(stream.try_clone()?);
        let (out, scratch) = (Vec::new(), Vec::new());
        Ok((Socket { stream: shared, frames, out, written: 0, scratch }, stream))
    }

    /// The next message, waiting for it. For the time before [`Socket::settle`].
    ///
    /// # Errors
    /// When the connection breaks or nothing comes.
    pub fn wait(&mut self, stream: &mut TcpStream) -> Result<Message> {
        stream.write_all(&self.out)?;
        self.out.clear();
        loop {
            match self.frames.next()? {
                (CLOSE, _) => bail!("the hub closed the connection"),
                (BINARY, at) => return Ok(Message::from_frame(&self.frames.bytes[at])?),
                (0, _) => {}
                _ => continue,
            }
            if self.frames.fill(stream)? == 0 {
                bail!("the hub closed the connection");
            }
        }
    }

    /// From here on nothing waits.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn settle(&mut self, stream: &TcpStream) -> Result<()> {
        Ok(stream.set_nonblocking(true)?)
    }

    /// Puts a message behind what is to be written.
    pub fn queue(&mut self, message: &Message) {
        append(&mut self.scratch, message);
        let frame = std::mem::take(&mut self.scratch);
        self.queue_frame(BINARY, &frame);
        self.scratch = frame;
        self.scratch.clear();
    }

    fn queue_frame(&mut self, kind: u8, payload: &[u8]) {
        put_head(&mut self.out, kind, payload.len());
        self.out.extend_from_slice(payload);
    }

    /// Bytes that wait to be written.
    pub fn waiting(&self) -> usize {
        self.out.len().saturating_sub(self.written)
    }

    /// Writes what waits, as far as the other side takes it; says whether all of it went.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn flush(&mut self) -> std::io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    /// Reads once; says whether there may be more, and nothing at the connection's end.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn read(&mut self) -> std::io::Result<Option<bool>> {
        match self.frames.fill(&mut self.stream) {
            Ok(0) => Ok(None),
            Ok(read) => Ok(Some(read == READ)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(false)),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(true)),
            Err(error) => Err(error),
        }
    }

    /// The next whole message of what was read.
    ///
    /// # Errors
    /// When it is no WebSocket frame that a hub sends.
    pub fn take(&mut self) -> Result<Came> {
        loop {
            let (kind, at) = self.frames.next()?;
            match kind {
                0 => return Ok(Came::Nothing),
                BINARY => return Ok(Came::Frame(at)),
                CLOSE => return Ok(Came::Closed),
                PING => {
                    let payload = self.frames.bytes[at].to_vec();
                    self.queue_frame(PONG, &payload);
                }
                PONG => {}
                other => bail!("a WebSocket frame of kind {other:#x}, which no hub sends"),
            }
        }
    }

    /// Where [`Came::Frame`] points into.
    pub fn bytes(&self) -> &[u8] {
        &self.frames.bytes
    }
}

/// The head of a client's frame, with a mask of zeros.
fn put_head(out: &mut Vec<u8>, kind: u8, length: usize) {
    const MASKED: u8 = 0x80;
    out.push(kind);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => out.push(MASKED | short),
        (_, Ok(middle)) => {
            out.push(MASKED | 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// What was read, from `from` to `to` of the bytes.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Frames {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    fn fill(&mut self, stream: &mut impl Read) -> std::io::Result<usize> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
        if self.bytes.len() - self.to < READ {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            self.bytes.resize(self.to + 2 * READ, 0);
        }
        let read = stream.read(&mut self.bytes[self.to..self.to + READ])?;
        self.to += read;
        Ok(read)
    }

    /// The kind of the next whole frame and where its payload lies; kind 0 when none is whole.
    fn next(&mut self) -> Result<(u8, Range<usize>)> {
        const NONE: (u8, Range<usize>) = (0, 0..0);
        let bytes = self.bytes();
        let &[kind, short, ..] = bytes else { return Ok(NONE) };
        let (head, length) = match (short, bytes) {
            (126, [_, _, a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [_, _, long @ ..]) if long.len() >= 8 => {
                let long = long.first_chunk().map_or(u64::MAX, |long| u64::from_be_bytes(*long));
                (10, usize::try_from(long)?)
            }
            (126 | 127, _) => return Ok(NONE),
            (short, _) => (2, usize::from(short)),
        };
        if length > FRAME_MAX {
            bail!("a frame of {length} bytes");
        }
        if bytes.len() < head + length {
            return Ok(NONE);
        }
        let at = self.from + head..self.from + head + length;
        self.from = at.end;
        Ok((kind, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut framed = Vec::new();
        put_head(&mut framed, kind, payload.len());
        let head = framed.len() - 4;
        framed.truncate(head);
        framed[1] &= 0x7f;
        framed.extend_from_slice(payload);
        framed
    }

    #[test]
    fn frames_of_every_length_are_read_however_they_are_cut() {
        let lengths = [0, 1, 125, 126, 127, 65_535, 65_536, FRAME_MAX];
        let all: Vec<u8> =
            lengths.iter().flat_map(|n| server_frame(BINARY, &vec![*n as u8; *n])).collect();
        for piece in [1_000, 4_096, READ, all.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for mut some in all.chunks(piece) {
                while !some.is_empty() {
                    frames.fill(&mut some).unwrap();
                    while let (BINARY, at) = frames.next().unwrap() {
                        let n = at.len();
                        assert!(frames.bytes[at].iter().all(|byte| *byte == n as u8));
                        seen.push(n);
                    }
                }
            }
            assert_eq!(seen, lengths, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let mut frames = Frames::default();
        let head = server_frame(BINARY, &vec![0; FRAME_MAX + 1]);
        frames.fill(&mut &head[..20]).unwrap();
        assert!(frames.next().is_err());
    }
}
