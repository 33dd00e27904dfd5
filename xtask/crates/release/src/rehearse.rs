//! `rehearse`: the whole release on one machine, with no AWS account and no Docker.
//!
//! It never reaches AWS: its clients are made for the local cloud's endpoint alone, and what it starts sees nothing of
//! the caller's AWS environment.

mod client;
mod environment;
mod hold;
mod settle;
mod sources;
mod told;

pub(super) use told::version_routes;
use told::{about, setup, step};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use causeway_args::rehearse::{Approve, Args, Swap as Swapped};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::bootstrap;
use super::package::app_stack;
use causeway_aws::Accounts;
use causeway_aws::cloudformation::Stacks;
use causeway_aws::rollouts;
use causeway_build::{broken, cargo, git};
use causeway_cloud::control::Control;
use causeway_cloud::pipeline::{self, Approval, Decision, Ended, Order, Owner, Swap};
use causeway_cloud::resident::{self, Found, Keep};
use causeway_cloud::state::State;
use causeway_command::{Baseline, Context, Outcome};
use causeway_machine::clock::Stopwatch;
use causeway_machine::paths::Paths;
use causeway_model::changeset::Change;
use causeway_model::config::Config;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::functions;
use causeway_model::judgement::too_busy;
use causeway_model::line::{Emit, Line, Mode, Status, Step, tenths};
use causeway_model::quoted::quoted;
use causeway_model::verdict::Verdict;
use causeway_watch::api_client::ApiClient;
use client::{Ask, Client};
use hold::Patience;
use sources::Sources;

/// Runs `rehearse`.
///
/// # Errors
/// The local cloud does not start, or the stacks cannot be deployed. A release that fails is no error but a verdict.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    causeway_command::report::begin(&args.report, &context)?;
    let paths = Paths::of(&context.root);
    // A checkout that git does not answer about is released by nobody.
    let commit = git::look(&context.root).await?.0.commit();
    let commit = commit.unwrap_or_else(|| "the working tree".to_owned());
    let patience = Patience::of(args.wait, context.out.is_interactive());
    let _held = hold::hold(&paths, &commit, patience, &|text| context.out.note(text)).await?;
    let watch = Stopwatch::start();
    setup(&context, "LocalCloud", Status::Started, None, None);
    let say = |text: &str| context.out.note(text);
    let found = resident::up(&config, &paths, &context.root, args.minute, Keep::No, &say).await.inspect_err(
        |error| {
            setup(
                &context,
                "LocalCloud",
                Status::Failed,
                Some(watch.seconds()),
                Some(from_error(error).to_string()),
            );
        },
    )?;
    let note = if found.is_new { "started" } else { "the one that runs already" };
    setup(&context, "LocalCloud", Status::Succeeded, Some(watch.seconds()), Some(note.to_owned()));
    let watch = Stopwatch::start();
    let result = match rehearse(&context, &args, &config, &paths, &found).await {
        Ok(outcome) => {
            told::noted(&context.root, outcome.verdict, outcome.commit.as_deref());
            Ok(outcome)
        }
        Err(error) => Err(explained(error, watch.seconds().min(LOOKED_BACK), &paths, &found).await),
    };
    // A cloud that ended under us left behind what it could not end, or is about to.
    let is_lost = State::read(&paths).is_none();
    // As where anything else is interrupted: what was not asked to stay yet does not.
    let interrupted = matches!(&result, Err(error) if from_error(error).kind == Kind::Interrupted);
    let ended = end(&context, args.keep && !interrupted, &paths, found);
    context.planned.take_back_before(&context.out, ended).await;
    if is_lost {
        resident::down(&paths).await?;
    }
    result
}

/// A failure as it is, or as what it is where time alone is its cause and this machine had none. The pipeline's own failures are
/// no errors here, and looked at there.
async fn explained(error: anyhow::Error, seconds: f64, paths: &Paths, found: &Found) -> anyhow::Error {
    let fault = from_error(&error);
    let Ok(control) = Control::new(paths, found.state()) else { return error };
    match control.explains(seconds, &format!("{error:#}")).await {
        Ok(Some(why)) if fault.kind == Kind::Failed => {
            too_busy(&fault.what, fault.on, format!("{why}; what came of it: {}", fault.why)).into()
        }
        _ => error,
    }
}

/// Leaves the cloud up or ends it.
async fn end(context: &Context, keep: bool, paths: &Paths, found: Found) {
    if !keep {
        found.release().await;
        return;
    }
    found.keep().await;
    if let Some(state) = State::read(paths) {
        context.out.say("\nthe local cloud stays up; these lines point any AWS client at it:\n");
        for (name, value) in state.environment(paths) {
            context.out.say(format!("export {name}={}", quoted(&value)));
        }
        context.out.say("\ncargo xtask local down ends it\n");
    }
}

