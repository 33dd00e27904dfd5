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

/// Removes every item that carries the mark.
///
/// # Errors
/// The reason, as a lowercase fragment, when it cannot be told that nothing is left.
pub(crate) async fn sweep(sweep: Sweep, client: &Client, target: &Target) -> Result<(), String> {
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
