//! Why a request is not served: the 402 and its problem (RFC 9457).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use super::account::Declined;
use super::challenge::Challenge;
use super::layer::PaidBody;

/// Where the problems of the `Payment` scheme are named.
const PROBLEMS: &str = "https://paymentauth.org/problems/";

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing was paid.
    Required,
    /// The header can't be read.
    Malformed,
    /// The demand is not this server's, not for this price, expired, or was answered before.
    Challenge,
    /// The steps are not this payee's, or do not fit.
    Verification,
    /// So many steps more are needed.
    Insufficient(u64),
    /// Too much at a time; later perhaps.
    Busy,
    /// The response that more steps are for is over.
    Gone,
}

impl Kind {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Required => ("payment-required", "Payment required"),
            Kind::Malformed => ("malformed-credential", "The credential can't be read"),
            Kind::Challenge => ("invalid-challenge", "The demand is not good, or not any more"),
            Kind::Verification => ("verification-failed", "The payment is not good"),
            Kind::Insufficient(_) => ("payment-insufficient", "The payment is not enough"),
            Kind::Busy => ("busy", "Too many payments at a time"),
            Kind::Gone => ("session-not-found", "No such response is under way"),
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) kind: Kind,
    pub(super) detail: String,
}

impl Denial {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Denial {
        Denial { kind, detail: detail.into() }
    }

    /// The 402 with a fresh demand.
    pub(super) fn response(&self, challenge: &Challenge) -> Response<PaidBody> {
        let (name, title) = self.kind.names();
        let status =
            if self.kind == Kind::Gone { StatusCode::GONE } else { StatusCode::PAYMENT_REQUIRED };
        let mut problem = json!({
            "type": format!("{PROBLEMS}{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "terms": challenge.terms(),
        });
        if let (Kind::Insufficient(missing), Some(problem)) = (self.kind, problem.as_object_mut()) {
            problem.insert("missing".to_owned(), json!(missing));
        }
        let body = Full::new(Bytes::from(problem.to_string())).map_err(|never| match never {});
        let mut response = Response::new(PaidBody::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind == Kind::Busy {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let demand = format!("{}, error=\"{name}\"", challenge.to_header());
        if let (StatusCode::PAYMENT_REQUIRED, Ok(value)) = (status, HeaderValue::from_str(&demand))
        {
            headers.insert(WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<Declined> for Denial {
    fn from(declined: Declined) -> Denial {
        match declined {
            Declined::Replayed => {
                Denial::new(Kind::Challenge, "this credential was taken before; make a new one")
            }
            Declined::Busy => Denial::new(Kind::Busy, "too much is under way over this stream"),
            Declined::Short(missing) => {
                let detail = format!("{missing} steps more are needed than the payee has in hand");
                Denial::new(Kind::Insufficient(missing), detail)
            }
            Declined::Unknown => {
                Denial::new(Kind::Gone, "the response that these steps are for is over")
            }
            Declined::Whole => Denial::new(
                Kind::Verification,
                "what is paid by the request ends when it is answered",
            ),
        }
    }
}
