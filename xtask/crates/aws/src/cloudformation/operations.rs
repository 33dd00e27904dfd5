//! Operations on a stack, each followed to its end by its events.

use super::failures::About;
use super::*;
use causeway_model::stack::{Outcome, Phase};

impl Stacks {
    /// Creates or updates a stack directly and follows it, as a pipeline's CREATE_UPDATE action does; `None` where
    /// nothing would change.
    pub async fn create_or_update(
        &self,
        wanted: &Wanted<'_>,
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Option<Settled>> {
        let exists = self.describe(wanted.stack).await?.is_some();
        let seen = if exists { self.event_ids(wanted.stack).await? } else { BTreeSet::new() };
        let operation = if exists {
            match filled!(self.client.update_stack(), wanted).send().await {
                Ok(answer) => answer.operation_id().map(ToOwned::to_owned),
                Err(error) if error.message().is_some_and(says_no_changes) => return Ok(None),
                Err(error) => return Err(explain(error, "update the stack", wanted.stack)),
            }
        } else {
            let answer = filled!(self.client.create_stack(), wanted).send().await;
            let answer = answer.map_err(|error| explain(error, "create the stack", wanted.stack))?;
            answer.operation_id().map(ToOwned::to_owned)
        };
        self.follow(wanted.stack, seen, operation, limit, emit).await.map(Some)
    }

    /// Executes a change set and follows the stack until it is settled. `begun` is called once CloudFormation has it: from
    /// then on the change set is nobody's to remove. The events of a stack that is made by it are all new.
    pub async fn execute(
        &self,
        stack: &str,
        change_set: &str,
        is_new: bool,
        begun: impl FnOnce(),
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let seen = if is_new { BTreeSet::new() } else { self.event_ids(stack).await? };
        let token = own_token(change_set);
        let call = self.client.execute_change_set().stack_name(stack).change_set_name(change_set);
        let sent = call.set_client_request_token(token.map(ToOwned::to_owned)).send().await;
        if let Err(error) = sent {
            let gone = error.code() == Some("ChangeSetNotFound");
            // An answer may be lost on its way: CloudFormation knows whether it was executed.
            if token.is_none() || !self.was_executed(change_set, stack).await {
                let error = explain(error, "execute the change set of the stack", stack);
                return Err(if gone { elsewhere(error) } else { error });
            }
        }
        begun();
        self.follow(stack, seen, None, limit, emit).await
    }

    /// Deletes a stack and follows it until it is gone.
    pub async fn delete(&self, stack: &str, limit: Duration, emit: &Emit) -> anyhow::Result<Settled> {
        let Some(info) = self.describe(stack).await? else {
            return Ok(Settled { status: StackStatus::Absent, first_failure: None, info: None });
        };
        let seen = self.event_ids(stack).await?;
        // One token for the stack: a repeated call is the same deletion. By its id, so that a stack that somebody makes
        // meanwhile under the same name stays.
        let token = info.id.rsplit('/').next().map(|id| format!("delete-{id}"));
        let call = self.client.delete_stack().stack_name(&info.id).set_client_request_token(token);
        call.send().await.map_err(|error| explain(error, "delete the stack", stack))?;
        self.follow(&info.id, seen, None, limit, emit).await
    }

    /// Finishes a rollback that got stuck; the resources of `skipping` are left as they are.
    pub async fn continue_rollback(
        &self,
        stack: &str,
        skipping: &[String],
        limit: Duration,
        emit: &Emit,
    ) -> anyhow::Result<Settled> {
        let seen = self.event_ids(stack).await?;
        let call = self.client.continue_update_rollback().stack_name(stack);
        let skipped = (!skipping.is_empty()).then(|| skipping.to_vec());
        if let Err(error) = call.set_resources_to_skip(skipped).send().await {
            // The answer to an earlier attempt may have been lost: then it goes on already.
            let info = self.describe(stack).await?;
            let goes_on = info.is_some_and(|info| {
                matches!(info.status, StackStatus::Known(Phase::UpdateRollback, how) if how != Outcome::Failed)
            });
            if !goes_on {
                return Err(explain(error, "continue the rollback of the stack", stack));
            }
        }
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

    /// One look at a stack that is followed. The state first: events that come between the two calls are told with the next
    /// look.
    async fn look(&self, stack: &str, seen: &BTreeSet<String>) -> anyhow::Result<Look> {
        let info = self.describe(stack).await?;
        Ok((info, self.new_events(stack, seen).await.context("follow the stack")?))
    }

    /// Follows an operation by its events. A look that fails does not end it: the operation goes on whoever looks. Where the
    /// operation fails, DescribeEvents is asked as well, by its id: the given
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
        let mut missed = 0;
        loop {
            let (info, events) = match self.look(stack, &seen).await {
                Ok(found) => found,
                Err(error) => {
                    missed += 1;
                    let fault = from_error(&error);
                    if missed > MISSES || !is_passing(&fault) {
                        return Err(still_going(fault, stack).into());
                    }
                    if missed == 1 {
                        let why = &fault.why;
                        let message = format!(
                            "{stack} goes on, and could not be looked at: {why}; it is looked at again"
                        );
                        emit(Line::Warning { message });
                    }
                    sleep(self.pace).await;
                    continue;
                }
            };
            missed = 0;
            if operation.is_none() {
                operation = info.as_ref().and_then(|info| info.operation.clone());
            }
            let status = info.as_ref().map_or(StackStatus::Absent, |info| info.status.clone());
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
                return Ok(Settled { status, first_failure, info });
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

/// The token of an execution: the id of a change set whose name was thought up for one run. A name that may come again has
/// none, since a second execution is another one then.
fn own_token(change_set: &str) -> Option<&str> {
    let name = change_set.split(":changeSet/").nth(1).unwrap_or(change_set);
    let own = name.starts_with(OWN_PREFIX);
    own.then(|| name.split('/').next_back().unwrap_or(name))
}

/// The change set that was shown is gone: on AWS, since another one of the same stack was executed.
fn elsewhere(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Fault>() {
        Ok(fault) => fault
            .next("another run changed the stack meanwhile, which removes what was planned; run the same command again: it plans anew")
            .into(),
        Err(error) => error,
    }
}

/// A stack and its events that were not seen before.
type Look = (Option<StackInfo>, Vec<(String, Event)>);

/// How many looks in a row may fail before a stack is not followed any more.
const MISSES: u32 = 5;

/// Whether a look that failed may be better the next time: a refusal stays one.
fn is_passing(fault: &Fault) -> bool {
    fault.kind != Kind::Credentials && !fault.why.starts_with("AccessDenied")
}

/// What is said where an operation cannot be followed any more: AWS goes on with it.
fn still_going(fault: Fault, stack: &str) -> Fault {
    let next = format!(
        "the operation on {stack} goes on in AWS without us; {}, and the command follows it from there",
        fault.next
    );
    Fault { what: format!("follow the stack ({})", fault.what), next, ..fault }
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
