//! Clears away what a check may have left behind, by its mark.

use std::time::Duration;

use aws_sdk_lambda::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::check::{Answer, Sweep};
use crate::invoke::{Ask, invoke};
use crate::runner::{filled, milliseconds};
use crate::settings::Target;

/// One question may take so long.
const WITHIN: Duration = Duration::from_secs(2);

/// So many pages of a thousand are looked through.
const MAX_PAGES: usize = 5;

/// The whole of it may take so long. How many items were left nobody knows; what is over by then is gone, and the next
/// run goes on from there.
pub(crate) const IN_ALL: Duration = Duration::from_secs(15);

/// Removes every item that carries the mark.
///
/// # Errors
/// The reason, as a lowercase fragment, when it cannot be told that nothing is left.
pub(crate) async fn sweep(sweep: Sweep, client: &Client, target: &Target) -> Result<(), String> {
    let swept = timeout(IN_ALL, remove_all(sweep, client, target)).await;
    swept.map_err(|_| format!("not all that was left could be removed within {}", milliseconds(IN_ALL)))?
}

async fn remove_all(sweep: Sweep, client: &Client, target: &Target) -> Result<(), String> {
    let mut query = "limit=1000".to_owned();
    for _ in 0..MAX_PAGES {
        let page =
            ask(client, target, &Ask { method: "GET", path: sweep.list, query: &query, body: None }).await?;
        let items: Value = serde_json::from_str(&page.body).unwrap_or_default();
        let (200, Some(items)) = (page.status, items.as_array()) else {
            return Err(format!("the list could not be read: status {}", page.status));
        };
        for item in items.iter().filter(|item| item[sweep.field] == sweep.mark) {
            let id = item[sweep.id].as_str().unwrap_or_default().to_owned();
            let path = filled(sweep.remove, &[("id", id)])?;
            let answer =
                ask(client, target, &Ask { method: "DELETE", path: &path, query: "", body: None }).await?;
            // Somebody else may have been quicker.
            if !matches!(answer.status, 204 | 404) {
                return Err(format!("what was left could not be removed: status {}", answer.status));
            }
        }
        match page.next {
            Some(next) => query = format!("limit=1000&next={next}"),
            None => return Ok(()),
        }
    }
    Err("the list is too long to look through".to_owned())
}

async fn ask(client: &Client, target: &Target, what: &Ask<'_>) -> Result<Answer, String> {
    let answer = timeout(WITHIN, invoke(client, target, what)).await;
    answer.map_err(|_| format!("no answer within {}", milliseconds(WITHIN)))?
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_sdk_lambda::config::{BehaviorVersion, Config, Region};
    use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use tokio::time::{Instant, sleep};

    use super::*;

    const MARKED: Sweep =
        Sweep { list: "/things", field: "name", mark: "hook", id: "id", remove: "/things/{id}" };

    /// Lambda, where every answer comes just in time, and every page is full of what was left.
    #[derive(Debug)]
    struct JustInTime;

    impl HttpConnector for JustInTime {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let event = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
            HttpConnectorFuture::new(async move {
                sleep(WITHIN - Duration::from_millis(10)).await;
                let left = serde_json::json!([{"name": "hook", "id": "a"}, {"name": "hook", "id": "b"}]);
                let answer = if event.contains("DELETE /things") {
                    serde_json::json!({"statusCode": 204})
                } else {
                    serde_json::json!({
                        "statusCode": 200, "headers": {"x-next": "more"}, "body": left.to_string()
                    })
                };
                let status = 200_u16.try_into().unwrap();
                Ok(HttpResponse::new(status, SdkBody::from(answer.to_string())))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_was_left_it_ends_in_time() {
        let keys = Credentials::new("id", "secret", None, None, "test");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(http_client_fn(|_, _| SharedHttpConnector::new(JustInTime)))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .build();
        let target = Target { function: "things".to_owned(), number: None };
        let begin = Instant::now();
        let swept = sweep(MARKED, &Client::from_conf(config), &target).await;
        assert_eq!(swept, Err("not all that was left could be removed within 15000 ms".to_owned()));
        let took = begin.elapsed();
        assert!(took >= IN_ALL && took < IN_ALL + Duration::from_millis(10), "{took:?}");
    }
}
