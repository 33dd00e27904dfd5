//! `test-deployment`: drives traffic at an environment while it is deployed, and ends with a verdict.
//!
//! It changes nothing: it reads a stack, its deployments and its alarms, and sends GET requests to its API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use causeway_args::test_deployment::Args;
use serde_json::to_value;
use tokio::time::{Instant, sleep, sleep_until};

use causeway_aws::cloudformation::{Physical, StackInfo, Stacks};
use causeway_aws::rollouts::{Group, Rollouts};
use causeway_aws::{Account, Unverified};
use causeway_command::term::{Chart, Out};
use causeway_command::{Context, Outcome};
use causeway_model::config::Config;
use causeway_model::fault::{Fault, Kind};
use causeway_model::line::{Line, Mode, Probe, Status, Step, Weight};
use causeway_model::tally::Tally;
use causeway_model::verdict::Verdict;
use causeway_model::watch::{Asked, Deploying, Second, Terms, Watched};
use causeway_watch::api_client::ApiClient;
use causeway_watch::watcher::traffic::Route;
use causeway_watch::watcher::{self, News, Plan, Until};

/// The longest watch, unless `--for` says otherwise.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How often plain output says how the traffic goes.
const EVERY: u32 = 5;

/// Runs `test-deployment`.
///
/// # Errors
/// The stack or its API cannot be found. A deployment that fails is no error but a verdict.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    if !config.targets().any(|env| env == args.env) {
        return Err(Fault::usage("read the command line", format!("--env {}", args.env))
            .why(format!(
                "cfn/stacks.toml has the environments {}",
                config.targets().collect::<Vec<_>>().join(", ")
            ))
            .into());
    }
    causeway_command::report::begin(&args.report, &context)?;
    // What comes before the traffic is within the time of `--for`, too; a tenth of it, at most a second, is left for what
    // comes after.
    let bound = args.time.map(|time| (Instant::now() + time, Duration::from_secs(1).min(time / 10)));
    let opened = Unverified::open(&config, &crate::accounts::open_options(&context)?).await?;
    let interrupt = context.take_interrupts();
    tokio::pin!(interrupt);
    let first_look = async {
        let accounts = opened.verify(&config, std::slice::from_ref(&args.env)).await?;
        let account = accounts.get(&args.env)?.clone();
        let plan = plan(&context, &config, &account, &args).await?;
        anyhow::Ok((account, plan))
    };
    let (account, mut plan) = tokio::select! {
        biased;
        () = &mut interrupt => {
            return Err(Fault::new(Kind::Interrupted, "watch the deployment in", args.env)
                .why("it was interrupted before it began; nothing was seen")
                .into());
        }
        () = until(bound.map(|(end, _)| end)) => {
            return Err(Fault::new(Kind::TimedOut, "watch the deployment in", args.env)
                .why("the stack and its API were not found within the time of --for: AWS or the API did not answer; nothing was seen")
                .next("give it more time, and see that this machine reaches AWS")
                .into());
        }
        found = first_look => found?,
    };
    let account = &account;
    if let Some((end, rest)) = bound {
        let left = end.saturating_duration_since(Instant::now()).saturating_sub(rest);
        plan.until = match plan.until {
            Until::Done(_) => Until::Done(left),
            Until::For(_) => Until::For(left),
        };
    }
    if account.loopback {
        context
            .out
            .note("the local cloud splits traffic evenly; AWS's own split is random, so shares vary there");
    }
    let teller = Teller::new(&context.out, &plan);
    let rollouts = Rollouts::new(account);
    let ended = watcher::run(&plan, &rollouts, interrupt, |news| teller.tell(news)).await;
    teller.end();
    if let Some(fault) = ended.refused {
        return Err(fault
            .next("see that the profile may read CodeDeploy's deployments and CloudWatch's alarms")
            .into());
    }
    let (watched, mut verdict, mut cause) = (ended.watched, ended.verdict, ended.cause);
    let expected = tokio::select! {
        expected = expected(account, &plan) => expected,
        () = until(bound.map(|(end, _)| end)) => {
            let message = "which versions were released is not known: CloudFormation did not answer within the time of --for";
            context.out.line(&Line::Warning { message: message.to_owned() });
            BTreeMap::new()
        }
    };
    if verdict == Verdict::Healthy
        && let Some(other) = other_than_packaged(&watched, &expected)
    {
        (verdict, cause) = (Verdict::Unreachable, Some(other));
    }
    let mut outcome = Outcome::of(verdict);
    outcome.error = fault(verdict, &plan, cause);
    context.out.say(causeway_command::term::watched(&watched));
    outcome.data = to_value(&watched)?;
    outcome.data["expected"] = to_value(&expected)?;
    Ok(outcome)
}

