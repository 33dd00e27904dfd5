//! `doctor`: looks at everything a release rests on, and says for each thing that is wrong how to fix it.
//!
//! It changes nothing, except with `--fix`: then it removes, after a confirmation, app stacks whose first create failed
//! and which can therefore never be deployed again, and adds the standard library for arm64 where rustup can.

mod drift;
mod machine;
mod services;
mod stacks;

use std::collections::BTreeMap;

use causeway_args::doctor::Args;
use serde_json::{Value, json};

use causeway_aws::cloudformation::Stacks;
use causeway_aws::connections::{self, Standing};
use causeway_aws::endpoint;
use causeway_aws::pipelines;
use causeway_aws::region;
use causeway_aws::rollouts;
use causeway_aws::{Account, Unverified};
use causeway_build::way::{self, Way};
use causeway_command::{Context, Outcome};
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::install;
use causeway_machine::shell::{describe, read};
use causeway_model::config::{BUILD, Config, DeployedBy, Instance};
use causeway_model::connection::{console_link, is_connection};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::health::{self, Complaint, Severity};
use causeway_model::line::{Line, Mode, Status, Step, tenths};
use causeway_model::verdict::Verdict;
pub(crate) use machine::unheard;
use services::{services, unreachable_region};

/// One thing that was looked at.
struct Finding {
    /// What it is, for instance `python`.
    name: String,
    /// What is there; or what is wrong and how to fix it.
    found: Result<String, Fault>,
    /// How bad it is.
    severity: Severity,
}

/// Runs `doctor`.
///
/// # Errors
/// Something is wrong: the fault names all of it. The exit code is that of the gravest: credentials (4) before waiting
/// for a person (6) before anything else (1).
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let mut doctor = Doctor { context: &context, findings: Vec::new(), drift: args.drift };
    doctor.machine().await;
    let mut changed = doctor.arm64(args.fix).await?;
    let complaints = unheard(&config).into_iter().collect();
    doctor.judge("notification-emails", Stopwatch::start(), "somebody hears of approvals", complaints);
    if !args.offline {
        changed.extend(doctor.accounts(&config, args.fix).await?);
    }
    let findings = doctor.findings;
    let data: Vec<Value> = findings.iter().map(Finding::data).collect();
    let wrong: Vec<&Finding> = findings.iter().filter(|found| found.severity == Severity::Error).collect();
    let faults: Vec<&Fault> = wrong.iter().filter_map(|finding| finding.found.as_ref().err()).collect();
    let mut outcome = Outcome::of(Verdict::Done).with_data(json!({"findings": data}));
    outcome.changed = changed;
    let grave = |kind: Kind| faults.iter().any(|fault| fault.kind == kind);
    if faults.is_empty() {
        return Ok(outcome);
    }
    let kind = [Kind::Credentials, Kind::Usage, Kind::Stuck]
        .into_iter()
        .find(|kind| grave(*kind))
        .unwrap_or(Kind::Failed);
    let names: Vec<&str> = wrong.iter().map(|finding| finding.name.as_str()).collect();
    outcome.verdict = kind.verdict();
    outcome.code = Some(kind.exit_code());
    outcome.error = Some(
        Fault::fact(kind, failed_checks(names.len()), names.join(", "))
            .why("see above")
            .next("fix each as it says, then run cargo xtask doctor again"),
    );
    Ok(outcome)
}

/// "2 checks failed".
fn failed_checks(count: usize) -> String {
    format!("{count} check{} failed", if count == 1 { "" } else { "s" })
}

impl Finding {
    /// As a person reads it: what is wrong has the line that fixes it.
    fn line(&self, mode: Mode, seconds: f64) -> Line {
        let (status, reason) = match &self.found {
            Ok(found) => (Status::Succeeded, found.clone()),
            Err(fault) => {
                let next =
                    if fault.next.is_empty() { String::new() } else { format!("\nfix: {}", fault.next) };
                (Status::Failed, format!("{fault}{next}"))
            }
        };
        Line::Step(Step::whole("doctor", &self.name, status, mode, Some(seconds), Some(reason)))
    }

