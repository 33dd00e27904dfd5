//! The emulator: started as one process group, spoken to as an account's root.
//!
//! The engines act through it as AWS's services do. A twelve-digit access key id is that account's root, and its
//! signature is not looked at; roles and their sessions are held to their policies. It is started by a module of ours
//! (`xtask/data/emulator.py`), which makes it follow the weights of aliases.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use causeway_machine::clock::Stopwatch;
use causeway_machine::files;
use causeway_machine::install::Venv;
use causeway_machine::paths::Paths;
use causeway_machine::process::{self, Ending, Group};
use causeway_model::fault::Fault;
use causeway_model::xml::Element;

/// What its Python runs: the emulator, its aliases true for every client, less what the local cloud has itself.
const SCRIPT: &str = include_str!("../../../data/emulator.py");

/// What that script loads beside itself: what AWS refuses and the emulator takes.
const REFUSALS: [(&str, &str); 3] = [
    ("calls.py", include_str!("../../../data/calls.py")),
    ("refusals.py", include_str!("../../../data/refusals.py")),
    ("resource-limits.json", include_str!("../../../data/resource-limits.json")),
];

/// The same of services, as people write it: Python reads TOML only from 3.11 on.
const SERVICES: &str = include_str!("../../../data/refusals.toml");

/// How long the emulator may take to answer for the first time. Whoever waits for the cloud gives up before: that it has no time
/// is told from that it does not start.
const START_LIMIT: Duration = Duration::from_secs(240);

/// How many ports are tried: one that was free a moment ago may be somebody else's by now, and the emulator takes no socket
/// that is open already.
const PORTS: u32 = 8;

/// How often it is started when something else is wrong.
const STARTS: u32 = 3;

/// A running emulator.
pub(crate) struct Emulator {
    /// Its processes, the Lambda functions' included.
    pub group: Group,
    /// How to speak to it.
    pub client: Client,
}

/// Starts the emulator on a free port of 127.0.0.1.
///
/// # Errors
/// It does not start; the fault carries the end of its log.
pub(crate) async fn start(venv: &Venv, paths: &Paths, region: &str) -> anyhow::Result<Emulator> {
    start_at(venv, paths, region, &["-I", "-c", SCRIPT], free_port).await
}

/// Starts it with all of its own parts, as the second opinion on ours.
#[cfg(test)]
pub(crate) async fn start_whole(venv: &Venv, paths: &Paths, region: &str) -> anyhow::Result<Emulator> {
    start_at(venv, paths, region, &["-m", "ministack"], free_port).await
}