/// Resolves when the time of `--for` is over; never without one.
async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The version that `package.json` named for each function, as the release wrote it into the stack: its outputs
/// `<Function>Version`. Empty where the stack cannot be asked any more; nothing is expected then.
async fn expected(account: &Account, plan: &Plan) -> BTreeMap<String, String> {
    let Ok(Some(info)) = Stacks::new(account).describe(&plan.stack).await else { return BTreeMap::new() };
    let of = |route: &Route| {
        let name = format!("{}version", route.function);
        let found = info.outputs.iter().find(|(output, _)| output.to_ascii_lowercase() == name)?.1;
        (found != "any").then(|| (route.function.clone(), found.clone()))
    };
    plan.routes.iter().filter_map(of).collect()
}

/// A function whose new version says that it is something else than what was packaged.
fn other_than_packaged(watched: &Watched, expected: &BTreeMap<String, String>) -> Option<String> {
    watched.deployments.iter().filter(|deploying| deploying.status == "Succeeded").find_map(|deploying| {
        let expected = expected.get(&deploying.function)?;
        let seen = watched.versions.get(&Tally::key(&deploying.function, &deploying.new))?;
        let other = seen.says.iter().find(|says| *says != expected)?;
        let (function, new) = (&deploying.function, &deploying.new);
        Some(format!("version {new} of {function} answers as {other}; package.json named {expected}"))
    })
}

fn fault(verdict: Verdict, plan: &Plan, cause: Option<String>) -> Option<Fault> {
    let (kind, next) = match verdict {
        Verdict::RolledBack => {
            (Kind::RolledBack, "the old version serves; fix the new one and release again")
        }
        Verdict::Unreachable => (
            Kind::Failed,
            "see that the API is deployed, is what was packaged, and can be reached from this machine",
        ),
        Verdict::Failed => {
            (Kind::Failed, "see the function's log by the request id; --max-errors says how many may fail")
        }
        Verdict::TimedOut
            if plan.terms.awaited && cause.as_deref().is_some_and(|c| c.contains("no deployment")) =>
        {
            (Kind::TimedOut, "see whether the release has come so far, and run the command again")
        }
        Verdict::TimedOut => (Kind::TimedOut, "the deployment goes on; run the command again to follow it"),
        Verdict::Interrupted => (Kind::Interrupted, "run the command again to go on watching"),
        _ => return None,
    };
    let what = if verdict == Verdict::RolledBack { "deploy" } else { "watch the deployment of" };
    Some(Fault::new(kind, what, plan.stack.as_str()).why(cause.unwrap_or_default()).next(next))
}

/// Finds the stack's API, deployments and alarms, and sees that the API is ours.
async fn plan(context: &Context, config: &Config, account: &Account, args: &Args) -> anyhow::Result<Plan> {
    let stack = match &args.isolated {
        Some(name) => config.names().isolated_stack(name),
        None => config.names().app_stack(&args.env),
    };
    let stacks = Stacks::new(account);
    let Some(info) = stacks.describe(&stack).await? else {
        return Err(Fault::failed("find the stack", stack)
            .why(format!("the account {} has no stack of that name", account.name))
            .next("release something first; the watcher follows what is deployed there")
            .into());
    };
    let url = address(&info, &stack)?;
    let resources = stacks.resources(&stack).await?;
    let routes: Vec<Route> = super::rehearse::version_routes(context, config)?
        .into_iter()
        .map(|(function, path)| Route { function, path })
        .collect();
    let api = ApiClient::new(url)?;
    ours(&api, &routes, url, &AGAIN).await?;
    Ok(Plan {
        env: args.env.clone(),
        api,
        routes,
        rate: args.rate,
        groups: groups(&resources),
        alarms: of_type(&resources, "AWS::CloudWatch::Alarm").map(|found| found.id.clone()).collect(),
        pace: if account.loopback { Duration::from_millis(300) } else { Duration::from_secs(5) },
        // Nobody says here how long a minute of the local cloud takes.
        minute: (!account.loopback).then_some(60.0),
        until: match args.time {
            Some(time) if args.wait => Until::Done(time),
            Some(time) => Until::For(time),
            None => Until::Done(LONGEST),
        },
        expecting: match args.time {
            Some(time) if args.wait => Some(time),
            _ => (args.wait || !info.status.is_settled()).then_some(watcher::BEGIN_LIMIT),
        },
        terms: Terms { max_errors: args.max_errors, awaited: args.wait },
        stack,
    })
}

