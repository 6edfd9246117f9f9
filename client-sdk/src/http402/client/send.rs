//! One request, again with a credential as long as that can help.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Request, Response, StatusCode, Url};
use serde::Deserialize;

use super::linger::carried;
use super::open::{Purse, Reservation, Target};
use super::{ClientInner, Known};
use crate::client::fresh;
use crate::http402::RECEIPT_HEADER;
use crate::http402::challenge::{HEADER_MAX, error_in, unbase64};
use crate::http402::credential::Action;
use crate::http402::error::PayError;
use crate::http402::price::Per;
use crate::http402::receipt::{Receipt, resource};
use crate::http402::session::SessionId;
use crate::relay::StepToken;

/// How often a request is tried: for the demand, when the demand has expired, and when a server that
/// has started again holds less than it said.
pub(in crate::http402) const TRIES: u32 = 4;
/// The most bytes of a problem that are read.
const PROBLEM_MAX: usize = 64 << 10;

/// An answer, and what was paid for it.
pub(in crate::http402) struct Answered {
    pub(in crate::http402) response: Response,
    /// Nothing, if nothing was asked for.
    pub(in crate::http402) paid: Option<Paid>,
}

/// What came of one try. The inner error is one that another may help.
pub(in crate::http402) type Tried = Result<Result<Answered, PayError>, PayError>;

/// What an answer is paid with.
pub(in crate::http402) struct Paid {
    pub(in crate::http402) purse: Arc<Purse>,
    pub(in crate::http402) known: Arc<Known>,
    pub(in crate::http402) name: String,
    pub(in crate::http402) url: Url,
    pub(in crate::http402) session: SessionId,
    pub(in crate::http402) resource: String,
    /// Steps that it was given.
    pub(in crate::http402) assigned: u64,
}

/// What of a problem is told to people.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    /// How many steps are missing.
    missing: Option<u64>,
}

impl ClientInner {
    /// Sends a request, pays if that is asked for and within the limits.
    ///
    /// When this is given up in between, the server has [`super::LINGER`] to answer: so it is known what
    /// became of the steps.
    pub(in crate::http402) async fn send(
        self: &Arc<ClientInner>,
        request: &Request,
    ) -> Result<Answered, PayError> {
        let (method, url) = (request.method().as_str(), request.url());
        let target = Target::of(method, url);
        let name = format!("{method} {}{}", url.origin().ascii_serialization(), url.path());
        let mut refused = None;
        for _ in 0..TRIES {
            let Some(known) = self.known(&name) else {
                let response = self.http.execute(again(request)?).await?;
                if response.status() != StatusCode::PAYMENT_REQUIRED {
                    return Ok(Answered { response, paid: None });
                }
                self.meet(&name, &target, response.headers())?;
                continue;
            };
            match self.try_paid(request, &target, &name, known).await? {
                Ok(answered) => return Ok(answered),
                Err(why) => refused = Some(why),
            }
        }
        Err(refused.unwrap_or_else(|| PayError::Demand("it changes all the time".to_owned())))
    }

    /// Sends it with steps.
    async fn try_paid(
        self: &Arc<ClientInner>,
        request: &Request,
        target: &Target,
        name: &str,
        known: Arc<Known>,
    ) -> Tried {
        let purse = self.purse(&known, &target.realm).await?;
        let reservation = purse.reserve(self.first_steps(&known, &purse)).await?;
        let (session, assigned) = (SessionId(fresh()?), reservation.steps());
        let handing = (session, assigned);
        let (header, tokens) = purse.credential(&known.challenge, Action::Open, target, handing)?;
        let mut paid = again(request)?;
        paid.headers_mut().append(AUTHORIZATION, header_value(&header)?);
        let resource = resource(&target.method, &target.realm, &target.path);
        let (url, name) = (request.url().clone(), name.to_owned());
        let payee = purse.payee().clone();
        let asked = Paid { purse, known, name, url, session, resource, assigned };
        let (client, target) = (self.clone(), target.clone());
        let asking = async move { client.ask(paid, &target, asked, reservation, &tokens).await };
        carried(self.clone(), payee, asking).await
    }

    /// Asks for what is paid for.
    async fn ask(
        &self,
        request: Request,
        target: &Target,
        asked: Paid,
        reservation: Reservation,
        tokens: &[StepToken],
    ) -> Tried {
        let response = self.http.execute(request).await?;
        if response.status() == StatusCode::PAYMENT_REQUIRED {
            let why = self.refused(&asked.name, target, reservation, response).await;
            return why.map(Err);
        }
        asked.purse.book().taken(tokens);
        reservation.taken();
        Ok(Ok(Answered { response, paid: Some(asked) }))
    }

    /// How many steps a response is given at first.
    fn first_steps(&self, known: &Known, purse: &Purse) -> u64 {
        let least = u64::from(known.price.steps());
        if known.price.per() == Per::Request {
            return least;
        }
        let window = u64::from(self.limits.window).min(purse.book().room());
        whole(window, least).max(least)
    }

