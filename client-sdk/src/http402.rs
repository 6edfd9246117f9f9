//! HTTP 402: any service charges by the request, the event or the byte, over a stream.
//!
//! ```text
//! server                                            client
//! let till = Till::new(wallet, "api.example")?;     let paying = PayingClient::new(wallet, limits);
//! Router::new()                                     let response = paying.get(url).await?;
//!     .route("/answer", get(answer))                let mut events = paying.events(url).await?;
//!     .layer(till.charge(price)?)                   while let Some(event) = events.next().await? {
//! ```
//!
//! - **A server** wraps its routes in [`Till::charge`], a tower layer. Who does not pay gets a 402 with
//!   the price, the payee and what else a client needs ([`Terms`]). A handler finds who paid in the
//!   request's extensions ([`Payment`]).
//! - **A client** ([`PayingClient`]) opens a stream to the payee when it first meets such a 402, as far
//!   as its [`Limits`] go, and asks again with the next steps in a header. It can close its streams at
//!   any time; what was locked and not paid is its own again a moment later.
//! - **Events and bytes** are paid for as they are read: the server sends while it holds steps and then
//!   waits, the client hands more over as it reads. A slow reader pays slowly, and a server whose client
//!   has stopped stops too, its handler included.
//! - **Receipts** ([`Receipt`]) are signed by the payee, and name the resource and what was paid.
//!
//! The forms are those of the `Payment` scheme of HTTP authentication (`WWW-Authenticate`,
//! `Authorization`, `Payment-Receipt`) with the intent `session`.
//!
//! # Why this is safe
//! - A step counts when it is durable at the payee ([`WalletHandle::take_step`]), before anything is
//!   served for it. What is spent of it is counted in one place (module `account`), which never lets
//!   more be served than is held, but for the credit that the payee gives.
//! - Steps travel sealed from payer to payee, bound to the demand, method, server and target (module
//!   `credential`): who sees a header can use it for nothing, and the payee takes each once.
//! - Demands are void after a restart of the server, and all steps that it held by then count as spent:
//!   a payer that is cut off so loses what it was ahead at most, [`Limits::ahead`].
//! - A client hands out no more than [`Limits::ahead`] steps beyond what it was served, for all its
//!   responses from one payee together, whatever the server says.
//!
//! [`WalletHandle::take_step`]: crate::client::WalletHandle::take_step

mod account;
mod blocks;
mod challenge;
mod client;
mod credential;
mod credit;
mod denial;
mod error;
mod gate;
mod layer;
mod metered;
mod price;
mod purse;
mod reader;
mod receipt;
mod session;
mod till;
mod time;

pub use blocks::{EventTooLong, ServerEvent};
pub use challenge::{Challenge, Details, INTENT, SCHEME, Terms};
pub use client::{Limits, PayingClient, PurseView};
pub use credential::{Action, Bound, Credential, CredentialPayload, Handing, Nonce, PaymentKey};
pub use error::PayError;
pub use layer::{Charge, ChargeLayer, PaidBody};
pub use price::{BadPrice, Per, Price, STEPS_MAX};
pub use reader::{PaidBytes, PaidEvents, PaidResponse};
pub use receipt::{BadReceipt, METHOD, Receipt, ReceiptBody, resource};
/// An address, as clients ask for it.
pub use reqwest::Url;
pub use session::SessionId;
pub use till::{Charged, Payment, Till, TillOptions};

/// The header that carries a receipt: base64url of its JSON.
pub const RECEIPT_HEADER: &str = "payment-receipt";
/// The event by which a server asks for more steps.
pub const NEED_VOUCHER: &str = "payment-need-voucher";
/// The event with the last receipt of a response.
pub const RECEIPT_EVENT: &str = "payment-receipt";
