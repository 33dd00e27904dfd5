//! What a check is, as data, and the rules that answers are held to. Which checks there are is in [`crate::suites`].

use std::time::Duration;

use serde_json::Value;

/// One thing that a version must be able to do. It passes when all of its steps do.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name in the log and the report.
    pub name: &'static str,
    /// What is asked, in this order.
    pub steps: &'static [Step],
    /// What is cleared away at the end, whatever became of the steps.
    pub sweep: Option<Sweep>,
}

/// Clears away what a check may have left: every item of a list that carries its mark. A step that cleans up knows
/// an id only when the answer that named it arrived; the mark is there in any case, also after a hook that was killed.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    /// The list's path.
    pub list: &'static str,
    /// The field that holds the mark.
    pub field: &'static str,
    /// The mark. Nobody else writes it.
    pub mark: &'static str,
    /// The field that holds the id.
    pub id: &'static str,
    /// The path to delete, where `{id}` stands for the id.
    pub remove: &'static str,
}

/// One request and what must come back.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The method in capitals.
    pub method: &'static str,
    /// The path; `{name}` stands for what an earlier step kept under that name.
    pub path: &'static str,
    /// The query without its question mark.
    pub query: &'static str,
    /// A JSON body to send.
    pub body: Option<&'static str>,
    /// The status that must come back.
    pub status: u16,
    /// Looks at the body that came back; null when there was none. Gives the reason when it is not good, which
    /// must not quote anything personal.
    pub rule: fn(&Value, &Expected) -> Result<(), String>,
    /// Whether the deployed API is asked at its address, and not the function itself.
    pub through_api: bool,
    /// The longest time until the answer, a cold start included.
    pub within: Duration,
    /// A value of the answer that later steps need: its name, and a JSON pointer to it.
    pub keep: Option<(&'static str, &'static str)>,
    /// Takes back what an earlier step did: it runs even when a step before it failed.
    pub cleanup: bool,
}

/// What this deployment should answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// The version that was stamped into the new code. Without one any version will do, but there must be one.
    pub version: Option<String>,
    /// The function that should answer, by its short name.
    pub function: Option<String>,
}

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; empty when there was none.
    pub body: String,
    /// The cursor of a list's next page.
    pub next: Option<String>,
}

/// A plain `GET` that must succeed within two seconds.
pub const GET: Step = Step {
    method: "GET",
    path: "/",
    query: "",
    body: None,
    status: 200,
    rule: |_, _| Ok(()),
    through_api: false,
    within: Duration::from_secs(2),
    keep: None,
    cleanup: false,
};

/// Holds an answer against its step, and gives the body as JSON (null when it is empty).
///
/// # Errors
/// The reason, as a lowercase fragment.
pub fn judge(step: &Step, answer: &Answer, expected: &Expected) -> Result<Value, String> {
    if answer.status != step.status {
        return Err(format!("expected status {}, got {}", step.status, answer.status));
    }
    let body = if answer.body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&answer.body).map_err(|_| "the body is not JSON".to_owned())?
    };
    (step.rule)(&body, expected)?;
    Ok(body)
}

/// The rule for `/api/health`: it says `ok`, and the right version says it.
///
/// # Errors
/// The reason, when it is not so.
pub fn healthy(body: &Value, expected: &Expected) -> Result<(), String> {
    if body["status"] != "ok" {
        return Err("the status in the body is not ok".to_owned());
    }
    right_version(body, expected)
}

/// The rule for `/api/version`: there is a version, and it is the expected one.
///
/// # Errors
/// The reason, when it is not so.
pub fn right_version(body: &Value, expected: &Expected) -> Result<(), String> {
    let version = body["version"].as_str().unwrap_or_default();
    if version.is_empty() {
        return Err("the body names no version".to_owned());
    }
    match &expected.version {
        Some(wanted) if wanted != version => Err(format!("expected version {wanted}, got {}", word(version))),
        _ => Ok(()),
    }
}

/// The rule for a version route: the right version of the right function.
///
/// # Errors
/// The reason, when it is not so.
pub fn right_function(body: &Value, expected: &Expected) -> Result<(), String> {
    let function = body["function"].as_str().unwrap_or_default();
    match &expected.function {
        Some(wanted) if wanted != function => {
            Err(format!("expected function {wanted}, got {}", word(function)))
        }
        _ => right_version(body, expected),
    }
}

/// The rule for a list: it is one.
///
/// # Errors
/// The reason, when it is not so.
pub fn a_list(body: &Value, _: &Expected) -> Result<(), String> {
    if body.is_array() { Ok(()) } else { Err("the body is not a list".to_owned()) }
}

/// The rule for a list that nothing can be in.
///
/// # Errors
/// The reason, when it is not so.
pub fn an_empty_list(body: &Value, _: &Expected) -> Result<(), String> {
    match body.as_array() {
        Some(items) if items.is_empty() => Ok(()),
        Some(items) => Err(format!("expected an empty list, got {} items", items.len())),
        None => Err("the body is not a list".to_owned()),
    }
}

