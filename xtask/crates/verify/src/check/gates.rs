//! The gates: pinned programs that read the tree, side by side. Offline once they are installed, but for advisories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::Context;
use crate::gates_model::{self, Judged, Passes, checkov, deny, parliament, secrets};
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::expand::Expander;
use causeway_machine::install::{self, Set, Venv};
use causeway_machine::paths::Paths;
use causeway_machine::shell::{self, describe};
use causeway_model::fault::Fault;
use causeway_prove::{self, IdentityPolicy, Problem};

/// The gates, in the order in which they are begun, and last what is no gate.
pub(super) const NAMES: [&str; 6] =
    ["checkov", "secrets", "cfn-lint", "parliament", "dependencies", ADVISORIES];

/// RustSec's advisories. What they say of a commit changes from day to day, and where their list cannot be reached nobody can say
/// it: they fail a check that reads them, and are no gate that a commit must pass.
const ADVISORIES: &str = "advisories";

/// Whether something that cannot look here may be left out: nothing where `CI` is set, but for the advisories.
pub(super) fn may_be_skipped(name: &str) -> bool {
    name == ADVISORIES || !causeway_machine::shell::is_ci()
}

/// How long the list of advisories may take to come.
const NETWORK: Duration = Duration::from_secs(20);

/// How a gate ended.
pub(super) enum Ended {
    /// It looked; what it found.
    Looked(Judged),
    /// It could not look, for a reason that lies outside of the tree.
    Skipped(String),
}

/// A gate that has ended.
pub(super) struct Gate {
    /// One of [`NAMES`].
    pub(super) name: &'static str,
    /// How long it took, in seconds.
    pub(super) seconds: f64,
    /// How it ended.
    pub(super) result: anyhow::Result<Ended>,
}

/// What the gates share.
struct Tools {
    root: PathBuf,
    /// Where their input is written to.
    work: PathBuf,
    checks: Venv,
    gates: Venv,
    passes: Passes,
    templates: BTreeMap<String, String>,
    /// The plain templates as each stack gets them, by the names of their files.
    expansions: BTreeMap<String, Value>,
    policies: Vec<(String, IdentityPolicy)>,
}

/// Installs the programs of the gates, where they are missing.
///
/// # Errors
/// One cannot be had.
pub(super) async fn install(context: &Context) -> anyhow::Result<(Venv, Venv)> {
    let paths = Paths::of(&context.root);
    let say = |text: &str| context.out.note(text);
    install::venv(&paths, Set::Expand, &say).await?;
    Ok((install::venv(&paths, Set::Check, &say).await?, install::venv(&paths, Set::Gates, &say).await?))
}

/// Installs the programs and begins every gate; each is handed out when it ends.
///
/// # Errors
/// A program cannot be had, or the templates cannot be read.
pub(super) async fn begin(context: &Context) -> anyhow::Result<JoinSet<Gate>> {
    let (checks, gates) = install(context).await?;
    let files = causeway_prove_cmd::prove::read(&context.root.join("cfn"))?;
    let work = context.root.join("target/causeway/gates");
    let _ = std::fs::remove_dir_all(&work);
    let passes = Passes::known().map_err(|error| Fault::usage("read", "xtask/data/gates.toml").why(error))?;
    let (policies, expansions) = deployed(context, &files).await?;
    let templates: BTreeMap<String, String> =
        files.into_iter().filter(|(name, _)| name.ends_with(".yaml")).collect();
    anyhow::ensure!(!templates.is_empty(), "there are no templates below cfn/");
    let tools =
        Tools { root: context.root.clone(), work, checks, gates, passes, templates, expansions, policies };
    let tools = std::sync::Arc::new(tools);
    let mut all = JoinSet::new();
    for name in NAMES {
        let tools = std::sync::Arc::clone(&tools);
        all.spawn(async move {
            let watch = Stopwatch::start();
            let result = tools.gate(name).await;
            Gate { name, seconds: watch.seconds(), result }
        });
    }
    Ok(all)
}

