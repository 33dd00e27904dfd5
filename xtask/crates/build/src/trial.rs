//! One invocation of a packaged function, against a Runtime API on loopback.
//!
//! Source: "Using the Lambda runtime API for custom runtimes". The second poll is held open, as Lambda does: an error
//! there would end the process.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use causeway_machine::clock::Stopwatch;
use causeway_model::fault::Fault;

/// Takes the program out of a package, as Lambda does.
///
/// # Errors
/// The package is missing or damaged, holds no `bootstrap`, or the program cannot be written.
pub fn unpack(zip: &Path, to: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = std::fs::File::open(zip).with_context(|| format!("read {}", zip.display()))?;
    let mut archive = zip::ZipArchive::new(file).with_context(|| format!("read {}", zip.display()))?;
    let mut entry =
        archive.by_name("bootstrap").with_context(|| format!("{} has no bootstrap", zip.display()))?;
    let written = || format!("unpack {} to {}", zip.display(), to.display());
    let mut program = std::fs::File::create(to).with_context(written)?;
    std::io::copy(&mut entry, &mut program).with_context(written)?;
    program.set_permissions(std::fs::Permissions::from_mode(0o755)).with_context(written)
}

/// Gives a function the environment that it has on Lambda, and nothing else; AWS is at `endpoint`.
pub fn lambdas(command: &mut Command, endpoint: &str) {
    command.env_clear().env("AWS_ENDPOINT_URL", endpoint).envs([
        ("AWS_LAMBDA_FUNCTION_NAME", "function"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("TABLE_NAME", "table"),
    ]);
}

/// A GET as Lambda hands it to a function behind an HTTP API.
pub fn get(path: &str) -> Value {
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": "", "headers": {}, "isBase64Encoded": false,
        "requestContext": {"stage": "$default", "http": {"method": "GET", "path": path}},
    })
}

/// How long a function may take for everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a trial gave.
#[derive(Debug, Clone)]
pub struct Trial {
    /// From the start of the process to its first question for work.
    pub first_next: Duration,
    /// From the start of the process to its answer.
    pub answered: Duration,
    /// The answer.
    pub answer: Value,
}

enum Heard {
    Next(Duration),
    Answer(Duration, Value),
}

struct Api {
    watch: Stopwatch,
    heard: UnboundedSender<Heard>,
    event: Mutex<Option<Value>>,
}

/// Starts a function, gives it one event and waits for its answer; then ends it.
///
/// # Errors
/// It does not start, ends early, reports an error, or takes too long.
pub async fn run(mut command: Command, event: Value) -> anyhow::Result<Trial> {
    let (heard, mut hear) = unbounded_channel();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("listen on loopback")?;
    let address = listener.local_addr().context("listen on loopback")?;
    let api = Arc::new(Api { watch: Stopwatch::start(), heard, event: Mutex::new(Some(event)) });
    let server = tokio::spawn(async move {
        let _ = axum::serve(listener, Router::new().fallback(serve).with_state(api)).await;
    });
    let name = causeway_machine::shell::describe(&command);
    command.env("AWS_LAMBDA_RUNTIME_API", address.to_string()).kill_on_drop(true);
    command.stdout(std::process::Stdio::null());
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let failed = |why: String| Fault::failed("run the function", name.as_str()).why(why);
    let mut first_next = None;
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    let result = loop {
        tokio::select! {
            heard = hear.recv() => match heard {
                Some(Heard::Next(at)) => first_next = first_next.or(Some(at)),
                Some(Heard::Answer(at, answer)) => {
                    break Ok(Trial { first_next: first_next.unwrap_or_default(), answered: at, answer });
                }
                None => break Err(failed("the Runtime API ended".to_owned())),
            },
            status = child.wait() => break Err(failed(match status {
                Ok(status) => format!("it ended with {status} before it answered"),
                Err(error) => error.to_string(),
            })),
            () = &mut deadline => break Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    };
    let _ = child.kill().await;
    server.abort();
    Ok(result?)
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let at = api.watch.elapsed();
    let path = request.uri().path().to_owned();
    if path.ends_with("/invocation/next") {
        let event = api.event.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(event) = event else { std::future::pending().await };
        let _ = api.heard.send(Heard::Next(at));
        let deadline = causeway_machine::clock::now().as_millisecond() + 30_000;
        let answer = Response::builder()
            .header("lambda-runtime-aws-request-id", "request-1")
            .header("lambda-runtime-deadline-ms", deadline)
            .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:::function:f")
            .header("content-type", "application/json")
            .body(Body::from(event.to_string()));
        return answer.unwrap_or_default();
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let _ = api.heard.send(Heard::Answer(api.watch.elapsed(), body));
    Response::builder().status(202).body(Body::from("{}")).unwrap_or_default()
}
