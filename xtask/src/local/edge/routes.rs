//! The routes of an HTTP API, read from its OpenAPI body as SAM expands it.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use crate::local::resources::Resources;

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Integration {
    /// The function's name in AWS.
    pub(super) function: String,
    /// The alias that is invoked.
    pub(super) alias: Option<String>,
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
}

/// All routes of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    /// From the expanded template. A route whose integration is no function of the stack is left out.
    pub(super) fn of(template: &Value, api: &str, resources: &Resources) -> Self {
        let paths =
            template.pointer(&format!("/Resources/{api}/Properties/Body/paths")).and_then(Value::as_object);
        let mut routes = Vec::new();
        for (path, methods) in paths.into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let uri = operation.pointer("/x-amazon-apigateway-integration/uri").unwrap_or(&Value::Null);
                let Some(integration) = integration(template, uri, resources) else { continue };
                let method = if method.starts_with("x-amazon") {
                    "ANY".to_owned()
                } else {
                    method.to_ascii_uppercase()
                };
                routes.push(Route { method, path: path.clone(), segments: segments(path), integration });
            }
        }
        Self(routes)
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
                let key = if route.path == "/$default" {
                    "$default".to_owned()
                } else {
                    format!("{} {}", route.method, route.path)
                };
                best = Some((score, Found { key, parameters, integration: route.integration.clone() }));
            }
        }
        best.map(|(_, found)| found)
    }
}

fn segments(path: &str) -> Vec<Segment> {
    if path == "/$default" {
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
    fn what_no_route_fits_is_not_found() {
        let routes = routes(&[("GET", "/a/{id}")]);
        for path in ["/a", "/a/", "/a/b/c", "/", ""] {
            assert_eq!(routes.find(&Method::GET, path), None, "{path}");
        }
        assert_eq!(routes.find(&Method::POST, "/a/b"), None);
    }
}
