//! Templates of others, each deployed to a local cloud by itself: how many stand, and why the others do not. The inputs of the
//! SAM translator's own tests are what this is made for; they are no part of the project.

mod prepare;
mod reasons;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::Context;
use causeway_aws::raw;
use causeway_aws::{Account, Accounts};
use causeway_cloud::resident::{self, Keep};
use causeway_machine::paths::Paths;
use causeway_model::calls::{Call, new_bucket, query};
use causeway_model::config::{BUILD, Config};
use causeway_model::fault::Fault;
use causeway_model::template;
use causeway_model::xml::Element;
use reasons::End;
pub(super) use reasons::Report;

/// Templates of our own: whatever shape was once refused here and is not on AWS.
pub(super) const SAMPLE: &str = "xtask/data/corpus";

/// Where the cloud of this check keeps its things.
const CLOUD: &str = "target/causeway/check-corpus";

/// How long a minute of AWS takes there.
const MINUTE: Duration = Duration::from_millis(50);

/// How often a stack is looked at, and for how long at most.
const PACE: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 1_200;

/// What is asked of a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// How each template ends.
    Anything,
    /// That each ends as its name says.
    Sample,
}

/// Deploys every template of a folder whose name does not begin with `error_`.
///
/// # Errors
/// The folder cannot be read, or the cloud does not start or answer.
pub(super) async fn run(context: &Context, folder: &Path, asked: Asked) -> anyhow::Result<Report> {
    let config = context.config()?;
    let mut templates = VecDeque::new();
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()
        .with_context(|| format!("read {}", folder.display()))?;
    names.sort();
    for path in names {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let kind = path.extension().unwrap_or_default();
        if name.starts_with("error_") || !["yaml", "yml", "json"].iter().any(|known| kind == *known) {
            continue;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        templates.push_back((name, text));
    }
    let paths = Paths::of(&context.root).with_local(&context.root.join(CLOUD));
    let say = |text: &str| context.out.note(text);
    resident::down(&paths).await?;
    let found = resident::up(&config, &paths, &context.root, MINUTE, Keep::No, &say).await?;
    let accounts = found.state().world(&paths).accounts(&config).await?;
    give_objects(&config, &accounts, &templates).await?;
    let open = Arc::new(Mutex::new(templates));
    // Each account deploys one after the other, so no template meets another one's names.
    let mut begun = JoinSet::new();
    for name in config.accounts.keys() {
        let one = Deployer { account: accounts.get(name)?.clone() };
        let open = Arc::clone(&open);
        begun.spawn(async move { one.all(&open).await });
    }
    let mut ends = BTreeMap::new();
    let mut result = Ok(());
    while let Some(joined) = begun.join_next().await {
        match joined.context("deploy templates").and_then(|ended| ended) {
            Ok(own) => ends.extend(own),
            Err(error) => result = Err(error),
        }
    }
    found.release().await;
    result?;
    Report::of(ends, asked == Asked::Sample)
}

/// Makes the objects that the templates take from buckets. A bucket's name is one account's, so every account may read them.
async fn give_objects(
    config: &Config,
    accounts: &Accounts,
    templates: &VecDeque<(String, String)>,
) -> anyhow::Result<()> {
    let account = accounts.get(BUILD)?;
    let all: Vec<String> = config
        .accounts
        .values()
        .map(|one| format!("arn:{}:iam::{}:root", causeway_prove::partition(&config.region), one.id))
        .collect();
    let mut buckets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let readable = templates.iter().filter_map(|(_, text)| template::parse(text).ok());
    for (bucket, key) in readable.flat_map(|node| prepare::objects(&node.to_json())) {
        buckets.entry(bucket).or_default().insert(key);
    }
    for (bucket, keys) in buckets {
        // A name that S3 does not take is the template's own fault, and shows when it is deployed.
        if raw::send(account, &new_bucket(&bucket, &config.region)).await?.0 != 200 {
            continue;
        }
        let whole = [format!("arn:aws:s3:::{bucket}"), format!("arn:aws:s3:::{bucket}/*")];
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": all}, "Action": ["s3:Get*", "s3:List*"], "Resource": whole}
        ]});
        put(account, format!("/{bucket}?policy="), policy.to_string()).await?;
        for key in keys {
            put(account, format!("/{bucket}/{key}"), prepare::content(&key)).await?;
        }
    }
    Ok(())
}

async fn put(account: &Account, path: String, body: String) -> anyhow::Result<()> {
    let call = Call { service: "s3", method: "PUT", path, headers: Vec::new(), body };
    let (status, said) = raw::send(account, &call).await?;
    match status {
        200..300 => Ok(()),
        _ => Err(Fault::failed("make what the templates take from a bucket", call.path).why(said).into()),
    }
}

/// Deploys to one account.
struct Deployer {
    account: Account,
}

/// The templates that nobody has taken yet.
type Open = Mutex<VecDeque<(String, String)>>;

impl Deployer {
    async fn all(&self, open: &Open) -> anyhow::Result<BTreeMap<String, End>> {
        let mut ends = BTreeMap::new();
        let (mut exports, mut number) = (BTreeSet::new(), 0);
        loop {
            let next = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((name, text)) = next else { return Ok(ends) };
            number += 1;
            let stack = format!("t{number}");
            let end =
                self.one(&stack, &text, &mut exports).await.with_context(|| format!("deploy {name}"))?;
            ends.insert(name, end);
        }
    }

