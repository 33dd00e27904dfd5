//! Every call of the commands that set up a project, with everything that can go wrong with a call: what the next run of the
//! same command leaves must be what an undisturbed run leaves.
//!
//! Each case has a project of its own on a local cloud, and a proxy (`proxy.rs`) that lets one call fail. "Wrong" is computed: a
//! difference between two clouds (`snapshot.rs`), a command that hangs or panics, or one that never ends well.

mod cases;
mod proxy;
mod snapshot;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use cases::{Calls, Case, Ended, OFTEN, Ran, Report, SCENARIOS, Scenario, choose, misbehaved, sample};
use causeway_aws::{Account, LocalWorld, OpenOptions, Unverified, raw};
use causeway_cloud::resident::{self, Keep};
use causeway_command::Context;
use causeway_machine::clock::Stopwatch;
use causeway_machine::cmd::{cmd, command};
use causeway_machine::paths::Paths;
use causeway_machine::process::{self, Ending};
use causeway_model::calls::Call;
use causeway_model::config::{BUILD, Config};
use causeway_model::fault::{Fault as Failure, from_error};
use proxy::{Asked, FAULTS, Proxy};
use snapshot::{Snapshot, differences, look};

/// Where the cloud of this part keeps its things.
const CLOUD: &str = "target/causeway/check-faults";
/// How long a minute of AWS takes there.
const MINUTE: Duration = Duration::from_millis(200);
/// The variable by which the program that tests the project waits less than a person would, in milliseconds an answer.
pub const ANSWER: &str = "CAUSEWAY_VERIFY_ANSWER_MS";
/// How long a command waits here for an answer: more than a busy machine's local cloud takes.
const WAITS: Duration = Duration::from_secs(3);
/// After so long a command hangs.
const HANGS: Duration = Duration::from_secs(150);
/// How many cases share a cloud, which grows with each, and starts in a second.
const A_CLOUD: usize = 10;
/// After how many clouds it is said how far it is.
const TELLING: usize = 5;
/// How many run at once, and how many of a sample: they mostly wait.
const AT_ONCE: usize = 2;
const OF_A_SAMPLE: usize = 5;
/// How long the whole suite may take; what would begin later is said to be left out.
const LIMIT: Duration = Duration::from_secs(58 * 60);
/// How many differences of a case are told, and how many characters of each.
const TOLD: usize = 4;
const LONGEST: usize = 300;
/// Letters and digits of a project's name after its first.
const NAME: usize = 7;

/// What is to be run.
pub(super) struct Wanted<'a> {
    /// Cases whose name has this in it.
    pub(super) only: Option<&'a str>,
    /// One case of each fault.
    pub(super) sample: bool,
}

impl Wanted<'_> {
    /// Whether cases of this command may be among them.
    fn has(&self, name: &str, scenario: Scenario) -> bool {
        let is_named = self.only.is_none_or(|only| only.starts_with(name) || !only.contains('/'));
        // A sample counts the calls of a run that has nothing to do, too.
        is_named && (!self.sample || OFTEN.contains(&scenario) || scenario == Scenario::Nothing)
    }
}

/// Runs the suite.
///
/// # Errors
/// The local cloud does not start, or an undisturbed run does not end well.
pub(super) async fn run(context: &Context, wanted: &Wanted<'_>) -> anyhow::Result<Report> {
    let config = context.config()?;
    let watch = Stopwatch::start();
    let mut report = Report::default();
    let mut bench = Bench::start(context, &config).await?;
    let at_once = if wanted.sample { OF_A_SAMPLE } else { AT_ONCE };
    let places = Arc::new(Semaphore::new(at_once));
    let (mut calls, mut expected) = (BTreeMap::new(), BTreeMap::new());
    let mut undisturbed = JoinSet::new();
    for (name, scenario) in SCENARIOS {
        if wanted.has(name, scenario) {
            let (ground, place) = (bench.ground.clone(), Arc::clone(&places));
            undisturbed.spawn(async move {
                let _place = place.acquire_owned().await?;
                anyhow::Ok((scenario, ground.undisturbed(scenario).await?))
            });
        }
    }
    while let Some(joined) = undisturbed.join_next().await {
        let (scenario, (asked, left)) = joined??;
        report.calls.insert(scenario.name(), Calls::of(scenario, &asked));
        calls.insert(scenario, asked);
        expected.insert(scenario, Arc::new(left));
    }
    let mut cases = Vec::new();
    for (scenario, asked) in &calls {
        let (of, left_out) = choose(*scenario, asked);
        cases.extend(of);
        report.left_out.extend(left_out);
    }
    if wanted.sample {
        (cases, report.left_out) = (sample(&calls), BTreeMap::new());
    }
    if let Some(only) = wanted.only {
        cases.retain(|case| case.name().contains(only));
    }
    for (number, chunk) in cases.chunks(A_CLOUD).enumerate() {
        if number > 0 && number % TELLING == 0 {
            context.out.note(format!("{} of {} cases are run", number * A_CLOUD, cases.len()));
        }
        if watch.elapsed() > LIMIT {
            report.not_run += chunk.len();
            continue;
        }
        if number > 0 {
            bench.cloud.release().await;
            bench = Bench::start(context, &config).await?;
        }
        let mut running = JoinSet::new();
        for case in chunk {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
            if watch.elapsed() > LIMIT {
                report.not_run += 1;
                continue;
            }
            let (ground, case) = (bench.ground.clone(), case.clone());
            let expected = expected.get(&case.scenario).cloned().unwrap_or_default();
            running.spawn(async move {
                let _place = place;
                let ended = ground.case(&case, &expected).await;
                (case, ended)
            });
        }
        while let Some(joined) = running.join_next().await {
            let (case, ended) = joined?;
            let ended = ended.unwrap_or_else(|error| Ended::Wrong(vec![from_error(&error).to_string()]));
            if let Ended::Wrong(why) = &ended {
                context.out.note(format!("wrong: {}: {}", case.name(), why.join("; ")));
            }
            report.note(&case, ended);
        }
    }
    bench.cloud.release().await;
    if wanted.sample {
        report.unmet = FAULTS.iter().map(|(name, _)| *name).filter(|name| !report.has_met(name)).collect();
    }
    Ok(report)
}

