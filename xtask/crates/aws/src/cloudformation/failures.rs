//! What failed in an operation or in a change set, in detail: CloudFormation validates before it deploys, and tells what it
//! found by DescribeEvents alone ("Validate stack deployments" in the CloudFormation user guide).

use aws_sdk_cloudformation::types::{EventFilter, EventType, HookFailureMode, OperationEvent, OperationType};

use super::operations::says_cancelled;
use super::*;

/// The most reasons that are listed: a template that fails in each resource would fill the screen.
const MOST: usize = 10;

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    /// A change set of a stack, by its id.
    ChangeSet(&'a str),
    /// An operation, by its id.
    Operation(&'a str),
}

impl Stacks {
    /// What DescribeEvents says failed, in its order and each once; or, in words, why it cannot be asked. The failure
    /// itself is known either way, so that is no error.
    pub(super) async fn failures(&self, stack: &str, about: About<'_>) -> Result<Vec<String>, String> {
        let call = self.client.describe_events().filters(EventFilter::builder().failed_events(true).build());
        let call = match about {
            About::ChangeSet(id) => call.stack_name(stack).change_set_name(id),
            About::Operation(id) => call.operation_id(id),
        };
        let mut pages = call.into_paginator().send();
        let (mut causes, mut warnings) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| match error.code() {
                Some("AccessDenied" | "AccessDeniedException") => {
                    "the details are not told: cloudformation:DescribeEvents is denied to these credentials"
                        .to_owned()
                }
                Some("InvalidAction" | "UnknownOperationException" | "NotImplementedException") => {
                    "the details are not told: this endpoint does not know DescribeEvents".to_owned()
                }
                _ => {
                    let fault =
                        causeway_model::fault::from_error(&explain(error, "read the events of", stack));
                    format!("the details are not told: DescribeEvents failed: {}", fault.why)
                }
            })?;
            for event in page.operation_events() {
                let Some(text) = told(event) else { continue };
                let warns = event.validation_failure_mode() == Some(&HookFailureMode::Warn)
                    || event.hook_failure_mode() == Some(&HookFailureMode::Warn);
                let texts = if warns { &mut warnings } else { &mut causes };
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        // What only warns is no cause, but better than nothing where nothing else is told.
        let mut told = if causes.is_empty() { warnings } else { causes };
        let more = told.len().saturating_sub(MOST);
        told.truncate(MOST);
        if more > 0 {
            told.push(format!("and {more} more"));
        }
        Ok(told)
    }

    /// Adds to CloudFormation's own reason what DescribeEvents says beyond it.
    pub(super) async fn in_detail(
        &self,
        stack: &str,
        about: About<'_>,
        reason: Option<String>,
    ) -> Option<String> {
        let (found, note) = match self.failures(stack, about).await {
            Ok(found) => (found, None),
            Err(note) => (Vec::new(), Some(note)),
        };
        let said = reason.clone().unwrap_or_default();
        let new = found.into_iter().filter(|text| !said.contains(text.as_str()));
        let all: Vec<String> = reason.into_iter().chain(new).chain(note).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// The operation that a stack went through last, as far as it says so: what failed is told of it. A rollback is the
/// consequence of another operation. That the newest comes first is unconfirmed on AWS.
pub(super) fn last_operation(stack: &aws_sdk_cloudformation::types::Stack) -> Option<String> {
    let mut operations = stack.last_operations().iter();
    let own = operations.find(|entry| {
        !matches!(entry.operation_type(), Some(OperationType::Rollback | OperationType::CreateChangeset))
    })?;
    own.operation_id().map(ToOwned::to_owned)
}

/// An event in one line; `None` where it gives no reason, or is the echo of another failure. Properties are never told.
fn told(event: &OperationEvent) -> Option<String> {
    let resource = match (event.logical_resource_id(), event.resource_type()) {
        (Some(id), Some(kind)) if event.event_type() == Some(&EventType::ValidationError) => {
            format!("{id} ({kind})")
        }
        (Some(id), _) => id.to_owned(),
        (None, kind) => kind.unwrap_or("the stack").to_owned(),
    };
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    match event.event_type() {
        Some(EventType::ValidationError) => {
            let reason = given(event.validation_status_reason())?;
            let at = given(event.validation_path()).map(|path| format!(" at {path}")).unwrap_or_default();
            let name = given(event.validation_name()).map(|name| format!("{name}: ")).unwrap_or_default();
            Some(format!("{resource}{at}: {name}{reason}"))
        }
        Some(EventType::HookInvocationError) => {
            let reason = given(event.hook_status_reason())?;
            Some(format!(
                "{resource}: the hook {} failed: {reason}",
                event.hook_type().unwrap_or("of CloudFormation")
            ))
        }
        _ => {
            let reason = given(event.resource_status_reason()).filter(|reason| !says_cancelled(reason))?;
            let status = event.resource_status().map_or("FAILED", |status| status.as_str());
            Some(format!("{resource} {status}: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::scripted::{Reply, Script, error, result};
    use super::*;

    fn validation(id: &str, mode: &str, reason: &str) -> String {
        format!(
            "<member><EventId>{id}</EventId><StackId>arn:s</StackId><OperationStatus>FAILED</OperationStatus><EventType>VALIDATION_ERROR</EventType><LogicalResourceId>{id}</LogicalResourceId><ResourceType>AWS::SQS::Queue</ResourceType><ResourceProperties>secret</ResourceProperties><ValidationFailureMode>{mode}</ValidationFailureMode><ValidationName>NAME_CONFLICT_VALIDATION</ValidationName><ValidationStatus>FAILED</ValidationStatus><ValidationStatusReason>{reason}</ValidationStatusReason><ValidationPath>/Resources/{id}</ValidationPath></member>"
        )
    }

    fn provisioning(id: &str, reason: &str) -> String {
        format!(
            "<member><EventId>{id}</EventId><StackId>arn:s</StackId><EventType>PROVISIONING_ERROR</EventType><LogicalResourceId>{id}</LogicalResourceId><ResourceType>T</ResourceType><ResourceStatus>UPDATE_FAILED</ResourceStatus><ResourceStatusReason>{reason}</ResourceStatusReason></member>"
        )
    }

    fn page(events: &[String], next: &str) -> Reply {
        let next = if next.is_empty() { String::new() } else { format!("<NextToken>{next}</NextToken>") };
        result("DescribeEvents", &format!("<OperationEvents>{}</OperationEvents>{next}", events.concat()))
    }

    #[tokio::test]
    async fn causes_come_from_all_pages_each_once_and_without_properties() {
        let clash = "a queue of that name exists";
        let (script, account) = Script::start(vec![
            page(&[validation("Q", "FAIL", clash), validation("W", "WARN", "a quota is near")], "t"),
            page(
                &[
                    validation("Q", "FAIL", clash),
                    provisioning("T", "no"),
                    provisioning("R", "Resource update cancelled"),
                ],
                "",
            ),
        ])
        .await;
        let told = Stacks::new(&account).failures("s", About::ChangeSet("arn:c")).await.unwrap();
        assert_eq!(
            told,
            [
                format!("Q (AWS::SQS::Queue) at /Resources/Q: NAME_CONFLICT_VALIDATION: {clash}"),
                "T UPDATE_FAILED: no".to_owned()
            ]
        );
        let body = &script.bodies()[0];
        for asked in ["StackName=s", "ChangeSetName=arn%3Ac", "Filters.FailedEvents=true"] {
            assert!(body.contains(asked), "{asked}: {body}");
        }
        assert!(script.bodies()[1].contains("NextToken=t"));
    }

    #[tokio::test]
    async fn a_warning_is_told_where_it_is_all_there_is_and_a_flood_is_cut() {
        let (script, account) = Script::start(vec![
            page(&[validation("W", "WARN", "a quota is near")], ""),
            page(&(0..13).map(|n| provisioning(&format!("R{n}"), "no")).collect::<Vec<_>>(), ""),
        ])
        .await;
        let stacks = Stacks::new(&account);
        let about = About::Operation("op-1");
        assert!(stacks.failures("s", about).await.unwrap().concat().contains("a quota is near"));
        let flood = stacks.failures("s", about).await.unwrap();
        assert_eq!((flood.len(), flood[MOST].as_str()), (MOST + 1, "and 3 more"));
        assert!(script.bodies()[0].contains("OperationId=op-1"), "{:?}", script.bodies());
    }

    #[tokio::test]
    async fn what_may_not_be_asked_is_said() {
        for (code, word) in [
            ("AccessDenied", "cloudformation:DescribeEvents is denied"),
            ("InvalidAction", "does not know DescribeEvents"),
            ("ValidationError", "DescribeEvents failed: ValidationError: no"),
        ] {
            let (_, account) = Script::start(vec![error(400, code, "no")]).await;
            let said = Stacks::new(&account)
                .in_detail("s", About::Operation("op-1"), Some("Table UPDATE_FAILED: no".to_owned()))
                .await
                .unwrap();
            assert!(said.starts_with("Table UPDATE_FAILED: no; ") && said.contains(word), "{code}: {said}");
        }
    }
}
