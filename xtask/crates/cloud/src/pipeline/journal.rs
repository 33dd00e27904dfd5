//! What an execution tells, numbered: a client reads from any place in it, so nothing is lost to one that comes back.
//!
//! Beside the numbered events there is progress, of which the last alone is kept: what it said before is of no interest.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::Ended;
use causeway_model::changeset::Change;
use causeway_model::fault::{Fault, with_kind};
use causeway_model::line::Line;

/// How long a reader waits for something new before it is told that there is nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// One event of an execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place, counted from 1 without a gap.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub what: What,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A line of output.
    Line {
        /// It.
        line: Line,
    },
    /// An approval is waited for.
    Question {
        /// What an answer must name.
        token: String,
        /// The stage.
        stage: String,
        /// The action.
        action: String,
        /// What would change.
        changes: Vec<Change>,
    },
    /// It was answered.
    Answered {
        /// The question's.
        token: String,
        /// Whether it was approved.
        approved: bool,
        /// Who answered.
        by: String,
    },
    /// Nothing comes after this one.
    Over {
        /// How it ended.
        conclusion: Conclusion,
    },
}

/// How an execution came to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Conclusion {
    /// It ran to an end.
    Ended {
        /// To which.
        ended: Ended,
        /// What was seen meanwhile, as the result of a rehearsal carries it.
        data: Value,
    },
    /// It could not be run at all.
    Refused {
        /// Why.
        #[serde(with = "with_kind")]
        fault: Fault,
    },
    /// It was stopped.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// How far something is, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Grows with every one; not every number is seen.
    pub number: u64,
    /// The line.
    pub text: String,
}

/// What is new to a reader.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct News {
    /// Every event after the reader's place, in order.
    pub events: Vec<Event>,
    /// The last progress, where the reader has not seen it.
    pub progress: Option<Progress>,
}

impl News {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.progress.is_none()
    }
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    progress: Option<Progress>,
    over: bool,
}

/// The events of one execution.
#[derive(Default)]
pub struct Journal {
    inner: Mutex<Inner>,
    /// Counts changes, for readers that wait.
    bell: watch::Sender<u64>,
}

impl Journal {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event. After the last one nothing is taken any more: what was cut off may still speak.
    pub fn add(&self, what: What) {
        let mut inner = self.inner();
        if inner.over {
            return;
        }
        inner.over = matches!(what, What::Over { .. });
        let seq = u64::try_from(inner.events.len()).unwrap_or(u64::MAX) + 1;
        inner.events.push(Event { seq, what });
        drop(inner);
        self.bell.send_modify(|count| *count += 1);
    }

    /// Takes the place of the last progress.
    pub fn progress(&self, text: &str) {
        let mut inner = self.inner();
        if inner.over {
            return;
        }
        let number = inner.progress.as_ref().map_or(0, |last| last.number) + 1;
        inner.progress = Some(Progress { number, text: text.to_owned() });
        drop(inner);
        self.bell.send_modify(|count| *count += 1);
    }

    /// Whether nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.inner().over
    }

    /// Resolves once nothing comes any more.
    pub async fn over(&self) {
        let mut bell = self.bell.subscribe();
        while !self.is_over() {
            if bell.changed().await.is_err() {
                return;
            }
        }
    }

    fn news(&self, after: u64, progress: u64) -> News {
        let inner = self.inner();
        let at = usize::try_from(after).unwrap_or(usize::MAX).min(inner.events.len());
        News {
            events: inner.events[at..].to_vec(),
            progress: inner.progress.clone().filter(|last| last.number > progress && !inner.over),
        }
    }

    /// What is new after a place in the order and a number of progress. Where there is nothing, something is waited for; a
    /// reader that is told nothing asks again.
    pub async fn after(&self, after: u64, progress: u64) -> News {
        let mut bell = self.bell.subscribe();
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let news = self.news(after, progress);
                if !news.is_empty() || self.is_over() || bell.changed().await.is_err() {
                    return news;
                }
            }
        });
        waited.await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> What {
        What::Line { line: Line::Warning { message: message.to_owned() } }
    }

    fn seqs(news: &News) -> Vec<u64> {
        news.events.iter().map(|event| event.seq).collect()
    }

    #[tokio::test]
    async fn a_reader_gets_everything_from_its_place_on() {
        let journal = Journal::default();
        for message in ["a", "b", "c"] {
            journal.add(said(message));
        }
        for (after, expected) in [(0, vec![1, 2, 3]), (2, vec![3]), (0, vec![1, 2, 3])] {
            assert_eq!(seqs(&journal.after(after, 0).await), expected, "after {after}");
        }
        journal.add(What::Over { conclusion: Conclusion::Stopped { reason: "r".into() } });
        journal.add(said("too late"));
        journal.progress("too late");
        assert_eq!(seqs(&journal.after(3, 0).await), [4]);
        // Nobody waits for what cannot come.
        assert_eq!(journal.after(4, 0).await, News::default());
        assert_eq!(journal.after(400, 0).await, News::default());
    }

    #[tokio::test]
    async fn of_progress_the_last_is_told_and_only_once() {
        let journal = Journal::default();
        journal.progress("unit 1");
        journal.progress("unit 2");
        let news = journal.after(0, 0).await;
        let last = news.progress.unwrap();
        assert_eq!((last.text.as_str(), news.events.len()), ("unit 2", 0));
        journal.add(said("a"));
        assert_eq!(journal.after(0, last.number).await.progress, None);
        journal.progress("unit 3");
        assert_eq!(journal.after(1, last.number).await.progress.unwrap().text, "unit 3");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_waits_for_what_comes_and_not_for_ever() {
        let journal = std::sync::Arc::new(Journal::default());
        assert_eq!(journal.after(0, 0).await, News::default());
        let reader = tokio::spawn({
            let journal = std::sync::Arc::clone(&journal);
            async move { journal.after(0, 0).await }
        });
        tokio::task::yield_now().await;
        journal.add(said("a"));
        assert_eq!(seqs(&reader.await.unwrap()), [1]);
    }

    #[test]
    fn every_event_arrives_as_it_was_sent() {
        let fault = Fault::new(causeway_model::fault::Kind::RolledBack, "deploy", "s").why("w").next("n");
        let ended =
            |ended| What::Over { conclusion: Conclusion::Ended { ended, data: serde_json::json!({"a": 1}) } };
        let all = [
            said("x"),
            What::Question {
                token: "t".into(),
                stage: "Prod".into(),
                action: "Approve".into(),
                changes: vec![Change::new("Add", None, "A", "T")],
            },
            What::Answered { token: "t".into(), approved: true, by: "me".into() },
            ended(Ended::Released),
            ended(Ended::Rejected),
            ended(Ended::Skipped(fault.clone())),
            ended(Ended::Failed(fault.clone())),
            What::Over { conclusion: Conclusion::Refused { fault } },
            What::Over { conclusion: Conclusion::Stopped { reason: "r".into() } },
        ];
        for what in all {
            let event = Event { seq: 7, what };
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
