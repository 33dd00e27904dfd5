//! The routes of an HTTP API, read from its OpenAPI body as SAM expands it: where each leads, and who may use it.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::resources::Resources;

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Integration {
    /// The function's name in AWS.
    pub(super) function: String,
    /// The alias that is invoked.
    pub(super) alias: Option<String>,
}

/// What a route asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nothing.
    Open,
    /// An AWS signature.
    Iam,
    /// Something that the edge does not know, such as a token: nobody gets in.
    Unknown,
}

/// A route that was found for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As API Gateway names it, for instance `GET /api/locations/{id}`.
    pub(super) key: String,
    /// Path parameters, decoded.
    pub(super) parameters: BTreeMap<String, String>,
    /// What it leads to.
    pub(super) integration: Integration,
    /// What it asks for.
    pub(super) lock: Lock,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Parameter(String),
    /// `{proxy+}`: all the rest.
    Rest(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    /// Upper case; `ANY` for all.
    method: String,
    path: String,
    segments: Vec<Segment>,
    integration: Integration,
    lock: Lock,
}

/// All routes of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    /// One open route to a function.
    pub(super) fn one(method: &str, path: &str, function: &str, alias: Option<&str>) -> Self {
        let integration = Integration { function: function.to_owned(), alias: alias.map(ToOwned::to_owned) };
        Self(vec![Route {
            method: method.to_owned(),
            path: path.to_owned(),
            segments: segments(path),
            integration,
            lock: Lock::Open,
        }])
    }

    /// From the expanded template; `holds` says whether a condition of it does. A route whose integration is no
    /// function of the stack is left out.
    ///
    /// # Errors
    /// A condition cannot be evaluated.
    pub(super) fn of(
        template: &Value,
        api: &str,
        resources: &Resources,
        holds: &dyn Fn(&str) -> anyhow::Result<bool>,
    ) -> anyhow::Result<Self> {
        let body = template.pointer(&format!("/Resources/{api}/Properties/Body")).unwrap_or(&Value::Null);
        let mut routes = Vec::new();
        for (path, methods) in body.get("paths").and_then(Value::as_object).into_iter().flatten() {
            for (method, operation) in chosen(methods, holds)?.as_object().into_iter().flatten() {
                let operation = chosen(operation, holds)?;
                let uri = operation.pointer("/x-amazon-apigateway-integration/uri").unwrap_or(&Value::Null);
                let Some(integration) = integration(template, uri, resources) else { continue };
                let method = if method.starts_with("x-amazon") {
                    "ANY".to_owned()
                } else {
                    method.to_ascii_uppercase()
                };
                let lock = lock(body, operation, holds)?;
                routes.push(Route {
                    method,
                    path: path.clone(),
                    segments: segments(path),
                    integration,
                    lock,
                });
            }
        }
        Ok(Self(routes))
    }

    /// The route of a request: a full match before parameters before `{proxy+}`, a method before ANY
    /// ("Routing API requests" in the API Gateway developer guide).
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<Found> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let mut best: Option<(u32, Found)> = None;
        for route in &self.0 {
            if route.method != "ANY" && route.method != method.as_str() {
                continue;
            }
            let Some((score, parameters)) = matched(&route.segments, &parts) else { continue };
            let score = score * 2 + u32::from(route.method != "ANY");
            if best.as_ref().is_none_or(|(found, _)| score > *found) {
                let key = if is_default(&route.path) {
                    "$default".to_owned()
                } else {
                    format!("{} {}", route.method, route.path)
                };
                let integration = route.integration.clone();
                best = Some((score, Found { key, parameters, integration, lock: route.lock }));
            }
        }
        best.map(|(_, found)| found)
    }
}

/// A value, or the branch that counts where it is an `Fn::If`; nothing for `AWS::NoValue`.
fn chosen<'v>(value: &'v Value, holds: &dyn Fn(&str) -> anyhow::Result<bool>) -> anyhow::Result<&'v Value> {
    let mut value = value;
    while let Some([Value::String(condition), yes, no]) =
        value.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice)
    {
        value = if holds(condition)? { yes } else { no };
    }
    let nothing = value.get("Ref").is_some_and(|name| name == "AWS::NoValue");
    Ok(if nothing { &Value::Null } else { value })
}

