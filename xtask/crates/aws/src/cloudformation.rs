//! Stacks: describe, change sets, execution, events.

mod change_sets;
mod failures;
mod operations;

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
use super::waiting::Unreadable;
use causeway_machine::clock::Stopwatch;
use causeway_model::changeset::{Caused, Change, says_no_changes, settle, sorted};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::line::{Emit, Event, Line};
use causeway_model::stack::StackStatus;
use causeway_model::template::{MAX_BODY, MAX_OBJECT, MAX_URL};

/// What the names of change sets begin with that a run of ours thought up.
pub const OWN_PREFIX: &str = "causeway-";

/// A stack as it stands.
#[derive(Debug, Clone)]
pub struct StackInfo {
    /// Its unique id.
    pub id: String,
    /// Its state.
    pub status: StackStatus,
    /// Its outputs.
    pub outputs: BTreeMap<String, String>,
    /// Its parameters; a secret one is `****`.
    pub parameters: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Whether termination protection is on.
    pub protected: bool,
    /// The role that CloudFormation acts as, where it has one.
    pub role_arn: Option<String>,
    /// The change set that made it what it is, by its id.
    pub change_set: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: Option<i64>,
    /// The operation it went through last, by its id; unknown to an older endpoint.
    pub operation: Option<String>,
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Physical {
    /// Its id in its service.
    pub id: String,
    /// Its type.
    pub resource_type: String,
}

/// What a change set is made of.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The stack.
    pub stack: &'a str,
    /// The template's text.
    pub template: &'a str,
    /// Where CloudFormation reads the template that is too large for a request.
    pub url: Option<&'a str>,
    /// Every parameter.
    pub parameters: &'a BTreeMap<String, String>,
    /// Every tag of the stack. Where there is none, the stack keeps what it has: an empty list would take all of them away
    /// ("UpdateStack" in the CloudFormation API reference).
    pub tags: &'a BTreeMap<String, String>,
    /// The role CloudFormation acts as; its caller's rights where there is none.
    pub role_arn: Option<&'a str>,
    /// The change set's name.
    pub name: &'a str,
    /// Whether nobody else can have made one of that name: it was thought up for this one call.
    pub is_own: bool,
}

impl Wanted<'_> {
    /// The tags as a request has them; nothing where there are none.
    fn tag_list(&self) -> Option<Vec<Tag>> {
        let tags = self.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        (!self.tags.is_empty()).then(|| tags.collect())
    }

    /// How the template is submitted: as body or by URL.
    ///
    /// # Errors
    /// It fits into no request and has no URL, or its URL is too long for one.
    fn submitted(&self) -> anyhow::Result<(Option<String>, Option<String>)> {
        let (bytes, fault) =
            (self.template.len(), Fault::usage("submit the template of the stack", self.stack));
        match self.url {
            Some(url) if url.len() > MAX_URL => Err(fault
                .why(format!("the signed URL of it has {} bytes; CloudFormation takes {MAX_URL}", url.len()))
                .next("make the template smaller, or sign in by a way whose session tokens are shorter")
                .into()),
            Some(_) if bytes > MAX_OBJECT => Err(fault
                .why(format!("it has {bytes} bytes; CloudFormation takes {MAX_OBJECT}"))
                .next("split it into two stacks")
                .into()),
            Some(url) => Ok((None, Some(url.to_owned()))),
            None if bytes > MAX_BODY => Err(fault
                .why(format!("it has {bytes} bytes; a request takes {MAX_BODY}, and there is no bucket it could be read from"))
                .next("make the template smaller, or split it into two stacks")
                .into()),
            None => Ok((Some(self.template.to_owned()), None)),
        }
    }
}

/// Fills in what a call that creates, updates or plans a stack has of [`Wanted`]: each has a builder type of its own in the SDK,
/// and what one of them left out would be a stack that depends on the way it came.
macro_rules! filled {
    ($call:expr, $wanted:expr) => {{
        let (wanted, (body, url)) = ($wanted, $wanted.submitted()?);
        let parameter = |(k, v)| Parameter::builder().parameter_key(k).parameter_value(v).build();
        $call
            .stack_name(wanted.stack)
            .set_template_body(body)
            .set_template_url(url)
            .set_parameters(Some(wanted.parameters.iter().map(parameter).collect()))
            .set_tags(wanted.tag_list())
            .set_role_arn(wanted.role_arn.map(ToOwned::to_owned))
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
    }};
}
use filled;

