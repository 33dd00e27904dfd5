//! Whether the cloud runs what was built. What the runner did and remembers says nothing of what stands there at the end: so
//! every stack that an action named is asked, its aliases, the code behind them, and its API.
//!
//! CodePipeline asks nobody. On AWS that is what `test-deployment` and a person are for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use anyhow::Context as _;
use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::{Ended, Run};
use crate::cloud::Cloud;
use crate::emulator::is_absent;
use crate::ledger::{Record, StackKey};
use crate::operation;
use crate::resources::Resources;
use causeway_model::fault::{Fault, Kind, from_error};
use causeway_model::stack::StackStatus;
use causeway_model::strain;
use causeway_watch::api_client::ApiClient;

/// How often an API is asked for each function: as long as any traffic is split, one answer says nothing.
const ASKED: usize = 4;

/// Below so little a weight is none: weights are fractions.
const NOTHING: f64 = 1e-9;

/// What the actions of a run meant a stack to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meant {
    /// The environment's name.
    pub(crate) env: String,
    /// What was deployed last, with the code that Build made; `None` where no action came that far.
    pub(crate) record: Option<Arc<Record>>,
    /// A change set that was made and not executed.
    pub(crate) waits: Option<String>,
}

/// Every stack that an action named.
pub(crate) type All = BTreeMap<StackKey, Meant>;

/// What differs from what was meant, in words, stack by stack; nothing where the cloud runs what was built.
///
/// # Errors
/// The cloud does not answer.
pub(crate) async fn differences(
    cloud: &Cloud,
    all: &All,
    probes: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (key, meant) in all {
        let differs = Asked { cloud, key, meant }.differs(probes).await;
        let differs = differs.with_context(|| format!("look at the stack {}", key.1))?;
        found.extend(differs.into_iter().map(|what| (meant.env.clone(), format!("{}: {what}", key.1))));
    }
    Ok(found)
}

/// The failure of a release that did well at every step.
pub(crate) fn fault(differences: &[(String, String)]) -> Option<Fault> {
    let (env, _) = differences.first()?;
    let all: Vec<&str> = differences.iter().map(|(_, what)| what.as_str()).collect();
    let fault = Fault::failed("release", env.as_str())
        .why(format!("{env} does not run what was built: {}", all.join("; ")))
        .next("see which actions of cfn/pipeline.yaml deploy these stacks, in which order, and who else deploys there");
    Some(fault)
}

impl Run {
    /// How a release ends whose actions all did well: as the cloud says, and not as the runner remembers.
    pub(super) async fn looked_at(&self) -> Ended {
        let begin = Instant::now();
        let meant = self.meant().clone();
        let found = match differences(&self.cloud, &meant, &self.order.probes).await {
            Ok(found) => fault(&found).map(|fault| (found, fault)),
            Err(error) => Some((Vec::new(), from_error(&error))),
        };
        let Some((found, fault)) = found else { return Ended::Released };
        let late = found.iter().all(|(_, what)| strain::ran_out_of_time(what));
        let fault = if late { from_error(&self.explained(fault.into(), begin, false).await) } else { fault };
        match fault.kind {
            Kind::TimedOut => Ended::Unjudged(fault),
            _ => Ended::Failed(fault),
        }
    }

    /// What its actions meant each stack to be.
    pub(super) fn meant(&self) -> MutexGuard<'_, All> {
        self.meant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stack that is asked.
struct Asked<'a> {
    cloud: &'a Cloud,
    key: &'a StackKey,
    meant: &'a Meant,
}

