//! The event of an HTTP API and the answer to it, payload format 2.0; and what is known of a request, whatever the format.
//!
//! Source: "Working with AWS Lambda proxy integrations for HTTP APIs" in the API Gateway developer guide.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::access::Caller;
use super::api::{Api, Stage};
use super::routes::{Found, decoded};
use super::{LAMBDA_VERSION_HEADER, VERSION_HEADER, gateway};

/// What a function answered.
pub(super) struct Answer {
    /// Whether it ended in an error.
    pub(super) failed: bool,
    /// The payload.
    pub(super) payload: Vec<u8>,
}

impl Answer {
    /// Whether it ran into the function's timeout, in Lambda's own words.
    pub(super) fn timed_out(&self) -> bool {
        let error: Value = match self.failed {
            true => serde_json::from_slice(&self.payload).unwrap_or_default(),
            false => Value::Null,
        };
        let is = |name: &str, of: fn(&str) -> bool| error.get(name).and_then(Value::as_str).is_some_and(of);
        is("errorType", |kind| kind == "Sandbox.Timedout")
            || is("errorMessage", |message| message.contains("Task timed out after "))
    }
}

/// A request that a function is to answer.
pub(super) struct Asked<'a> {
    /// The API's account.
    pub(super) account: &'a str,
    /// The request's id.
    pub(super) id: &'a str,
    pub(super) api: &'a Api,
    pub(super) stage: &'a Stage,
    /// The path without its stage.
    pub(super) path: &'a str,
    pub(super) found: &'a Found,
    /// Who signed it, where its route asks for that.
    pub(super) caller: Option<&'a Caller>,
    pub(super) parts: &'a http::request::Parts,
    pub(super) body: &'a [u8],
}

impl Asked<'_> {
    /// A header as text; empty where there is none.
    pub(super) fn text(&self, name: HeaderName) -> String {
        let value = self.parts.headers.get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
    }
}

/// The event for a request.
pub(super) fn request(asked: &Asked<'_>) -> Value {
    let Asked { account, id, api, stage, found, caller, parts, body, .. } = asked;
    let api = &api.id;
    let now = causeway_machine::clock::now();
    let query = parts.uri.query().unwrap_or_default();
    let mut headers: Map<String, Value> = Map::new();
    let mut cookies = Vec::new();
    for name in parts.headers.keys() {
        let values: Vec<String> = parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        if name == http::header::COOKIE {
            cookies.extend(
                values.iter().flat_map(|value| value.split("; ").map(Value::from).collect::<Vec<_>>()),
            );
        } else {
            headers.insert(name.as_str().to_owned(), values.join(",").into());
        }
    }
    let mut parameters: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // Values of a repeated parameter are joined with commas.
        let joined = match parameters.get(name.as_ref()).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        parameters.insert(name.into_owned(), joined.into());
    }
    let path = decoded(parts.uri.path());
    let mut event = json!({
        "version": "2.0",
        "routeKey": found.key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": account,
            "apiId": api,
            "domainName": asked.text(http::header::HOST),
            "domainPrefix": api,
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": asked.text(http::header::USER_AGENT),
            },
            "requestId": id,
            "routeKey": found.key,
            "stage": stage.name,
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    if let Some(caller) = caller {
        event["requestContext"]["authorizer"] = json!({"iam": caller.to_event()});
    }
    let Some(map) = event.as_object_mut() else { return event };
    if !cookies.is_empty() {
        map.insert("cookies".into(), Value::Array(cookies));
    }
    if !parameters.is_empty() {
        map.insert("queryStringParameters".into(), Value::Object(parameters));
    }
    if !found.parameters.is_empty() {
        map.insert("pathParameters".into(), json!(found.parameters));
    }
    if !stage.variables.is_empty() {
        map.insert("stageVariables".into(), json!(stage.variables));
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(text) if is_text(parts) => map.insert("body".into(), text.into()),
            _ => {
                map.insert("isBase64Encoded".into(), true.into());
                map.insert("body".into(), STANDARD.encode(body).into())
            }
        };
    }
    event
}

/// API Gateway passes text and JSON as they are, everything else in Base64.
pub(super) fn is_text(parts: &http::request::Parts) -> bool {
    let kind = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.is_empty()
        || kind.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&kind.as_str())
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}

