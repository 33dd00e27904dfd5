//! `package`: builds the functions, zips them, uploads them, writes the packaged template. CodeBuild runs this.

mod explain;
pub mod isolated;
mod pack;
mod release;
mod upload;
mod write;
mod zipped;

pub use write::parameters;
pub use zipped::zipped;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use causeway_args::package::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::pack::Zips;
use self::release::Releases;
use self::upload::Place;
use causeway_build::bill::Inputs;
use causeway_build::cargo::{self, Kind};
use causeway_build::compile::Shown;
use causeway_build::graph::{self, Graph};
use causeway_build::versions::{self, Binary, Setting};
use causeway_build::way::{self, Way};
use causeway_build::{broken, git, rehearsal};
use causeway_command::{Baseline, Context, Outcome};
use causeway_machine::files::not_written;
use causeway_machine::install::{self, Set};
use causeway_machine::paths::Paths;
use causeway_model::artifact::{self, PackageRecord, Upload};
use causeway_model::config::{Config, DeployedBy, Stack};
use causeway_model::fault::{Fault, from_error};
use causeway_model::line::Line;
use causeway_model::ownership::marked;
use causeway_model::package::{self, Packaged};
use causeway_model::verdict::Verdict;

/// The variables that stamp every function with its version in a rehearsal, and the versions: tests of the same build are
/// stamped, too, so that no binary is compiled a second time.
///
/// # Errors
/// The project cannot be read, or has no functions.
pub async fn stamps(context: &Context, profile: &str) -> anyhow::Result<Vec<(String, String)>> {
    let config = context.config()?;
    let args = Args::plain(Some("host".to_owned()), profile.to_owned());
    let plan = plan(context, app_stack(&config)?, &args).await?;
    let stamps = plan.stamps().into_iter();
    Ok(stamps.map(|(name, version)| (artifact::version_variable(&name), version)).collect())
}

/// What is going to be built, how, and what of.
struct Plan {
    way: Way,
    setting: Setting,
    inputs: BTreeMap<String, Inputs>,
    /// Who takes what.
    graph: Graph,
    /// The small programs that the way needs.
    tools: PathBuf,
    crate_version: String,
    template: String,
}

impl Plan {
    /// The version of each function. A build that is broken on purpose has others, and its tests carry the same: another stamp would
    /// have each program compiled a second time.
    fn stamps(&self) -> BTreeMap<String, String> {
        let broken = broken::mode();
        let all = self.inputs.iter().map(|(name, inputs)| {
            let version = versions::version(inputs, &self.crate_version);
            let version = match broken {
                Some(mode) => digested(&version, &hex::encode(Sha256::digest(format!("{version} {mode}")))),
                None => version,
            };
            (name.clone(), version)
        });
        all.collect()
    }
}

/// A version with another digest of what it is made of.
fn digested(version: &str, digest: &str) -> String {
    artifact::version(version.split('+').next().unwrap_or_default(), digest)
}

