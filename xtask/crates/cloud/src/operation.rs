//! An operation on a stack, followed beside the emulator: the gate is opened by the rollout engine, bucket encryption
//! is applied, the edge learns what was deployed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use tokio::time::{Instant, sleep};

use super::alias::{self, Alias, Held};
use super::cloud::Cloud;
use super::edge;
use super::emulator::is_absent;
use super::happenings::What;
use super::ignored;
use super::ledger::{Record, StackKey};
use super::mirror;
use super::resources::Resources;
use super::rollout;
use causeway_model::stack::StackStatus;

/// What was known before an operation began: its aliases are held until the operation is over.
#[derive(Debug, Default)]
pub(crate) struct Prepared(Held);

/// Looks at a stack before an operation begins, and holds the aliases that it shifts where they are.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn prepare(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<Prepared> {
    if record.lowered.shifts.is_empty() {
        return Ok(Prepared::default());
    }
    let owner = uuid::Uuid::new_v4().simple().to_string();
    let mut prepared = Prepared(Held { owner, ..Held::default() });
    match hold(cloud, key, record, &mut prepared.0).await {
        Ok(()) => Ok(prepared),
        Err(error) => {
            prepared.release(cloud, key).await;
            Err(error)
        }
    }
}

async fn hold(cloud: &Cloud, key: &StackKey, record: &Record, held: &mut Held) -> anyhow::Result<()> {
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(()) };
    for shift in &record.lowered.shifts {
        let Some((function, name)) = resources.shifting(&cloud.emulator, key, record, shift)? else {
            continue;
        };
        if let Some(leads) = alias::read(cloud, &key.0, &function, &name).await? {
            held.aliases.insert(shift.alias.clone(), (function.clone(), name.clone(), leads.version));
            alias::hold(cloud, &key.0, &function, &name, &held.owner).await?;
        }
    }
    Ok(())
}

impl Prepared {
    /// Lets go of the aliases: of an operation that is over, or never began.
    pub(crate) async fn release(&self, cloud: &Cloud, key: &StackKey) {
        for (function, name, _) in self.0.aliases.values() {
            if let Err(error) = alias::release(cloud, &key.0, function, name, &self.0.owner).await {
                tracing::warn!(stack = key.1, "let go of the alias {function}:{name}: {error:#}");
            }
        }
    }

    /// Leads every alias to where its stack says when the operation is over. That is where the deployment left it, unless
    /// there was none, or it could not go on.
    async fn settle(&self, cloud: &Cloud, key: &StackKey) -> anyhow::Result<()> {
        let good = status(cloud, key).await?.is_good();
        for (function, name, old) in self.0.aliases.values() {
            let Some(leads) = alias::read(cloud, &key.0, function, name).await? else { continue };
            let wanted = alias::hold(cloud, &key.0, function, name, &self.0.owner).await?;
            let due = match wanted.filter(|_| good) {
                // The template's weights count where no deployment has moved the alias.
                Some(wanted) if wanted.version == *old => wanted,
                Some(wanted) => Alias::to(&wanted.version),
                None if good => continue,
                None => Alias::to(old),
            };
            if leads != due {
                tracing::warn!(stack = key.1, "the alias {function}:{name} stood elsewhere than its stack");
                alias::set(cloud, &key.0, function, name, &due).await?;
            }
        }
        Ok(())
    }
}

/// How often the emulator is looked at.
const PACE: Duration = Duration::from_millis(40);
/// How long it may fail to answer before the operation counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after an answer that did not come.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the gate of a lost operation is looked for.
const LAST_PATIENCE: Duration = Duration::from_secs(600);

/// Follows an operation in a task of its own until the stack is settled. `record` is `None` for a deletion.
pub(crate) fn follow(cloud: Arc<Cloud>, key: StackKey, record: Option<Arc<Record>>, prepared: Prepared) {
    let busy = cloud.ledger.begin(&key);
    if let Some(record) = &record {
        cloud.ledger.attempt(&key, record);
    }
    tokio::spawn(async move {
        carry(&cloud, &key, record, &Arc::new(prepared)).await;
        busy.send_replace(false);
    });
}