/// What an operation asks for: its own `security`, else the document's. One that can be met in several ways is taken by
/// its strictest, which is on the safe side.
fn lock(
    body: &Value,
    operation: &Value,
    holds: &dyn Fn(&str) -> anyhow::Result<bool>,
) -> anyhow::Result<Lock> {
    let own = operation.get("security").map(|security| chosen(security, holds)).transpose()?;
    let security = match own.filter(|own| !own.is_null()) {
        Some(own) => own,
        None => chosen(body.get("security").unwrap_or(&Value::Null), holds)?,
    };
    let mut lock = Lock::Open;
    for requirement in security.as_array().into_iter().flatten() {
        for scheme in chosen(requirement, holds)?.as_object().into_iter().flat_map(|schemes| schemes.keys()) {
            let kind = body
                .pointer(&format!("/components/securitySchemes/{scheme}/x-amazon-apigateway-authtype"))
                .and_then(Value::as_str);
            if kind != Some("awsSigv4") {
                return Ok(Lock::Unknown);
            }
            lock = Lock::Iam;
        }
    }
    Ok(lock)
}

/// SAM writes the default route with and without a slash.
fn is_default(path: &str) -> bool {
    path.trim_start_matches('/') == "$default"
}

fn segments(path: &str) -> Vec<Segment> {
    if is_default(path) {
        return vec![Segment::Rest("proxy".to_owned())];
    }
    path.trim_start_matches('/')
        .split('/')
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Segment::Rest(name.to_owned()),
                None => Segment::Parameter(name.to_owned()),
            },
            None => Segment::Text(part.to_owned()),
        })
        .collect()
}

/// How well a route fits, larger for more exact, and its parameters.
fn matched(segments: &[Segment], parts: &[&str]) -> Option<(u32, BTreeMap<String, String>)> {
    let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    let mut parameters = BTreeMap::new();
    let mut score = 1;
    let mut rest = parts;
    for segment in segments {
        match segment {
            Segment::Rest(name) => {
                parameters.insert(name.clone(), decode(&rest.join("/")));
                return Some((score, parameters));
            }
            Segment::Text(text) if rest.first() == Some(&text.as_str()) => score += 3,
            Segment::Parameter(name) if rest.first().is_some_and(|part| !part.is_empty()) => {
                parameters.insert(name.clone(), decode(rest.first()?));
                score += 2;
            }
            _ => return None,
        }
        rest = rest.get(1..)?;
    }
    rest.is_empty().then_some((score + 1, parameters))
}

