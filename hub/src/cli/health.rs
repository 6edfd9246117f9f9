//! `hub health`: asks a running hub whether it takes payments, for a container's health check,
//! where there is no shell and no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use settlement::api::Problem;

/// How long connecting, sending and reading may take, each.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of the answer that are read.
const ANSWER_MAX: u64 = 64 << 10;

/// Asks the hub whose operators' address this is.
///
/// # Errors
/// When it does not answer, or answers that it is not ready, with its reason.
pub(super) fn ask(admin: SocketAddr) -> Result<()> {
    let address = reachable(admin);
    match request(address, "GET", "/readyz", PATIENCE)? {
        (200, _) => Ok(()),
        (_, reason) => bail!("the hub on {address} is not ready: {}", reason.trim()),
    }
}

/// Status and body of the answer to a request without a body.
///
/// # Errors
/// When nobody answers there.
pub(super) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    patience: Duration,
) -> Result<(u16, String)> {
    let answer = exchange(address, method, path, patience);
    let answer = answer.with_context(|| format!("no hub answers on {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().and_then(|line| line.split(' ').nth(1));
    Ok((status.and_then(|status| status.parse().ok()).unwrap_or(0), body.to_owned()))
}

/// What a running hub answers to a request that makes it do something; `failed` says what it did not
/// do if it refuses.
///
/// # Errors
/// When it does not answer, or refuses.
pub(super) fn ask_for<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
    patience: Duration,
    failed: &str,
) -> Result<T> {
    let (status, body) = request(address, "POST", path, patience)?;
    if status != 200 {
        let problem: Result<Problem, _> = serde_json::from_str(&body);
        let why = problem.map_or(body, |problem| format!("{} ({})", problem.detail, problem.code));
        bail!("{failed}: {}", why.trim());
    }
    serde_json::from_str(&body)
        .with_context(|| format!("what answers on {address} is no hub of this version"))
}

/// Who listens on every address is asked on loopback.
pub(super) fn reachable(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}

fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    patience: Duration,
) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.take(ANSWER_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request with these bytes.
    fn answering(bytes: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            // A request may come in pieces.
            let mut asked = Vec::new();
            let mut piece = [0; 512];
            while !asked.ends_with(b"\r\n\r\n") {
                let length = socket.read(&mut piece).unwrap();
                asked.extend_from_slice(&piece[..length]);
            }
            assert!(asked.starts_with(b"GET /readyz HTTP/1.1\r\n"));
            socket.write_all(bytes.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn ready_is_ready_and_everything_else_says_why() {
        assert!(ask(answering("HTTP/1.1 200 OK\r\n\r\nready\n")).is_ok());
        let draining = answering("HTTP/1.1 503 Service Unavailable\r\n\r\ndraining\n");
        let refused = ask(draining).unwrap_err().to_string();
        assert!(refused.ends_with("is not ready: draining"), "{refused}");
        assert!(ask(answering("")).is_err());
    }

    #[test]
    fn nobody_there_is_an_error() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = format!("{:#}", ask(free).unwrap_err());
        assert!(refused.starts_with("no hub answers on"), "{refused}");
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        let cases = [
            ("0.0.0.0:7401", "127.0.0.1:7401"),
            ("[::]:7401", "[::1]:7401"),
            ("192.0.2.1:7401", "192.0.2.1:7401"),
        ];
        for (listen, ask) in cases {
            assert_eq!(reachable(listen.parse().unwrap()), ask.parse().unwrap());
        }
    }
}
