//! HTTP on a connection that stays, with many requests under way: thousands of openings would wait
//! long if each made a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Requests that are written before the first answer is read.
const AT_ONCE: usize = 64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection.
pub struct Http {
    host: String,
    write: TcpStream,
    read: BufReader<TcpStream>,
}

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// When it was refused, with what the server says.
    pub fn success(self) -> Result<Vec<u8>> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        bail!("refused with {}: {}", self.status, String::from_utf8_lossy(&self.body));
    }
}

impl Http {
    /// Connects to a server such as `http://127.0.0.1:7400`.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn connect(url: &str) -> Result<Http> {
        let host = url.strip_prefix("http://").context("not an http:// address")?;
        let host = host.trim_end_matches('/').to_owned();
        let write = TcpStream::connect(&host).with_context(|| format!("cannot reach {host}"))?;
        write.set_nodelay(true)?;
        write.set_read_timeout(Some(PATIENCE))?;
        let read = BufReader::with_capacity(1 << 16, write.try_clone()?);
        Ok(Http { host, write, read })
    }

    /// The body of a successful `GET`.
    ///
    /// # Errors
    /// When it is refused or the connection breaks.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.write.write_all(request.as_bytes())?;
        self.answer()?.success().with_context(|| format!("GET {path}"))
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Also when it is no such thing.
    pub fn get_json<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let body = self.get(path)?;
        serde_json::from_slice(&body).with_context(|| format!("GET {path}"))
    }

    /// Posts all bodies in their order; the answers come in the same one.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn post_all(&mut self, path: &str, bodies: &[String]) -> Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(bodies.len());
        for some in bodies.chunks(AT_ONCE) {
            let mut request = Vec::new();
            for body in some {
                let (host, length) = (&self.host, body.len());
                write!(
                    request,
                    "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                     content-length: {length}\r\n\r\n{body}"
                )?;
            }
            self.write.write_all(&request)?;
            for _ in some {
                answers.push(self.answer()?);
            }
        }
        Ok(answers)
    }

    fn answer(&mut self) -> Result<Answer> {
        let mut line = String::new();
        self.read.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("no HTTP answer: `{line}`"))?;
        let mut length = 0;
        loop {
            line.clear();
            self.read.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().context("content-length")?;
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                bail!("an answer in chunks, which is not expected here");
            }
        }
        let mut body = vec![0; length];
        self.read.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }
}
