//! An operation on a stack, followed beside the emulator: the gate is opened by the rollout engine, bucket encryption
//! is applied, the edge learns what was deployed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::cloud::Cloud;
use super::edge;
use super::emulator::is_absent;
use super::ledger::{Record, StackKey};
use super::mirror;
use super::resources::Resources;
use super::rollout;
use super::xml::Element;
use crate::model::stack::StackStatus;

/// What was known before an operation began.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The version that each shifted function's alias led to, by the function's logical id. Empty on a first create.
    old_versions: BTreeMap<String, String>,
    /// The functions whose traffic stays where it is until the rollout says otherwise.
    pinned: Vec<String>,
}

/// Looks at a stack before an operation begins, and holds the edge at the versions it serves now.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn prepare(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<Prepared> {
    let mut prepared = Prepared::default();
    if record.lowered.shifts.is_empty() {
        return Ok(prepared);
    }
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(prepared) };
    for shift in &record.lowered.shifts {
        let Some(name) = resources.physical(&shift.function) else { continue };
        if let Some(version) = alias_version(cloud, &key.0, name, &shift.alias).await? {
            cloud.edges.pin(&key.0, name, &version);
            prepared.old_versions.insert(shift.function.clone(), version);
            prepared.pinned.push(name.to_owned());
        }
    }
    Ok(prepared)
}

/// Follows an operation in a task of its own until the stack is settled. `record` is `None` for a deletion.
pub(crate) fn follow(cloud: Arc<Cloud>, key: StackKey, record: Option<Arc<Record>>, prepared: Prepared) {
    let busy = cloud.ledger.begin(&key);
    tokio::spawn(async move {
        if let Err(error) = run(&cloud, &key, record, &prepared).await {
            tracing::error!(stack = key.1, "follow the operation: {error:#}");
        }
        for name in &prepared.pinned {
            cloud.edges.unpin(&key.0, name);
        }
        busy.send_replace(false);
    });
}