/// A cloud and what runs on it.
struct Bench {
    cloud: resident::Found,
    ground: Ground,
}

impl Bench {
    async fn start(context: &Context, config: &Config) -> anyhow::Result<Self> {
        let paths = Paths::of(&context.root).with_local(&context.root.join(CLOUD));
        let say = |text: &str| context.out.note(text);
        // A run that was cut off may have left one behind.
        resident::down(&paths).await?;
        let cloud = resident::up(config, &paths, &context.root, MINUTE, Keep::No, &say).await?;
        let world = cloud.state().world(&paths);
        let options = OpenOptions { world: Some(world.clone()), ..OpenOptions::default() };
        let accounts = Unverified::open(config, &options).await?.verify(config, &[BUILD.to_owned()]).await?;
        let ground = Ground {
            root: context.root.clone(),
            local: paths.local().to_path_buf(),
            config: Arc::new(config.clone()),
            roots: Roots { account: accounts.get(BUILD)?.clone(), world },
        };
        Ok(Self { cloud, ground })
    }
}

/// What a case needs of the machine.
#[derive(Clone)]
struct Ground {
    root: PathBuf,
    local: PathBuf,
    config: Arc<Config>,
    roots: Roots,
}

/// Calls as the root of any account, which may look at everything.
#[derive(Clone)]
struct Roots {
    account: Account,
    world: LocalWorld,
}

impl Roots {
    async fn send(&self, account: &str, call: &Call) -> anyhow::Result<(u16, String)> {
        raw::send(&self.account.with_keys("root", account, &self.world.root(account)), call).await
    }
}

/// A project of its own, its proxy, and its folder.
struct Stage<'a> {
    ground: &'a Ground,
    name: String,
    dir: tempfile::TempDir,
    proxy: Arc<Proxy>,
    serving: tokio::task::AbortHandle,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Ground {
    /// The calls of a command that nothing disturbs, and what it leaves.
    async fn undisturbed(&self, scenario: Scenario) -> anyhow::Result<(Vec<Asked>, Snapshot)> {
        let stage = Stage::set(self, scenario).await?;
        stage.proxy.arm(None);
        let ran = stage.run(&scenario.words(&stage.name)).await?;
        let what = format!("{} without any fault", scenario.name());
        anyhow::ensure!(
            ran.code == Some(0),
            Failure::failed("run", what).why(format!("it ended with {:?}: {}", ran.code, ran.why))
        );
        let (calls, _) = stage.proxy.seen();
        Ok((calls, stage.look().await?))
    }

    async fn case(&self, case: &Case, expected: &Snapshot) -> anyhow::Result<Ended> {
        let stage = Stage::set(self, case.scenario).await?;
        stage.proxy.arm(Some((case.asked.clone(), case.fault)));
        let words = case.scenario.words(&stage.name);
        let first = stage.run(&words).await?;
        if !stage.proxy.seen().1 {
            return Ok(Ended::NotMet);
        }
        stage.proxy.arm(None);
        if let Some(why) = misbehaved(&first, case.fault) {
            return Ok(Ended::Wrong(vec![why]));
        }
        if first.code == Some(0) {
            let different = differences(expected, &stage.look().await?);
            return Ok(if different.is_empty() {
                Ended::Survived
            } else {
                wrong("it ended with 0", different)
            });
        }
        let second = stage.run(&words).await?;
        if second.code != Some(0) {
            let why = format!(
                "it ended with {:?} ({}), and the next run with {:?}: {}",
                first.code, first.why, second.code, second.why
            );
            return Ok(Ended::Wrong(vec![why]));
        }
        let different = differences(expected, &stage.look().await?);
        Ok(if different.is_empty() { Ended::Healed } else { wrong("after the next run", different) })
    }
}

