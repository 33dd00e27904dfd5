//! The pipeline runner: stages and actions as the *deployed* template has them, with artifacts in the real bucket under
//! the real key, sessions of the real roles, output variables, approval and failure notice.
//!
//! It runs in the resident process; commands are clients that start an execution and follow it (`client.rs`).
//!
//! It stands in for CodePipeline and CodeBuild, which no emulator runs without Docker. It is a client of AWS like any
//! other, so it uses `aws`; that is the one exception to the rule that rooms do not import each other.

mod acting;
mod approval;
mod build_environment;
mod build_run;
mod checkout;
mod client;
mod codebuild;
mod collect;
mod definition;
mod deploy;
pub mod execution;
mod follow;
mod gates;
mod heard;
mod invoke;
mod jobs;
pub mod journal;
mod notices;
mod omitted;
mod order;
mod pendings;
mod source;
mod stands;
mod swap;
mod walked;
mod without_cargo;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_aws::{Account, Accounts, assume_role};
use causeway_machine::clock::Stopwatch;
use causeway_model::config::{self, BUILD, Config};
use causeway_model::fault::{Fault, Kind, from_error, with_kind};
use causeway_model::judgement::{Judgements, NotRehearsed};
use causeway_model::line::{Emit, Line, Mode, Status, Step, tenths};
use causeway_model::pipeline::{Action, Variables};
use causeway_model::strain::Strain;
use causeway_model::watch::Watched;
use tokio::time::Instant;

use super::cloud::Cloud;
use super::control::Control;
use super::executions::{Active, Running};
use super::state::State;
use causeway_machine::paths::Paths;
use definition::Definition;
use execution::Change;
use gates::Gate;
pub(crate) use jobs::report as job_reported;
pub use order::{Approval, Order, Owner, caller_environment};
use pendings::Pendings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
pub use swap::Swap;

/// Unpacks a source artifact.
pub fn unpack(dir: &std::path::Path, zip: &[u8]) -> anyhow::Result<()> {
    checkout::sync(dir, zip).map(|_| ())
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it was approved.
    pub yes: bool,
    /// How.
    pub said: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// Every action succeeded.
    Released,
    /// Every action succeeded, and this machine was too busy to judge what was released.
    Unjudged(#[serde(with = "with_kind")] Fault),
    /// The approval was refused.
    Rejected,
    /// Every action succeeded, and a condition skipped a stage, which keeps what it has.
    Skipped(#[serde(with = "with_kind")] Fault),
    /// An action failed; kind [`Kind::RolledBack`] where a deployment was rolled back.
    Failed(#[serde(with = "with_kind")] Fault),
}

/// The world of a run.
#[derive(Clone)]
pub struct World {
    /// The configuration.
    pub config: Config,
    /// The accounts, as their roots: the runner acts as AWS's services do.
    pub accounts: Accounts,
    /// The front.
    pub control: Control,
    /// Where things are kept.
    pub paths: Paths,
    /// The variables that lead AWS clients to the local cloud, without any keys.
    pub client_environment: Vec<(String, String)>,
}

impl World {
    /// The world of a cloud, for its own pipeline.
    ///
    /// # Errors
    /// The order's configuration cannot be read; a certificate cannot.
    async fn of(order: &Order, paths: Paths, state: &State) -> anyhow::Result<Self> {
        let config = config::parse(&order.config).map_err(|error| {
            Fault::usage("read the configuration", format!("cfn/stacks.toml line {}", error.line))
                .why(&error.message)
                .next("fix that line; the comments of the file explain every field")
        })?;
        Ok(Self {
            accounts: state.world(&paths).accounts(&config).await?,
            control: Control::new(&paths, state)?,
            client_environment: client_environment(state, &paths),
            config,
            paths,
        })
    }
}

/// What leads AWS clients to the cloud, without a profile: builds have their role's keys.
fn client_environment(state: &State, paths: &Paths) -> Vec<(String, String)> {
    let kept =
        ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "AWS_EC2_METADATA_DISABLED"];
    let mut all: Vec<(String, String)> =
        state.environment(paths).into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect();
    // Files that are not there: no profile of the caller's gets in.
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        all.push((name.to_owned(), paths.local().join("no-such-file").display().to_string()));
    }
    all
}

/// One run of the pipeline.
struct Run {
    cloud: Arc<Cloud>,
    world: World,
    order: Order,
    definition: Definition,
    execution: String,
    /// The pipeline role's session.
    session: Account,
    /// Takes its state and everything it tells.
    active: Arc<Active>,
    emit: Emit,
    variables: Mutex<Variables>,
    /// Keys of artifacts by name.
    artifacts: Mutex<BTreeMap<String, String>>,
    /// What the approval will show.
    pending: Mutex<Pendings>,
    /// What its actions meant each stack to be.
    meant: Mutex<stands::All>,
    /// What is not rehearsed of the pipeline and its builds, and AWS goes on, too.
    told: Vec<(String, String)>,
    /// What was seen of each environment while it was deployed.
    watched: Mutex<BTreeMap<String, Watched>>,
    /// What the alarms of its deployments said.
    judged: Mutex<Judgements>,
    /// How busy this machine was at worst while something was deployed or tested.
    strained: Mutex<Strain>,
}

/// A run that is over.
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What was seen of each environment that shifted.
    pub watched: BTreeMap<String, Watched>,
    /// What the alarms of its deployments said.
    pub judged: Judgements,
    /// How busy this machine was at worst while something was deployed or tested.
    pub strained: Strain,
    /// What was not rehearsed of the pipeline and its builds.
    pub told: Vec<(String, String)>,
}