/// A change set, ready to be executed.
#[derive(Debug, Clone)]
pub struct ChangeSet {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it changes.
    pub changes: Vec<Change>,
}

/// How an operation on a stack ended.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The state now.
    pub status: StackStatus,
    /// The first failure, in CloudFormation's words, with the resource it happened to.
    pub first_failure: Option<String>,
    /// The stack as it was seen then; nothing where it is gone.
    pub info: Option<StackInfo>,
}

/// Calls on the stacks of one account.
#[derive(Clone)]
pub struct Stacks {
    client: Client,
    account: String,
    pace: Duration,
}

impl Stacks {
    /// For an account or a session.
    pub fn new(account: &Account) -> Self {
        let config = aws_sdk_cloudformation::config::Builder::from(account.sdk());
        let config = config.interceptor(account.talk()).retry_classifier(Unreadable);
        let client = Client::from_conf(config.build());
        Self { client, account: account.name.clone(), pace: account.pace() }
    }

    /// The account's name.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The stack, or `None` where there is none (or only a deleted one).
    pub async fn describe(&self, stack: &str) -> anyhow::Result<Option<StackInfo>> {
        let answer = self.client.describe_stacks().stack_name(stack).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.message().is_some_and(says_no_such_stack) => return Ok(None),
            Err(error) => return Err(explain(error, "describe the stack", stack)),
        };
        // A stack that is not there is an error of its own, so an empty list is an answer that lost something.
        let Some(found) = answer.stacks().first() else {
            return Err(Fault::failed("describe the stack", stack)
                .why("the answer could not be read: it names no stack")
                .next("run the same command again")
                .into());
        };
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
            protected: found.enable_termination_protection().unwrap_or_default(),
            role_arn: found.role_arn().map(ToOwned::to_owned),
            change_set: found.change_set_id().map(ToOwned::to_owned),
            created: found.creation_time().map(|time| time.secs()),
            operation: failures::last_operation(found),
        }))
    }

    /// Names and states of every stack whose name begins so, deleted ones left out.
    pub async fn named(&self, prefix: &str) -> anyhow::Result<Vec<(String, StackStatus)>> {
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
    pub async fn left_behind(&self, prefix: &str) -> anyhow::Result<Vec<(String, Physical)>> {
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
    pub async fn template(&self, stack: &str) -> anyhow::Result<String> {
        self.template_at(TemplateStage::Original, stack).await
    }

    /// The template as CloudFormation works with it, after its transforms ("GetTemplate").
    pub async fn processed_template(&self, stack: &str) -> anyhow::Result<String> {
        self.template_at(TemplateStage::Processed, stack).await
    }

    async fn template_at(&self, stage: TemplateStage, stack: &str) -> anyhow::Result<String> {
        let answer = self.client.get_template().stack_name(stack).template_stage(stage).send().await;
        let answer = answer.map_err(|error| explain(error, "read the template of the stack", stack))?;
        Ok(answer.template_body().unwrap_or_default().to_owned())
    }

    /// The logical ids of resources that could not be brought back, in their order. Who continues the rollback of a stack may
    /// leave these out ("ContinueUpdateRollback" in the CloudFormation API reference).
    pub async fn unfinished(&self, stack: &str) -> anyhow::Result<Vec<String>> {
        let mut pages = self.client.list_stack_resources().stack_name(stack).into_paginator().send();
        let mut ids = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "list the resources of the stack", stack))?;
            let failed = page.stack_resource_summaries().iter().filter(|found| {
                found.resource_status().is_some_and(|status| status.as_str() == "UPDATE_FAILED")
            });
            ids.extend(failed.filter_map(|found| found.logical_resource_id().map(ToOwned::to_owned)));
        }
        Ok(ids)
    }

    /// The stack's resources that are there: physical ids and types by logical id, all pages. A create that was rolled back
    /// still lists what it removed, as DELETE_COMPLETE.
    pub async fn resources(&self, stack: &str) -> anyhow::Result<BTreeMap<String, Physical>> {
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

    /// What a stack whose create was rolled back left behind: what is still listed, and what its events say was kept.
    pub async fn held(&self, stack: &str) -> anyhow::Result<BTreeMap<String, Physical>> {
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
}

/// "Stack with id … does not exist": how CloudFormation says not found.
fn says_no_such_stack(message: &str) -> bool {
    message.contains("does not exist")
}

#[cfg(test)]
mod tests;
