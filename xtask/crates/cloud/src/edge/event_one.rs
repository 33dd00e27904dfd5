//! Events and answers in payload format 1.0: all that a REST API has, and what an HTTP API has where it is asked for.
//!
//! Source: "Lambda proxy integrations in API Gateway", "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", "Return
//! binary media from a Lambda proxy integration in API Gateway" in the API Gateway developer guide. Unconfirmed on AWS: that a key
//! besides the five makes an answer malformed, and that of a header or parameter given twice the single value is the last.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::event::{Asked, is_text};
use super::routes::{Kind, decoded};

/// The keys of an answer.
const KEYS: [&str; 5] = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"];

/// The event for a request.
pub(super) fn request(asked: &Asked<'_>) -> Value {
    let Asked { api, stage, found, parts, body, .. } = asked;
    let is_rest = api.kind == Kind::Rest;
    let now = causeway_machine::clock::now();
    let (mut headers, mut all_headers) = (Map::new(), Map::new());
    for name in parts.headers.keys() {
        let values: Vec<Value> = parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        headers.insert(name.as_str().to_owned(), values.last().cloned().unwrap_or_default());
        all_headers.insert(name.as_str().to_owned(), values.into());
    }
    let (mut query, mut all_query) = (Map::new(), Map::new());
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        let value = Value::from(value.into_owned());
        query.insert(name.clone().into_owned(), value.clone());
        match all_query.entry(name.into_owned()).or_insert_with(|| json!([])) {
            Value::Array(values) => values.push(value),
            other => *other = json!([value]),
        }
    }
    let or_null = |map: Map<String, Value>| if map.is_empty() { Value::Null } else { Value::Object(map) };
    let (path, whole) = (decoded(asked.path), decoded(parts.uri.path()));
    let (body, encoded) = if body.is_empty() {
        (Value::Null, false)
    } else {
        let binary = match api.kind {
            Kind::Rest => is_binary(&api.binary, parts.headers.get(http::header::CONTENT_TYPE)),
            Kind::Http => !is_text(parts) || std::str::from_utf8(body).is_err(),
        };
        match binary {
            true => (STANDARD.encode(body).into(), true),
            false => (String::from_utf8_lossy(body).into_owned().into(), false),
        }
    };
    let caller = asked.caller.map(super::access::Caller::to_identity);
    let mut identity = json!({
        "accessKey": null, "accountId": null, "caller": null, "cognitoAuthenticationProvider": null,
        "cognitoAuthenticationType": null, "cognitoIdentityId": null, "cognitoIdentityPoolId": null,
        "principalOrgId": null, "sourceIp": "127.0.0.1", "user": null, "userAgent": asked.text(http::header::USER_AGENT),
        "userArn": null,
    });
    if let (Some(Value::Object(caller)), Some(identity)) = (caller, identity.as_object_mut()) {
        identity.extend(caller);
    }
    let resource = found.resource.as_str();
    let mut event = json!({
        "resource": if is_rest { resource } else { found.key.split(' ').next_back().unwrap_or(resource) },
        "path": if is_rest { &path } else { &whole },
        "httpMethod": parts.method.as_str(),
        "headers": headers,
        "multiValueHeaders": all_headers,
        "queryStringParameters": or_null(query),
        "multiValueQueryStringParameters": or_null(all_query),
        "requestContext": {
            "accountId": asked.account,
            "apiId": api.id,
            "domainName": asked.text(http::header::HOST),
            "domainPrefix": api.id,
            "extendedRequestId": asked.id,
            "httpMethod": parts.method.as_str(),
            "identity": identity,
            "path": whole,
            "protocol": "HTTP/1.1",
            "requestId": asked.id,
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "requestTimeEpoch": now.as_millisecond(),
            "resourceId": found.key,
            "resourcePath": resource,
            "stage": stage.name,
        },
        "pathParameters": if found.parameters.is_empty() { Value::Null } else { json!(found.parameters) },
        "stageVariables": if stage.variables.is_empty() { Value::Null } else { json!(stage.variables) },
        "body": body,
        "isBase64Encoded": encoded,
    });
    if !is_rest {
        event["version"] = "1.0".into();
    }
    event
}