    /// A server does not take a credential: what becomes of the steps, and whether to try again.
    async fn refused(
        &self,
        name: &str,
        target: &Target,
        reservation: Reservation,
        response: Response,
    ) -> Result<PayError, PayError> {
        let kind = kind_of(response.headers());
        // The next demand stands in the same answer. Without one there is no use in trying again.
        self.known_demands().remove(name);
        let met = self.meet(name, target, response.headers());
        let Problem { detail, missing } = problem(response).await;
        if is_short(&kind) {
            reservation.denied(missing);
        }
        let passing = is_short(&kind) || kind == "invalid-challenge";
        let why = PayError::Refused { kind, detail };
        met?;
        if passing { Ok(why) } else { Err(why) }
    }

    /// Hands so many more steps to a response, or ends it; `None` when it is over.
    pub(in crate::http402) async fn manage(
        &self,
        paid: &Paid,
        action: Action,
        steps: u64,
    ) -> Result<Option<Receipt>, PayError> {
        let target = Target::of(Method::HEAD.as_str(), &paid.url);
        let mut refused = PayError::Demand("it changes all the time".to_owned());
        for _ in 0..TRIES {
            let known = self.known(&paid.name);
            let challenge = &known.as_ref().unwrap_or(&paid.known).challenge;
            let handing = (paid.session, steps);
            let (header, tokens) = paid.purse.credential(challenge, action, &target, handing)?;
            let mut request = Request::new(Method::HEAD, paid.url.clone());
            request.headers_mut().insert(AUTHORIZATION, header_value(&header)?);
            let response = self.http.execute(request).await?;
            match response.status() {
                StatusCode::OK => {
                    paid.purse.book().taken(&tokens);
                    return receipt_of(&response, paid).map(Some);
                }
                StatusCode::GONE => {
                    paid.purse.book().taken(&tokens);
                    return Ok(None);
                }
                StatusCode::PAYMENT_REQUIRED => {
                    let kind = kind_of(response.headers());
                    let expired = kind == "invalid-challenge";
                    refused = PayError::Refused { kind, detail: String::new() };
                    if !expired {
                        break;
                    }
                    self.meet(&paid.name, &target, response.headers())?;
                }
                status => {
                    refused = PayError::Refused { kind: status.to_string(), detail: String::new() };
                    break;
                }
            }
        }
        Err(refused)
    }
}

/// The receipt in an answer, if it is for this.
pub(in crate::http402) fn receipt_of(
    response: &Response,
    paid: &Paid,
) -> Result<Receipt, PayError> {
    let bad = |why: &str| PayError::Receipt(why.to_owned());
    let header = response.headers().get(RECEIPT_HEADER).ok_or_else(|| bad("there is none"))?;
    let text = header.to_str().ok().filter(|text| text.len() <= HEADER_MAX);
    let json = text.and_then(unbase64).ok_or_else(|| bad("it can't be read"))?;
    check_receipt(&json, paid)
}

/// A receipt in JSON, if its payee has signed it and it is for this.
pub(in crate::http402) fn check_receipt(json: &[u8], paid: &Paid) -> Result<Receipt, PayError> {
    let bad = |why: &str| PayError::Receipt(why.to_owned());
    let receipt = Receipt::from_json(json).map_err(|error| PayError::Receipt(error.to_string()))?;
    receipt.verify()?;
    let (body, price) = (&receipt.body, &paid.known.price);
    let same = (body.payee, body.payer, body.stream) == paid.purse.names()
        && (body.asset, body.unit) == (price.asset(), price.unit())
        && body.ledger == paid.known.ledger()
        && (body.session, body.resource.as_str()) == (paid.session, paid.resource.as_str());
    if same { Ok(receipt) } else { Err(bad("it is for something else")) }
}

impl Known {
    fn ledger(&self) -> settlement::types::LedgerId {
        let terms = self.challenge.terms();
        terms.map_or(settlement::types::LedgerId([0; 32]), |terms| terms.details.ledger)
    }
}

/// Whether a server says that it lacks steps.
pub(in crate::http402) fn is_short(kind: &str) -> bool {
    kind == "payment-insufficient"
}

/// So many steps, as whole units of service.
pub(in crate::http402) fn whole(steps: u64, each: u64) -> u64 {
    steps.saturating_sub(steps.checked_rem(each).unwrap_or(0))
}

fn again(request: &Request) -> Result<Request, PayError> {
    request.try_clone().ok_or(PayError::Once)
}

fn header_value(text: &str) -> Result<HeaderValue, PayError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| PayError::Demand("it can't be echoed in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn kind_of(headers: &HeaderMap) -> String {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let mut kinds = values.filter_map(|value| error_in(value.to_str().ok()?));
    kinds.next().unwrap_or_else(|| "payment-required".to_owned())
}

async fn problem(mut response: Response) -> Problem {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if bytes.len().saturating_add(chunk.len()) > PROBLEM_MAX {
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).unwrap_or_default()
}
