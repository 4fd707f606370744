//! The sign-off: what was simulated is what may go live, and two people say so.
//!
//! In reading order: [`document`] (the file's shape) · [`limits`] (what was asked of the results, and whether they gave it) ·
//! [`fleet`] (by what a fleet is known) · [`refusal`] (why a sign-off lets nothing go live) · [`canonical`] (its one text) ·
//! [`sign`] (a person consents) · [`check`] (what a controller asks before it starts a rollout).
//!
//! Knows no simulator: whoever makes a sign-off brings the results.

pub mod canonical;
pub mod check;
pub mod document;
pub mod fleet;
pub mod limits;
pub mod refusal;
pub mod sign;

pub use crate::digest::sha256;
pub use canonical::SignOff;
pub use check::{Authorities, Expect, Persons};
pub use document::{Chaos, Document, Envelope, Evidence, Fleet, Measure, Package, Policy, SCHEMA, Signer};
pub use fleet::fleet_fingerprint;
pub use limits::{Bound, Demand, Limit};
pub use refusal::Refusal;
pub use sign::{SignError, signer_of};