/// The function behind an integration's URI: `…/functions/${CheckinFunctionAliaslive}/invocations`, or a function's ARN.
fn integration(template: &Value, uri: &Value, resources: &Resources) -> Option<Integration> {
    let text = match uri.get("Fn::Sub") {
        Some(Value::String(text)) => text.as_str(),
        Some(Value::Array(parts)) => parts.first()?.as_str()?,
        _ => uri.as_str()?,
    };
    let start = text.find("/functions/")? + "/functions/".len();
    let reference = text[start..].split("/invocations").next()?;
    let logical_id = reference.strip_prefix("${").and_then(|name| name.strip_suffix('}'));
    let Some(logical_id) = logical_id else {
        // A literal ARN: `…:function:name[:alias]`.
        let (_, rest) = reference.split_once(":function:")?;
        let (function, alias) = rest.split_once(':').map_or((rest, None), |(f, a)| (f, Some(a.to_owned())));
        return Some(Integration { function: function.to_owned(), alias });
    };
    let logical_id = logical_id.trim_end_matches(".Arn");
    let definition = template.pointer(&format!("/Resources/{logical_id}"))?;
    if definition.get("Type").and_then(Value::as_str) == Some("AWS::Lambda::Alias") {
        let function = definition.pointer("/Properties/FunctionName/Ref").and_then(Value::as_str)?;
        let alias = definition.pointer("/Properties/Name").and_then(Value::as_str)?;
        return Some(Integration {
            function: resources.physical(function)?.to_owned(),
            alias: Some(alias.to_owned()),
        });
    }
    Some(Integration { function: resources.physical(logical_id)?.to_owned(), alias: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn routes(list: &[(&str, &str)]) -> Routes {
        let integration = Integration { function: "f".into(), alias: None };
        Routes(
            list.iter()
                .map(|(method, path)| Route {
                    method: (*method).into(),
                    path: (*path).into(),
                    segments: segments(path),
                    integration: integration.clone(),
                    lock: Lock::Open,
                })
                .collect(),
        )
    }

    #[test]
    fn the_most_exact_route_wins() {
        let routes = routes(&[
            ("GET", "/a/b"),
            ("ANY", "/a/b"),
            ("GET", "/a/{id}"),
            ("ANY", "/{proxy+}"),
            ("ANY", "/$default"),
        ]);
        let table = [
            (Method::GET, "/a/b", "GET /a/b"),
            (Method::POST, "/a/b", "ANY /a/b"),
            (Method::GET, "/a/x%20y", "GET /a/{id}"),
            (Method::GET, "/x/y/z", "ANY /{proxy+}"),
            (Method::DELETE, "/a/x", "ANY /{proxy+}"),
        ];
        for (method, path, expected) in table {
            assert_eq!(routes.find(&method, path).unwrap().key, expected, "{method} {path}");
        }
        assert_eq!(routes.find(&Method::GET, "/a/x%20y").unwrap().parameters["id"], "x y");
    }

    #[test]
    fn locks_follow_the_stacks_parameters() {
        let lambda = |security: Value| {
            let uri = "arn:aws:apigateway:r:lambda:path/2015-03-31/functions/arn:aws:lambda:r:1:function:f:live/invocations";
            let mut operation = json!({"x-amazon-apigateway-integration": {"uri": uri}});
            if !security.is_null() {
                operation["security"] = security;
            }
            operation
        };
        let iam = json!([{"AWS_IAM": []}]);
        let template = json!({"Resources": {"Api": {"Properties": {"Body": {
            "components": {"securitySchemes": {"AWS_IAM": {"x-amazon-apigateway-authtype": "awsSigv4"}, "Token": {"type": "oauth2"}}},
            "paths": {
                "/if": {"get": lambda(json!({"Fn::If": ["Locked", iam, {"Ref": "AWS::NoValue"}]}))},
                "/nested": {"get": {"Fn::If": ["Never", lambda(iam.clone()), lambda(json!({"Fn::If": ["Locked", iam, []]}))]}},
                "/open": {"get": lambda(Value::Null)},
                "/token": {"get": lambda(json!([{"Token": []}, {"AWS_IAM": []}]))},
                "$default": {"x-amazon-apigateway-any-method": lambda(Value::Null)},
            }
        }}}}});
        for (locked, expected) in [(true, Lock::Iam), (false, Lock::Open)] {
            let holds = |name: &str| Ok(name == "Locked" && locked);
            let routes = Routes::of(&template, "Api", &Resources::default(), &holds).unwrap();
            for (path, expected) in
                [("/if", expected), ("/nested", expected), ("/open", Lock::Open), ("/token", Lock::Unknown)]
            {
                assert_eq!(routes.find(&Method::GET, path).unwrap().lock, expected, "{path} {locked}");
            }
            let default = routes.find(&Method::PUT, "/if").unwrap();
            assert_eq!((default.key.as_str(), default.lock), ("$default", Lock::Open));
        }
        let broken = |_: &str| anyhow::bail!("nothing is known of it");
        assert!(
            Routes::of(&template, "Api", &Resources::default(), &broken).is_err(),
            "in doubt there is no API"
        );
    }

    #[test]
    fn what_no_route_fits_is_not_found() {
        let routes = routes(&[("GET", "/a/{id}")]);
        for path in ["/a", "/a/", "/a/b/c", "/", ""] {
            assert_eq!(routes.find(&Method::GET, path), None, "{path}");
        }
        assert_eq!(routes.find(&Method::POST, "/a/b"), None);
    }
}
