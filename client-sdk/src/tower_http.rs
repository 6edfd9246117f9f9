//! A tower over HTTP, as a wallet hands in to it.

use crate::client::ClientError;
pub use crate::http::BadUrl;
use crate::http::{CallError, Http};
use crate::tower::{ANSWERS_PER_REQUEST, HandedIn};
use crate::trust::Trust;
use crate::watchtower::{Answer, Export};
use settlement::reject::Code;

/// The tower at an address.
#[derive(Clone, Debug)]
pub struct HttpTower {
    http: Http,
}

impl HttpTower {
    /// The tower at this address, such as `http://127.0.0.1:7402`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn new(base: &str) -> Result<HttpTower, BadUrl> {
        HttpTower::trusting(base, &Trust::default())
    }

    /// The same, where it is known whose certificates to believe.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn trusting(base: &str, trust: &Trust) -> Result<HttpTower, BadUrl> {
        Ok(HttpTower { http: Http::new(base, trust)? })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.http.base()
    }

    /// Hands answers in. Those that come back as held are on the tower's disk.
    ///
    /// # Errors
    /// [`Code::TowerUnavailable`] when it does not answer; any code with which it refuses all.
    pub async fn hand_in(&self, answers: &[Answer]) -> Result<HandedIn, ClientError> {
        let mut all = HandedIn::default();
        for some in answers.chunks(ANSWERS_PER_REQUEST) {
            let export = Export::new(some.to_vec());
            let answer: Result<HandedIn, CallError> = self.http.post("/v1/answers", &export).await;
            let HandedIn { held, refused } = answer.map_err(|error| match error {
                CallError::Refused(problem) => ClientError::new(problem.code, problem.detail),
                CallError::Unreachable(why) => ClientError::new(Code::TowerUnavailable, why),
            })?;
            all.held.extend(held);
            all.refused.extend(refused);
        }
        Ok(all)
    }
}
