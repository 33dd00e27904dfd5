//! A tiny Lambda Runtime API, and a function's binary started against it. Shared with `hooks/tests`.
//!
//! When its events are used up it holds the next poll open, as Lambda does: an error there would end the process.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::server::{Response, Seen, json, start};

/// How long a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running function; it is ended with the test.
///
/// Its process is the standard library's: the functions need nothing of tokio's, and with it tokio would be compiled twice.
pub(crate) struct Function {
    child: Child,
    stdout: UnboundedReceiver<String>,
    answers: UnboundedReceiver<Seen>,
}

impl Function {
    /// Starts a binary with these variables only, and gives it these events, each with `time_left` to answer.
    pub(crate) async fn start(
        binary: &str,
        variables: &[(&str, &str)],
        events: Vec<Value>,
        time_left: Duration,
    ) -> Self {
        let events = events.iter().map(Value::to_string).collect();
        Self::start_with(binary, variables, events, time_left).await
    }

    /// The same with events as they are written, also such as no value can be.
    pub(crate) async fn start_with(
        binary: &str,
        variables: &[(&str, &str)],
        events: Vec<String>,
        time_left: Duration,
    ) -> Self {
        let (sender, answers) = unbounded_channel();
        let events = Arc::new(Mutex::new(VecDeque::from(events)));
        let address = start(move |seen| {
            let (events, sender) = (events.clone(), sender.clone());
            async move {
                if seen.line != "GET /2018-06-01/runtime/invocation/next" {
                    sender.send(seen).unwrap();
                    return json(202, &[], &Value::Null);
                }
                let event = events.lock().unwrap().pop_front();
                let Some(event) = event else { std::future::pending().await };
                let deadline = milliseconds_from_now(time_left).to_string();
                let headers = [
                    ("lambda-runtime-aws-request-id", "request-1"),
                    ("lambda-runtime-deadline-ms", deadline.as_str()),
                    ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1"),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:eu-central-1:222222222222:function:f",
                    ),
                ];
                headers
                    .iter()
                    .fold(Response::text(200, event), |answer, (name, value)| answer.with(name, value))
            }
        })
        .await;
        let mut child = command(binary, address).envs(variables.iter().copied()).spawn().unwrap();
        let (row, stdout) = unbounded_channel();
        let rows = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || rows.map_while(Result::ok).try_for_each(|text| row.send(text)));
        Self { child, stdout, answers }
    }

    /// The next thing the function posts: an answer or an error.
    pub(crate) async fn answer(&mut self) -> Seen {
        tokio::time::timeout(PATIENCE, self.answers.recv()).await.unwrap().unwrap()
    }

    /// The next line of its log; an empty text when it has ended.
    pub(crate) async fn log(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.stdout.recv()).await.unwrap().unwrap_or_default();
        serde_json::from_str(&line).unwrap_or(Value::String(line))
    }

    /// Ends it, and gives its exit code if it had ended by itself.
    pub(crate) async fn finish(mut self) -> Option<i32> {
        self.child.kill().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // One that has ended already is no mistake.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(binary: &str, address: SocketAddr) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the test ends what it starts")]
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "function")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "7")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "222222222222")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .stdout(Stdio::piped());
    // Where this machine keeps its certificates the function must find them too.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

#[expect(clippy::disallowed_methods, reason = "Lambda's deadline is a time of the clock")]
fn milliseconds_from_now(time_left: Duration) -> u128 {
    (SystemTime::now() + time_left).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()
}
