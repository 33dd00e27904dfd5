//! Whom a request was sent to: the local cloud's listeners answer their own names alone.
//!
//! A page on the web can make its own name resolve to 127.0.0.1 and have a browser speak to whatever listens there (DNS
//! rebinding). The Host header still has that page's name, and so gives it away.

use http::request::Parts;

/// Names that are this machine's alone, whatever a resolver says.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// Whether a request names the listener at that port: in its one Host header, and in its target where that is a whole
/// address.
pub(super) fn is_own(parts: &Parts, port: u16) -> bool {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    host.to_str().is_ok_and(|host| is_name(host, port)) && target.is_none_or(|name| is_name(name, port))
}

/// Whether a text is `name:port` of a listener at that port.
pub(super) fn is_name(text: &str, port: u16) -> bool {
    let Some((name, given)) = text.rsplit_once(':') else { return false };
    NAMES.iter().any(|own| name.eq_ignore_ascii_case(own)) && given == port.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listeners_own_names_are_answered() {
        let table: [(&str, &[&str], bool); 20] = [
            ("/", &["127.0.0.1:8001"], true),
            ("/", &["localhost:8001"], true),
            ("/", &["LocalHost:8001"], true),
            ("http://127.0.0.1:8001/", &["127.0.0.1:8001"], true),
            ("http://evil.example/", &["127.0.0.1:8001"], false),
            ("/", &[], false),
            ("/", &[""], false),
            ("/", &["127.0.0.1"], false),
            ("/", &["127.0.0.1:8002"], false),
            ("/", &["127.0.0.1:08001"], false),
            ("/", &["evil.example:8001"], false),
            ("/", &["evil.example"], false),
            ("/", &["127.0.0.1.evil.example:8001"], false),
            ("/", &["localhost.evil.example:8001"], false),
            ("/", &["evil.example:8001:8001"], false),
            ("/", &["x@127.0.0.1:8001"], false),
            ("/", &["127.0.0.1:8001, evil.example"], false),
            ("/", &["abc.execute-api.127.0.0.1:8001"], false),
            ("/", &["0.0.0.0:8001"], false),
            ("/", &["127.0.0.1:8001", "evil.example"], false),
        ];
        for (uri, hosts, expected) in table {
            let mut request = http::Request::builder().uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            assert_eq!(is_own(&parts, 8001), expected, "{uri} {hosts:?}");
        }
    }
}
