//! `package`: builds the functions, zips them, uploads them, writes the packaged template. CodeBuild runs this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Baseline, Context, Outcome};
use crate::aws::artifacts::Bucket;
use crate::aws::cloudformation::Stacks;
use crate::aws::{Account, Accounts};
use crate::build::versions::Setting;
use crate::build::{bootstrap_zip, cargo, git, versions};
use crate::model::artifact::{PackageRecord, PackagedFunction, Upload, package_key};
use crate::model::config::{ArtifactFact, BUILD, Config, DeployedBy, Parameter, Stack};
use crate::model::fault::Fault;
use crate::model::package::{self, Packaged};
use crate::model::verdict::Verdict;

/// Lambda's limit for a zip that is uploaded ("Lambda quotas").
const MAX_ZIP: u64 = 50 * 1024 * 1024;
/// Lambda's limit for a package once it is unpacked.
const MAX_UNPACKED: u64 = 250 * 1024 * 1024;

/// Arguments of `package`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only build, zip and write the template; upload nothing
    #[arg(long)]
    no_upload: bool,
    /// Target triple, or `host`
    #[arg(long, env = "CAUSEWAY_TARGET", default_value = "host", value_name = "TRIPLE")]
    target: String,
    /// Cargo profile
    #[arg(long, env = "CAUSEWAY_PROFILE", default_value = "lambda", value_name = "PROFILE")]
    profile: String,
    /// Where the packages go; by default the bucket of the build account's base stack
    #[arg(long, env = "CAUSEWAY_ARTIFACT_BUCKET", value_name = "BUCKET")]
    bucket: Option<String>,
    /// The key they are encrypted under
    #[arg(long, env = "CAUSEWAY_ARTIFACT_KEY_ARN", value_name = "ARN")]
    key_arn: Option<String>,
}

/// Where packages go.
struct Place {
    bucket: String,
    key_arn: String,
    account: Account,
}

