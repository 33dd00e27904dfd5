//! Executions of the pipeline in the resident process: one at a time, each with its state and everything it tells.
//!
//! An execution belongs to the process that its order names, and is stopped with that process's end. What it is made of
//! stays in memory.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::cloud::Cloud;
use super::pipeline::execution::{Change as Acted, Execution, ExecutionStatus};
use super::pipeline::journal::{Conclusion, Journal, What};
use super::pipeline::{self, Decision, Ended, Order, Owner, Ran};
use causeway_machine::{clock, process};
use causeway_model::changeset::Change;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::line::{Emit, Line};

/// How many executions are remembered.
const REMEMBERED: usize = 20;

/// How often it is looked whether the owner of an execution is still there.
const OWNER_PACE: Duration = Duration::from_millis(300);

/// An execution at work.
pub type Running = Pin<Box<dyn Future<Output = anyhow::Result<Ran>> + Send>>;

/// What carries an execution out: the pipeline runner, or a test's own.
type Runner = Box<dyn Fn(&Arc<Cloud>, Order, Arc<Active>) -> Running + Send + Sync>;

/// One execution: what carries it out tells it what happens.
pub struct Active {
    id: String,
    owner: Option<Owner>,
    commit: String,
    /// What it tells.
    pub journal: Journal,
    execution: Mutex<Execution>,
    question: Mutex<Option<Question>>,
    /// Why it shall stop.
    stop: watch::Sender<Option<String>>,
}

/// An approval that is waited for.
struct Question {
    token: String,
    stage: String,
    action: String,
    tell: oneshot::Sender<Decision>,
}

/// An answer to an approval.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// The question's.
    pub token: String,
    /// Whether it is approved.
    pub approved: bool,
    /// Why, or how.
    pub summary: String,
    /// Who says so.
    pub by: String,
}

fn now() -> f64 {
    let millis = clock::now().as_millisecond();
    // Exact until the year 287396.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let seconds = millis as f64 / 1000.0;
    seconds
}

impl Active {
    /// One that begins now.
    pub fn new(order: &Order) -> Self {
        let id = uuid::Uuid::new_v4().to_string();
        let by = order.owner.map_or_else(|| "nobody".to_owned(), |owner| format!("process {}", owner.pid));
        Self {
            execution: Mutex::new(Execution::new(&id, by, now())),
            id,
            owner: order.owner,
            commit: order.commit.clone(),
            journal: Journal::default(),
            question: Mutex::default(),
            stop: watch::Sender::new(None),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn execution(&self) -> MutexGuard<'_, Execution> {
        self.execution.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn state(&self) -> Execution {
        self.execution().clone()
    }

    /// Changes how it stands.
    pub fn note(&self, change: impl FnOnce(&mut Execution)) {
        change(&mut self.execution());
    }

    /// Something happens to an action.
    pub fn act(&self, stage: &str, action: &str, change: Acted) {
        if !self.execution().act(stage, action, change.clone(), now()) {
            tracing::warn!(stage, action, "a change that cannot be: {change:?}");
        }
    }

    /// Takes its lines.
    pub fn emitter(self: &Arc<Self>) -> Emit {
        let active = Arc::clone(self);
        Arc::new(move |line: Line| active.journal.add(What::Line { line }))
    }

    /// Asks whoever follows for an approval, and waits for the answer.
    ///
    /// # Errors
    /// It is stopped meanwhile.
    pub async fn ask(&self, stage: &str, action: &str, changes: &[Change]) -> anyhow::Result<Decision> {
        let (token, (tell, told)) = (uuid::Uuid::new_v4().to_string(), oneshot::channel());
        let question =
            Question { token: token.clone(), stage: stage.to_owned(), action: action.to_owned(), tell };
        *self.question.lock().unwrap_or_else(PoisonError::into_inner) = Some(question);
        self.act(stage, action, Acted::Asks(token.clone()));
        self.journal.add(What::Question {
            token,
            stage: stage.to_owned(),
            action: action.to_owned(),
            changes: changes.to_vec(),
        });
        told.await.map_err(|_| {
            Fault::failed("wait for the approval", action).why("nobody can answer any more").into()
        })
    }

    /// Answers the approval that is waited for. False where the answer is to another question, or to none.
    pub fn answer(&self, answer: Answer) -> bool {
        let mut waiting = self.question.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Question { stage, action, tell, token }) =
            waiting.take_if(|question| question.token == answer.token)
        else {
            return false;
        };
        drop(waiting);
        let Answer { approved, summary, by, .. } = answer;
        self.act(&stage, &action, Acted::Answered(by.clone(), summary.clone()));
        self.journal.add(What::Answered { token, approved, by });
        tell.send(Decision { yes: approved, said: summary }).is_ok()
    }

    fn is_orphan(&self) -> bool {
        self.owner.is_some_and(|owner| owner.is_gone())
    }

    async fn orphaned(&self) {
        while !self.is_orphan() {
            tokio::time::sleep(OWNER_PACE).await;
        }
    }

    /// Stops it, and waits until it has ended.
    async fn end(&self, reason: &str) {
        self.stop.send_modify(|why| {
            why.get_or_insert_with(|| reason.to_owned());
        });
        self.journal.over().await;
    }

    /// Carries it to its end. What is stopped is dropped, and what its builds started is ended.
    async fn carry(self: Arc<Self>, run: Running, builds: &Path) {
        let mut task = tokio::spawn(run);
        let mut stop = self.stop.subscribe();
        let joined = tokio::select! {
            joined = &mut task => Ok(joined),
            // The sender is our own.
            reason = stop.wait_for(Option::is_some) => Err(reason.ok().and_then(|reason| reason.clone())),
            () = self.orphaned() => Err(Some("the command that started it is gone".to_owned())),
        };
        let conclusion = match joined {
            Ok(Ok(Ok(ran))) => Conclusion::Ended { data: ran.data(), ended: ran.ended },
            Ok(Ok(Err(error))) => Conclusion::Refused { fault: from_error(&error) },
            Ok(Err(defect)) => {
                let fault =
                    Fault::failed("run the pipeline", "").why(format!("a defect of this tool: {defect}"));
                Conclusion::Refused { fault }
            }
            Err(reason) => {
                let reason = reason.unwrap_or_default();
                self.execution().stopping(&reason, now());
                task.abort();
                let _ = task.await;
                process::reap(builds).await;
                Conclusion::Stopped { reason }
            }
        };
        let (status, summary) = match &conclusion {
            Conclusion::Ended { ended: Ended::Released, .. } => (ExecutionStatus::Succeeded, None),
            // Every action did well, as on AWS; what this machine could not judge, or a condition skipped, is said.
            Conclusion::Ended { ended: Ended::Unjudged(fault) | Ended::Skipped(fault), .. } => {
                (ExecutionStatus::Succeeded, Some(fault.to_string()))
            }
            Conclusion::Ended { ended: Ended::Rejected, .. } => (ExecutionStatus::Failed, None),
            Conclusion::Ended { ended: Ended::Failed(fault), .. } | Conclusion::Refused { fault } => {
                (ExecutionStatus::Failed, Some(fault.to_string()))
            }
            Conclusion::Stopped { reason } => (ExecutionStatus::Stopped, Some(reason.clone())),
        };
        self.execution().over(status, summary, now());
        tracing::info!(id = self.id, "the execution is over: {status:?}");
        self.journal.add(What::Over { conclusion });
    }
}

/// All executions since the cloud began.
#[derive(Default)]
pub struct Executions {
    list: Mutex<Vec<Arc<Active>>>,
    /// Held while one is started, so that two cannot be.
    starting: tokio::sync::Mutex<()>,
    runner: OnceLock<Runner>,
}

impl Executions {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Active>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries executions out in another way than the pipeline runner's.
    #[cfg(test)]
    pub(crate) fn script(
        &self,
        runner: impl Fn(&Arc<Cloud>, Order, Arc<Active>) -> Running + Send + Sync + 'static,
    ) {
        assert!(self.runner.set(Box::new(runner)).is_ok());
    }