async fn run(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: Option<Arc<Record>>,
    prepared: &Prepared,
) -> anyhow::Result<()> {
    let mut opened = false;
    let gate = record.as_ref().and_then(|record| record.lowered.gate.clone());
    let status = loop {
        let status = status(cloud, key).await?;
        if status.is_settled() {
            break status;
        }
        if let (Some(gate), Some(record), false) = (&gate, &record, opened)
            && let Some(handle) = waiting_handle(cloud, key, gate).await?
        {
            opened = true;
            bound_roles(cloud, key, record).await?;
            let outcome = shift(cloud, key, record, prepared).await;
            open(cloud, &handle, outcome).await?;
        }
        sleep(Duration::from_millis(40)).await;
    };
    match record {
        Some(record) if status.is_good() => {
            bound_roles(cloud, key, &record).await?;
            encrypt_buckets(cloud, key, &record).await?;
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

/// Shifts the traffic of every function whose alias moved. Without an old version there is nothing to shift: the
/// first create of a stack runs no CodeDeploy ("UpdatePolicy attribute").
async fn shift(
    cloud: &Arc<Cloud>,
    key: &StackKey,
    record: &Record,
    prepared: &Prepared,
) -> Result<(), String> {
    if prepared.old_versions.is_empty() {
        return Ok(());
    }
    rollout::run(cloud, key, record, &prepared.old_versions).await
}

async fn status(cloud: &Cloud, key: &StackKey) -> anyhow::Result<StackStatus> {
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
async fn waiting_handle(cloud: &Cloud, key: &StackKey, gate: &str) -> anyhow::Result<Option<String>> {
    let root = cloud
        .emulator
        .query(&key.0, "cloudformation", "DescribeStackEvents", &[("StackName", &key.1)])
        .await?;
    let events = root.all(&["DescribeStackEventsResult", "StackEvents"]);
    // What an update adds is reported as UPDATE_… by the emulator, and as CREATE_… by AWS.
    let find = |id: &str, ending: &str| {
        events.iter().find(|e| {
            e.text_at(&["LogicalResourceId"]) == id && e.text_at(&["ResourceStatus"]).ends_with(ending)
        })
    };
    if find(gate, "_IN_PROGRESS").is_none() {
        return Ok(None);
    }
    let handle: Option<&Element> = find(&format!("{gate}Handle"), "_COMPLETE");
    Ok(handle.map(|event| event.text_at(&["PhysicalResourceId"]).to_owned()).filter(|url| !url.is_empty()))
}

/// Signals the gate: the update goes on, or the emulator rolls it back.
async fn open(cloud: &Cloud, handle: &str, outcome: Result<(), String>) -> anyhow::Result<()> {
    let (status, reason) = match outcome {
        Ok(()) => ("SUCCESS", String::new()),
        Err(reason) => ("FAILURE", reason),
    };
    let path = handle.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    let path = path.context("the gate's handle is no URL")?;
    let body = serde_json::json!({"Status": status, "UniqueId": "rollout", "Reason": reason, "Data": ""});
    cloud.emulator.rest(Method::PUT, path, "000000000000", "s3", body.to_string().into_bytes()).await?;
    Ok(())
}

/// Boundaries of roles in a template are ignored by the emulator, so they are set through IAM.
async fn bound_roles(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    let Some(definitions) = record.long.get("Resources").and_then(Value::as_object) else { return Ok(()) };
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(()) };
    for (logical_id, definition) in definitions {
        if definition.get("Type").and_then(Value::as_str) != Some("AWS::IAM::Role") {
            continue;
        }
        let boundary = definition.pointer("/Properties/PermissionsBoundary");
        let (Some(boundary), Some(role)) = (boundary, resources.physical(logical_id)) else { continue };
        let boundary = resources.eval(&cloud.emulator, key, record, boundary)?;
        let parameters = [("RoleName", role), ("PermissionsBoundary", boundary.as_str().unwrap_or_default())];
        let set = cloud.emulator.query(&key.0, "iam", "PutRolePermissionsBoundary", &parameters).await;
        set.with_context(|| format!("set the boundary of {role}"))?;
    }
    Ok(())
}

/// Bucket encryption in a template is ignored by the emulator, so it is set through S3.
async fn encrypt_buckets(cloud: &Cloud, key: &StackKey, record: &Record) -> anyhow::Result<()> {
    let Some(definitions) = record.long.get("Resources").and_then(Value::as_object) else { return Ok(()) };
    let Some(resources) = Resources::of(&cloud.emulator, key).await? else { return Ok(()) };
    for (logical_id, definition) in definitions {
        if definition.get("Type").and_then(Value::as_str) != Some("AWS::S3::Bucket") {
            continue;
        }
        let rules = definition.pointer("/Properties/BucketEncryption/ServerSideEncryptionConfiguration/0");
        let (Some(rule), Some(bucket)) = (rules, resources.physical(logical_id)) else { continue };
        let rule = resources.eval(&cloud.emulator, key, record, rule)?;
        let default = |name: &str| {
            rule.pointer(&format!("/ServerSideEncryptionByDefault/{name}"))
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let body = format!(
            "<ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>{}</SSEAlgorithm><KMSMasterKeyID>{}</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>{}</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>",
            quick_xml::escape::escape(default("SSEAlgorithm")),
            quick_xml::escape::escape(default("KMSMasterKeyID")),
            rule.get("BucketKeyEnabled").and_then(Value::as_bool).unwrap_or(false),
        );
        let path = format!("/{bucket}?encryption");
        cloud
            .emulator
            .rest(Method::PUT, &path, &key.0, "s3", body.into_bytes())
            .await
            .context("set the bucket's encryption")?;
    }
    Ok(())
}

/// The version an alias leads to; `None` where there is no such alias.
pub(crate) async fn alias_version(
    cloud: &Cloud,
    account: &str,
    function: &str,
    alias: &str,
) -> anyhow::Result<Option<String>> {
    let path = format!("/2015-03-31/functions/{function}/aliases/{alias}");
    match cloud.emulator.rest(Method::GET, &path, account, "lambda", Vec::new()).await {
        Ok((_, body)) => {
            let value: Value = serde_json::from_slice(&body).context("read the alias")?;
            Ok(value.get("FunctionVersion").and_then(Value::as_str).map(ToOwned::to_owned))
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
