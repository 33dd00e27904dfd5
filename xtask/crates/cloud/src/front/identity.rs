//! Who signed a call, and signing anew what the front changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;

use super::Call;
use causeway_aws::sign::{self, Authorization};
use causeway_model::arn::account_of;
use causeway_model::fault::Fault;
use causeway_model::keys::Keys;
use causeway_model::xml::Element;

/// The secret of every account's root in this cloud, and the keys that STS handed out through the front. Those live in
/// memory only.
pub struct Identities {
    root_secret: String,
    sessions: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    account: String,
    /// The session's ARN, `…:assumed-role/<role>/<session>`.
    arn: String,
    keys: Keys,
}

/// Who signed a call of a deployed API.
#[derive(Clone)]
pub struct Signer {
    /// The caller's account.
    pub account: String,
    /// The caller's ARN.
    pub arn: String,
    /// The ARN of the role behind a session; `None` for an account's root.
    pub role: Option<String>,
    /// What the call must be signed with.
    pub keys: Keys,
}

/// The access key id and the service of a call's signature, from its header or its query.
pub(super) fn scope(parts: &http::request::Parts) -> (String, String) {
    let header = parts
        .headers
        .get(http::header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let credential = match header.split_once("Credential=") {
        Some((_, rest)) => rest.split([',', ' ']).next().unwrap_or_default().to_owned(),
        None => form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Credential"))
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default(),
    };
    let fields: Vec<&str> = credential.split('/').collect();
    match fields.as_slice() {
        [key, _, _, service, ..] => ((*key).to_owned(), (*service).to_owned()),
        _ => (String::new(), String::new()),
    }
}

/// Whether an access key id is an account's root here: twelve digits.
fn is_root(access_key: &str) -> bool {
    access_key.len() == 12 && access_key.bytes().all(|byte| byte.is_ascii_digit())
}

/// Every access key id that the emulator might take a call for: in a header or a query, of either version.
fn named(parts: &http::request::Parts) -> BTreeSet<String> {
    let headers = parts.headers.get_all(http::header::AUTHORIZATION).iter();
    let mut ids: BTreeSet<String> = headers
        .filter_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            let version_4 = text.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
            let version_2 = text.strip_prefix("AWS ").and_then(|rest| rest.split(':').next());
            version_4.or(version_2).map(ToOwned::to_owned)
        })
        .collect();
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if name.eq_ignore_ascii_case("X-Amz-Credential") || name.eq_ignore_ascii_case("AWSAccessKeyId") {
            ids.insert(value.split('/').next().unwrap_or_default().to_owned());
        }
    }
    ids
}

impl Identities {
    /// For a cloud whose roots have that secret.
    pub fn new(root_secret: String) -> Self {
        Self { root_secret, sessions: Mutex::default() }
    }

    /// Whether a call comes from whom it names. Roots and sessions that began here must have signed it: the emulator
    /// believes every root, and what the front answers or signs anew never reaches its checks. It verifies the others.
    pub(super) fn is_genuine(&self, call: &Call) -> bool {
        let named = named(&call.parts);
        let known = |id: &String| {
            // The emulator's idea of twelve digits is a little wider than ours.
            let digits = id.trim();
            self.signer(id).is_some()
                || (digits.chars().count() == 12 && digits.chars().all(char::is_numeric))
        };
        if !named.iter().any(known) {
            return true;
        }
        let mut ids = named.iter();
        let (Some(id), None) = (ids.next(), ids.next()) else { return false };
        let read = Authorization::read(&call.parts.headers)
            .or_else(|| Authorization::read_query(call.parts.uri.query().unwrap_or_default()));
        let (Some(signer), Some(read)) = (self.signer(id), read) else { return false };
        read.access_key == *id
            && read.holds(&signer.keys, &call.parts, &call.body, causeway_machine::clock::now())
    }

