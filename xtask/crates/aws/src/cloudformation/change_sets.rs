//! Change sets of a stack: made, waited for, read page by page, removed where they are not executed.

use super::failures::About;
use super::*;

impl Stacks {
    /// Makes a change set and waits until it can be executed; `None` where nothing would change (it is removed then).
    ///
    /// # Errors
    /// What CloudFormation says of the template or its parameters; the change set is removed then, too.
    pub async fn create_change_set(
        &self,
        wanted: &Wanted<'_>,
        is_new: bool,
    ) -> anyhow::Result<Option<ChangeSet>> {
        let (body, url) = wanted.submitted()?;
        let kind = if is_new { ChangeSetType::Create } else { ChangeSetType::Update };
        let created = self
            .client
            .create_change_set()
            .stack_name(wanted.stack)
            .change_set_name(wanted.name)
            .change_set_type(kind)
            .set_template_body(body)
            .set_template_url(url)
            .set_parameters(Some(
                wanted
                    .parameters
                    .iter()
                    .map(|(k, v)| Parameter::builder().parameter_key(k).parameter_value(v).build())
                    .collect(),
            ))
            .set_tags(Some(wanted.tags.iter().map(|(k, v)| Tag::builder().key(k).value(v).build()).collect()))
            .set_role_arn(wanted.role_arn.map(ToOwned::to_owned))
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .send()
            .await
            .map_err(|error| explain(error, "make a change set for the stack", wanted.stack))?;
        let id = created.id().unwrap_or(wanted.name).to_owned();
        let (status, reason) = self.await_change_set(&id, wanted.stack).await?;
        match status {
            ChangeSetStatus::CreateComplete => {
                let changes = self.changes(&id, wanted.stack).await?;
                Ok(Some(ChangeSet { id, name: wanted.name.to_owned(), changes }))
            }
            _ => {
                let empty = says_no_changes(&reason);
                // Its events are asked for while it is there.
                let why = match empty {
                    true => None,
                    false => {
                        let reason = Some(reason).filter(|reason| !reason.is_empty());
                        self.in_detail(wanted.stack, About::ChangeSet(&id), reason).await
                    }
                };
                self.delete_change_set(&id, wanted.stack).await?;
                if empty {
                    return Ok(None);
                }
                Err(Fault::failed("make a change set for the stack", wanted.stack)
                    .why(why.unwrap_or_else(|| format!("it ended in {}", status.as_str())))
                    .next("fix the template or its parameters; nothing was changed")
                    .into())
            }
        }
    }

    async fn await_change_set(&self, id: &str, stack: &str) -> anyhow::Result<(ChangeSetStatus, String)> {
        let watch = Stopwatch::start();
        loop {
            let answer = self.client.describe_change_set().change_set_name(id).stack_name(stack).send().await;
            let answer =
                answer.map_err(|error| explain(error, "describe the change set of the stack", stack))?;
            let status = answer.status().cloned().unwrap_or(ChangeSetStatus::from("UNKNOWN"));
            if !status.as_str().ends_with("PENDING") && !status.as_str().ends_with("IN_PROGRESS") {
                return Ok((status, answer.status_reason().unwrap_or_default().to_owned()));
            }
            if watch.elapsed() > Duration::from_secs(600) {
                return Err(Fault::new(Kind::TimedOut, "wait for the change set of the stack", stack)
                    .why("it is not ready after ten minutes")
                    .next("look at the stack's change sets in the console")
                    .into());
            }
            sleep(self.pace.min(Duration::from_millis(1_000))).await;
        }
    }

    /// Every change of a change set, all pages.
    async fn changes(&self, id: &str, stack: &str) -> anyhow::Result<Vec<Change>> {
        let mut pages =
            self.client.describe_change_set().change_set_name(id).stack_name(stack).into_paginator().send();
        let mut changes = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| explain(error, "describe the change set of the stack", stack))?;
            changes.extend(page.changes().iter().filter_map(|change| change.resource_change()).map(caused));
        }
        Ok(sorted(settle(changes)))
    }

    /// Takes back what was only planned: a change set by its name or id, and with `is_new` the stack that it would have
    /// created. CloudFormation keeps an empty one, in REVIEW_IN_PROGRESS. One that is gone already is no error.
    ///
    /// # Errors
    /// It cannot be removed. One that is still being made is waited for, for ever.
    pub async fn withdraw(&self, id: &str, stack: &str, is_new: bool) -> anyhow::Result<()> {
        loop {
            let answer = self.client.delete_change_set().change_set_name(id).stack_name(stack).send().await;
            match answer {
                Ok(_) => break,
                Err(error) if error.code() == Some("ChangeSetNotFound") => break,
                Err(error) if error.message().is_some_and(says_no_such_stack) => return Ok(()),
                Err(error) if error.code() == Some("InvalidChangeSetStatus") => sleep(self.pace).await,
                Err(error) => return Err(explain(error, "remove the change set of the stack", stack)),
            }
        }
        let in_review = match is_new {
            true => self.describe(stack).await?.is_some_and(|info| info.status == StackStatus::Review),
            false => false,
        };
        if in_review {
            let answer = self.client.delete_stack().stack_name(stack).send().await;
            answer.map_err(|error| explain(error, "remove the stack that was only planned", stack))?;
        }
        Ok(())
    }

    /// Removes a change set.
    pub async fn delete_change_set(&self, id: &str, stack: &str) -> anyhow::Result<()> {
        let answer = self.client.delete_change_set().change_set_name(id).stack_name(stack).send().await;
        answer.map(|_| ()).map_err(|error| explain(error, "remove the change set of the stack", stack))
    }
}

/// A change in our words, with what may make a replacement of it.
fn caused(change: &ResourceChange) -> Caused {
    let own = Change::new(
        change.action().map_or("", |action| action.as_str()),
        change.replacement().map(|replacement| replacement.as_str()),
        change.logical_resource_id().unwrap_or_default(),
        change.resource_type().unwrap_or_default(),
    );
    let recreating = change.details().iter().filter(|detail| {
        let wanted = detail.target().and_then(|target| target.requires_recreation());
        wanted.is_none_or(|wanted| *wanted != RequiresRecreation::Never)
    });
    let causes = recreating.map(|detail| match (detail.evaluation(), detail.causing_entity()) {
        (Some(EvaluationType::Dynamic), Some(entity)) => entity.split('.').next().map(ToOwned::to_owned),
        _ => None,
    });
    (own, causes.collect())
}
