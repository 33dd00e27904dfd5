//! Executions as a client sees them: control calls of a real front, with a scripted pipeline in place of the runner.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum_server::Handle;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::control::Control;
use crate::emulator::Client;
use crate::lower::Target;
use crate::pipeline::Approval;
use crate::pipeline::journal::Event;
use crate::state::State;
use crate::{front, tls};
use causeway_machine::cmd::{cmd, command};
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_machine::process::Ending;
use causeway_model::judgement::Judgements;
use causeway_model::strain::Strain;

/// A front at work.
struct Served {
    cloud: Arc<Cloud>,
    paths: Paths,
    state: State,
    handle: Handle<SocketAddr>,
    _dir: TempDir,
}

impl Served {
    async fn with(
        runner: impl Fn(&Arc<Cloud>, Order, Arc<Active>) -> Running + Send + Sync + 'static,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::of(dir.path()).with_local(dir.path());
        let leaf = tls::issue(&paths).unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = State {
            v: 1,
            pid: 0,
            port: listener.local_addr().unwrap().port(),
            region: "eu-central-1".to_owned(),
            project: "causeway".to_owned(),
            accounts: BTreeMap::new(),
            token: "the token".to_owned(),
            root_secret: "s".to_owned(),
            urls: BTreeMap::new(),
        };
        let target = Target { endpoint: String::new(), bundle: String::new(), architecture: String::new() };
        // No control call reaches the emulator.
        let emulator = Client::new(9, &state.region).unwrap();
        let minute = Duration::from_secs(60);
        let cloud =
            Arc::new(Cloud::new(emulator, target, Expander::idle(), paths.clone(), state.clone(), minute));
        cloud.executions.script(runner);
        let handle = Handle::new();
        tokio::spawn(front::serve(Arc::clone(&cloud), listener, leaf, handle.clone()));
        handle.listening().await.unwrap();
        Self { cloud, paths, state, handle, _dir: dir }
    }

    fn client(&self) -> Control {
        Control::new(&self.paths, &self.state).unwrap()
    }
}

fn order() -> Order {
    Order {
        config: String::new(),
        source: Arc::new(b"zip".to_vec()),
        commit: "abc".to_owned(),
        revision: BTreeMap::new(),
        walks: false,
        gates_open: false,
        uncommitted: 0,
        caller_environment: BTreeMap::new(),
        build_environment: BTreeMap::new(),
        test_environment: BTreeMap::new(),
        approval: Approval::Ask,
        swap: None,
        probes: BTreeMap::new(),
        owner: Owner::this(),
    }
}

fn released() -> anyhow::Result<Ran> {
    Ok(Ran {
        ended: Ended::Released,
        watched: BTreeMap::new(),
        judged: Judgements::default(),
        strained: Strain::default(),
        told: Vec::new(),
    })
}

fn say(active: &Active, message: &str) {
    active.journal.add(What::Line { line: Line::Warning { message: message.to_owned() } });
}

/// What events say, in short.
fn said(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.what {
        What::Line { line: Line::Warning { message } } => message.clone(),
        What::Question { action, .. } => format!("{action}?"),
        What::Answered { approved, by, .. } => format!("{approved} by {by}"),
        What::Over { conclusion: Conclusion::Ended { ended, .. } } => format!("{ended:?}"),
        What::Over { conclusion: Conclusion::Stopped { reason } } => format!("stopped: {reason}"),
        other => format!("{other:?}"),
    };
    events.iter().map(text).collect()
}

/// Reads on until this many events are there.
async fn read(client: &Control, id: &str, mut after: u64, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut nothing = 0;
    while events.len() < count {
        let news = client.execution_news(id, after, u64::MAX).await.unwrap();
        nothing += u32::from(news.events.is_empty());
        assert!(nothing < 4, "{} of {count} events came: {events:?}", events.len());
        after += u64::try_from(news.events.len()).unwrap();
        events.extend(news.events);
    }
    events
}

#[tokio::test]
async fn nothing_is_lost_to_a_client_that_comes_back() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let served = Served::with(move |_, order, active| {
        let go = Arc::clone(&wait);
        Box::pin(async move {
            say(&active, &format!("{} {}", order.commit, String::from_utf8_lossy(&order.source)));
            say(&active, "two");
            active.journal.progress("units 1 of 3");
            go.notified().await;
            say(&active, "three");
            released()
        })
    })
    .await;
    let client = served.client();
    let id = client.start_execution(&order()).await.unwrap();
    assert_eq!(said(&read(&client, &id, 0, 2).await), ["abc zip", "two"]);
    let progress = client.execution_news(&id, 2, 0).await.unwrap().progress.unwrap();
    assert_eq!(progress.text, "units 1 of 3");
    drop(client);
    go.notify_one();
    let client = served.client();
    let rest = read(&client, &id, 1, 3).await;
    assert_eq!(said(&rest), ["two", "three", "Released"]);
    assert_eq!(rest.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3, 4]);
    // It ended; it can be read once more all the same.
    assert_eq!(read(&client, &id, 0, 4).await.len(), 4);
    let state = served.cloud.executions.get(&id).unwrap().state();
    assert_eq!(state.status, ExecutionStatus::Succeeded);
}

#[tokio::test]
async fn one_execution_runs_at_a_time() {
    let served = Served::with(|_, _, _| Box::pin(std::future::pending())).await;
    let client = served.client();
    client.executions_free().await.unwrap();
    let first = client.start_execution(&order()).await.unwrap();
    for refused in [client.start_execution(&order()).await.map(|_| ()), client.executions_free().await] {
        let fault = from_error(&refused.unwrap_err());
        assert_eq!((fault.kind, fault.what.as_str()), (Kind::Stuck, "start the release"));
        assert!(fault.why.contains(&format!("process {}", std::process::id())), "{}", fault.why);
    }
    client.stop_execution(&first, "enough").await.unwrap();
    let second = client.start_execution(&order()).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(served.cloud.executions.all().len(), 2);
}

