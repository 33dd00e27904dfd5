//! Whole rehearsals, each held to its exit code, its verdict, the cause that it names, and the contract's lines.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Checks;
use crate::contract_model::missing;
use causeway_cloud::{resident, serve};
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::paths::Paths;
use causeway_machine::shell::hear;
use causeway_model::fault::{Fault, from_error};
use causeway_model::line::Status;

/// Where the cloud of a check keeps its things.
pub(super) const CLOUD: &str = "target/causeway/check";

/// Ways to misbehave in prod, and what the error must name as the cause: the alarm, or the hook and its check. The
/// ways `errors` and `crash` are in the tests.
const BROKEN: [(&str, &[&str]); 3] = [
    ("hook", &["checkin: the PreTraffic hook failed", "-checkin-pre reported Failed: health: "]),
    (
        "wrong-version",
        &[
            "checkin: the PreTraffic hook failed",
            "-checkin-pre reported Failed: ",
            "version: expected version ",
        ],
    ),
    ("slow", &["checkin: alarm ", "-checkin-new-version-slow is in ALARM"]),
];

/// How a rehearsal must end.
#[derive(Clone, Copy)]
struct Ends {
    /// The exit code.
    code: i32,
    /// The verdict.
    verdict: &'static str,
    /// What the error says of the cause, all of it.
    cause: &'static [&'static str],
}

impl Checks {
    /// One that is released and one that is rejected; of `full`, also what goes wrong before prod and in it.
    pub(super) async fn rehearsals(&mut self, full: bool) {
        let ends = |code, verdict| Ends { code, verdict, cause: &[] };
        let kept: &[&str] = if full { &["--keep"] } else { &[] };
        let released = [&["--approve", "auto"], kept].concat();
        self.rehearsal("rehearse", &released, ends(0, "released")).await;
        if full {
            // On the cloud of that release. The one that raises an alarm is the last: each waits until none is left that would stop it.
            for (how, cause) in BROKEN {
                let (name, word) = (format!("rehearse-break-prod-{how}"), format!("--break-prod={how}"));
                let words = [&word, "--approve", "auto", "--keep"];
                self.rehearsal(&name, &words, Ends { cause, ..ends(5, "rolled-back") }).await;
            }
            let root = &self.context.root;
            if let Err(error) = resident::down(&Paths::of(root).with_local(&root.join(CLOUD))).await {
                self.end("rehearse-down", Stopwatch::start(), Err(from_error(&error).to_string()));
            }
        }
        // These end before prod or have nothing to do with what was there before: an earlier release adds nothing.
        let first = |words: [&'static str; 2]| [&["--no-baseline"], &words[..]].concat();
        self.rehearsal("rehearse-reject", &first(["--approve", "reject"]), ends(1, "rejected")).await;
        if full {
            let words = ["--no-baseline", "--fail-test"];
            self.rehearsal("rehearse-fail-test", &words, ends(1, "failed")).await;
            self.rehearsal("rehearse-no-baseline", &first(["--approve", "auto"]), ends(0, "released")).await;
        }
    }

    /// A whole rehearsal in a process of its own, held to its exit code, its verdict, its cause and the contract's lines.
    async fn rehearsal(&mut self, name: &str, options: &[&str], ends: Ends) {
        let watch = Stopwatch::start();
        self.step(name, Status::Started, None, None);
        let result = self.rehearse(options, ends).await;
        if let Ok(compiled) = &result {
            self.data.insert(name.to_owned(), json!({"compiled": compiled}));
        }
        self.end(name, watch, result.map(|_| ()).map_err(|error| from_error(&error).to_string()));
    }

    /// What it compiled.
    async fn rehearse(&self, options: &[&str], ends: Ends) -> anyhow::Result<Value> {
        // Through cargo: the tests may have built our own program anew.
        let mut command = command(&self.context.root, |sh| {
            cmd!(sh, "cargo run --quiet --locked --package xtask -- rehearse --output json {options...}")
        })?;
        // A cloud of its own: one that a developer keeps up is left alone. It is not kept beyond this check.
        command.env("CAUSEWAY_LOCAL_DIR", CLOUD).env(serve::WHILE, std::process::id().to_string());
        let output = hear(command).await.context("start the rehearsal")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect();
        let last = lines.last().unwrap_or(&Value::Null);
        let found = (output.status.code(), last.get("verdict").and_then(Value::as_str));
        let Ends { code, verdict, cause } = ends;
        let why = last.pointer("/error/why").and_then(Value::as_str).unwrap_or_default();
        if found != (Some(code), Some(verdict)) {
            let error = last.get("error").map(ToString::to_string).unwrap_or_default();
            return Err(Fault::failed("rehearse", options.join(" "))
                .why(format!(
                    "expected {verdict} with exit code {code}, it ended {:?} with {:?}: {error}",
                    found.1, found.0
                ))
                .into());
        }
        if let Some(part) = cause.iter().find(|part| !why.contains(**part)) {
            return Err(Fault::failed("rehearse", options.join(" "))
                .why(format!("it ended as it should, but its cause does not say {part:?}: {why}"))
                .into());
        }
        let twice = last.pointer("/data/compiled/dependencies_twice").and_then(Value::as_array);
        if twice.is_none_or(|twice| !twice.is_empty()) {
            return Err(Fault::failed("compile each dependency once", options.join(" "))
                .why(twice.map_or("the result does not say what was compiled twice".to_owned(), |twice| {
                    format!("{} were compiled twice: {}", twice.len(), Value::from(twice.clone()))
                }))
                .next("functions and their tests must have the same features: see cargo tree -e features, with and without dev")
                .into());
        }
        let missing = missing(&lines, verdict);
        if missing.is_empty() {
            return Ok(last["data"]["compiled"].clone());
        }
        Err(Fault::failed("hold the contract's lines", format!("rehearse {}", options.join(" ")))
            .why(missing.join("; "))
            .into())
    }
}
