//! What the front does not let through to the emulator, whoever asks: requests that were sent to another name or by
//! another's page, and the emulator's own paths.

use http::Method;
use http::request::Parts;

use crate::host;

/// Why a request is not answered as a call of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was sent to a name that is not the front's.
    Host,
    /// A browser sent it for a page that is not the front's.
    Origin,
    /// Its path is the emulator's own, or none.
    Path,
    /// It lists buckets and names nobody.
    Anonymous,
}

/// Looks at a request; `port` is the front's, `signed` whether it names who asks.
pub(super) fn look(parts: &Parts, port: u16, signed: bool) -> Option<Refused> {
    if !host::is_own(parts, port) {
        return Some(Refused::Host);
    }
    if is_foreign(parts, port) {
        return Some(Refused::Origin);
    }
    let path = parts.uri.path();
    // The front's own calls, in this spelling alone: they never reach the emulator.
    if path.starts_with("/_causeway/") {
        return None;
    }
    // The query protocol's calls and the JSON protocol's have this path as well; they are posted.
    let lists = parts.method == Method::GET || parts.method == Method::HEAD;
    match first_segment(path) {
        _ if !path.starts_with('/') => Some(Refused::Path),
        Some(own) if is_own_segment(&own) && !is_signal(&parts.method, path) => Some(Refused::Path),
        None if lists && !signed => Some(Refused::Anonymous),
        _ => None,
    }
}

/// Whether a path that the front itself asks for, in a caller's name, leads to the emulator's own paths in any spelling.
pub(crate) fn is_emulators_own(path: &str) -> bool {
    first_segment(path).is_some_and(|own| is_own_segment(&own))
}

