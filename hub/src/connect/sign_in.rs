//! Signing in: each side proves its keys over the other's challenge.

use std::sync::Arc;

use settlement::crypto::{Signable, VerifyingKey};
use settlement::reject::Code;
use settlement::types::{Hash, LedgerId, Role};
use settlement::wire::{HELLO_KEYS_MAX, Hello, Message, SignIn, VERSION};

use crate::hub::Hub;
use crate::peer::Peer;

/// A connection's way in.
pub(super) struct SigningIn {
    hub: Arc<Hub>,
    peer: Arc<Peer>,
    challenge: Hash,
    done: bool,
}

impl SigningIn {
    /// Sends the hub's challenge.
    pub(super) fn start(hub: &Arc<Hub>, peer: &Arc<Peer>) -> SigningIn {
        let mut challenge = Hash::ZERO;
        if let Err(error) = getrandom::fill(&mut challenge.0) {
            tracing::error!(%error, "the system gives no randomness: nobody can sign in");
            peer.close(Code::Internal);
        }
        let signing_in = SigningIn { hub: hub.clone(), peer: peer.clone(), challenge, done: false };
        peer.send(&Message::Hello(signing_in.hello_with(Vec::new())));
        signing_in
    }

    /// Whether some wallet has signed in.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    fn hello_with(
        &self,
        keys: Vec<(settlement::types::PublicKey, settlement::types::Signature)>,
    ) -> Hello {
        Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger: self.hub.ledger_id,
            challenge: self.challenge,
            keys,
        }
    }

    /// Signs wallets in and proves the hub's key in return.
    pub(super) async fn hello(&mut self, hello: Hello) -> Result<(), Code> {
        check_common(&hello, self.hub.ledger_id)?;
        let (ledger, challenge, theirs) = (self.hub.ledger_id, self.challenge, hello.challenge);
        let key = self.hub.key.clone();
        let hub = key.public();
        let asked = SignIn { ledger, hub, challenge, key: hub, role: Role::Wallet };
        // Up to 256 signatures, 25 µs each: not on a thread that serves sockets.
        let checked = tokio::task::spawn_blocking(move || {
            check_keys(&hello, &asked)?;
            let body = SignIn { challenge: theirs, key: asked.hub, role: Role::Hub, ..asked };
            Ok((hello, (asked.hub, key.sign(&body.digest()))))
        });
        let (hello, proof) = checked.await.map_err(|_| Code::Internal)??;
        if hello.keys.is_empty() && !self.done {
            return Err(Code::BadSignIn);
        }
        let keys = hello.keys.iter().map(|(key, _)| *key);
        let most = self.hub.config.connections.keys;
        self.hub.shared.router.sign_in(&self.peer, keys.clone(), most)?;
        self.done = true;
        self.peer.send(&Message::Hello(self.hello_with(vec![proof])));
        self.hub.relay.deliver(&self.peer, keys);
        Ok(())
    }
}

fn check_common(hello: &Hello, ledger: LedgerId) -> Result<(), Code> {
    if hello.version_min > VERSION || hello.version_max < VERSION {
        return Err(Code::UnsupportedVersion);
    }
    if hello.ledger != ledger {
        return Err(Code::WrongLedger);
    }
    if hello.keys.len() > HELLO_KEYS_MAX { Err(Code::TooManyKeys) } else { Ok(()) }
}

/// Every key of a wallet's hello has signed what it was asked to, in its own name.
fn check_keys(hello: &Hello, asked: &SignIn) -> Result<(), Code> {
    for (key, signature) in &hello.keys {
        let body = SignIn { key: *key, ..*asked };
        let verifying = VerifyingKey::parse(key).map_err(|_| Code::BadSignIn)?;
        verifying.verify(&body.digest(), signature).map_err(|_| Code::BadSignIn)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use settlement::crypto::SigningKey;
    use settlement::types::PublicKey;

    const LEDGER: LedgerId = LedgerId([1; 32]);
    const CHALLENGE: Hash = Hash([2; 32]);

    const HUB: PublicKey = PublicKey([2; 33]);

    fn asked(key: PublicKey) -> SignIn {
        SignIn { ledger: LEDGER, hub: HUB, challenge: CHALLENGE, key, role: Role::Wallet }
    }

    fn signed(body: &SignIn, by: &SigningKey) -> Hello {
        Hello {
            version_min: VERSION,
            version_max: VERSION,
            features: 0,
            ledger: LEDGER,
            challenge: Hash([3; 32]),
            keys: vec![(body.key, by.sign(&body.digest()))],
        }
    }

    #[test]
    fn a_sign_in_is_good_for_one_key_role_ledger_hub_and_challenge() {
        let key = SigningKey::from_bytes([5; 32]).unwrap();
        let other = SigningKey::from_bytes([6; 32]).unwrap();
        let good = asked(key.public());
        assert_eq!(check_keys(&signed(&good, &key), &asked(HUB)), Ok(()));
        let bad = [
            signed(&good, &other),
            signed(&SignIn { role: Role::Hub, ..good }, &key),
            signed(&SignIn { ledger: LedgerId([9; 32]), ..good }, &key),
            signed(&SignIn { hub: other.public(), ..good }, &key),
            signed(&SignIn { challenge: Hash([9; 32]), ..good }, &key),
            signed(&SignIn { key: other.public(), ..good }, &key),
        ];
        for hello in bad {
            assert_eq!(check_keys(&hello, &asked(HUB)), Err(Code::BadSignIn));
        }
    }

    #[test]
    fn another_ledger_or_version_and_too_many_keys_are_told_apart() {
        let key = SigningKey::from_bytes([5; 32]).unwrap();
        let good = signed(&asked(key.public()), &key);
        assert_eq!(check_common(&good, LEDGER), Ok(()));
        let many = vec![good.keys[0]; HELLO_KEYS_MAX + 1];
        let cases = [
            (Hello { version_min: 2, version_max: 3, ..good.clone() }, Code::UnsupportedVersion),
            (Hello { version_min: 0, version_max: 0, ..good.clone() }, Code::UnsupportedVersion),
            (Hello { ledger: LedgerId([9; 32]), ..good.clone() }, Code::WrongLedger),
            (Hello { keys: many, ..good }, Code::TooManyKeys),
        ];
        for (hello, code) in cases {
            assert_eq!(check_common(&hello, LEDGER), Err(code));
        }
    }
}
