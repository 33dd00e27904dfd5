//! Answers that an API's definition itself gives: of mock integrations, as CORS preflights of REST APIs are, and of gateway
//! responses. Only what is written out is answered; a mapping template that computes is for AWS alone.
//!
//! Source: "Mock integrations for REST APIs in API Gateway", "Gateway response types for API Gateway", "Gateway responses for
//! REST APIs in API Gateway" in the API Gateway developer guide.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

/// An answer that is written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// What a mock integration answers to every request.
///
/// # Errors
/// Why that is not written out.
pub(super) fn mock(integration: &Value) -> Result<Fixed, String> {
    let get = |names: [&str; 2]| names.iter().find_map(|name| integration.get(name));
    let requests = get(["requestTemplates", "RequestTemplates"]);
    let request = requests.and_then(template).ok_or("its request template names no status")?;
    if is_computed(request) {
        return Err("its request template computes".to_owned());
    }
    // API Gateway reads both JSON and the same without quotation marks.
    let status = request.split_once("statusCode").map_or("", |(_, rest)| rest);
    let status: String =
        status.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    if status.is_empty() {
        return Err("its request template names no status".to_owned());
    }
    let responses: Vec<(String, &Value)> =
        match (integration.get("responses"), integration.get("IntegrationResponses")) {
            (Some(Value::Object(map)), _) => {
                map.iter().map(|(pattern, one)| (pattern.clone(), one)).collect()
            }
            (_, Some(Value::Array(all))) => {
                let pattern = |one: &Value| {
                    one.get("SelectionPattern").and_then(Value::as_str).unwrap_or_default().to_owned()
                };
                all.iter().map(|one| (pattern(one), one)).collect()
            }
            _ => Vec::new(),
        };
    let of = |wanted: &[&str]| responses.iter().find(|(pattern, _)| wanted.contains(&pattern.as_str()));
    let (_, response) =
        of(&[status.as_str()]).or_else(|| of(&["", "default"])).ok_or("no response of it fits its status")?;
    let code = response.get("statusCode").or_else(|| response.get("StatusCode"));
    let status = code.map(causeway_model::template::text_of).and_then(|code| code.parse().ok());
    let status = status.ok_or("its response has no status")?;
    let given = |names: [&str; 2]| names.iter().find_map(|name| response.get(name));
    let headers = headers(given(["responseParameters", "ResponseParameters"]), "method.response.header.")?;
    let body = given(["responseTemplates", "ResponseTemplates"]).and_then(template).unwrap_or_default();
    if is_computed(body) {
        return Err("its response template computes".to_owned());
    }
    Ok(Fixed { status, headers, body: body.trim_end().to_owned() })
}

/// The template for JSON, or the only one.
fn template(templates: &Value) -> Option<&str> {
    let templates = templates.as_object()?;
    templates.get("application/json").or_else(|| templates.values().next())?.as_str()
}

/// Whether a mapping template does more than stand there: Velocity's directives and references.
fn is_computed(template: &str) -> bool {
    template.contains(['#', '$'])
}

/// Headers with values that are written out, in the single quotation marks that mapping expressions want.
fn headers(parameters: Option<&Value>, prefix: &str) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for (name, value) in parameters.and_then(Value::as_object).into_iter().flatten() {
        let Some(name) = name.strip_prefix(prefix) else { continue };
        let text = value.as_str().unwrap_or_default();
        let Some(text) = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
            return Err(format!("its header {name} is taken from elsewhere ({text})"));
        };
        headers.push((name.to_owned(), text.to_owned()));
    }
    Ok(headers)
}

impl Fixed {
    /// It as a response.
    pub(super) fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        put(&mut response, &self.headers);
        response
    }
}

fn put(response: &mut Response, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
}

