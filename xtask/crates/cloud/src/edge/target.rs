//! What an integration leads to: a function by its ARN, whoever wrote that and however, or something that only AWS has.
//!
//! Source: "Integrations for REST APIs in API Gateway", "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway",
//! "Set up stage variables" in the API Gateway developer guide.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fixed;
use super::routes::{Action, Format, Integration, Kind};

/// Where an integration stands.
pub(super) struct Place<'a> {
    pub(super) kind: Kind,
    pub(super) region: &'a str,
    pub(super) account: &'a str,
    /// The stage's variables.
    pub(super) variables: &'a BTreeMap<String, String>,
}

/// How long an integration may take at most, in milliseconds ("Quotas for configuring and running a REST API", "Quotas for HTTP APIs").
fn longest(kind: Kind) -> u64 {
    match kind {
        Kind::Http => 30_000,
        Kind::Rest => 29_000,
    }
}

/// The action of an integration, with the names that documents have (`type`, `uri`), those of REST methods (`Type`, `Uri`) or those
/// of an HTTP API's resource (`IntegrationType`, `IntegrationUri`).
pub(super) fn action(integration: Option<&Value>, place: &Place<'_>) -> Action {
    match found(integration, place) {
        Ok(action) => action,
        Err(why) => Action::Nothing(why),
    }
}

fn found(integration: Option<&Value>, place: &Place<'_>) -> Result<Action, String> {
    let integration = integration.ok_or("it has no integration")?;
    let get = |names: &[&str]| names.iter().find_map(|name| integration.get(*name));
    let text = |names: &[&str]| get(names).and_then(Value::as_str);
    let kind = text(&["type", "IntegrationType", "Type"]).unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "aws_proxy" => {}
        "mock" => {
            return fixed::mock(integration)
                .map(Action::Answer)
                .map_err(|why| format!("it is a mock integration that only AWS can run: {why}"));
        }
        "" => return Err("its integration has no type".to_owned()),
        other => return Err(format!("its integration is of the type {other}, which only AWS has")),
    }
    if let Some(subtype) = text(&["integrationSubtype", "IntegrationSubtype"]) {
        return Err(format!("its integration calls {subtype}, which only AWS does"));
    }
    let uri = get(&["uri", "IntegrationUri", "Uri"]).ok_or("its integration names no function")?;
    let uri =
        uri.as_str().ok_or_else(|| format!("its integration leads to {uri}, which is not known here"))?;
    let format = match (place.kind, get(&["payloadFormatVersion", "PayloadFormatVersion"])) {
        (Kind::Rest, _) => Format::One,
        (Kind::Http, Some(version)) if causeway_model::template::text_of(version) == "2.0" => Format::Two,
        (Kind::Http, Some(version)) if causeway_model::template::text_of(version) != "1.0" => {
            return Err(format!("its payload has the format {version}, which API Gateway does not know"));
        }
        // What AWS's API takes where nothing is said.
        (Kind::Http, _) => Format::One,
    };
    let longest = longest(place.kind);
    let limit = get(&["timeoutInMillis", "TimeoutInMillis"]).and_then(Value::as_u64).unwrap_or(longest);
    // A REST API's quota can be raised, an HTTP API's cannot.
    let limit = if place.kind == Kind::Http { limit.min(longest) } else { limit };
    let (function, qualifier) = function(uri, place)?;
    Ok(Action::Invoke(Integration::of(&function, qualifier.as_deref(), format, limit)))
}

