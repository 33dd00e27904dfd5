//! A JSON body with named texts, read strictly and told apart: 400 is not JSON, 422 breaks a rule.
//!
//! A plain `serde` struct would take the last of two equal keys, stop at the first mistake, and repeat
//! what was sent in its message. Here every mistake is named at once, and nothing is repeated.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use api::guard::Unreadable;
use api::problem::{FieldError, Problem};
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;

/// The fields of a body, taken one by one. Only after [`Form::finish`] may their values be used.
#[derive(Debug)]
pub(crate) struct Form {
    given: Vec<(String, Json)>,
    errors: Vec<FieldError>,
    names: Vec<&'static str>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    /// Reads a request's body as a JSON object: 415 when the media type is not `application/json`, 413 when it is too large, 400
    /// when it is not JSON, 422 when it is not an object.
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !request.headers().get(CONTENT_TYPE).and_then(|sent| sent.to_str().ok()).is_some_and(is_json) {
            return Err(Problem::new(415, "the body must be application/json"));
        }
        if request.extensions().get::<Unreadable>().is_some() {
            return Err(Problem::new(400, "the body is not the base64 or the text that it is sent as"));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|refused| Problem::of(refused.status().as_u16()))?;
        Self::parse(&bytes)
    }
}

/// A JSON value, as far as anyone here cares.
#[derive(Debug)]
enum Json {
    Text(String),
    Object(Vec<(String, Json)>),
    Other,
}

impl Form {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body) {
            Ok(Json::Object(given)) => Ok(Self { given, errors: Vec::new(), names: Vec::new() }),
            Ok(_) => Err(Problem::new(422, "the body must be a JSON object")),
            // The parser's own message may repeat what was sent; the place is enough.
            Err(error) => Err(Problem::new(
                400,
                format!("the body is not valid JSON (line {}, column {})", error.line(), error.column()),
            )),
        }
    }

    /// Takes one required text and applies its rule. On a mistake the value is empty, and
    /// [`Form::finish`] refuses the whole.
    pub(crate) fn take<T: Default>(
        &mut self,
        name: &'static str,
        rule: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.names.push(name);
        let mut values = self.given.extract_if(.., |(key, _)| key == name).map(|(_, value)| value);
        let taken = match (values.next(), values.next()) {
            (None, _) => Err("is required".to_owned()),
            (Some(_), Some(_)) => Err("must be given once".to_owned()),
            (Some(Json::Text(text)), None) => rule(&text),
            (Some(_), None) => Err("must be a text".to_owned()),
        };
        drop(values);
        taken.unwrap_or_else(|reason| {
            self.errors.push(FieldError { field: name, reason });
            T::default()
        })
    }

    /// Says whether everything was well: all rules kept, nothing left over.
    ///
    /// # Errors
    /// 422 with every mistake.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        self.given.retain(|(key, _)| !self.names.contains(&key.as_str()));
        if !self.given.is_empty() {
            let reason = format!("holds a field that is not known; known are {}", self.names.join(", "));
            self.errors.push(FieldError { field: "body", reason });
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(Problem::with_errors(422, "the body breaks the rules below", self.errors))
    }
}

