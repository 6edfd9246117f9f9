//! What the three say.

use serde::Serialize;

/// The most that the rest of the lock may take to come back, in milliseconds.
const FREE_WITHIN_MS: f64 = 1_000.0;

/// In words, each of which is one step and one unit, unless the name says otherwise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// What the client has read.
    pub(crate) words_read: u64,
    /// What it has paid.
    pub(crate) client_handed: u64,
    /// What the server has sent.
    pub(crate) server_served: u64,
    /// What it was paid.
    pub(crate) server_holds: u64,
    /// What it has signed for this response.
    pub(crate) receipt: u64,
    /// What the hub has signed that it owes the server more than before.
    pub(crate) hub_owes_server: u64,
    /// What the hub has signed that it owes the reader less than before, fees apart.
    pub(crate) hub_took_of_reader: u64,
    /// The hub's fees, in units.
    pub(crate) fees: u64,
    /// What was locked for the stream when the reader stopped, in units.
    pub(crate) locked: u64,
    /// What of it is still, in units.
    pub(crate) still_locked: u64,
    /// How long that took.
    pub(crate) free_after_ms: f64,
}

impl Report {
    /// Whether all agree, and the rest of the lock is free again within a second.
    pub(crate) fn is_good(&self) -> bool {
        let said = [
            self.client_handed,
            self.server_served,
            self.server_holds,
            self.receipt,
            self.hub_owes_server,
            self.hub_took_of_reader,
        ];
        let agree = said.iter().all(|words| *words == self.words_read);
        agree && self.still_locked == 0 && self.free_after_ms <= FREE_WITHIN_MS
    }

    /// The same for people.
    pub(crate) fn table(&self) -> String {
        let verdict = if self.is_good() {
            "All three agree on every word, and the rest of the lock is free again."
        } else {
            "They do NOT agree, or the rest of the lock is not free."
        };
        let lines = [
            format!("client  read {} words, paid {}", self.words_read, self.client_handed),
            format!(
                "server  sent {} words, was paid {}, signed a receipt for {}",
                self.server_served, self.server_holds, self.receipt
            ),
            format!(
                "hub     owes the server {} more, took {} of the reader (and {} for itself)",
                self.hub_owes_server, self.hub_took_of_reader, self.fees
            ),
            format!(
                "lock    {} units when the reader stopped, {} after {:.1} ms",
                self.locked, self.still_locked, self.free_after_ms
            ),
            verdict.to_owned(),
        ];
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_more_or_less_anywhere_is_noticed() {
        let good = Report {
            words_read: 7,
            client_handed: 7,
            server_served: 7,
            server_holds: 7,
            receipt: 7,
            hub_owes_server: 7,
            hub_took_of_reader: 7,
            fees: 2,
            locked: 90,
            still_locked: 0,
            free_after_ms: 1_000.0,
        };
        assert!(good.is_good());
        let changes: [fn(&mut Report); 9] = [
            |it| it.words_read = 6,
            |it| it.client_handed = 8,
            |it| it.server_served = 8,
            |it| it.server_holds = 6,
            |it| it.receipt = 6,
            |it| it.hub_owes_server = 6,
            |it| it.hub_took_of_reader = 8,
            |it| it.still_locked = 1,
            |it| it.free_after_ms = 1_000.1,
        ];
        for change in changes {
            let mut other = good.clone();
            change(&mut other);
            assert!(!other.is_good(), "{other:?}");
            assert!(other.table().contains("NOT"), "{}", other.table());
        }
    }
}
