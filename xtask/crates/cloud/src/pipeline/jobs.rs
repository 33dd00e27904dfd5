//! Jobs of Lambda invoke actions: what a function reports of one reaches the action that waits for it.
//!
//! Source: "AWS Lambda invoke action reference" and "Invoke an AWS Lambda function in a pipeline in CodePipeline" in the CodePipeline
//! user guide. Ids are as hard to guess as on AWS.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;

/// What a function said of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// It did well, and gave these variables.
    Succeeded(BTreeMap<String, String>),
    /// It did not, with this message.
    Failed(String),
}

static WAITING: LazyLock<Mutex<BTreeMap<String, oneshot::Sender<Report>>>> = LazyLock::new(Mutex::default);

/// A job that is waited for; nobody waits any more once this is gone.
pub(super) struct Job {
    /// Its id.
    pub(super) id: String,
    /// What is reported of it.
    pub(super) report: oneshot::Receiver<Report>,
}

impl Job {
    /// A new one.
    pub(super) fn new() -> Self {
        let (tell, report) = oneshot::channel();
        let id = uuid::Uuid::new_v4().to_string();
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), tell);
        Self { id, report }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// `PutJobSuccessResult` or `PutJobFailureResult`; false where there is no such job, or it was reported before.
pub(crate) fn report(operation: &str, input: &Value) -> bool {
    let id = input.get("jobId").and_then(Value::as_str).unwrap_or_default();
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    let report = if operation == "PutJobSuccessResult" {
        let variables = input.get("outputVariables").and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        Report::Succeeded(variables.map(|(name, value)| (name.clone(), text(value))).collect())
    } else {
        let message = input.pointer("/failureDetails/message").and_then(Value::as_str);
        Report::Failed(message.unwrap_or("it gave no message").to_owned())
    };
    waiting.is_some_and(|tell| tell.send(report).is_ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_job_is_reported_once_to_whoever_waits() {
        let mut job = Job::new();
        let success = json!({"jobId": job.id, "outputVariables": {"A": "1"}});
        assert!(!report("PutJobSuccessResult", &json!({"jobId": "none"})));
        assert!(report("PutJobSuccessResult", &success));
        assert!(!report("PutJobSuccessResult", &success), "twice");
        let expected = Report::Succeeded(BTreeMap::from([("A".to_owned(), "1".to_owned())]));
        assert_eq!((&mut job.report).await.unwrap(), expected);
        let mut job = Job::new();
        let failure = json!({"jobId": job.id, "failureDetails": {"type": "JobFailed", "message": "no"}});
        assert!(report("PutJobFailureResult", &failure));
        assert_eq!((&mut job.report).await.unwrap(), Report::Failed("no".into()));
        let id = Job::new().id.clone();
        assert!(!report("PutJobSuccessResult", &json!({"jobId": id})), "nobody waits");
    }
}