#[tokio::test]
async fn an_approval_takes_the_one_answer_that_names_it() {
    let served = Served::with(|_, _, active| {
        Box::pin(async move {
            let Decision { yes, said } = active.ask("Prod", "Approve", &[]).await?;
            say(&active, &format!("{yes}: {said}"));
            Ok(Ran {
                ended: Ended::Rejected,
                watched: BTreeMap::new(),
                judged: Judgements::default(),
                strained: Strain::default(),
                told: Vec::new(),
            })
        })
    })
    .await;
    let client = served.client();
    let id = client.start_execution(&order()).await.unwrap();
    let events = read(&client, &id, 0, 1).await;
    let What::Question { token, .. } = &events[0].what else { panic!("{events:?}") };
    let answer = |token: &str| Answer {
        token: token.to_owned(),
        approved: false,
        summary: "not today".to_owned(),
        by: "somebody".to_owned(),
    };
    assert!(client.answer_approval(&id, &answer("another")).await.is_err());
    client.answer_approval(&id, &answer(token)).await.unwrap();
    assert!(client.answer_approval(&id, &answer(token)).await.is_err(), "once");
    let rest = said(&read(&client, &id, 1, 3).await);
    assert_eq!(rest, ["false by somebody", "false: not today", "Rejected"]);
}

#[tokio::test]
async fn what_is_stopped_leaves_no_build_and_says_why() {
    let served = Served::with(|cloud, _, active| {
        let builds = cloud.paths.processes().join("builds");
        Box::pin(async move {
            let command = command(Path::new("."), |sh| cmd!(sh, "sh -c 'sleep 600 & sleep 600'"))?;
            let mut group = process::spawn(command, "build", &builds, Ending::Kill)?;
            say(&active, &group.id().to_string());
            let _ = group.child().wait().await;
            released()
        })
    })
    .await;
    let client = served.client();
    let id = client.start_execution(&order()).await.unwrap();
    let events = read(&client, &id, 0, 1).await;
    let group: i32 = said(&events)[0].parse().unwrap();
    assert!(process::start_time(group).is_some());
    client.stop_execution(&id, "Ctrl-C").await.unwrap();
    gone(group).await;
    assert_eq!(said(&read(&client, &id, 1, 1).await), ["stopped: Ctrl-C"]);
    let state = served.cloud.executions.get(&id).unwrap().state();
    assert_eq!(state.status, ExecutionStatus::Stopped);
    assert_eq!(state.stop_trigger.unwrap().reason, "Ctrl-C");
    assert!(client.stop_execution("no such", "x").await.is_err());
}

#[tokio::test]
async fn an_execution_ends_with_its_owner() {
    let served = Served::with(|_, _, _| Box::pin(std::future::pending())).await;
    let client = served.client();
    let gone = Owner { started: 1, ..Owner::this().unwrap() };
    let id = client.start_execution(&Order { owner: Some(gone), ..order() }).await.unwrap();
    assert_eq!(said(&read(&client, &id, 0, 1).await), ["stopped: the command that started it is gone"]);
    // Nobody's goes on until it is stopped.
    let id = client.start_execution(&Order { owner: None, ..order() }).await.unwrap();
    assert!(!served.cloud.executions.get(&id).unwrap().journal.is_over());
    assert!(client.executions_free().await.is_err());
}

#[tokio::test]
async fn a_cloud_that_ends_tells_who_follows() {
    let served = Served::with(|_, _, _| Box::pin(std::future::pending())).await;
    let client = served.client();
    let id = client.start_execution(&order()).await.unwrap();
    let (told, ()) = tokio::join!(read(&client, &id, 0, 1), served.cloud.executions.end("it ends"));
    assert_eq!(said(&told), ["stopped: it ends"]);
    served.handle.shutdown();
    assert!(client.execution_news(&id, 1, 0).await.is_err(), "and then nobody answers");
}

#[tokio::test]
async fn a_defect_of_the_runner_is_an_end_too() {
    let served = Served::with(|_, _, _| Box::pin(async { panic!("the sky fell") })).await;
    let client = served.client();
    let id = client.start_execution(&order()).await.unwrap();
    let events = read(&client, &id, 0, 1).await;
    let What::Over { conclusion: Conclusion::Refused { fault } } = &events[0].what else {
        panic!("{events:?}")
    };
    assert!(fault.why.contains("a defect"), "{fault}");
    client.executions_free().await.unwrap();
}

#[tokio::test]
async fn only_who_has_the_token_starts_follows_and_stops() {
    let served = Served::with(|_, _, _| Box::pin(std::future::pending())).await;
    let id = served.client().start_execution(&order()).await.unwrap();
    let stranger = Control::new(&served.paths, &State { token: "t".into(), ..served.state.clone() }).unwrap();
    let refused = |result: anyhow::Result<()>| assert!(result.unwrap_err().to_string().contains("403"));
    refused(stranger.start_execution(&order()).await.map(|_| ()));
    refused(stranger.execution_news(&id, 0, 0).await.map(|_| ()));
    refused(stranger.stop_execution(&id, "x").await);
    assert!(!served.cloud.executions.get(&id).unwrap().journal.is_over());
    assert_eq!(json!(served.cloud.executions.all())[0]["trigger"]["triggerType"], "StartPipelineExecution");
}

/// Until nothing of a process is there: what is killed goes when the kernel comes to it. One that stays hangs the test.
async fn gone(id: i32) {
    while process::start_time(id).is_some() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