/// Whether a browser says that a page of another origin asks. No client of AWS sends these headers.
fn is_foreign(parts: &Parts, port: u16) -> bool {
    let own = |value: &http::HeaderValue| {
        let name = value.to_str().ok().and_then(|text| text.strip_prefix("https://"));
        name.is_some_and(|name| host::is_name(name, port))
    };
    let from_another = parts.headers.get_all(http::header::ORIGIN).iter().any(|value| !own(value));
    let mut sites = parts.headers.get_all("sec-fetch-site").iter();
    from_another || sites.any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// Whether a path's first segment is the emulator's own. Its paths begin with an underscore (`/_ministack/reset` empties
/// it; `/_aws/execute-api/…` passes by an API's lock), which no bucket's name and no path of AWS's APIs does. `/health`
/// tells what it is.
fn is_own_segment(segment: &str) -> bool {
    segment.starts_with('_') || segment == "health"
}

/// Whether this is how a resource that CloudFormation waits for reports: to a name that nobody can guess, in the one
/// spelling that the emulator hands out.
fn is_signal(method: &Method, path: &str) -> bool {
    let token = ["/_ministack/cfn-signal/", "/_ministack/cfn-response/"]
        .iter()
        .find_map(|start| path.strip_prefix(start))
        .unwrap_or_default();
    method == Method::PUT
        && !token.is_empty()
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The first segment of a path, as whoever reads it most freely might: decoded until nothing is left to decode, with
/// backslashes for slashes, without empty segments and dots, in small letters. The emulator decodes once (its server's
/// `unquote`); the front does not rest on that.
fn first_segment(path: &str) -> Option<String> {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let decoded: Vec<u8> = percent_encoding::percent_decode(&bytes).collect();
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).to_lowercase();
    let mut segments = Vec::new();
    for segment in text.split(['/', '\\']).map(without_controls) {
        match segment.as_str() {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.into_iter().next()
}

/// A segment without what some readers drop: white space around it, control characters within.
fn without_controls(segment: &str) -> String {
    segment.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri).header("host", "127.0.0.1:8001");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn every_spelling_of_the_emulators_own_paths_is_refused() {
        let spellings = [
            "/_ministack/reset",
            "/%5fministack/reset",
            "/%5Fministack/reset",
            "/_ministack%2freset",
            "/_ministack%2Fhealth",
            "/%5f%6d%69nistack/reset",
            "/%255fministack/reset",
            "/%25255fministack%25252freset",
            "/_MiniStack/reset",
            "/_ministack//reset",
            "//_ministack/reset",
            "///_ministack/reset",
            "/./_ministack/reset",
            "/%2e/_ministack/reset",
            "/bucket/../_ministack/reset",
            "/bucket/%2e%2e/_ministack/reset",
            "/bucket%2f..%2f_ministack/reset",
            "/a/b/../../_ministack/reset",
            "/../_ministack/reset",
            "/%5c_ministack%5creset",
            "/%5c..%5c_ministack/reset",
            "/%20_ministack/reset",
            "/%00_ministack/reset",
            "/%0a_ministack/reset",
            "/_ministack",
            "/_ministack/",
            "/_ministack/config",
            "/_ministack/lambda-code/x",
            "/_ministack/rds/iam-auth",
            "/_localstack/health",
            "/%5flocalstack/health",
            "/health",
            "/HEALTH",
            "/%68ealth",
            "//health",
            "/_aws/execute-api/abc/",
            "/_alb/x",
            "/_causeway",
            "/%5fcauseway/stop",
            "/_ministack/cfn-signal/",
            "/_ministack/cfn-signal/../reset",
            "/_ministack/cfn-signal/a%2f..%2freset",
            "/_ministack/cfn-signal/%2e%2e/reset",
            "/%5fministack/cfn-signal/abc",
            "/_ministack/cfn-signals/abc",
            "http://127.0.0.1:8001/_ministack/reset",
        ];
        for uri in spellings {
            for method in ["GET", "POST", "PUT", "OPTIONS"] {
                let refused = look(&parts(method, uri, &[]), 8001, true);
                assert_eq!(refused, Some(Refused::Path), "{method} {uri}");
            }
        }
        for method in ["POST", "GET", "DELETE"] {
            let signal = parts(method, "/_ministack/cfn-signal/0a1b-2c", &[]);
            assert_eq!(look(&signal, 8001, false), Some(Refused::Path), "{method}");
        }
        assert_eq!(look(&parts("OPTIONS", "*", &[]), 8001, false), Some(Refused::Path));
    }

    #[test]
    fn a_place_that_a_template_names_is_in_no_path_of_the_emulators_own() {
        for path in ["/_ministack/lambda-code/x", "/%5fministack/x", "/b/../_ministack/x", "/health"] {
            assert!(is_emulators_own(path), "{path}");
        }
        for path in ["/bucket/_ministack/x", "/bucket/health", "/bucket/part.yaml", "/"] {
            assert!(!is_emulators_own(path), "{path}");
        }
    }

    #[test]
    fn what_aws_has_goes_through() {
        for (method, uri) in [
            ("POST", "/"),
            ("GET", "/bucket?list-type=2"),
            ("PUT", "/bucket/packages/_ministack/reset"),
            ("GET", "/bucket/health"),
            ("GET", "/bucket/%2e%2e_x"),
            ("GET", "/healthy/x"),
            ("PUT", "/bucket/a%2f..%2fb"),
            ("GET", "/2015-03-31/functions/arn%3Aaws%3Alambda%3Ax/configuration"),
            ("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData"),
            ("PUT", "/_ministack/cfn-signal/0a1b-2c"),
            ("PUT", "/_ministack/cfn-response/0a1b"),
            ("POST", "/_causeway/stop"),
            ("GET", "/_causeway/../_ministack/health"),
        ] {
            assert_eq!(look(&parts(method, uri, &[]), 8001, false), None, "{method} {uri}");
        }
        assert_eq!(look(&parts("GET", "/", &[]), 8001, true), None, "signed");
    }

    #[test]
    fn nobody_lists_buckets() {
        for uri in ["/", "//", "/?list-type=2", "/%2f", "/./", "/bucket/.."] {
            for method in ["GET", "HEAD"] {
                let refused = look(&parts(method, uri, &[]), 8001, false);
                assert_eq!(refused, Some(Refused::Anonymous), "{method} {uri}");
            }
        }
    }

    #[test]
    fn another_name_and_another_page_are_refused() {
        for (name, value, expected) in [
            ("origin", "https://evil.example", Some(Refused::Origin)),
            ("origin", "null", Some(Refused::Origin)),
            ("origin", "http://127.0.0.1:8001", Some(Refused::Origin)),
            ("origin", "https://127.0.0.1:8002", Some(Refused::Origin)),
            ("origin", "https://127.0.0.1:8001.evil.example", Some(Refused::Origin)),
            ("origin", "https://127.0.0.1:8001", None),
            ("sec-fetch-site", "cross-site", Some(Refused::Origin)),
            ("sec-fetch-site", "same-site", Some(Refused::Origin)),
            ("sec-fetch-site", "none", None),
            ("host", "evil.example", Some(Refused::Host)),
        ] {
            let asked = parts("POST", "/", &[(name, value)]);
            assert_eq!(look(&asked, 8001, true), expected, "{name}: {value}");
        }
        assert_eq!(look(&parts("POST", "/", &[]), 8002, true), Some(Refused::Host), "another's port");
    }
}