    async fn one(&self, stack: &str, text: &str, exports: &mut BTreeSet<String>) -> anyhow::Result<End> {
        let mut long = match template::parse(text) {
            Ok(node) => node.to_json(),
            Err(error) => return Ok(End::Refused(format!("Template format error: {error}"))),
        };
        // The translator's own tests hand it templates that do not name it.
        if let Some(map) = long.as_object_mut() {
            map.entry("Transform").or_insert_with(|| "AWS::Serverless-2016-10-31".into());
        }
        prepare::without_versions(&mut long);
        for name in prepare::imports(&long) {
            if exports.insert(name.clone()) {
                self.export(exports.len(), &name).await?;
            }
        }
        let parameters = prepare::parameters(&long);
        for value in parameters.values().filter(|value| value.starts_with('/')) {
            let body = json!({"Name": value, "Type": "String", "Value": "kept", "Overwrite": true});
            self.json("ssm", "AmazonSSM.PutParameter", &body).await?;
        }
        let end = self.create(stack, &long.to_string(), &parameters).await?;
        self.cloudformation("DeleteStack", &[("StackName", stack)]).await?;
        for _ in 0..PATIENCE {
            match self.status(stack).await? {
                Some(status) if status.ends_with("_IN_PROGRESS") => tokio::time::sleep(PACE).await,
                _ => break,
            }
        }
        Ok(end)
    }

    async fn create(
        &self,
        stack: &str,
        text: &str,
        parameters: &BTreeMap<String, String>,
    ) -> anyhow::Result<End> {
        let mut fields = vec![("StackName".to_owned(), stack.to_owned())];
        if text.len() > template::MAX_BODY {
            return Ok(End::Refused("Member must have length less than or equal to 51200".to_owned()));
        }
        fields.push(("TemplateBody".to_owned(), text.to_owned()));
        for (place, capability) in ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"].iter().enumerate() {
            fields.push((format!("Capabilities.member.{}", place + 1), (*capability).to_owned()));
        }
        for (place, (name, value)) in parameters.iter().enumerate() {
            let at = format!("Parameters.member.{}", place + 1);
            fields.push((format!("{at}.ParameterKey"), name.clone()));
            fields.push((format!("{at}.ParameterValue"), value.clone()));
        }
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (status, said) = self.cloudformation("CreateStack", &fields).await?;
        if status != 200 {
            let said = Element::parse(&said)?;
            return Ok(End::Refused(said.text_at(&["Error", "Message"]).to_owned()));
        }
        for _ in 0..PATIENCE {
            match self.status(stack).await?.as_deref() {
                Some("CREATE_COMPLETE") => return Ok(End::Deployed),
                Some(status) if status.ends_with("_IN_PROGRESS") => tokio::time::sleep(PACE).await,
                _ => return Ok(End::Refused(self.why(stack).await?)),
            }
        }
        Ok(End::Refused("the stack is never settled".to_owned()))
    }

    /// The first failure that a stack tells of.
    async fn why(&self, stack: &str) -> anyhow::Result<String> {
        let (_, said) = self.cloudformation("DescribeStackEvents", &[("StackName", stack)]).await?;
        let said = Element::parse(&said)?;
        let events = said.all(&["DescribeStackEventsResult", "StackEvents"]);
        let first = events.iter().rev().find_map(|event| {
            let text = |name: &str| event.text_at(&[name]);
            let failed = text("ResourceStatus").ends_with("_FAILED");
            let reason = Some(text("ResourceStatusReason")).filter(|reason| !reason.is_empty())?;
            (failed && !reason.contains("cancelled")).then(|| format!("{}: {reason}", text("ResourceType")))
        });
        Ok(first.unwrap_or_else(|| "the stack was rolled back and does not say why".to_owned()))
    }

    async fn status(&self, stack: &str) -> anyhow::Result<Option<String>> {
        let (_, said) = self.cloudformation("DescribeStacks", &[("StackName", stack)]).await?;
        let said = Element::parse(&said)?;
        let stack = said.all(&["DescribeStacksResult", "Stacks"]).first();
        Ok(stack.map(|stack| stack.text_at(&["StackStatus"]).to_owned()))
    }

    /// A stack that exports a value under a name.
    async fn export(&self, number: usize, name: &str) -> anyhow::Result<()> {
        let mut outputs = Map::new();
        outputs.insert("One".to_owned(), json!({"Value": "exported", "Export": {"Name": name}}));
        let body = json!({"Resources": {"Nothing": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}, "Outputs": outputs});
        let stack = format!("exports{number}");
        self.cloudformation("CreateStack", &[("StackName", &stack), ("TemplateBody", &body.to_string())])
            .await?;
        for _ in 0..PATIENCE {
            match self.status(&stack).await? {
                Some(status) if status.ends_with("_IN_PROGRESS") => tokio::time::sleep(PACE).await,
                _ => break,
            }
        }
        Ok(())
    }

    async fn cloudformation(&self, action: &str, fields: &[(&str, &str)]) -> anyhow::Result<(u16, String)> {
        raw::send(&self.account, &query("cloudformation", "2010-05-15", action, fields)).await
    }

    async fn json(&self, service: &'static str, target: &str, body: &Value) -> anyhow::Result<()> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        let call = Call { service, method: "POST", path: "/".to_owned(), headers, body: body.to_string() };
        raw::send(&self.account, &call).await?;
        Ok(())
    }
}
