//! Operations on a stack, each followed to its end by its events.

use super::failures::About;
use super::*;

impl Stacks {
    /// Creates or updates a stack directly and follows it, as a pipeline's CREATE_UPDATE action does; `None` where
    /// nothing would change.
    pub async fn create_or_update(
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
        let (body, url) = wanted.submitted()?;
        let operation = if exists {
            let call = self.client.update_stack().stack_name(wanted.stack);
            let call = call.set_template_body(body).set_template_url(url);
            let call =
                call.set_parameters(Some(parameters)).set_role_arn(wanted.role_arn.map(ToOwned::to_owned));
            let call = call
                .capabilities(Capability::CapabilityNamedIam)
                .capabilities(Capability::CapabilityAutoExpand);
            match call.send().await {
                Ok(answer) => answer.operation_id().map(ToOwned::to_owned),
                Err(error) if error.message().is_some_and(says_no_changes) => return Ok(None),
                Err(error) => return Err(explain(error, "update the stack", wanted.stack)),
            }
        } else {
            let call = self.client.create_stack().stack_name(wanted.stack);
            let call = call.set_template_body(body).set_template_url(url);
            let call =
                call.set_parameters(Some(parameters)).set_role_arn(wanted.role_arn.map(ToOwned::to_owned));
            let call = call
                .capabilities(Capability::CapabilityNamedIam)
                .capabilities(Capability::CapabilityAutoExpand);
            let answer = call.send().await;
            let answer = answer.map_err(|error| explain(error, "create the stack", wanted.stack))?;
            answer.operation_id().map(ToOwned::to_owned)
        };
        self.follow(wanted.stack, seen, operation, limit, emit).await.map(Some)
    }

    /// Executes a change set and follows the stack until it is settled.
    pub async fn execute(
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
        self.follow(stack, seen, None, limit, emit).await
    }

    /// Deletes a stack and follows it until it is gone.
    pub async fn delete(&self, stack: &str, limit: Duration, emit: &Emit) -> anyhow::Result<Settled> {
        let Some(info) = self.describe(stack).await? else {
            return Ok(Settled { status: StackStatus::Absent, first_failure: None });
        };
        let seen = self.event_ids(stack).await?;
        let answer = self.client.delete_stack().stack_name(stack).send().await;
        answer.map_err(|error| explain(error, "delete the stack", stack))?;
        self.follow(&info.id, seen, None, limit, emit).await
    }

    /// Finishes a rollback that got stuck.
    pub async fn continue_rollback(
        &self,
        stack: &str,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        let answer = self.client.continue_update_rollback().stack_name(stack).send().await;
        answer.map_err(|error| explain(error, "continue the rollback of the stack", stack))?;
        self.follow(stack, seen, None, limit, emit).await
    }

    /// Follows an operation that somebody else began.
    pub async fn wait(&self, stack: &str, limit: Duration, emit: &Emit) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        self.follow(stack, seen, None, limit, emit).await
    }

    /// Switches termination protection.
    pub async fn protect(&self, stack: &str, on: bool) -> anyhow::Result<()> {
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

    /// Follows an operation by its events. Where it fails, DescribeEvents is asked as well, by the operation's id: the given
    /// one, or the one that the stack names as its last.
    async fn follow(
        &self,
        stack: &str,
        mut seen: BTreeSet<String>,
        mut operation: Option<String>,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let watch = Stopwatch::start();
        let mut first_failure: Option<String> = None;
        loop {
            // The state first: events that come between the two looks are printed with the next round or below.
            let info = self.describe(stack).await?;
            if operation.is_none() {
                operation = info.as_ref().and_then(|info| info.operation.clone());
            }
            let status = info.map_or(StackStatus::Absent, |info| info.status);
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
                let failed = !status.is_good() && status != StackStatus::Absent;
                if let Some(id) = operation.filter(|_| failed) {
                    first_failure = self.in_detail(stack, About::Operation(&id), first_failure).await;
                }
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
pub(super) fn is_cause(event: &Event) -> bool {
    let echo = event.reason.as_deref().is_some_and(says_cancelled);
    event.status.ends_with("_FAILED") && !echo
}

/// "Resource creation cancelled": the echo of another resource's failure.
pub(super) fn says_cancelled(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    reason.contains("cancelled") || reason.contains("canceled")
}
