//! CloudFormation calls: templates are lowered on their way in, operations are followed, answers get back what was
//! taken out.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::answers;
use super::expansion;
use super::{Call, Front, refusals, template_url, whole};
use crate::emulator::Refusal;
use crate::ledger::{Record, StackKey, stack_name};
use crate::lower::lower;
use crate::mirror::{self, Reader};
use crate::operation;
use causeway_model::keys::Keys;
use causeway_model::template::{self, has_transform};

/// What whoever deploys a template with a transform directly must acknowledge; a change set shows what comes of it. Source:
/// CloudFormation API reference, "CreateStack", `Capabilities`.
const AUTO_EXPAND: &str = "CAPABILITY_AUTO_EXPAND";

/// A call's form, in order.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(body: &Bytes) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(key, _)| key != name);
    }

    fn set(&mut self, name: &str, value: String) {
        self.remove(name);
        self.0.push((name.to_owned(), value));
    }

    fn encode(&self) -> Bytes {
        Bytes::from(form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish())
    }
}

/// Answers a CloudFormation call.
pub(super) async fn answer(front: &Front, call: &Call) -> anyhow::Result<Response> {
    let form = Form::parse(&call.body);
    let action = form.get("Action").to_owned();
    let stack = stack_name(form.get("StackName")).to_owned();
    let Some(account) = front.cloud.identities.account(&call.access_key) else {
        // A function's session began inside the emulator. Of a stack that it may look at it sees what everybody does: a hook
        // finds the API there, which is the edge.
        if action == "DescribeStacks" {
            let key = (String::new(), stack);
            return answers::edit(front, &key, &action, front.pass_whole(call).await?);
        }
        return front.pass(call).await;
    };
    let key: StackKey = (account, stack);
    if let Some(refused) = refusals::passed(form.get("RoleARN"), &key.0) {
        return Ok(refused);
    }
    match action.as_str() {
        "CreateChangeSet" | "CreateStack" | "UpdateStack" => {
            if let Some(refused) = refusals::state(front, &form, &action, &key).await? {
                return Ok(refused);
            }
            with_template(front, call, form, &action, &key).await
        }
        "ValidateTemplate" | "GetTemplateSummary" => with_template(front, call, form, &action, &key).await,
        "ExecuteChangeSet" => execute(front, call, &form, key).await,
        "DeleteStack" => delete(front, call, &key).await,
        "GetTemplate" => get_template(front, call, &form, &key).await,
        "DescribeStacks" => {
            let (parts, body) = front.pass_whole(call).await?;
            let rolls_back = front.cloud.deployments.at_work(&key.0, &key.1);
            let answer = (parts, if rolls_back { still_rolling_back(&body) } else { body });
            if !key.1.is_empty() && says_settled(&answer.1) {
                // The emulator may be done before the engines are: what they still owe belongs to the operation.
                front.cloud.ledger.idle(&key).await;
                return answers::edit(front, &key, &action, front.pass_whole(call).await?);
            }
            answers::edit(front, &key, &action, answer)
        }
        "DescribeChangeSet"
        | "DescribeEvents"
        | "DescribeStackEvents"
        | "DescribeStackResources"
        | "DescribeStackResource"
        | "ListStackResources" => answers::edit(front, &key, &action, front.pass_whole(call).await?),
        _ => front.pass(call).await,
    }
}

/// An answer of DescribeStacks while aliases are deployed back: the emulator has rolled the stack back already.
fn still_rolling_back(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body);
    let (done, at_work) =
        ("UPDATE_ROLLBACK_COMPLETE</StackStatus>", "UPDATE_ROLLBACK_IN_PROGRESS</StackStatus>");
    Bytes::from(text.replace(done, at_work))
}

/// Whether an answer of DescribeStacks shows no operation at work.
fn says_settled(body: &Bytes) -> bool {
    let text = String::from_utf8_lossy(body);
    !text.contains("_IN_PROGRESS</StackStatus>")
}

