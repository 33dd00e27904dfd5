//! Answers about stacks: inert resources get their real type back, the gate is left out, and `ApiURL` shows the edge.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;

use super::Front;
use crate::ledger::{Record, StackKey};
use crate::lower::{GATE, TrafficShift, stand_in};
use crate::mirror;
use crate::resources::Resources;
use causeway_model::xml::Element;

/// Edits an answer.
///
/// # Errors
/// The emulator's answer is not XML.
pub(super) fn edit(
    front: &Front,
    key: &StackKey,
    action: &str,
    answer: (http::response::Parts, Bytes),
) -> anyhow::Result<Response> {
    let (parts, body) = answer;
    if !parts.status.is_success() {
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    let mut root = Element::parse(&String::from_utf8_lossy(&body))?;
    if action == "DescribeStacks" {
        let edges = front.cloud.edges.public_urls();
        root.visit(&mut |element| {
            if element.name == "OutputValue" {
                element.text = public(&element.text, &edges);
            }
            if element.name == "StackStatusReason" {
                element.text = mirror::told(&without_gate(&element.text, &BTreeMap::new()));
            }
        });
    } else {
        let record = front.cloud.ledger.current(key);
        let pending = root.text_at(&["DescribeChangeSetResult", "ChangeSetName"]).to_owned();
        let pending = front.cloud.ledger.change_set(key, &pending);
        let pending = pending.or_else(|| front.cloud.ledger.attempted(key));
        let real = |logical_id: &str| {
            let mut records = [&pending, &record].into_iter().flatten();
            records.find_map(|record| {
                Some((
                    record.lowered.types.get(logical_id)?.clone(),
                    physical_id(front, key, record, logical_id),
                ))
            })
        };
        let mut aliases = BTreeMap::new();
        root.visit(&mut |element| {
            if action == "DescribeStackEvents" {
                let told = element
                    .children
                    .iter_mut()
                    .filter_map(|event| tell_as_alias(front, key, event, [&pending, &record]));
                aliases.extend(told);
            }
            element.children.retain(|child| !is_gate(child));
            let logical_id = element.text_at(&["LogicalResourceId"]).to_owned();
            let Some((kind, physical)) = real(&logical_id) else { return };
            if let Some(shown) = element.child_mut("ResourceType") {
                shown.text = kind;
            }
            if let (Some(shown), Some(physical)) = (element.child_mut("PhysicalResourceId"), physical)
                && !shown.text.is_empty()
            {
                shown.text = physical;
            }
        });
        root.visit(&mut |element| {
            if element.name == "ResourceStatusReason" {
                element.text = mirror::told(&without_gate(&element.text, &aliases));
            }
        });
    }
    Ok(of(parts, &root))
}

/// The name or ARN that an inert resource would have.
fn physical_id(front: &Front, key: &StackKey, record: &Record, logical_id: &str) -> Option<String> {
    let definition = record.plain.pointer(&format!("/Resources/{logical_id}"))?;
    let emulator = &front.cloud.emulator;
    let pseudo = Resources::pseudo(emulator, key);
    // A name rests on parameters, not on other resources.
    stand_in::physical_id(definition, logical_id, &pseudo, |name| {
        Resources::default().eval(emulator, key, record, name).ok()
    })
}

/// An answer with this document as its body.
pub(super) fn of(mut parts: http::response::Parts, root: &Element) -> Response {
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(root.write()))
}

/// A reason without the gate's name: with the alias that failed there, where that is known.
fn without_gate(reason: &str, aliases: &BTreeMap<String, String>) -> String {
    let Some(at) = reason.find(GATE) else { return reason.to_owned() };
    let (head, tail) = reason.split_at(at);
    let end = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
    let (gate, rest) = tail.split_at(end);
    let alias = aliases.get(gate).map_or("the deployment", String::as_str);
    // What AWS could not do is to update the alias.
    format!("{}{alias}{}", head.replace("failed to create", "failed to update"), without_gate(rest, aliases))
}

/// A gate that failed is told as AWS tells a failed deployment: as the failure of the alias that it held. Both names.
fn tell_as_alias(
    front: &Front,
    key: &StackKey,
    event: &mut Element,
    records: [&Option<Arc<Record>>; 2],
) -> Option<(String, String)> {
    if !is_gate(event) || !event.text_at(&["ResourceStatus"]).ends_with("_FAILED") {
        return None;
    }
    let gate = event.text_at(&["LogicalResourceId"]).to_owned();
    let reason = event.text_at(&["ResourceStatusReason"]);
    // The emulator wraps the reason: "WaitCondition received failed message: '…' for uniqueId: rollout".
    let inner = reason
        .split_once(": '")
        .and_then(|(_, rest)| rest.rsplit_once("' for uniqueId"))
        .map_or(reason, |(inner, _)| inner)
        .to_owned();
    let shift = records.into_iter().flatten().find_map(|record| {
        failed_shift(&record.lowered.shifts, &inner, &key.1, |function| {
            let name = record.plain.pointer(&format!("/Resources/{function}/Properties/FunctionName"))?;
            let named = Resources::default().eval(&front.cloud.emulator, key, record, name).ok()?;
            named.as_str().map(ToOwned::to_owned)
        })
    })?;
    let alias = shift.alias.clone();
    let texts = [
        ("ResourceStatusReason", inner.clone()),
        ("LogicalResourceId", alias.clone()),
        ("ResourceType", "AWS::Lambda::Alias".to_owned()),
        ("ResourceStatus", "UPDATE_FAILED".to_owned()),
    ];
    for (name, text) in texts {
        if let Some(child) = event.child_mut(name) {
            child.text = text;
        }
    }
    Some((gate, alias))
}

