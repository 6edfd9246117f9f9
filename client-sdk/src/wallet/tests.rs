//! The wallet against a hub's side that does what a test tells it to.

mod answers;
mod asks;
mod asks_bounds;
mod close;
mod counted;
mod crash;
mod doubts;
mod fake_hub;
mod forgotten;
mod harness;
mod paid;
mod paid_late;
mod paying;
mod protect;
mod retold;
mod streams;
mod streams_answers;
mod streams_at_payee;
mod streams_ended;
mod streams_floods;
mod streams_paid;
mod streams_places;
mod streams_restored;
mod talk;
mod unordered;
mod unsent;
