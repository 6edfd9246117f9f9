//! A server that is far away: what it answers arrives a while after it was said.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Listens at a port of its own for whoever would ask the server at `host`, and passes everything on.
/// Ends with the process.
///
/// # Panics
/// When there is no port.
pub fn away(host: &str, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let host = host.to_owned();
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            // Nobody there: whoever asked sees that the connection ends.
            let Ok(far) = TcpStream::connect(&host) else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let both = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass_on(near, far, Duration::ZERO));
            thread::spawn(move || pass_on(both.1, both.0, delay));
        }
    });
    url
}

/// In the order that it came, each piece so much later; a second thread, so that pieces may overtake
/// no delay of those before them.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (send, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (due, piece) in pieces {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if send.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
            break;
        }
    }
    drop(send);
    let _ = writer.join();
}