    /// Learns the keys in an answer of STS.
    pub(super) fn learn(&self, answer: &str) {
        let Ok(root) = Element::parse(answer) else { return };
        let Some(result) = root.children.iter().find(|child| child.name.ends_with("Result")) else { return };
        let text = |path: &[&str]| result.text_at(path).to_owned();
        let id = text(&["Credentials", "AccessKeyId"]);
        let arn = text(&["AssumedRoleUser", "Arn"]);
        let Some(account) = account_of(&arn) else { return };
        if id.is_empty() {
            return;
        }
        let keys = Keys {
            id: id.clone(),
            secret: text(&["Credentials", "SecretAccessKey"]),
            token: Some(text(&["Credentials", "SessionToken"])),
        };
        let known = Known { account: account.to_owned(), arn: arn.clone(), keys };
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, known);
    }

    fn get(&self, access_key: &str) -> Option<Known> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(access_key).cloned()
    }

    /// The account of a caller, where it is a root or a session that began here.
    pub fn account(&self, access_key: &str) -> Option<String> {
        if is_root(access_key) {
            return Some(access_key.to_owned());
        }
        self.get(access_key).map(|known| known.account)
    }

    /// The keys of a session that began here.
    pub fn keys(&self, access_key: &str) -> Option<Keys> {
        self.get(access_key).map(|known| known.keys)
    }

    /// Who an access key belongs to: a root, or a session that began here.
    pub fn signer(&self, access_key: &str) -> Option<Signer> {
        if is_root(access_key) {
            let keys = Keys { id: access_key.to_owned(), secret: self.root_secret.clone(), token: None };
            let arn = format!("arn:aws:iam::{access_key}:root");
            return Some(Signer { account: access_key.to_owned(), arn, role: None, keys });
        }
        let Known { account, arn, keys } = self.get(access_key)?;
        let role = arn.split('/').nth(1).map(|role| format!("arn:aws:iam::{account}:role/{role}"));
        Some(Signer { account, arn, role, keys })
    }

    /// The headers of a call with another body, signed anew by the call's own signer.
    pub(super) fn sign_anew(&self, call: &Call, body: &Bytes, region: &str) -> anyhow::Result<HeaderMap> {
        let mut headers = call.parts.headers.clone();
        if is_root(&call.access_key) {
            // It was right when it came, and the emulator does not look at a root's signature.
            return Ok(headers);
        }
        let known = self.get(&call.access_key).ok_or_else(|| {
            Fault::failed("lower the template of a call", call.service.as_str())
                .why("the front does not know the caller's secret, so it cannot sign the changed call")
                .next("use an account's root or a role's session with the local cloud")
        })?;
        for name in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
            headers.remove(name);
        }
        let host = headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("127.0.0.1")
            .to_owned();
        let path = call.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let signed: Vec<(String, String)> = ["host", "content-type"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())))
            .collect();
        let url = format!("https://{host}{path}");
        headers.extend(sign::headers(
            &known.keys,
            &call.service,
            region,
            &call.parts.method,
            &url,
            &signed,
            body,
        )?);
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(authorization: &str, uri: &str) -> http::request::Parts {
        http::Request::builder()
            .uri(uri)
            .header("authorization", authorization)
            .body(())
            .unwrap()
            .into_parts()
            .0
    }

    #[test]
    fn the_scope_is_read_from_header_or_query() {
        let header = "AWS4-HMAC-SHA256 Credential=ASIA1/20260101/eu-central-1/sts/aws4_request, SignedHeaders=host, Signature=0";
        assert_eq!(scope(&parts(header, "/")), ("ASIA1".to_owned(), "sts".to_owned()));
        let query = "/b/k?X-Amz-Credential=ASIA2%2F20260101%2Feu-central-1%2Fs3%2Faws4_request";
        assert_eq!(scope(&parts("", query)), ("ASIA2".to_owned(), "s3".to_owned()));
        assert_eq!(scope(&parts("Bearer x", "/")), (String::new(), String::new()));
    }

    #[test]
    fn sessions_are_learned_from_sts() {
        let identities = Identities::new("right".to_owned());
        identities.learn("<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials><AssumedRoleUser><Arn>arn:aws:sts::222222222222:assumed-role/r/s</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>");
        assert_eq!(identities.account("ASIA1").as_deref(), Some("222222222222"));
        assert_eq!(identities.account("333333333333").as_deref(), Some("333333333333"));
        assert_eq!(identities.account("ASIA9"), None);
        let signer = identities.signer("ASIA1").unwrap();
        assert_eq!(signer.role.as_deref(), Some("arn:aws:iam::222222222222:role/r"));
        assert_eq!((signer.keys.secret.as_str(), signer.account.as_str()), ("s", "222222222222"));
        assert_eq!(identities.signer("333333333333").map(|signer| signer.role), Some(None));
        assert!(identities.signer("ASIA9").is_none());
        identities.learn("<garbage");
    }

    /// A call of the query protocol, signed with a secret.
    fn call(id: &str, secret: &str, body: &'static [u8]) -> Call {
        let keys = Keys { id: id.to_owned(), secret: secret.to_owned(), token: None };
        let host = [("host".to_owned(), "127.0.0.1:1".to_owned())];
        let (method, url) = (http::Method::POST, "https://127.0.0.1:1/");
        let headers = sign::headers(&keys, "sns", "eu-central-1", &method, url, &host, body).unwrap();
        let mut request = http::Request::builder().method(method).uri("/").header("host", "127.0.0.1:1");
        request.headers_mut().unwrap().extend(headers);
        let parts = request.body(()).unwrap().into_parts().0;
        let (access_key, service) = scope(&parts);
        Call { parts: std::sync::Arc::new(parts), body: Bytes::from_static(body), access_key, service }
    }

    #[test]
    fn whoever_is_named_must_have_signed() {
        let identities = Identities::new("right".to_owned());
        let root = "333333333333";
        assert!(identities.is_genuine(&call(root, "right", b"Action=CreateTopic")));
        assert!(!identities.is_genuine(&call(root, "local", b"Action=CreateTopic")));
        let other = Call { body: Bytes::from_static(b"Action=DeleteTopic"), ..call(root, "right", b"x") };
        assert!(!identities.is_genuine(&other), "the body is signed");
        // Keys that are not known here are the emulator's to verify, as are calls that name nobody.
        assert!(identities.is_genuine(&call("ASIA9", "any", b"")));
        let with = |authorization: &str, uri: &str| {
            let parts = std::sync::Arc::new(parts(authorization, uri));
            identities.is_genuine(&Call { parts, ..call(root, "right", b"") })
        };
        assert!(with("Bearer x", "/"));
        for (authorization, uri) in [
            ("AWS 333333333333:c2ln", "/"),
            ("Bearer Credential=333333333333/20260101/r/s/aws4_request", "/"),
            ("Bearer x", "/?AWSAccessKeyId=333333333333&Signature=x"),
            ("Bearer x", "/?X-Amz-Credential=333333333333%2F20260101%2Fr%2Fs%2Faws4_request"),
            ("Bearer x", "/?AWSAccessKeyId=333333333333%0A"),
        ] {
            assert!(!with(authorization, uri), "{authorization} {uri}");
        }
        let signed = call(root, "right", b"");
        let mut twice = (*signed.parts).clone();
        twice.headers.append("authorization", "AWS 222222222222:c2ln".parse().unwrap());
        assert!(!identities.is_genuine(&Call { parts: std::sync::Arc::new(twice), ..signed }));
    }
}
