//! Decides one IAM request from every policy that bears on it, and says which statement decided, and why.
//!
//! The crate `iam-rs` matches actions, resources and condition operators. What it has no notion of lives here: who a
//! principal element means, the keys that AWS fills in itself, policies that bear on a request together (identity,
//! resource, boundary, session, service control), accounts, key policies, and what AWS would refuse to store.
//!
//! In go statements ([`Statement::parse`]) and a [`Request`]; out comes a [`Verdict`] ([`decide`]). Errors are sentences that
//! name what is wrong. Nothing here does I/O. The README says what is not known here, and each module names AWS's page for
//! each rule.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use causeway_iam::{Bearing, Caller, Kind, Place, Request, Setting, Statement, decide};
//! use serde_json::json;
//!
//! let place = Place { file: "role.json".into(), line: 1, of: "Reader".into(), sid: "0".into() };
//! let read = json!({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"});
//! let policy = [Statement::parse(&read, place, Kind::Identity, true, "aws", 0).map_err(|wrong| wrong.join("; "))?];
//!
//! let setting = Setting {
//!     region: "eu-central-1".into(),
//!     partition: "aws".into(),
//!     url_suffix: "amazonaws.com".into(),
//!     organization: None,
//!     accounts: vec!["111111111111".into(), "222222222222".into()],
//! };
//! let reader = Caller::Role { arn: "arn:aws:iam::111111111111:role/reader".into() };
//! let ask = |owner: &str| {
//!     let object = "arn:aws:s3:::reports/november.csv";
//!     let request = Request::new(&reader, "s3:GetObject", object, owner, &setting, &BTreeMap::new())?;
//!     let bearing = Bearing { identity: vec![&policy], ..Bearing::default() };
//!     decide(&request, &bearing, &mut |statement, request| statement.matches(request))
//! };
//! // In its own account a role needs no policy of the bucket; in another one it does.
//! assert!(ask("111111111111")?.allowed());
//! assert_eq!(ask("222222222222")?.lacking, Some("the resource's policy"));
//! # Ok::<(), String>(())
//! ```

mod catalogue;
mod condition;
mod date;
mod decide;
mod limits;
mod principal;
mod request;
mod statement;

#[cfg(test)]
mod published;
#[cfg(test)]
mod tests;

pub use catalogue::{Catalogue, closest};
pub use condition::Condition;
pub use decide::{Bearing, Decision, Guard, ResourcePolicy, Verdict, decide};
pub use limits::{Limit, size};
pub use principal::{Caller, Principal};
pub use request::{Request, Setting};
pub use statement::{Effect, Kind, Lack, Matched, Patterns, Place, Raw, Statement};
