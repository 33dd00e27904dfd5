//! The rights of people: of whoever runs `bootstrap` and `doctor`, and of whoever leaves with `destroy`.
//!
//! Without a role CloudFormation acts with the rights of its caller ("CloudFormation service role"), so the person needs
//! what the handlers of every resource call. The same data that the execution roles are held to makes these policies. An
//! app stack has a role, which CloudFormation keeps for its deletion ("DeleteStack"), so it needs the tool's own calls only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Problem;
use super::names::Names;
use super::needs::{Wanted, calls, general};
use super::stack::Stack;
use super::world::{Ground, World};
use causeway_model::config::{BUILD, DeployedBy};
use causeway_model::template::{MAX_BODY, submitted, transforms};

/// What `bootstrap` calls itself on each of its stacks (`aws/cloudformation.rs`).
const STACK_CALLS: [&str; 16] = [
    "cloudformation:ContinueUpdateRollback",
    "cloudformation:CreateChangeSet",
    "cloudformation:CreateStack",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DeleteStack",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeEvents",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
    "cloudformation:TagResource",
    "cloudformation:UntagResource",
    "cloudformation:UpdateStack",
    "cloudformation:UpdateTerminationProtection",
];

/// What `destroy`, and `doctor --fix`, call themselves on a stack that goes.
const LEAVING_CALLS: [&str; 6] = [
    "cloudformation:DeleteStack",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
    "cloudformation:UpdateTerminationProtection",
];
/// What `doctor` asks a service whether it is there, on nothing of ours (`aws/region.rs`).
const PRESENCE_CALLS: [&str; 3] =
    ["codeconnections:ListConnections", "codedeploy:ListApplications", "dynamodb:ListTables"];
/// What `destroy` calls itself on what outlives its stack (`aws/teardown.rs`): the type, the calls, and what follows the
/// ARN. An object version without an id is removed by the call without "Version".
const LEFTOVER_CALLS: [(&str, &[&str], &str); 4] = [
    ("AWS::S3::Bucket", &["s3:DeleteBucket", "s3:ListBucketVersions"], ""),
    ("AWS::S3::Bucket", &["s3:DeleteObject", "s3:DeleteObjectVersion"], "/*"),
    (
        "AWS::DynamoDB::Table",
        &["dynamodb:DeleteTable", "dynamodb:DescribeContinuousBackups", "dynamodb:DescribeTable"],
        "",
    ),
    ("AWS::KMS::Key", &["kms:DescribeKey", "kms:ScheduleKeyDeletion"], ""),
];

/// What `bootstrap` calls itself to lend CloudFormation a template that is too large for a request
/// (`aws/artifacts/templates.rs`): the type, the calls, and what follows the ARN.
const LENDING_CALLS: [(&str, &[&str], &str); 2] = [
    ("AWS::S3::Bucket", &["s3:GetObject", "s3:PutObject"], "/templates/*"),
    ("AWS::KMS::Key", &["kms:Decrypt", "kms:GenerateDataKey"], ""),
];

