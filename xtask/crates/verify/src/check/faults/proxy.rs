//! Stands between one command and the local cloud, lets its calls through, and makes one of them go wrong.
//!
//! Plain HTTP on this machine, one request a connection. A call is signed anew on its way, since the cloud answers its own
//! name alone; the command's accounts are their roots here, whose secret is known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use causeway_model::calls::Call;

use super::Roots;
use super::snapshot::settled;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The service answers 500, and does nothing.
    Internal,
    /// It answers that it is asked too often.
    Throttle,
    /// The connection breaks before the service hears the call.
    Reset,
    /// The service does its work, and the answer is lost.
    Lost,
    /// The answer breaks off in the middle.
    Cut,
    /// The answer is something else.
    Garbage,
    /// It comes after the limit.
    Late,
    /// The command is killed once the work is done.
    Kill,
    /// It is interrupted then, as by Ctrl-C.
    Interrupt,
    /// It is asked to end then.
    Terminate,
}

/// All of them, by their names.
pub(super) const FAULTS: [(&str, Fault); 10] = [
    ("500", Fault::Internal),
    ("throttle", Fault::Throttle),
    ("reset", Fault::Reset),
    ("lost", Fault::Lost),
    ("cut", Fault::Cut),
    ("garbage", Fault::Garbage),
    ("late", Fault::Late),
    ("kill", Fault::Kill),
    ("interrupt", Fault::Interrupt),
    ("terminate", Fault::Terminate),
];

impl Fault {
    pub(super) fn name(self) -> &'static str {
        FAULTS.iter().find(|(_, fault)| *fault == self).map_or("unknown", |(name, _)| name)
    }
}

/// A call of a command: what it asks of what in which account, and the how manieth of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub(super) what: String,
    pub(super) nth: u32,
}

/// One proxy, for one command after the other.
pub(super) struct Proxy {
    roots: Roots,
    project: String,
    /// How long a late answer is late.
    late: Duration,
    state: Mutex<State>,
    child: AtomicI32,
    port: u16,
}

#[derive(Default)]
struct State {
    armed: Option<(Asked, Fault)>,
    /// Whether the fault has happened.
    struck: bool,
    counts: BTreeMap<String, u32>,
    calls: Vec<Asked>,
}

impl Proxy {
    /// Listens for the calls of a project's commands.
    ///
    /// # Errors
    /// No port is free, or the cloud's certificates cannot be read.
    pub(super) async fn start(
        roots: &Roots,
        project: &str,
        late: Duration,
    ) -> anyhow::Result<(Arc<Self>, tokio::task::AbortHandle)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen for the command")?;
        let port = listener.local_addr()?.port();
        let proxy = Arc::new(Self {
            roots: roots.clone(),
            project: project.to_owned(),
            late,
            state: Mutex::default(),
            child: AtomicI32::new(0),
            port,
        });
        let serving = Arc::clone(&proxy);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = Arc::clone(&serving);
                tokio::spawn(async move {
                    let _ = proxy.serve(stream).await;
                });
            }
        });
        Ok((proxy, task.abort_handle()))
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Counts anew, and lets this call go wrong.
    pub(super) fn arm(&self, armed: Option<(Asked, Fault)>) {
        *self.state() = State { armed, ..State::default() };
    }

    /// The process that signals go to.
    pub(super) fn child(&self, id: i32) {
        self.child.store(id, Ordering::SeqCst);
    }

    /// The calls so far, in their order, and whether the fault has happened.
    pub(super) fn seen(&self) -> (Vec<Asked>, bool) {
        let state = self.state();
        (state.calls.clone(), state.struck)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call; what is to go wrong with it.
    fn note(&self, what: &str) -> Option<Fault> {
        let mut state = self.state();
        let nth = state.counts.entry(what.to_owned()).or_default();
        *nth += 1;
        let asked = Asked { what: what.to_owned(), nth: *nth };
        let fault = state.armed.as_ref().filter(|(armed, _)| *armed == asked).map(|(_, fault)| *fault);
        state.struck |= fault.is_some();
        state.calls.push(asked);
        fault
    }

    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
        let fault = self.note(&request.what(&self.project));
        let is_json = request.header("x-amz-target").is_some();
        match fault {
            Some(Fault::Reset) => return Ok(()),
            Some(Fault::Internal) => {
                return answer(&mut stream, 500, &refusal(is_json, "InternalFailure")).await;
            }
            Some(Fault::Throttle) => {
                return answer(&mut stream, 400, &refusal(is_json, "ThrottlingException")).await;
            }
            _ => {}
        }
        let (status, text) = self.forward(&request).await?;
        match fault {
            Some(Fault::Lost) => return Ok(()),
            Some(Fault::Cut) => {
                let whole = head(status, text.len()) + &text;
                let half = head(status, text.len()).len() + text.len() / 2;
                stream.write_all(whole.as_bytes().get(..half).unwrap_or_default()).await?;
                return Ok(());
            }
            Some(Fault::Garbage) => return answer(&mut stream, 200, "<html>Please sign in</html>").await,
            Some(Fault::Late) => sleep(self.late).await,
            Some(Fault::Kill) => {
                self.signal(Signal::KILL);
                return Ok(());
            }
            Some(Fault::Interrupt) => self.signal(Signal::INT),
            Some(Fault::Terminate) => self.signal(Signal::TERM),
            _ => {}
        }
        answer(&mut stream, status, &text).await
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.load(Ordering::SeqCst)) {
            let _ = kill_process(pid, signal);
        }
    }

    async fn forward(&self, request: &Request) -> anyhow::Result<(u16, String)> {
        let (account, service) = request.signer().context("a call that nobody signed")?;
        let headers =
            PASSED.iter().filter_map(|name| Some((*name, request.header(name)?.to_owned()))).collect();
        let call = Call {
            service,
            method: METHODS.into_iter().find(|method| *method == request.method).unwrap_or("POST"),
            path: request.path.clone(),
            headers,
            body: String::from_utf8_lossy(&request.body).into_owned(),
        };
        self.roots.send(&account, &call).await
    }
}

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];
/// Headers that mean something to a service.
const PASSED: [&str; 8] = [
    "content-type",
    "x-amz-target",
    "content-md5",
    "x-amz-checksum-crc32",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-server-side-encryption",
    "x-amz-acl",
    "x-amz-expected-bucket-owner",
];
/// The services that the commands call, as signatures name them.
const SERVICES: [&str; 13] = [
    "cloudformation",
    "sts",
    "s3",
    "kms",
    "iam",
    "dynamodb",
    "codeconnections",
    "codedeploy",
    "monitoring",
    "codepipeline",
    "sns",
    "logs",
    "lambda",
];