async fn with_template(
    front: &Front,
    call: &Call,
    mut form: Form,
    action: &str,
    key: &StackKey,
) -> anyhow::Result<Response> {
    if form.get("TemplateBody").len() > template::MAX_BODY {
        let message = "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200";
        return Ok(refuse("ValidationError", message));
    }
    if form.get("TemplateURL").len() > template::MAX_URL {
        let message = "1 validation error detected: Value at 'templateURL' failed to satisfy constraint: Member must have length less than or equal to 5120";
        return Ok(refuse("ValidationError", message));
    }
    if template_url::is_signed(form.get("TemplateURL")) {
        match template_url::read(front, form.get("TemplateURL")).await? {
            // From here on it is a template like any other, whatever it was read with.
            Ok(text) => form.set("TemplateBody", text),
            Err(why) => return Ok(refuse("ValidationError", &why)),
        }
    }
    let Some(original) = submitted(front, &form, key).await? else { return front.pass(call).await };
    let long = match template::parse(&original) {
        Ok(node) => node.to_json(),
        Err(error) => return Ok(refuse("ValidationError", &format!("Template format error: {error}"))),
    };
    let parameters = parameters(front, &form, key, &long);
    let deploys = matches!(action, "CreateChangeSet" | "CreateStack" | "UpdateStack");
    let transformed = has_transform(&long);
    let role = form.get("RoleARN").to_owned();
    let reader = if deploys { reader(front, call, &role, key).await? } else { Ok(Reader::Root) };
    let reader = match reader {
        Ok(reader) => reader,
        Err(refusal) => return Ok(refuse("AccessDenied", &refusal)),
    };
    let plain = if deploys {
        if transformed && action != "CreateChangeSet" && !has_capability(&form, AUTO_EXPAND) {
            let message = format!("Requires capabilities : [{AUTO_EXPAND}]");
            return Ok(refuse("InsufficientCapabilitiesException", &message));
        }
        match expansion::plain(front, key, long, &parameters, &reader).await? {
            Ok(plain) => plain,
            Err(refusal) => return Ok(refuse("ValidationError", &refusal)),
        }
    } else {
        // Nobody has said for which values, and CloudFormation expands nothing here either.
        long
    };
    let mut lowered = lower(&plain, &parameters, &front.cloud.target);
    let mut code = mirror::Code::default();
    if deploys {
        let current = front.cloud.ledger.current(key);
        let deployed = current.as_ref().map(|record| &record.code);
        let emulator = &front.cloud.emulator;
        match mirror::code(emulator, &key.0, (&reader, &role), deployed, &mut lowered.template).await? {
            Ok(copied) => code = copied,
            Err(refused) => return Ok(refuse(refused.answer_code(), &refused.message)),
        }
    }
    let text = lowered.template.to_string();
    for name in ["TemplateBody", "TemplateURL", "UsePreviousTemplate"] {
        form.remove(name);
    }
    if text.len() > template::MAX_BODY {
        form.set("TemplateURL", front.put_template(&key.0, &text).await?);
    } else {
        form.set("TemplateBody", text);
    }
    let record = Arc::new(Record { original, plain, transformed, parameters, lowered, code });
    let direct = matches!(action, "CreateStack" | "UpdateStack");
    let prepared = if direct { Some(operation::prepare(&front.cloud, key, &record).await?) } else { None };
    let answer = front.send_changed(call, form.encode()).await?;
    let (parts, body) = whole(answer).await?;
    if parts.status.is_success() {
        let root = causeway_model::xml::Element::parse(&String::from_utf8_lossy(&body))?;
        match action {
            "CreateChangeSet" => {
                let id = root.text_at(&["CreateChangeSetResult", "Id"]);
                front.cloud.ledger.add_change_set(id, key, form.get("ChangeSetName"), record);
            }
            _ => {
                if let Some(prepared) = prepared {
                    operation::follow(Arc::clone(&front.cloud), key.clone(), Some(record), prepared);
                }
            }
        }
    } else if let Some(prepared) = prepared {
        prepared.release(&front.cloud, key).await;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// With whose rights a function's code is read: those of the role CloudFormation gets, else the caller's.
async fn reader(
    front: &Front,
    call: &Call,
    role: &str,
    key: &StackKey,
) -> anyhow::Result<Result<Reader, String>> {
    if role.is_empty() {
        return Ok(Ok(front.cloud.identities.keys(&call.access_key).map_or(Reader::Root, Reader::Session)));
    }
    let parameters = [("RoleArn", role), ("RoleSessionName", "AWSCloudFormation")];
    match front.cloud.emulator.query(&key.0, "sts", "AssumeRole", &parameters).await {
        Ok(answer) => {
            let text = |name: &str| answer.text_at(&["AssumeRoleResult", "Credentials", name]).to_owned();
            let keys = Keys {
                id: text("AccessKeyId"),
                secret: text("SecretAccessKey"),
                token: Some(text("SessionToken")),
            };
            Ok(Ok(Reader::Session(keys)))
        }
        Err(error) if error.downcast_ref::<Refusal>().is_some() => {
            Ok(Err(format!("Role {role} is invalid or cannot be assumed")))
        }
        Err(error) => Err(error),
    }
}

/// The template's text: from the body, from S3, or the stack's own.
async fn submitted(front: &Front, form: &Form, key: &StackKey) -> anyhow::Result<Option<String>> {
    if !form.get("TemplateBody").is_empty() {
        return Ok(Some(form.get("TemplateBody").to_owned()));
    }
    if form.get("UsePreviousTemplate") == "true" {
        return Ok(front.cloud.ledger.current(key).map(|record| record.original.clone()));
    }
    let url = form.get("TemplateURL");
    if url.is_empty() {
        return Ok(None);
    }
    // Only the path counts: whatever the host, it is this cloud's S3.
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let fetched =
        front.cloud.emulator.rest(http::Method::GET, &format!("/{path}"), &key.0, "s3", Vec::new()).await;
    match fetched {
        Ok((_, body)) => Ok(Some(String::from_utf8(body).context("the template is not UTF-8")?)),
        // The emulator words the refusal as CloudFormation does.
        Err(_) => Ok(None),
    }
}

/// Every parameter's value: given, kept from before, or the template's default.
fn parameters(front: &Front, form: &Form, key: &StackKey, long: &Value) -> BTreeMap<String, String> {
    let previous = front.cloud.ledger.current(key);
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    if let Some(declared) = long.get("Parameters").and_then(Value::as_object) {
        for (name, declaration) in declared {
            if let Some(default) = declaration.get("Default") {
                all.insert(name.clone(), template::text_of(default));
            }
        }
    }
    for n in 1.. {
        let name = form.get(&format!("Parameters.member.{n}.ParameterKey"));
        if name.is_empty() {
            break;
        }
        let value = if form.get(&format!("Parameters.member.{n}.UsePreviousValue")) == "true" {
            previous.as_ref().and_then(|record| record.parameters.get(name)).cloned()
        } else {
            Some(form.get(&format!("Parameters.member.{n}.ParameterValue")).to_owned())
        };
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    }
    all
}

async fn execute(front: &Front, call: &Call, form: &Form, mut key: StackKey) -> anyhow::Result<Response> {
    let name = form.get("ChangeSetName");
    if key.1.is_empty()
        && let Some(rest) = name.split_once(":changeSet/").map(|_| name)
    {
        // A change set's id names no stack: the emulator knows.
        let found = front
            .cloud
            .emulator
            .query(&key.0, "cloudformation", "DescribeChangeSet", &[("ChangeSetName", rest)])
            .await?;
        key.1 = found.text_at(&["DescribeChangeSetResult", "StackName"]).to_owned();
    }
    let Some(record) = front.cloud.ledger.change_set(&key, name) else { return front.pass(call).await };
    let reader = match reader(front, call, &record.code.role, &key).await? {
        Ok(reader) => reader,
        Err(refusal) => return Ok(refuse("AccessDenied", &refusal)),
    };
    let current = front.cloud.ledger.current(&key);
    let deployed = current.as_ref().map(|record| &record.code);
    if let Err(refused) =
        mirror::again(&front.cloud.emulator, &key.0, &reader, &record.code, deployed).await?
    {
        return Ok(refuse(refused.answer_code(), &refused.message));
    }
    let prepared = operation::prepare(&front.cloud, &key, &record).await?;
    let answer = front.pass_whole(call).await?;
    if answer.0.status.is_success() {
        operation::follow(Arc::clone(&front.cloud), key, Some(record), prepared);
    } else {
        prepared.release(&front.cloud, &key).await;
    }
    Ok(Response::from_parts(answer.0, Body::from(answer.1)))
}

async fn delete(front: &Front, call: &Call, key: &StackKey) -> anyhow::Result<Response> {
    let answer = front.pass_whole(call).await?;
    if answer.0.status.is_success() {
        operation::follow(Arc::clone(&front.cloud), key.clone(), None, operation::Prepared::default());
    }
    Ok(Response::from_parts(answer.0, Body::from(answer.1)))
}

/// The text as it was submitted for the stage `Original`, and for a template without a transform, whose stages are the
/// same. Any other call gets `Processed`, as from CloudFormation ("GetTemplate"): what the transforms made of it.
async fn get_template(front: &Front, call: &Call, form: &Form, key: &StackKey) -> anyhow::Result<Response> {
    let (parts, body) = front.pass_whole(call).await?;
    let change_set = form.get("ChangeSetName");
    let record = if change_set.is_empty() {
        front.cloud.ledger.current(key)
    } else {
        front.cloud.ledger.change_set(key, change_set)
    };
    let Some(record) = record.filter(|_| parts.status.is_success()) else {
        return Ok(Response::from_parts(parts, Body::from(body)));
    };
    let mut root = causeway_model::xml::Element::parse(&String::from_utf8_lossy(&body))?;
    if let Some(text) =
        root.child_mut("GetTemplateResult").and_then(|result| result.child_mut("TemplateBody"))
    {
        text.children.clear();
        text.text = if form.get("TemplateStage") == "Original" || !record.transformed {
            record.original.clone()
        } else {
            record.plain.to_string()
        };
    }
    Ok(answers::of(parts, &root))
}

/// Whether a call acknowledges a capability.
fn has_capability(form: &Form, name: &str) -> bool {
    form.0.iter().any(|(key, value)| key.starts_with("Capabilities.member.") && value == name)
}

/// A refusal in CloudFormation's form.
pub(super) fn refuse(code: &str, message: &str) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        quick_xml::escape::escape(message),
        uuid::Uuid::new_v4()
    );
    let mut answer = super::text(StatusCode::BAD_REQUEST, body);
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/xml"));
    answer
}

