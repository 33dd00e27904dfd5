//! A small AWS for commands that are to end at its first answers: what they asked is known, and nothing else is there.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use causeway_testing::Project;

/// A status, a code and a message.
pub(crate) type Refusal = (&'static str, &'static str, &'static str);

/// What a stranger is told.
pub(crate) const DENIED: Refusal = ("403 Forbidden", "AccessDenied", "no");

/// It says whose credentials these are, and refuses everything else.
#[derive(Clone)]
pub(crate) struct Aws {
    account: &'static str,
    refusal: Refusal,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Aws {
    /// Starts it, and gives its URL.
    pub(crate) fn start(account: &'static str, refusal: Refusal) -> (Self, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self { account, refusal, asked: Arc::default() };
        let serving = aws.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(&stream.unwrap()));
            }
        });
        (aws, url)
    }

    /// Answers one call, and closes the connection.
    fn answer(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
        // The first refusal ends a command; a connection of another check may be opened by then and say nothing.
        if head.is_empty() {
            return;
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let named = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned);
        let asked = named.or_else(|| header("x-amz-target"));
        let asked = asked.unwrap_or_else(|| head.lines().next().unwrap_or_default().to_owned());
        let (status, text) = if asked == "GetCallerIdentity" {
            let account = format!("<Account>{}</Account>", self.account);
            (
                "200 OK",
                format!(
                    "<GetCallerIdentityResponse><GetCallerIdentityResult>{account}</GetCallerIdentityResult></GetCallerIdentityResponse>"
                ),
            )
        } else {
            let (status, code, message) = self.refusal;
            let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            (status, format!("<ErrorResponse>{error}</ErrorResponse>"))
        };
        self.asked.lock().unwrap().push(asked);
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Gives a project profiles of all accounts, and leads every call there.
pub(crate) fn lead_to(project: &mut Project, url: &str) {
    let credentials = project.path().join("credentials");
    let keys = |account: &str| {
        format!("[causeway-{account}]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n")
    };
    std::fs::write(&credentials, ["build", "dev", "prod"].map(keys).concat()).unwrap();
    project.set("AWS_SHARED_CREDENTIALS_FILE", credentials.display().to_string());
    project.set("AWS_CONFIG_FILE", "/dev/null");
    project.set("AWS_ENDPOINT_URL", url);
}
