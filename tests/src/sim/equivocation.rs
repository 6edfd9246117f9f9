//! Two proofs with one number.

use std::collections::BTreeMap;

use settlement::proof::BalanceProof;
use settlement::types::ChannelId;
use settlement::wire::Message;

use super::World;
use super::breakage::name;

/// The first proof that each process has sent out under each number.
pub(super) type Signed = BTreeMap<(usize, ChannelId, u64), BalanceProof>;

impl World {
    /// ⚔ Nobody honest signs two proofs with one number, whatever crashes. One that starts on an old copy may:
    /// nobody may have got the first of them, and so nobody can show it.
    pub(super) fn note_signed(&mut self, process: usize, message: &Message) {
        let Message::Update(update) = message else { return };
        let proof = update.proof.value;
        let forgets = match process.checked_sub(1) {
            Some(who) => self.facts.has_forgotten(who),
            None => self.loss.of_hub(),
        };
        let before = *self.signed.entry((process, proof.channel, proof.seq)).or_insert(proof);
        if before != proof && !forgets {
            self.wrong.get_or_insert(format!(
                "{} has signed {before:?}, and now {proof:?}",
                name(process)
            ));
        }
    }
}
