//! A submitted template made plain before anything else is done with it: AWS's transforms applied for the stack's actual
//! parameters, circles refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio::runtime::Handle;

use super::{Front, guard};
use crate::ledger::StackKey;
use crate::mirror::Reader;
use crate::resources::Resources;
use causeway_model::template::{
    ExpandError, Pseudo, Scope, Unexpanded, circles, circular, expanded, has_transform, unresolved,
};

/// The plain template, or a refusal in CloudFormation's words. On AWS a change set would be made and fail with them; here it is
/// refused at once.
///
/// # Errors
/// AWS's translator cannot be asked.
pub(super) async fn plain(
    front: &Front,
    key: &StackKey,
    template: Value,
    parameters: &BTreeMap<String, String>,
    reader: &Reader,
) -> anyhow::Result<Result<Value, String>> {
    let pseudo = Resources::pseudo(&front.cloud.emulator, key);
    let plain = if has_transform(&template) {
        let (front, parameters, its) = (front.clone(), parameters.clone(), pseudo.clone());
        let (account, reader) = (key.0.clone(), reader.clone());
        // The translator answers in its own time: not on a thread that serves others.
        let asked = tokio::task::spawn_blocking(move || {
            let read =
                |location: &str| Handle::current().block_on(document(&front, &account, &reader, location));
            let unexpanded = Unexpanded { template: &template, parameters: &parameters, pseudo: &its };
            let expand = Arc::clone(&front.cloud.expand);
            expanded(&*expand, &read, unexpanded)
        });
        match asked.await.context("expand the template")? {
            Ok(plain) => plain,
            Err(error @ ExpandError::Unasked(_)) => return Err(error.into()),
            Err(refusal) => return Ok(Err(refusal.to_string())),
        }
    } else {
        template
    };
    Ok(
        match malformed(&plain).or_else(|| unresolved(&plain)).or_else(|| circle(&plain, parameters, &pseudo))
        {
            Some(refusal) => Err(refusal),
            None => Ok(plain),
        },
    )
}

/// What CloudFormation refuses of a template's form, in its words, where the emulator would stumble. Transforms may leave such
/// forms: they pass on what they do not understand.
fn malformed(plain: &Value) -> Option<String> {
    let resources = plain.get("Resources").and_then(Value::as_object);
    for (id, resource) in resources.into_iter().flatten() {
        if !resource.get("Type").is_some_and(Value::is_string) {
            return Some(format!(
                "Template format error: [/Resources/{id}] Every Resources object must contain a Type member."
            ));
        }
        if resource.get("Condition").is_some_and(|condition| !condition.is_string()) {
            return Some(format!(
                "Template format error: [/Resources/{id}/Condition] Every Condition member must be a string."
            ));
        }
        if has_open_attribute(resource) {
            return Some("Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute".to_owned());
        }
    }
    let conditions = plain.get("Conditions").and_then(Value::as_object);
    let named = |condition: &Value| {
        find(condition, &|map| map.get("Condition").is_some_and(|condition| !condition.is_string()))
    };
    let wrong = conditions.into_iter().flatten().find(|(_, condition)| named(condition));
    wrong.map(|(name, _)| {
        format!("Template format error: [/Conditions/{name}] Every Condition member must be a string.")
    })
}

/// Whether a `Fn::GetAtt` in it takes its attribute from something that is no reference.
fn has_open_attribute(resource: &Value) -> bool {
    find(resource, &|map| match map.get("Fn::GetAtt") {
        Some(Value::Array(parts)) if map.len() == 1 => match parts.as_slice() {
            [Value::String(_), Value::String(_)] => false,
            [Value::String(_), Value::Object(attribute)] => {
                !attribute.keys().all(|key| key == "Ref" || key == "Fn::Sub")
            }
            _ => true,
        },
        _ => false,
    })
}

/// Whether a map somewhere in a value fits.
fn find(value: &Value, fits: &dyn Fn(&serde_json::Map<String, Value>) -> bool) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| find(item, fits)),
        Value::Object(map) => fits(map) || map.values().any(|item| find(item, fits)),
        _ => false,
    }
}

/// The first circle, in CloudFormation's words.
fn circle(plain: &Value, parameters: &BTreeMap<String, String>, pseudo: &Pseudo) -> Option<String> {
    let parameters = Scope::parameters_of(plain, parameters);
    let nothing = |_: &str, _: Option<&str>| None;
    let scope = Scope { template: plain, parameters: &parameters, pseudo, resources: &nothing };
    circles(plain, &|name| scope.condition(name).ok()).first().map(|ids| circular(ids))
}

