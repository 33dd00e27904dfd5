//! What publishes a version of each function, in each environment: asked of the template as AWS's transforms expand it there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Context;
use causeway_machine::expand::Expander;
use causeway_machine::paths::Paths;
use causeway_model::artifact::PackageRecord;
use causeway_model::config::{Config, Stack};
use causeway_model::fault::Fault;
use causeway_model::line::Line;
use causeway_model::package::{self, Packaged};
use causeway_model::publish::{self, Environment, Released};
use causeway_model::template::{Pseudo, Unexpanded, expanded, parse};
use causeway_prove::partition;

/// The functions whose versions a parameter publishes, and what a template is expanded with.
pub(super) struct Releases<'a> {
    context: &'a Context,
    config: &'a Config,
    app: &'a Stack,
    /// The functions.
    pub(super) released: Vec<Released>,
    /// The packaged template in long form, without the parameters.
    template: Value,
    /// The digests of packages, by the function's logical id.
    packages: BTreeMap<String, String>,
    /// Whoever runs AWS's transforms; one for all environments, from the first on.
    expander: Option<Arc<Expander>>,
    /// What publishes nothing by itself, by environment.
    unresolved: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Releases<'a> {
    /// Finds the functions of a template's source; says which have no parameter.
    ///
    /// # Errors
    /// A parameter's name is taken; with its line.
    pub(super) fn find(
        context: &'a Context,
        (config, app): (&'a Config, &'a Stack),
        source: &str,
        (record, bucket, architecture): (&PackageRecord, Option<&str>, &str),
    ) -> anyhow::Result<Self> {
        let file = format!("cfn/{}", app.template);
        let refused = |error: String| {
            Fault::usage("find what publishes versions", file.as_str()).why(error).next("correct that line")
        };
        let (released, left_out) = publish::released(source).map_err(refused)?;
        for message in left_out {
            context.out.line(&Line::Warning { message });
        }
        let packaged = Packaged { record, bucket, architecture, released: &[] };
        let text = package::template(source, &packaged).map_err(refused)?;
        let mut template = parse(&text).map_err(|error| refused(error.to_string()))?.to_json();
        // Without an upload the code is on this disk, which SAM does not expand.
        package::lead_into_bucket(&mut template);
        let digests = released.iter().filter_map(|one| {
            let package = record.function(one.package.as_deref()?)?;
            Some((one.function.clone(), package.sha256.clone()))
        });
        let packages = digests.collect();
        Ok(Self {
            context,
            config,
            app,
            released,
            template,
            packages,
            expander: None,
            unresolved: BTreeMap::new(),
        })
    }

    /// The values of the parameters in an environment, to which `parameters` are given.
    ///
    /// # Errors
    /// The template cannot be expanded, or refers to what it does not have.
    pub(super) async fn of(
        &mut self,
        account: &str,
        parameters: &BTreeMap<String, String>,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        if self.released.is_empty() {
            return Ok(values);
        }
        let expander = match &self.expander {
            Some(expander) => Arc::clone(expander),
            None => {
                let say = |text: &str| self.context.out.note(text);
                let begun = Expander::kept(&Paths::of(&self.context.root), &say).await?;
                Arc::clone(self.expander.insert(begun))
            }
        };
        let stack_name = self.config.names().app_stack(account);
        let pseudo = Pseudo {
            account_id: self.config.account_id(account).unwrap_or_default().to_owned(),
            region: self.config.region.clone(),
            partition: partition(&self.config.region).to_owned(),
            // Not known before the stack is there, and not part of what a function does.
            stack_id: stack_name.clone(),
            stack_name,
        };
        let file = format!("cfn/{}", self.app.template);
        let failed = |why: String| {
            Fault::failed("find what publishes versions", format!("{file} in {account}"))
                .why(why)
                .next("cargo xtask prove names the line; nothing was written")
        };
        let cfn = self.context.root.join("cfn");
        let read = |location: &str| {
            std::fs::read_to_string(cfn.join(location))
                .map_err(|error| format!("it is not read from S3, and not in cfn/: {error}"))
        };
        let unexpanded = Unexpanded { template: &self.template, parameters, pseudo: &pseudo };
        let plain = expanded(&*expander, &read, unexpanded).map_err(|error| failed(error.to_string()))?;
        let environment =
            Environment { plain: &plain, parameters, pseudo: &pseudo, packages: &self.packages };
        let mut unresolved = BTreeSet::new();
        for one in &self.released {
            let release = environment.release(&one.function).map_err(failed)?;
            values.insert(one.parameter.clone(), release.value);
            unresolved.extend(release.unresolved);
        }
        if !unresolved.is_empty() {
            self.unresolved.insert(account.to_owned(), unresolved);
        }
        Ok(values)
    }

    /// Says what publishes nothing by itself, since only AWS can resolve it; the same as data.
    pub(super) fn say_unresolved(&self) -> Value {
        let mut environments: BTreeMap<&String, Vec<&str>> = BTreeMap::new();
        for (account, all) in &self.unresolved {
            for what in all {
                environments.entry(what).or_default().push(account);
            }
        }
        for (what, accounts) in environments {
            let message = format!(
                "{what} does not publish by itself: only AWS can resolve it, so another value there has no effect until something else is released ({})",
                accounts.join(", ")
            );
            self.context.out.line(&Line::Warning { message });
        }
        json!(self.unresolved)
    }
}
