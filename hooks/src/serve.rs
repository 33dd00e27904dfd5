//! From Lambda's runtime to the hook and back.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};

use crate::clients::{self, Clients};
use crate::hook::Hook;
use crate::report::{FIRST_PAUSE, LifecycleEvent};
use crate::settings::{Phase, Settings};
use crate::suites::Suite;

/// Runs a hook until Lambda ends the process. `version` is what the build stamped into the binary; `suites` are the
/// checks that the template chooses from.
pub async fn run(phase: Phase, version: &'static str, suites: &'static [Suite]) -> ExitCode {
    crate::log::init();
    let clients = match clients::read(|name| std::env::var(name).ok()) {
        Ok((config, endpoints)) => Clients::new(&config, endpoints),
        Err(error) => {
            tracing::error!(phase = phase.name(), version, %error, "the hook cannot run");
            return ExitCode::FAILURE;
        }
    };
    let settings = Settings::from_env();
    let hook = Arc::new(Hook { phase, settings, suites, clients, pause: FIRST_PAUSE });
    tracing::info!(phase = phase.name(), version, "started");
    let served = lambda_runtime::run(service_fn(move |event: LambdaEvent<LifecycleEvent>| {
        let hook = hook.clone();
        async move {
            let time_left = until(event.context.deadline());
            hook.handle(&event.payload, time_left).await.map_err(|error| Diagnostic {
                error_type: "ReportError".to_owned(),
                error_message: error.to_string(),
            })
        }
    }))
    .await;
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(phase = phase.name(), version, %error, "the hook cannot run");
            ExitCode::FAILURE
        }
    }
}

/// The time until Lambda's deadline, which is a time of the clock; nothing when it is over.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
fn until(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default()
}