impl Ran {
    /// A run that did nothing.
    fn nothing(ended: Ended) -> Self {
        Self {
            ended,
            watched: BTreeMap::new(),
            judged: Judgements::default(),
            strained: Strain::default(),
            told: Vec::new(),
        }
    }

    /// What was seen, as the result of a rehearsal carries it.
    pub fn data(&self) -> Value {
        let told = self.told.iter().map(|(what, why)| NotRehearsed { what: what.clone(), why: why.clone() });
        let not_rehearsed: Vec<NotRehearsed> = self.judged.not_rehearsed().into_iter().chain(told).collect();
        json!({"watched": self.watched, "not_rehearsed": not_rehearsed, "machine": self.strained.data()})
    }
}

/// Carries an execution out in the resident process.
pub(crate) fn carry_out(cloud: &Arc<Cloud>, order: Order, active: Arc<Active>) -> Running {
    let cloud = Arc::clone(cloud);
    Box::pin(async move {
        let (paths, state) = (cloud.paths.clone(), cloud.state().clone());
        let world = World::of(&order, paths, &state).await?;
        run(cloud, world, order, active).await
    })
}

/// Runs the deployed pipeline once.
///
/// # Errors
/// The pipeline is not there or cannot be read. An action that fails is no error but an [`Ended::Failed`].
async fn run(cloud: Arc<Cloud>, world: World, order: Order, active: Arc<Active>) -> anyhow::Result<Ran> {
    let build = world.accounts.get(BUILD)?.clone();
    let emit = active.emitter();
    let source = Arc::clone(&order.source);
    let (definition, mut walked) =
        Definition::read(&world.config, &build, &walked::Source::of(&source)).await?;
    active.note(|execution| execution.reads(&definition.pipeline));
    walked.complaints.extend(walked::roles(&definition, &world.config, &world.control).await);
    if !walked.complaints.is_empty() {
        let fault = walked::fault_of("walk the pipeline", &walked.complaints);
        let reason = Some("the pipeline was refused before Source".to_owned());
        for stage in &definition.pipeline.stages {
            for action in stage.groups().into_iter().flatten() {
                let step = Step::whole(
                    &stage.name,
                    &action.name,
                    Status::NotRun,
                    Mode::Skipped,
                    None,
                    reason.clone(),
                );
                emit(Line::Step(step));
            }
        }
        return Ok(Ran::nothing(Ended::Failed(fault)));
    }
    if order.walks {
        return Ok(Ran::nothing(Ended::Released));
    }
    let keys = assume_role(&build, &definition.pipeline.role_arn, "pipeline").await?;
    let session = build.with_keys("build", &build.id, &keys);
    let execution = active.id().to_owned();
    let mut variables = Variables::default();
    variables.set("codepipeline", "PipelineExecutionId", execution.clone());
    for variable in &definition.pipeline.variables {
        variables.set("variables", &variable.name, variable.default_value.clone().unwrap_or_default());
    }
    let run = Arc::new(Run {
        cloud,
        world,
        order,
        definition,
        execution,
        session,
        told: walked.told,
        emit,
        active,
        variables: Mutex::new(variables),
        artifacts: Mutex::default(),
        pending: Mutex::default(),
        meant: Mutex::default(),
        watched: Mutex::default(),
        judged: Mutex::default(),
        strained: Mutex::default(),
    });
    let ended = match Arc::clone(&run).stages().await {
        Ended::Released => run.looked_at().await,
        // What was not skipped runs what was built, too.
        Ended::Skipped(fault) => match run.looked_at().await {
            Ended::Released => Ended::Skipped(fault),
            other => other,
        },
        ended => ended,
    };
    let watched = std::mem::take(&mut *run.watched.lock().unwrap_or_else(PoisonError::into_inner));
    let judged = std::mem::take(&mut *run.judged());
    let ended = match (ended, judged.unjudged()) {
        (Ended::Released, Some(fault)) => Ended::Unjudged(fault),
        (ended, _) => ended,
    };
    let mut told = run.told.clone();
    let seen = run.left_out().await;
    told.extend(seen.into_iter().map(|one| (one.what, one.why)));
    // Said of every stack that an action named, whether this run changed it or not.
    told.extend(run.meant().keys().flat_map(|key| run.cloud.edges.unserved(key)));
    let strained = *run.strained.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Ran { ended, watched, judged, strained, told })
}

