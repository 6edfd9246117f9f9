//! `digests.txt`: name, bytes, digest. The bytes are the postcard encoding of the value, which is
//! what is hashed under the tag that the name begins with.

use super::{assert_frozen, fixed};
use crate::crypto::{Signable, Tag, batch_root, chain_step, digest, merkle_root};
use crate::encoding::encode;
use crate::lock::locks_root;
use crate::types::Hash;

fn line(tag: Tag, what: &str, bytes: &[u8], digest: Hash) -> String {
    format!("{} {what} {} {digest}", tag.text(), hex::encode(bytes))
}

fn signed<T: Signable>(what: &str, value: &T) -> String {
    line(T::TAG, what, &encode(value), value.digest())
}

#[test]
fn digests_are_frozen() {
    // The number 300 under each tag: the varint ac 02.
    let mut lines: Vec<String> = Tag::all()
        .map(|tag| line(tag, "number-300", &encode(&300u64), digest(tag, &300u64)))
        .collect();
    let (genesis, terms, locks) = (fixed::genesis(), fixed::terms(), fixed::locks());
    let batch = (Hash([0x71; 32]), 3u16);
    lines.extend([
        line(Tag::Ledger, "genesis", &encode(&genesis), Hash(genesis.ledger_id().0)),
        line(Tag::Channel, "open-terms", &encode(&terms), Hash(terms.channel_id().0)),
        line(Tag::Locks, "locks", &encode(&locks), locks_root(&locks)),
        line(Tag::Batch, "root-and-count", &encode(&batch), batch_root(&batch.0, batch.1)),
        signed("balance-proof", &fixed::proof()),
        signed("header", &fixed::header()),
        signed("sign-in", &fixed::sign_in()),
        signed("withdrawal", &fixed::withdrawal()),
        signed("cooperative-close", &fixed::close()),
        signed("submission", &fixed::submission()),
        signed("mint", &fixed::mint()),
    ]);
    let (leaf, top) = (fixed::leaf(), (fixed::leaf().digest(), 301u64));
    let root = crate::state_proof::state_root(&top.0, top.1);
    let liabilities = fixed::liabilities();
    lines.extend([
        line(Tag::State, "channel-leaf", &encode(&leaf), leaf.digest()),
        line(Tag::StateRoot, "root-and-count", &encode(&top), root),
        format!("root of-liabilities {} {}", liabilities.total, liabilities.root),
    ]);
    lines.extend(fixed::actions().into_iter().map(|action| {
        let name = fixed::action_name(&action);
        signed(name, &fixed::account(action))
    }));
    let transactions = fixed::transactions();
    lines.extend(
        transactions
            .iter()
            .map(|tx| line(Tag::TxId, fixed::transaction_name(tx), &encode(tx), Hash(tx.id().0))),
    );
    // Without a tag: one step of a chain; and Merkle roots over the first ids above.
    lines.push(format!("plain chain-step {} {}", "72".repeat(32), Hash(chain_step(&[0x72; 32]))));
    let ids: Vec<Hash> = transactions.iter().map(|tx| Hash(tx.id().0)).collect();
    for count in [0, 1, 2, 3, 5] {
        let bytes: Vec<u8> = ids.iter().take(count).flat_map(|id| id.0).collect();
        let (bytes, root) = (hex::encode(bytes), merkle_root(&ids[..count]));
        lines.push(format!("root of-{count} {bytes} {root}"));
    }
    lines.push(format!("root of-no-locks  {}", locks_root(&[])));
    assert_frozen("digests.txt", &lines);
}