fn wrong(when: &str, mut different: Vec<String>) -> Ended {
    let all = different.len();
    different.truncate(TOLD);
    for one in &mut different {
        if let Some((end, _)) = one.char_indices().nth(LONGEST) {
            one.truncate(end);
            one.push('…');
        }
    }
    different.insert(0, format!("{when}, {all} differences"));
    Ended::Wrong(different)
}

impl<'a> Stage<'a> {
    /// A project of its own, as it stands before the command.
    async fn set(ground: &'a Ground, scenario: Scenario) -> anyhow::Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        // Letters alone: a name that looks made up would be taken for one when clouds are compared.
        let letters = id.bytes().take(NAME).map(|byte| char::from(b'g' + byte % 16));
        let name: String = std::iter::once('f').chain(letters).collect();
        let dir = tempfile::tempdir().context("make a folder for the case")?;
        copy(&ground.root.join("cfn"), &dir.path().join("cfn"))?;
        edit(
            &dir.path().join("cfn/stacks.toml"),
            &format!("project = \"{}\"", ground.config.project),
            &format!("project = \"{name}\""),
        )?;
        let late = WAITS.mul_f64(1.3);
        let (proxy, serving) = Proxy::start(&ground.roots, &name, late).await?;
        let stage = Self { ground, name, dir, proxy, serving };
        if scenario != Scenario::First {
            let ran = stage.run(&Scenario::First.words(&stage.name)).await?;
            anyhow::ensure!(ran.code == Some(0), "the bootstrap before the case failed: {}", ran.why);
        }
        if scenario == Scenario::Update {
            // Two waves, and in the second two stacks side by side: what one shows is there while the other is at work.
            let template = |name: &str| stage.dir.path().join("cfn").join(name);
            edit(&template("build-base.yaml"), "ExpirationInDays: 30", "ExpirationInDays: 31")?;
            edit(&template("target-roles.yaml"), "Sid: DescribeLogGroups", "Sid: DescribeTheLogGroups")?;
        }
        Ok(stage)
    }

    async fn look(&self) -> anyhow::Result<Snapshot> {
        look(&self.ground.roots, &self.ground.config, &self.name).await
    }

    /// Runs a command of ours through the proxy.
    async fn run(&self, words: &[String]) -> anyhow::Result<Ran> {
        // The tests before this may have built our own program anew.
        let program = causeway_digest::running().context("find our own program")?;
        let prefix = &self.ground.config.project;
        let mut command = command(self.dir.path(), |sh| {
            cmd!(sh, "{program} {words...} --output json --profile-prefix {prefix}")
        })?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("AWS_") || name.starts_with("CAUSEWAY_") {
                command.env_remove(&*name);
            }
        }
        let aws = self.ground.local.join("aws");
        command.env("AWS_ENDPOINT_URL", self.proxy.url());
        command.env("AWS_CONFIG_FILE", aws.join("config"));
        command.env("AWS_SHARED_CREDENTIALS_FILE", aws.join("credentials"));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env(ANSWER, WAITS.as_millis().to_string());
        let records = self.dir.path().join("processes");
        let mut group = process::spawn(command, "the command of a case", &records, Ending::Kill)?;
        self.proxy.child(group.id());
        let mut output = group.child().stdout.take().context("hear the command")?;
        let mut text = Vec::new();
        let ended = timeout(HANGS, async {
            let _ = output.read_to_end(&mut text).await;
            group.child().wait().await
        })
        .await;
        self.proxy.child(0);
        let Ok(ended) = ended else {
            group.end().await;
            return Ok(Ran { code: None, why: format!("it hung for {} s", HANGS.as_secs()) });
        };
        let code = ended.context("wait for the command")?.code();
        let last = String::from_utf8_lossy(&text).lines().last().map(ToOwned::to_owned).unwrap_or_default();
        let last: Value = serde_json::from_str(&last).unwrap_or_default();
        let of = |part: &str| last["error"][part].as_str().unwrap_or_default().to_owned();
        Ok(Ran { code, why: [of("what"), of("on"), of("why")].join(": ") })
    }
}

/// Copies a folder without what is below its folders.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != "stacks.local.toml" {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn edit(path: &Path, before: &str, after: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    anyhow::ensure!(text.contains(before), "{} has no {before:?}", path.display());
    std::fs::write(path, text.replacen(before, after, 1)).with_context(|| format!("write {}", path.display()))
}