/// Lists the calls that a person needs in an account.
pub(crate) type Calls = fn(&Ground<'_>, &World, &str, &mut Vec<Problem>) -> BTreeSet<Wanted>;

fn plain(action: &str, on: String) -> Wanted {
    Wanted { action: action.to_owned(), on, with: BTreeMap::new() }
}

/// Every call that `bootstrap` and `doctor` need in one account, as it is made. A recording of a real run can be held to these.
pub(crate) fn bootstrap_calls(
    ground: &Ground<'_>,
    world: &World,
    account: &str,
    problems: &mut Vec<Problem>,
) -> BTreeSet<Wanted> {
    let mut all = doctor_calls(ground, world, account);
    let lends = account == BUILD && by_url(ground);
    if ground.config.accounts.get(account).is_some_and(|account| account.protected) {
        let guarded = stacks(ground, world, account, DeployedBy::Pipeline);
        all.extend(guarded.map(|stack| plain(GUARDING_CALL, stack.pseudo.stack_id.clone())));
    }
    for stack in stacks(ground, world, account, DeployedBy::Bootstrap) {
        all.extend(STACK_CALLS.map(|action| plain(action, stack.pseudo.stack_id.clone())));
        for transform in transforms(stack.template.json.get("Transform")).iter().filter_map(Value::as_str) {
            let name = transform.strip_prefix("AWS::").unwrap_or(transform);
            let pseudo = &stack.pseudo;
            let on =
                format!("arn:{}:cloudformation:{}:aws:transform/{name}", pseudo.partition, pseudo.region);
            all.insert(plain("cloudformation:CreateChangeSet", on));
        }
        let names = Names::new(stack, ground.types);
        for resource in stack.resources.values() {
            if lends {
                for (_, actions, after) in LENDING_CALLS.iter().filter(|(kind, ..)| *kind == resource.kind) {
                    match names.reference(resource, Some("Arn")) {
                        Ok(arn) => {
                            all.extend(actions.iter().map(|action| plain(action, format!("{arn}{after}"))))
                        }
                        Err(error) => problems.push(Problem::new(&stack.template.file, resource.line, error)),
                    }
                }
            }
            // `bootstrap` looks whether the pipeline's connection is finished.
            for arn in names.fill(resource, "{..ConnectionArn}").unwrap_or_default() {
                all.insert(plain("codeconnections:GetConnection", arn));
            }
            all.extend(calls(ground, world, stack, resource, problems).into_iter().map(|(_, wanted)| wanted));
        }
    }
    all
}

/// What `bootstrap` sets of a stack that the pipeline deploys, in a protected account (`release/bootstrap/guarded.rs`).
const GUARDING_CALL: &str = "cloudformation:UpdateTerminationProtection";

/// Whether `bootstrap` submits a template by URL: one that is too large for a request, even without its comments.
fn by_url(ground: &Ground<'_>) -> bool {
    let by_hand = ground.config.stacks.iter().filter(|stack| stack.deployed_by == DeployedBy::Bootstrap);
    let texts = by_hand.filter_map(|stack| ground.files.get(&stack.template));
    texts.into_iter().any(|text| submitted(text).len() > MAX_BODY)
}

/// Every call that `destroy` and `doctor --fix` need in one account, with what CloudFormation does in the person's name.
pub(crate) fn leaving_calls(
    ground: &Ground<'_>,
    world: &World,
    account: &str,
    problems: &mut Vec<Problem>,
) -> BTreeSet<Wanted> {
    let mut all = doctor_calls(ground, world, account);
    // What stacks that are gone left behind is found in their events.
    let id = ground.config.account_id(account).unwrap_or_default();
    let (partition, region, project) =
        (&world.setting.partition, &world.setting.region, &ground.config.project);
    let any = format!("arn:{partition}:cloudformation:{region}:{id}:stack/{project}-*/*");
    all.insert(plain("cloudformation:DescribeStackEvents", any));
    let by_hand = stacks(ground, world, account, DeployedBy::Bootstrap).map(|stack| (stack, false));
    let by_role = stacks(ground, world, account, DeployedBy::Pipeline).map(|stack| (stack, true));
    for (stack, has_role) in by_hand.chain(by_role) {
        let on = isolated(ground, stack.pseudo.stack_id.clone());
        all.extend(LEAVING_CALLS.map(|action| plain(action, on.clone())));
        let names = Names::new(stack, ground.types);
        for resource in stack.resources.values() {
            for (_, actions, after) in LEFTOVER_CALLS.iter().filter(|(kind, ..)| *kind == resource.kind) {
                match names.reference(resource, Some("Arn")) {
                    Ok(arn) => {
                        let on = isolated(ground, format!("{arn}{after}"));
                        all.extend(actions.iter().map(|action| plain(action, on.clone())));
                    }
                    Err(error) => problems.push(Problem::new(&stack.template.file, resource.line, error)),
                }
            }
            if !has_role {
                let made = calls(ground, world, stack, resource, problems);
                // What only some properties bring about is not told apart by handler: its verb says what it is for.
                let deletes = |handler: &str, wanted: &Wanted| handler == "delete" || goes(&wanted.action);
                all.extend(
                    made.into_iter().filter(|(by, wanted)| deletes(by, wanted)).map(|(_, wanted)| wanted),
                );
            }
        }
    }
    all
}

/// Whether an action takes something away.
fn goes(action: &str) -> bool {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    ["Delete", "Detach", "Remove"].iter().any(|verb| name.starts_with(verb))
}

/// What `doctor` looks at besides `bootstrap`'s stacks: the app stacks, isolated ones, their alarms, services.
fn doctor_calls(ground: &Ground<'_>, world: &World, account: &str) -> BTreeSet<Wanted> {
    let mut all: BTreeSet<Wanted> = PRESENCE_CALLS.map(|action| plain(action, "*".to_owned())).into();
    all.insert(plain("cloudformation:ListStacks", "*".to_owned()));
    for stack in stacks(ground, world, account, DeployedBy::Bootstrap) {
        let looks = [
            "cloudformation:DescribeStacks",
            "cloudformation:GetTemplate",
            "cloudformation:ListStackResources",
        ];
        all.extend(looks.map(|action| plain(action, stack.pseudo.stack_id.clone())));
        let names = Names::new(stack, ground.types);
        for resource in stack.resources.values() {
            // Whether something waits in the pipeline, and whether anybody hears of it.
            match (resource.kind.as_str(), names.reference(resource, None)) {
                ("AWS::CodePipeline::Pipeline", Ok(name)) => {
                    let (partition, region) = (&stack.pseudo.partition, &stack.pseudo.region);
                    let id = ground.config.account_id(account).unwrap_or_default();
                    let arn = format!("arn:{partition}:codepipeline:{region}:{id}:{name}");
                    all.insert(plain("codepipeline:GetPipelineState", arn));
                }
                ("AWS::SNS::Topic", Ok(arn)) => {
                    all.insert(plain("sns:ListSubscriptionsByTopic", arn));
                }
                _ => {}
            }
        }
    }
    for stack in stacks(ground, world, account, DeployedBy::Pipeline) {
        let on = isolated(ground, stack.pseudo.stack_id.clone());
        all.insert(plain("cloudformation:DescribeStackEvents", on.clone()));
        all.insert(plain("cloudformation:DescribeStacks", on.clone()));
        all.insert(plain("cloudformation:GetTemplate", on.clone()));
        all.insert(plain("cloudformation:ListStackResources", on));
        let names = Names::new(stack, ground.types);
        for alarm in stack.resources.values().filter(|found| found.kind == "AWS::CloudWatch::Alarm") {
            if let Ok(arn) = names.reference(alarm, Some("Arn")) {
                all.insert(plain("cloudwatch:DescribeAlarms", isolated(ground, arn)));
            }
        }
    }
    all
}

/// The stacks of an account that are deployed so, isolated ones among the pipeline's.
fn stacks<'w>(
    ground: &'w Ground<'_>,
    world: &'w World,
    account: &'w str,
    by: DeployedBy,
) -> impl Iterator<Item = &'w Stack> {
    world.stacks.iter().filter(move |stack| {
        let of = ground.config.stack(&stack.of);
        stack.account == account && of.is_some_and(|of| of.deployed_by == by)
    })
}