/// Whether a content type is JSON; its parameters (`charset=utf-8`) say nothing that matters, RFC 8259 section 11.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
        // Skipped without recursion: ten thousand brackets cost nothing.
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::guard::MAX_BODY_BYTES;

    /// The two texts of a body, or the status and what is told.
    fn read(body: &str) -> Result<(String, String), (u16, String)> {
        let run =
            || {
                let mut form = Form::parse(body.as_bytes())?;
                let one = form.take("one", |text| Ok(text.to_owned()));
                let two = form.take("two", |text| {
                    if text == "bad" { Err("is bad".to_owned()) } else { Ok(text.to_owned()) }
                });
                form.finish().map(|()| (one, two))
            };
        run().map_err(|problem: Problem| (problem.status(), format!("{problem:?}")))
    }

    #[test]
    fn a_good_body_is_read() {
        for body in [r#"{"one":"1","two":"2"}"#, " {\n\"two\" : \"2\", \"one\":\"\\u0031\"}\r\n"] {
            assert_eq!(read(body), Ok(("1".to_owned(), "2".to_owned())), "{body}");
        }
    }

    #[test]
    fn mistakes_have_their_status() {
        let deep = "[".repeat(MAX_BODY_BYTES);
        let deep_objects = r#"{"a":"#.repeat(2000);
        let nested = format!(r#"{{"one":{}1{},"two":"2"}}"#, "[".repeat(5000), "]".repeat(5000));
        let number = format!(r#"{{"one":"1","two":{}}}"#, "9".repeat(5000));
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("{}{}", 400),
            ("{'one':1}", 400),
            (r#"{"one":"1","two":"2",}"#, 400),
            (r#"{"one":"\ud800","two":"2"}"#, 400),
            ("{\"one\":\"a\nb\",\"two\":\"2\"}", 400),
            ("\u{feff}{}", 400),
            (deep.as_str(), 400),
            (deep_objects.as_str(), 400),
            ("null", 422),
            ("[]", 422),
            ("\"one\"", 422),
            ("{}", 422),
            (r#"{"one":"1"}"#, 422),
            (r#"{"one":1,"two":"2"}"#, 422),
            (r#"{"one":null,"two":"2"}"#, 422),
            (r#"{"one":{"x":"y"},"two":"2"}"#, 422),
            (r#"{"one":"1","one":"1","two":"2"}"#, 422),
            (r#"{"one":"1","\u006fne":"1","two":"2"}"#, 422),
            (r#"{"one":"1","two":"2","three":"3"}"#, 422),
            (r#"{"one":"1","two":"2","":""}"#, 422),
            (r#"{"one":"1","two":"bad"}"#, 422),
            (nested.as_str(), 422),
            (number.as_str(), 400),
        ] {
            let told = read(body).map_err(|(status, _)| status);
            assert_eq!(told, Err(status), "{}", body.get(..60).unwrap_or(body));
        }
    }

    #[test]
    fn every_mistake_is_named_and_nothing_sent_is_repeated() {
        let Err((status, body)) = read(r#"{"two":7,"jane@example.com":"secret","one":"1","one":"Jane"}"#)
        else {
            panic!("a bad body was taken")
        };
        assert_eq!(status, 422);
        for field in [r#"field: "one""#, r#"field: "two""#, r#"field: "body""#, "known are one, two"] {
            assert!(body.contains(field), "{body} lacks {field}");
        }
        assert!(!body.contains("secret") && !body.to_lowercase().contains("jane"), "{body}");
        let broken = read(r#"{"one":"Jane","two":Jane}"#);
        assert_eq!(broken.as_ref().map_err(|told| told.0), Err(400));
        assert!(!broken.map_err(|told| told.1).unwrap_err().contains("Jane"));
    }

    #[test]
    fn only_json_is_taken() {
        for (content_type, taken) in [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/json;charset=\"utf-8\"; x=y", true),
            ("", false),
            ("text/plain", false),
            ("application/json, application/json", false),
            ("application/jsonx", false),
            ("application/vnd.api+json", false),
        ] {
            assert_eq!(is_json(content_type), taken, "{content_type}");
        }
    }

    #[test]
    fn ten_thousand_bodies_never_panic() {
        let mut random = fastrand::Rng::with_seed(17);
        let pieces = [
            "{", "}", "[", "]", "\"one\"", "\"two\"", ":", ",", "\"", "\\", "\\u", "d800", "1e", "-", "é",
            "null", "\u{0}", " ",
        ];
        for _ in 0..10_000 {
            let body: String = (0..random.usize(0..24)).filter_map(|_| random.choice(pieces)).collect();
            if let Err((status, _)) = read(&body) {
                assert!(matches!(status, 400 | 422), "{body}: {status}");
            }
        }
    }
}
