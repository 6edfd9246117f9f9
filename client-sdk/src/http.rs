//! The one way in which hub and ledger are asked over HTTP: JSON in and out, bounded answers,
//! problems with a numbered code.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use settlement::api::Problem;

use crate::trust::Trust;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take, beyond what it was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes of an answer: 64 MiB, a few of the largest blocks.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why a request did not succeed.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// It was answered with a refusal.
    Refused(Box<Problem>),
    /// It was not answered, or not in a way that can be understood.
    Unreachable(String),
}

/// Text that is no address to ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no address of a hub or ledger: {reason}")]
pub struct BadUrl {
    /// What was given.
    pub url: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    /// Requests to paths under `base`, such as `http://127.0.0.1:7400`.
    pub(crate) fn new(base: &str, trust: &Trust) -> Result<Http, BadUrl> {
        let bad = |reason: String| BadUrl { url: base.to_owned(), reason };
        let url = reqwest::Url::parse(base).map_err(|error| bad(error.to_string()))?;
        match url.scheme() {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(bad("this program was built without TLS".into())),
            _ => return Err(bad("it must start with https:// or http://".into())),
        }
        let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
        let client = trusting(client, trust).build().map_err(|error| bad(error.to_string()))?;
        Ok(Http { client, base: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// The address that paths are put behind, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        json(&self.bytes(self.client.get(self.url(path)), Duration::ZERO).await?)
    }

    pub(crate) async fn get_bytes(&self, path: &str, wait: Duration) -> Result<Vec<u8>, CallError> {
        self.bytes(self.client.get(self.url(path)), wait).await
    }

    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, CallError> {
        json(&self.bytes(self.client.post(self.url(path)).json(body), Duration::ZERO).await?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn bytes(
        &self,
        request: reqwest::RequestBuilder,
        wait: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let unreachable = |error: reqwest::Error| CallError::Unreachable(cause(&error));
        let timeout = ANSWER_TIMEOUT.saturating_add(wait);
        let mut answer = request.timeout(timeout).send().await.map_err(unreachable)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(CallError::Unreachable("the answer is too large".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        if answer.status().is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(CallError::Refused(Box::new(problem))),
            Err(_) => {
                let status = answer.status();
                Err(CallError::Unreachable(format!("{} answered {status}", self.base)))
            }
        }
    }
}

/// A client that believes these certificates, asks no proxy and follows no redirects.
#[cfg(feature = "http402")]
pub(crate) fn client(trust: &Trust) -> Result<reqwest::Client, reqwest::Error> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy();
    trusting(client.redirect(reqwest::redirect::Policy::none()), trust).build()
}

#[cfg(feature = "tls")]
fn trusting(client: reqwest::ClientBuilder, trust: &Trust) -> reqwest::ClientBuilder {
    client.tls_backend_preconfigured(rustls::ClientConfig::clone(&trust.config()))
}

#[cfg(not(feature = "tls"))]
fn trusting(client: reqwest::ClientBuilder, _: &Trust) -> reqwest::ClientBuilder {
    client
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    let read = serde_json::from_slice(bytes);
    read.map_err(|error| CallError::Unreachable(format!("the answer can't be read: {error}")))
}

/// The innermost reason: "connection refused" says more than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let at = error.url().map(|url| format!("{}: ", url.origin().ascii_serialization()));
    format!("{}{innermost}", at.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_before_it_is_used() {
        let base = |url: &str| Http::new(url, &Trust::default()).map(|http| http.base().to_owned());
        assert_eq!(base("http://127.0.0.1:7400/"), Ok("http://127.0.0.1:7400".to_owned()));
        assert_eq!(base("https://hub.example/").is_ok(), cfg!(feature = "tls"));
        for url in ["127.0.0.1:7400", "ftp://hub.example", ""] {
            assert!(base(url).is_err(), "{url} was taken");
        }
    }
}
