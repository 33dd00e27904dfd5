//! Pages of a list: how long, and where to go on.
//!
//! A cursor holds a sort key and nothing else. Which partition is read follows from the request alone, so a
//! forged cursor can at most skip within what its holder may read anyway.

use axum::Json;
use axum::http::header::LINK;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::fields;
use crate::model::Partition;
use crate::problem::Problem;
use crate::query::Query;

/// The most items on one page, and how many there are unless a request asks for fewer. A page of the largest
/// registrations stays below 2 MB; Lambda answers at most 6 MB.
pub const MAX_ITEMS: usize = 1000;

/// The query parameters that [`Page::from_query`] reads.
pub const PARAMETERS: [&str; 2] = ["limit", "next"];

/// Marks the format, so that a later one can tell old cursors from garbage.
const PREFIX: &str = "1:";

/// What part of a partition is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// At most so many items.
    pub limit: usize,
    /// Only items whose sort key is behind this one.
    pub after: Option<String>,
}

impl Page {
    /// Reads `limit` (1 to [`MAX_ITEMS`]) and `next`.
    ///
    /// # Errors
    /// 400 when one of them is not what we would write for this partition.
    pub fn from_query(query: &Query, partition: Partition) -> Result<Self, Problem> {
        let after = query.get("next").map(|text| decode(text, partition).ok_or_else(foreign)).transpose()?;
        Ok(Self { limit: limit(query)?, after })
    }
}

/// Reads `limit`: 1 to [`MAX_ITEMS`], which is what it is when it is not given.
///
/// # Errors
/// 400 when it is not such a number.
pub fn limit(query: &Query) -> Result<usize, Problem> {
    let Some(text) = query.get("limit") else { return Ok(MAX_ITEMS) };
    fields::whole_number(text, 1..=MAX_ITEMS).map_err(|reason| Problem::parameter("limit", reason))
}

/// What to say of a cursor that we did not make, or made for another request.
#[must_use]
pub fn foreign() -> Problem {
    Problem::parameter("next", "must be taken unchanged from an answer to the same request")
}

/// The cursor that goes on behind an item: base64url, so that a link can hold it as it is.
#[must_use]
pub fn encode(sort_key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{PREFIX}{sort_key}"))
}

/// A page of a list. Where it goes on stands in a link (RFC 8288) and as the bare cursor: the body stays an array, as the
/// original's is. `path` has a query already.
pub fn listed<T: Serialize>(items: &[T], path: &str, next: Option<String>) -> Response {
    let link =
        next.map(|next| [(LINK.as_str(), format!("<{path}&next={next}>; rel=\"next\"")), ("x-next", next)]);
    match link {
        Some(link) => (link, Json(items)).into_response(),
        None => Json(items).into_response(),
    }
}

/// The sort key in a cursor; `None` for whatever [`encode`] would not have made for this partition.
fn decode(cursor: &str, partition: Partition) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let sort_key = text.strip_prefix(PREFIX)?;
    partition.holds(sort_key).then(|| sort_key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0b7d3a5e-8c1f-4e7a-9a55-6f2d1c3b4a59";

    fn page(raw: &str, partition: Partition) -> Result<Page, u16> {
        let query = Query::parse(Some(raw), &PARAMETERS).map_err(|problem| problem.status())?;
        Page::from_query(&query, partition).map_err(|problem| problem.status())
    }

    fn day(text: &str) -> Partition {
        Partition::Day(text.parse().unwrap())
    }

    #[test]
    fn a_cursor_goes_there_and_back() {
        let key = format!("2024-02-29T08:15:00.000001Z#{ID}");
        for (partition, key) in [(Partition::Locations, ID), (day("2024-02-29"), key.as_str())] {
            let raw = format!("limit=7&next={}", encode(key));
            assert_eq!(page(&raw, partition), Ok(Page { limit: 7, after: Some(key.to_owned()) }));
        }
    }

    #[test]
    fn limits_are_plain_numbers() {
        for (raw, limit) in [
            ("", Some(MAX_ITEMS)),
            ("limit=1", Some(1)),
            ("limit=1000", Some(1000)),
            ("limit=", None),
            ("limit=0", None),
            ("limit=+1", None),
            ("limit=1001", None),
        ] {
            assert_eq!(page(raw, Partition::Locations).map(|page| page.limit), limit.ok_or(400), "{raw}");
        }
    }

    #[test]
    fn a_forged_cursor_reads_nothing() {
        let good = encode(ID);
        let key = format!("2024-02-29T08:15:00.000001Z#{ID}");
        for (partition, next) in [
            (Partition::Locations, String::new()),
            (Partition::Locations, "garbage".to_owned()),
            (Partition::Locations, format!("{good}=")),
            (Partition::Locations, good[..good.len() - 1].to_owned()),
            (Partition::Locations, URL_SAFE_NO_PAD.encode(ID)),
            (Partition::Locations, URL_SAFE_NO_PAD.encode(format!("2:{ID}"))),
            (Partition::Locations, encode(&key)),
            (Partition::Locations, encode("LOCATION")),
            (Partition::Locations, URL_SAFE_NO_PAD.encode([0xff, 0xff])),
            (day("2024-03-01"), encode(&key)),
            (day("2024-02-29"), good.clone()),
        ] {
            assert_eq!(page(&format!("next={next}"), partition), Err(400), "{partition} {next}");
        }
    }

    #[test]
    fn ten_thousand_cursors_never_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let good = encode(&format!("2024-02-29T08:15:00.000001Z#{ID}"));
        for _ in 0..10_000 {
            let mut bytes = good.clone().into_bytes();
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(b'-'..=b'z');
            bytes.truncate(random.usize(..=bytes.len()));
            let text = String::from_utf8(bytes).unwrap_or_default();
            if let Some(key) = decode(&text, day("2024-02-29")) {
                assert!(key.starts_with("2024-02-29T") && encode(&key) == text, "{text}");
            }
        }
    }
}