/// Follows an operation to its end. Whatever goes wrong here, even a panic, the stack is not left waiting at its gate,
/// where it would stand for hours.
async fn carry(cloud: &Arc<Cloud>, key: &StackKey, record: Option<Arc<Record>>, prepared: &Arc<Prepared>) {
    let begin = Instant::now();
    let gate = record.as_ref().and_then(|record| record.lowered.gate.clone());
    let (at_work, its, before) = (Arc::clone(cloud), key.clone(), Arc::clone(prepared));
    let task = tokio::spawn(async move { run(&at_work, &its, record, &before).await });
    let result = task.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the operation's task ended early")));
    if let Err(error) = result {
        tracing::error!(stack = key.1, "follow the operation: {error:#}");
        let strain = cloud.strains.since(begin);
        if strain.is_starved() {
            let why = format!("the local cloud failed ({error:#}) while {strain}");
            cloud.happenings.add(&key.0, &key.1, What::NoVerdict { function: key.1.clone(), why });
        }
        if let Some(gate) = gate {
            give_up(cloud, key, &gate, &format!("the local cloud failed: {error:#}")).await;
        }
    }
    if let Err(error) = prepared.settle(cloud, key).await {
        tracing::error!(stack = key.1, "lead the aliases to where the stack says: {error:#}");
    }
    for (function, ..) in prepared.0.aliases.values() {
        cloud.edges.settled(&key.0, function);
    }
    prepared.release(cloud, key).await;
}

