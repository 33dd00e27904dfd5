//! One request to the function under test: an HTTP API event in, an HTTP answer out, no API in between.
//!
//! Source of both formats: "payload format version 2.0" of API Gateway's HTTP APIs.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::check::{Answer, word};
use crate::settings::Target;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The method in capitals.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query without its question mark.
    pub query: &'a str,
    /// A JSON body.
    pub body: Option<&'a str>,
}

/// Asks the target, and gives what it answered.
///
/// # Errors
/// The reason, as a lowercase fragment: the call was refused, the function failed, another version answered, or
/// the answer is no HTTP answer.
pub async fn invoke(client: &Client, target: &Target, ask: &Ask<'_>) -> Result<Answer, String> {
    let event = event(ask).to_string();
    let output = client
        .invoke()
        .function_name(&target.function)
        .payload(Blob::new(event))
        .send()
        .await
        .map_err(|error| format!("the function could not be invoked: {}", code(&error)))?;
    read(&output, target)
}

/// The event that API Gateway would send. No address of a person or a client is in it.
fn event(ask: &Ask<'_>) -> Value {
    let Ask { method, path, query, body } = ask;
    let route = format!("{method} {path}");
    json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "hook.invalid", "user-agent": "causeway-hook", "content-type": "application/json"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "causeway-hook",
            "domainName": "hook.invalid",
            "domainPrefix": "hook",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                "userAgent": "causeway-hook"
            },
            "requestId": "causeway-hook",
            "routeKey": route,
            "stage": "$default",
            "time": "01/Jan/1970:00:00:00 +0000",
            "timeEpoch": 0
        },
        "body": body,
        "isBase64Encoded": false
    })
}

/// Reads what Lambda gave back.
fn read(output: &InvokeOutput, target: &Target) -> Result<Answer, String> {
    let payload = output.payload().map(Blob::as_ref).unwrap_or_default();
    let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
    if let Some(kind) = output.function_error() {
        // The type tells a crash from a timeout; the message may tell anything.
        let error_type = payload["errorType"].as_str().unwrap_or("unknown");
        // Rust's runtime sends a type's whole name; what a box holds makes it no clearer.
        let error_type = error_type.split('<').next().unwrap_or_default();
        return Err(format!("the function failed: {} {}", word(kind), word(error_type)));
    }
    if let (Some(wanted), Some(answered)) = (target.number.as_deref(), output.executed_version())
        && wanted != answered
    {
        return Err(format!("expected an answer of lambda version {wanted}, got one of {}", word(answered)));
    }
    let no_answer = || "the function did not answer in HTTP's terms".to_owned();
    let status =
        payload["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok()).ok_or_else(no_answer)?;
    let body = payload["body"].as_str().unwrap_or_default();
    let body = if payload["isBase64Encoded"] == true {
        STANDARD.decode(body).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(no_answer)?
    } else {
        body.to_owned()
    };
    // A cursor goes into a query as it is, so it must look like one.
    let plain = |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let next = payload["headers"]["x-next"].as_str().filter(|text| !text.is_empty()).filter(plain);
    Ok(Answer { status, body, next: next.map(str::to_owned) })
}

/// The code of an SDK error; its message can quote what was sent.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    match error {
        SdkError::ServiceError(refused) => refused.err().code().unwrap_or("NoErrorCode"),
        SdkError::TimeoutError(_) => "Timeout",
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "Timeout",
        SdkError::DispatchFailure(_) => "DispatchFailure",
        SdkError::ResponseError(_) => "UnreadableResponse",
        _ => "RequestNotSent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { function: "checkin:7".to_owned(), number: Some("7".to_owned()) }
    }

    #[test]
    fn answers_of_any_shape_are_read() {
        for (payload, version, expected) in [
            (r#"{"statusCode":200,"body":"{}"}"#, Some("7"), Ok((200, "{}"))),
            (r#"{"statusCode":200,"body":"e30=","isBase64Encoded":true}"#, Some("7"), Ok((200, "{}"))),
            (r#"{"statusCode":204}"#, None, Ok((204, ""))),
            (
                r#"{"statusCode":200,"body":"{}"}"#,
                Some("6"),
                Err("expected an answer of lambda version 7, got one of 6"),
            ),
            (
                r#"{"statusCode":200,"body":"%","isBase64Encoded":true}"#,
                None,
                Err("the function did not answer in HTTP's terms"),
            ),
            (r#"{"statusCode":99999}"#, None, Err("the function did not answer in HTTP's terms")),
            (r#"{"statusCode":"200"}"#, None, Err("the function did not answer in HTTP's terms")),
            ("null", None, Err("the function did not answer in HTTP's terms")),
            ("", None, Err("the function did not answer in HTTP's terms")),
            ("[[[", None, Err("the function did not answer in HTTP's terms")),
        ] {
            let output = InvokeOutput::builder()
                .payload(Blob::new(payload))
                .set_executed_version(version.map(str::to_owned));
            let answer = read(&output.build(), &target());
            let expected =
                expected.map(|(status, body)| Answer { status, body: body.to_owned(), next: None });
            assert_eq!(answer, expected.map_err(str::to_owned), "{payload}");
        }
    }

    #[test]
    fn a_cursor_is_taken_when_it_looks_like_one() {
        for (sent, taken) in [("MTox-_9", Some("MTox-_9")), ("", None), ("a&b=c", None), ("a b", None)] {
            let payload = json!({"statusCode": 200, "headers": {"x-next": sent}}).to_string();
            let output = InvokeOutput::builder().payload(Blob::new(payload)).build();
            let answer = read(&output, &target()).unwrap();
            assert_eq!(answer.next.as_deref(), taken, "{sent}");
        }
    }

    #[test]
    fn a_failed_function_tells_its_type_and_not_its_message() {
        let payload = r#"{"errorType":"Runtime.ExitError","errorMessage":"jane@example.com"}"#;
        let output = InvokeOutput::builder().function_error("Unhandled").payload(Blob::new(payload)).build();
        assert_eq!(
            read(&output, &target()),
            Err("the function failed: Unhandled Runtime.ExitError".to_owned())
        );
        let output = InvokeOutput::builder().function_error("Unhandled").build();
        assert_eq!(read(&output, &target()), Err("the function failed: Unhandled unknown".to_owned()));
        let payload = r#"{"errorType":"alloc::boxed::Box<dyn core::error::Error + core::marker::Send>"}"#;
        let output = InvokeOutput::builder().function_error("Unhandled").payload(Blob::new(payload)).build();
        let shown = "the function failed: Unhandled alloc::boxed::Box";
        assert_eq!(read(&output, &target()), Err(shown.to_owned()));
    }

    #[test]
    fn an_event_is_one_of_api_gateway() {
        let event = event(&Ask { method: "POST", path: "/api/x", query: "a=b", body: Some("{}") });
        for (pointer, value) in [
            ("/version", "2.0"),
            ("/rawPath", "/api/x"),
            ("/rawQueryString", "a=b"),
            ("/body", "{}"),
            ("/requestContext/http/method", "POST"),
            ("/requestContext/stage", "$default"),
        ] {
            assert_eq!(event.pointer(pointer).and_then(Value::as_str), Some(value), "{pointer}");
        }
    }
}
