//! The demand for payment: what a 402 carries, and what its answer echoes.
//!
//! ```text
//! WWW-Authenticate: Payment id="…", realm="api.example", method="payhub", intent="session",
//!     request="<base64url of the terms' JSON>", expires="2026-11-26T22:05:00Z"
//! ```
//!
//! The id is a hash over everything else under a secret of the server's process, so a server keeps
//! nothing of what it demanded, takes no demand that it did not make, and none of an earlier process.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use settlement::crypto::{Tag, digest};
use settlement::types::{Amount, AssetId, LedgerId, PublicKey};

use super::price::{BadPrice, Per, Price};
use super::receipt::METHOD;
use super::time::{parse_rfc3339, rfc3339};

/// The scheme's name, in headers.
pub const SCHEME: &str = "Payment";
/// What is paid by: a stream, step by step.
pub const INTENT: &str = "session";
/// The most characters of a header that is looked at.
pub(super) const HEADER_MAX: usize = 16 << 10;

pub(super) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn unbase64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// What a server asks for: the JSON under `request`. Fields are in the order of their names, as the
/// canonical form of JSON has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What one of what is counted costs, in base units.
    pub amount: Amount,
    /// The asset's code, for people.
    pub currency: String,
    /// What a client of this method needs.
    #[serde(rename = "methodDetails")]
    pub details: Details,
    /// Who is paid.
    pub recipient: PublicKey,
    /// What is counted: `request`, `event` or `bytes`.
    #[serde(rename = "unitType")]
    pub unit_type: String,
}

/// See [`Terms`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Of which asset.
    pub asset: AssetId,
    /// How many bytes are counted as one, if bytes are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// How many steps the server serves beyond what it holds.
    pub credit: u32,
    /// The payee's hub, which has to be the payer's too.
    pub hub: PublicKey,
    /// Which ledger settles it.
    pub ledger: LedgerId,
    /// How many steps one of what is counted costs.
    pub steps: u32,
    /// What a step of a stream is worth that pays it.
    pub unit: Amount,
}

impl Terms {
    /// The price in it.
    ///
    /// # Errors
    /// [`BadPrice`], also when its parts contradict each other.
    pub fn price(&self) -> Result<Price, BadPrice> {
        let Details { asset, bytes, steps, unit, .. } = self.details;
        let per = match (self.unit_type.as_str(), bytes) {
            ("request", None) => Per::Request,
            ("event", None) => Per::Event,
            ("bytes", Some(bytes)) => Per::Bytes(bytes),
            _ => return Err(BadPrice::Zero),
        };
        let price = Price::new(asset, unit, steps, per)?;
        if price.amount() == self.amount { Ok(price) } else { Err(BadPrice::Overflow) }
    }

    pub(super) fn to_text(&self) -> String {
        base64(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn from_text(text: &str) -> Option<Terms> {
        serde_json::from_slice(&unbase64(text)?).ok()
    }
}

/// The name of what a price counts, and how many bytes.
pub(super) fn unit_of(per: Per) -> (&'static str, Option<u32>) {
    match per {
        Per::Request => ("request", None),
        Per::Event => ("event", None),
        Per::Bytes(bytes) => ("bytes", Some(bytes)),
    }
}

/// A demand, as it travels there in a header and back in a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Names it.
    pub id: String,
    /// Whose it is: the authority of the server's address, such as `api.example:8080`.
    pub realm: String,
    /// [`METHOD`].
    pub method: String,
    /// [`INTENT`].
    pub intent: String,
    /// The terms, in base64url.
    pub request: String,
    /// Until when it can be answered.
    pub expires: String,
}

impl Challenge {
    /// The demand for these terms, good until `expires_ms`.
    pub(super) fn issue(
        secret: &[u8; 32],
        realm: &str,
        request: &str,
        expires_ms: u64,
    ) -> Challenge {
        let mut challenge = Challenge {
            id: String::new(),
            realm: realm.to_owned(),
            method: METHOD.to_owned(),
            intent: INTENT.to_owned(),
            request: request.to_owned(),
            expires: rfc3339(expires_ms),
        };
        challenge.id = challenge.id_under(secret);
        challenge
    }

    fn id_under(&self, secret: &[u8; 32]) -> String {
        let Challenge { realm, method, intent, request, expires, .. } = self;
        base64(
            digest(Tag::Challenge, &(secret, realm, method, intent, request, expires)).as_slice(),
        )
    }

    /// Whether this server has made it, in this process, for these terms, and it is still good.
    pub(super) fn holds(&self, secret: &[u8; 32], realm: &str, request: &str, now_ms: u64) -> bool {
        let made = self.id_under(secret);
        // Hashed, so that how long it takes says nothing about where two ids begin to differ.
        let hashed = |id: &str| digest(Tag::Challenge, &(secret, id));
        let fits = hashed(&made) == hashed(&self.id);
        let alive = self.expires_ms().is_some_and(|expires| now_ms < expires);
        fits && alive && self.realm == realm && self.request == request
    }

    /// Until when it can be answered, in milliseconds since 1970.
    pub fn expires_ms(&self) -> Option<u64> {
        parse_rfc3339(&self.expires)
    }

    /// What is asked for.
    pub fn terms(&self) -> Option<Terms> {
        Terms::from_text(&self.request)
    }

    /// The header's value.
    pub fn to_header(&self) -> String {
        let Challenge { id, realm, method, intent, request, expires } = self;
        let realm = realm.replace(['"', '\\'], "");
        format!(
            "{SCHEME} id=\"{id}\", realm=\"{realm}\", method=\"{method}\", intent=\"{intent}\", \
             request=\"{request}\", expires=\"{expires}\""
        )
    }

    /// The demand in a `WWW-Authenticate` header that this method can answer; others may stand
    /// beside it.
    pub fn from_header(value: &str) -> Option<Challenge> {
        if value.len() > HEADER_MAX {
            return None;
        }
        let schemes = schemes(value);
        schemes.into_iter().find_map(|(scheme, params)| {
            let get = |name: &str| {
                let found = params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
            };
            let challenge = Challenge {
                id: get("id")?,
                realm: get("realm")?,
                method: get("method")?,
                intent: get("intent")?,
                request: get("request")?,
                expires: get("expires")?,
            };
            let ours = scheme.eq_ignore_ascii_case(SCHEME)
                && challenge.method == METHOD
                && challenge.intent == INTENT;
            ours.then_some(challenge)
        })
    }
}

/// What a server says is wrong with the credential that it was shown, beside its fresh demand. For
/// answers that have no body.
pub(super) fn error_in(value: &str) -> Option<String> {
    let ours = |(scheme, _): &Scheme| scheme.eq_ignore_ascii_case(SCHEME);
    let (_, params) = schemes(value.get(..HEADER_MAX).unwrap_or(value)).into_iter().find(ours)?;
    params.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("error")).map(|(_, value)| value)
}

/// A scheme and its parameters.
type Scheme = (String, Vec<(String, String)>);

/// The schemes of a header, each with its parameters. What can't be read ends the list.
fn schemes(value: &str) -> Vec<Scheme> {
    let mut found: Vec<Scheme> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find(|c: char| " \t,=\"".contains(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return found;
        }
        let Some(assigned) = after.trim_start().strip_prefix('=') else {
            found.push((word.to_owned(), Vec::new()));
            rest = after;
            continue;
        };
        let Some((value, after)) = parameter(assigned.trim_start()) else { return found };
        if let Some((_, params)) = found.last_mut() {
            params.push((word.to_owned(), value));
        }
        rest = after;
    }
}

/// A token or quoted string, and what follows it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests;