/// Runs `package`.
///
/// # Errors
/// Something does not compile, a package is too large, the bucket or its key may not be used. Files appear under
/// their final names only once all of them are complete.
pub(crate) async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let root = &context.root;
    let app = app_stack(&config)?;
    let template_path = root.join("cfn").join(&app.template);
    let source = std::fs::read_to_string(&template_path)
        .with_context(|| format!("read {}", template_path.display()))?;
    let places = package::code_uris(&source).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{}", app.template)).why(error).next("mend that line")
    })?;
    let names: Vec<String> = {
        let mut names: Vec<String> = places.iter().map(|place| place.function.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let binaries = cargo::binaries(root, &names).await?;
    let setting = cargo::setting(root, &args.target, &args.profile).await?;
    let mut stamps = versions(root, &binaries, &setting).await?;
    if Baseline::from_environment() == Some(Baseline::Same) {
        for version in stamps.values_mut() {
            *version =
                crate::model::artifact::version(version.split('+').next().unwrap_or_default(), "baseline");
        }
    }
    context.out.spin("build");
    let built = cargo::build(root, &binaries, &setting, &stamps).await?;
    let place = if args.no_upload { None } else { Some(place(&context, &config, &args).await?) };

    context.out.spin("package");
    let commit = commit(root).await;
    let mut functions = Vec::new();
    let mut zips = BTreeMap::new();
    let mut architecture = None;
    for (name, path) in &built {
        let binary = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let found = package::architecture(&binary).ok_or_else(|| {
            Fault::failed("package the function", name.as_str())
                .why("the binary is no ELF for x86_64 or AArch64")
                .next("build for Linux: --target, or CodeBuild")
        })?;
        architecture = Some(found);
        let unpacked = binary.len() as u64;
        let zip = bootstrap_zip(binary)?;
        check_size(name, zip.len() as u64, unpacked)?;
        let sha256 = hex::encode(Sha256::digest(&zip));
        functions.push(PackagedFunction {
            name: name.clone(),
            bytes: zip.len() as u64,
            key: package_key(name, &sha256),
            sha256,
            version: stamps.get(name).cloned().unwrap_or_default(),
            upload: Upload::None,
        });
        zips.insert(name.clone(), zip);
    }
    if let Some(place) = &place {
        upload(
            &context,
            place,
            &mut functions,
            &zips,
            commit.as_deref(),
            &setting.target,
            &cargo::short_rustc(&setting),
        )
        .await?;
    }
    let record = PackageRecord {
        commit: commit.clone(),
        rustc: cargo::short_rustc(&setting),
        target: setting.target.clone(),
        profile: setting.profile.clone(),
        functions,
    };
    let bucket = place.as_ref().map(|place| place.bucket.clone());
    let packaged = Packaged {
        record: &record,
        bucket: bucket.as_deref(),
        architecture: architecture.unwrap_or("x86_64"),
    };
    let template = package::template(&source, &packaged)
        .map_err(|error| Fault::failed("write the packaged template", app.template.as_str()).why(error))?;
    let mut files: Vec<(String, Vec<u8>)> =
        zips.into_iter().map(|(name, zip)| (format!("{name}.zip"), zip)).collect();
    files.push(("template.yaml".to_owned(), template.into_bytes()));
    for account in &app.accounts {
        let parameters = parameters(&config, app, account, &record)?;
        let text = serde_json::to_string_pretty(&json!({"Parameters": parameters}))
            .context("write the parameters")?;
        files.push((format!("params-{account}.json"), format!("{text}\n").into_bytes()));
    }
    let text = serde_json::to_string_pretty(&record).context("write package.json")?;
    files.push(("package.json".to_owned(), format!("{text}\n").into_bytes()));
    write_all(&root.join("target/causeway/package"), files)?;

    if std::env::var_os("CODEBUILD_BUILD_ID").is_some() {
        tool(root)?;
    }
    let uploaded: Vec<String> = record
        .functions
        .iter()
        .filter(|f| f.upload == Upload::Uploaded)
        .map(|f| format!("s3://{}/{}", bucket.clone().unwrap_or_default(), f.key))
        .collect();
    for function in &record.functions {
        let state = match function.upload {
            Upload::Uploaded => "uploaded",
            Upload::Present => "present",
            Upload::None => "not uploaded",
        };
        context.out.say(format!(
            "  {:<14} {:<22} {:>7.2} MB  {state}",
            function.name,
            function.version,
            function.bytes as f64 / 1e6
        ));
    }
    let mut outcome =
        Outcome::of(Verdict::Done).with_data(serde_json::to_value(&record).unwrap_or(Value::Null));
    outcome.commit = commit;
    outcome.changed = uploaded;
    Ok(outcome)
}

/// The stack that carries the functions.
pub(crate) fn app_stack(config: &Config) -> anyhow::Result<&Stack> {
    config.stacks.iter().find(|stack| stack.deployed_by == DeployedBy::Pipeline).ok_or_else(|| {
        Fault::usage("find the app stack", "cfn/stacks.toml")
            .why("no stack is deployed by the pipeline")
            .next("give one `deployed_by = \"pipeline\"`")
            .into()
    })
}

/// The versions that `package` would stamp, without building anything.
///
/// # Errors
/// The project at that root cannot be read.
pub(crate) async fn versions_of(root: &Path, setting: &Setting) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(root.join("cfn/stacks.toml")).context("read cfn/stacks.toml")?;
    let config = crate::model::config::parse(&text)?;
    let source = std::fs::read_to_string(root.join("cfn").join(&app_stack(&config)?.template))
        .context("read the template")?;
    let places = package::code_uris(&source).map_err(anyhow::Error::msg)?;
    let names: BTreeSet<String> = places.into_iter().map(|place| place.function).collect();
    let binaries = cargo::binaries(root, &names.into_iter().collect::<Vec<_>>()).await?;
    versions(root, &binaries, setting).await
}

/// The commit: CodeBuild names it, else git does.
async fn commit(root: &Path) -> Option<String> {
    let named = std::env::var("CODEBUILD_RESOLVED_SOURCE_VERSION").ok().filter(|commit| !commit.is_empty());
    match named {
        Some(commit) => Some(commit),
        None => git::commit(root, "HEAD").await,
    }
}

/// Where packages go: what the environment names, else the outputs of the base stack.
async fn place(context: &Context, config: &Config, args: &Args) -> anyhow::Result<Place> {
    let accounts = Accounts::open(config, &context.open_options()?).await?;
    accounts.verify(config, &[BUILD.to_owned()]).await?;
    let account = accounts.get(BUILD)?.clone();
    if let (Some(bucket), Some(key_arn)) = (args.bucket.clone(), args.key_arn.clone()) {
        return Ok(Place { bucket, key_arn, account });
    }
    let stack = format!("{}-build-base", config.project);
    let info = Stacks::new(&account).describe(&stack).await?;
    let output = |name: &str| info.as_ref().and_then(|info| info.outputs.get(name)).cloned();
    match (output("BucketName"), output("KeyArn")) {
        (Some(bucket), Some(key_arn)) => Ok(Place { bucket, key_arn, account }),
        _ => Err(Fault::failed("find the artifact bucket", stack)
            .why("the stack is not there or has no such outputs")
            .next("run cargo xtask bootstrap first, or package with --no-upload")
            .into()),
    }
}

