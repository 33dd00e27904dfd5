//! Change sets that were made to be looked at. When a command ends, also by Ctrl-C, those that it did not execute are removed:
//! they would stand in the console as if somebody still meant them, and a stack that was never created with them. Only a
//! kill and a defect of ours leave them. So they are written down first, in a file that this run holds a lock on: a file that
//! nobody holds is one of a run that is gone, and the next run in the checkout removes what stands in it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::term::Out;
use causeway_machine::clock;
use causeway_model::fault::from_error;
use causeway_model::line::Line;

/// How long the removal may take. A change set that is still being made can only be removed afterwards.
const LIMIT: Duration = Duration::from_secs(20);

/// Removes one, within the time for it. The error is why it could not be.
///
/// # Errors
/// It is refused, or takes too long.
pub async fn withdrawn(removal: impl Future<Output = anyhow::Result<()>>) -> Result<(), String> {
    match timeout(LIMIT, removal).await {
        Ok(result) => result.map_err(|error| from_error(&error).why),
        Err(_) => Err(format!("it was still there after {} s", LIMIT.as_secs())),
    }
}

/// The change sets that are planned now. Cheap to clone.
#[derive(Clone, Default)]
pub struct Planned(Arc<Mutex<Vec<Plan>>>, Arc<Mutex<Record>>);

/// Where this run writes down what it plans.
#[derive(Default)]
struct Record {
    folder: Option<PathBuf>,
    /// The file and its lock, once something was planned.
    file: Option<(PathBuf, Locked)>,
}

/// A file that nobody else may lock. It is unlocked, not only closed: a program that another thread is just starting has it
/// open, too, until it is replaced by what it runs.
struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// A change set, as another run can find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The account's id.
    pub account: String,
    /// The stack.
    pub stack: String,
    /// The change set's name.
    pub name: String,
    /// Whether it would create the stack.
    pub is_new: bool,
}

/// What a run that is gone left, as long as nobody else removes it: the file is locked.
pub struct Remains {
    /// The change sets.
    pub left: Vec<Left>,
    path: PathBuf,
    _lock: Locked,
}