/// An included document, read from the local cloud's S3 with the rights that a function's code is read with.
async fn document(front: &Front, account: &str, reader: &Reader, location: &str) -> Result<String, String> {
    let place = location.strip_prefix("s3://").map(|place| format!("/{place}"));
    // A template reaches no more of the emulator than a call does.
    let path = place.filter(|path| !guard::is_emulators_own(path));
    let path = path.ok_or("it is no place in S3 (s3://bucket/key)")?;
    let read = reader.get(&front.cloud.emulator, account, &path).await;
    let body = read.map_err(|error| format!("it cannot be read: {error:#}"))?;
    String::from_utf8(body).map_err(|_| "it is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::tests::front_that;
    use crate::stub_emulator::Answer;
    use causeway_model::keys::Keys;
    use causeway_model::template::parse;

    #[tokio::test]
    async fn an_included_document_is_read_with_the_rights_that_code_is_read_with() {
        let (emulator, front) = front_that(|_, _| Some(Answer::new(200, "A: 1"))).await;
        let keys = Keys { id: "ASIASESSION".into(), secret: "s".into(), token: Some("token".into()) };
        for (reader, who) in
            [(Reader::Session(keys), "Credential=ASIASESSION/"), (Reader::Root, "Credential=111111111111/")]
        {
            let read = document(&front, "111111111111", &reader, "s3://b/part.yaml").await;
            assert_eq!(read, Ok("A: 1".to_owned()));
            let asked = emulator.asked().pop().unwrap();
            assert!(asked.authorization.contains(who), "{}", asked.authorization);
        }
    }

    #[test]
    fn what_cloudformation_refuses_of_a_templates_form_is_refused_in_its_words() {
        let told = |text: &str| malformed(&parse(text).unwrap().to_json()).unwrap_or_default();
        for (text, said) in [
            (
                "Resources: {R: {Type: {A: b}}}",
                "[/Resources/R] Every Resources object must contain a Type member.",
            ),
            ("Resources: {R: {Properties: {}}}", "must contain a Type member"),
            ("Resources: {R: 1}", "must contain a Type member"),
            (
                "Resources: {R: {Type: T, Condition: {A: b}}}",
                "[/Resources/R/Condition] Every Condition member must be a string.",
            ),
            (
                "Conditions: {C: {Fn::And: [{Condition: {Fn::Not: []}}]}}\nResources: {}",
                "[/Conditions/C] Every Condition member",
            ),
            (
                "Resources: {R: {Type: T, Properties: {P: {Fn::GetAtt: [A, {Fn::Ref: B}]}}}}",
                "every Fn::GetAtt object requires two",
            ),
            (
                "Resources: {R: {Type: T, Properties: {P: [{Fn::GetAtt: [A]}]}}}",
                "every Fn::GetAtt object requires two",
            ),
        ] {
            assert!(told(text).contains(said), "{text}: {}", told(text));
        }
        for good in [
            "Resources: {R: {Type: T, Condition: C, Properties: {P: !GetAtt A.B, Q: {Fn::GetAtt: [A, !Ref B]}}}}\nConditions: {C: {Fn::Not: [{Condition: D}]}}",
            // A policy has conditions of its own.
            "Resources: {R: {Type: T, Properties: {Statement: [{Condition: {StringEquals: {a: b}}}]}}}",
        ] {
            assert_eq!(told(good), "", "{good}");
        }
    }

    #[test]
    fn a_circle_is_refused_under_the_parameters_that_make_it() {
        let template = parse(
            "Parameters:\n  On: {Type: String, Default: 'no'}\nConditions:\n  IsOn: !Equals [!Ref On, 'yes']\nResources:\n  A: {Type: T, Properties: {P: !If [IsOn, !Ref B, x]}}\n  B: {Type: T, DependsOn: A}\n",
        )
        .unwrap()
        .to_json();
        let pseudo = Pseudo {
            account_id: "1".into(),
            region: "r".into(),
            partition: "aws".into(),
            stack_name: "s".into(),
            stack_id: "i".into(),
        };
        let told = |on: &str| circle(&template, &BTreeMap::from([("On".into(), on.into())]), &pseudo);
        assert_eq!(told("no"), None);
        assert_eq!(told("yes").unwrap(), "Circular dependency between resources: [A, B]");
    }
}
