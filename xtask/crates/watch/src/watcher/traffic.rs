//! Steady traffic: an open model, where a request is sent when its time has come, whether or not others are answered.
//!
//! Latency counts from the intended time, so a server that stalls is seen as slow for every request that had to wait.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api_client::ApiClient;
use causeway_model::watch::Sample;

/// How many requests may be on their way at once: more would measure this machine.
const ON_THEIR_WAY: usize = 2_000;

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The function's short name.
    pub function: String,
    /// The path, relative to the API's address.
    pub path: String,
}

/// Sends requests at a rate, one route after the other, until the receiver of the samples is gone.
pub async fn drive(
    api: ApiClient,
    routes: Vec<Route>,
    rate: f64,
    samples: mpsc::UnboundedSender<(String, Sample)>,
) {
    drive_until(api, routes, rate, samples, std::future::pending(), Duration::ZERO).await;
}

/// The same until `stop` resolves. What is on its way then is waited for so long; what is not answered by then counts
/// as an error: every request that was sent has a sample.
pub async fn drive_until(
    api: ApiClient,
    routes: Vec<Route>,
    rate: f64,
    samples: mpsc::UnboundedSender<(String, Sample)>,
    stop: impl Future<Output = ()>,
    last_answers: Duration,
) {
    let begin = Instant::now();
    let ways = Arc::new(Semaphore::new(ON_THEIR_WAY));
    // Dropped, it ends what is on its way.
    let mut open = JoinSet::new();
    tokio::pin!(stop);
    for (count, route) in (0_u64..).zip(routes.iter().cycle()) {
        let intended = count as f64 / rate;
        let at = begin + Duration::from_secs_f64(intended);
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = samples.closed() => return,
            () = sleep_until(at) => {}
        }
        while open.try_join_next().is_some() {}
        let (function, path) = (route.function.clone(), route.path.clone());
        let Ok(way) = Arc::clone(&ways).try_acquire_owned() else {
            let error = format!("not sent: {ON_THEIR_WAY} requests are on their way");
            let sample = Sample { intended, error: Some(error), ..Sample::default() };
            if samples.send((function, sample)).is_err() {
                return;
            }
            continue;
        };
        let (api, request) = (
            api.clone(),
            Request { function, path, intended, at, samples: samples.clone(), answered: None, _way: way },
        );
        open.spawn(async move {
            let answered = ask(&api, &request.path).await;
            request.end(answered);
        });
    }
    let _ = timeout(last_answers, async { while open.join_next().await.is_some() {} }).await;
}

/// A request on its way. Dropped, it says what became of it, and so does one that is given up.
struct Request {
    function: String,
    path: String,
    intended: f64,
    at: Instant,
    samples: mpsc::UnboundedSender<(String, Sample)>,
    answered: Option<Answered>,
    _way: OwnedSemaphorePermit,
}

impl Request {
    /// Notes what came of it.
    fn end(mut self, answered: Answered) {
        self.answered = Some(answered);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let millis = self.at.elapsed().as_secs_f64() * 1_000.0;
        let answered = self.answered.take().unwrap_or_else(|| Answered {
            error: Some(format!("GET {}: no answer by the end of the watch", self.path)),
            ..Answered::default()
        });
        let Answered { version, says, new_weight, error } = answered;
        let sample = Sample { intended: self.intended, millis, version, says, new_weight, error };
        let _ = self.samples.send((std::mem::take(&mut self.function), sample));
    }
}

/// What came of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// Lambda's number of the version that answered.
    pub version: Option<String>,
    /// The workload's own version, as it says it.
    pub says: Option<String>,
    /// Percent that the new version had when the version was picked, where the answer says it.
    pub new_weight: Option<u32>,
    /// What went wrong.
    pub error: Option<String>,
}

/// Sends one request.
pub async fn ask(api: &ApiClient, path: &str) -> Answered {
    match api.send(Method::GET, path, None).await {
        Err(error) => {
            let why = causeway_model::fault::from_error(&error).why;
            Answered { error: Some(format!("GET {path}: {why}")), ..Answered::default() }
        }
        Ok(answer) => {
            let id = answer.request_id.map(|id| format!(", request {id}")).unwrap_or_default();
            let version = answer.lambda_version.filter(|version| version != "none");
            let error = match (answer.status.is_success(), &version, &answer.version) {
                (false, _, _) => Some(format!("GET {path} answered {}{id}", answer.status.as_u16())),
                (true, Some(_), Some(_)) => None,
                (true, _, _) => Some(format!("GET {path}: the answer names no version{id}")),
            };
            Answered { version, says: answer.version, new_weight: answer.new_weight, error }
        }
    }
}
