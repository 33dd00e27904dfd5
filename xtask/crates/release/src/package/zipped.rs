//! Programs as a release's are, for whoever tests them: built, held and zipped as `package` does it, among them what only a test
//! may start. Nothing of what `package` wrote is touched.

use std::collections::{BTreeMap, BTreeSet};

use super::pack::{Zips, zips};
use super::{Args, Context, app_stack, plan};
use causeway_build::cargo::{self, Kind};
use causeway_build::compile::Shown;
use causeway_build::versions::Binary;

/// The profile of what is released.
const PROFILE: &str = "lambda";

/// Builds binaries or examples of a package for this machine with the profile of a release: the zip of each, by its name.
///
/// # Errors
/// Something does not build, or is larger than Lambda takes.
pub async fn zipped(
    context: &Context,
    package: &str,
    (kind, names): (Kind, &[&str]),
) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let config = context.config()?;
    let args = Args::plain(Some("host".to_owned()), PROFILE.to_owned());
    let plan = plan(context, app_stack(&config)?, &args).await?;
    let packages: BTreeSet<&str> = plan.graph.binaries.iter().map(|binary| binary.package.as_str()).collect();
    let wanted: Vec<Binary> =
        names.iter().map(|name| Binary { name: (*name).to_owned(), package: package.to_owned() }).collect();
    let (way, stamps) = ((&plan.way, plan.tools.as_path()), BTreeMap::new());
    let (progress, row) = (|line: &str| context.out.tick(line), |row: &str| context.out.row(row));
    let shown = Shown { progress: &progress, row: &row, every: context.pace() };
    context.out.note(format!("building {} with the profile {PROFILE}", names.join(", ")));
    let what = (&packages, kind, &wanted[..]);
    let built = cargo::build(&context.root, what, &plan.setting, &stamps, way, shown).await?;
    let Zips { zips, .. } = zips(&plan, false, &built, &stamps)?;
    Ok(zips)
}
