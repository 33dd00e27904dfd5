//! An alias in the emulator: the one place that says which version gets which share of a function's invocations.
//!
//! Every way in follows it (`xtask/data/emulator.py`), and every client sees it. While a stack with a deployment group is
//! updated its aliases are held: the update does not move them, the rollout engine does, as CodeDeploy does on AWS.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::cloud::Cloud;
use super::emulator::is_absent;

/// How often the emulator is asked to move an alias before that counts as failed, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Where an alias leads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alias {
    /// The version that gets what is left.
    pub version: String,
    /// Another version with its share, of one.
    pub additional: Option<(String, f64)>,
}

impl Alias {
    /// All to one version.
    pub(crate) fn to(version: &str) -> Self {
        Self { version: version.to_owned(), additional: None }
    }

    /// A share, in percent, to a version that a deployment brings.
    pub(crate) fn between(old: &str, new: &str, weight: u32) -> Self {
        match weight {
            0 => Self::to(old),
            1..100 => Self {
                version: old.to_owned(),
                additional: Some((new.to_owned(), f64::from(weight) / 100.0)),
            },
            _ => Self::to(new),
        }
    }

    /// As Lambda's API describes one.
    ///
    /// # Errors
    /// There is no version in it, or more of them than Lambda knows.
    fn of(value: &Value) -> anyhow::Result<Self> {
        let version =
            value.get("FunctionVersion").and_then(Value::as_str).context("the alias has no version")?;
        let weights = value.pointer("/RoutingConfig/AdditionalVersionWeights").and_then(Value::as_object);
        let mut weights = weights.into_iter().flatten().map(|(version, weight)| {
            let weight =
                weight.as_f64().with_context(|| format!("the weight of version {version} is no number"))?;
            Ok::<_, anyhow::Error>((version.clone(), weight))
        });
        let additional = weights.next().transpose()?;
        anyhow::ensure!(weights.next().is_none(), "the alias has more than one additional version");
        Ok(Self { version: version.to_owned(), additional: additional.filter(|(_, weight)| *weight > 0.0) })
    }

    /// As `UpdateAlias` takes it. Weights are given in any case: those of before would stay otherwise.
    fn update(&self) -> Value {
        let weights = match &self.additional {
            Some((version, weight)) => json!({version: weight}),
            None => json!({}),
        };
        json!({"FunctionVersion": self.version, "RoutingConfig": {"AdditionalVersionWeights": weights}})
    }
}

/// The aliases that an operation holds, and where each led when it began.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    /// Who holds them.
    pub owner: String,
    /// By logical id: function, alias, and the version.
    pub aliases: BTreeMap<String, (String, String, String)>,
}

fn path(function: &str, alias: &str) -> String {
    format!("/2015-03-31/functions/{function}/aliases/{alias}")
}

/// Where an alias leads; `None` where there is none.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn read(
    cloud: &Cloud,
    account: &str,
    function: &str,
    alias: &str,
) -> anyhow::Result<Option<Alias>> {
    match cloud.emulator.rest(Method::GET, &path(function, alias), account, "lambda", Vec::new()).await {
        Ok((_, body)) => {
            let value: Value = serde_json::from_slice(&body).context("read the alias")?;
            Alias::of(&value).map(Some)
        }
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves an alias.
///
/// # Errors
/// The emulator does not do it, however often it is asked.
pub(crate) async fn set(
    cloud: &Cloud,
    account: &str,
    function: &str,
    alias: &str,
    to: &Alias,
) -> anyhow::Result<()> {
    let mut tried = 0;
    loop {
        tried += 1;
        let body = to.update().to_string().into_bytes();
        match cloud.emulator.rest(Method::PUT, &path(function, alias), account, "lambda", body).await {
            Ok(_) => return Ok(()),
            Err(error) if tried < TRIES && !is_absent(&error) => {
                tracing::warn!(function, alias, "asked once more: {error:#}");
                sleep(PAUSE).await;
            }
            Err(error) => return Err(error.context(format!("move the alias {function}:{alias}"))),
        }
    }
}

/// Holds an alias, so that templates do not move it. Where it leads to by the last one that was applied meanwhile, if
/// any was.
///
/// # Errors
/// There is no such alias, or the emulator does not answer.
pub(crate) async fn hold(
    cloud: &Cloud,
    account: &str,
    function: &str,
    alias: &str,
    owner: &str,
) -> anyhow::Result<Option<Alias>> {
    let answer = keep(cloud, account, (function, alias), owner, true).await?;
    let wanted =
        answer.get("CausewayWanted").context("the emulator does not know that aliases can be held")?;
    if wanted.get("FunctionVersion").is_none() {
        return Ok(None);
    }
    Alias::of(wanted).map(Some)
}

/// Lets go of an alias. One that is gone needs nothing.
///
/// # Errors
/// The emulator does not answer.
pub(crate) async fn release(
    cloud: &Cloud,
    account: &str,
    function: &str,
    alias: &str,
    owner: &str,
) -> anyhow::Result<()> {
    match keep(cloud, account, (function, alias), owner, false).await {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

async fn keep(
    cloud: &Cloud,
    account: &str,
    (function, alias): (&str, &str),
    owner: &str,
    held: bool,
) -> anyhow::Result<Value> {
    let body = json!({"CausewayHold": held, "CausewayOwner": owner}).to_string().into_bytes();
    let (_, body) = cloud.emulator.rest(Method::PUT, &path(function, alias), account, "lambda", body).await?;
    serde_json::from_slice(&body).context("read the alias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_written_as_lambda_reads_it() {
        for (weight, written) in [
            (0, json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {}}})),
            (10, json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}})),
            (100, json!({"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {}}})),
        ] {
            let alias = Alias::between("1", "2", weight);
            assert_eq!(alias.update(), written);
            assert_eq!(Alias::of(&written).unwrap(), alias);
        }
    }

    #[test]
    fn what_is_no_alias_of_lambda_is_not_read_as_one() {
        for wrong in [
            json!({}),
            json!({"FunctionVersion": 1}),
            json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": "much"}}}),
            json!({"FunctionVersion": "1", "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1, "3": 0.1}}}),
        ] {
            assert!(Alias::of(&wrong).is_err(), "{wrong}");
        }
        let without = json!({"FunctionVersion": "1", "RoutingConfig": null});
        assert_eq!(Alias::of(&without).unwrap(), Alias::to("1"));
    }
}
