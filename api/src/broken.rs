//! How a version misbehaves that is broken on purpose, for `cargo xtask rehearse --break-prod`.
//!
//! Part of the binaries `checkin-broken` and `contacts-broken` and not of the library, so nothing of this is in what is released.
//! Each has its function's own routes, and a layer around each handler that misbehaves in prod, and only there. `package` puts it
//! into the place of its function beside the local cloud alone (`[package.metadata.causeway.broken]`), and refuses a binary that
//! contains [`MARK`] anywhere else.

use std::process::ExitCode;
use std::time::Duration;

use api::serve::{Identity, Routes};
use api::settings::Settings;
use api::start::start_as;
use api::store::DynamoStore;
use axum::extract::{Request, State};
use axum::http::header::USER_AGENT;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

/// Stands in every binary that is broken on purpose, and in no other.
const MARK: &str = "causeway-broken-on-purpose";

/// More than twice what the alarm on slow answers allows. A rehearsal compares with the old version: wherever that one is
/// within the threshold, the difference is beyond it, on however busy a machine.
const SLOW: Duration = Duration::from_millis(4_500);

/// How it misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Its handlers fail, as badly as they can: clients get errors; the hooks' checks pass.
    Errors,
    /// Clients wait for seconds; the hooks' checks pass.
    Slow,
    /// Its handlers fail when the hooks ask.
    Hook,
    /// The process ends at its start.
    Crash,
    /// It says that it is another version.
    WrongVersion,
}

impl Broken {
    fn read(word: &str, environment: &str) -> Option<Self> {
        match word {
            _ if environment != "prod" => None,
            "errors" => Some(Self::Errors),
            "slow" => Some(Self::Slow),
            "hook" => Some(Self::Hook),
            "crash" => Some(Self::Crash),
            "wrong-version" => Some(Self::WrongVersion),
            _ => None,
        }
    }
}

/// Misbehaves before a handler does its work.
#[expect(clippy::panic, reason = "what fails on purpose must fail as a handler can")]
async fn misbehave(State(broken): State<Broken>, request: Request, next: Next) -> Response {
    let hook = request.headers().get(USER_AGENT).is_some_and(|agent| agent == "causeway-hook");
    match (broken, hook) {
        (Broken::Errors, false) | (Broken::Hook, true) => panic!("broken on purpose"),
        (Broken::Slow, false) => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    next.run(request).await
}

/// Runs a function with its own routes, broken as a rehearsal's build or a test says.
pub(crate) async fn run(identity: Identity, routes: Routes<DynamoStore>) -> ExitCode {
    start_as(identity, |settings| broken(identity, routes, settings)).await
}

/// A rehearsal's build knows how. A test says it to the process and is believed: it runs in that build, too.
fn how<'a>(told: Option<&'a str>, built: Option<&'a str>) -> &'a str {
    told.or(built).unwrap_or_default()
}

fn broken(
    identity: Identity,
    routes: Routes<DynamoStore>,
    settings: &Settings,
) -> Result<(Identity, Routes<DynamoStore>), lambda_http::Error> {
    let told = std::env::var("CAUSEWAY_BREAK_PROD").ok();
    let how = how(told.as_deref(), option_env!("CAUSEWAY_BREAK_PROD"));
    let broken = Broken::read(how, &settings.environment);
    tracing::warn!(mark = MARK, how = ?broken, "this version is broken on purpose");
    let Some(broken) = broken else { return Ok((identity, routes)) };
    let identity = match broken {
        Broken::Crash => return Err("broken on purpose: crash".into()),
        Broken::WrongVersion => {
            Identity { version: concat!(env!("CARGO_PKG_VERSION"), "+broken-on-purpose"), ..identity }
        }
        Broken::Errors | Broken::Slow | Broken::Hook => identity,
    };
    let layered = |(path, methods): (_, axum::routing::MethodRouter<_>)| {
        (path, methods.route_layer(from_fn_with_state(broken, misbehave)))
    };
    Ok((identity, routes.into_iter().map(layered).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number after a word, after another word.
    fn number(text: &str, after: &str, word: &str) -> u64 {
        let (_, rest) = text.split_once(after).unwrap();
        let (_, rest) = rest.split_once(word).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn slow_is_told_by_the_difference_and_is_no_timeout() {
        let template = include_str!("../../cfn/app.yaml");
        let threshold = number(template, "\n  SlowMilliseconds:", "Default:");
        let timeout = number(template, "\n  CheckinFunction:", "Timeout:");
        let slow = u64::try_from(SLOW.as_millis()).unwrap();
        assert!(slow > 2 * threshold, "{slow} {threshold}: an old version may take as long as the threshold");
        // Half of the timeout is left for the machine: a timeout would be another alarm's.
        assert!(slow * 2 < timeout * 1_000, "{slow} {timeout}");
    }

    #[test]
    fn a_test_is_believed_whatever_the_build_is_of() {
        assert_eq!(how(Some("errors"), Some("slow")), "errors");
        assert_eq!((how(None, Some("slow")), how(None, None)), ("slow", ""));
    }

    #[test]
    fn it_misbehaves_in_prod_only() {
        assert_eq!(Broken::read("errors", "prod"), Some(Broken::Errors));
        assert_eq!(Broken::read("wrong-version", "prod"), Some(Broken::WrongVersion));
        assert_eq!((Broken::read("errors", "dev"), Broken::read("", "prod")), (None, None));
    }
}
