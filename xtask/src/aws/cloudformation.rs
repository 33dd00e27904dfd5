//! Stacks: describe, change sets, execution, events.

mod change_sets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata as _;
use aws_sdk_cloudformation::types::{
    Capability, ChangeSetStatus, ChangeSetType, EvaluationType, Parameter, RequiresRecreation,
    ResourceChange, StackStatus as StackStatusFilter, Tag, TemplateStage,
};
use tokio::time::sleep;

use super::error::explain;
use super::session::Account;
use crate::clock::Stopwatch;
use crate::model::changeset::{Caused, Change, says_no_changes, settle, sorted};
use crate::model::fault::{Fault, Kind};
use crate::model::line::{Emit, Event, Line};
use crate::model::stack::StackStatus;

/// A stack as it stands.
#[derive(Debug, Clone)]
pub(crate) struct StackInfo {
    /// Its unique id.
    pub(crate) id: String,
    /// Its state.
    pub(crate) status: StackStatus,
    /// Its outputs.
    pub(crate) outputs: BTreeMap<String, String>,
    /// Its parameters; a secret one is `****`.
    pub(crate) parameters: BTreeMap<String, String>,
    /// Its tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub(crate) created: Option<i64>,
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Physical {
    /// Its id in its service.
    pub(crate) id: String,
    /// Its type.
    pub(crate) resource_type: String,
}

/// What a change set is made of.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// The stack.
    pub(crate) stack: &'a str,
    /// The template's text.
    pub(crate) template: &'a str,
    /// Every parameter.
    pub(crate) parameters: &'a BTreeMap<String, String>,
    /// The stack's tags.
    pub(crate) tags: &'a BTreeMap<String, String>,
    /// The role CloudFormation acts as; its caller's rights where there is none.
    pub(crate) role_arn: Option<&'a str>,
    /// The change set's name.
    pub(crate) name: &'a str,
}

/// A change set, ready to be executed.
#[derive(Debug, Clone)]
pub(crate) struct ChangeSet {
    /// Its id.
    pub(crate) id: String,
    /// What it changes.
    pub(crate) changes: Vec<Change>,
}

/// How an operation on a stack ended.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The state now.
    pub(crate) status: StackStatus,
    /// The first failure, in CloudFormation's words, with the resource it happened to.
    pub(crate) first_failure: Option<String>,
}

/// Calls on the stacks of one account.
#[derive(Clone)]
pub(crate) struct Stacks {
    client: Client,
    account: String,
    pace: Duration,
}

impl Stacks {
    /// For an account or a session.
    pub(crate) fn new(account: &Account) -> Self {
        Self { client: Client::new(account.sdk()), account: account.name.clone(), pace: account.pace() }
    }