fn refusal(is_json: bool, code: &str) -> String {
    if is_json {
        serde_json::json!({"__type": code, "message": "made to fail"}).to_string()
    } else {
        format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>made to fail</Message></Error></ErrorResponse>"
        )
    }
}

fn head(status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
}

async fn answer(stream: &mut TcpStream, status: u16, text: &str) -> anyhow::Result<()> {
    stream.write_all((head(status, text.len()) + text).as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

/// A request as it came.
struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; nothing where the other side has none.
    async fn read(stream: &mut TcpStream) -> anyhow::Result<Option<Self>> {
        let mut seen = Vec::new();
        let mut part = vec![0; 16 * 1024];
        let end = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let length = stream.read(&mut part).await?;
            if length == 0 {
                return Ok(None);
            }
            seen.extend_from_slice(part.get(..length).unwrap_or_default());
        };
        let text = String::from_utf8_lossy(seen.get(..end).unwrap_or_default()).into_owned();
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(ToOwned::to_owned);
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if headers.get("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let wanted: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = seen.split_off(end);
        while body.len() < wanted {
            let length = stream.read(&mut part).await?;
            anyhow::ensure!(length > 0, "the command broke its request off");
            body.extend_from_slice(part.get(..length).unwrap_or_default());
        }
        Ok(Some(Self { method, path, headers, body }))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The account and the service that the signature names.
    fn signer(&self) -> Option<(String, &'static str)> {
        let scope = self.header("authorization")?.split("Credential=").nth(1)?.split(',').next()?;
        let mut parts = scope.split('/');
        let account = parts.next()?.to_owned();
        let service = parts.nth(2)?;
        Some((account, SERVICES.into_iter().find(|known| *known == service)?))
    }

    /// What is asked, of what, in which account, with nothing in it that differs from one run to the next.
    fn what(&self, project: &str) -> String {
        let (account, service) = self.signer().unwrap_or_default();
        let body = String::from_utf8_lossy(&self.body);
        let field = |name: &str| {
            body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(ToOwned::to_owned)
        };
        let on = |id: String| {
            // A stack is named by its name or by its ARN.
            let id = id.replace("%3A", ":").replace("%2F", "/");
            let name = id.rsplit(":stack/").next().unwrap_or_default();
            name.split('/').next().unwrap_or_default().replace(project, "P")
        };
        let what = if let Some(target) = self.header("x-amz-target") {
            let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            let table = json.get("TableName").and_then(Value::as_str).unwrap_or_default();
            format!("{} {}", target.rsplit('.').next().unwrap_or_default(), table.replace(project, "P"))
        } else if let Some(action) = field("Action") {
            format!("{action} {}", field("StackName").map(on).unwrap_or_default())
        } else {
            let path = self.path.split(['?']).next().unwrap_or_default();
            let query = self
                .path
                .split_once('?')
                .map_or("", |(_, query)| query.split(['=', '&']).next().unwrap_or(""));
            format!("{} {service} {} {query}", self.method, settled(path, project))
        };
        format!("{} in {account}", what.trim())
    }
}
