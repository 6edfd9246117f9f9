//! Answers to users: released by the committer, behind what they rest on.

use settlement::types::Anchor;
use tokio::sync::oneshot;

use super::{Answered, Core, Watch};
use crate::client::ClientError;
use crate::client::pipe::Effect;
use crate::wallet::{Action, Command, Event, Input, Payment, PaymentState};

impl Core {
    /// Shows a wallet to those who watch it.
    pub(super) fn look(&mut self, index: u32) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        let wallet = &held.wallet;
        held.watches.retain_mut(|watch| match watch(wallet) {
            Some(release) => {
                self.group.effects.push(Effect::Release(release));
                false
            }
            None => true,
        });
    }

    pub(super) fn command(&mut self, index: u32, command: Command, answered: Answered) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        let output = held.wallet.handle(Input::Command(Box::new(command)), self.now_ms);
        let told = output.actions.iter().find_map(|action| match action {
            Action::Tell(event) => Some(event.clone()),
            _ => None,
        });
        let answer = match told {
            Some(Event::Refused { code, detail, payment }) => {
                Err(ClientError { code, detail, payment })
            }
            other => Ok(other),
        };
        self.absorb(index, output);
        self.release(move || {
            // Whoever asked may have gone.
            let _ = answered.send(answer);
        });
    }

    pub(super) fn wait_for(&mut self, index: u32, anchor: Anchor, ended: oneshot::Sender<Payment>) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        match held.wallet.payment(&anchor) {
            Some(payment) if payment.state != PaymentState::Pending => {
                let payment = payment.clone();
                self.release(move || {
                    let _ = ended.send(payment);
                });
            }
            _ => {
                let waiting = held.ends.entry(anchor).or_default();
                waiting.retain(|waiting| !waiting.is_closed());
                waiting.push(ended);
            }
        }
    }

    pub(super) fn watch(&mut self, index: u32, mut watch: Watch) {
        let Some(held) = self.wallets.get_mut(index as usize) else { return };
        match watch(&held.wallet) {
            Some(release) => self.group.effects.push(Effect::Release(release)),
            None => held.watches.push(watch),
        }
    }

    pub(super) fn release(&mut self, release: impl FnOnce() + Send + 'static) {
        self.group.effects.push(Effect::Release(Box::new(release)));
    }
}
