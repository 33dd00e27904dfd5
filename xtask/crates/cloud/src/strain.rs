//! How busy this machine is, as the local cloud's own processes feel it: how late a sleeper wakes, and, where the system
//! keeps it, how long threads that were ready to run waited for a processor. Builds do not count: a compiler keeps every
//! processor busy by itself, on however free a machine.
//!
//! Where the system does not keep it (macOS), what a sleeper says is all there is.
//!
//! Source: "schedstats" in the kernel's documentation: the first two numbers of `/proc/PID/task/TID/schedstat` are the
//! nanoseconds that a thread ran and those that it waited on a run queue.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use causeway_machine::clock::Stopwatch;
use causeway_model::strain::{self, Strain};

/// How often it is measured.
const PACE: Duration = Duration::from_millis(250);
/// How many measurements are kept: some ten minutes.
const KEPT: usize = 2_400;

/// The last measurements, each with when it ended, and when functions ran into their timeouts.
#[derive(Default)]
pub struct Strains {
    measured: Mutex<VecDeque<(Instant, Strain)>>,
    timeouts: Mutex<VecDeque<Instant>>,
}

impl Strains {
    fn all(&self) -> MutexGuard<'_, VecDeque<(Instant, Strain)>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A function ran into its timeout, or nobody could ask it.
    pub fn timed_out(&self, at: Instant) {
        let mut all = self.timeouts.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(at);
        if all.len() > KEPT {
            all.pop_front();
        }
    }

    /// Why a failure says nothing of the release, where that is so: time alone is its cause, and in the seconds since `begin`
    /// this machine had too little of it.
    pub fn explains(&self, begin: Instant, said: &str) -> Option<Strain> {
        let timeouts = self.timeouts_since(begin);
        let strain = self.since(begin);
        (strain::is_by_time(said, timeouts) && strain.is_starved()).then_some(strain)
    }

    /// Whether functions ran into their timeouts since then.
    pub fn timeouts_since(&self, begin: Instant) -> bool {
        let all = self.timeouts.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().any(|at| *at >= begin)
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

/// Measures for as long as the cloud runs: this process, and the emulator with all that it started.
pub(super) async fn run(strains: &Strains, emulator: i32) {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut before = threads(Path::new("/proc"), own, emulator);
    let mut pressed = pressure(Path::new("/proc"));
    loop {
        let watch = Stopwatch::start();
        sleep(PACE).await;
        let elapsed = watch.elapsed();
        let late = elapsed.saturating_sub(PACE).as_secs_f64();
        let now = threads(Path::new("/proc"), own, emulator);
        let strain = difference(&before, &now);
        let total = pressure(Path::new("/proc"));
        let crowded = Duration::from_micros(total.saturating_sub(pressed)).as_secs_f64();
        let seconds = elapsed.as_secs_f64();
        strains.add(Instant::now(), Strain { late, crowded, seconds, ..strain });
        (before, pressed) = (now, total);
    }
}

/// For how many microseconds since it started anything on this machine waited for a processor; zero where the system does not
/// keep it. Source: "PSI - Pressure Stall Information" in the kernel's documentation.
fn pressure(proc: &Path) -> u64 {
    let text = std::fs::read_to_string(proc.join("pressure/cpu")).unwrap_or_default();
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let total = some.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("total=")));
    total.and_then(|total| total.parse().ok()).unwrap_or(0)
}

/// Nanoseconds that each thread of a process, and of another one and its descendants, ran and waited, by its id; empty where
/// the system does not say.
fn threads(proc: &Path, own: i32, root: i32) -> HashMap<i32, (u64, u64)> {
    let mut all = HashMap::new();
    let mut open = vec![root, own];
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
            if process != own {
                open.extend(
                    read("children").split_whitespace().filter_map(|child| child.parse::<i32>().ok()),
                );
            }
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
    fn threads_of_the_cloud_and_of_all_that_the_emulator_started_count() {
        let dir = tempfile::tempdir().unwrap();
        let thread = |process: i32, id: i32, numbers: &str, children: &str| {
            let task = dir.path().join(format!("{process}/task/{id}"));
            std::fs::create_dir_all(&task).unwrap();
            std::fs::write(task.join("schedstat"), numbers).unwrap();
            std::fs::write(task.join("children"), children).unwrap();
        };
        thread(7, 7, "4000000000 0 7\n", "1 8 ");
        // A build.
        thread(8, 8, "9 9 9\n", "");
        thread(1, 1, "1000000000 500000000 7\n", "2 4 ");
        thread(1, 11, "0 0 0\n", "");
        thread(2, 2, "2000000000 0 1\n", "3");
        thread(3, 3, "no numbers", "");
        thread(9, 9, "1 1 1", "");
        let before = threads(dir.path(), 7, 1);
        assert_eq!(
            before,
            HashMap::from([
                (7, (4_000_000_000, 0)),
                (1, (1_000_000_000, 500_000_000)),
                (11, (0, 0)),
                (2, (2_000_000_000, 0))
            ])
        );
        thread(1, 1, "1500000000 1500000000 9\n", "2");
        thread(2, 22, "0 250000000 1\n", "");
        let found = difference(&before, &threads(dir.path(), 7, 1));
        assert_eq!((found.ran, found.waited), (0.5, 1.25));
        assert_eq!(difference(&HashMap::new(), &threads(&dir.path().join("none"), 7, 1)), Strain::default());
    }

    #[test]
    fn pressure_is_what_the_system_says_of_all_processes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(pressure(dir.path()), 0, "a system without it");
        std::fs::create_dir(dir.path().join("pressure")).unwrap();
        let text = "some avg10=0.00 avg60=0.02 avg300=6.11 total=4711\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        std::fs::write(dir.path().join("pressure/cpu"), text).unwrap();
        assert_eq!(pressure(dir.path()), 4_711);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_does_not_count() {
        let strains = Strains::default();
        let one = Strain { ran: 1.0, waited: 2.0, late: 0.1, ..Strain::default() };
        let begin = Instant::now();
        strains.add(begin, one);
        assert_eq!(strains.since(begin), one);
        assert_eq!(strains.since(begin + PACE), Strain::default());
    }

    /// A failure is excused where time is its cause and the machine had none; each without the other is the release's.
    #[tokio::test(start_paused = true)]
    async fn a_failure_is_explained_by_time_and_strain_together() {
        let (busy, free) = (
            Strain { ran: 1.0, waited: 2.0, late: 0.1, ..Strain::default() },
            Strain { ran: 2.0, waited: 0.1, ..Strain::default() },
        );
        let late = "call the API: operation timed out";
        let wrong = "expected status 200, got 500";
        for (what, strain, timeouts, said, expected) in [
            ("late, and busy", busy, false, late, true),
            ("late, and free", free, false, late, false),
            ("wrong, and busy", busy, false, wrong, false),
            ("wrong, and busy, while functions ran into their timeouts", busy, true, wrong, true),
            ("wrong, and free, while functions ran into their timeouts", free, true, wrong, false),
        ] {
            let strains = Strains::default();
            strains.timed_out(Instant::now());
            strains.add(Instant::now(), busy);
            tokio::time::advance(PACE).await;
            let begin = Instant::now();
            assert_eq!(strains.explains(begin, late), None, "{what}: what was before does not count");
            if timeouts {
                strains.timed_out(begin);
            }
            strains.add(begin, strain);
            assert_eq!(strains.explains(begin, said).is_some(), expected, "{what}");
        }
    }
}