async fn rehearse(
    context: &Context,
    args: &Args,
    config: &Config,
    paths: &Paths,
    found: &Found,
) -> anyhow::Result<Outcome> {
    let accounts = found.state().world(paths).accounts(config).await?;
    let control = Control::new(paths, found.state())?;
    // Before anything of what runs there is changed, its time, too.
    control.executions_free().await?;
    control.set_minute(args.minute).await?;

    let watch = Stopwatch::start();
    setup(context, "Bootstrap", Status::Started, None, None);
    let quiet = context.answering_yes();
    let deployed =
        bootstrap::deploy(&quiet, config, &accounts, &bootstrap::Args::act()).await.inspect_err(|error| {
            setup(
                context,
                "Bootstrap",
                Status::Failed,
                Some(watch.seconds()),
                Some(from_error(error).to_string()),
            );
        })?;
    let note = if deployed.changed.is_empty() {
        "nothing to change".to_owned()
    } else {
        format!("{} stacks", deployed.changed.len())
    };
    setup(context, "Bootstrap", Status::Succeeded, Some(watch.seconds()), Some(note));

    let sources = Sources::of(context).await?;
    let (head, dirty) = (sources.head, sources.uncommitted);
    let routes = version_routes(context, config)?;
    let units = tempfile::NamedTempFile::new().context("make a file for what is compiled")?;
    let rehearsal = Rehearsal {
        units: units.path().to_path_buf(),
        client: Client { context: context.clone(), control, paths: paths.clone(), pid: found.state().pid },
        config: config.clone(),
        stacks: std::fs::read_to_string(context.root.join("cfn/stacks.toml"))
            .context("read cfn/stacks.toml")?,
        context: context.clone(),
        args: args.clone(),
        head: head.clone(),
        source: Arc::new(sources.zip),
        uncommitted: dirty,
        about: about(git::subject(&context.root).await, dirty),
        revision: git::revision(&context.root).await,
        probes: routes.clone(),
    };
    let host = cargo::setting(&context.root, "host", PROFILE).await?.target;
    context.out.note(format!(
        "  functions are built for this machine ({host}, profile {PROFILE}), since it runs them; a release is for arm64"
    ));
    rehearsal.walk().await?;
    settle::app_stacks(context, config, &accounts).await?;
    rehearsal.baseline(&accounts).await?;
    rehearsal.refuse_first_create(&accounts).await?;
    rehearsal.wait_for_alarms(&accounts).await?;
    let approval = Arc::new(Mutex::new(None));
    let emit = told::noting_approval(rehearsal.emitter(), Arc::clone(&approval));
    let (ended, seen) = rehearsal.client.run(&rehearsal.order()?, &emit, &rehearsal.ask()).await?;
    let mut outcome = told::outcome(ended);
    outcome.commit = head;
    outcome.data = told::found_out(&routes, paths).await;
    for (name, value) in seen.as_object().into_iter().flatten() {
        outcome.data[name] = value.clone();
    }
    for (name, value) in told::machine().as_object().into_iter().flatten() {
        outcome.data["machine"][name] = value.clone();
    }
    outcome.data["target"] = json!(host);
    outcome.data["compiled"] = told::compiled(context, units.path())?.data();
    outcome.data["working_tree"] = json!(dirty > 0 || outcome.commit.is_none());
    told::summed_up(&mut outcome, &approval, args, config);
    Ok(outcome)
}

/// One rehearsal.
struct Rehearsal {
    /// The file to which its builds add what they compile.
    units: PathBuf,
    client: Client,
    config: Config,
    /// The same as text.
    stacks: String,
    context: Context,
    args: Args,
    head: Option<String>,
    source: Arc<Vec<u8>>,
    /// How many of its files differ from the commit.
    uncommitted: usize,
    /// The commit, for a person.
    about: String,
    /// What a source action says of it.
    revision: BTreeMap<String, String>,
    /// The version route of each function.
    probes: BTreeMap<String, String>,
}

impl Rehearsal {
    /// Prints the pipeline's lines. Who is asked to approve sees prod's changes with the question, and not before, too.
    fn emitter(&self) -> Emit {
        let out = self.context.out.clone();
        let asks = self.args.approve == Approve::Ask && out.is_interactive();
        Arc::new(move |line| match line {
            Line::Plan { .. } if asks => out.unshown(&line),
            _ => out.line(&line),
        })
    }