    /// The stack, or `None` where there is none (or only a deleted one).
    pub(crate) async fn describe(&self, stack: &str) -> anyhow::Result<Option<StackInfo>> {
        let answer = self.client.describe_stacks().stack_name(stack).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.message().is_some_and(says_no_such_stack) => return Ok(None),
            Err(error) => return Err(explain(error, "describe the stack", stack)),
        };
        let Some(found) = answer.stacks().first() else { return Ok(None) };
        let status = StackStatus::parse(found.stack_status().map_or("", |status| status.as_str()));
        if status == StackStatus::Absent {
            return Ok(None);
        }
        let pair = |key: Option<&str>, value: Option<&str>| Some((key?.to_owned(), value?.to_owned()));
        Ok(Some(StackInfo {
            id: found.stack_id().unwrap_or(stack).to_owned(),
            status,
            outputs: found.outputs().iter().filter_map(|o| pair(o.output_key(), o.output_value())).collect(),
            parameters: found
                .parameters()
                .iter()
                .filter_map(|p| pair(p.parameter_key(), p.parameter_value()))
                .collect(),
            tags: found.tags().iter().filter_map(|tag| pair(tag.key(), tag.value())).collect(),
            created: found.creation_time().map(|time| time.secs()),
        }))
    }

    /// Names and states of every stack whose name begins so, deleted ones left out.
    pub(crate) async fn named(&self, prefix: &str) -> anyhow::Result<Vec<(String, StackStatus)>> {
        let mut pages = self.client.list_stacks().into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "list the stacks", &self.account))?;
            found.extend(page.stack_summaries().iter().filter_map(|stack| {
                let status = StackStatus::parse(stack.stack_status().map_or("", |status| status.as_str()));
                let name = stack.stack_name().filter(|name| name.starts_with(prefix))?;
                (status != StackStatus::Absent).then(|| (name.to_owned(), status))
            }));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    /// What deleted stacks of such a name left behind, as far as CloudFormation remembers them (90 days): the stack's
    /// name and the resource.
    pub(crate) async fn left_behind(&self, prefix: &str) -> anyhow::Result<Vec<(String, Physical)>> {
        let deleted = self.client.list_stacks().stack_status_filter(StackStatusFilter::DeleteComplete);
        let mut pages = deleted.into_paginator().send();
        let mut ids = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "list the deleted stacks", &self.account))?;
            let own = page
                .stack_summaries()
                .iter()
                .filter(|s| s.stack_name().is_some_and(|n| n.starts_with(prefix)));
            ids.extend(own.filter_map(|s| Some((s.stack_id()?.to_owned(), s.stack_name()?.to_owned()))));
        }
        let mut found = Vec::new();
        for (id, name) in ids {
            let mut pages = self.client.describe_stack_events().stack_name(&id).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page =
                    page.map_err(|error| explain(error, "read the events of the deleted stack", &name))?;
                let skipped = page.stack_events().iter().filter(|event| {
                    event.resource_status().is_some_and(|status| status.as_str() == "DELETE_SKIPPED")
                });
                found.extend(skipped.filter_map(|event| {
                    let physical = Physical {
                        id: event.physical_resource_id()?.to_owned(),
                        resource_type: event.resource_type()?.to_owned(),
                    };
                    Some((name.clone(), physical))
                }));
            }
        }
        Ok(found)
    }

    /// The template's text as it was submitted. Without a stage CloudFormation gives the one that transforms have made
    /// of it ("GetTemplate").
    pub(crate) async fn template(&self, stack: &str) -> anyhow::Result<String> {
        let call = self.client.get_template().stack_name(stack).template_stage(TemplateStage::Original);
        let answer = call.send().await;
        let answer = answer.map_err(|error| explain(error, "read the template of the stack", stack))?;
        Ok(answer.template_body().unwrap_or_default().to_owned())
    }

    /// The stack's resources that are there: physical ids and types by logical id, all pages. A create that was taken back
    /// still lists what it removed, as DELETE_COMPLETE.
    pub(crate) async fn resources(&self, stack: &str) -> anyhow::Result<BTreeMap<String, Physical>> {
        let mut pages = self.client.list_stack_resources().stack_name(stack).into_paginator().send();
        let mut all = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "list the resources of the stack", stack))?;
            let there = page.stack_resource_summaries().iter().filter(|found| {
                found.resource_status().is_none_or(|status| status.as_str() != "DELETE_COMPLETE")
            });
            all.extend(there.filter_map(|found| {
                let physical = Physical {
                    id: found.physical_resource_id().unwrap_or_default().to_owned(),
                    resource_type: found.resource_type().unwrap_or_default().to_owned(),
                };
                Some((found.logical_resource_id()?.to_owned(), physical))
            }));
        }
        Ok(all)
    }

    /// What a stack whose create was taken back left behind: what is still listed, and what its events say was kept.
    pub(crate) async fn held(&self, stack: &str) -> anyhow::Result<BTreeMap<String, Physical>> {
        let mut all = self.resources(stack).await?;
        let mut pages = self.client.describe_stack_events().stack_name(stack).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "read the events of the stack", stack))?;
            let kept = page.stack_events().iter().filter(|event| {
                event.resource_status().is_some_and(|status| status.as_str() == "DELETE_SKIPPED")
            });
            all.extend(kept.filter_map(|event| {
                let physical = Physical {
                    id: event.physical_resource_id()?.to_owned(),
                    resource_type: event.resource_type()?.to_owned(),
                };
                Some((event.logical_resource_id()?.to_owned(), physical))
            }));
        }
        all.retain(|_, physical| !physical.id.is_empty());
        Ok(all)
    }

    /// Creates or updates a stack directly and follows it, as a pipeline's CREATE_UPDATE action does; `None` where
    /// nothing would change.
    pub(crate) async fn create_or_update(
        &self,
        wanted: &Wanted<'_>,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Option<Settled>> {
        let parameters = wanted
            .parameters
            .iter()
            .map(|(k, v)| Parameter::builder().parameter_key(k).parameter_value(v).build());
        let parameters: Vec<Parameter> = parameters.collect();
        let exists = self.describe(wanted.stack).await?.is_some();
        let seen = if exists { self.event_ids(wanted.stack).await? } else { BTreeSet::new() };
        if exists {
            let call = self.client.update_stack().stack_name(wanted.stack).template_body(wanted.template);
            let call =
                call.set_parameters(Some(parameters)).set_role_arn(wanted.role_arn.map(ToOwned::to_owned));
            let call = call
                .capabilities(Capability::CapabilityNamedIam)
                .capabilities(Capability::CapabilityAutoExpand);
            match call.send().await {
                Ok(_) => {}
                Err(error) if error.message().is_some_and(says_no_changes) => return Ok(None),
                Err(error) => return Err(explain(error, "update the stack", wanted.stack)),
            }
        } else {
            let call = self.client.create_stack().stack_name(wanted.stack).template_body(wanted.template);
            let call =
                call.set_parameters(Some(parameters)).set_role_arn(wanted.role_arn.map(ToOwned::to_owned));
            let call = call
                .capabilities(Capability::CapabilityNamedIam)
                .capabilities(Capability::CapabilityAutoExpand);
            call.send().await.map_err(|error| explain(error, "create the stack", wanted.stack))?;
        }
        self.follow(wanted.stack, seen, limit, emit).await.map(Some)
    }

    /// Executes a change set and follows the stack until it is settled.
    pub(crate) async fn execute(
        &self,
        stack: &str,
        change_set: &str,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        self.client
            .execute_change_set()
            .stack_name(stack)
            .change_set_name(change_set)
            .send()
            .await
            .map_err(|error| explain(error, "execute the change set of the stack", stack))?;
        self.follow(stack, seen, limit, emit).await
    }

    /// Deletes a stack and follows it until it is gone.
    pub(crate) async fn delete(&self, stack: &str, limit: Duration, emit: &Emit) -> anyhow::Result<Settled> {
        let Some(info) = self.describe(stack).await? else {
            return Ok(Settled { status: StackStatus::Absent, first_failure: None });
        };
        let seen = self.event_ids(stack).await?;
        let answer = self.client.delete_stack().stack_name(stack).send().await;
        answer.map_err(|error| explain(error, "delete the stack", stack))?;
        self.follow(&info.id, seen, limit, emit).await
    }

    /// Finishes a rollback that got stuck.
    pub(crate) async fn continue_rollback(
        &self,
        stack: &str,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        let answer = self.client.continue_update_rollback().stack_name(stack).send().await;
        answer.map_err(|error| explain(error, "continue the rollback of the stack", stack))?;
        self.follow(stack, seen, limit, emit).await
    }

    /// Follows an operation that somebody else began.
    pub(crate) async fn wait(&self, stack: &str, limit: Duration, emit: &Emit) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        self.follow(stack, seen, limit, emit).await
    }

    /// Switches termination protection.
    pub(crate) async fn protect(&self, stack: &str, on: bool) -> anyhow::Result<()> {
        let call =
            self.client.update_termination_protection().stack_name(stack).enable_termination_protection(on);
        call.send()
            .await
            .map(|_| ())
            .map_err(|error| explain(error, "set termination protection of the stack", stack))
    }

    async fn event_ids(&self, stack: &str) -> anyhow::Result<BTreeSet<String>> {
        Ok(self.new_events(stack, &BTreeSet::new()).await?.into_iter().map(|(id, _)| id).collect())
    }

    /// Events that were not seen, oldest first. AWS pages newest first, so it stops at the first page with a seen one.
    async fn new_events(&self, stack: &str, seen: &BTreeSet<String>) -> anyhow::Result<Vec<(String, Event)>> {
        let mut pages = self.client.describe_stack_events().stack_name(stack).into_paginator().send();
        let mut events = Vec::new();
        'pages: while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if error.message().is_some_and(says_no_such_stack) => break,
                Err(error) => return Err(explain(error, "read the events of the stack", stack)),
            };
            for event in page.stack_events() {
                let id = event.event_id().unwrap_or_default().to_owned();
                if seen.contains(&id) {
                    break 'pages;
                }
                let found = Event {
                    account: self.account.clone(),
                    stack: event.stack_name().unwrap_or_default().to_owned(),
                    logical_id: event.logical_resource_id().unwrap_or_default().to_owned(),
                    status: event.resource_status().map_or("", |status| status.as_str()).to_owned(),
                    reason: event
                        .resource_status_reason()
                        .filter(|reason| !reason.is_empty())
                        .map(ToOwned::to_owned),
                };
                events.push((id, found));
            }
        }
        events.reverse();
        Ok(events)
    }

    async fn follow(
        &self,
        stack: &str,
        mut seen: BTreeSet<String>,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let watch = Stopwatch::start();
        let mut first_failure: Option<String> = None;
        loop {
            // The state first: events that come between the two looks are printed with the next round or below.
            let status = self.describe(stack).await?.map_or(StackStatus::Absent, |info| info.status);
            let events = self.new_events(stack, &seen).await.context("follow the stack")?;
            for (id, event) in events {
                seen.insert(id);
                if first_failure.is_none() && is_cause(&event) {
                    let reason = event.reason.as_deref().unwrap_or("no reason was given");
                    first_failure = Some(format!("{} {}: {reason}", event.logical_id, event.status));
                }
                emit(Line::Event(event));
            }
            if status.is_settled() {
                return Ok(Settled { status, first_failure });
            }
            if watch.elapsed() > limit {
                return Err(Fault::new(Kind::TimedOut, "wait for the stack", stack)
                    .why(format!("it is still in {status} after {} s", limit.as_secs()))
                    .next("it goes on without us; run the same command again to follow it")
                    .into());
            }
            sleep(self.pace).await;
        }
    }
}

