//! Which operation answers a request: a table, and one function that reads it.
//!
//! The table is data so that it can be held against an OpenAPI document and against the template's
//! routes. The server of an HTTP API matches the same way: exactly, with no trailing slash. What it does not match
//! comes by a catch-all route, which is open to everybody. So a request that came by one is refused even where this
//! table would know it: were the two ever to read a path differently, nobody gets around a signature by that.

use crate::event::Request;
use crate::problem::Problem;
use crate::query::Query;

/// One row: what is asked, and what answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<O: 'static> {
    /// The method in capitals.
    pub method: &'static str,
    /// The path, where `{name}` stands for one whole segment.
    pub path: &'static str,
    /// The query parameters it takes. Where there are none the query is not read at all.
    pub query: &'static [&'static str],
    /// What answers.
    pub operation: O,
}

/// A request that found its row.
#[derive(Debug, PartialEq, Eq)]
pub struct Call<O: 'static> {
    /// What answers.
    pub operation: O,
    /// The row's path, for the log.
    pub route: &'static str,
    /// The segment under `{name}`, decoded where it can be; empty when the row has none.
    pub segment: String,
    /// The parameters, all of them known, none of them twice.
    pub query: Query,
}

/// A request that found none, or whose query cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    /// The path's template for the log, or `none`.
    pub route: &'static str,
    /// What the client is told.
    pub problem: Problem,
}

/// Finds the row for a request.
///
/// # Errors
/// [`Miss`]: 404 for an unknown path, 405 with the methods it takes for a known one, 400 for a query
/// that is not understood.
pub fn find<O: Copy>(routes: &'static [Route<O>], request: &Request) -> Result<Call<O>, Miss> {
    let mut allowed: Vec<&'static str> = Vec::new();
    let mut known = "none";
    for row in routes {
        let Some(segment) = matches(row.path, &request.path) else { continue };
        known = row.path;
        if row.method != request.method {
            allowed.push(row.method);
            continue;
        }
        if request.catch_all {
            return Err(Miss { route: row.path, problem: nothing_here() });
        }
        let read =
            if row.query.is_empty() { Ok(Query::default()) } else { Query::parse(&request.query, row.query) };
        return match read {
            Ok(query) => Ok(Call { operation: row.operation, route: row.path, segment, query }),
            Err(problem) => Err(Miss { route: row.path, problem }),
        };
    }
    let problem =
        if allowed.is_empty() { nothing_here() } else { Problem::method_not_allowed(allowed.join(", ")) };
    Err(Miss { route: known, problem })
}

fn nothing_here() -> Problem {
    Problem::new(404, "there is nothing at this path")
}

/// The segment under `{name}` (empty without one) when the whole path fits the template.
fn matches(template: &str, path: &str) -> Option<String> {
    let mut taken = String::new();
    let mut segments = path.split('/');
    for wanted in template.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            // What cannot be decoded stays as it came: no id looks like that, so it ends in a 400.
            taken = crate::query::percent_decoded(segment, false).unwrap_or_else(|| segment.to_owned());
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Route<u8>] = &[
        Route { method: "GET", path: "/api/things", query: &["limit"], operation: 1 },
        Route { method: "POST", path: "/api/things", query: &[], operation: 2 },
        Route { method: "GET", path: "/api/things/{id}", query: &[], operation: 3 },
    ];

    #[test]
    fn the_table_decides() {
        for (method, path, operation, segment) in [
            ("GET", "/api/things", 1, ""),
            ("POST", "/api/things", 2, ""),
            ("GET", "/api/things/7", 3, "7"),
            ("GET", "/api/things/a%2Fb", 3, "a/b"),
            ("GET", "/api/things/a+b", 3, "a+b"),
            ("GET", "/api/things/%ff%zz", 3, "%ff%zz"),
        ] {
            let call =
                find(TABLE, &Request::new(method, path, "")).map(|call| (call.operation, call.segment));
            assert_eq!(call, Ok((operation, segment.to_owned())), "{method} {path}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for (method, path, status, route, allow) in [
            ("GET", "", 404, "none", None),
            ("GET", "/", 404, "none", None),
            ("GET", "/api/things/", 404, "none", None),
            ("GET", "//api/things", 404, "none", None),
            ("GET", "/API/things", 404, "none", None),
            ("GET", "/api/things/7/8", 404, "none", None),
            ("GET", "/api/%74hings", 404, "none", None),
            ("PUT", "/api/things", 405, "/api/things", Some("GET, POST")),
            ("get", "/api/things", 405, "/api/things", Some("GET, POST")),
            ("", "/api/things/7", 405, "/api/things/{id}", Some("GET")),
        ] {
            let Err(miss) = find(TABLE, &Request::new(method, path, "")) else {
                panic!("{method} {path} was found")
            };
            assert_eq!((miss.problem.status(), miss.route), (status, route), "{method} {path}");
            assert_eq!(miss.problem.into_response().header("allow"), allow, "{method} {path}");
        }
    }

    #[test]
    fn a_catch_all_route_leads_to_no_operation() {
        for (method, path, status) in
            [("GET", "/api/things", 404), ("PUT", "/api/things", 405), ("GET", "/api/other", 404)]
        {
            let mut request = Request::new(method, path, "");
            request.catch_all = true;
            let found = find(TABLE, &request).map_err(|miss| miss.problem.status());
            assert_eq!(found.map(|call| call.operation), Err(status), "{method} {path}");
        }
    }

    #[test]
    fn a_query_is_read_where_it_is_wanted() {
        let read = |method, query| {
            find(TABLE, &Request::new(method, "/api/things", query)).map(|call| call.operation)
        };
        assert_eq!(read("GET", "limit=1"), Ok(1));
        assert_eq!(read("POST", "what=ever&%"), Ok(2));
        assert_eq!(read("GET", "what=ever").map_err(|miss| miss.problem.status()), Err(400));
    }
}
