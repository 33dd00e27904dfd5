//! Change sets of a stack: made, waited for, read page by page, removed where they are not executed.

use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::operation::describe_change_set::DescribeChangeSetOutput;

use super::failures::About;
use super::*;

/// How often a change set is looked for that a killed run may have asked for: some seconds on AWS.
const LOOKS: usize = 5;

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
        self.create_change_set_asked(wanted, is_new, ()).await
    }

    /// The same; `asking` is dropped once CloudFormation has answered. The call is heard to its end even where nobody waits for
    /// it any more: one that is given up half-way is made all the same, after whoever removes it has found nothing to remove.
    ///
    /// # Errors
    /// As for [`Stacks::create_change_set`].
    pub async fn create_change_set_asked(
        &self,
        wanted: &Wanted<'_>,
        is_new: bool,
        asking: impl Send + 'static,
    ) -> anyhow::Result<Option<ChangeSet>> {
        let kind = if is_new { ChangeSetType::Create } else { ChangeSetType::Update };
        let call = filled!(self.client.create_change_set(), wanted)
            .change_set_name(wanted.name)
            .set_client_token(wanted.is_own.then(|| wanted.name.to_owned()))
            .change_set_type(kind);
        let asked = tokio::spawn(async move {
            let made = call.send().await;
            drop(asking);
            made
        });
        let made = asked.await.context("make a change set")?;
        let id = match made {
            Ok(created) => created.id().unwrap_or(wanted.name).to_owned(),
            // The answer to an earlier attempt was lost.
            Err(error) if wanted.is_own && says_it_exists(&error, wanted.name) => wanted.name.to_owned(),
            Err(error) => return Err(explain(error, "make a change set for the stack", wanted.stack)),
        };
        let described = self.await_change_set(&id, wanted.stack).await?;
        let id = described.change_set_id().unwrap_or(&id).to_owned();
        let reason = described.status_reason().unwrap_or_default().to_owned();
        match described.status() {
            Some(ChangeSetStatus::CreateComplete) => {
                let changes = self.changes(&id, wanted.stack, described).await?;
                Ok(Some(ChangeSet { id, name: wanted.name.to_owned(), changes }))
            }
            status => {
                let status = status.map_or("no state", ChangeSetStatus::as_str).to_owned();
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
                    .why(why.unwrap_or_else(|| format!("it ended in {status}")))
                    .next("fix the template or its parameters; nothing was changed")
                    .into())
            }
        }
    }

    /// Waits until a change set is made, and gives what was said of it then: its first page.
    async fn await_change_set(&self, id: &str, stack: &str) -> anyhow::Result<DescribeChangeSetOutput> {
        let watch = Stopwatch::start();
        loop {
            let answer = self.client.describe_change_set().change_set_name(id).stack_name(stack).send().await;
            let answer =
                answer.map_err(|error| explain(error, "describe the change set of the stack", stack))?;
            let status = answer.status().map_or("UNKNOWN", ChangeSetStatus::as_str);
            if !status.ends_with("PENDING") && !status.ends_with("IN_PROGRESS") {
                return Ok(answer);
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

    /// Every change of a change set: of its first page, and of all that follow.
    async fn changes(
        &self,
        id: &str,
        stack: &str,
        mut page: DescribeChangeSetOutput,
    ) -> anyhow::Result<Vec<Change>> {
        let mut changes = Vec::new();
        loop {
            changes.extend(page.changes().iter().filter_map(|change| change.resource_change()).map(caused));
            let Some(next) = page.next_token().filter(|token| !token.is_empty()) else { break };
            let call = self.client.describe_change_set().change_set_name(id).stack_name(stack);
            let answer = call.next_token(next).send().await;
            page = answer.map_err(|error| explain(error, "describe the change set of the stack", stack))?;
        }
        Ok(sorted(settle(changes)))
    }

    /// Whether a change set was executed, or is being executed, whatever the answer to the call was. One that is gone was,
    /// where the stack says that it is made of it.
    pub(super) async fn was_executed(&self, id: &str, stack: &str) -> bool {
        let answer = self.client.describe_change_set().change_set_name(id).stack_name(stack).send().await;
        if let Ok(answer) = answer {
            return answer.execution_status().is_some_and(|status| status.as_str().starts_with("EXECUTE_"));
        }
        let info = self.describe(stack).await.ok().flatten();
        info.is_some_and(|info| {
            info.status != StackStatus::Review && info.change_set.as_deref().is_some_and(|own| own == id)
        })
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
                Err(error) if error.code() == Some("InvalidChangeSetStatus") => {
                    if self.was_executed(id, stack).await {
                        return Ok(());
                    }
                    sleep(self.pace).await;
                }
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

    /// Takes back, like [`Stacks::withdraw`], what a run planned that was killed. Its last call may still be on its way, so one
    /// that is not there is looked for again a few times.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn withdraw_left(&self, id: &str, stack: &str, is_new: bool) -> anyhow::Result<()> {
        for _ in 0..LOOKS {
            let answer = self.client.describe_change_set().change_set_name(id).stack_name(stack).send().await;
            match answer {
                Ok(_) => break,
                Err(error)
                    if error.code() == Some("ChangeSetNotFound")
                        || error.message().is_some_and(says_no_such_stack) =>
                {
                    sleep(self.pace).await;
                }
                Err(error) => return Err(explain(error, "describe the change set of the stack", stack)),
            }
        }
        self.withdraw(id, stack, is_new).await
    }

    /// Removes a change set.
    pub async fn delete_change_set(&self, id: &str, stack: &str) -> anyhow::Result<()> {
        let answer = self.client.delete_change_set().change_set_name(id).stack_name(stack).send().await;
        match answer {
            Ok(_) => Ok(()),
            // The answer to an earlier attempt was lost.
            Err(error) if error.code() == Some("ChangeSetNotFound") => Ok(()),
            Err(error) => Err(explain(error, "remove the change set of the stack", stack)),
        }
    }
}

/// Whether the service says that it has a change set of that very name.
fn says_it_exists(error: &impl ProvideErrorMetadata, name: &str) -> bool {
    error.code() == Some("AlreadyExistsException")
        && error.message().is_some_and(|message| message.contains(name))
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