/// The shift that a reason of the rollout engine is about, which begins with the function's short name; the first one
/// where it names none. `name` gives the function's name as the template has it; a function without one is named by
/// CloudFormation, beginning with its logical id.
fn failed_shift<'s>(
    shifts: &'s [TrafficShift],
    reason: &str,
    stack: &str,
    name: impl Fn(&str) -> Option<String>,
) -> Option<&'s TrafficShift> {
    let short = reason.split_once(": ").map_or("", |(short, _)| short);
    let fits = |shift: &&TrafficShift| {
        let Some(function) = shift.function_id() else { return false };
        match name(function) {
            Some(name) => name.strip_prefix(&format!("{stack}-")).unwrap_or(&name) == short,
            None => short.strip_prefix(function).is_some_and(|rest| rest.starts_with('-')),
        }
    };
    shifts.iter().find(fits).or_else(|| shifts.first())
}

/// Whether a list's member is about the gate that lowering adds.
fn is_gate(member: &Element) -> bool {
    let id = |path: &[&str]| member.text_at(path).starts_with(GATE);
    id(&["LogicalResourceId"]) || id(&["ResourceChange", "LogicalResourceId"])
}

/// An API's address, as AWS has it or as the emulator does, becomes the edge's; `edges` are pairs of API id and address.
fn public(text: &str, edges: &[(String, String)]) -> String {
    let mut out = text.to_owned();
    for (api, url) in edges {
        for start in ["https", "http"].map(|scheme| format!("{scheme}://{api}.execute-api.")) {
            while let Some(at) = out.find(&start) {
                let end =
                    out[at + start.len()..].find('/').map_or(out.len(), |slash| at + start.len() + slash);
                out.replace_range(at..end, url.trim_end_matches('/'));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_the_edges() {
        let edges = vec![("abc123".to_owned(), "http://127.0.0.1:8001/".to_owned())];
        let table = [
            ("https://abc123.execute-api.eu-central-1.amazonaws.com/", "http://127.0.0.1:8001/"),
            ("https://abc123.execute-api.eu-central-1.amazonaws.com", "http://127.0.0.1:8001"),
            ("https://abc123.execute-api.eu-central-1.amazonaws.com/live/a", "http://127.0.0.1:8001/live/a"),
            ("http://abc123.execute-api.127.0.0.1:4566", "http://127.0.0.1:8001"),
            (
                "https://other.execute-api.eu-central-1.amazonaws.com/",
                "https://other.execute-api.eu-central-1.amazonaws.com/",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(public(text, &edges), expected);
        }
    }

    #[test]
    fn a_failure_is_that_of_the_function_it_names() {
        let shift = |function: &str| TrafficShift {
            alias: format!("{function}Aliaslive"),
            properties: serde_json::json!({"FunctionName": {"Ref": function}}),
            policy: serde_json::Value::Null,
        };
        let shifts = [shift("CheckinFunction"), shift("ContactsFunction"), shift("Unnamed")];
        let name = |function: &str| match function {
            "CheckinFunction" => Some("app-prod-checkin".to_owned()),
            "ContactsFunction" => Some("app-prod-contacts".to_owned()),
            _ => None,
        };
        let found = |reason: &str| {
            failed_shift(&shifts, reason, "app-prod", name).and_then(TrafficShift::function_id)
        };
        assert_eq!(found("contacts: alarm x is in ALARM"), Some("ContactsFunction"));
        assert_eq!(found("checkin: it was stopped: contacts: no"), Some("CheckinFunction"));
        assert_eq!(found("Unnamed-12AB: alarm x is in ALARM"), Some("Unnamed"));
        assert_eq!(found("the engine failed"), Some("CheckinFunction"));
        assert_eq!(failed_shift(&[], "contacts: x", "app-prod", name), None);
    }

    #[test]
    fn a_reason_names_the_alias_and_not_the_gate() {
        let aliases = BTreeMap::from([("CausewayGate12ab".to_owned(), "FAliaslive".to_owned())]);
        for (reason, expected) in [
            (
                "The following resource(s) failed to create: [CausewayGate12ab].",
                "The following resource(s) failed to update: [FAliaslive].",
            ),
            ("failed to create: [CausewayGate99]", "failed to update: [the deployment]"),
            ("failed to create: [Table]", "failed to create: [Table]"),
        ] {
            assert_eq!(without_gate(reason, &aliases), expected);
        }
    }

    #[test]
    fn the_gate_is_recognized() {
        let member = |text: &str| Element::parse(text).unwrap();
        assert!(is_gate(&member("<member><LogicalResourceId>CausewayGate12ab</LogicalResourceId></member>")));
        assert!(is_gate(&member(
            "<member><ResourceChange><LogicalResourceId>CausewayGate12abHandle</LogicalResourceId></ResourceChange></member>"
        )));
        assert!(!is_gate(&member("<member><LogicalResourceId>Table</LogicalResourceId></member>")));
    }
}
