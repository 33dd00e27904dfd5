//! Signatures of version 4, for calls that no SDK client makes: those the front changes, the engines' own with the rights
//! of a role, and calls of an API's protected routes. Also the other side of it: whether a signature is right.
//!
//! Source: "Create a signed AWS API request" in the IAM user guide.

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

use causeway_model::keys::Keys;

/// What a canonical request escapes: all but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A signature may be so many seconds older or newer than the clock.
const SKEW: i64 = 300;

/// The headers that a signature adds: authorization, date, token, and for S3 the content's digest.
///
/// `signed` are the headers it covers; `host` must be among them.
///
/// # Errors
/// A header or the URL has a shape that cannot be signed.
pub fn headers(
    keys: &Keys,
    service: &str,
    region: &str,
    method: &Method,
    url: &str,
    signed: &[(String, String)],
    body: &[u8],
) -> anyhow::Result<HeaderMap> {
    let identity = Credentials::new(&keys.id, &keys.secret, keys.token.clone(), None, "causeway").into();
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
    }
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(causeway_machine::clock::now().into())
        .settings(settings)
        .build()
        .context("sign a call")?
        .into();
    let pairs = signed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(method.as_str(), url, pairs, SignableBody::Bytes(body))
        .context("sign a call")?;
    let (instructions, _) = sign(signable, &parameters).context("sign a call")?.into_parts();
    let mut request = http::Request::builder().uri(url).body(()).context("sign a call")?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request.into_parts().0.headers)
}

/// What an S3 upload over TLS may say in place of its body's digest ("Signature Calculations for the Authorization
/// Header" in the S3 API reference); chunked ones begin with the second.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const STREAMING: &str = "STREAMING-";

/// A signature in a query may live so long, in seconds: a week.
const LONGEST: i64 = 604_800;

/// A signature of version 4: the parts of an `Authorization` header, or of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The access key id.
    pub access_key: String,
    date: String,
    region: String,
    /// The service of the scope.
    pub service: String,
    signed: Vec<String>,
    signature: String,
    query: Option<Presigned>,
}

/// What a signature in a query has besides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Presigned {
    time: String,
    seconds: i64,
    token: Option<String>,
}