/// An ARN of the one isolated stack that stands for all of them, with its name left open.
fn isolated(ground: &Ground<'_>, arn: String) -> String {
    let open = format!("{}-isolated-", ground.config.project);
    let Some((before, rest)) = arn.split_once(&open) else { return arn };
    // What follows the name: a slash and the stack's id, or a dash and the resource's own part.
    match rest.find(['/', '-']) {
        Some(end) => format!("{before}{open}*{}", &rest[end..]),
        None => format!("{before}{open}*"),
    }
}

/// The policy that allows these calls: one statement for each set of resources and condition keys, in a fixed order.
pub(crate) fn policy(calls: BTreeSet<Wanted>) -> Value {
    let mut by_call: BTreeMap<(String, Keys), BTreeSet<String>> = BTreeMap::new();
    for wanted in calls.into_iter().map(general) {
        let keys: Keys = wanted.with.into_iter().map(|(key, values)| (key, values.join(","))).collect();
        by_call.entry((wanted.action, keys)).or_default().insert(wanted.on);
    }
    // The same action on the same resources under several values of one key is one statement with a list.
    let mut by_target: BTreeMap<(BTreeSet<String>, Keys), BTreeSet<String>> = BTreeMap::new();
    for ((action, keys), on) in by_call {
        by_target.entry((on, keys)).or_default().insert(action);
    }
    let statements: Vec<Value> =
        by_target.into_iter().map(|((on, keys), actions)| statement(on, &keys, actions)).collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// The statements of several policies as one policy. Statements name the resources of their own account, so another one gains by
/// it only what names `*`.
pub(crate) fn merged(policies: &BTreeMap<String, Value>) -> Value {
    // Actions under the same conditions have their resources in one statement, wherever these are.
    let mut statements: Vec<Value> = Vec::new();
    let all = policies.values().flat_map(|policy| policy["Statement"].as_array().into_iter().flatten());
    for statement in all {
        let alike = |other: &&mut Value| {
            ["Effect", "Action", "Condition"].iter().all(|key| other[*key] == statement[*key])
        };
        match statements.iter_mut().find(alike) {
            Some(same) => {
                let list = |value: &Value| match value {
                    Value::Array(list) => list.clone(),
                    other => vec![other.clone()],
                };
                let mut resources = list(&same["Resource"]);
                for resource in list(&statement["Resource"]) {
                    if !resources.contains(&resource) {
                        resources.push(resource);
                    }
                }
                same["Resource"] =
                    if resources.len() == 1 { resources.remove(0) } else { Value::Array(resources) };
            }
            None => statements.push(statement.clone()),
        }
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

type Keys = BTreeMap<String, String>;

fn statement(on: BTreeSet<String>, keys: &Keys, actions: BTreeSet<String>) -> Value {
    let one_or_all = |all: BTreeSet<String>| match all.len() {
        1 => all.into_iter().next().map_or(Value::Null, Value::from),
        _ => Value::from_iter(all),
    };
    let mut map = Map::new();
    map.insert("Effect".into(), json!("Allow"));
    map.insert("Action".into(), one_or_all(actions));
    map.insert("Resource".into(), one_or_all(on));
    if !keys.is_empty() {
        let mut operators = Map::new();
        for (key, value) in keys {
            let operator = if value.starts_with("arn:") { "ArnEquals" } else { "StringEquals" };
            let entry = operators.entry(operator).or_insert_with(|| json!({}));
            entry[key] = Value::from(value.clone());
        }
        map.insert("Condition".into(), Value::Object(operators));
    }
    Value::Object(map)
}
