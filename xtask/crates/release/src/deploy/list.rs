//! `deploy --list`: everybody's isolated stacks, how old they are, and until when.

use serde_json::json;

use super::today;
use causeway_aws::Account;
use causeway_aws::cloudformation::Stacks;
use causeway_command::{Context, Outcome};
use causeway_model::config::Config;
use causeway_model::isolated::{EXPIRES, OWNER, days_left};
use causeway_model::verdict::Verdict;

/// Lists the isolated stacks of an account.
///
/// # Errors
/// They may not be listed or looked at.
pub(super) async fn run(context: &Context, config: &Config, account: &Account) -> anyhow::Result<Outcome> {
    let out = &context.out;
    out.spin("look for isolated stacks");
    let prefix = config.names().isolated_prefix();
    let stacks = Stacks::new(account);
    let today = today();
    let mut rows = Vec::new();
    for (stack, status) in stacks.named(&prefix).await? {
        // One that is deleted at this moment is none any more.
        let Some(info) = stacks.describe(&stack).await? else { continue };
        let created = info.created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        let age = created
            .and_then(|made| made.to_zoned(jiff::tz::TimeZone::UTC).date().until(today).ok())
            .map(|span| span.get_days());
        rows.push(json!({
            "name": stack.strip_prefix(&prefix),
            "stack": stack,
            "status": status.to_string(),
            "owner": info.tags.get(OWNER),
            "created": created.map(|made| made.to_string()),
            "age_days": age,
            "expires": info.tags.get(EXPIRES),
            "days_left": days_left(&info.tags, today),
            "url": info.outputs.get("ApiURL"),
        }));
    }
    out.rest();
    if rows.is_empty() {
        out.say(format!("{} has no isolated stacks", account.name));
        return Ok(Outcome::of(Verdict::NothingToDo).with_data(json!({"stacks": rows})));
    }
    out.say(format!("  {:<25} {:<16} {:<10} {:<24} {:<18} API", "name", "owner", "age", "expires", "state"));
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let age = row["age_days"].as_i64().map_or_else(|| "-".to_owned(), |days| format!("{days} days"));
        let until = match row["days_left"].as_i64() {
            Some(left) if left < 0 => format!("{} (expired)", text("expires")),
            Some(left) => format!("{} ({left} days)", text("expires")),
            None => "never".to_owned(),
        };
        out.say(format!(
            "  {:<25} {:<16} {age:<10} {until:<24} {:<18} {}",
            text("name"),
            text("owner"),
            text("status"),
            text("url")
        ));
    }
    Ok(Outcome::of(Verdict::Done).with_data(json!({"stacks": rows})))
}