/// The API's address, as the stack gives it.
fn address<'a>(info: &'a StackInfo, stack: &str) -> Result<&'a str, Fault> {
    let (why, next) = match info.outputs.get("ApiURL") {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => return Ok(url),
        Some(url) => (
            format!("its output ApiURL is {url:?}, which is no address"),
            "fix the output in the stack's template, and release it",
        ),
        None => (
            format!("the stack has no output ApiURL; it is {}", info.status),
            "wait until its first release is over; see its outputs in the console",
        ),
    };
    Err(Fault::failed("find the API", stack).why(why).next(next))
}

/// The pauses before an API that says "not now" is asked again whether it is ours.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Sees that an answer, if one comes, is one of ours: anybody may listen at an address. A gateway that throttles, or that a
/// firewall stands before, answers by itself, so 429 and 403 are asked about again.
async fn ours(api: &ApiClient, routes: &[Route], url: &str, again: &[Duration]) -> anyhow::Result<()> {
    let Some(route) = routes.first() else {
        return Err(Fault::failed("find the API", url).why("no function has a version route").into());
    };
    let mut pauses = again.iter();
    let answer = loop {
        // One that does not answer at all is the watch's to tell.
        let Ok(answer) = api.send(http::Method::GET, &route.path, None).await else { return Ok(()) };
        let says = answer.body.get("version").is_some() || answer.version.is_some();
        if says || answer.status.is_server_error() {
            return Ok(());
        }
        let not_now = [429, 403].contains(&answer.status.as_u16());
        match pauses.next().filter(|_| not_now) {
            Some(pause) => sleep(*pause).await,
            None => break answer,
        }
    };
    if answer.status == http::StatusCode::TOO_MANY_REQUESTS {
        return Ok(());
    }
    let how_often = if again.is_empty() || answer.status != http::StatusCode::FORBIDDEN {
        String::new()
    } else {
        format!(", {} times,", again.len() + 1)
    };
    let status = answer.status;
    Err(Fault::failed("watch the API", url)
        .why(format!("GET {} answered {status}{how_often} without a version: it is not ours", route.path))
        .next("see the stack's output ApiURL")
        .into())
}

fn of_type<'a>(
    resources: &'a BTreeMap<String, Physical>,
    kind: &'a str,
) -> impl Iterator<Item = &'a Physical> {
    resources.values().filter(move |found| found.resource_type == kind && !found.id.is_empty())
}

fn groups(resources: &BTreeMap<String, Physical>) -> Vec<Group> {
    let Some(application) = of_type(resources, "AWS::CodeDeploy::Application").next() else {
        return Vec::new();
    };
    of_type(resources, "AWS::CodeDeploy::DeploymentGroup")
        .map(|group| Group { application: application.id.clone(), name: group.id.clone() })
        .collect()
}

/// Says what happens: a live chart in a terminal, lines elsewhere.
struct Teller<'a> {
    out: &'a Out,
    env: String,
    state: Mutex<Telling>,
}

#[derive(Default)]
struct Telling {
    chart: Option<Chart>,
    /// When the last line about traffic was printed, and the second it went up to.
    said: u32,
    troubles: BTreeSet<String>,
    /// Deployments that are not over.
    at_work: BTreeSet<String>,
    weights: BTreeMap<String, (u32, u32)>,
}

