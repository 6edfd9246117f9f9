//! Signing wallets in on a connection.

use anyhow::{Context, Result, bail};
use settlement::crypto::Signable;
use settlement::types::{Hash, Role};
use settlement::wire::{HELLO_KEYS_MAX, Hello, Message, SignIn, VERSION};

use crate::load::fleet::Fleet;
use crate::load::socket::Socket;

/// Connects, and signs in the wallets of this connection.
pub(super) fn sign_in(fleet: &Fleet, connection: usize, host: &str) -> Result<Socket> {
    let (mut socket, mut stream) = Socket::connect(host)?;
    let info = &fleet.terms().info;
    let hello = socket.wait(&mut stream)?;
    let Message::Hello(Hello { challenge, .. }) = hello else { bail!("the hub does not greet") };
    let mut ours = Hash::ZERO;
    rand::fill(&mut ours.0[..]);
    let (ledger, hub) = (info.ledger, info.hub);
    let wallets: Vec<_> = fleet.wallets.iter().filter(|it| it.connection == connection).collect();
    for some in wallets.chunks(HELLO_KEYS_MAX) {
        let keys = some.iter().map(|wallet| {
            let key = wallet.key().public();
            let body = SignIn { ledger, hub, challenge, key, role: Role::Wallet };
            (key, wallet.key().sign(&body.digest()))
        });
        let hello = Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger,
            challenge: ours,
            keys: keys.collect(),
        };
        socket.queue(&Message::Hello(hello));
        let Message::Hello(Hello { keys, .. }) = socket.wait(&mut stream)? else {
            bail!("the hub does not prove its key");
        };
        let body = SignIn { ledger, hub, challenge: ours, key: hub, role: Role::Hub };
        let (_, proof) = keys.first().context("the hub does not prove its key")?;
        fleet.terms().hub.verify(&body.digest(), proof)?;
    }
    socket.settle(&stream)?;
    Ok(socket)
}