    /// Asks whether the release is approved.
    fn ask(&self) -> Ask {
        let out = self.context.out.clone();
        let about = self.about.clone();
        Box::new(move |changes: &[Change]| {
            if !out.is_interactive() {
                let said = "approved (no terminal to ask in)".to_owned();
                return Box::pin(std::future::ready(Ok(Decision { yes: true, said })));
            }
            out.rest();
            out.approval(&about, changes);
            let out = out.clone();
            Box::pin(async move {
                let yes = out.confirm("Approve this release to prod?").await?;
                let said = format!("{} by {}", if yes { "approved" } else { "rejected" }, client::user());
                Ok(Decision { yes, said })
            })
        })
    }

    /// The release of the commit.
    fn order(&self) -> anyhow::Result<Order> {
        let mut test_environment = environment::common(&self.context);
        if self.args.fail_test {
            // No special case in the tests: the version that answers is simply not the one that is expected.
            test_environment.insert("EXPECTED_VERSION".to_owned(), "--fail-test".to_owned());
        }
        let mut build_environment = environment::of_builds(&self.context, &self.units)?;
        if let Some(how) = &self.args.break_prod {
            build_environment.insert(broken::VARIABLE.to_owned(), how.clone());
        }
        Ok(Order {
            config: self.stacks.clone(),
            source: Arc::clone(&self.source),
            caller_environment: pipeline::caller_environment(),
            owner: Owner::this(),
            commit: self.head.clone().unwrap_or_else(|| "working-tree".to_owned()),
            revision: self.revision.clone(),
            walks: false,
            gates_open: false,
            uncommitted: if self.head.is_some() { self.uncommitted } else { 0 },
            build_environment,
            test_environment,
            approval: match self.args.approve {
                Approve::Ask => Approval::Ask,
                Approve::Auto => Approval::Approved,
                Approve::Reject => Approval::Rejected,
            },
            swap: self.args.swap_package.map(|how| match how {
                Swapped::Deleted => Swap::Deleted,
                Swapped::Beside => Swap::Beside,
            }),
            probes: self.probes.clone(),
        })
    }