/// The rule for a refusal: a problem document that names what is wrong.
///
/// # Errors
/// The reason, when it is not so.
pub fn a_problem(body: &Value, _: &Expected) -> Result<(), String> {
    let named = body["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    if body["type"] == "about:blank" && named {
        return Ok(());
    }
    Err("the refusal does not say what is wrong".to_owned())
}

/// A short word of a function's answer, fit for a log: what is not plain becomes `?`, what is long is cut.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "+-._:".contains(character);
    text.chars().take(80).map(|character| if plain(character) { character } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let health = Step { path: "/api/health", rule: healthy, ..GET };
        let version = Step { path: "/api/version", rule: right_version, ..GET };
        let good = r#"{"status":"ok","version":"1+a"}"#;
        for (step, expected, status, body, reason) in [
            (health, Some("1+a"), 200, good, None),
            (version, Some("1+a"), 200, good, None),
            (version, None, 200, good, None),
            (version, None, 200, r#"{"version":"anything"}"#, None),
            (version, Some("1+b"), 200, good, Some("expected version 1+b, got 1+a")),
            (health, Some("1+b"), 200, good, Some("expected version 1+b, got 1+a")),
            (version, Some("1+b"), 200, "{\"version\":\"a\\nb<\"}", Some("expected version 1+b, got a?b?")),
            (
                health,
                None,
                200,
                r#"{"status":"bad","version":"1"}"#,
                Some("the status in the body is not ok"),
            ),
            (health, None, 200, r#"{"status":"ok"}"#, Some("the body names no version")),
            (version, None, 200, r#"{"version":""}"#, Some("the body names no version")),
            (version, None, 200, r#"{"version":7}"#, Some("the body names no version")),
            (version, None, 200, "[]", Some("the body names no version")),
            (version, None, 200, "", Some("the body names no version")),
            (version, None, 200, "<html>", Some("the body is not JSON")),
            (version, None, 500, good, Some("expected status 200, got 500")),
            (version, None, 201, good, Some("expected status 200, got 201")),
        ] {
            let answer = Answer { status, body: body.to_owned(), next: None };
            let expected = Expected { version: expected.map(str::to_owned), ..Expected::default() };
            let judged = judge(&step, &answer, &expected).err();
            assert_eq!(judged.as_deref(), reason, "{status} {body}");
        }
    }

    #[test]
    fn bodies_are_held_to_their_rule() {
        type Rule = fn(&Value, &Expected) -> Result<(), String>;
        let expected = Expected { version: None, function: Some("checkin".to_owned()) };
        let problem = r#"{"type":"about:blank","errors":[{"field":"dt","reason":"is required"}]}"#;
        for (rule, body, good) in [
            (right_function as Rule, r#"{"version":"1","function":"checkin"}"#, true),
            (right_function, r#"{"version":"1","function":"contacts"}"#, false),
            (right_function, r#"{"version":"1"}"#, false),
            (right_function, r#"{"function":"checkin"}"#, false),
            (a_list, "[]", true),
            (a_list, r#"[{"a":1}]"#, true),
            (a_list, "{}", false),
            (a_list, "null", false),
            (an_empty_list, "[]", true),
            (an_empty_list, "[1]", false),
            (an_empty_list, "{}", false),
            (a_problem, problem, true),
            (a_problem, r#"{"type":"about:blank","errors":[]}"#, false),
            (a_problem, r#"{"type":"about:blank"}"#, false),
            (a_problem, r#"{"message":"no"}"#, false),
        ] {
            let value = serde_json::from_str(body).unwrap();
            assert_eq!(rule(&value, &expected).is_ok(), good, "{body}");
        }
    }

    #[test]
    fn a_word_is_short_and_plain() {
        assert_eq!(word("0.1.0+0123456789ab"), "0.1.0+0123456789ab");
        assert_eq!(word("jane@example.com, é"), "jane?example.com???");
        assert_eq!(word(&"x".repeat(500)).len(), 80);
    }

    #[test]
    fn ten_thousand_answers_never_panic() {
        let mut random = fastrand::Rng::with_seed(25);
        let pieces = [
            "{",
            "}",
            "\"version\"",
            "\"status\"",
            ":",
            "\"ok\"",
            ",",
            "[",
            "]",
            "1",
            "null",
            "é",
            "\\",
            "\"",
        ];
        for _ in 0..10_000 {
            let body: String = (0..random.usize(0..12)).filter_map(|_| random.choice(pieces)).collect();
            for suite in crate::suites::SUITES {
                for step in suite.pre.iter().chain(suite.post).flat_map(|check| check.steps) {
                    let answer = Answer { status: step.status, body: body.clone(), next: None };
                    let _ = judge(step, &answer, &Expected::default());
                }
            }
        }
    }
}
