//! The rules that both sides of a payment channel are bound by.
