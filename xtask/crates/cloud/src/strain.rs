//! How busy this machine is, as the local cloud's own processes feel it: how late a sleeper wakes, and, where the system
//! keeps it, how long threads that were ready to run waited for a processor.
//!
//! Source: "schedstats" in the kernel's documentation: the first two numbers of `/proc/PID/task/TID/schedstat` are the
//! nanoseconds that a thread ran and those that it waited on a run queue.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use causeway_machine::clock::Stopwatch;
use causeway_model::strain::Strain;

/// How often it is measured.
const PACE: Duration = Duration::from_millis(250);
/// How many measurements are kept: some ten minutes.
const KEPT: usize = 2_400;

/// The last measurements, each with when it ended.
#[derive(Default)]
pub struct Strains(Mutex<VecDeque<(Instant, Strain)>>);

impl Strains {
    fn all(&self) -> MutexGuard<'_, VecDeque<(Instant, Strain)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, at: Instant, strain: Strain) {
        let mut all = self.all();
        all.push_back((at, strain));
        if all.len() > KEPT {
            all.pop_front();
        }
    }

    /// What was measured since a time.
    pub fn since(&self, begin: Instant) -> Strain {
        let all = self.all();
        all.iter().filter(|(at, _)| *at >= begin).fold(Strain::default(), |sum, (_, one)| sum.and(*one))
    }
}

/// Measures for as long as the cloud runs: this process, and all that the emulator, its child, started.
pub(super) async fn run(strains: &Strains) {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut before = threads(Path::new("/proc"), own);
    loop {
        let watch = Stopwatch::start();
        sleep(PACE).await;
        let late = watch.elapsed().saturating_sub(PACE).as_secs_f64();
        let now = threads(Path::new("/proc"), own);
        let strain = difference(&before, &now);
        strains.add(Instant::now(), Strain { late, ..strain });
        before = now;
    }
}

/// Nanoseconds that each thread of a process and its descendants ran and waited, by its id; empty where the system does not
/// say.
fn threads(proc: &Path, root: i32) -> HashMap<i32, (u64, u64)> {
    let mut all = HashMap::new();
    let mut open = vec![root];
    let mut seen = 0;
    while let (Some(process), true) = (open.pop(), seen < 1_000) {
        seen += 1;
        let tasks = std::fs::read_dir(proc.join(process.to_string()).join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let mut numbers =
                read("schedstat").split_whitespace().map(str::parse).collect::<Vec<_>>().into_iter();
            if let (Some(Ok(ran)), Some(Ok(waited))) = (numbers.next(), numbers.next()) {
                all.insert(id, (ran, waited));
            }
            open.extend(read("children").split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    all
}

/// What happened between two measurements; a thread that is new counts from its start.
fn difference(before: &HashMap<i32, (u64, u64)>, now: &HashMap<i32, (u64, u64)>) -> Strain {
    let mut sum = Strain::default();
    for (id, (ran, waited)) in now {
        let (ran_before, waited_before) = before.get(id).copied().unwrap_or_default();
        sum.ran += ran.saturating_sub(ran_before) as f64 / 1e9;
        sum.waited += waited.saturating_sub(waited_before) as f64 / 1e9;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_all_descendants_count() {
        let dir = tempfile::tempdir().unwrap();
        let thread = |process: i32, id: i32, numbers: &str, children: &str| {
            let task = dir.path().join(format!("{process}/task/{id}"));
            std::fs::create_dir_all(&task).unwrap();
            std::fs::write(task.join("schedstat"), numbers).unwrap();
            std::fs::write(task.join("children"), children).unwrap();
        };
        thread(1, 1, "1000000000 500000000 7\n", "2 4 ");
        thread(1, 11, "0 0 0\n", "");
        thread(2, 2, "2000000000 0 1\n", "3");
        thread(3, 3, "no numbers", "");
        thread(9, 9, "1 1 1", "");
        let before = threads(dir.path(), 1);
        assert_eq!(
            before,
            HashMap::from([(1, (1_000_000_000, 500_000_000)), (11, (0, 0)), (2, (2_000_000_000, 0))])
        );
        thread(1, 1, "1500000000 1500000000 9\n", "2");
        thread(2, 22, "0 250000000 1\n", "");
        let found = difference(&before, &threads(dir.path(), 1));
        assert_eq!((found.ran, found.waited), (0.5, 1.25));
        assert_eq!(difference(&HashMap::new(), &threads(&dir.path().join("none"), 1)), Strain::default());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_does_not_count() {
        let strains = Strains::default();
        let one = Strain { ran: 1.0, waited: 2.0, late: 0.1 };
        let begin = Instant::now();
        strains.add(begin, one);
        assert_eq!(strains.since(begin), one);
        assert_eq!(strains.since(begin + PACE), Strain::default());
    }
}
