//! The routes of an API: which one a request takes, what it asks of its callers, and where it leads.

use std::collections::BTreeMap;

use http::Method;

use super::fixed::Fixed;

/// Which of API Gateway's products an API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An HTTP API.
    Http,
    /// A REST API.
    Rest,
}

/// The shape of a function's event and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The one that both products know, and the only one of REST APIs.
    One,
    /// That of HTTP APIs alone.
    Two,
}

/// A function that a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Integration {
    /// The function's name in AWS.
    pub(super) function: String,
    /// The alias that is invoked.
    pub(super) alias: Option<String>,
    /// The version that is invoked, where no alias is.
    pub(super) version: Option<String>,
    /// The shape of its event and answer.
    pub(super) format: Format,
    /// Milliseconds that it may take.
    pub(super) limit: u64,
}

impl Integration {
    /// A function by its name and its qualifier.
    pub(super) fn of(function: &str, qualifier: Option<&str>, format: Format, limit: u64) -> Self {
        let version = qualifier.filter(|q| *q == "$LATEST" || q.bytes().all(|byte| byte.is_ascii_digit()));
        let alias = qualifier.filter(|_| version.is_none());
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self { function: function.to_owned(), alias: owned(alias), version: owned(version), format, limit }
    }
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// A function.
    Invoke(Integration),
    /// An answer that the API's definition itself gives.
    Answer(Fixed),
    /// Something that only AWS has, and what that is.
    Nothing(String),
}

/// What a route asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Nothing.
    Open,
    /// An AWS signature.
    Iam,
    /// An API key: nobody gets in.
    Key,
    /// Something that the edge does not know, such as a token: nobody gets in.
    Unknown,
}

/// A route that was found for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// As an HTTP API names it, for instance `GET /api/locations/{id}`.
    pub(super) key: String,
    /// The path of it alone, as a REST API names its resource.
    pub(super) resource: String,
    /// Path parameters, decoded.
    pub(super) parameters: BTreeMap<String, String>,
    /// What it leads to.
    pub(super) action: Action,
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
    action: Action,
    lock: Lock,
}

/// All routes of an API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    /// One open route to a function.
    pub(super) fn one(method: &str, path: &str, function: &str, alias: Option<&str>) -> Self {
        let mut routes = Self::default();
        let integration = Integration::of(function, alias, Format::Two, 30_000);
        routes.add(method, path, Action::Invoke(integration), Lock::Open);
        routes
    }

    /// Adds one.
    pub(super) fn add(&mut self, method: &str, path: &str, action: Action, lock: Lock) {
        let (method, path) = (method.to_ascii_uppercase(), path.to_owned());
        self.0.push(Route { method, segments: segments(&path), path, action, lock });
    }

    /// What each route leads to that only AWS has, and which asks for more than the edge knows.
    pub(super) fn unserved(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().filter_map(|route| {
            let what = format!("{} {}", route.method, route.path);
            match (&route.action, route.lock) {
                (Action::Nothing(why), _) => Some((what, why.clone())),
                (_, Lock::Unknown) => {
                    Some((what, "it asks for an authorizer, so nobody gets in here".to_owned()))
                }
                (_, Lock::Key) => Some((what, "it asks for an API key, so nobody gets in here".to_owned())),
                _ => None,
            }
        })
    }

    /// The route of a request.
    pub(super) fn find(&self, kind: Kind, method: &Method, path: &str) -> Option<Found> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let fitting = self.0.iter().filter_map(|route| {
            let (score, parameters) = matched(&route.segments, &parts)?;
            Some((score, route, parameters))
        });
        let answers = |route: &Route| route.method == "ANY" || route.method == method.as_str();
        let best = match kind {
            // A full match before parameters before `{proxy+}`, a method before ANY ("Routing API requests" in the API Gateway
            // developer guide).
            // Of equals, the first one: the last that is looked at.
            Kind::Http => fitting
                .rev()
                .filter(|(_, route, _)| answers(route))
                .max_by_key(|(score, route, _)| score * 2 + u32::from(route.method != "ANY")),
            // A resource is found by the path alone, and has the method or not.
            Kind::Rest => {
                let fitting: Vec<_> = fitting.collect();
                let best = fitting.iter().map(|(score, ..)| *score).max();
                fitting
                    .into_iter()
                    .filter(|(score, route, _)| Some(*score) == best && answers(route))
                    .max_by_key(|(_, route, _)| route.method != "ANY")
            }
        };
        best.map(|(_, route, parameters)| Found {
            key: match is_default(&route.path) {
                true => "$default".to_owned(),
                false => format!("{} {}", route.method, route.path),
            },
            resource: route.path.clone(),
            parameters,
            action: route.action.clone(),
            lock: route.lock,
        })
    }
}

