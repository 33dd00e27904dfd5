//! What a watch makes of single answers: late ones, errors, alarms that change, and none at all.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_api_that_never_answers_is_unreachable() {
    // One request each 20 ms, the first at once, whether or not those before it are answered.
    let (step, steps) = (Duration::from_millis(20), 15);
    for (how, word) in [(Api::Silent, "no answer by the end of the watch"), (Api::Huge, "larger than")] {
        let (clock, asked, told) = (hold(), Arc::new(AtomicUsize::new(0)), Told::default());
        let url = counting(how, Arc::clone(&asked)).await;
        let plan = plan(&url, Until::For((step * steps + step / 2) * 5 / 4));
        let arrived = async |count: u32| {
            while asked.load(Ordering::SeqCst) < count as usize {
                yield_now().await;
            }
        };
        let passes = async {
            for sent in 1..=steps {
                arrived(sent).await;
                advance(step).await;
            }
            arrived(steps + 1).await;
            advance(step).await;
            // Given free, the clock passes what is left for the last answers; without, they are heard first.
            matches!(how, Api::Huge).then_some(clock)
        };
        let watch = telling(&plan, vec![Stage::None], pending(), &told);
        let (ended, _clock) = soon("the end of the watch", async { tokio::join!(watch, passes) }).await;
        assert_eq!(ended.verdict, Verdict::Unreachable, "{:?}", ended.cause);
        assert!(ended.cause.as_ref().unwrap().contains(word), "{:?}", ended.cause);
        let counted: u64 = ended.watched.failures.values().sum();
        let sent: u32 = ended.watched.seconds.iter().map(|second| second.sent).sum();
        assert_eq!(counted, u64::from(sent), "every request that was sent is counted");
        assert_eq!(sent, steps + 1);
    }
}

/// A machine that is too busy to send makes every request that had to wait a slow one.
#[tokio::test(start_paused = true)]
async fn latency_counts_from_the_intended_time() {
    let _clock = hold();
    let plan = plan(&api(Api::Good).await, Until::For(LIMIT));
    let (samples, mut heard) = mpsc::unbounded_channel();
    let driver = drive_until(plan.api, plan.routes, plan.rate, samples, pending(), LAST_ANSWERS);
    let driver = tokio::spawn(driver);
    let mut next = async || soon("an answer", heard.recv()).await.unwrap().1;
    let first = next().await;
    assert_eq!((first.error, first.intended, first.millis), (None, 0.0, 0.0));
    // Fifty requests should have been sent meanwhile, and are sent now.
    advance(Duration::from_secs(1)).await;
    for _ in 0..50 {
        let sample = next().await;
        let late = (1.0 - sample.intended) * 1_000.0;
        assert!(sample.error.is_none() && (sample.millis - late).abs() < 1.0, "{late}: {sample:?}");
    }
    driver.abort();
}

#[tokio::test]
async fn the_first_error_has_its_request_id() {
    let (ended, _) = watched(Api::Failing, vec![GOING, DONE], Until::Done(LIMIT)).await;
    assert_eq!(ended.watched.first_error.as_deref(), Some("GET api/version answered 500, request r-1"));
    let (ended, _) = watched(Api::Unversioned, vec![GOING, DONE], Until::Done(LIMIT)).await;
    assert_eq!(ended.watched.first_error.as_deref(), Some("GET api/version: the answer names no version"));
}

#[tokio::test]
async fn an_interrupted_watch_says_what_it_saw() {
    let (plan, told) = (plan(&api(Api::Good).await, Until::Done(LIMIT)), Told::default());
    let ended = telling(&plan, vec![GOING], has_told(&told, "InProgress"), &told).await;
    assert_eq!(ended.verdict, Verdict::Interrupted);
    assert_eq!(ended.cause.unwrap(), "it was interrupted; 1 deployments go on, and were left alone");
}

#[tokio::test]
async fn alarms_that_change_or_are_missing_are_told() {
    let raised = Stage::At("InProgress", 10.0, ["Succeeded", "InProgress", "Pending"], None, "ALARM");
    let rollouts = Aws::start(vec![GOING, raised, DONE]).await;
    let mut plan = plan(&api(Api::Good).await, Until::Done(LIMIT));
    plan.alarms.push("app-gone".to_owned());
    let mut told = Vec::new();
    run(&plan, &rollouts, pending(), |news| match news {
        News::Alarm { name, state, before } => told.push(format!("{name} {before:?} {state}")),
        News::Trouble(text) => told.push(text),
        _ => {}
    })
    .await;
    let expected = [
        "the alarm app-gone of the stack does not exist, so it guards nothing",
        "app-errors None OK",
        "app-errors Some(\"OK\") ALARM",
        "app-errors Some(\"ALARM\") OK",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_keeps_an_answer_away_is_named() {
    // A port where nobody listens, one that hangs up, one that speaks no TLS, and a name that cannot exist: its label is
    // longer than 63 bytes, so that no resolver has to be asked.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let free = deaf.local_addr().unwrap();
    let hanging_up = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let rude = hanging_up.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = hanging_up.accept().await {
            let mut some = [0; 16];
            let _ = stream.read(&mut some).await;
            // Unread bytes make the kernel answer with a reset.
            drop(stream);
        }
    });
    let plain = api(Api::Good).await;
    let table = [
        (format!("http://{free}"), "refused"),
        (format!("http://{rude}"), "connection"),
        (plain.replace("http://", "https://"), "InvalidContentType"),
        (format!("http://{}.invalid", "x".repeat(64)), "dns error"),
    ];
    for (url, word) in table {
        let answered = timeout(LIMIT, ask(&ApiClient::new(&url).unwrap(), "api/version")).await.unwrap();
        let error = answered.error.unwrap();
        assert!(error.contains(word), "{url}: {error}");
    }
}
