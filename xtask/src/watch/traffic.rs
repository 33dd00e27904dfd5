//! Steady traffic: an open model, where a request is sent when its time has come, whether or not others are answered.
//!
//! Latency counts from the intended time, so a server that stalls is seen as slow for every request that had to wait.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::api_client::ApiClient;
use crate::model::watch::Sample;

/// How many requests may be on their way at once: more would measure this machine.
const ON_THEIR_WAY: usize = 2_000;

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The function's short name.
    pub(crate) function: String,
    /// The path, relative to the API's address.
    pub(crate) path: String,
}

/// Sends requests at a rate, one route after the other, until the receiver of the samples is gone.
pub(crate) async fn drive(
    api: ApiClient,
    routes: Vec<Route>,
    rate: f64,
    samples: mpsc::UnboundedSender<(String, Sample)>,
) {
    let begin = Instant::now();
    let ways = Arc::new(Semaphore::new(ON_THEIR_WAY));
    for (count, route) in (0_u64..).zip(routes.iter().cycle()) {
        let intended = count as f64 / rate;
        let at = begin + Duration::from_secs_f64(intended);
        tokio::select! {
            () = sleep_until(at) => {}
            () = samples.closed() => return,
        }
        let (function, path) = (route.function.clone(), route.path.clone());
        let Ok(way) = Arc::clone(&ways).try_acquire_owned() else {
            let error = format!("not sent: {ON_THEIR_WAY} requests are on their way");
            let sample = Sample { intended, millis: 0.0, version: None, error: Some(error) };
            if samples.send((function, sample)).is_err() {
                return;
            }
            continue;
        };
        let (api, samples) = (api.clone(), samples.clone());
        tokio::spawn(async move {
            let (version, error) = ask(&api, &path).await;
            let millis = at.elapsed().as_secs_f64() * 1_000.0;
            let _ = samples.send((function, Sample { intended, millis, version, error }));
            drop(way);
        });
    }
}

/// Sends one request: Lambda's number of the version that answered, and what went wrong.
pub(crate) async fn ask(api: &ApiClient, path: &str) -> (Option<String>, Option<String>) {
    match api.send(Method::GET, path, None).await {
        Err(error) => (None, Some(format!("GET {path}: {}", crate::model::fault::from_error(&error).why))),
        Ok(answer) => {
            let id = answer.request_id.map(|id| format!(", request {id}")).unwrap_or_default();
            let version = answer.lambda_version.filter(|version| version != "none");
            let error = match (answer.status.is_success(), &version, &answer.version) {
                (false, _, _) => Some(format!("GET {path} answered {}{id}", answer.status.as_u16())),
                (true, Some(_), Some(_)) => None,
                (true, _, _) => Some(format!("GET {path}: the answer names no version{id}")),
            };
            (version, error)
        }
    }
}
