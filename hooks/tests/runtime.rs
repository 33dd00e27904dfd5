//! The real binaries, started as Lambda starts them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../api/tests/support/runtime.rs"]
mod runtime;
#[path = "../../api/tests/support/server.rs"]
mod server;

use std::time::Duration;

use runtime::Function;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const VERSION: &str = "0.1.0+0123456789ab";

/// A function that is well, and a CodeDeploy that takes reports; gives the endpoint of both and the reports.
async fn services(report_status: u16) -> (String, UnboundedReceiver<Value>) {
    let (sender, reports) = unbounded_channel();
    let address = server::start(move |seen| {
        let body = json!({"status": "ok", "version": VERSION}).to_string();
        let answer = if seen.line.ends_with("/invocations") {
            server::json(200, &[], &json!({"statusCode": 200, "body": body}))
        } else {
            sender.send(seen.body).unwrap();
            server::json(report_status, &[], &json!({"__type": "InvalidDeploymentIdException"}))
        };
        async move { answer }
    })
    .await;
    (format!("http://{address}"), reports)
}

async fn start(binary: &str, endpoint: &str) -> Function {
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("TARGET_VERSION", "arn:aws:lambda:eu-central-1:222222222222:function:checkin:7"),
        ("TARGET_ALIAS", "checkin:live"),
        ("EXPECTED_VERSION", VERSION),
        ("CAUSEWAY_ENV", "dev"),
    ];
    let event = json!({"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "h-1"});
    Function::start(binary, &variables, vec![event], Duration::from_secs(10)).await
}

#[tokio::test]
async fn both_hooks_report_success() {
    let hooks = [
        ("pre-traffic", env!("CARGO_BIN_EXE_pre-traffic")),
        ("post-traffic", env!("CARGO_BIN_EXE_post-traffic")),
    ];
    for (phase, binary) in hooks {
        let (endpoint, mut reports) = services(200).await;
        let mut hook = start(binary, &endpoint).await;
        let answer = hook.answer().await;
        assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/response");
        assert_eq!(answer.body["status"], "Succeeded", "{answer:?}");
        assert_eq!(answer.body["checks"].as_array().map(Vec::len), Some(2));
        let report = reports.recv().await.unwrap();
        assert_eq!((&report["deploymentId"], &report["status"]), (&json!("d-1"), &json!("Succeeded")));
        assert!(reports.try_recv().is_err(), "one report is enough");
        assert_eq!(hook.log().await["phase"], phase);
        for check in ["health", "version"] {
            let line = hook.log().await;
            for (field, value) in [
                ("deployment_id", "d-1"),
                ("phase", phase),
                ("env", "dev"),
                ("check", check),
                ("outcome", "passed"),
            ] {
                assert_eq!(line[field], value, "{line}");
            }
            assert!(line["ms"].is_u64() && !line.to_string().contains("arn:"), "{line}");
        }
        assert_eq!(hook.log().await["status"], "Succeeded");
        assert_eq!(hook.finish().await, None, "it was still there for more");
    }
}

#[tokio::test]
async fn an_undelivered_report_fails_the_invocation() {
    let (endpoint, mut reports) = services(400).await;
    let mut hook = start(env!("CARGO_BIN_EXE_pre-traffic"), &endpoint).await;
    let answer = hook.answer().await;
    assert_eq!(answer.line, "POST /2018-06-01/runtime/invocation/request-1/error");
    assert_eq!(answer.body["errorType"], "ReportError");
    let message = answer.body["errorMessage"].as_str().unwrap();
    assert!(message.contains("InvalidDeploymentIdException"), "{message}");
    assert!(reports.recv().await.is_some());
}