/// Runs `package`.
///
/// # Errors
/// Something does not compile, a package is too large, asks for what Lambda does not have, the bucket or its key may
/// not be used. Files appear under their final names only once all of them are complete.
pub async fn run(context: Context, args: Args) -> anyhow::Result<Outcome> {
    let config = context.config()?;
    let root = &context.root;
    let app = app_stack(&config)?;
    if args.explain {
        if args.env.is_none() {
            explain::packaged_before(root)?;
        }
        let plan = plan(&context, app, &args).await?;
        return explain::explain(&context, &config, &args, &plan).await;
    }
    let base = root.join("target/causeway");
    std::fs::create_dir_all(&base).map_err(|error| not_written(&base, &error))?;
    // Two runs at once wait for each other: their files belong together.
    let wait = |_: &str| context.out.note("waiting for another package run in this checkout");
    let _lock = causeway_machine::files::lock(&base.join("package.lock"), &wait).await?;
    let plan = plan(&context, app, &args).await?;
    let wanted: Vec<Binary> = plan
        .graph
        .binaries
        .iter()
        .filter(|binary| args.bin.is_empty() || args.bin.contains(&binary.name))
        .cloned()
        .collect();
    let mut stamps = plan.stamps();
    if Baseline::from_environment() == Some(Baseline::Same) {
        for version in stamps.values_mut() {
            *version = digested(version, "baseline");
        }
    }
    if let Some(mode) = broken::mode() {
        context.out.say(format!("this build is broken on purpose: {mode}"));
    }
    let place = if args.no_upload { None } else { Some(Place::find(&context, &config, &args).await?) };
    if let Some(place) = &place {
        place.open().find().await?;
    }
    context.out.spin("build");
    let packages: BTreeSet<&str> = plan.graph.binaries.iter().map(|binary| binary.package.as_str()).collect();
    let way = (&plan.way, plan.tools.as_path());
    let (progress, row) = (|line: &str| context.out.tick(line), |row: &str| context.out.row(row));
    let shown = Shown { progress: &progress, row: &row, every: context.pace() };
    let (built, commit, bills) = tokio::join!(
        cargo::build(root, (&packages, Kind::Binary, &wanted), &plan.setting, &stamps, way, shown),
        commit(root),
        // Written while cargo is at work.
        async { pack::bills(&plan, &wanted, &stamps) },
    );
    let built = built?;

    context.out.spin("package");
    // What is built for this very machine runs on it, whatever its glibc; on Lambda it may not.
    let stays = args.target.as_deref() == Some("host") && place.as_ref().is_none_or(Place::is_local);
    let Zips { architecture, functions, zips } = pack::zips(&plan, !stays, &built, &stamps)?;
    let mut record = PackageRecord {
        commit: commit.clone(),
        rustc: plan.way.short_rustc(),
        target: plan.setting.target.clone(),
        profile: plan.setting.profile.clone(),
        linker: plan.way.linker.clone(),
        functions,
    };
    let dir = base.join("package");
    let before = write::before(&context, &dir);
    write::say_other_tools(&context, before.as_ref(), &record);
    let mut bytes = 0;
    if let Some(place) = &place {
        bytes = upload::upload(&context, place, &mut record, &zips, &bills).await?;
    }
    let bucket = place.as_ref().map(|place| place.bucket.clone());
    let mut unresolved = Value::Null;
    let mut files: Vec<(String, Vec<u8>)> =
        zips.into_iter().map(|(name, zip)| (format!("{name}.zip"), zip)).collect();
    files.extend(bills.into_iter().map(|(name, bill)| (format!("{name}.cdx.json"), bill.into_bytes())));
    if args.bin.is_empty() {
        let place = (&record, bucket.as_deref(), architecture);
        let mut releases = Releases::find(&context, (&config, app), &plan.template, place)?;
        let packaged = Packaged {
            record: &record,
            bucket: bucket.as_deref(),
            architecture,
            released: &releases.released,
        };
        let template = package::template(&plan.template, &packaged).map_err(|error| {
            Fault::failed("write the packaged template", app.template.as_str()).why(error)
        })?;
        let template = marked(&template, &config.project, &app.name)
            .map_err(|why| Fault::usage("mark the template", format!("cfn/{}", app.template)).why(why))?;
        files.push(("template.yaml".to_owned(), template.into_bytes()));
        for account in &app.accounts {
            let mut parameters = write::parameters(&config, app, account, &record)?;
            parameters.extend(releases.of(account, &parameters).await?);
            let text = serde_json::to_string_pretty(&json!({"Parameters": parameters}))
                .context("write the parameters")?;
            files.push((format!("params-{account}.json"), format!("{text}\n").into_bytes()));
        }
        unresolved = releases.say_unresolved();
        files.push(write::of(&record)?);
    } else {
        files.push(write::some(&context, before.as_ref(), &record)?);
    }
    write::write_all(&dir, files)?;

    if std::env::var_os("CODEBUILD_BUILD_ID").is_some() {
        write::tool(root)?;
    }
    let mut outcome = report(&context, record, bucket, bytes);
    outcome.data["does_not_publish"] = unresolved;
    Ok(outcome)
}

/// Says what became of each package.
fn report(context: &Context, record: PackageRecord, bucket: Option<String>, bytes: u64) -> Outcome {
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
    let uploaded = record.functions.iter().filter(|function| function.upload == Upload::Uploaded);
    // The bill of materials goes with its package.
    let changed: Vec<String> =
        uploaded.map(|f| format!("s3://{}/{}", bucket.as_deref().unwrap_or_default(), f.key)).collect();
    if bucket.is_some() {
        context.out.say(format!("  {} uploads, {bytes} bytes", changed.len()));
    }
    let mut data = serde_json::to_value(&record).unwrap_or(Value::Null);
    data["uploaded_bytes"] = json!(bytes);
    let mut outcome = Outcome::of(Verdict::Done).with_data(data);
    outcome.commit = record.commit;
    outcome.changed = changed;
    outcome
}

