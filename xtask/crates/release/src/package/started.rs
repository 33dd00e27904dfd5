//! Programs of the hooks as they are released, for tests that start them: built, held, zipped and unpacked as `package` does
//! it, among them what only a test may start. Nothing of what `package` wrote is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;

use super::pack::{Zips, zips};
use super::{Args, Context, app_stack, plan};
use causeway_build::cargo::{self, Kind};
use causeway_build::compile::Shown;
use causeway_build::trial;
use causeway_build::versions::Binary;

/// The profile of what is released.
const PROFILE: &str = "lambda";

/// Builds binaries and examples of a package for this machine with the profile of a release, and lays the program out of
/// each one's zip into a folder, by its name.
///
/// # Errors
/// Something does not build, or cannot be written.
pub async fn started(
    context: &Context,
    package: &str,
    (binaries, examples): (&[&str], &[&str]),
    to: &Path,
) -> anyhow::Result<()> {
    let root = &context.root;
    let config = context.config()?;
    std::fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let _lock = causeway_machine::files::lock(&to.join("lock"), &|text| context.out.note(text)).await?;
    let args = Args::plain(Some("host".to_owned()), PROFILE.to_owned());
    let plan = plan(context, app_stack(&config)?, &args).await?;
    let packages: BTreeSet<&str> = plan.graph.binaries.iter().map(|binary| binary.package.as_str()).collect();
    let way = (&plan.way, plan.tools.as_path());
    let stamps = BTreeMap::new();
    let (progress, row) = (|line: &str| context.out.tick(line), |row: &str| context.out.row(row));
    let shown = Shown { progress: &progress, row: &row, every: context.pace() };
    for (kind, names) in [(Kind::Binary, binaries), (Kind::Example, examples)] {
        let wanted: Vec<Binary> = names
            .iter()
            .map(|name| Binary { name: (*name).to_owned(), package: package.to_owned() })
            .collect();
        context.out.note(format!("building {} with the profile {PROFILE}", names.join(", ")));
        let built =
            cargo::build(root, (&packages, kind, &wanted), &plan.setting, &stamps, way, shown).await?;
        let Zips { zips, .. } = zips(&plan, false, &built, &stamps)?;
        for (name, zip) in zips {
            let path = to.join(format!("{name}.zip"));
            std::fs::write(&path, zip).with_context(|| format!("write {}", path.display()))?;
            trial::unpack(&path, &to.join(name))?;
        }
    }
    Ok(())
}