/// Whether a media type is among those that a REST API takes for binary.
fn is_binary(types: &[String], given: Option<&HeaderValue>) -> bool {
    let given = given.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = given.split([',', ';']).next().unwrap_or_default().trim().to_ascii_lowercase();
    types.iter().any(|kind| kind == "*/*" || *kind == first)
}

/// The response for an answer; `None` for one that is no answer of this format. `accept` is what the request accepts: a REST API
/// makes bytes of Base64 only for whoever asks for a binary type.
pub(super) fn response(
    payload: &[u8],
    kind: Kind,
    binary: &[String],
    accept: Option<&HeaderValue>,
) -> Option<Response> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    let answer = value.as_object()?;
    if kind == Kind::Rest && answer.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return None;
    }
    let status = match answer.get("statusCode")? {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok())?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    let status = StatusCode::from_u16(status).ok()?;
    let body = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return None,
    };
    let encoded = match answer.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(encoded)) => *encoded,
        Some(_) => return None,
    };
    let decodes = kind == Kind::Http || is_binary(binary, accept);
    let body = if encoded && decodes {
        Body::from(STANDARD.decode(body).ok()?)
    } else {
        Body::from(body.to_owned())
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if kind == Kind::Rest {
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in object(answer, "headers")?.into_iter().flatten() {
        put(headers, name, std::slice::from_ref(value), false)?;
    }
    // A header in both has the values of the second.
    for (name, values) in object(answer, "multiValueHeaders")?.into_iter().flatten() {
        put(headers, name, values.as_array()?, true)?;
    }
    Some(response)
}

/// A map of the answer that may be absent; `None` where it is something else.
fn object<'a>(answer: &'a Map<String, Value>, key: &str) -> Option<Option<&'a Map<String, Value>>> {
    match answer.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(map)) => Some(Some(map)),
        Some(_) => None,
    }
}

