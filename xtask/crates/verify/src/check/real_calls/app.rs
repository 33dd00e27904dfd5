//! The application's stacks for the third opinion, without a release: nothing is compiled, since its roles are asked and
//! not its code. The packages are empty zips, which the emulator answers for by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::Context;
use causeway_aws::artifacts::Bucket;
use causeway_aws::cloudformation::{Stacks, Wanted};
use causeway_aws::{Account, Accounts};
use causeway_build::zips::{Entry, archive};
use causeway_model::artifact::{PackageRecord, PackagedFunction, Upload, package_key};
use causeway_model::config::{BUILD, Config, Instance};
use causeway_model::fault::Fault;
use causeway_model::line::Emit;
use causeway_model::package::{self, Packaged};
use causeway_release::package::{app_stack, parameters};

/// How long a stack may take.
const LIMIT: Duration = Duration::from_secs(600);

/// The version that these packages are said to be.
const VERSION: &str = "0.0.0+000000000000";

/// Deploys the application to every target account, as its pipeline would: through the execution role, which reads the
/// packages.
///
/// # Errors
/// A stack that is missing, or that does not come up.
pub(super) async fn deploy(context: &Context, config: &Config, accounts: &Accounts) -> anyhow::Result<()> {
    let app = app_stack(config)?;
    let path = context.root.join("cfn").join(&app.template);
    let source = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let unreadable = |why: String| Fault::failed("read the template", app.template.as_str()).why(why);
    let names: BTreeSet<String> =
        package::code_uris(&source).map_err(unreadable)?.into_iter().map(|place| place.function).collect();
    let base = outputs(accounts.get(BUILD)?, &format!("{}-build-base", config.project)).await?;
    let (bucket, key) = (output(&base, "BucketName")?, output(&base, "KeyArn")?);
    let store = Bucket::new(accounts.get(BUILD)?, bucket, key);
    let mut functions = Vec::new();
    for name in names {
        let function = empty(name);
        let entry = Entry { name: "README".to_owned(), executable: false, content: Vec::new() };
        store.put_artifact(&function.key, archive(vec![entry])?).await?;
        functions.push(function);
    }
    let record = PackageRecord {
        commit: None,
        rustc: String::new(),
        target: String::new(),
        profile: String::new(),
        linker: String::new(),
        functions,
    };
    let packaged = Packaged { record: &record, bucket: Some(bucket), architecture: "arm64", released: &[] };
    let template = package::template(&source, &packaged).map_err(unreadable)?;
    let mut begun = JoinSet::new();
    for env in config.targets() {
        let account = accounts.get(env)?.clone();
        let roles = outputs(&account, &format!("{}-target-roles", config.project)).await?;
        let instance = Instance { stack: app.name.clone(), account: env.to_owned() };
        let stack = config.stack_name(&instance);
        let parameters = parameters(config, app, env, &record)?;
        let role = output(&roles, "ExecutionRoleArn")?.to_owned();
        let template = template.clone();
        let emit = context.answering_yes().out.emitter();
        begun.spawn(async move { create(&account, &stack, &template, &parameters, &role, &emit).await });
    }
    while let Some(ended) = begun.join_next().await {
        ended??;
    }
    Ok(())
}

fn empty(name: String) -> PackagedFunction {
    let sha256 = "0".repeat(64);
    PackagedFunction {
        key: package_key(&name, &sha256),
        name,
        bytes: 0,
        sha256,
        version: VERSION.to_owned(),
        upload: Upload::Uploaded,
        bill: String::new(),
        version_id: None,
    }
}

async fn create(
    account: &Account,
    stack: &str,
    template: &str,
    parameters: &BTreeMap<String, String>,
    role: &str,
    emit: &Emit,
) -> anyhow::Result<()> {
    let none = BTreeMap::new();
    let wanted = Wanted {
        stack,
        template,
        url: None,
        parameters,
        tags: &none,
        role_arn: Some(role),
        name: "",
        is_own: false,
    };
    let settled = Stacks::new(account).create_or_update(&wanted, LIMIT, emit).await?;
    match settled {
        Some(settled) if settled.status.is_good() => Ok(()),
        Some(settled) => Err(Fault::failed("deploy the application", format!("{stack} in {}", account.name))
            .why(settled.first_failure.unwrap_or_else(|| settled.status.to_string()))
            .into()),
        None => Err(Fault::failed("deploy the application", stack).why("it was there already").into()),
    }
}

async fn outputs(account: &Account, stack: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let found = Stacks::new(account).describe(stack).await?;
    found.map(|info| info.outputs).with_context(|| format!("there is no stack {stack}"))
}

fn output<'a>(all: &'a BTreeMap<String, String>, name: &str) -> anyhow::Result<&'a str> {
    all.get(name).map(String::as_str).with_context(|| format!("the stack has no output {name}"))
}
