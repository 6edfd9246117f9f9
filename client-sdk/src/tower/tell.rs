//! Telling whoever runs the tower. Whoever listens may have gone, or have stopped to read: the guard
//! goes on. It waits for a listener once, and from then on only tells one that reads again, which
//! hears first how much it has missed.

use std::time::Duration;

use settlement::reject::Code;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Told;

/// How long a listener that does not read holds the guard up, once.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Teller {
    tell: mpsc::Sender<Told>,
    /// How much was not told since the listener stopped to read.
    untold: u64,
}

impl Teller {
    pub(super) fn new(tell: mpsc::Sender<Told>) -> Teller {
        Teller { tell, untold: 0 }
    }

    pub(super) async fn say(&mut self, told: Told) {
        if self.untold > 0 {
            let detail = format!("{} things were not told, as nobody read them", self.untold);
            let missed = Told::Trouble { channel: None, code: Code::SlowConsumer, detail };
            let heard = self.tell.try_send(missed).and_then(|()| self.tell.try_send(told));
            self.untold = if heard.is_ok() { 0 } else { self.untold.saturating_add(1) };
        } else if timeout(PATIENCE, self.tell.send(told)).await.is_err() {
            self.untold = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seq: u64) -> Told {
        Told::Guarding { channel: settlement::types::ChannelId([7; 32]), seq }
    }

    #[tokio::test]
    async fn a_listener_that_does_not_read_is_waited_for_once_and_hears_what_it_missed() {
        let (tell, mut heard) = mpsc::channel(2);
        let mut teller = Teller::new(tell);
        let started = std::time::Instant::now();
        for seq in 1..=60 {
            teller.say(told(seq)).await;
        }
        assert!(started.elapsed() < 20 * PATIENCE, "it was waited for again and again");
        assert_eq!((heard.recv().await, heard.recv().await), (Some(told(1)), Some(told(2))));
        teller.say(told(61)).await;
        match heard.recv().await {
            Some(Told::Trouble { code: Code::SlowConsumer, detail, .. }) => {
                assert!(detail.starts_with("58 "), "{detail}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(heard.recv().await, Some(told(61)));
        drop(heard);
        // Nor is nobody there at all a reason to stop.
        teller.say(told(62)).await;
    }
}