impl Authorization {
    /// Reads it; `None` for anything else.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let rest = text.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| {
            rest.split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let signed = field("SignedHeaders")?;
        Self::scoped(&field("Credential")?, &signed, field("Signature")?, None)
    }

    /// Reads it from a query ("Authenticating Requests: Using Query Parameters" in the S3 API reference); `None` where
    /// there is none.
    pub fn read_query(query: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        if field("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
            return None;
        }
        let seconds =
            field("X-Amz-Expires")?.parse().ok().filter(|seconds| (1..=LONGEST).contains(seconds))?;
        let query = Presigned { time: field("X-Amz-Date")?, seconds, token: field("X-Amz-Security-Token") };
        let signed = field("X-Amz-SignedHeaders")?;
        Self::scoped(&field("X-Amz-Credential")?, &signed, field("X-Amz-Signature")?, Some(query))
    }

    /// From a credential, `<key>/<date>/<region>/<service>/aws4_request`, and the names of the signed headers; `None`
    /// where the credential has another shape.
    fn scoped(credential: &str, signed: &str, signature: String, query: Option<Presigned>) -> Option<Self> {
        let scope: Vec<&str> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = scope.as_slice() else { return None };
        Some(Self {
            access_key: (*access_key).to_owned(),
            date: (*date).to_owned(),
            region: (*region).to_owned(),
            service: (*service).to_owned(),
            signed: signed.split(';').map(str::to_owned).collect(),
            signature,
            query,
        })
    }

    /// Whether this is what the holder of these keys would have made of the request for that region, just now.
    pub fn is_right(
        &self,
        keys: &Keys,
        region: &str,
        parts: &http::request::Parts,
        body: &[u8],
        now: Timestamp,
    ) -> bool {
        self.region == region && self.holds(keys, parts, body, now)
    }

    /// Whether this is what the holder of these keys would have made of the request, just now, for whatever region.
    pub fn holds(&self, keys: &Keys, parts: &http::request::Parts, body: &[u8], now: Timestamp) -> bool {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let time = match &self.query {
            Some(query) => Some(query.time.as_str()),
            None => header("x-amz-date"),
        };
        let Some(time) = time.filter(|time| time.starts_with(&self.date)) else { return false };
        let Ok(moment) = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time) else { return false };
        let Ok(moment) = moment.to_zoned(jiff::tz::TimeZone::UTC) else { return false };
        let age = now.as_second() - moment.timestamp().as_second();
        let life = self.query.as_ref().map_or(SKEW, |query| query.seconds);
        let covers = |name: &str| self.signed.iter().any(|signed| signed == name);
        let whole = covers("host") && (self.query.is_some() || covers("x-amz-date"));
        if !(-SKEW..=life).contains(&age) || !whole {
            return false;
        }
        let token = match &self.query {
            Some(query) => query.token.as_deref(),
            None => header("x-amz-security-token"),
        };
        if keys.token.as_deref() != token {
            return false;
        }
        let digest = hex::encode(Sha256::digest(body));
        let digest = match header("x-amz-content-sha256") {
            _ if self.query.is_some() && self.service == "s3" => UNSIGNED.to_owned(),
            Some(said) if self.service == "s3" && (said == UNSIGNED || said.starts_with(STREAMING)) => {
                said.to_owned()
            }
            Some(said) if said != digest => return false,
            _ => digest,
        };
        let Some(canonical) = self.canonical(parts, &digest) else { return false };
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let canonical = hex::encode(Sha256::digest(canonical));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}");
        let key =
            v4::generate_signing_key(&keys.secret, moment.timestamp().into(), &self.region, &self.service);
        v4::calculate_signature(key, to_sign.as_bytes()) == self.signature
    }

    /// The canonical request; `None` where a path would have to be normalized, or a signed header is missing.
    fn canonical(&self, parts: &http::request::Parts, digest: &str) -> Option<String> {
        let path = parts.uri.path();
        // The path is escaped on the wire already and once more here; S3 alone takes it as it came.
        let path = if self.service == "s3" {
            path.to_owned()
        } else if path.contains("//") || path.contains("/.") {
            return None;
        } else {
            let escaped = path.split('/').map(|part| utf8_percent_encode(part, ESCAPED).to_string());
            escaped.collect::<Vec<_>>().join("/")
        };
        let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let mut query: Vec<(String, String)> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .filter(|(name, _)| self.query.is_none() || name != "X-Amz-Signature")
                .map(|(name, value)| (escape(&name), escape(&value)))
                .collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers = String::new();
        for name in &self.signed {
            let values: Option<Vec<String>> = parts
                .headers
                .get_all(name)
                .iter()
                .map(|value| Some(value.to_str().ok()?.split_whitespace().collect::<Vec<_>>().join(" ")))
                .collect();
            let values = values.filter(|values| !values.is_empty())?;
            headers.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        Some(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{digest}",
            parts.method,
            path,
            query.join("&"),
            self.signed.join(";")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys { id: "ASIA1".into(), secret: "secret".into(), token: Some("token".into()) }
    }

    /// A request signed as a client would.
    fn signed(method: &str, url: &str, body: &[u8]) -> http::request::Parts {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let host = [("host".to_owned(), "127.0.0.1:8001".to_owned())];
        let signature = headers(&keys(), "execute-api", "eu-central-1", &method, url, &host, body).unwrap();
        let path = url.strip_prefix("http://127.0.0.1:8001").unwrap();
        let mut request = http::Request::builder().method(method).uri(path).header("host", "127.0.0.1:8001");
        request.headers_mut().unwrap().extend(signature);
        request.body(()).unwrap().into_parts().0
    }

    fn is_right(parts: &http::request::Parts, body: &[u8]) -> bool {
        let Some(authorization) = Authorization::read(&parts.headers) else { return false };
        authorization.is_right(&keys(), "eu-central-1", parts, body, causeway_machine::clock::now())
    }

    #[test]
    fn what_is_signed_here_is_right_here() {
        for (method, path, body) in [
            ("GET", "/api/registrations?dt=2026-11-22", ""),
            ("GET", "/api/contacts?email=a%2Bb%40c.de&dt=2026-11-22&next=x-_9&window=", ""),
            ("DELETE", "/api/registrations/a%20b%2F%C3%A9?dt=1", ""),
            ("POST", "/api/locations", "{\"locationName\":\"é\"}"),
            ("GET", "/?b=2&a=1&a=0&B=~", ""),
        ] {
            let parts = signed(method, &format!("http://127.0.0.1:8001{path}"), body.as_bytes());
            assert!(is_right(&parts, body.as_bytes()), "{method} {path}");
        }
    }

    #[test]
    fn whatever_is_changed_makes_it_wrong() {
        type Change = fn(&mut http::request::Parts);
        let good = || signed("GET", "http://127.0.0.1:8001/api/registrations?dt=2026-11-22", b"");
        let set = |parts: &mut http::request::Parts, name: &'static str, value: &str| {
            parts.headers.insert(name, value.parse().unwrap());
        };
        assert!(is_right(&good(), b"") && !is_right(&good(), b"x"));
        let changes: [Change; 7] = [
            |parts| parts.method = Method::DELETE,
            |parts| parts.uri = "/api/contacts?dt=2026-11-22".parse().unwrap(),
            |parts| parts.uri = "/api/registrations?dt=2026-11-23".parse().unwrap(),
            |parts| parts.uri = "/api//registrations?dt=2026-11-22".parse().unwrap(),
            |parts| drop(parts.headers.remove("x-amz-security-token")),
            |parts| drop(parts.headers.remove("x-amz-date")),
            |parts| drop(parts.headers.remove("host")),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut parts = good();
            change(&mut parts);
            assert!(!is_right(&parts, b""), "change {at}");
        }
        for (name, value) in [
            ("host", "127.0.0.1:8002"),
            ("x-amz-security-token", "other"),
            ("x-amz-date", "20200101T000000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=ASIA1/20261122/eu-central-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
            ),
        ] {
            let mut parts = good();
            set(&mut parts, name, value);
            assert!(!is_right(&parts, b""), "{name}");
        }
        let parts = good();
        let authorization = Authorization::read(&parts.headers).unwrap();
        let later = causeway_machine::clock::now() + jiff::SignedDuration::from_secs(SKEW + 5);
        assert!(!authorization.is_right(&keys(), "eu-central-1", &parts, b"", later), "it is too old");
        assert!(
            !authorization.is_right(&keys(), "us-east-1", &parts, b"", causeway_machine::clock::now()),
            "another region"
        );
        let other = Keys { secret: "other".into(), ..keys() };
        assert!(
            !authorization.is_right(&other, "eu-central-1", &parts, b"", causeway_machine::clock::now()),
            "another key"
        );
    }

    /// The example of "Authenticating Requests: Using Query Parameters" in the S3 API reference.
    #[test]
    fn the_presigned_url_of_the_reference_is_right() {
        let uri = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        let request = http::Request::builder().uri(uri).header("host", "examplebucket.s3.amazonaws.com");
        let parts = request.body(()).unwrap().into_parts().0;
        let read = Authorization::read_query(parts.uri.query().unwrap()).unwrap();
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        };
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert!(read.holds(&keys, &parts, b"", at("2013-05-24T12:00:00Z")));
        assert!(!read.holds(&keys, &parts, b"", at("2013-05-25T00:00:01Z")), "it has run out");
        let other = Keys { secret: "other".into(), ..keys };
        assert!(!read.holds(&other, &parts, b"", at("2013-05-24T12:00:00Z")));
        assert_eq!(Authorization::read_query("X-Amz-Algorithm=AWS4-HMAC-SHA256"), None);
    }

    #[test]
    fn an_upload_to_s3_may_leave_its_body_unsigned_and_other_services_may_not() {
        let sign = |service: &str| {
            let url = "https://127.0.0.1:1/bucket//a%20b/../c";
            let pairs = [
                ("host".to_owned(), "127.0.0.1:1".to_owned()),
                ("x-amz-content-sha256".to_owned(), UNSIGNED.to_owned()),
            ];
            let identity = Credentials::new("ASIA1", "secret", Some("token".into()), None, "test").into();
            let mut settings = SigningSettings::default();
            settings.percent_encoding_mode = aws_sigv4::http_request::PercentEncodingMode::Single;
            settings.uri_path_normalization_mode =
                aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
            let parameters = v4::SigningParams::builder()
                .identity(&identity)
                .region("eu-central-1")
                .name(service)
                .time(causeway_machine::clock::now().into())
                .settings(settings)
                .build()
                .unwrap()
                .into();
            let pairs_ref = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let signable =
                SignableRequest::new("PUT", url, pairs_ref, SignableBody::UnsignedPayload).unwrap();
            let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
            let mut request = http::Request::builder().method("PUT").uri(url).body(()).unwrap();
            instructions.apply_to_request_http1x(&mut request);
            for (name, value) in &pairs {
                let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            request.into_parts().0
        };
        for (service, right) in [("s3", true), ("lambda", false)] {
            let parts = sign(service);
            let read = Authorization::read(&parts.headers).unwrap();
            assert_eq!(
                read.holds(&keys(), &parts, b"whatever", causeway_machine::clock::now()),
                right,
                "{service}"
            );
        }
    }

    #[test]
    fn only_headers_of_version_4_are_read() {
        for text in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=A/20260101/r/s, SignedHeaders=host, Signature=0",
            "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws4_request, SignedHeaders=host",
            "AWS4-HMAC-SHA256 Credential=A/20260101/r/s/aws5_request, SignedHeaders=host, Signature=0",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", text.parse().unwrap());
            assert_eq!(Authorization::read(&headers), None, "{text}");
        }
        assert_eq!(Authorization::read(&HeaderMap::new()), None);
    }
}
