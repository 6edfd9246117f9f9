//! The engine against the protocol's text: a refusal for each rule, each answer to an attack that
//! was found, the boundaries, and two sides in random worlds against a model of their own.

mod acknowledge;
mod agree;
mod answers;
mod at_rest;
mod boundaries;
mod codes;
mod commits;
mod drafts;
mod follow;
mod forgotten;
mod gone;
mod meet;
mod model;
mod not_taken;
mod pair;
mod random;
mod recover;
mod shown;
mod streams;