impl Run {
    fn judged(&self) -> MutexGuard<'_, Judgements> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stages(self: Arc<Self>) -> Ended {
        let stages = self.definition.pipeline.stages.clone();
        let mut ended = Ended::Released;
        let mut cause = String::new();
        let mut skipped = None;
        for stage in &stages {
            let mut not_run = None;
            if matches!(ended, Ended::Released) {
                match self.before(stage).await {
                    Gate::Open => {}
                    Gate::Skip(why) => {
                        not_run = Some(format!("the stage is skipped: {why}"));
                        self.active.note(|execution| execution.skips(&stage.name));
                        skipped.get_or_insert((stage.name.clone(), why));
                    }
                    Gate::Shut(fault) => {
                        cause = fault.why.clone();
                        ended = Ended::Failed(fault);
                    }
                }
            }
            for group in stage.groups() {
                if !matches!(ended, Ended::Released) {
                    not_run = Some(if cause.ends_with("failed") || cause.ends_with("rejected") {
                        format!("{cause} before it")
                    } else {
                        cause.clone()
                    });
                }
                if let Some(reason) = &not_run {
                    for action in group {
                        let reason = Some(reason.clone());
                        self.step(&stage.name, &action.name, Status::NotRun, Mode::Skipped, None, reason);
                    }
                    continue;
                }
                let mut tasks = tokio::task::JoinSet::new();
                for action in group {
                    let (run, stage, action) = (Arc::clone(&self), stage.name.clone(), action.clone());
                    tasks.spawn(async move { (action.name.clone(), run.action(&stage, &action).await) });
                }
                while let Some(joined) = tasks.join_next().await {
                    let (name, result) = match joined {
                        Ok((name, result)) => (name, result),
                        Err(error) => (
                            String::new(),
                            Err(Fault::failed("run the action", stage.name.as_str()).why(error)),
                        ),
                    };
                    match result {
                        Ok(true) => {}
                        Ok(false) => {
                            ended = Ended::Rejected;
                            cause = "the release was rejected".to_owned();
                        }
                        Err(fault) => {
                            cause = format!("{}/{name} failed", stage.name);
                            ended = Ended::Failed(fault);
                            if let Some(message) = stage.left_out_on_failure() {
                                (self.emit)(Line::Warning { message });
                            }
                        }
                    }
                }
            }
            if matches!(ended, Ended::Released)
                && not_run.is_none()
                && let Gate::Shut(fault) = self.behind(stage).await
            {
                cause = fault.why.clone();
                ended = Ended::Failed(fault);
            }
        }
        // On AWS the execution succeeds, and nothing has failed; but what was to be released was not.
        if let (Ended::Released, Some((stage, why))) = (&ended, skipped) {
            return Ended::Skipped(
                Fault::failed("release to", stage)
                    .why(format!("the stage was skipped, and keeps what it has: {why}; on AWS the execution succeeds without it"))
                    .next("release when the condition holds, or change it"),
            );
        }
        if let Ended::Failed(_) | Ended::Rejected = ended {
            self.tell_failure().await;
        }
        ended
    }

    /// Runs one action; false where an approval was refused.
    async fn action(self: &Arc<Self>, stage: &str, action: &Action) -> Result<bool, Fault> {
        let mode = mode(action);
        let (watch, begin) = (Stopwatch::start(), Instant::now());
        self.active.act(stage, &action.name, Change::Began(uuid::Uuid::new_v4().to_string()));
        if let Err(error) = self.prepared(action) {
            // Its work never began.
            let mut fault = from_error(&error);
            let reason = fault.to_string();
            self.active.act(stage, &action.name, Change::Failed(reason.clone()));
            self.step(stage, &action.name, Status::NotRun, Mode::Skipped, None, Some(reason));
            let line = self.definition.line_of(stage, &action.name, &[]);
            fault.on =
                format!("{} line {line}: {stage}/{}: {}", self.definition.file(), action.name, fault.on);
            return Err(fault);
        }
        self.step(stage, &action.name, Status::Started, mode, None, None);
        let result = match (action.action_type_id.category.as_str(), action.action_type_id.provider.as_str())
        {
            ("Source", _) => self.source(action).await.map(|said| (true, said)),
            ("Build" | "Test", "CodeBuild") => self.codebuild(action).await.map(|said| (true, said)),
            ("Deploy", "CloudFormation") => self.deploy(stage, action).await.map(|said| (true, said)),
            ("Deploy", "S3") => self.deploy_to_s3(action).await.map(|said| (true, said)),
            ("Invoke", "Lambda") => self.invoke(action).await.map(|said| (true, said)),
            ("Approval", "Manual") => self.approve(stage, action).await,
            (_, provider) => Err(Fault::failed("run the action", action.name.as_str())
                .why(format!("the rehearsal does not know the provider {provider}"))
                .next("use CodeBuild, CloudFormation or a manual approval")
                .into()),
        };
        let seconds = Some(tenths(watch.seconds()));
        // A build waits for a processor in any case: it brings more work than there are processors.
        let is_build = action.action_type_id.category == "Build";
        let result = match result {
            Err(error) => Err(self.explained(error, begin, is_build).await),
            result => result,
        };
        if !is_build {
            let mut strained = self.strained.lock().unwrap_or_else(PoisonError::into_inner);
            *strained = strained.worse(self.cloud.strains.since(begin));
        }
        let change = match &result {
            Ok((true, said)) => Change::Succeeded(said.clone()),
            Ok((false, said)) => Change::Failed(said.clone().unwrap_or_default()),
            Err(error) => Change::Failed(from_error(error).to_string()),
        };
        self.active.act(stage, &action.name, change);
        match result {
            Ok((true, said)) => {
                self.step(stage, &action.name, Status::Succeeded, mode, seconds, said);
                Ok(true)
            }
            Ok((false, said)) => {
                self.step(stage, &action.name, Status::Failed, mode, seconds, said);
                Ok(false)
            }
            Err(error) => {
                let mut fault = from_error(&error);
                let mut reason = fault.to_string();
                if action.action_type_id.provider == "CodeBuild" {
                    // The first of the build's own rows names what failed. All of them come once, with the result.
                    let rows = reason.lines().map(str::trim).filter(|row| !row.is_empty()).take(2);
                    reason = rows.collect::<Vec<_>>().join(": ");
                }
                self.step(stage, &action.name, Status::Failed, mode, seconds, Some(reason));
                fault.on = format!("{stage}/{}: {}", action.name, fault.on);
                if fault.next.is_empty() {
                    fault.next = "fix the cause, and rehearse again".to_owned();
                }
                if matches!(fault.kind, Kind::Usage | Kind::Credentials) {
                    // What a build command or a role lacks is a failed release, not a mistake in this command's line.
                    fault.kind = Kind::Failed;
                }
                Err(fault)
            }
        }
    }
}

/// What stands behind an action.
fn mode(action: &Action) -> Mode {
    match action.action_type_id.category.as_str() {
        // The connection to a source provider and the person who approves are ours.
        "Source" | "Approval" => Mode::Simulated,
        _ => Mode::Executed,
    }
}