async fn upload(
    context: &Context,
    place: &Place,
    functions: &mut [PackagedFunction],
    zips: &BTreeMap<String, Vec<u8>>,
    commit: Option<&str>,
    target: &str,
    rustc: &str,
) -> anyhow::Result<()> {
    let bucket = Bucket::new(&place.account, &place.bucket, &place.key_arn);
    let mut tasks = tokio::task::JoinSet::new();
    for (index, function) in functions.iter().enumerate() {
        let Some(zip) = zips.get(&function.name).cloned() else { continue };
        let (bucket, key) = (bucket.clone(), function.key.clone());
        let metadata = [
            ("commit", commit.unwrap_or("none").to_owned()),
            ("target", target.to_owned()),
            ("rustc", rustc.to_owned()),
        ];
        tasks.spawn(async move {
            let pairs: Vec<(&str, &str)> =
                metadata.iter().map(|(name, value)| (*name, value.as_str())).collect();
            (index, bucket.put_once(&key, zip, &pairs).await)
        });
    }
    while let Some(joined) = tasks.join_next().await {
        let (index, result) = joined?;
        if let Some(function) = functions.get_mut(index) {
            function.upload = result?;
            context.out.spin(&format!("upload {}", function.name));
        }
    }
    Ok(())
}

fn check_size(name: &str, zip: u64, unpacked: u64) -> anyhow::Result<()> {
    let over = if zip > MAX_ZIP {
        format!("the zip has {zip} bytes; Lambda takes {MAX_ZIP}")
    } else if unpacked > MAX_UNPACKED {
        format!("the binary has {unpacked} bytes; Lambda takes {MAX_UNPACKED}")
    } else {
        return Ok(());
    };
    Err(Fault::failed("package the function", name)
        .why(over)
        .next("build with the profile `lambda`, or use fewer dependencies")
        .into())
}

/// The parameters of the app stack in an account.
fn parameters(
    config: &Config,
    app: &Stack,
    account: &str,
    record: &PackageRecord,
) -> anyhow::Result<BTreeMap<String, String>> {
    let instance = crate::model::config::Instance { stack: app.name.clone(), account: account.to_owned() };
    let mut all = BTreeMap::new();
    for (name, parameter) in config.parameters(&instance) {
        let value = match parameter {
            Parameter::Literal(text) => config.fill(&text, account)?,
            Parameter::Artifact { function, fact } => {
                let found = record.function(&function).ok_or_else(|| {
                    Fault::usage("fill a parameter", name.as_str())
                        .why(format!("no package is called {function}"))
                        .next("correct it in cfn/stacks.toml")
                })?;
                match fact {
                    ArtifactFact::Version => found.version.clone(),
                    ArtifactFact::Key => found.key.clone(),
                }
            }
            Parameter::Output { .. } => continue,
        };
        all.insert(name, value);
    }
    Ok(all)
}

/// Lays out what the test stage runs: this very program and the files it needs, so that nothing is compiled twice.
fn tool(root: &Path) -> anyhow::Result<()> {
    let dir = root.join("target/causeway/tool");
    let own = std::env::current_exe().context("find our own program")?;
    for (from, to) in [
        (own, "xtask"),
        (root.join("cfn/stacks.toml"), "cfn/stacks.toml"),
        (root.join("buildspecs/test.yml"), "buildspecs/test.yml"),
    ] {
        let to = dir.join(to);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        // A file in use cannot be written over, but it can be replaced.
        let _ = std::fs::remove_file(&to);
        std::fs::copy(&from, &to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Writes every file under a temporary name first, then renames them, `package.json` last.
fn write_all(dir: &Path, files: Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    use std::io::Write as _;
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let mut ready: Vec<(tempfile::NamedTempFile, PathBuf)> = Vec::new();
    for (name, content) in files {
        let path = dir.join(name);
        let mut file =
            tempfile::NamedTempFile::new_in(dir).with_context(|| format!("write in {}", dir.display()))?;
        file.write_all(&content).with_context(|| format!("write {}", path.display()))?;
        ready.push((file, path));
    }
    for (file, path) in ready {
        file.persist(&path).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