/// The response for an answer. An error of the function is a 500, as on AWS.
pub(super) fn response(answer: &Answer) -> Response {
    match serde_json::from_slice::<Value>(&answer.payload) {
        Ok(value) if !answer.failed => from_value(value),
        _ => gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

/// Names the version that answered, whatever it answered.
pub(super) fn name_version(response: &mut Response, version: &str) {
    let headers = response.headers_mut();
    if let Ok(number) = HeaderValue::from_str(version) {
        headers.insert(LAMBDA_VERSION_HEADER, number);
    }
    if !headers.contains_key(VERSION_HEADER) {
        headers.insert(VERSION_HEADER, HeaderValue::from_static("unknown"));
    }
}

fn from_value(value: Value) -> Response {
    let Some(status) = value.get("statusCode").and_then(Value::as_u64) else {
        // Without a status the whole value is the body of a 200.
        let mut response = Response::new(Body::from(match value {
            Value::String(text) => text,
            other => other.to_string(),
        }));
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    };
    let Some(status) = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()) else {
        return gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    let body = value.get("body").and_then(Value::as_str).unwrap_or_default();
    let encoded = value.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = if encoded {
        match STANDARD.decode(body) {
            Ok(bytes) => Body::from(bytes),
            Err(_) => return gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        }
    } else {
        Body::from(body.to_owned())
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let add = |headers: &mut http::HeaderMap, name: &str, value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&text))
        {
            headers.append(name, value);
        }
    };
    for (name, value) in value.get("headers").and_then(Value::as_object).into_iter().flatten() {
        add(headers, name, value);
    }
    for (name, values) in value.get("multiValueHeaders").and_then(Value::as_object).into_iter().flatten() {
        if !headers.contains_key(name.as_str()) {
            values.as_array().into_iter().flatten().for_each(|value| add(headers, name, value));
        }
    }
    for cookie in value.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        add(headers, "set-cookie", cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::routes::{Action, Lock, Routes};
    use super::*;

    fn found() -> Found {
        Found {
            key: "GET /a/{id}".into(),
            resource: "/a/{id}".into(),
            parameters: BTreeMap::from([("id".to_owned(), "x".to_owned())]),
            action: Action::Nothing(String::new()),
            lock: Lock::Open,
        }
    }

    #[test]
    fn the_event_has_the_shape_of_format_2() {
        let request_parts = http::Request::builder()
            .method("POST")
            .uri("/a/x%20y?q=1&q=2&z=")
            .header("host", "127.0.0.1:1")
            .header("content-type", "application/json")
            .header("x-a", "1")
            .header("x-a", "2")
            .header("cookie", "a=1; b=2")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let api = Api::of_routes("api1", Routes::default());
        let (found, stage, parts) = (found(), &api.stages[0], &request_parts);
        let of = |body: &[u8]| {
            request(&Asked {
                account: "222222222222",
                id: "r-1",
                api: &api,
                stage,
                path: "",
                found: &found,
                caller: None,
                parts,
                body,
            })
        };
        let event = of(b"{}");
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/a/x y");
        assert_eq!(event["rawQueryString"], "q=1&q=2&z=");
        assert_eq!(event["queryStringParameters"], json!({"q": "1,2", "z": ""}));
        assert_eq!(event["headers"]["x-a"], "1,2");
        assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
        assert_eq!(event["pathParameters"], json!({"id": "x"}));
        assert_eq!(event["requestContext"]["http"]["method"], "POST");
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{}"), &json!(false)));
        assert_eq!(event["requestContext"].get("authorizer"), None);
        assert_eq!(event["requestContext"]["requestId"], "r-1");
        let event = of(&[0xff, 0xfe]);
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("//4="), &json!(true)));
    }

    #[test]
    fn a_timeout_is_told_from_other_errors() {
        let timeout = r#"{"errorMessage":"2026-11-27T10:00:00Z 1 Task timed out after 10.00 seconds"}"#;
        for (failed, payload, expected) in [
            (true, timeout, true),
            (
                true,
                r#"{"errorMessage":"Task timed out after 10.00 seconds","errorType":"Sandbox.Timedout"}"#,
                true,
            ),
            (true, r#"{"errorMessage":"broken on purpose: errors","errorType":"String"}"#, false),
            (true, "no JSON", false),
            (false, timeout, false),
        ] {
            let answer = Answer { failed, payload: payload.as_bytes().to_vec() };
            assert_eq!(answer.timed_out(), expected, "{failed} {payload}");
        }
    }

    #[test]
    fn answers_become_responses() {
        let named = |answer: Answer| {
            let mut response = response(&answer);
            name_version(&mut response, "4");
            response
        };
        let ok = |value: Value| named(Answer { failed: false, payload: value.to_string().into_bytes() });
        let created = ok(
            json!({"statusCode": 201, "headers": {"x-causeway-version": "v", "a": "b"}, "cookies": ["c=1"], "body": "hi"}),
        );
        assert_eq!(created.status(), 201);
        assert_eq!(created.headers()[VERSION_HEADER], "v");
        assert_eq!(created.headers()[LAMBDA_VERSION_HEADER], "4");
        assert_eq!(created.headers()["set-cookie"], "c=1");
        assert_eq!(ok(json!({"x": 1})).status(), 200);
        assert_eq!(ok(json!({"statusCode": 99_999})).status(), 500);
        assert_eq!(ok(json!({"statusCode": 200, "isBase64Encoded": true, "body": "%"})).status(), 500);
        let crashed = named(Answer { failed: true, payload: b"{\"errorType\":\"x\"}".to_vec() });
        assert_eq!(crashed.status(), 500);
        assert_eq!(crashed.headers()[LAMBDA_VERSION_HEADER], "4");
    }
}