/// The name of the route that takes what no other does.
const DEFAULT: &str = "$default";

/// SAM writes the default route with and without a slash.
fn is_default(path: &str) -> bool {
    path.trim_start_matches('/') == DEFAULT
}

fn segments(path: &str) -> Vec<Segment> {
    if is_default(path) {
        return vec![Segment::Rest(DEFAULT.to_owned())];
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

/// A path, or a part of one, without percent-encoding.
pub(super) fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// How well a route fits, larger for more exact, and its parameters.
fn matched(segments: &[Segment], parts: &[&str]) -> Option<(u32, BTreeMap<String, String>)> {
    let mut parameters = BTreeMap::new();
    let mut score = 1;
    let mut rest = parts;
    for segment in segments {
        match segment {
            // The root is no child of itself; `$default` takes it.
            Segment::Rest(name) if name == DEFAULT => return Some((0, parameters)),
            Segment::Rest(name) => {
                if rest.first().is_none_or(|part| part.is_empty()) {
                    return None;
                }
                parameters.insert(name.clone(), decoded(&rest.join("/")));
                return Some((score, parameters));
            }
            Segment::Text(text) if rest.first() == Some(&text.as_str()) => score += 3,
            Segment::Parameter(name) if rest.first().is_some_and(|part| !part.is_empty()) => {
                parameters.insert(name.clone(), decoded(rest.first()?));
                score += 2;
            }
            _ => return None,
        }
        rest = rest.get(1..)?;
    }
    rest.is_empty().then_some((score + 1, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(list: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (method, path) in list {
            let integration = Integration::of("f", None, Format::Two, 1);
            routes.add(method, path, Action::Invoke(integration), Lock::Open);
        }
        routes
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
            (Method::GET, "/", "$default"),
        ];
        for (method, path, expected) in table {
            assert_eq!(routes.find(Kind::Http, &method, path).unwrap().key, expected, "{method} {path}");
        }
        assert_eq!(routes.find(Kind::Http, &Method::GET, "/a/x%20y").unwrap().parameters["id"], "x y");
        assert!(routes.find(Kind::Http, &Method::GET, "/").unwrap().parameters.is_empty());
    }

    /// A REST API has resources with methods: one whose path fits and whose methods do not is the end.
    #[test]
    fn a_rest_api_finds_the_resource_before_the_method() {
        let routes =
            routes(&[("GET", "/a"), ("ANY", "/a"), ("GET", "/b"), ("ANY", "/{proxy+}"), ("POST", "/")]);
        for (method, path, expected) in [
            (Method::GET, "/a", Some("GET /a")),
            (Method::PUT, "/a", Some("ANY /a")),
            (Method::GET, "/b", Some("GET /b")),
            (Method::PUT, "/b", None),
            (Method::PUT, "/b/c", Some("ANY /{proxy+}")),
            (Method::POST, "/", Some("POST /")),
            (Method::GET, "/", None),
        ] {
            let found = routes.find(Kind::Rest, &method, path).map(|found| found.key);
            assert_eq!(found.as_deref(), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_no_route_fits_is_not_found() {
        let routes = routes(&[("GET", "/a/{id}")]);
        for path in ["/a", "/a/", "/a/b/c", "/", ""] {
            assert_eq!(routes.find(Kind::Http, &Method::GET, path), None, "{path}");
        }
        assert_eq!(routes.find(Kind::Http, &Method::POST, "/a/b"), None);
    }

    #[test]
    fn a_qualifier_is_an_alias_or_a_version() {
        for (qualifier, alias, version) in [
            (Some("live"), Some("live"), None),
            (Some("7"), None, Some("7")),
            (Some("$LATEST"), None, Some("$LATEST")),
            (None, None, None),
        ] {
            let found = Integration::of("f", qualifier, Format::One, 1);
            assert_eq!((found.alias.as_deref(), found.version.as_deref()), (alias, version), "{qualifier:?}");
        }
    }
}
