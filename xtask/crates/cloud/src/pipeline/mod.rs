//! The pipeline runner: stages and actions as the *deployed* template has them, with artifacts in the real bucket under
//! the real key, sessions of the real roles, output variables, approval and failure notice.
//!
//! It stands in for CodePipeline and CodeBuild, which no emulator runs without Docker. It is a client of AWS like any
//! other, so it uses `aws`; that is the one exception to the rule that rooms do not import each other.

mod approval;
mod checkout;
mod codebuild;
mod definition;
mod deploy;
mod follow;
mod heard;
mod notices;
mod source;
mod swap;
mod without_cargo;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_aws::artifacts::Bucket;
use causeway_aws::{Account, Accounts, assume_role};
use causeway_machine::clock::Stopwatch;
use causeway_model::changeset::Change;
use causeway_model::config::{BUILD, Config};
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::judgement::Judgements;
use causeway_model::line::{Emit, Line, Mode, Status, Step, tenths};
use causeway_model::pipeline::{Action, Variables};
use causeway_model::watch::Watched;

use super::control::Control;
use causeway_machine::paths::Paths;
use definition::Definition;
pub use swap::Swap;

/// Unpacks a source artifact.
pub fn unpack(dir: &std::path::Path, zip: &[u8]) -> anyhow::Result<()> {
    checkout::sync(dir, zip).map(|_| ())
}

/// Decides about an approval, given what would change in prod.
pub type Decide = Arc<dyn Fn(&[Change]) -> Deciding + Send + Sync>;

/// A decision that may take a person's time.
pub type Deciding = Pin<Box<dyn Future<Output = Result<Decision, Fault>> + Send>>;

/// What became of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    yes: bool,
    said: &'static str,
}

impl Decision {
    /// Approved; `said` is how.
    pub fn approved(said: &'static str) -> Self {
        Self { yes: true, said }
    }

    /// Rejected.
    pub fn rejected() -> Self {
        Self { yes: false, said: "rejected" }
    }

    /// As one that is made already.
    pub fn made(self) -> Deciding {
        Box::pin(async move { Ok(self) })
    }
}

/// What is released and how.
#[derive(Clone)]
pub struct Order {
    /// The commit's files as a zip.
    pub source: Arc<Vec<u8>>,
    /// The commit's id; a word where there is none.
    pub commit: String,
    /// How many files of the zip differ from that commit.
    pub uncommitted: usize,
    /// Variables for every build besides those of the template.
    pub build_environment: BTreeMap<String, String>,
    /// Variables for single projects, over those of the template, by the project's role: `build` or `test`.
    pub test_environment: BTreeMap<String, String>,
    /// Decides about approvals.
    pub decide: Decide,
    /// Takes the lines that tell how far a build is; everything else that it prints is in its log.
    pub show: Arc<dyn Fn(&str) + Send + Sync>,
    /// What is done to a package once the release is approved.
    pub swap: Option<Swap>,
    /// The version route of each function that is asked while its traffic shifts.
    pub probes: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ended {
    /// Every action succeeded.
    Released,
    /// Every action succeeded, and this machine was too busy to judge what was released.
    Unjudged(Fault),
    /// The approval was refused.
    Rejected,
    /// An action failed; kind [`Kind::RolledBack`] where a deployment was taken back.
    Failed(Fault),
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

/// A change set that waits for its execution.
#[derive(Debug, Clone, Default)]
struct Pending {
    changes: Vec<Change>,
    /// The account's name.
    account: String,
    stack: String,
}

/// One run of the pipeline.
struct Run {
    world: World,
    order: Order,
    definition: Definition,
    execution: String,
    /// The pipeline role's session.
    session: Account,
    emit: Emit,
    variables: Mutex<Variables>,
    /// Keys of artifacts by name.
    artifacts: Mutex<BTreeMap<String, String>>,
    /// What the approval will show: the last change set that was made.
    pending: Mutex<Pending>,
    /// What was seen of each environment while it was deployed.
    watched: Mutex<BTreeMap<String, Watched>>,
    /// What the alarms of its deployments said.
    judged: Mutex<Judgements>,
}

/// A run that is over.
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What was seen of each environment that shifted.
    pub watched: BTreeMap<String, Watched>,
    /// What the alarms of its deployments said.
    pub judged: Judgements,
}

/// Runs the deployed pipeline once.
///
/// # Errors
/// The pipeline is not there or cannot be read. An action that fails is no error but an [`Ended::Failed`].
pub async fn run(world: World, order: Order, emit: Emit) -> anyhow::Result<Ran> {
    let build = world.accounts.get(BUILD)?.clone();
    let definition = Definition::read(&world.config, &build).await?;
    let keys = assume_role(&build, &definition.pipeline.role_arn, "pipeline").await?;
    let session = build.with_keys("build", &build.id, &keys);
    let execution = uuid::Uuid::new_v4().to_string();
    let mut variables = Variables::default();
    variables.set("codepipeline", "PipelineExecutionId", execution.clone());
    let run = Arc::new(Run {
        world,
        order,
        definition,
        execution,
        session,
        emit,
        variables: Mutex::new(variables),
        artifacts: Mutex::default(),
        pending: Mutex::default(),
        watched: Mutex::default(),
        judged: Mutex::default(),
    });
    let ended = Arc::clone(&run).stages().await;
    let watched = std::mem::take(&mut *run.watched.lock().unwrap_or_else(PoisonError::into_inner));
    let judged = std::mem::take(&mut *run.judged());
    let ended = match (ended, judged.unjudged()) {
        (Ended::Released, Some(fault)) => Ended::Unjudged(fault),
        (ended, _) => ended,
    };
    Ok(Ran { ended, watched, judged })
}

impl Run {
    fn judged(&self) -> MutexGuard<'_, Judgements> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn stages(self: Arc<Self>) -> Ended {
        let stages = self.definition.pipeline.stages.clone();
        let mut ended = Ended::Released;
        let mut cause = String::new();
        for stage in &stages {
            for group in stage.groups() {
                if !matches!(ended, Ended::Released) {
                    for action in group {
                        self.step(
                            &stage.name,
                            &action.name,
                            Status::NotRun,
                            Mode::Skipped,
                            None,
                            Some(format!("{cause} before it")),
                        );
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
        }
        if let Ended::Failed(_) | Ended::Rejected = ended {
            self.tell_failure().await;
        }
        ended
    }

    /// Runs one action; false where an approval was refused.
    async fn action(self: &Arc<Self>, stage: &str, action: &Action) -> Result<bool, Fault> {
        let mode = mode(action);
        let watch = Stopwatch::start();
        self.step(stage, &action.name, Status::Started, mode, None, None);
        let result = match (action.action_type_id.category.as_str(), action.action_type_id.provider.as_str())
        {
            ("Source", _) => self.source(action).await.map(|said| (true, said)),
            ("Build" | "Test", "CodeBuild") => self.codebuild(action).await.map(|said| (true, said)),
            ("Deploy", "CloudFormation") => self.deploy(stage, action).await.map(|said| (true, said)),
            ("Approval", "Manual") => self.approve(action).await,
            (_, provider) => Err(Fault::failed("run the action", action.name.as_str())
                .why(format!("the rehearsal does not know the provider {provider}"))
                .next("use CodeBuild, CloudFormation or a manual approval")
                .into()),
        };
        let seconds = Some(tenths(watch.seconds()));
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
                    fault.next = "mend the cause, and rehearse again".to_owned();
                }
                if matches!(fault.kind, Kind::Usage | Kind::Credentials) {
                    // What a build command or a role lacks is a failed release, not a mistake in this command's line.
                    fault.kind = Kind::Failed;
                }
                Err(fault)
            }
        }
    }