impl Remains {
    /// All of it is removed.
    pub fn removed(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A row of the file: a change set, or that it is settled.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Row {
    Planned(Left),
    Settled(String),
}

/// Removes a change set.
pub type Removal = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A change set and the way to remove it.
struct Plan {
    /// Account and stack, as in `build/causeway-build-base`.
    place: String,
    /// The change set's name.
    name: String,
    removal: Removal,
}

impl Planned {
    /// From now on what is planned is written down in that folder.
    pub fn keep_in(&self, folder: PathBuf) {
        self.record().folder = Some(folder);
    }

    /// A change set is made now at that place; nothing of the removal happens before the command ends.
    pub fn begin(&self, place: String, left: &Left, removal: Removal) {
        self.record().write(&Row::Planned(left.clone()));
        self.all().push(Plan { place, name: left.name.clone(), removal });
    }

    /// It is executed or removed: nothing is left to do for us.
    pub fn settled(&self, name: &str) {
        let mut all = self.all();
        if all.iter().any(|plan| plan.name == name) {
            all.retain(|plan| plan.name != name);
            self.record().write(&Row::Settled(name.to_owned()));
        }
    }

    /// What runs left that are gone, each with its lock. A file that cannot be read is left alone.
    pub fn remains(&self) -> Vec<Remains> {
        let (folder, own) = {
            let record = self.record();
            (record.folder.clone(), record.file.as_ref().map(|(path, _)| path.clone()))
        };
        let files = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let paths = files.map(|file| file.path()).filter(|path| Some(path) != own.as_ref());
        paths.filter_map(|path| remains(&path)).collect()
    }

    /// Removes what is left, and says so.
    pub async fn take_back(&self, out: &Out) {
        let plans = std::mem::take(&mut *self.all());
        let mut tasks = JoinSet::new();
        for Plan { place, name, removal } in plans {
            tasks.spawn(async move { (place, name, withdrawn(removal).await) });
        }
        let (mut removed, mut warned) = (Vec::new(), false);
        while let Some(Ok((place, name, result))) = tasks.join_next().await {
            match result {
                Ok(()) => {
                    self.record().write(&Row::Settled(name));
                    removed.push(place);
                }
                Err(why) => {
                    warned = true;
                    out.line(&Line::Warning {
                    message: format!(
                        "the change set {name} of {place} was only planned, and could not be removed ({why}); remove it by hand, or leave it: it changes nothing unless somebody executes it"
                    ),
                });
                }
            }
        }
        if !warned {
            self.record().finished();
        }
        removed.sort();
        if !removed.is_empty() {
            out.note(format!("removed the change sets that were only planned: {}", removed.join(", ")));
        }
    }

    /// Removes what is left, and then lets its cloud end: afterwards nobody would be there to remove it.
    pub async fn take_back_before(&self, out: &Out, end: impl Future<Output = ()>) {
        self.take_back(out).await;
        end.await;
    }

    fn all(&self) -> MutexGuard<'_, Vec<Plan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Writes a row. That it cannot be written stops nobody: it would only be missed after a kill.
    fn write(&mut self, row: &Row) {
        let Some(folder) = &self.folder else { return };
        if self.file.is_none() {
            self.file = opened(folder).ok();
        }
        if let (Some((_, Locked(file))), Ok(text)) = (&mut self.file, serde_json::to_string(row)) {
            let _ = writeln!(file, "{text}").and_then(|()| file.sync_data());
        }
    }

    /// Nothing that was planned is left.
    fn finished(&mut self) {
        if let Some((path, _lock)) = self.file.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A file of this run's own, locked before it has its name.
fn opened(folder: &Path) -> std::io::Result<(PathBuf, Locked)> {
    std::fs::create_dir_all(folder)?;
    let id = format!("{}-{}", std::process::id(), clock::now().as_nanosecond());
    let (draft, path) = (folder.join(format!("{id}.draft")), folder.join(format!("{id}.jsonl")));
    let file = File::create_new(&draft)?;
    file.lock()?;
    std::fs::rename(&draft, &path)?;
    Ok((path, Locked(file)))
}

/// What a file lists, where nobody holds it.
fn remains(path: &Path) -> Option<Remains> {
    if path.extension().is_none_or(|extension| extension != "jsonl") {
        return None;
    }
    let lock = File::open(path).ok()?;
    lock.try_lock().ok()?;
    let lock = Locked(lock);
    let text = std::fs::read_to_string(path).ok()?;
    let mut left: Vec<Left> = Vec::new();
    // The last row may be cut off by what ended the run.
    for row in text.lines().filter_map(|row| serde_json::from_str(row).ok()) {
        match row {
            Row::Planned(planned) => left.push(planned),
            Row::Settled(name) => left.retain(|planned| planned.name != name),
        }
    }
    Some(Remains { left, path: path.to_owned(), _lock: lock })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Options;

    /// A removal that writes down that it was made.
    fn removal(
        name: &'static str,
        made: &Arc<Mutex<Vec<&'static str>>>,
        result: Result<(), &'static str>,
    ) -> Removal {
        let made = Arc::clone(made);
        Box::pin(async move {
            made.lock().unwrap().push(name);
            result.map_err(anyhow::Error::msg)
        })
    }

    fn left(name: &str) -> Left {
        Left { account: "1".to_owned(), stack: "s".to_owned(), name: name.to_owned(), is_new: false }
    }

    #[tokio::test]
    async fn what_a_run_that_is_gone_planned_is_found_by_the_next_one_and_by_no_other_of_a_run_at_work() {
        let folder = std::env::temp_dir().join(format!("causeway-planned-{}", std::process::id()));
        let (made, place) = (Arc::default(), || "build/s".to_owned());
        let run = || {
            let planned = Planned::default();
            planned.keep_in(folder.clone());
            planned
        };
        let (killed, next) = (run(), run());
        for name in ["shown", "executed"] {
            killed.begin(place(), &left(name), removal("-", &made, Ok(())));
        }
        killed.settled("executed");
        assert!(next.remains().is_empty(), "it is at work");
        drop(killed);
        let found = next.remains();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].left, [left("shown")]);
        assert!(next.remains().is_empty(), "somebody is at it");
        drop(found);
        for remains in next.remains() {
            remains.removed();
        }
        assert!(next.remains().is_empty());
        // A run that ends leaves no file, unless something could not be removed.
        let out = Out::new(Options::default());
        for (result, files) in [(Ok(()), 0), (Err("no"), 1)] {
            let ends = run();
            ends.begin(place(), &left("shown"), removal("-", &made, result));
            ends.take_back(&out).await;
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), files);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn what_is_left_is_removed_while_its_cloud_is_there() {
        let (planned, made) = (Planned::default(), Arc::default());
        planned.begin("build/s".to_owned(), &left("shown"), removal("shown", &made, Ok(())));
        let ends = Arc::clone(&made);
        let end = async move { ends.lock().unwrap().push("the cloud ended") };
        planned.take_back_before(&Out::new(Options::default()), end).await;
        assert_eq!(*made.lock().unwrap(), ["shown", "the cloud ended"]);
    }

    #[tokio::test]
    async fn what_is_left_is_removed_once_and_what_is_settled_is_left_alone() {
        let (planned, made, place) = (Planned::default(), Arc::default(), || "build/s".to_owned());
        planned.begin(place(), &left("shown"), removal("shown", &made, Ok(())));
        planned.begin(place(), &left("executed"), removal("executed", &made, Ok(())));
        planned.settled("executed");
        let out = Out::new(Options::default());
        planned.take_back(&out).await;
        planned.take_back(&out).await;
        assert_eq!(*made.lock().unwrap(), ["shown"]);
        // What cannot be removed is said, and is no failure of the command.
        planned.begin(place(), &left("refused"), removal("refused", &made, Err("AccessDenied")));
        planned.take_back(&out).await;
        assert_eq!(*made.lock().unwrap(), ["shown", "refused"]);
    }
}