async fn run(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: Option<Arc<Record>>,
    prepared: &Prepared,
) -> anyhow::Result<()> {
    let mut opened = false;
    let mut failed: Option<rollout::Failed> = None;
    let gate = record.as_ref().and_then(|record| record.lowered.gate.clone());
    let status = loop {
        let status = patiently(|| Box::pin(status(cloud, key))).await?;
        if status.is_settled() {
            break status;
        }
        if let (Some(gate), Some(record), false) = (&gate, &record, opened)
            && let Some(handle) = patiently(|| Box::pin(waiting_handle(cloud, key, gate))).await?
        {
            // A role without its boundary is a failure of the deployment, as a shift that failed is.
            let outcome = match patiently(|| Box::pin(ignored::bound_roles(cloud, key, record))).await {
                Ok(()) => shift(cloud, key, record, prepared).await,
                Err(error) => Err(rollout::Failed::of(format!("set the boundaries of roles: {error:#}"))),
            };
            let outcome = match outcome {
                Ok(()) => Ok(()),
                Err(left) => Err(failed.insert(left).reason.clone()),
            };
            patiently(|| Box::pin(open(cloud, &handle, &outcome))).await?;
            opened = true;
        }
        sleep(PACE).await;
    };
    // The emulator is done with its rollback; on AWS the aliases that had finished are deployed back within it.
    if let Some(failed) = failed {
        failed.go_back().await;
    }
    match record {
        Some(record) if status.is_good() => {
            ignored::bound_roles(cloud, key, &record).await?;
            ignored::encrypt_buckets(cloud, key, &record).await?;
            cloud.ledger.set_current(key, Some(Arc::clone(&record)));
            edge::deployed(cloud, key, &record).await?;
        }
        None if status == StackStatus::Absent => {
            cloud.ledger.set_current(key, None);
            edge::removed(cloud, key);
            if !cloud.ledger.has_functions(&key.0) {
                mirror::forget(&cloud.emulator, &key.0).await;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A question that is under way.
type Asking<'a, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + Send + 'a>>;

/// Asks until there is an answer: one that does not come at once is no reason to leave a stack.
///
/// # Errors
/// The last one, after [`PATIENCE`].
async fn patiently<'a, T>(ask: impl Fn() -> Asking<'a, T> + Send) -> anyhow::Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask().await {
            Err(error) if Instant::now() < until => {
                tracing::warn!("asked once more: {error:#}");
                sleep(PAUSE).await;
            }
            other => return other,
        }
    }
}

/// Signals failure to the gate of an operation that is lost, as soon as the stack waits there, so that the emulator
/// rolls it back. Nothing to do where the stack is settled.
async fn give_up(cloud: &Cloud, key: &StackKey, gate: &str, why: &str) {
    let until = Instant::now() + LAST_PATIENCE;
    let failed = Err(why.to_owned());
    while Instant::now() < until {
        if let Ok(status) = status(cloud, key).await
            && status.is_settled()
        {
            return;
        }
        if let Ok(Some(handle)) = waiting_handle(cloud, key, gate).await
            && open(cloud, &handle, &failed).await.is_ok()
        {
            return;
        }
        sleep(PAUSE).await;
    }
    tracing::error!(stack = key.1, "the gate could not be signaled");
}

/// Shifts the traffic of every function whose alias moved. Without an old version there is nothing to shift: the
/// first create of a stack runs no CodeDeploy ("UpdatePolicy attribute").
async fn shift(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    prepared: &Prepared,
) -> Result<(), rollout::Failed> {
    if prepared.0.aliases.is_empty() {
        return Ok(());
    }
    rollout::run(cloud, key, record, &prepared.0).await
}

/// The state of a stack, as the emulator says it.
///
/// # Errors
/// It does not answer.
pub(crate) async fn status(cloud: &Cloud, key: &StackKey) -> anyhow::Result<StackStatus> {
    let answer =
        cloud.emulator.query(&key.0, "cloudformation", "DescribeStacks", &[("StackName", &key.1)]).await;
    match answer {
        Ok(root) => {
            Ok(StackStatus::parse(root.text_at(&["DescribeStacksResult", "Stacks", "member", "StackStatus"])))
        }
        Err(error) if is_absent(&error) => Ok(StackStatus::Absent),
        Err(error) => Err(error),
    }
}

/// The handle's URL once the stack waits at the gate.
///
/// The gate is last, so it is among the newest events, which come first; the handle may be pages before it.
async fn waiting_handle(cloud: &Cloud, key: &StackKey, gate: &str) -> anyhow::Result<Option<String>> {
    let root = cloud
        .emulator
        .query(&key.0, "cloudformation", "DescribeStackEvents", &[("StackName", &key.1)])
        .await?;
    let events = root.all(&["DescribeStackEventsResult", "StackEvents"]);
    // What an update adds is reported as UPDATE_… by the emulator, and as CREATE_… by AWS.
    let waits = events.iter().any(|event| {
        event.text_at(&["LogicalResourceId"]) == gate
            && event.text_at(&["ResourceStatus"]).ends_with("_IN_PROGRESS")
    });
    if !waits {
        return Ok(None);
    }
    let resources = Resources::of(&cloud.emulator, key).await?.unwrap_or_default();
    Ok(resources.physical(&format!("{gate}Handle")).map(ToOwned::to_owned))
}

/// Signals the gate: the update goes on, or the emulator rolls it back.
async fn open(cloud: &Cloud, handle: &str, outcome: &Result<(), String>) -> anyhow::Result<()> {
    let (status, reason) = match outcome {
        Ok(()) => ("SUCCESS", ""),
        Err(reason) => ("FAILURE", reason.as_str()),
    };
    let path = handle.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = path.context("the gate's handle is no URL")?;
    let body = serde_json::json!({"Status": status, "UniqueId": "rollout", "Reason": reason, "Data": ""});
    cloud.emulator.rest(Method::PUT, path, "000000000000", "s3", body.to_string().into_bytes()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::lower::{Lowered, TrafficShift};
    use crate::stub_emulator::{Answer, Emulator};

    const ACCOUNT: &str = "111111111111";

    fn record() -> Record {
        Record {
            original: String::new(),
            transformed: false,
            plain: json!({"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": {"PermissionsBoundary": "arn:aws:iam::111111111111:policy/b"}}}}),
            parameters: BTreeMap::new(),
            lowered: Lowered {
                template: Value::Null,
                types: BTreeMap::new(),
                shifts: vec![TrafficShift {
                    alias: "Live".into(),
                    properties: Value::Null,
                    policy: Value::Null,
                }],
                gate: Some("CausewayGate1".into()),
            },
            code: mirror::Code::default(),
        }
    }

    /// An emulator with a stack that waits at its gate until it is signaled. `refuses` says which call fails.
    async fn waiting(refuses: fn(action: &str, asked: usize) -> bool) -> Emulator {
        Emulator::start(move |asked, before| {
            let action = asked.action();
            let count = before.iter().filter(|asked| asked.action() == action).count();
            if refuses(&action, count) {
                return Some(Answer::new(500, "out of order"));
            }
            let signaled = before.iter().find(|asked| asked.path.starts_with("/gate"));
            Some(match action.as_str() {
                "DescribeStacks" => {
                    let status = match signaled {
                        None => "UPDATE_IN_PROGRESS",
                        Some(_) => "UPDATE_ROLLBACK_COMPLETE",
                    };
                    Answer::new(200, &format!("<R><DescribeStacksResult><Stacks><member><StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult></R>"))
                }
                "DescribeStackEvents" => {
                    let event = |id: &str, status: &str, physical: &str| format!("<member><LogicalResourceId>{id}</LogicalResourceId><ResourceStatus>{status}</ResourceStatus><PhysicalResourceId>{physical}</PhysicalResourceId></member>");
                    Answer::new(200, &format!(
                        "<R><DescribeStackEventsResult><StackEvents>{}{}</StackEvents></DescribeStackEventsResult></R>",
                        event("CausewayGate1", "CREATE_IN_PROGRESS", ""),
                        // The handle's own event is on a later page.
                        event("Role", "CREATE_COMPLETE", "role"),
                    ))
                }
                "DescribeStackResources" => Answer::new(200, "<R><DescribeStackResourcesResult><StackResources><member><LogicalResourceId>Role</LogicalResourceId><ResourceType>AWS::IAM::Role</ResourceType><PhysicalResourceId>role</PhysicalResourceId></member><member><LogicalResourceId>CausewayGate1Handle</LogicalResourceId><ResourceType>AWS::CloudFormation::WaitConditionHandle</ResourceType><PhysicalResourceId>http://127.0.0.1:1/gate/1</PhysicalResourceId></member></StackResources></DescribeStackResourcesResult></R>"),
                _ => Answer::new(200, "<R/>"),
            })
        })
        .await
    }

    /// What was signaled to the gate: a status and a reason.
    async fn signaled(refuses: fn(&str, usize) -> bool) -> Vec<(String, String)> {
        let emulator = waiting(refuses).await;
        let cloud = emulator.cloud();
        let key = (ACCOUNT.to_owned(), "app".to_owned());
        carry(&cloud, &key, Some(Arc::new(record())), &Arc::default()).await;
        let signals = emulator.asked().into_iter().filter(|asked| asked.path.starts_with("/gate"));
        signals
            .map(|asked| {
                let body: Value = serde_json::from_str(&asked.body).unwrap();
                let text = |name: &str| body[name].as_str().unwrap().to_owned();
                (text("Status"), text("Reason"))
            })
            .collect()
    }

    #[tokio::test]
    async fn a_stack_is_never_left_at_its_gate() {
        let (good, moody, unbound, blind) = tokio::join!(
            signaled(|_, _| false),
            // One call that fails now and then is asked again.
            signaled(|action, count| action == "DescribeStacks" && count % 3 == 0),
            // Roles that cannot be bound, and a stack that cannot be looked at for longer than anybody waits.
            signaled(|action, _| action == "PutRolePermissionsBoundary"),
            signaled(|action, count| action == "DescribeStacks" && count < 30),
        );
        assert_eq!(good, [("SUCCESS".to_owned(), String::new())], "a first create shifts nothing");
        assert_eq!(moody, good);
        assert_eq!(unbound.len(), 1, "{unbound:?}");
        assert!(unbound[0].0 == "FAILURE" && unbound[0].1.contains("boundaries"), "{unbound:?}");
        assert_eq!(blind.len(), 1, "{blind:?}");
        assert!(blind[0].0 == "FAILURE" && blind[0].1.contains("the local cloud failed"), "{blind:?}");
    }
}