    /// Starts one; its id.
    ///
    /// # Errors
    /// Another one is at work.
    pub async fn start(&self, cloud: &Arc<Cloud>, order: Order) -> Result<String, Fault> {
        let _alone = self.starting.lock().await;
        self.free().await?;
        let active = Arc::new(Active::new(&order));
        tracing::info!(id = active.id, commit = order.commit, "an execution starts");
        let mut list = self.list();
        let forgotten = (list.len() + 1).saturating_sub(REMEMBERED);
        list.drain(..forgotten);
        list.push(Arc::clone(&active));
        drop(list);
        let runner = self.runner.get_or_init(|| Box::new(pipeline::carry_out));
        let run = runner(cloud, order, Arc::clone(&active));
        let builds = cloud.paths.processes().join("builds");
        let id = active.id.clone();
        tokio::spawn(async move { active.carry(run, &builds).await });
        Ok(id)
    }

    /// Whether one can be started. One whose owner is gone is ended first.
    ///
    /// # Errors
    /// Another one is at work.
    pub async fn free(&self) -> Result<(), Fault> {
        let Some(active) = self.running() else { return Ok(()) };
        if active.is_orphan() {
            active.end("the command that started it is gone").await;
            return Ok(());
        }
        let state = active.state();
        Err(Fault::new(Kind::Stuck, "start the release", "the pipeline of the local cloud")
            .why(format!(
                "it runs another one, which {} started: it releases {}",
                state.trigger.trigger_detail,
                active.commit.chars().take(12).collect::<String>()
            ))
            .next("wait until that one has ended, or end it with Ctrl-C; cargo xtask local down ends the cloud and all of it"))
    }

    /// The one at work.
    fn running(&self) -> Option<Arc<Active>> {
        self.list().iter().find(|active| !active.journal.is_over()).cloned()
    }

    /// One by its id.
    pub fn get(&self, id: &str) -> Option<Arc<Active>> {
        self.list().iter().find(|active| active.id == id).cloned()
    }

    /// All that are remembered, the latest first.
    pub fn all(&self) -> Vec<Execution> {
        self.list().iter().rev().map(|active| active.state()).collect()
    }

    /// Stops one, and waits until it has ended. False where there is none of that id.
    pub async fn stop(&self, id: &str, reason: &str) -> bool {
        let Some(active) = self.get(id) else { return false };
        active.end(reason).await;
        true
    }

    /// The cloud ends: so does what it runs. Whoever follows is told.
    pub async fn end(&self, reason: &str) {
        if let Some(active) = self.running() {
            active.end(reason).await;
        }
    }
}

#[cfg(test)]
mod tests;