impl Front {
    /// Puts a lowered template that is too large for a request into a bucket of the account, and gives its URL.
    async fn put_template(&self, account: &str, text: &str) -> anyhow::Result<String> {
        use sha2::Digest as _;
        let emulator = &self.cloud.emulator;
        let bucket = format!("local-cloud-templates-{account}");
        let region = emulator.region();
        emulator.make_bucket(account, &bucket).await;
        let key = hex::encode(sha2::Sha256::digest(text));
        emulator
            .rest(
                http::Method::PUT,
                &format!("/{bucket}/{key}.json"),
                account,
                "s3",
                text.as_bytes().to_vec(),
            )
            .await?;
        Ok(format!("https://s3.{region}.amazonaws.com/{bucket}/{key}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_its_order_and_its_bytes() {
        let mut form = Form::parse(&Bytes::from_static(b"Action=X&A=1%202&B=%C3%A9"));
        assert_eq!((form.get("A"), form.get("B"), form.get("C")), ("1 2", "é", ""));
        form.set("A", "3&4".into());
        assert_eq!(form.encode(), "Action=X&B=%C3%A9&A=3%264");
    }

    #[test]
    fn an_operation_at_work_is_seen() {
        let body = |status: &str| Bytes::from(format!("<X><StackStatus>{status}</StackStatus></X>"));
        assert!(says_settled(&body("UPDATE_COMPLETE")));
        assert!(!says_settled(&body("UPDATE_ROLLBACK_IN_PROGRESS")));
        assert!(!says_settled(&still_rolling_back(&body("UPDATE_ROLLBACK_COMPLETE"))));
        assert_eq!(still_rolling_back(&body("UPDATE_IN_PROGRESS")), body("UPDATE_IN_PROGRESS"));
    }
}
