//! Query parameters, read strictly: a misspelled filter must not answer with everybody's data.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::problem::Problem;

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of one request: all known to the route, each at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads the query of a request as `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// 400 for a name that is not in `known`, a name given twice, or text that is not percent-encoded UTF-8.
    pub fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, String)> = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name);
            let Some(name) = known.iter().copied().find(|known| name.as_deref() == Some(*known)) else {
                return Err(Problem::new(
                    400,
                    format!("unknown query parameter; known are {}", known.join(", ")),
                ));
            };
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(Problem::parameter(name, "must be given once"));
            }
            let value =
                decoded(value).ok_or_else(|| Problem::parameter(name, "must be percent-encoded UTF-8"))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// A name or a value, decoded; `None` where an escape is broken, which the crate would leave as it stands, or where it is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let hex = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(hex) {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

/// A value as it may stand in a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_read() {
        for (raw, dt, next) in [
            ("", None, None),
            ("&&", None, None),
            ("dt=2024-02-29", Some("2024-02-29"), None),
            ("dt=", Some(""), None),
            ("dt", Some(""), None),
            ("dt=a=b", Some("a=b"), None),
            ("next=a%20b+c&dt=%C3%A9", Some("é"), Some("a b c")),
            ("%64t=1", Some("1"), None),
        ] {
            let query = Query::parse(Some(raw), &["dt", "next"]);
            let read = query.as_ref().map(|query| (query.get("dt"), query.get("next")));
            assert_eq!(read, Ok((dt, next)), "{raw}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for raw in
            ["x=1", "=1", "dt=1&dt=1", "dt=1&%64t=2", "dt=%", "dt=%4", "dt=%zz", "dt=%ff", "%ff=1", "DT=1"]
        {
            assert_eq!(
                Query::parse(Some(raw), &["dt"]).map_err(|problem| problem.status()),
                Err(400),
                "{raw}"
            );
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        assert_eq!(encoded("jane+x@example.com"), "jane%2Bx%40example.com");
        for text in ["", "a-b._~", "é & = % + #", "\u{0}>;\r\n"] {
            let escaped = encoded(text);
            assert_eq!(decoded(&escaped).as_deref(), Some(text));
            assert!(escaped.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        }
    }

    #[test]
    fn ten_thousand_queries_never_panic() {
        let mut random = fastrand::Rng::with_seed(20);
        for _ in 0..10_000 {
            let pieces =
                ["dt", "=", "&", "%", "%C3", "%A9", "%00", "é", "+", "2024-01-01", "next", "\u{0}", "f"];
            let raw: String = (0..random.usize(0..12)).filter_map(|_| random.choice(pieces)).collect();
            let _ = Query::parse(Some(&raw), &["dt", "next"]);
        }
    }
}