fn put(headers: &mut HeaderMap, name: &str, values: &[Value], all: bool) -> Option<()> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let texts = values.iter().map(|value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    });
    let texts: Vec<String> = texts.collect::<Option<_>>()?;
    if all || !texts.is_empty() {
        headers.remove(&name);
    }
    for text in texts {
        headers.append(&name, HeaderValue::from_str(&text).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::api::{Api, Stage};
    use super::super::routes::{Action, Found, Lock, Routes};
    use super::*;

    fn event(kind: Kind, binary: &[&str], body: &[u8]) -> Value {
        let mut api = Api {
            kind,
            binary: binary.iter().map(|b| (*b).to_owned()).collect(),
            ..Api::of_routes("api1", Routes::default())
        };
        api.stages.clear();
        let variables = BTreeMap::from([("v".to_owned(), "w".to_owned())]);
        let stage = Stage { name: "live".into(), variables, routes: Routes::default(), deployment: None };
        let found = Found {
            key: "POST /a/{id}".into(),
            resource: "/a/{id}".into(),
            parameters: BTreeMap::from([("id".to_owned(), "x y".to_owned())]),
            action: Action::Nothing(String::new()),
            lock: Lock::Open,
        };
        let parts = http::Request::builder()
            .method("POST")
            .uri("/live/a/x%20y?q=1&q=2&z=")
            .header("host", "127.0.0.1:1")
            .header("content-type", "image/png; a=b")
            .header("x-a", "1")
            .header("x-a", "2")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let path = "/a/x%20y";
        request(&Asked {
            account: "222222222222",
            id: "r-1",
            api: &api,
            stage: &stage,
            path,
            found: &found,
            caller: None,
            parts: &parts,
            body,
        })
    }

    #[test]
    fn the_event_of_a_rest_api_has_the_shape_of_format_1() {
        let event = event(Kind::Rest, &["image/png"], b"{}");
        for (pointer, expected) in [
            ("/version", Value::Null),
            ("/resource", json!("/a/{id}")),
            ("/path", json!("/a/x y")),
            ("/httpMethod", json!("POST")),
            ("/headers/x-a", json!("2")),
            ("/multiValueHeaders/x-a", json!(["1", "2"])),
            ("/queryStringParameters", json!({"q": "2", "z": ""})),
            ("/multiValueQueryStringParameters", json!({"q": ["1", "2"], "z": [""]})),
            ("/pathParameters", json!({"id": "x y"})),
            ("/stageVariables", json!({"v": "w"})),
            ("/requestContext/stage", json!("live")),
            ("/requestContext/path", json!("/live/a/x y")),
            ("/requestContext/resourcePath", json!("/a/{id}")),
            ("/requestContext/requestId", json!("r-1")),
            ("/requestContext/identity/sourceIp", json!("127.0.0.1")),
            ("/body", json!("e30=")),
            ("/isBase64Encoded", json!(true)),
        ] {
            assert_eq!(event.pointer(pointer).unwrap_or(&Value::Null), &expected, "{pointer}");
        }
        assert!(event.get("version").is_none() && event["multiValueHeaders"].is_object());
    }

    #[test]
    fn what_is_binary_is_said_by_a_rest_api_and_seen_by_an_http_api() {
        for (kind, types, body, encoded) in [
            (Kind::Rest, &[][..], &b"text"[..], false),
            (Kind::Rest, &["*/*"][..], b"text", true),
            (Kind::Rest, &["image/gif"][..], b"text", false),
            (Kind::Http, &[][..], b"text", true),
        ] {
            assert_eq!(event(kind, types, body)["isBase64Encoded"], encoded, "{kind:?} {types:?}");
        }
        let http = event(Kind::Http, &[], b"");
        assert_eq!(
            (&http["version"], &http["path"], &http["body"]),
            (&json!("1.0"), &json!("/live/a/x y"), &Value::Null)
        );
    }

    #[tokio::test]
    async fn answers_become_responses_or_are_malformed() {
        let good = json!({"statusCode": 201, "headers": {"a": "1", "b": 2, "c": "no"}, "multiValueHeaders": {"c": ["x", "y"]}, "body": "hi"});
        let answer = response(good.to_string().as_bytes(), Kind::Rest, &[], None).unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["b"]), (201, &HeaderValue::from_static("2")));
        assert_eq!(answer.headers().get_all("c").iter().collect::<Vec<_>>(), ["x", "y"]);
        for (malformed, in_rest_alone) in [
            (json!("text"), false),
            (json!({"body": "no status"}), false),
            (json!({"statusCode": "x"}), false),
            (json!({"statusCode": 99_999}), false),
            (json!({"statusCode": 200, "body": {"a": 1}}), false),
            (json!({"statusCode": 200, "headers": ["a"]}), false),
            (json!({"statusCode": 200, "headers": {"a": ["b"]}}), false),
            (json!({"statusCode": 200, "isBase64Encoded": "true"}), false),
            (json!({"statusCode": 200, "cookies": []}), true),
        ] {
            let text = malformed.to_string();
            assert!(response(text.as_bytes(), Kind::Rest, &[], None).is_none(), "{text}");
            assert_eq!(response(text.as_bytes(), Kind::Http, &[], None).is_some(), in_rest_alone, "{text}");
        }
        // Bytes come out where a binary type is asked for; else what the function said, letter by letter.
        let encoded = json!({"statusCode": 200, "isBase64Encoded": true, "body": "aGk="}).to_string();
        let accept = HeaderValue::from_static("image/png, */*");
        for (kind, types, expected) in [
            (Kind::Rest, vec![], "aGk="),
            (Kind::Rest, vec!["image/png".to_owned()], "hi"),
            (Kind::Http, vec![], "hi"),
        ] {
            let answer = response(encoded.as_bytes(), kind, &types, Some(&accept)).unwrap();
            let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
            assert_eq!(bytes, expected.as_bytes(), "{kind:?} {types:?}");
        }
    }
}
