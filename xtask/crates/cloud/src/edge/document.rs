//! Routes from an OpenAPI document, with API Gateway's extensions: those of SAM's and those that people write by hand.
//!
//! Source: "OpenAPI extensions for API Gateway" in the API Gateway developer guide, above all "x-amazon-apigateway-integration
//! object" and "x-amazon-apigateway-auth object".

use serde_json::{Map, Value};

use super::routes::{Lock, Routes};
use super::target::{Place, action};

/// The operations that a path can have.
const METHODS: [&str; 8] =
    ["get", "put", "post", "delete", "options", "head", "patch", "x-amazon-apigateway-any-method"];

/// The routes of a document.
pub(super) fn routes(document: &Value, place: &Place<'_>) -> Routes {
    let mut routes = Routes::default();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, operations) in paths.into_iter().flatten() {
        for name in METHODS {
            let Some(operation) = operations.get(name).filter(|operation| operation.is_object()) else {
                continue;
            };
            let integration = operation.get("x-amazon-apigateway-integration");
            let integration = integration.map(|integration| referred(document, integration));
            let method = if name.starts_with("x-") { "ANY" } else { name };
            routes.add(method, path, action(integration, place), lock(document, operation));
        }
    }
    routes
}

/// An integration, or the one of the document's components that it refers to.
fn referred<'v>(document: &'v Value, integration: &'v Value) -> &'v Value {
    let reference = integration.get("$ref").and_then(Value::as_str);
    let found = reference.and_then(|reference| document.pointer(reference.strip_prefix('#')?));
    found.unwrap_or(integration)
}

/// What an operation asks for: its own `security`, else the document's. One that can be met in several ways is taken by
/// its strictest, which is on the safe side.
fn lock(document: &Value, operation: &Value) -> Lock {
    let security = operation.get("security").or_else(|| document.get("security"));
    let mut lock = Lock::Open;
    for requirement in security.and_then(Value::as_array).into_iter().flatten() {
        for scheme in requirement.as_object().into_iter().flat_map(Map::keys) {
            match of_scheme(document, scheme) {
                Lock::Unknown => return Lock::Unknown,
                Lock::Key => lock = Lock::Key,
                Lock::Iam if lock == Lock::Open => lock = Lock::Iam,
                _ => {}
            }
        }
    }
    lock
}

fn of_scheme(document: &Value, name: &str) -> Lock {
    let schemes = [document.pointer("/components/securitySchemes"), document.get("securityDefinitions")];
    let scheme = schemes.into_iter().flatten().find_map(|all| all.get(name));
    let text = |key: &str| scheme.and_then(|scheme| scheme.get(key)).and_then(Value::as_str);
    match text("x-amazon-apigateway-authtype").map(str::to_ascii_lowercase).as_deref() {
        Some("awssigv4") => Lock::Iam,
        // SAM's word for an operation that has no authorizer among others that have.
        None if scheme.is_none() && name == "NONE" => Lock::Open,
        None if text("type") == Some("apiKey")
            && text("name").is_some_and(|name| name.eq_ignore_ascii_case("x-api-key")) =>
        {
            Lock::Key
        }
        _ => Lock::Unknown,
    }
}

/// What an API's document says that is not rehearsed: what it is, and why.
pub(super) fn unserved(document: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if document.get("x-amazon-apigateway-policy").is_some_and(|policy| !policy.is_null()) {
        found.push(("its resource policy".to_owned(), POLICY.to_owned()));
    }
    let validates = |value: &Value| value.get("x-amazon-apigateway-request-validator").is_some();
    let paths = document.get("paths").and_then(Value::as_object);
    let operations =
        paths.into_iter().flat_map(Map::values).filter_map(Value::as_object).flat_map(Map::values);
    if validates(document) || operations.into_iter().any(validates) {
        found.push(("its request validators".to_owned(), VALIDATOR.to_owned()));
    }
    found
}

/// Why a resource policy decides nothing here.
pub(super) const POLICY: &str =
    "who may call the API is not asked of it: every caller of this machine gets in";
/// Why a validator refuses nothing here.
pub(super) const VALIDATOR: &str =
    "API Gateway would refuse a request that does not fit; here it reaches the function";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_asks_for_its_own_security_or_the_documents() {
        let document = json!({
            "security": [{"sig": []}],
            "components": {"securitySchemes": {
                "sig": {"x-amazon-apigateway-authtype": "awsSigv4"}, "token": {"type": "oauth2"},
                "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
            }},
            "securityDefinitions": {"old": {"type": "apiKey", "name": "Authorization", "x-amazon-apigateway-authtype": "custom"}},
        });
        for (security, expected) in [
            (Value::Null, Lock::Iam),
            (json!([]), Lock::Open),
            (json!([{"NONE": []}]), Lock::Open),
            (json!([{"sig": []}]), Lock::Iam),
            (json!([{"key": []}]), Lock::Key),
            (json!([{"sig": []}, {"key": []}]), Lock::Key),
            (json!([{"sig": []}, {"token": []}]), Lock::Unknown),
            (json!([{"old": []}]), Lock::Unknown),
            (json!([{"missing": []}]), Lock::Unknown),
        ] {
            let mut operation = json!({});
            if !security.is_null() {
                operation["security"] = security.clone();
            }
            assert_eq!(lock(&document, &operation), expected, "{security}");
        }
    }

    #[test]
    fn what_a_document_asks_that_is_not_rehearsed_is_named() {
        let document = json!({"x-amazon-apigateway-policy": {}, "paths": {"/": {"get": {"x-amazon-apigateway-request-validator": "all"}}}});
        let names: Vec<String> = unserved(&document).into_iter().map(|(what, _)| what).collect();
        assert_eq!(names, ["its resource policy", "its request validators"]);
        assert!(unserved(&json!({"paths": {"/": {"get": {}}}})).is_empty());
    }
}
