//! IAM as far as our policies need it: which statement decides a request, and why.
//!
//! The crate `iam-rs` matches actions, resources and condition operators. What it has no notion of lives here: who a
//! principal element means, the keys that AWS fills in itself, policies that bear on a request together (identity,
//! resource, boundary, session, service control), accounts, key policies, and what AWS would refuse to store.

mod catalogue;
mod condition;
mod decide;
mod limits;
mod principal;
mod request;
mod statement;

#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, closest};
pub use condition::Condition;
pub use decide::{Bearing, Decision, Guard, ResourcePolicy, Verdict, decide};
pub use limits::{Limit, size};
pub use principal::{Caller, Principal};
pub use request::{Request, Setting};
pub use statement::{Effect, Kind, Lack, Matched, Patterns, Place, Raw, Statement};