impl Asked<'_> {
    async fn differs(&self, probes: &BTreeMap<String, String>) -> anyhow::Result<Vec<String>> {
        let status = operation::status(self.cloud, self.key).await?;
        if let Some(name) = &self.meant.waits {
            return Ok(vec![format!("it is {status}, and its change set {name} was not executed")]);
        }
        if !status.is_good() {
            let more = if status == StackStatus::Absent { ", though an action named it" } else { "" };
            return Ok(vec![format!("it is {status}{more}")]);
        }
        let Some(resources) = Resources::of(&self.cloud.emulator, self.key).await? else {
            return Ok(vec!["it is gone".to_owned()]);
        };
        let mut found = Vec::new();
        let versions = self.aliases(&resources, &mut found).await?;
        self.without_alias(&resources, &versions, &mut found).await?;
        self.answers(&resources, &versions, probes, &mut found).await?;
        Ok(found)
    }

    /// A resource as the template has it.
    fn definition(&self, id: &str) -> Option<&Value> {
        self.meant.record.as_ref()?.plain.get("Resources")?.get(id)
    }

    /// The digest of the code that Build made for a function, by its logical id.
    fn built(&self, id: &str) -> Option<&str> {
        self.meant.record.as_ref()?.code.digests.get(id).map(String::as_str)
    }

    /// Looks at every alias; which versions each function's lead to.
    async fn aliases(
        &self,
        resources: &Resources,
        found: &mut Vec<String>,
    ) -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
        let ids: BTreeMap<&str, &str> =
            resources.of_type("AWS::Lambda::Function").map(|(id, name)| (name, id)).collect();
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (id, arn) in resources.of_type("AWS::Lambda::Alias") {
            let property = |name: &str| self.definition(id)?.pointer(&format!("/Properties/{name}"));
            let Some((function, alias)) = arn.rsplit_once(':').map(|(of, alias)| (name_of(of), alias)) else {
                found.push(format!("the alias {id} has no name"));
                continue;
            };
            let path = format!("/2015-03-31/functions/{function}/aliases/{alias}");
            let Some(now) = self.lambda(&path).await? else {
                found.push(format!("the alias {alias} of {function} is gone"));
                continue;
            };
            let version = now.get("FunctionVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
            let weights = now.pointer("/RoutingConfig/AdditionalVersionWeights").and_then(Value::as_object);
            let others: Vec<String> = weights
                .into_iter()
                .flatten()
                .filter(|(_, weight)| weight.as_f64().is_none_or(|weight| weight > NOTHING))
                .map(|(other, weight)| {
                    format!("{:.0} % to version {other}", weight.as_f64().unwrap_or(0.0) * 100.0)
                })
                .collect();
            // Weights that the template itself has are what was built.
            if !others.is_empty() && property("RoutingConfig").is_none() {
                found.push(format!(
                    "the alias {alias} of {function} leads to version {version}, and {}",
                    others.join(", ")
                ));
            }
            // So is a version that the template names by its number.
            let fixed = property("FunctionVersion").is_some_and(Value::is_string);
            if let (false, Some(built)) = (fixed, ids.get(function).and_then(|id| self.built(id))) {
                let runs = self.code(function, Some(&version)).await?;
                if runs.as_deref() != Some(built) {
                    found.push(format!(
                        "the alias {alias} of {function} leads to version {version}, whose code is not what Build made"
                    ));
                }
            }
            versions.entry(function.to_owned()).or_default().insert(version);
        }
        Ok(versions)
    }

    /// A function that no alias leads to runs what it has now.
    async fn without_alias(
        &self,
        resources: &Resources,
        versions: &BTreeMap<String, BTreeSet<String>>,
        found: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let Some(record) = &self.meant.record else { return Ok(()) };
        for (id, built) in &record.code.digests {
            let Some(function) = resources.physical(id) else {
                // Whether its condition holds is CloudFormation's to say.
                if self.definition(id).is_none_or(|definition| definition.get("Condition").is_none()) {
                    found.push(format!("the function {id} is not there"));
                }
                continue;
            };
            if versions.contains_key(function) {
                continue;
            }
            match self.code(function, None).await? {
                Some(runs) if runs == *built => {}
                Some(_) => found.push(format!("the code of {function} is not what Build made")),
                None => found.push(format!("the function {function} is gone")),
            }
        }
        Ok(())
    }

    /// Asks the environment's API whether the versions answer to which the aliases lead.
    async fn answers(
        &self,
        resources: &Resources,
        versions: &BTreeMap<String, BTreeSet<String>>,
        probes: &BTreeMap<String, String>,
        found: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let stack = &self.key.1;
        if probes.is_empty() || *stack != self.cloud.app_stack(&self.meant.env) {
            return Ok(());
        }
        let url = self.cloud.state().urls.get(&self.meant.env).cloned();
        let functions: BTreeSet<&str> =
            resources.of_type("AWS::Lambda::Function").map(|(_, name)| name).collect();
        for (short, route) in probes {
            let function = format!("{stack}-{short}");
            if !functions.contains(function.as_str()) {
                continue;
            }
            let Some(url) = &url else {
                found.push(format!("{short} cannot be asked: the API has no address"));
                continue;
            };
            let api = ApiClient::new(url)?;
            for _ in 0..ASKED {
                let said = match api.send(Method::GET, route, None).await {
                    Ok(answer) if !answer.status.is_success() => Some(format!("answers {}", answer.status)),
                    Ok(answer) => {
                        let by = answer.lambda_version.unwrap_or_else(|| "none".to_owned());
                        let expected = versions.get(&function);
                        let right = match expected {
                            Some(expected) => expected.contains(&by),
                            None => by == "$LATEST",
                        };
                        (!right).then(|| {
                            let expected: Vec<&str> =
                                expected.into_iter().flatten().map(String::as_str).collect();
                            let expected = if expected.is_empty() {
                                "$LATEST".to_owned()
                            } else {
                                expected.join(" or ")
                            };
                            format!("answers as version {by} of {short}, and its alias leads to {expected}")
                        })
                    }
                    Err(error) => Some(format!("does not answer: {error:#}")),
                };
                if let Some(said) = said {
                    found.push(format!("GET {route} {said}"));
                    break;
                }
            }
        }
        Ok(())
    }

    /// The digest of a function's code, as Lambda says it; `None` where there is no such function or version.
    async fn code(&self, function: &str, version: Option<&str>) -> anyhow::Result<Option<String>> {
        let qualifier = version.map(|version| format!("?Qualifier={version}")).unwrap_or_default();
        let found =
            self.lambda(&format!("/2015-03-31/functions/{function}/configuration{qualifier}")).await?;
        Ok(found.and_then(|found| found.get("CodeSha256")?.as_str().map(ToOwned::to_owned)))
    }

    async fn lambda(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.cloud.emulator.rest(Method::GET, path, &self.key.0, "lambda", Vec::new()).await {
            Ok((_, body)) => serde_json::from_slice(&body).context("read Lambda's answer").map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A function's name in an ARN, or the name itself.
fn name_of(function: &str) -> &str {
    function.rsplit_once(":function:").map_or(function, |(_, name)| name)
}

#[cfg(test)]
mod tests;