/// What the templates would deploy: the policies of identities, each with the name of its file, and the plain templates.
///
/// # Errors
/// What cannot be read, or a circle of resources that wait for each other; each with its file and line.
async fn deployed(
    context: &Context,
    files: &causeway_prove::Files,
) -> anyhow::Result<(Vec<(String, IdentityPolicy)>, BTreeMap<String, Value>)> {
    let config = context.config()?;
    let say = |text: &str| context.out.note(text);
    let expander = Expander::kept(&Paths::of(&context.root), &say).await?;
    let unreadable = |problem: Problem| Fault::failed("read what the templates deploy", "cfn").why(problem);
    let (policies, expansions, unread) = causeway_prove::with(files, &config, &*expander, |proof| {
        (proof.identity_policies(), proof.expansions(), proof.unread())
    })
    .map_err(unreadable)?;
    if let Some(problem) = unread.into_iter().next() {
        return Err(unreadable(problem).into());
    }
    let named = policies.into_iter().enumerate();
    let named = named.map(|(number, policy)| (format!("{number:03}-{}.json", policy.of), policy)).collect();
    Ok((named, expansions))
}

impl Tools {
    async fn gate(&self, name: &str) -> anyhow::Result<Ended> {
        match name {
            "checkov" => self.checkov().await.map(Ended::Looked),
            "secrets" => self.secrets().await.map(Ended::Looked),
            "cfn-lint" => self.cfn_lint().await.map(Ended::Looked),
            "parliament" => self.parliament().await.map(Ended::Looked),
            "dependencies" => self.deny(&["licenses", "bans", "sources"]).await.map(Ended::Looked),
            _ => self.advisories().await,
        }
    }

    /// cfn-lint over every template, findings of any level counted, and over what AWS's transforms make of each for every
    /// set of parameters: it looks for circles there alone (cfn-lint 2501). In what is made errors alone count, since nobody
    /// wrote a parameter that is no longer used.
    async fn cfn_lint(&self) -> anyhow::Result<Judged> {
        let dir = self.work.join("expanded");
        for (name, template) in &self.expansions {
            write(&dir.join(name), &serde_json::to_string_pretty(template).context("write a template")?)?;
        }
        let (cfn_lint, names) = (self.checks.program("cfn-lint"), self.expansions.keys());
        let lint = command(&dir, |sh| {
            cmd!(sh, "{cfn_lint} --format json --ignore-checks W I --non-zero-exit-code error -- {names...}")
        })?;
        let said = output(lint).await?;
        let made = gates_model::lint(&said.stdout, self.expansions.len())
            .map_err(|error| unreadable("cfn-lint", &error, &said))?;

        let templates = self.templates.keys().map(|name| format!("cfn/{name}"));
        let lint = command(&self.root, |sh| {
            cmd!(sh, "{cfn_lint} --format json --non-zero-exit-code informational -- {templates...}")
        })?;
        let said = output(lint).await?;
        let mut judged = gates_model::lint(&said.stdout, self.templates.len())
            .map_err(|error| unreadable("cfn-lint", &error, &said))?;
        judged.data["expansions"] = made.data["templates"].clone();
        judged.complaints.extend(made.complaints);
        Ok(judged)
    }

    /// checkov over every template, with its waivers and without.
    async fn checkov(&self) -> anyhow::Result<Judged> {
        let dir = self.work.join("checkov");
        for (name, text) in &self.templates {
            write(&dir.join(checkov::KEPT).join(name), text)?;
            write(&dir.join(checkov::BARE).join(name), &checkov::bare(text))?;
        }
        let checkov = self.gates.program("checkov");
        let look = command(&dir, |sh| {
            cmd!(
                sh,
                "{checkov} --skip-download --framework cloudformation --compact --output json --directory ."
            )
            .env("LOG_LEVEL", "ERROR")
        })?;
        let said = output(look).await?;
        let report: Value = serde_json::from_str(&said.stdout)
            .map_err(|error| unreadable("checkov", &error.to_string(), &said))?;
        checkov::judge(&report, &self.templates).map_err(|error| unreadable("checkov", &error, &said))
    }

