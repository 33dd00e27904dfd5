//! The packages of an isolated stack: built as a release's are, and put into the developers' bucket.
//!
//! They are put anew each time: what lies there expires by age, and only a PUT makes an object young again.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::pack::{Zips, bills, zips};
use super::release::Releases;
use super::write::parameters;
use super::{Args, app_stack, plan};
use causeway_aws::Account;
use causeway_aws::artifacts::Bucket;
use causeway_build::cargo::{self, Kind};
use causeway_build::compile::Shown;
use causeway_build::git;
use causeway_command::Context;
use causeway_model::artifact::{PackageRecord, Upload};
use causeway_model::config::Config;
use causeway_model::fault::Fault;
use causeway_model::isolated::PARAMETERS;
use causeway_model::net::is_loopback;
use causeway_model::package::{self, Packaged};

/// What was built for an isolated stack.
pub struct Isolated {
    /// What was packaged.
    pub record: PackageRecord,
    /// The template's text, with the packages' places in it.
    pub template: String,
    /// The app stack's parameters in the account.
    pub parameters: BTreeMap<String, String>,
    zips: BTreeMap<String, Vec<u8>>,
    bills: BTreeMap<String, String>,
}

/// How to build.
#[derive(Debug, Clone)]
pub struct How {
    /// Target triple, or `host`; by default Lambda on arm64.
    pub target: Option<String>,
    /// Cargo profile.
    pub profile: String,
}

/// Builds and zips every function for a stack in an account. Nothing is uploaded, and nothing of what `package` wrote for
/// the pipeline is touched.
///
/// # Errors
/// Something does not compile, a package is too large, or asks for what Lambda does not have.
pub async fn build(
    context: &Context,
    config: &Config,
    (account, bucket): (&str, &str),
    how: How,
) -> anyhow::Result<Isolated> {
    let root = &context.root;
    let base = root.join("target/causeway");
    std::fs::create_dir_all(&base).with_context(|| format!("create {}", base.display()))?;
    let _lock =
        causeway_machine::files::lock(&base.join("package.lock"), &|text| context.out.note(text)).await?;
    let args = Args::plain(how.target, how.profile);
    let app = app_stack(config)?;
    let plan = plan(context, app, &args).await?;
    let stamps = plan.stamps();
    context.out.spin("build");
    let packages: BTreeSet<&str> = plan.graph.binaries.iter().map(|binary| binary.package.as_str()).collect();
    let way = (&plan.way, plan.tools.as_path());
    let (progress, row) = (|line: &str| context.out.tick(line), |row: &str| context.out.row(row));
    let shown = Shown { progress: &progress, row: &row, every: context.pace() };
    let wanted = (&packages, Kind::Binary, plan.graph.binaries.as_slice());
    let built = cargo::build(root, wanted, &plan.setting, &stamps, way, shown).await?;
    context.out.spin("package");
    // What is built for this machine runs on it, whatever its glibc, where the stack is the local cloud's.
    let local = std::env::var("AWS_ENDPOINT_URL").is_ok_and(|url| is_loopback(&url));
    let is_held = !(local && args.target.as_deref() == Some("host"));
    let Zips { architecture, functions, zips, .. } = zips(&plan, is_held, &built, &stamps)?;
    let record = PackageRecord {
        commit: git::commit(root, "HEAD").await,
        rustc: plan.way.short_rustc(),
        target: plan.setting.target.clone(),
        profile: plan.setting.profile.clone(),
        linker: plan.way.linker.clone(),
        functions,
    };
    let bills = bills(&plan, &plan.graph.binaries, &stamps);
    let place = (&record, Some(bucket), architecture);
    let mut releases = Releases::find(context, (config, app), &plan.template, place)?;
    let packaged =
        Packaged { record: &record, bucket: Some(bucket), architecture, released: &releases.released };
    let template = package::template(&plan.template, &packaged)
        .map_err(|error| Fault::failed("write the packaged template", app.template.as_str()).why(error))?;
    let mut parameters = parameters(config, app, account, &record)?;
    let mut given = parameters.clone();
    given.extend(PARAMETERS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    parameters.extend(releases.of(account, &given).await?);
    releases.say_unresolved();
    Ok(Isolated { record, template, parameters, zips, bills })
}

impl Isolated {
    /// Puts every package and its bill of materials, whatever is there. How many bytes that were.
    ///
    /// # Errors
    /// What S3 says of the first one that it refuses.
    pub async fn put(&mut self, context: &Context, account: &Account, name: &str) -> anyhow::Result<u64> {
        let bucket = Bucket::plain(account, name);
        let mut bytes = 0;
        for function in &mut self.record.functions {
            context.out.spin(&format!("upload {}", function.name));
            let (Some(zip), Some(bill)) =
                (self.zips.get(&function.name).cloned(), self.bills.get(&function.name).cloned())
            else {
                anyhow::bail!("no package {} was made", function.name);
            };
            let bill = bill.into_bytes();
            bytes += (zip.len() + bill.len()) as u64;
            bucket.put_artifact(&function.bill, bill).await?;
            bucket.put_artifact(&function.key, zip).await?;
            function.upload = Upload::Uploaded;
        }
        Ok(bytes)
    }
}
