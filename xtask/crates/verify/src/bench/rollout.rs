//! `bench rollout`: what the edge costs before a function that costs nothing, and whether the watcher keeps its rate.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::hundredths;
use causeway_cloud::edge_stub;
use causeway_command::Context;
use causeway_model::fault::Fault;
use causeway_watch::api_client::ApiClient;
use causeway_watch::watcher::traffic::{self, Route};

/// How long each part is measured.
const TIME: Duration = Duration::from_secs(5);
/// Requests on their way at once, for the throughput.
const AT_ONCE: usize = 16;
/// The watcher's rate.
const RATE: f64 = 200.0;

/// When requests arrived at the stub.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

/// How far the watcher's rate may be from the intended one, in percent.
const KEPT_WITHIN: f64 = 1.0;

/// Measures all of it.
///
/// # Errors
/// No port is free, or the watcher did not keep its rate within [`KEPT_WITHIN`] percent.
pub(super) async fn run(context: &Context) -> anyhow::Result<Value> {
    let (port, arrivals) = stub().await?;
    let direct = format!("http://127.0.0.1:{port}/");
    let dir = tempfile::tempdir().context("make a temporary folder")?;
    let (_cloud, edge) = edge_stub::stub(dir.path(), port).await?;
    context.out.note("one request at a time");
    let (alone, before) = (latency(&direct).await?, latency(&edge).await?);
    context.out.note(format!("{AT_ONCE} at once"));
    let (floor, through) = (throughput(&direct).await?, throughput(&edge).await?);
    context.out.note(format!("the watcher at {RATE} a second"));
    let kept = watcher(&direct, &arrivals).await?;
    let added = |of: fn(&Histogram<u32>) -> u64| (of(&before) as f64 - of(&alone) as f64) / 1_000.0;
    let p50 = added(|histogram| histogram.value_at_quantile(0.5));
    let p99 = added(|histogram| histogram.value_at_quantile(0.99));
    let deviation = (kept / RATE - 1.0) * 100.0;
    context.out.say(format!("  {:<34} {:>10} {:>10} {:>7}", "", "stub alone", "with edge", "ratio"));
    context.out.say(format!(
        "  {:<34} {floor:>10.0} {through:>10.0} {:>7.2}",
        "requests a second",
        through / floor
    ));
    context.out.say(format!("  {:<34} {:>10} {p50:>10.2}", "p50 added by the edge, ms", ""));
    context.out.say(format!("  {:<34} {:>10} {p99:>10.2}", "p99 added by the edge, ms", ""));
    context.out.say(format!(
        "  {:<34} {RATE:>10.0} {kept:>10.2} {deviation:>6.2} %",
        "the watcher: intended, kept, off by"
    ));
    if deviation.abs() > KEPT_WITHIN {
        return Err(Fault::failed("keep the watcher's rate", format!("{RATE} requests a second"))
            .why(format!("{kept:.2} a second arrived, off by {deviation:.2} %; {KEPT_WITHIN} % are allowed"))
            .next("see that nothing else keeps this machine busy, and measure again")
            .into());
    }
    Ok(json!({
        "edge": {
            "requests_per_second": hundredths(through), "stub_alone": hundredths(floor),
            "ratio": hundredths(through / floor), "p50_added_ms": hundredths(p50), "p99_added_ms": hundredths(p99),
        },
        "watcher": {
            "intended": RATE, "kept": hundredths(kept), "off_by_percent": hundredths(deviation),
            "seconds": TIME.as_secs(),
        },
    }))
}

/// A server that answers at once: to a client as the API does, to the edge as Lambda does.
async fn stub() -> anyhow::Result<(u16, Arrivals)> {
    let arrivals = Arrivals::default();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.context("listen for the stub")?;
    let port = listener.local_addr().context("listen for the stub")?.port();
    let app = Router::new().fallback(answer).with_state(Arc::clone(&arrivals));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((port, arrivals))
}

async fn answer(State(arrivals): State<Arrivals>) -> Response {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    // As an API it is read by its headers, as a function by its body, and as an alias, which splits evenly, by what is in it.
    let body = json!({
        "statusCode": 200, "headers": {"x-causeway-version": "1"}, "body": "{\"version\":\"1\"}",
        "FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}},
    });
    let mut response = Response::new(Body::from(body.to_string()));
    for name in ["x-causeway-version", "x-causeway-lambda-version"] {
        response.headers_mut().insert(name, http::HeaderValue::from_static("1"));
    }
    response
}

/// Microseconds of requests that are sent one after the other.
async fn latency(url: &str) -> anyhow::Result<Histogram<u32>> {
    let api = ApiClient::new(url)?;
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000, 3).context("make a histogram")?;
    let begin = Instant::now();
    while begin.elapsed() < TIME {
        let sent = Instant::now();
        asked(&api).await?;
        histogram.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(histogram)
}

/// Requests a second when several are always on their way.
async fn throughput(url: &str) -> anyhow::Result<f64> {
    let api = ApiClient::new(url)?;
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let api = api.clone();
        workers.spawn(async move {
            let mut count = 0_u64;
            while begin.elapsed() < TIME {
                asked(&api).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut all = 0;
    while let Some(joined) = workers.join_next().await {
        all += joined??;
    }
    Ok(all as f64 / begin.elapsed().as_secs_f64())
}

/// Sends one request, which must be answered well.
async fn asked(api: &ApiClient) -> anyhow::Result<()> {
    let answered = traffic::ask(api, edge_stub::ROUTE).await;
    match answered.error {
        None => Ok(()),
        Some(error) => anyhow::bail!("the stub did not answer: {error}"),
    }
}

/// The rate at which the watcher's requests arrive.
async fn watcher(url: &str, arrivals: &Arrivals) -> anyhow::Result<f64> {
    let api = ApiClient::new(url)?;
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let (samples, mut sampled) = mpsc::unbounded_channel();
    let route = Route { function: "stub".to_owned(), path: edge_stub::ROUTE.to_owned() };
    let begin = Instant::now();
    let driving = tokio::spawn(traffic::drive(api, vec![route], RATE, samples));
    let all = async { while sampled.recv().await.is_some() {} };
    let _ = timeout(TIME, all).await;
    driving.abort();
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds: Vec<f64> = arrivals.iter().map(|at| at.duration_since(begin).as_secs_f64()).collect();
    anyhow::ensure!(seconds.len() > 1, "no request of the watcher arrived");
    Ok(rate(&seconds))
}

/// The rate of events at these seconds: the slope of the line that fits their count best. A machine that is late with the
/// first or the last of them alone does not change it much.
fn rate(seconds: &[f64]) -> f64 {
    let count = seconds.len() as f64;
    let (middle, half) = (seconds.iter().sum::<f64>() / count, (count - 1.0) / 2.0);
    let (mut both, mut square) = (0.0, 0.0);
    for (number, at) in seconds.iter().enumerate() {
        both += (at - middle) * (number as f64 - half);
        square += (at - middle).powi(2);
    }
    both / square
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_rate_is_that_of_all_arrivals() {
        let steady: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 200.0).collect();
        assert!((rate(&steady) - 200.0).abs() < 0.001);
        let mut late = steady.clone();
        late[0] += 0.05;
        late[999] += 0.05;
        assert!((rate(&late) / 200.0 - 1.0).abs() < 0.001, "{}", rate(&late));
        let slow: Vec<f64> = steady.iter().map(|at| at * 1.02).collect();
        assert!((rate(&slow) / 200.0 - 1.0).abs() > 0.01, "{}", rate(&slow));
    }
}