/// Whether an event is a failure of its own rather than the echo of another one.
fn is_cause(event: &Event) -> bool {
    let echo = event.reason.as_deref().is_some_and(says_cancelled);
    event.status.ends_with("_FAILED") && !echo
}

/// "Resource creation cancelled": the echo of another resource's failure.
fn says_cancelled(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("cancelled") || reason.contains("canceled")
}

/// "Stack with id … does not exist": how CloudFormation says not found.
fn says_no_such_stack(message: &str) -> bool {
    message.contains("does not exist")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::scripted::{Script, error, result};
    use super::*;
    use crate::model::changeset::Op;
    use crate::model::fault::from_error;

    fn stack(status: &str) -> String {
        format!(
            "<Stacks><member><StackName>s</StackName><StackId>arn:s</StackId><StackStatus>{status}</StackStatus><Outputs><member><OutputKey>K</OutputKey><OutputValue>v</OutputValue></member></Outputs></member></Stacks>"
        )
    }

    fn event(id: &str, logical: &str, status: &str, reason: &str) -> String {
        format!(
            "<member><EventId>{id}</EventId><StackName>s</StackName><LogicalResourceId>{logical}</LogicalResourceId><ResourceStatus>{status}</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
        )
    }

    fn wanted<'a>(
        parameters: &'a BTreeMap<String, String>,
        tags: &'a BTreeMap<String, String>,
    ) -> Wanted<'a> {
        Wanted { stack: "s", template: "{}", parameters, tags, role_arn: None, name: "c" }
    }

    #[tokio::test]
    async fn a_stack_is_described_or_absent() {
        let absent = error(400, "ValidationError", "Stack with id s does not exist");
        let odd = result("DescribeStacks", &stack("SLEEPING"));
        let replies = vec![
            result("DescribeStacks", &stack("UPDATE_COMPLETE")),
            absent,
            result("DescribeStacks", &stack("DELETE_COMPLETE")),
            odd,
            error(403, "AccessDenied", "no"),
        ];
        let (_, account) = Script::start(replies).await;
        let stacks = Stacks::new(&account);
        let info = stacks.describe("s").await.unwrap().unwrap();
        assert_eq!((info.status.to_string().as_str(), info.outputs["K"].as_str()), ("UPDATE_COMPLETE", "v"));
        assert!(stacks.describe("s").await.unwrap().is_none());
        assert!(stacks.describe("s").await.unwrap().is_none());
        assert_eq!(
            stacks.describe("s").await.unwrap().unwrap().status,
            StackStatus::Unknown("SLEEPING".into())
        );
        let refused = from_error(&stacks.describe("s").await.unwrap_err());
        assert_eq!((refused.kind, refused.why.as_str()), (Kind::Failed, "AccessDenied: no"));
    }

    #[tokio::test]
    async fn a_template_is_asked_for_as_it_was_submitted() {
        let (script, account) =
            Script::start(vec![result("GetTemplate", "<TemplateBody>Transform: T</TemplateBody>")]).await;
        assert_eq!(Stacks::new(&account).template("s").await.unwrap(), "Transform: T");
        let body = script.bodies().concat();
        assert!(body.contains("TemplateStage=Original"), "{body}");
    }

    #[tokio::test]
    async fn what_a_create_left_behind_is_listed_or_told_by_an_event() {
        let listed = |id: &str, status: &str| {
            format!(
                "<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>p-{id}</PhysicalResourceId><ResourceType>T</ResourceType><ResourceStatus>{status}</ResourceStatus></member>"
            )
        };
        let resources = listed("Gone", "DELETE_COMPLETE") + &listed("Stuck", "DELETE_FAILED");
        let kept = event("1", "Kept", "DELETE_SKIPPED", "").replace(
            "</EventId>",
            "</EventId><PhysicalResourceId>p-Kept</PhysicalResourceId><ResourceType>T</ResourceType>",
        );
        let events = kept + &event("2", "Gone", "DELETE_COMPLETE", "");
        let replies = vec![
            result(
                "ListStackResources",
                &format!("<StackResourceSummaries>{resources}</StackResourceSummaries>"),
            ),
            result("DescribeStackEvents", &format!("<StackEvents>{events}</StackEvents>")),
        ];
        let (_, account) = Script::start(replies).await;
        let held = Stacks::new(&account).held("s").await.unwrap();
        let ids: Vec<&str> = held.values().map(|physical| physical.id.as_str()).collect();
        assert_eq!(ids, ["p-Kept", "p-Stuck"]);
    }

    #[tokio::test]
    async fn an_expired_session_is_a_matter_of_credentials() {
        let (_, account) = Script::start(vec![error(
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
        )])
        .await;
        let fault = from_error(&Stacks::new(&account).describe("s").await.unwrap_err());
        assert_eq!(fault.kind, Kind::Credentials);
        assert!(fault.next.contains("aws sso login"), "{}", fault.next);
    }

    #[tokio::test]
    async fn an_empty_change_set_is_removed_and_none() {
        let described = "<Status>FAILED</Status><StatusReason>The submitted information didn't contain changes.</StatusReason>";
        let replies = vec![
            result("CreateChangeSet", "<Id>arn:c</Id>"),
            result("DescribeChangeSet", "<Status>CREATE_PENDING</Status>"),
            result("DescribeChangeSet", described),
            result("DeleteChangeSet", ""),
        ];
        let (script, account) = Script::start(replies).await;
        let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
        assert!(
            Stacks::new(&account)
                .create_change_set(&wanted(&parameters, &tags), false)
                .await
                .unwrap()
                .is_none()
        );
        assert_eq!(
            script.asked(),
            ["CreateChangeSet", "DescribeChangeSet", "DescribeChangeSet", "DeleteChangeSet"]
        );
    }

    #[tokio::test]
    async fn a_failed_change_set_is_removed_and_says_why() {
        let described = "<Status>FAILED</Status><StatusReason>Transform failed</StatusReason>";
        let (_, account) = Script::start(vec![
            result("CreateChangeSet", "<Id>arn:c</Id>"),
            result("DescribeChangeSet", described),
            result("DeleteChangeSet", ""),
        ])
        .await;
        let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
        let fault = from_error(
            &Stacks::new(&account).create_change_set(&wanted(&parameters, &tags), true).await.unwrap_err(),
        );
        assert_eq!(fault.why, "Transform failed");
    }

    #[tokio::test]
    async fn changes_come_from_all_pages() {
        let page = |id: &str, token: &str| {
            let change = format!(
                "<member><Type>Resource</Type><ResourceChange><Action>Add</Action><LogicalResourceId>{id}</LogicalResourceId><ResourceType>AWS::SNS::Topic</ResourceType></ResourceChange></member>"
            );
            let next =
                if token.is_empty() { String::new() } else { format!("<NextToken>{token}</NextToken>") };
            result(
                "DescribeChangeSet",
                &format!("<Status>CREATE_COMPLETE</Status><Changes>{change}</Changes>{next}"),
            )
        };
        let replies =
            vec![result("CreateChangeSet", "<Id>arn:c</Id>"), page("A", "t"), page("A", "t"), page("B", "")];
        let (_, account) = Script::start(replies).await;
        let (parameters, tags) = (BTreeMap::new(), BTreeMap::new());
        let made = Stacks::new(&account)
            .create_change_set(&wanted(&parameters, &tags), true)
            .await
            .unwrap()
            .unwrap();
        let shown: Vec<(Op, &str)> = made.changes.iter().map(|c| (c.op, c.logical_id.as_str())).collect();
        assert_eq!(shown, [(Op::Add, "A"), (Op::Add, "B")]);
    }

    #[tokio::test]
    async fn events_are_told_once_oldest_first_and_the_first_failure_is_kept() {
        let events = |list: &[String]| {
            result("DescribeStackEvents", &format!("<StackEvents>{}</StackEvents>", list.concat()))
        };
        let old = event("1", "s", "CREATE_COMPLETE", "");
        let cause = event("2", "Table", "UPDATE_FAILED", "no permission");
        let echo = event("3", "Role", "UPDATE_FAILED", "Resource update cancelled");
        let last = event("4", "s", "UPDATE_ROLLBACK_COMPLETE", "");
        let replies = vec![
            events(std::slice::from_ref(&old)),
            result("ExecuteChangeSet", ""),
            result("DescribeStacks", &stack("UPDATE_IN_PROGRESS")),
            events(&[cause.clone(), old.clone()]),
            result("DescribeStacks", &stack("UPDATE_ROLLBACK_COMPLETE")),
            events(&[last, echo, cause, old]),
        ];
        let (_, account) = Script::start(replies).await;
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let hear = Arc::clone(&told);
        let emit: Emit = Arc::new(move |line| {
            if let Line::Event(event) = line {
                hear.lock().unwrap().push(event.logical_id);
            }
        });
        let settled = Stacks::new(&account).execute("s", "c", Duration::from_secs(5), &emit).await.unwrap();
        assert_eq!(settled.status.to_string(), "UPDATE_ROLLBACK_COMPLETE");
        assert_eq!(settled.first_failure.as_deref(), Some("Table UPDATE_FAILED: no permission"));
        assert_eq!(*told.lock().unwrap(), ["Table", "Role", "s"]);
    }

    #[test]
    fn messages_are_recognized() {
        assert!(says_no_such_stack("Stack with id causeway-build-base does not exist"));
        assert!(!says_no_such_stack("Template format error"));
        let event = |status: &str, reason: &str| Event {
            account: "dev".into(),
            stack: "s".into(),
            logical_id: "X".into(),
            status: status.into(),
            reason: Some(reason.into()),
        };
        assert!(is_cause(&event("CREATE_FAILED", "no permission")));
        assert!(!is_cause(&event("CREATE_FAILED", "Resource creation cancelled")));
        assert!(!is_cause(&event("CREATE_COMPLETE", "")));
    }
}
