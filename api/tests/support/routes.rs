//! A function's routes beside the contract's operations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::{Request, Response};
use super::document;

/// Asserts that a function has the paths, methods and query parameters of the contract's operations, and no others.
pub(crate) async fn assert_those_of_the_contract(
    function: &str,
    paths: impl Iterator<Item = &'static str>,
    send: impl AsyncFn(Request) -> Response,
) {
    let mut operations = document::operations(&document::document());
    operations.retain(|operation| operation.function == function);
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for operation in &operations {
        expected.entry(operation.path.clone()).or_default().insert(operation.method.clone());
    }
    let mut found = BTreeMap::new();
    for path in paths {
        let refused = send(Request::new("NONE", path, "")).await;
        let allowed = refused.header("allow").unwrap().split(", ").map(str::to_owned);
        assert_eq!((refused.status, found.insert(path.to_owned(), allowed.collect())), (405, None), "{path}");
    }
    assert_eq!(found, expected);
    // An operation says which parameters it knows; one that has none reads no query.
    for operation in &operations {
        let answer = send(Request::new(&operation.method, &operation.path, "unknown=1")).await;
        let problem: Value = serde_json::from_str(answer.body.as_deref().unwrap_or("null")).unwrap();
        let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
        let known = detail.strip_prefix("unknown query parameter; known are ").unwrap_or_default();
        assert_eq!(known, operation.query.join(", "), "{operation:?}");
    }
}