    fn step(
        &self,
        stage: &str,
        action: &str,
        status: Status,
        mode: Mode,
        seconds: Option<f64>,
        reason: Option<String>,
    ) {
        (self.emit)(Line::Step(Step {
            stage: stage.to_owned(),
            action: action.to_owned(),
            sub: None,
            function: None,
            status,
            mode,
            seconds,
            reason,
            checks: Vec::new(),
        }));
    }

    /// The bucket with the rights of a session.
    fn bucket(&self, account: &Account) -> Bucket {
        let store = &self.definition.pipeline.artifact_store;
        Bucket::new(account, &store.location, &store.encryption_key.id)
    }

    /// A fresh key for an artifact, as CodePipeline makes them: both names cut, then something random.
    fn artifact_key(&self, name: &str) -> String {
        let cut = |text: &str, n: usize| text.chars().take(n).collect::<String>();
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("{}/{}/{}", cut(&self.definition.pipeline.name, 20), cut(name, 10), cut(&random, 7))
    }

    fn remember_artifact(&self, name: &str, key: String) {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), key);
    }

    fn artifact(&self, name: &str) -> anyhow::Result<String> {
        let found = self.artifacts.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        found.ok_or_else(|| Fault::failed("take the artifact", name).why("no earlier action gave it").into())
    }

    fn setting(&self, action: &Action, key: &str) -> anyhow::Result<Option<String>> {
        let variables = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        action.setting(key, &variables).map_err(|error| {
            Fault::failed("fill the variables of the action", action.name.as_str()).why(error).into()
        })
    }

    fn wanted(&self, action: &Action, key: &str) -> anyhow::Result<String> {
        self.setting(action, key)?.ok_or_else(|| {
            Fault::failed("read the action", action.name.as_str())
                .why(format!("it has no {key}"))
                .next("add it in cfn/pipeline.yaml")
                .into()
        })
    }

    fn set_variable(&self, namespace: &str, name: &str, value: impl Into<String>) {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner).set(namespace, name, value);
    }

    /// The session that an action is done with: its own role's, taken on by the pipeline's, or the pipeline's itself.
    async fn session_of(&self, action: &Action) -> anyhow::Result<Account> {
        let Some(role) = &action.role_arn else { return Ok(self.session.clone()) };
        let keys = assume_role(&self.session, role, &self.execution).await?;
        let id = role.split(':').nth(4).unwrap_or_default().to_owned();
        let name = self.world.config.account_named_by_id(&id).unwrap_or("other").to_owned();
        Ok(self.session.with_keys(&name, &id, &keys))
    }

    /// The folder of logs.
    fn log(&self, name: &str) -> PathBuf {
        self.world.paths.log(name)
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
