//! Sockets that say one byte at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};
use tests::process::stage::Stage;

use super::{DEPOSIT, all_is_well, median, pay};

const SOCKETS: usize = 2_000;
/// Files that this process and the hub, which inherits it, may have open.
const FILES: u64 = 8_192;
/// The length of a frame that never comes to its end.
const ANNOUNCED: u64 = 200_000;

/// A socket that is never done with what it says.
struct Dribbler {
    stream: TcpStream,
    /// Said again and again.
    text: &'static [u8],
    said: usize,
}

impl Dribbler {
    /// Half of them never end the head of a request, the others a frame.
    fn connect(host: &str, number: usize) -> Dribbler {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        let text: &[u8] = if number.is_multiple_of(2) {
            stream.write_all(b"GET /v1/info HTTP/1.1\r\nhost: x\r\n").unwrap();
            b"x-more: y\r\n"
        } else {
            shake_hands(&mut stream);
            b"\xff"
        };
        stream.set_nonblocking(true).unwrap();
        Dribbler { stream, text, said: 0 }
    }

    /// Says a byte more; false once the hub has closed the socket.
    fn dribble(&mut self) -> bool {
        let mut heard = [0; 256];
        match self.stream.read(&mut heard) {
            Ok(0) => return false,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return false,
            _ => {}
        }
        let byte = self.text[self.said % self.text.len()];
        self.said += 1;
        let said = self.stream.write_all(&[byte]);
        said.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |()| true)
    }
}

/// A WebSocket, and the head of a frame that announces more than will ever come.
fn shake_hands(stream: &mut TcpStream) {
    let request = "GET /v1/connect HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let mut frame = vec![0x82, 0xff];
    frame.extend(ANNOUNCED.to_be_bytes());
    frame.extend([0; 4]);
    stream.write_all(&frame).unwrap();
}

#[test]
fn two_thousand_sockets_that_dribble_hold_up_no_payment_and_are_closed() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(FILES), |most| Some(most.min(FILES)));
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut stage = Stage::set(&tests::programs!(), DEPOSIT);
    let alone = median((0..15).map(|number| pay(&mut stage, number)).collect());

    let host = stage.hub.http.host().to_owned();
    let mut crowd: Vec<_> = (0..SOCKETS).map(|number| Dribbler::connect(&host, number)).collect();
    let (mut among_them, mut number, mut most) = (Vec::new(), 100, 0);
    // Until the hub has had enough of the last of them; how long it waits is its own affair.
    while !crowd.is_empty() {
        crowd.retain_mut(Dribbler::dribble);
        most = most.max(crowd.len());
        if crowd.len() > SOCKETS / 2 {
            among_them.push(pay(&mut stage, number));
            number += 1;
        }
    }
    assert!(most > SOCKETS * 9 / 10 && among_them.len() > 10, "{most}, {}", among_them.len());
    let slow = median(among_them.clone());
    println!("{} payments among them: median {slow:?}, alone {alone:?}", among_them.len());
    // The crowd's own writes take their share of two cores, and of one where there is no other.
    assert!(slow < alone * 10 + std::time::Duration::from_millis(100), "{slow:?}, alone {alone:?}");
    all_is_well(&mut stage);
}