/// The same with ports of the caller's choice.
async fn start_at(
    venv: &Venv,
    paths: &Paths,
    region: &str,
    arguments: &[&str],
    mut port: impl FnMut() -> anyhow::Result<u16>,
) -> anyhow::Result<Emulator> {
    let log = paths.log("emulator");
    let scratch = paths.scratch();
    let _ = std::fs::remove_dir_all(&scratch);
    files::private_dir(&scratch)?;
    let data = scratch.join("data");
    write_data(&data)?;
    let (mut last, mut taken, mut failed) = (String::new(), 0, 0);
    while taken < PORTS && failed < STARTS {
        let port = port()?;
        let mut command = process::logged(&venv.program("python"), &log)?;
        command.args(arguments).env_clear().current_dir(&scratch);
        for kept in ["PATH", "HOME", "LANG"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
            .env("GATEWAY_PORT", port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("MINISTACK_REGION", region)
            .env("AUTH", "true")
            // It would listen on all interfaces otherwise.
            .env("IOT_MTLS_ENABLED", "0")
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("PYTHONUNBUFFERED", "1")
            .env("CAUSEWAY_DATA", &data)
            .env("TMPDIR", &scratch);
        let mut group = process::spawn(command, "emulator", &paths.processes(), Ending::Kill)?;
        let client = Client::new(port, region)?;
        let watch = Stopwatch::start();
        loop {
            // Whoever answers there need not be ours.
            if client.is_healthy().await && listens(group.id(), port) {
                return Ok(Emulator { group, client });
            }
            if group.child().try_wait().context("look at the emulator")?.is_some()
                || watch.elapsed() > START_LIMIT
            {
                last = log_tail(&log);
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        group.end().await;
        if last.contains("Address already in use") { taken += 1 } else { failed += 1 }
    }
    Err(Fault::failed("start the emulator", log.display().to_string())
        .why(last)
        .next("read the log; `cargo xtask local down` and removing target/causeway/venv give a clean start")
        .into())
}

/// Writes what the script loads.
fn write_data(dir: &Path) -> anyhow::Result<()> {
    files::private_dir(dir)?;
    for (name, text) in REFUSALS {
        files::write_private(&dir.join(name), text.as_bytes())?;
    }
    let services: Value = toml::from_str(SERVICES).context("read xtask/data/refusals.toml")?;
    files::write_private(&dir.join("refusals.json"), services.to_string().as_bytes())
}

/// Whether that very process listens on a port of 127.0.0.1. Source: proc_pid_net(5). Where there is no such table, a
/// process that goes on running counts: one that cannot have its port ends.
fn listens(process: i32, port: u16) -> bool {
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else { return true };
    let address = format!("0100007F:{port:04X}");
    let Some(inode) = table.lines().skip(1).find_map(|row| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let listens = fields.get(1) == Some(&address.as_str()) && fields.get(3) == Some(&"0A");
        fields.get(9).filter(|_| listens).map(|inode| format!("socket:[{inode}]"))
    }) else {
        return false;
    };
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let mut links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.to_string_lossy() == inode)
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

/// The last lines of a log.
pub(crate) fn log_tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// Speaks to the emulator as the root of an account.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    region: String,
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {status}: {message}")]
pub(crate) struct Refusal {
    action: String,
    status: u16,
    /// What the emulator said.
    pub message: String,
}

impl Client {
    /// For an emulator that listens there.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub(super) fn new(port: u16, region: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
        Ok(Self { http, base: format!("http://127.0.0.1:{port}"), region: region.to_owned() })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The region of everything.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether nobody listens where it did: it has ended. One that is only busy takes the connection.
    pub(crate) async fn is_gone(&self) -> bool {
        let address = self.base.trim_start_matches("http://");
        let connected = tokio::net::TcpStream::connect(address).await;
        connected.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    async fn is_healthy(&self) -> bool {
        let call =
            self.http.get(format!("{}/_ministack/health", self.base)).timeout(Duration::from_secs(2)).send();
        call.await.is_ok_and(|answer| answer.status().is_success())
    }

    /// A call of the query protocol (CloudFormation, STS, IAM, SNS).
    ///
    /// # Errors
    /// A [`Refusal`], or the emulator does not answer.
    pub async fn query(
        &self,
        account: &str,
        service: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<Element> {
        let pairs = [("Action", action), ("Version", version(service))];
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs.iter().chain(parameters))
            .finish();
        let call = self
            .call(Method::POST, "/", account, service)
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(form);
        let (_, body) = send(call, action).await?;
        Element::parse(&String::from_utf8_lossy(&body))
            .with_context(|| format!("read the answer of {action}"))
    }

    /// A call of a REST protocol (Lambda, API Gateway, S3), its answer's headers and body.
    ///
    /// # Errors
    /// A [`Refusal`], or the emulator does not answer.
    pub async fn rest(
        &self,
        method: Method,
        path: &str,
        account: &str,
        service: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<(http::HeaderMap, Vec<u8>)> {
        let action = format!("{method} {path}");
        send(self.call(method, path, account, service).body(body), &action).await
    }

    /// Invokes a function, and asks for the end of its log; `alias` is on whose behalf.
    ///
    /// # Errors
    /// A [`Refusal`], or the emulator does not answer.
    pub async fn invoke(
        &self,
        account: &str,
        function: &str,
        qualifier: Option<&str>,
        alias: Option<&str>,
        event: Vec<u8>,
    ) -> anyhow::Result<(http::HeaderMap, Vec<u8>)> {
        let query = qualifier.map(|qualifier| format!("?Qualifier={qualifier}")).unwrap_or_default();
        let path = format!("/2015-03-31/functions/{function}/invocations{query}");
        let mut call = self.call(Method::POST, &path, account, "lambda").header("x-amz-log-type", "Tail");
        if let Some(alias) = alias {
            call = call.header("x-causeway-alias", alias);
        }
        send(call.body(event), &format!("POST {path}")).await
    }

    /// A call of the JSON protocol with a target header (CloudWatch, CodeDeploy …), its answer's body.
    ///
    /// # Errors
    /// A [`Refusal`], or the emulator does not answer.
    pub async fn json(
        &self,
        account: &str,
        service: &str,
        target: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let call = self
            .call(Method::POST, "/", account, service)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(body.to_string());
        let (_, body) = send(call, target).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).with_context(|| format!("read the answer of {target}"))
    }

    /// A call whose signature is in its headers already.
    ///
    /// # Errors
    /// A [`Refusal`], or the emulator does not answer.
    pub async fn signed(
        &self,
        method: Method,
        path: &str,
        headers: http::HeaderMap,
        body: Vec<u8>,
    ) -> anyhow::Result<(http::HeaderMap, Vec<u8>)> {
        let action = format!("{method} {path}");
        let call = self
            .http
            .request(method, format!("{}{path}", self.base))
            .headers(headers)
            .header("x-forwarded-proto", "https");
        send(call.body(body), &action).await
    }

    /// Makes a bucket of an account, unless it is there.
    pub async fn make_bucket(&self, account: &str, bucket: &str) {
        let place = format!(
            "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
            self.region
        );
        let place = if self.region == "us-east-1" { Vec::new() } else { place.into_bytes() };
        let _ = self.rest(Method::PUT, &format!("/{bucket}"), account, "s3", place).await;
    }

    fn call(&self, method: Method, path: &str, account: &str, service: &str) -> reqwest::RequestBuilder {
        let scope = format!("{account}/20260101/{}/{service}/aws4_request", self.region);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        );
        self.http
            .request(method, format!("{}{path}", self.base))
            .header("authorization", authorization)
            .header("x-amz-date", causeway_machine::clock::now().strftime("%Y%m%dT%H%M%SZ").to_string())
            .header("x-forwarded-proto", "https")
    }
}

async fn send(call: reqwest::RequestBuilder, action: &str) -> anyhow::Result<(http::HeaderMap, Vec<u8>)> {
    #[cfg(test)]
    let _no_time_passes = super::virtual_time::awaited();
    let answer = call.send().await.with_context(|| format!("{action}: the emulator does not answer"))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body =
        answer.bytes().await.with_context(|| format!("{action}: the emulator's answer broke off"))?.to_vec();
    if status.is_success() {
        return Ok((headers, body));
    }
    let message = String::from_utf8_lossy(&body).chars().take(2_000).collect();
    Err(Refusal { action: action.to_owned(), status: status.as_u16(), message }.into())
}

/// Whether an error is Lambda's refusal to run more of a function than it may.
pub(crate) fn is_throttled(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Refusal>()
        .is_some_and(|refusal| refusal.status == StatusCode::TOO_MANY_REQUESTS.as_u16())
}

/// Whether an error is a refusal with a 404 or one that says so in words.
pub(crate) fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| {
        refusal.status == StatusCode::NOT_FOUND.as_u16() || refusal.message.contains("does not exist")
    })
}

/// The API version that a service's query protocol wants.
fn version(service: &str) -> &'static str {
    match service {
        "sts" => "2011-06-15",
        "sns" => "2010-03-31",
        "cloudformation" => "2010-05-15",
        _ => "2010-05-08",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use causeway_machine::cmd::{cmd, command};

    /// Answers like the emulator, or ends where it cannot have its port.
    const STANDS_IN: &str = r#"#!/usr/bin/env python3
import http.server, os
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
class Server(http.server.HTTPServer):
    allow_reuse_address = False
Server(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Healthy).serve_forever()
"#;

    #[tokio::test(flavor = "multi_thread")]
    async fn an_emulator_of_somebody_elses_on_the_port_is_not_taken_for_ours() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("venv/bin/python");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::write(&program, STANDS_IN).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let venv = Venv::at(dir.path().join("venv"));
        let paths = |name: &str| Paths::of(dir.path()).with_local(&dir.path().join(name));
        let other = start(&venv, &paths("other"), "eu-central-1").await.unwrap();
        let taken: u16 = other.client.base().rsplit(':').next().unwrap().parse().unwrap();
        let mut asked = 0;
        let ours = start_at(&venv, &paths("ours"), "eu-central-1", &["-I", "-c", SCRIPT], || {
            asked += 1;
            if asked < PORTS { Ok(taken) } else { free_port() }
        })
        .await
        .unwrap();
        assert_eq!(asked, PORTS);
        assert_ne!(ours.client.base(), other.client.base());
        ours.group.end().await;
        let error = start_at(&venv, &paths("ours"), "eu-central-1", &["-I", "-c", SCRIPT], || Ok(taken))
            .await
            .err()
            .unwrap();
        let fault = causeway_model::fault::from_error(&error);
        assert!(fault.why.contains("Address already in use"), "{}", fault.why);
        other.group.end().await;
    }

    async fn python(code: &str) -> std::process::Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let paths = Paths::of(&root);
        let venv =
            causeway_machine::install::venv(&paths, causeway_machine::install::Set::Local, &|_| {}).await;
        let python = venv.unwrap().program("python");
        let data = tempfile::tempdir().unwrap();
        write_data(data.path()).unwrap();
        command(&root.join("xtask/data"), |sh| cmd!(sh, "{python} -I -c {code}"))
            .unwrap()
            .env("CAUSEWAY_DATA", data.path())
            .output()
            .await
            .unwrap()
    }

    fn said(output: &std::process::Output) -> String {
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[tokio::test]
    async fn the_emulators_aliases_are_held_to_their_tests() {
        let run = "import runpy; runpy.run_path('emulator_test.py', run_name='__main__')";
        let ran = python(run).await;
        assert!(ran.status.success() && said(&ran).contains("\nOK\n"), "{}", said(&ran));
    }

    /// What AWS refuses and the emulator takes, kind by kind.
    #[tokio::test]
    async fn what_aws_refuses_is_refused() {
        let run = "import runpy; runpy.run_path('refusals_test.py', run_name='__main__')";
        let ran = python(run).await;
        assert!(ran.status.success() && said(&ran).contains("\nOK\n"), "{}", said(&ran));
    }

    /// The same of calls of any client, and of roles that they pass.
    #[tokio::test]
    async fn what_aws_refuses_of_a_call_is_refused() {
        let run = "import runpy; runpy.run_path('calls_test.py', run_name='__main__')";
        let ran = python(run).await;
        assert!(ran.status.success() && said(&ran).contains("\nOK\n"), "{}", said(&ran));
    }

    /// Which types are made inert is what the pinned emulator and CloudFormation's registry say.
    #[tokio::test]
    async fn the_list_of_inert_types_is_the_emulators() {
        let ran = python("import runpy; runpy.run_path('inert-types.py', run_name='__main__')").await;
        assert!(ran.status.success(), "{}", said(&ran));
        let listed = include_str!("../../../data/inert-types.txt");
        assert_eq!(String::from_utf8_lossy(&ran.stdout), listed, "run it anew, as its head says");
    }

    /// What it replaces is the emulator's own, so it knows one version: the one that is pinned.
    #[tokio::test]
    async fn another_emulator_is_refused_at_its_start() {
        let pins = include_str!("../../../requirements/local.txt");
        let pinned = pins.lines().find_map(|row| row.strip_prefix("ministack==")?.split_whitespace().next());
        let pinned = pinned.unwrap();
        let known = format!("VERSION = \"{pinned}\"");
        assert!(SCRIPT.contains(&known), "xtask/data/emulator.py is not written for {pinned}");
        let ended = python(&SCRIPT.replace(&known, "VERSION = \"0.0.0\"")).await;
        assert!(!ended.status.success());
        for word in [pinned, "written for 0.0.0", "xtask/requirements/local.txt", "changed together"] {
            assert!(said(&ended).contains(word), "{word}: {}", said(&ended));
        }
    }
}
