//! A wire between a wallet and its hub that can be cut in the one direction that matters.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The wire. A wallet takes its address for the hub's.
pub struct Wire {
    /// Where the wallet connects.
    pub url: String,
    cut: Arc<AtomicBool>,
}

impl Wire {
    /// A wire to the hub at this address, host and port.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn to(hub: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (hub, cut) = (hub.to_owned(), Arc::<AtomicBool>::default());
        let cut_there = cut.clone();
        std::thread::spawn(move || {
            for wallet in listener.incoming().map_while(Result::ok) {
                // No hub there: the wallet sees its connection end.
                let Ok(there) = TcpStream::connect(&hub) else { continue };
                let (back, wallet_back) = (there.try_clone().unwrap(), wallet.try_clone().unwrap());
                let cut = cut_there.clone();
                std::thread::spawn(move || pass_on(wallet, there, &cut));
                std::thread::spawn(move || pass_on(back, wallet_back, &AtomicBool::new(false)));
            }
        });
        Wire { url, cut }
    }

    /// From now on nothing that the wallet says reaches the hub; the wallet hears the hub as before.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    /// Connections that are made from now on work both ways.
    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

/// Until one of the two is gone.
fn pass_on(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        lost |= cut.load(Ordering::SeqCst);
        if !lost && to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Either may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