impl<'a> Teller<'a> {
    fn new(out: &'a Out, plan: &Plan) -> Self {
        let chart = if out.is_interactive() {
            Chart::open(&plan.env, &plan.stack, plan.rate, plan.minute, out.has_colors())
        } else {
            None
        };
        let state = Mutex::new(Telling { chart, ..Telling::default() });
        Self { out, env: plan.env.clone(), state }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Telling> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn end(&self) {
        if let Some(chart) = self.state().chart.take() {
            chart.close();
        }
    }

    fn tell(&self, news: News<'_>) {
        let mut state = self.state();
        let lines = match news {
            News::Second(tally, elapsed) => {
                if let Some(chart) = &mut state.chart {
                    chart.draw(tally, elapsed);
                    return;
                }
                self.traffic(&mut state, tally, elapsed)
            }
            News::Deployment(before, now) => self.deployment(&mut state, before, now),
            News::Alarm { name, state: "ALARM", .. } => {
                let deploying = !state.at_work.is_empty();
                let means = if deploying {
                    "it rolls the deployment back"
                } else {
                    "it would stop a deployment at once"
                };
                vec![(
                    Some(Line::Warning { message: format!("the alarm {name} is in ALARM: {means}") }),
                    String::new(),
                )]
            }
            News::Alarm { name, state: now, before: Some("ALARM") } => {
                let message = format!("the alarm {name} cleared: it is {now}");
                vec![(Some(Line::Warning { message }), String::new())]
            }
            News::Alarm { name, state: now, .. } if state.chart.is_none() && !self.out.is_json() => {
                vec![(None, format!("  alarm {name}: {now}"))]
            }
            News::Alarm { .. } => Vec::new(),
            News::Trouble(message) => {
                // Once is enough for a person to know.
                if state.troubles.insert(message.clone()) {
                    vec![(Some(Line::Warning { message }), String::new())]
                } else {
                    Vec::new()
                }
            }
        };
        for (line, text) in lines {
            match (&mut state.chart, line) {
                (Some(chart), Some(line)) => {
                    chart.above(&causeway_command::term::plain(&line).unwrap_or_default())
                }
                (Some(chart), None) => chart.above(&text),
                (None, Some(line)) => self.out.line(&line),
                (None, None) => self.out.say(text),
            }
        }
    }

    fn deployment(
        &self,
        state: &mut Telling,
        before: Option<&Deploying>,
        now: &Deploying,
    ) -> Vec<(Option<Line>, String)> {
        let mut lines = Vec::new();
        if now.is_over() {
            state.at_work.remove(&now.id);
        } else {
            state.at_work.insert(now.id.clone());
        }
        if before.is_none() {
            lines.push((None, format!("  deployment {} of {}: {}", now.id, now.function, now.config)));
        }
        for (index, (event, status)) in now.events.iter().enumerate() {
            let old = before.and_then(|before| before.events.get(index)).map(|(_, status)| status.as_str());
            if old == Some(status.as_str()) {
                continue;
            }
            let status = match status.as_str() {
                "InProgress" => Status::Started,
                "Succeeded" => Status::Succeeded,
                "Failed" => Status::Failed,
                _ => continue,
            };
            lines.push((Some(self.step(now, event, status)), String::new()));
        }
        let weight = now.weight.round() as u32;
        let (old, minute) = state.weights.get(&now.id).copied().unwrap_or((0, 0));
        if weight != old {
            state.weights.insert(now.id.clone(), (weight, minute + 1));
            lines.push((
                Some(Line::Weight(Weight {
                    env: self.env.clone(),
                    function: now.function.clone(),
                    t_minutes: now.shifting.and_then(|shifting| shifting.minute_of(weight)).unwrap_or(minute),
                    old: now.old.clone(),
                    new: now.new.clone(),
                    new_weight: weight,
                })),
                String::new(),
            ));
        }
        if now.is_over() && before.is_none_or(|before| !before.is_over()) {
            let error = now.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            lines.push((None, format!("  deployment {} of {} {}{error}", now.id, now.function, now.status)));
        }
        lines
    }

    fn step(&self, now: &Deploying, event: &str, status: Status) -> Line {
        let sub = match event {
            "BeforeAllowTraffic" => "pre-hook",
            "AllowTraffic" => "shift",
            "AfterAllowTraffic" => "post-hook",
            other => other,
        };
        Line::Step(Step {
            stage: self.env.clone(),
            action: "deployment".to_owned(),
            sub: Some(sub.to_owned()),
            function: Some(now.function.clone()),
            status,
            mode: Mode::Executed,
            seconds: None,
            reason: None,
            checks: Vec::new(),
        })
    }

    /// Who answered since the last line, function by function.
    fn traffic(&self, state: &mut Telling, tally: &Tally, elapsed: f64) -> Vec<(Option<Line>, String)> {
        let now = elapsed as u32;
        if now < state.said + EVERY {
            return Vec::new();
        }
        // The second at work is not over.
        let seconds: Vec<_> = tally.seconds().filter(|s| s.at >= state.said && s.at + 1 < now).collect();
        state.said = now.saturating_sub(1);
        let mut lines = Vec::new();
        for function in tally.functions() {
            // A share that changed in between has a line of its own.
            let share =
                |second: &&Second| second.intended.get(&function).map_or(0, |share| share.round() as u32);
            for same in seconds.chunk_by(|a, b| share(a) == share(b)) {
                let new_weight = same.first().map_or(0, share);
                lines.push((Some(Line::Probe(self.probe(&function, new_weight, same))), String::new()));
            }
        }
        lines
    }

    /// What was asked of a function in some seconds.
    fn probe(&self, function: &str, new_weight: u32, seconds: &[&Second]) -> Probe {
        let prefix = format!("{function} ");
        let mut by_version = BTreeMap::new();
        for (key, count) in seconds.iter().flat_map(|second| &second.by_version) {
            if let Some(version) = key.strip_prefix(&prefix) {
                *by_version.entry(version.to_owned()).or_default() += count;
            }
        }
        let asked = |of: fn(&Asked) -> u32| -> u32 {
            seconds.iter().filter_map(|second| second.by_function.get(function)).map(of).sum()
        };
        Probe {
            env: self.env.clone(),
            function: function.to_owned(),
            new_weight,
            sent: asked(|asked| asked.sent),
            by_version,
            errors: asked(|asked| asked.errors),
        }
    }
}

#[cfg(test)]
mod tests;