/// What an API answers by itself, changed by its definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GatewayResponses(BTreeMap<String, Change>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl GatewayResponses {
    /// Takes one in: its type and its definition. What is not written out comes back as the reason.
    pub(super) fn add(&mut self, kind: &str, definition: &Value) -> Result<(), String> {
        let given = |names: [&str; 2]| names.iter().find_map(|name| definition.get(name));
        let status = given(["statusCode", "StatusCode"]).map(causeway_model::template::text_of);
        let headers =
            headers(given(["responseParameters", "ResponseParameters"]), "gatewayresponse.header.")?;
        let body = given(["responseTemplates", "ResponseTemplates"]).and_then(template);
        if body.is_some_and(|body| is_computed(&filled(body, ""))) {
            return Err("its template computes".to_owned());
        }
        let status = status.and_then(|status| status.parse().ok());
        let change = Change { status, headers, body: body.map(ToOwned::to_owned) };
        self.0.insert(kind.to_owned(), change);
        Ok(())
    }

    /// An answer that API Gateway gives by itself: its type, its status and its message.
    pub(super) fn response(&self, kind: &str, status: StatusCode, message: &str) -> Response {
        let class = if status.is_server_error() { "DEFAULT_5XX" } else { "DEFAULT_4XX" };
        let mut response = super::gateway(status, message);
        if let Some(change) = self.0.get(kind).or_else(|| self.0.get(class)) {
            if let Some(status) = change.status.and_then(|status| StatusCode::from_u16(status).ok()) {
                *response.status_mut() = status;
            }
            if let Some(body) = &change.body {
                *response.body_mut() = Body::from(filled(body, message));
            }
            put(&mut response, &change.headers);
        }
        response
    }
}

/// A gateway response's template with the message in it.
fn filled(template: &str, message: &str) -> String {
    let quoted = Value::from(message).to_string();
    template.replace("$context.error.messageString", &quoted).replace("$context.error.message", message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mock_answers_what_is_written_out() {
        let openapi = json!({
            "type": "mock",
            "requestTemplates": {"application/json": "{\n  \"statusCode\" : 200\n}\n"},
            "responses": {"default": {"statusCode": "200",
                "responseParameters": {"method.response.header.Access-Control-Allow-Origin": "'*'"},
                "responseTemplates": {"application/json": "{}\n"}}},
        });
        let resource = json!({
            "Type": "MOCK",
            "RequestTemplates": {"application/json": "{ statusCode: 200 }"},
            "IntegrationResponses": [{"StatusCode": 204, "ResponseParameters": {"method.response.header.Vary": "'Origin'"}}],
        });
        let found = mock(&openapi).unwrap();
        assert_eq!((found.status, found.body.as_str()), (200, "{}"));
        assert_eq!(found.response().headers()["access-control-allow-origin"], "*");
        let found = mock(&resource).unwrap();
        assert_eq!((found.status, found.body.as_str()), (204, ""));
        assert_eq!(found.response().headers()["vary"], "Origin");
    }

    #[test]
    fn a_mock_that_computes_is_not_answered() {
        let with = |request: &str, response: Value| {
            mock(&json!({"requestTemplates": {"application/json": request}, "responses": {"default": response}}))
                .unwrap_err()
        };
        let plain = "{\"statusCode\": 200}";
        for (why, found) in [
            (
                "request template computes",
                with("#set($x = 1){\"statusCode\": 200}", json!({"statusCode": 200})),
            ),
            ("names no status", with("{}", json!({"statusCode": 200}))),
            (
                "response template computes",
                with(plain, json!({"statusCode": 200, "responseTemplates": {"a/b": "$input.body"}})),
            ),
            (
                "taken from elsewhere",
                with(
                    plain,
                    json!({"statusCode": 200, "responseParameters": {"method.response.header.A": "integration.response.header.B"}}),
                ),
            ),
            ("has no status", with(plain, json!({}))),
        ] {
            assert!(found.contains(why), "{why}: {found}");
        }
        assert!(mock(&json!({"requestTemplates": {"a/b": plain}})).unwrap_err().contains("no response"));
    }

    #[test]
    fn a_gateway_response_is_changed_by_its_type_or_its_class() {
        let mut all = GatewayResponses::default();
        let cors =
            json!({"responseParameters": {"gatewayresponse.header.Access-Control-Allow-Origin": "'*'"}});
        all.add("DEFAULT_4XX", &cors).unwrap();
        let teapot = json!({"StatusCode": "418", "ResponseTemplates": {"application/json": "{\"m\":$context.error.messageString}"}});
        all.add("REQUEST_TOO_LARGE", &teapot).unwrap();
        let missing = all.response("MISSING_AUTHENTICATION_TOKEN", StatusCode::FORBIDDEN, "Missing");
        assert_eq!(
            (missing.status(), &missing.headers()["access-control-allow-origin"]),
            (StatusCode::FORBIDDEN, &HeaderValue::from_static("*"))
        );
        let large = all.response("REQUEST_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "Too \"long\"");
        assert_eq!(large.status(), 418);
        assert!(
            large.headers().get("access-control-allow-origin").is_none(),
            "a type of its own takes nothing of its class"
        );
        assert_eq!(all.response("INTEGRATION_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "x").status(), 504);
        assert!(
            all.add("UNAUTHORIZED", &json!({"responseTemplates": {"a/b": "$context.requestId"}})).is_err()
        );
    }
}
