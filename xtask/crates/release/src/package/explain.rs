//! `package --explain`: what a build would change, without building.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::upload::Place;
use super::{Args, Plan, app_stack};
use causeway_aws::Unverified;
use causeway_aws::cloudformation::Stacks;
use causeway_build::bill::{self, Inputs};
use causeway_command::{Context, Outcome};
use causeway_model::artifact::bill_key;
use causeway_model::config::Config;
use causeway_model::fault::{Fault, Kind};
use causeway_model::package;
use causeway_model::verdict::Verdict;

/// Says for each function whether it is unchanged, or what differs from what an environment runs; without one, from what
/// was packaged last in this checkout.
///
/// # Errors
/// The environment is unknown, runs nothing yet, or its packages carry no bill of materials.
pub(super) async fn explain(
    context: &Context,
    config: &Config,
    args: &Args,
    plan: &Plan,
) -> anyhow::Result<Outcome> {
    let before = match &args.env {
        Some(env) => deployed(context, config, args, env).await?,
        None => packaged(&context.root, plan)?,
    };
    let mut data = serde_json::Map::new();
    for (name, inputs) in &plan.inputs {
        let (unchanged, rows) = match before.get(name) {
            Some((old, linker)) => {
                let mut rows = bill::differences(old, inputs);
                if *linker != plan.way.linker {
                    rows.push(format!("linker: {linker} → {}", plan.way.linker));
                }
                (rows.is_empty(), rows)
            }
            None => (false, vec!["new: nothing of that name is there yet".to_owned()]),
        };
        context.out.say(format!("  {name}: {}", if unchanged { "unchanged" } else { "differs" }));
        for row in &rows {
            context.out.say(format!("    {row}"));
        }
        data.insert(name.clone(), json!({"unchanged": unchanged, "differences": rows}));
    }
    for name in before.keys().filter(|name| !plan.inputs.contains_key(*name)) {
        context.out.say(format!("  {name}: no longer packaged"));
        data.insert(name.clone(), json!({"unchanged": false, "differences": ["no longer packaged"]}));
    }
    let same = data.values().all(|function| function["unchanged"] == true);
    let verdict = if same { Verdict::NothingToDo } else { Verdict::Done };
    Ok(Outcome::of(verdict).with_data(json!({"env": args.env, "functions": Value::Object(data)})))
}

type Before = BTreeMap<String, (Inputs, String)>;

/// What was packaged last in this checkout.
fn packaged(root: &Path, plan: &Plan) -> anyhow::Result<Before> {
    let dir = packaged_before(root)?;
    let mut all = Before::new();
    for name in plan.inputs.keys() {
        let path = dir.join(format!("{name}.cdx.json"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&path, &error).into()),
        };
        all.insert(name.clone(), read(&text, &path.display().to_string())?);
    }
    Ok(all)
}

/// Where packages lie, where there are some: that there are none is said before a compiler is looked for or fetched.
pub(super) fn packaged_before(root: &Path) -> Result<PathBuf, Fault> {
    let dir = root.join("target/causeway/package");
    match std::fs::read_dir(&dir) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(|error| unreadable(&dir, &error))?.file_name();
                if name.to_string_lossy().ends_with(".cdx.json") {
                    return Ok(dir);
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(unreadable(&dir, &error)),
    }
    Err(Fault::fact(Kind::Usage, "nothing was packaged here yet", dir.display().to_string())
        .why("there is nothing to compare with")
        .next("compare with an environment: --explain --env prod; or run cargo xtask package first"))
}

/// What was packaged cannot be read, which is not the same as that nothing was.
fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::usage("read what was packaged last", path.display().to_string())
        .why(error)
        .next("let this user read it, or remove it and run cargo xtask package again")
}

/// What an environment runs, from the template that its stack was deployed with.
async fn deployed(context: &Context, config: &Config, args: &Args, env: &str) -> anyhow::Result<Before> {
    let app = app_stack(config)?;
    if !app.accounts.iter().any(|account| account == env) {
        return Err(Fault::usage("explain the packages", env)
            .why("the app stack has no such environment")
            .next(format!("one of: {}", app.accounts.join(", ")))
            .into());
    }
    let opened = Unverified::open(config, &crate::accounts::open_options(context)?).await?;
    let accounts = opened.verify(config, &[env.to_owned()]).await?;
    let stack = config.names().app_stack(env);
    let stacks = Stacks::new(accounts.get(env)?);
    if stacks.describe(&stack).await?.is_none() {
        return Err(Fault::failed("explain the packages", stack)
            .why("the stack is not there: the environment runs nothing yet")
            .next("compare with the last packages of this checkout: leave --env out")
            .into());
    }
    let template = stacks.template(&stack).await?;
    let keys = package::package_keys(&template)
        .map_err(|error| Fault::failed("read the deployed template", stack.as_str()).why(error))?;
    let place = Place::find(context, config, args).await?;
    let bucket = place.open();
    let mut all = Before::new();
    for (name, key) in keys {
        context.out.spin(&format!("read what {env} runs of {name}"));
        let key = bill_key(&key);
        let bytes =
            bucket.get(&key).await.with_context(|| format!("read the bill of materials of {name}"))?;
        let text = String::from_utf8(bytes).context("the bill of materials is not text")?;
        all.insert(name, read(&text, &format!("s3://{}/{key}", place.bucket))?);
    }
    Ok(all)
}

fn read(text: &str, on: &str) -> anyhow::Result<(Inputs, String)> {
    bill::read(text).map_err(|error| {
        Fault::failed("read the bill of materials", on)
            .why(format!("it is damaged: {error}"))
            .next("package again")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_read_is_not_one_without_packages() {
        let root = tempfile::tempdir().unwrap();
        let refused = || packaged_before(root.path()).unwrap_err();
        assert_eq!(refused().what, "nothing was packaged here yet");
        let dir = root.path().join("target/causeway/package");
        std::fs::create_dir_all(dir.parent().unwrap()).unwrap();
        // A link to itself, and a file.
        std::os::unix::fs::symlink("package", &dir).unwrap();
        assert_eq!((refused().what.as_str(), refused().kind), ("read what was packaged last", Kind::Usage));
        assert!(refused().on.ends_with("target/causeway/package"), "{}", refused());
        std::fs::remove_file(&dir).unwrap();
        std::fs::write(&dir, "").unwrap();
        assert_eq!(refused().what, "read what was packaged last");
        std::fs::remove_file(&dir).unwrap();
        std::fs::create_dir(&dir).unwrap();
        assert_eq!(refused().what, "nothing was packaged here yet");
        std::fs::write(dir.join("checkin.cdx.json"), "{}").unwrap();
        assert_eq!(packaged_before(root.path()).unwrap(), dir);
    }
}
