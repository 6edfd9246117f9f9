//! The rules that both sides of a payment channel are bound by.

#[cfg(feature = "journal")]
pub mod index;
#[cfg(feature = "journal")]
pub mod journal;