    /// Everything that is wrong with the pipeline and its buildspecs is said before anything is built.
    async fn walk(&self) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let mut order = self.order()?;
        order.walks = true;
        match self.client.run(&order, &self.emitter(), &self.ask()).await?.0 {
            Ended::Failed(fault) => {
                let reason = fault.to_string();
                setup(&self.context, "Pipeline", Status::Failed, Some(watch.seconds()), Some(reason));
                Err(fault.into())
            }
            _ => Ok(()),
        }
    }

    /// On an empty cloud, an earlier release through the same path, so that the commit meets hooks and the full shift:
    /// on AWS the first create of a stack runs neither.
    async fn baseline(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let skip = |reason: &str| {
            let reason = Some(reason.to_owned());
            self.context.out.line(&step(
                "Baseline",
                Status::Succeeded,
                Mode::Skipped,
                Some(tenths(watch.seconds())),
                reason,
            ));
        };
        if self.args.no_baseline {
            skip("--no-baseline: this is the true first day, without hooks and shift");
            return Ok(());
        }
        let mut missing = false;
        for target in self.config.targets() {
            let stack = self.config.names().app_stack(target);
            missing |= Stacks::new(accounts.get(target)?).describe(&stack).await?.is_none();
        }
        if !missing {
            skip("an earlier release is there");
            return Ok(());
        }
        setup(&self.context, "Baseline", Status::Started, None, None);
        let mut order = self.order()?;
        order.approval = Approval::Approved;
        // It stands for a release that came through them.
        order.gates_open = true;
        order.probes.clear();
        order.swap = None;
        order.test_environment = environment::common(&self.context);
        order.build_environment = environment::of_builds(&self.context, &self.units)?;
        // Only what a reader should know of it gets through.
        let out = self.context.out.clone();
        let emit: Emit = Arc::new(move |line| {
            if let Line::Warning { .. } = line {
                out.line(&line);
            }
        });
        let mut ways = Vec::new();
        let parent = self.parent().await.unwrap_or_else(|error| {
            let message = format!("the parent commit is not released first: {error:#}");
            self.context.out.line(&Line::Warning { message });
            None
        });
        if let Some((commit, source)) = parent {
            let note = format!("the parent commit {}", commit.chars().take(12).collect::<String>());
            ways.push((Baseline::Parent, commit, source, note));
        }
        let note = "the same source with the version `baseline`".to_owned();
        ways.push((Baseline::Same, order.commit.clone(), Arc::clone(&order.source), note));
        let mut fault = Fault::failed("release the baseline", "");
        for (way, commit, source, note) in ways {
            let mut order = order.clone();
            for environment in [&mut order.build_environment, &mut order.test_environment] {
                environment.insert(Baseline::VARIABLE.to_owned(), way.word().to_owned());
            }
            if way == Baseline::Parent {
                order.uncommitted = 0;
                // Its tool may be another, and compiling that takes minutes: this one builds it as well.
                if let Some(of) = order.build_environment.get_mut(causeway_digest::TOOL_DIGEST) {
                    causeway_digest::ANY.clone_into(of);
                }
            }
            (order.commit, order.source) = (commit, source);
            fault = match self.client.run(&order, &emit, &self.ask()).await?.0 {
                // It stands for a release that was judged before.
                Ended::Released | Ended::Unjudged(_) => {
                    setup(&self.context, "Baseline", Status::Succeeded, Some(watch.seconds()), Some(note));
                    return Ok(());
                }
                Ended::Rejected => Fault::failed("release the baseline", note),
                Ended::Failed(fault) | Ended::Skipped(fault) => fault,
            };
            // A parent that does not build is no reason not to rehearse its child, which may be what fixes it.
            if way == Baseline::Parent && fault.on.starts_with("Build/") {
                let message = "the parent commit does not build; the baseline is the same source".to_owned();
                self.context.out.line(&Line::Warning { message });
                continue;
            }
            break;
        }
        setup(&self.context, "Baseline", Status::Failed, Some(watch.seconds()), Some(fault.to_string()));
        Err(fault.into())
    }

    /// A stack's first create runs no hooks and shifts nothing, so what fails in prod would simply be released.
    async fn refuse_first_create(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let Some(flag) = self
            .args
            .break_prod
            .as_ref()
            .map(|_| "--break-prod")
            .or(self.args.swap_package.map(|_| "--swap-package"))
        else {
            return Ok(());
        };
        let stack = self.config.names().app_stack(PROD);
        if Stacks::new(accounts.get(PROD)?).describe(&stack).await?.is_some() {
            return Ok(());
        }
        Err(Fault::usage(format!("rehearse with {flag}"), stack)
            .why("there is no such stack yet, and its first create has no hooks and no shift")
            .next(format!("rehearse without {flag} first"))
            .into())
    }

    /// Waits until no alarm would stop the deployment at once, as one does that an earlier rehearsal raised.
    async fn wait_for_alarms(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        let limit = self.args.minute * ALARM_MINUTES + ALARM_GRACE;
        for env in self.config.targets() {
            let stack = self.config.names().app_stack(env);
            let mut said = Vec::new();
            loop {
                let raised = rollouts::raised(accounts.get(env)?, &stack).await?;
                if raised.is_empty() {
                    break;
                }
                if said != raised {
                    let message = format!(
                        "in ALARM in {env}: {}; it would stop the deployment at once, so the release waits until it clears",
                        raised.join(", ")
                    );
                    self.context.out.line(&Line::Warning { message });
                    said.clone_from(&raised);
                }
                if watch.elapsed() > limit {
                    return Err(Fault::new(Kind::Stuck, "release to", env)
                        .why(format!("{} stay in ALARM", raised.join(", ")))
                        .next("see why: eval \"$(cargo xtask local env)\" points your AWS client there")
                        .into());
                }
                sleep(ALARM_PACE).await;
            }
            if !said.is_empty() {
                let message = format!("{} cleared in {env}; the release goes on", said.join(", "));
                self.context.out.line(&Line::Warning { message });
            }
        }
        Ok(())
    }

    /// The parent commit and its files, where its release would differ from this one's.
    async fn parent(&self) -> anyhow::Result<Option<(String, Arc<Vec<u8>>)>> {
        let Some(parent) = git::commit(&self.context.root, "HEAD^").await else { return Ok(None) };
        let source = git::archive(&self.context.root, &parent).await?;
        let dir = tempfile::tempdir().context("make a folder for the parent commit")?;
        let (before, after) = (dir.path().join("before"), dir.path().join("after"));
        pipeline::unpack(&before, &source).and_then(|()| pipeline::unpack(&after, &self.source))?;
        let versions = |root: std::path::PathBuf| async move {
            let setting = cargo::setting(&root, "host", PROFILE).await?;
            super::package::versions_of(&root, &setting).await
        };
        let (before, after) = tokio::join!(versions(before), versions(after));
        Ok((before? != after?).then(|| (parent, Arc::new(source))))
    }
}

/// How far back it is looked whether this machine explains a failure, in seconds: as long as one call may take. What was built
/// before kept every processor busy by itself.
const LOOKED_BACK: f64 = 120.0;

/// The account in which a version on purpose misbehaves.
const PROD: &str = "prod";

/// How many minutes of AWS an alarm may take to clear: its period, and some.
const ALARM_MINUTES: u32 = 10;
/// And how much longer on the wall's clock, for the engine itself.
const ALARM_GRACE: Duration = Duration::from_secs(10);
/// How often alarms are looked at.
const ALARM_PACE: Duration = Duration::from_millis(300);

/// The cargo profile of a rehearsal: quick to build.
const PROFILE: &str = "rehearse";
