//! Every command that asks AWS something asks first whose credentials it has, and nothing else where they are another
//! account's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use causeway_testing::Project;

/// The account that every profile leads to; it is none of the project's.
const FOREIGN: &str = "999988887777";

/// AWS as a stranger sees it: it says whose credentials these are, and refuses everything else.
#[derive(Clone, Default)]
struct Aws(Arc<Mutex<Vec<String>>>);

impl Aws {
    /// Starts it, and gives its URL.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let aws = Self::default();
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
            let account = format!("<Account>{FOREIGN}</Account>");
            (
                "200 OK",
                format!(
                    "<GetCallerIdentityResponse><GetCallerIdentityResult>{account}</GetCallerIdentityResult></GetCallerIdentityResponse>"
                ),
            )
        } else {
            (
                "403 Forbidden",
                "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>".to_owned(),
            )
        };
        self.0.lock().unwrap().push(asked);
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn no_command_asks_another_account_for_anything_but_its_id() {
    let (aws, url) = Aws::start();
    let mut project = Project::that_packages();
    let credentials = project.path().join("credentials");
    let keys = |account: &str| {
        format!("[causeway-{account}]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = example\n")
    };
    std::fs::write(&credentials, ["build", "dev", "prod"].map(keys).concat()).unwrap();
    project.set("AWS_SHARED_CREDENTIALS_FILE", credentials.display().to_string());
    project.set("AWS_CONFIG_FILE", "/dev/null");
    project.set("AWS_ENDPOINT_URL", url);
    let table: [&[&str]; 9] = [
        &["bootstrap", "--yes"],
        &["bootstrap", "--dry-run"],
        &["destroy", "--confirm-delete", "causeway"],
        &["deploy", "--isolated", "mine", "--yes"],
        &["deploy", "--isolated", "mine", "--delete", "--yes"],
        &["deploy", "--list"],
        &["package"],
        &["test-deployment", "--env", "dev", "--for", "1s"],
        &["doctor", "--fix", "--yes"],
    ];
    for words in table {
        let ended = project.run(words);
        assert_eq!(ended.code, 4, "{words:?}: {}", ended.error());
        let said = format!("{} {}", ended.error(), ended.result());
        assert!(said.contains(&format!("leads to {FOREIGN}")), "{words:?}: {said}");
        assert!(said.contains("nothing was changed"), "{words:?}: {said}");
        let asked = aws.asked();
        assert!(
            !asked.is_empty() && asked.iter().all(|call| call == "GetCallerIdentity"),
            "{words:?}: {asked:?}"
        );
        assert_eq!(ended.of_type("event").count(), 0, "{words:?}");
        assert!(ended.result()["changed"].as_array().is_none_or(Vec::is_empty), "{words:?}");
    }
    assert!(
        !project.path().join("target/packaged").exists(),
        "the account is looked at before anything is built"
    );
}