    /// parliament over every policy of an identity.
    async fn parliament(&self) -> anyhow::Result<Judged> {
        anyhow::ensure!(!self.policies.is_empty(), "the templates have no policy of an identity");
        let dir = self.work.join("policies");
        for (name, policy) in &self.policies {
            write(&dir.join(name), &policy.text())?;
        }
        let parliament = self.gates.program("parliament");
        let mut look = command(&self.root, |sh| cmd!(sh, "{parliament} --json --directory {dir}"))?;
        // It warns of its own imports otherwise.
        look.env("PYTHONWARNINGS", "ignore");
        let said = output(look).await?;
        // 0 without findings, 1 with some; a crash is 1, too, and leaves its trace.
        if said.code > 1 || !said.stderr.trim().is_empty() {
            return Err(unreadable("parliament", &format!("it ended with {}", said.code), &said));
        }
        parliament::judge(&said.stdout, &self.policies, &self.passes)
            .map_err(|error| unreadable("parliament", &error, &said))
    }

    /// detect-secrets over every file that git has or would take.
    async fn secrets(&self) -> anyhow::Result<Judged> {
        let list =
            command(&self.root, |sh| cmd!(sh, "git ls-files -z --cached --others --exclude-standard"))?;
        let listed = shell::read(list).await?;
        let files: Vec<&str> =
            listed.split('\0').filter(|name| !name.is_empty() && self.root.join(name).is_file()).collect();
        anyhow::ensure!(!files.is_empty(), "git has no files here");
        // The digests of Python packages, and those of the exceptions themselves.
        let digests =
            ["--exclude-lines=--hash=sha256:[0-9a-f]{64}", "--exclude-lines=^digest = \"[0-9a-f]{40}\"$"];
        // A remark in the file would be an exception without a reason.
        let remarks = "detect_secrets.filters.allowlist.is_line_allowlisted";
        let (detect_secrets, paths) = (self.gates.program("detect-secrets"), &files);
        let scan = command(&self.root, |sh| {
            cmd!(
                sh,
                "{detect_secrets} scan --no-verify --all-files --disable-filter {remarks} {digests...} -- {paths...}"
            )
        })?;
        let said = output(scan).await?;
        secrets::judge(&said.stdout, files.len(), &self.passes)
            .map_err(|error| unreadable("detect-secrets", &error, &said))
    }

    /// cargo-deny's checks of `deny.toml`.
    async fn deny(&self, checks: &[&str]) -> anyhow::Result<Judged> {
        let offline = (checks == ["advisories"]).then_some("--disable-fetch");
        let cargo_deny = self.gates.program("cargo-deny");
        let look = command(&self.root, |sh| {
            cmd!(sh, "{cargo_deny} --format json --locked check {offline...} {checks...}")
        })?;
        let said = output(look).await?;
        deny::judge(&said.stderr, checks).map_err(|error| unreadable("cargo-deny", &error, &said))
    }

    /// The advisories, where RustSec's list of them can be reached.
    async fn advisories(&self) -> anyhow::Result<Ended> {
        let cargo_deny = self.gates.program("cargo-deny");
        let mut fetch = command(&self.root, |sh| cmd!(sh, "{cargo_deny} fetch db"))?;
        fetch.env("GIT_TERMINAL_PROMPT", "0");
        let said = match tokio::time::timeout(NETWORK, output(fetch)).await {
            Ok(said) => said?,
            Err(_) => {
                return Ok(Ended::Skipped(
                    "RustSec's list of advisories did not come within 20 s".to_owned(),
                ));
            }
        };
        if said.code != 0 {
            let last = said.stderr.lines().rfind(|row| !row.trim().is_empty()).unwrap_or_default().to_owned();
            return Ok(Ended::Skipped(format!("RustSec's list of advisories cannot be reached: {last}")));
        }
        self.deny(&["advisories"]).await.map(Ended::Looked)
    }
}

/// What a program said.
struct Said {
    shown: String,
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs a program; how it ended is for its gate to judge.
async fn output(mut command: Command) -> anyhow::Result<Said> {
    // The caller's Python settings would lead packages elsewhere.
    for name in ["PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    let shown: String = describe(&command).chars().take(200).collect();
    let output = command.output().await.with_context(|| format!("start {shown}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    Ok(Said { shown, code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// A program that did not do its work, with the end of what it said.
fn unreadable(name: &str, why: &str, said: &Said) -> anyhow::Error {
    let lines: Vec<&str> = said.stderr.lines().filter(|row| !row.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("\n");
    Fault::failed(format!("hold the tree to {name}"), said.shown.as_str())
        .why(format!("{why}; exit code {}: {last}", said.code))
        .next("run it by itself; removing target/causeway/venv-gates installs it anew")
        .into()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