/// The function's name and its qualifier from an integration's URI, which has its ARN, or is it.
fn function(uri: &str, place: &Place<'_>) -> Result<(String, Option<String>), String> {
    let mut uri = uri.to_owned();
    for (name, value) in place.variables {
        uri = uri.replace(&format!("${{stageVariables.{name}}}"), value);
    }
    if let Some((_, rest)) = uri.split_once("${stageVariables.") {
        let name = rest.split('}').next().unwrap_or(rest);
        return Err(format!(
            "its integration rests on the stage variable {name}, which the stage does not have"
        ));
    }
    let arn = match uri.split_once("/functions/") {
        Some((_, rest)) => rest.strip_suffix("/invocations").unwrap_or(rest),
        None => uri.as_str(),
    };
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "lambda", region, account, "function", name, rest @ ..] = parts.as_slice() else {
        return Err(format!("its integration leads to {arn}, which is no function's ARN"));
    };
    if *account != place.account || *region != place.region {
        return Err(format!("its integration leads to a function of {account} in {region}"));
    }
    match rest {
        [] => Ok(((*name).to_owned(), None)),
        [qualifier] => Ok(((*name).to_owned(), Some((*qualifier).to_owned()))),
        _ => Err(format!("its integration leads to {arn}, which is no function's ARN")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(kind: Kind, integration: &Value) -> Action {
        let variables = BTreeMap::from([
            ("name".to_owned(), "orders".to_owned()),
            ("alias".to_owned(), "live".to_owned()),
        ]);
        let place = Place { kind, region: "r", account: "1", variables: &variables };
        action(Some(integration), &place)
    }

    /// Whoever wrote it, and wherever.
    #[test]
    fn a_function_is_found_by_every_form_of_its_arn() {
        let through =
            |arn: &str| format!("arn:aws:apigateway:r:lambda:path/2015-03-31/functions/{arn}/invocations");
        for (uri, function, alias, version) in [
            (through("arn:aws:lambda:r:1:function:f"), "f", None, None),
            (through("arn:aws:lambda:r:1:function:f:live"), "f", Some("live"), None),
            (through("arn:aws:lambda:r:1:function:f:3"), "f", None, Some("3")),
            (through("arn:aws:lambda:r:1:function:${stageVariables.name}"), "orders", None, None),
            (through("arn:aws:lambda:r:1:function:f:${stageVariables.alias}"), "f", Some("live"), None),
            ("arn:aws:lambda:r:1:function:f:live".to_owned(), "f", Some("live"), None),
        ] {
            for names in [("type", "uri"), ("Type", "Uri"), ("IntegrationType", "IntegrationUri")] {
                let integration = json!({names.0: "AWS_PROXY", names.1: uri});
                let Action::Invoke(found) = at(Kind::Http, &integration) else { panic!("{uri}") };
                assert_eq!(
                    (found.function.as_str(), found.alias.as_deref(), found.version.as_deref()),
                    (function, alias, version),
                    "{uri}"
                );
            }
        }
    }

    #[test]
    fn formats_and_limits_are_those_of_the_product() {
        let with = |more: Value| {
            let mut integration = json!({"type": "aws_proxy", "uri": "arn:aws:lambda:r:1:function:f"});
            integration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            integration
        };
        for (kind, more, format, limit) in [
            (Kind::Http, json!({"payloadFormatVersion": "2.0"}), Format::Two, 30_000),
            (
                Kind::Http,
                json!({"payloadFormatVersion": "1.0", "timeoutInMillis": 40_000}),
                Format::One,
                30_000,
            ),
            (Kind::Http, json!({}), Format::One, 30_000),
            (Kind::Rest, json!({"payloadFormatVersion": "2.0"}), Format::One, 29_000),
            (Kind::Rest, json!({"timeoutInMillis": 500}), Format::One, 500),
        ] {
            let Action::Invoke(found) = at(kind, &with(more.clone())) else { panic!("{more}") };
            assert_eq!((found.format, found.limit), (format, limit), "{kind:?} {more}");
        }
    }

    #[test]
    fn what_only_aws_has_is_named() {
        let uri = "arn:aws:lambda:r:1:function:f";
        for (integration, why) in [
            (json!({"type": "http_proxy", "uri": "https://example.com/"}), "of the type http_proxy"),
            (json!({"type": "aws", "uri": uri}), "of the type aws"),
            (json!({"uri": uri}), "has no type"),
            (json!({"type": "aws_proxy"}), "names no function"),
            (json!({"type": "aws_proxy", "integrationSubtype": "SQS-SendMessage"}), "calls SQS-SendMessage"),
            (json!({"type": "aws_proxy", "uri": {"Fn::GetAtt": ["A", "B"]}}), "not known here"),
            (json!({"type": "aws_proxy", "uri": "arn:aws:lambda:r:2:function:f"}), "a function of 2"),
            (
                json!({"type": "aws_proxy", "uri": "arn:aws:lambda:r:1:function:${stageVariables.none}"}),
                "stage variable none",
            ),
            (json!({"type": "aws_proxy", "uri": "functions/f/invocations"}), "no function's ARN"),
            (json!({"type": "aws_proxy", "uri": uri, "payloadFormatVersion": "3.0"}), "the format \"3.0\""),
            (json!({"type": "mock"}), "a mock integration"),
        ] {
            let Action::Nothing(found) = at(Kind::Http, &integration) else { panic!("{integration}") };
            assert!(found.contains(why), "{integration}: {found}");
        }
    }
}
