//! Blocks and leases for tests.

use std::sync::Arc;

use settlement::block::{BlockEvents, Header, LedgerEvent, SignedHeader};
use settlement::crypto::SigningKey;
use settlement::tx::Lease;
use settlement::types::{Hash, Height, Holder, LedgerId, PublicKey};

use super::{Authority, Terms};
use crate::shard::Own;

pub(crate) fn hub() -> PublicKey {
    SigningKey::from_bytes([1; 32]).unwrap().public()
}

/// A block at the time of `height` seconds.
pub(crate) fn block(height: u64, events: Vec<LedgerEvent>) -> BlockEvents {
    let header = Header {
        ledger: LedgerId([1; 32]),
        height: Height(height),
        parent: Hash::ZERO,
        time_ms: height * 1_000,
        tx_root: Hash::ZERO,
        tx_count: 0,
        writes: Hash::ZERO,
        state_root: Hash::ZERO,
    };
    let key = SigningKey::from_bytes([9; 32]).unwrap();
    BlockEvents { header: SignedHeader::sign(&key, header), events }
}

pub(crate) fn lease(epoch: u64, holder: u8) -> Lease {
    Lease { epoch, holder: Holder([holder; 16]) }
}

pub(crate) fn leased(hub: PublicKey, lease: Lease) -> LedgerEvent {
    LedgerEvent::Leased { hub, epoch: lease.epoch, holder: lease.holder }
}

/// On a ledger elsewhere whose view is fresh for 10 s, or 20 blocks.
pub(crate) fn terms(embedded: bool) -> Terms {
    Terms { hub: hub(), embedded, lag: 20, stale_view_ms: 10_000, clocks_ms: 2_000 }
}

/// A process on an embedded ledger that has chosen its lease and not brought it there.
pub(crate) fn taken() -> Arc<Authority> {
    let authority = Authority::new(terms(true), Own::default());
    authority.take(lease(1, 1));
    Arc::new(authority)
}

/// One that holds it, on an embedded ledger.
pub(crate) fn held() -> Arc<Authority> {
    let authority = taken();
    authority.taken_in();
    authority.follow(&block(1, vec![leased(hub(), lease(1, 1))]));
    assert!(authority.may_sign());
    authority
}