/// Finds out what is to be built, and the way; says which it took.
async fn plan(context: &Context, app: &Stack, args: &Args) -> anyhow::Result<Plan> {
    let root = &context.root;
    let template_path = root.join("cfn").join(&app.template);
    let template = std::fs::read_to_string(&template_path)
        .with_context(|| format!("read {}", template_path.display()))?;
    let places = package::code_uris(&template).map_err(|error| {
        Fault::usage("read the template", format!("cfn/{}", app.template)).why(error).next("fix that line")
    })?;
    let names: BTreeSet<String> = places.into_iter().map(|place| place.function).collect();
    if let Some(unknown) = args.bin.iter().find(|name| !names.contains(*name)) {
        return Err(Fault::usage("find the function", unknown.as_str())
            .why("the template names no package of that name")
            .next(format!("one of: {}", names.into_iter().collect::<Vec<_>>().join(", ")))
            .into());
    }
    let tools = root.join("target/causeway/tools");
    let way = find_way(context, args.target.as_deref().unwrap_or(way::RELEASE), &tools).await?;
    context.out.note(format!(
        "for {}: {}, {}, linker {}",
        way.target,
        way.library,
        way.short_rustc(),
        way.linker
    ));
    for message in way.warnings(root) {
        context.out.line(&Line::Warning { message });
    }
    let mut setting = Setting {
        target: way.target.clone(),
        profile: args.profile.clone(),
        rustc: way.rustc.clone(),
        features: Vec::new(),
    };
    // Features are those of every binary that the template names.
    let names: Vec<String> = names.into_iter().collect();
    if way.stays() {
        let packages = graph::packages(root, &names).await?;
        setting.features = rehearsal::features(root, packages.iter().map(String::as_str));
    }
    let graph = graph::find(root, &names, &setting, &|text| context.out.note(text)).await?;
    let inputs = versions::inputs(root, &graph, &setting)?;
    let crate_version = versions::crate_version(root)?;
    Ok(Plan { way, setting, inputs, graph, tools, crate_version, template })
}

/// The way to a target with a linker on it.
///
/// # Errors
/// There is none: a usage fault with the lines that would make one.
pub async fn find_way(context: &Context, target: &str, tools: &Path) -> anyhow::Result<Way> {
    let root = &context.root;
    let say = |text: &str| context.out.note(text);
    let mut way = if target == "host" {
        let way = Way::host(root).await?;
        if rehearsal::is_one(Some(target)) { way.that_stays() } else { way }
    } else {
        way::runs_on_lambda(target)?;
        let home = match std::env::var_os("CAUSEWAY_DEBIAN_DIR") {
            Some(moved) if !moved.is_empty() => PathBuf::from(moved),
            _ => root.join("target/causeway/debian"),
        };
        Way::find(root, target, &home, &say).await?
    };
    if let Some(named) = way.take_named_linker(root).await {
        say(&format!("the linker is {}, as {} names it", named.program.display(), named.by));
        return Ok(way);
    }
    // What is linked against a newer glibc does not run on Lambda, though it is for the same machine.
    if way.native && (target == "host" || way::has_lambdas_glibc(root).await) {
        return Ok(way.with_own_linker(root).await);
    }
    let zig = match install::venv(&Paths::of(root), Set::Zig, &say).await {
        Ok(venv) => venv.packaged("ziglang", "zig").ok_or_else(|| "its package has no program".to_owned()),
        Err(error) => Err(from_error(&error).to_string()),
    };
    match zig {
        Ok(zig) => way.with_zig(&zig, tools).await,
        Err(why) if way.native => {
            let message = format!(
                "Zig cannot be had ({why}), so this machine's linker is taken; its glibc is newer than Lambda's, and the floor may refuse what it makes"
            );
            context.out.line(&Line::Warning { message });
            Ok(way.with_own_linker(root).await)
        }
        Err(why) => way.with_cross_compiler(&why).await,
    }
}

/// The stack that carries the functions.
pub fn app_stack(config: &Config) -> anyhow::Result<&Stack> {
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
pub async fn versions_of(root: &Path, setting: &Setting) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(root.join("cfn/stacks.toml")).context("read cfn/stacks.toml")?;
    let config = causeway_model::config::parse(&text)?;
    let source = std::fs::read_to_string(root.join("cfn").join(&app_stack(&config)?.template))
        .context("read the template")?;
    let places = package::code_uris(&source).map_err(anyhow::Error::msg)?;
    let names: BTreeSet<String> = places.into_iter().map(|place| place.function).collect();
    versions::versions(root, &names.into_iter().collect::<Vec<_>>(), setting).await
}

/// The commit: CodeBuild names it, else git does.
async fn commit(root: &Path) -> Option<String> {
    let named = std::env::var("CODEBUILD_RESOLVED_SOURCE_VERSION").ok().filter(|commit| !commit.is_empty());
    match named {
        Some(commit) => Some(commit),
        None => git::commit(root, "HEAD").await,
    }
}
