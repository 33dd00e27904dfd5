//! What more than one function of the check-in API needs.
//!
//! From an event to an answer:
//!
//! 1. [`guard::Event`] reads what API Gateway hands over. It never fails.
//! 2. `lambda_http` makes a request of it, without what a client could shape into a panic; [`guard`] puts that back.
//! 3. [`serve`] passes it through layers: the log line, version headers, problem documents, panics, the limit of bodies.
//! 4. axum's router picks the handler by the path as it was sent; a request that came by a catch-all route gets none.
//! 5. The handler reads its query ([`query`]) or its body (`checkin`'s `form`), both strictly, by the rules of [`fields`].
//! 6. It asks the [`store`], which is there as soon as its client is made ([`clients::Soon`]).
//! 7. It answers with JSON, a page ([`cursor`]) or a [`problem::Problem`]; a failed store goes to the log, not to the client.
//! 8. The outermost layer writes one line, and the [`metrics`] of the request, before Lambda gets the answer.
//!
//! A function is a binary in `src/bin/` that owns its routes, its handlers and its version text; here is what
//! both use. So an edit to one function's handlers leaves every other function's bytes alone.

pub mod about;
pub mod clients;
pub mod cursor;
pub mod fields;
pub mod guard;
pub mod log;
pub mod metrics;
pub mod model;
pub mod problem;
pub mod query;
pub mod serve;
pub mod settings;
pub mod start;
pub mod store;