    fn data(&self) -> Value {
        let (id, severity) = (&self.name, self.severity);
        match &self.found {
            Ok(found) => json!({"name": id, "ok": true, "found": found,
                "id": id, "severity": severity, "seen": found, "fix": null}),
            Err(fault) => json!({"name": id, "ok": false, "problem": fault,
                "id": id, "severity": severity, "seen": fault.why, "fix": fault.next}),
        }
    }
}

struct Doctor<'a> {
    context: &'a Context,
    findings: Vec<Finding>,
    /// Whether accounts are compared with the templates.
    drift: bool,
}

impl Doctor<'_> {
    /// Says what was found and keeps it.
    fn note(&mut self, name: &str, watch: Stopwatch, found: Result<String, Fault>) {
        self.note_as(name, watch, Mode::Executed, found);
    }

    fn note_as(&mut self, name: &str, watch: Stopwatch, mode: Mode, found: Result<String, Fault>) {
        let severity = if found.is_ok() { Severity::Ok } else { Severity::Error };
        let found = Finding { name: name.to_owned(), found, severity };
        self.context.out.line(&found.line(mode, tenths(watch.seconds())));
        self.findings.push(found);
    }

    /// Says what is not in order of one thing, or that it is: a check mark stands for nothing else.
    fn judge(&mut self, name: &str, watch: Stopwatch, seen: &str, complaints: Vec<Complaint>) {
        if complaints.is_empty() {
            self.note(name, watch, Ok(seen.to_owned()));
        }
        for Complaint { severity, fault } in complaints {
            if severity == Severity::Error {
                self.note(name, watch, Err(fault));
            } else {
                let message = format!("{name}: {fault}; fix: {}", fault.next);
                self.context.out.line(&Line::Warning { message });
                self.findings.push(Finding { name: name.to_owned(), found: Err(fault), severity });
            }
        }
    }

    /// The way to binaries for Lambda on arm64; the target where it was added.
    async fn arm64(&mut self, fix: bool) -> anyhow::Result<Vec<String>> {
        let root = self.context.root.clone();
        let watch = Stopwatch::start();
        let zig = install::python_found()
            .await
            .map(|_| "Zig, brought from PyPI when it is first needed".to_owned())
            .map_err(|error| from_error(&error).to_string());
        let mut found = Way::outlook(&root, way::RELEASE, zig.clone()).await;
        let mut changed = Vec::new();
        let rustup = command(&root, |sh| cmd!(sh, "rustup --version"))?;
        if found.is_err() && fix && read(rustup).await.is_ok() {
            let target = way::RELEASE;
            let add = command(&root, |sh| cmd!(sh, "rustup target add {target}"))?;
            let line = describe(&add);
            if self.context.out.confirm(&format!("Run {line}?")).await? {
                match read(add).await {
                    Ok(_) => changed.push(line),
                    Err(error) => self.context.out.note(format!("{line}: {}", from_error(&error).why)),
                }
                found = Way::outlook(&root, way::RELEASE, zig).await;
            }
        }
        self.note("arm64", watch, found);
        Ok(changed)
    }

    /// The accounts: credentials, stacks, connection. What was removed.
    async fn accounts(&mut self, config: &Config, fix: bool) -> anyhow::Result<Vec<String>> {
        let opened = Unverified::open(config, &crate::accounts::open_options(self.context)?).await?;
        let mut reachable: BTreeMap<String, Account> = BTreeMap::new();
        for name in config.accounts.keys() {
            let watch = Stopwatch::start();
            let found = match opened.verify(config, std::slice::from_ref(name)).await {
                Ok(verified) => {
                    let account = verified.get(name)?.clone();
                    let profile = account.profile.as_deref().unwrap_or("the ambient credentials");
                    let found = format!("{} through {profile} in {}", account.id, config.region);
                    reachable.insert(name.clone(), account);
                    Ok(found)
                }
                Err(error) => Err(unreachable_region(from_error(&error), &config.region)),
            };
            self.note(&format!("account-{name}"), watch, found);
        }
        for account in reachable.values() {
            self.region(config, account).await;
        }
        let mut changed = Vec::new();
        for instance in
            config.instances(DeployedBy::Bootstrap).into_iter().chain(config.instances(DeployedBy::Pipeline))
        {
            if let Some(account) = reachable.get(&instance.account) {
                changed.extend(self.stack(config, account, &instance, fix).await?);
            }
        }
        for account in config.targets().filter_map(|target| reachable.get(target)) {
            changed.extend(self.isolated(config, account, fix).await?);
        }
        if let Some(build) = reachable.get(BUILD) {
            self.connection(config, build).await;
        }
        Ok(changed)
    }

    /// Whether the region has the services that are used here.
    async fn region(&mut self, config: &Config, account: &Account) {
        let watch = Stopwatch::start();
        let name = format!("region-{}", account.name);
        if account.loopback {
            let found = format!("not looked at: the local cloud stands for {}", config.region);
            self.note_as(&name, watch, Mode::Simulated, Ok(found));
            return;
        }
        let presence = region::presence(account, endpoint::suffix(&config.region)).await;
        self.note(&name, watch, services(&config.region, &presence));
    }

    /// Whether an alarm would stop a deployment of the stack at once.
    async fn alarms(&mut self, account: &Account, instance: &Instance, stack: &str) {
        let watch = Stopwatch::start();
        let found = match rollouts::raised(account, stack).await {
            Ok(raised) if raised.is_empty() => Ok("none is in ALARM".to_owned()),
            Ok(raised) => Err(Fault::failed("deploy the stack", stack)
                .why(format!("in ALARM: {}; CodeDeploy stops a deployment at once", raised.join(", ")))
                .next("see why in CloudWatch; it clears a minute after the last bad one")),
            Err(error) => Err(from_error(&error)),
        };
        self.note(&format!("alarms-{}-{}", instance.account, instance.stack), watch, found);
    }

    /// The pipelines of a stack, and who hears of them.
    async fn pipelines(&mut self, account: &Account, stack: &str) {
        let watch = Stopwatch::start();
        let resources = match Stacks::new(account).resources(stack).await {
            Ok(resources) => resources,
            Err(error) => return self.note(&format!("pipeline-{stack}"), watch, Err(from_error(&error))),
        };
        let of = |kind: &str| {
            let found =
                resources.iter().filter(|(_, found)| found.resource_type == kind && !found.id.is_empty());
            found.map(|(logical, found)| (logical.clone(), found.id.clone())).collect::<Vec<_>>()
        };
        for (_, pipeline) in of("AWS::CodePipeline::Pipeline") {
            let (watch, name) = (Stopwatch::start(), format!("pipeline-{pipeline}"));
            if account.loopback {
                let why = "not looked at: a rehearsal's own runner stands for CodePipeline";
                self.note_as(&name, watch, Mode::Simulated, Ok(why.to_owned()));
                continue;
            }
            match pipelines::state(account, &pipeline).await {
                Ok(state) => {
                    let complaints = health::of_pipeline(&pipeline, &state.closed, &state.waiting);
                    self.judge(
                        &name,
                        watch,
                        "every stage is open, and nothing waits for a decision",
                        complaints,
                    );
                }
                Err(error) => self.note(&name, watch, Err(from_error(&error))),
            }
        }
        for (logical, topic) in of("AWS::SNS::Topic") {
            let (watch, name) = (Stopwatch::start(), format!("notices-{}", logical.to_lowercase()));
            match pipelines::subscribers(account, &topic).await {
                Ok(found) => {
                    let complaints =
                        health::of_topic(&topic, found.confirmed, found.pending).into_iter().collect();
                    let seen = format!("{} subscribers confirmed", found.confirmed);
                    self.judge(&name, watch, &seen, complaints);
                }
                Err(error) => self.note(&name, watch, Err(from_error(&error))),
            }
        }
    }

    /// The connection that the base stack made, or that is configured.
    async fn connection(&mut self, config: &Config, build: &Account) {
        let watch = Stopwatch::start();
        let arn = match &config.source.connection_arn {
            Some(arn) => Some(arn.clone()),
            None => {
                let base = Stacks::new(build).describe(&format!("{}-build-base", config.project)).await;
                let base = match base {
                    Ok(base) => base,
                    Err(error) => return self.note("connection", watch, Err(from_error(&error))),
                };
                base.and_then(|info| info.outputs.into_values().find(|value| is_connection(value)))
            }
        };
        let Some(arn) = arn else {
            self.note("connection", watch, Ok("not made yet; cargo xtask bootstrap does".to_owned()));
            return;
        };
        let found = match connections::standing(build, &arn).await {
            Ok(Standing::Available) => Ok("AVAILABLE".to_owned()),
            Ok(Standing::Pending) => Err(Fault::new(Kind::Stuck, "use the connection", arn.as_str())
                .why("it is PENDING until a person finishes it")
                .next(format!("finish it at {}", console_link(&arn)))),
            Ok(Standing::Other) => Err(Fault::failed("use the connection", arn.as_str())
                .why("it is in error")
                .next(format!("fix it at {}", console_link(&arn)))),
            Err(error) => Err(from_error(&error)),
        };
        self.note("connection", watch, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_aws::region::Presence;

    #[test]
    fn what_a_region_lacks_is_named() {
        let whole = Presence { answered: vec!["codedeploy"], resolved: vec!["lambda"], missing: Vec::new() };
        assert!(services("eu-central-1", &whole).unwrap().contains("lambda"));
        let lacks = Presence { missing: vec!["codepipeline", "codebuild"], ..whole };
        let fault = services("xx-small-1", &lacks).unwrap_err();
        assert!(fault.why.contains("codepipeline, codebuild") && fault.on == "xx-small-1", "{fault}");
    }

    #[test]
    fn a_region_that_is_not_there_is_named() {
        let fault = Fault::failed("find out whose credentials these are", "dev")
            .why("dispatch failure: dns error: failed to lookup");
        assert!(unreachable_region(fault, "eu-nowhere-9").next.contains("eu-nowhere-9"));
    }

    #[test]
    fn a_finding_is_one_row_and_what_is_wrong_has_its_mend() {
        let rows: Vec<String> = [
            ("python", Ok("Python 3.13.1".to_owned())),
            (
                "account-dev",
                Err(Fault::new(Kind::Credentials, "use the account", "dev")
                    .why("causeway-dev leads to 333333333333; cfn/stacks.toml says 222222222222")
                    .next("correct the profile (--profile-prefix, cfn/stacks.local.toml) or the id")),
            ),
            ("disk", Err(Fault::failed("find room", "target").why("2 GB are free, 8 are wanted"))),
        ]
        .into_iter()
        .map(|(name, found)| {
            Finding { name: name.to_owned(), found, severity: Severity::Error }.line(Mode::Executed, 0.3)
        })
        .filter_map(|line| causeway_command::term::plain(&line))
        .collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        ✓ doctor/python                      executed     0.3 s  Python 3.13.1
        ✗ doctor/account-dev                 executed     0.3 s  could not use the account: dev: causeway-dev leads to 333333333333; cfn/stacks.toml says 222222222222
            fix: correct the profile (--profile-prefix, cfn/stacks.local.toml) or the id
        ✗ doctor/disk                        executed     0.3 s  could not find room: target: 2 GB are free, 8 are wanted
        ");
    }
}
