//! Starts an execution in the local cloud and follows it to its end, as any client of it could.
//!
//! It is never silent about a cloud that is lost: the connection breaks with the process that held it, and is looked after.

use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, timeout};

use causeway_cloud::control::Control;
use causeway_cloud::executions::Answer;
use causeway_cloud::pipeline::journal::{Conclusion, News, What};
use causeway_cloud::pipeline::{Decision, Ended, Order};
use causeway_cloud::state::{Last, State};
use causeway_command::Context;
use causeway_machine::paths::Paths;
use causeway_model::changeset::Change;
use causeway_model::fault::Fault;
use causeway_model::line::Emit;
use serde_json::Value;

/// How often a cloud that lives is asked again when the connection broke.
const TRIES: u32 = 5;
/// How long is waited between.
const BREATH: Duration = Duration::from_millis(200);
/// How long progress may come late: it is drawn no more often.
const PROGRESS_PACE: Duration = Duration::from_millis(60);
/// How long the cloud may take to stop an execution.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Asks a person, given what would change.
pub(super) type Ask = Box<dyn Fn(&[Change]) -> Deciding + Send + Sync>;
/// A decision that may take a person's time.
pub(super) type Deciding = Pin<Box<dyn Future<Output = Result<Decision, Fault>> + Send>>;

/// A client of the cloud that a command found.
pub(super) struct Client {
    pub(super) context: Context,
    pub(super) control: Control,
    pub(super) paths: Paths,
    /// The resident process.
    pub(super) pid: i32,
}

/// Where a client is in what an execution tells.
#[derive(Default)]
struct Place {
    after: u64,
    progress: u64,
}

/// A question that was asked, with what an answer must name.
struct Asked {
    token: String,
    deciding: Deciding,
}

impl Client {
    /// Runs an order to its end: how it ended, and what was seen. Ctrl-C stops it.
    pub(super) async fn run(&self, order: &Order, emit: &Emit, ask: &Ask) -> anyhow::Result<(Ended, Value)> {
        let interrupted = self.context.take_interrupts();
        let id = match self.control.start_execution(order).await {
            Ok(id) => id,
            Err(error) => return Err(self.lost().map_or(error, Into::into)),
        };
        tokio::select! {
            ended = self.follow(&id, emit, ask) => ended,
            () = interrupted => {
                let stopped = self.control.stop_execution(&id, "the command that started it was interrupted");
                if let Ok(Err(error)) = timeout(STOP_LIMIT, stopped).await {
                    self.context.out.note(format!("  the execution could not be stopped: {error:#}"));
                }
                Err(self.context.interrupted())
            }
        }
    }

    async fn follow(&self, id: &str, emit: &Emit, ask: &Ask) -> anyhow::Result<(Ended, Value)> {
        let mut place = Place::default();
        let mut asked: Option<Asked> = None;
        loop {
            let news = tokio::select! {
                news = self.news(id, &place) => news?,
                (token, decision) = decided(&mut asked) => {
                    asked = None;
                    let Decision { yes, said } = decision?;
                    let answer = Answer { token, approved: yes, summary: said, by: user() };
                    self.control.answer_approval(id, &answer).await?;
                    continue;
                }
            };
            if let Some(progress) = news.progress {
                place.progress = progress.number;
                self.context.out.tick(&progress.text);
                if news.events.is_empty() {
                    sleep(PROGRESS_PACE).await;
                }
            }
            for event in news.events {
                place.after = event.seq;
                match event.what {
                    What::Line { line } => emit(line),
                    What::Question { token, changes, .. } => {
                        asked = Some(Asked { token, deciding: ask(&changes) });
                    }
                    // By somebody else: nobody is asked here any more.
                    What::Answered { token, .. } => asked = asked.filter(|asked| asked.token != token),
                    What::Over { conclusion: Conclusion::Ended { ended, data } } => return Ok((ended, data)),
                    What::Over { conclusion: Conclusion::Refused { fault } } => return Err(fault.into()),
                    What::Over { conclusion: Conclusion::Stopped { reason } } => {
                        return Err(self.end_of(reason).into());
                    }
                }
            }
        }
    }

    /// What is new. A connection that breaks is made anew from the same place, as long as the cloud lives.
    async fn news(&self, id: &str, place: &Place) -> anyhow::Result<News> {
        let mut tries = 0;
        loop {
            match self.control.execution_news(id, place.after, place.progress).await {
                Ok(news) => return Ok(news),
                Err(error) => {
                    if let Some(lost) = self.lost() {
                        return Err(lost.into());
                    }
                    tries += 1;
                    if tries == TRIES {
                        return Err(error).context("follow the execution");
                    }
                    sleep(BREATH * tries).await;
                }
            }
        }
    }

    /// The end of a cloud that is gone; `None` where it lives.
    fn lost(&self) -> Option<Fault> {
        let lives = State::read(&self.paths).is_some_and(|state| state.pid == self.pid);
        // One that ended by itself has said why; one that was killed could not.
        let why = || {
            Last::of(&self.paths, self.pid).unwrap_or_else(|| "the local cloud's process is gone".to_owned())
        };
        (!lives).then(|| self.end_of(why()))
    }

    fn end_of(&self, why: String) -> Fault {
        let log = self.paths.log("cloud");
        Fault::failed("follow the release", "the pipeline of the local cloud")
            .why(why)
            .next(format!("its log is {}; then run it again", log.display()))
    }
}

/// The decision of a question that was asked; never, where none was.
async fn decided(asked: &mut Option<Asked>) -> (String, Result<Decision, Fault>) {
    match asked {
        Some(Asked { token, deciding }) => (token.clone(), deciding.as_mut().await),
        None => std::future::pending().await,
    }
}

/// Who answers, for the record.
pub(super) fn user() -> String {
    std::env::var("USER").unwrap_or_else(|_| "the local user".to_owned())
}
