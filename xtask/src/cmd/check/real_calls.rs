//! The third opinion on the access matrix: real calls of the deployed roles on a local cloud, which evaluates policies by
//! itself. The stacks are set up by roles that hold `prove --bootstrap-policies` and nothing else. The application is not
//! deployed there, so its roles make no calls; the result counts them.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Context;
use crate::aws::cloudformation::Stacks;
use crate::aws::raw::Raw;
use crate::aws::{Accounts, LocalWorld, OpenOptions, assume_role};
use crate::cmd::bootstrap;
use crate::local::paths::Paths;
use crate::local::resident::{self, Keep};
use crate::model::calls::{Call, inline_policy, new_role, takes_away};
use crate::model::config::Config;
use crate::model::fault::{Fault, from_error};
use crate::model::gates::Judged;
use crate::model::keys::Keys;
use crate::model::prove::real::{Ask, Real, Thing, compare};
use crate::model::prove::{self, Problem};

/// Where the cloud of this check keeps its things: one that a developer keeps up is left alone.
const CLOUD: &str = "target/causeway/check-calls";

/// How long a minute of AWS takes there.
const MINUTE: Duration = Duration::from_millis(200);

/// The role with the generated rights.
const PERSON: &str = "bootstrap-person";

/// What the templates say, before anything is deployed.
struct Paper {
    asks: Vec<Ask>,
    things: Vec<Thing>,
    rights: BTreeMap<String, Value>,
}

/// Sets up a local cloud with the generated rights, and makes every call that can be made.
///
/// # Errors
/// The cloud does not start, the rights do not do, or a call has no answer.
pub(super) async fn run(context: &Context) -> anyhow::Result<Judged> {
    let config = context.config()?;
    let paper = paper(context, &config)?;
    let paths = Paths::of(&context.root).with_local(&context.root.join(CLOUD));
    let say = |text: &str| context.out.note(text);
    // A run that was cut off may have left one behind; its stacks would be there already.
    resident::down(&paths).await?;
    let found = resident::up(&config, &paths, &context.root, MINUTE, Keep::No, &say).await?;
    let world = LocalWorld {
        endpoint: found.state().endpoint(),
        bundle: paths.bundle(),
        root_secret: found.state().root_secret.clone(),
    };
    let result = check(context, &config, &paper, world).await;
    found.release().await;
    result
}

fn paper(context: &Context, config: &Config) -> anyhow::Result<Paper> {
    let files = crate::cmd::prove::read(&context.root.join("cfn"))?;
    let unreadable = |problem: Problem| Fault::failed("read the policies", "cfn").why(problem);
    let (asks, things, (rights, problems)) =
        prove::with(&files, config, |proof| (proof.asks(), proof.things(), proof.bootstrap_policies()))
            .map_err(unreadable)?;
    match problems.into_iter().next() {
        Some(problem) => Err(unreadable(problem).into()),
        None => Ok(Paper { asks, things, rights }),
    }
}

async fn check(
    context: &Context,
    config: &Config,
    paper: &Paper,
    world: LocalWorld,
) -> anyhow::Result<Judged> {
    let raw = Raw::new(&world, &config.region)?;
    let options = OpenOptions { world: Some(world), ..OpenOptions::default() };
    let accounts = Accounts::open(config, &options).await?;
    bootstrap_with_rights(context, config, &accounts, &raw, &paper.rights).await?;
    let real = real_names(config, &accounts, &paper.things).await?;
    let asked = paper.asks.len();
    let (answers, absent) = answers(config, &accounts, &raw, &real, &paper.asks).await?;
    let compared =
        compare(&answers).map_err(|error| Fault::failed("compare with the local cloud", "").why(error))?;
    let data = json!({
        "asked": asked, "made": answers.len(), "agreed": compared.agreed,
        "expected_differences": compared.expected, "roles_not_there": absent,
    });
    anyhow::ensure!(!answers.is_empty(), "no call of the matrix could be made");
    Ok(Judged { data, complaints: compared.complaints })
}

/// Bootstraps as roles that hold the generated policies alone. Before that it must fail without one of their statements.
async fn bootstrap_with_rights(
    context: &Context,
    config: &Config,
    accounts: &Accounts,
    raw: &Raw,
    rights: &BTreeMap<String, Value>,
) -> anyhow::Result<()> {
    let quiet = context.answering_yes();
    let mut people = accounts.clone();
    for (name, policy) in rights {
        let account = accounts.get(name)?;
        let root = Keys { id: account.id.clone(), secret: "local".to_owned(), token: None };
        let arn = format!("arn:{}:iam::{}:role/{PERSON}", prove::partition(&config.region), account.id);
        succeed(raw, &root, &new_role(PERSON, &account.id, prove::partition(&config.region))).await?;
        succeed(raw, &root, &inline_policy(PERSON, &without(policy, "cloudformation:CreateChangeSet")?))
            .await?;
        let keys = assume_role(account, &arn, "person").await?;
        people = people.with(account.with_keys(name, &account.id, &keys));
    }
    match bootstrap::deploy(&quiet, config, &people, &bootstrap::Args::act()).await {
        Err(error) if format!("{error:#}").contains("CreateChangeSet") => {}
        Err(error) => {
            return Err(error.context("bootstrap without a right fails, but not for the lack of it"));
        }
        Ok(_) => {
            return Err(Fault::failed("bootstrap without cloudformation:CreateChangeSet", "the local cloud")
                .why("it went through, so the cloud does not look at the rights")
                .into());
        }
    }
    for (name, policy) in rights {
        let root = Keys { id: accounts.get(name)?.id.clone(), secret: "local".to_owned(), token: None };
        succeed(raw, &root, &inline_policy(PERSON, policy)).await?;
    }
    let outcome = bootstrap::deploy(&quiet, config, &people, &bootstrap::Args::act()).await;
    let outcome = outcome.map_err(|error| {
        Fault::failed("bootstrap with the rights of prove --bootstrap-policies", "the local cloud")
            .why(from_error(&error))
            .next("add the right to xtask/src/model/prove/rights.rs, with its source")
    })?;
    anyhow::ensure!(
        outcome.error.is_none(),
        "bootstrap with the generated rights ended with {:?}",
        outcome.error
    );
    Ok(())
}

/// A policy without one action, which must be in it somewhere.
fn without(policy: &Value, action: &str) -> anyhow::Result<Value> {
    let mut policy = policy.clone();
    let mut gone = 0;
    let statements = policy["Statement"].as_array_mut().context("the policy has no statements")?;
    statements.retain_mut(|statement| {
        let before = gone;
        if let Some(actions) = statement["Action"].as_array_mut() {
            actions.retain(|one| {
                gone += usize::from(one == action);
                one != action
            });
            return !actions.is_empty();
        }
        gone += usize::from(statement["Action"] == action);
        gone == before
    });
    anyhow::ensure!(gone > 0, "the policy does not have {action}");
    Ok(policy)
}

async fn succeed(raw: &Raw, keys: &Keys, call: &Call) -> anyhow::Result<()> {
    let (status, said) = raw.send(keys, call).await?;
    anyhow::ensure!((200..300).contains(&status), "the local cloud refused a set-up call: {status} {said}");
    Ok(())
}

/// What the made-up names are called in the cloud.
async fn real_names(config: &Config, accounts: &Accounts, things: &[Thing]) -> anyhow::Result<Real> {
    let mut stacks: BTreeMap<(&str, &str), BTreeMap<String, String>> = BTreeMap::new();
    for thing in things {
        let place = (thing.account.as_str(), thing.stack.as_str());
        if !config.accounts.contains_key(place.0) || stacks.contains_key(&place) {
            continue;
        }
        let service = Stacks::new(accounts.get(place.0)?);
        let found = match service.describe(place.1).await? {
            Some(_) => service.resources(place.1).await?,
            None => BTreeMap::new(),
        };
        stacks.insert(place, found.into_iter().map(|(id, physical)| (id, physical.id)).collect());
    }
    let pairs = things.iter().filter(|thing| thing.is_made_up()).filter_map(|thing| {
        let found = stacks.get(&(thing.account.as_str(), thing.stack.as_str()))?.get(&thing.id)?;
        Some((thing.reference.clone(), found.clone()))
    });
    Ok(Real::of(pairs))
}

/// Makes the calls: what takes something away comes last. Also the roles that are not there.
async fn answers(
    config: &Config,
    accounts: &Accounts,
    raw: &Raw,
    real: &Real,
    asks: &[Ask],
) -> anyhow::Result<(Vec<(Ask, bool)>, usize)> {
    let mut sessions: BTreeMap<&str, Option<Keys>> = BTreeMap::new();
    for ask in asks {
        if sessions.contains_key(ask.role.as_str()) {
            continue;
        }
        let id = ask.role.split(':').nth(4).unwrap_or_default();
        let name = config.account_named_by_id(id).context("a role of an account that is not ours")?;
        let keys = assume_role(accounts.get(name)?, &real.text(&ask.role), "asked").await.ok();
        sessions.insert(&ask.role, keys);
    }
    let absent = sessions.values().filter(|keys| keys.is_none()).count();
    let mut all = Vec::new();
    for last in [false, true] {
        let mut open: BTreeMap<&str, Vec<(Ask, Call)>> = BTreeMap::new();
        for ask in asks.iter().filter(|ask| takes_away(&ask.action) == last) {
            if let Some(call) = real.call(ask) {
                open.entry(&ask.role).or_default().push((ask.clone(), call));
            }
        }
        let mut begun = JoinSet::new();
        for (role, calls) in open {
            let Some(keys) = sessions.get(role).cloned().flatten() else { continue };
            let raw = raw.clone();
            begun.spawn(async move { one_role(&raw, &keys, calls).await });
        }
        while let Some(ended) = begun.join_next().await {
            all.extend(ended??);
        }
    }
    all.sort_by(|a, b| {
        (&a.0.row, &a.0.role, &a.0.action, &a.0.resource).cmp(&(
            &b.0.row,
            &b.0.role,
            &b.0.action,
            &b.0.resource,
        ))
    });
    Ok((all, absent))
}

async fn one_role(raw: &Raw, keys: &Keys, calls: Vec<(Ask, Call)>) -> anyhow::Result<Vec<(Ask, bool)>> {
    let mut known: HashMap<String, bool> = HashMap::new();
    let mut all = Vec::new();
    for (ask, call) in calls {
        // Several rows ask the same.
        let name = format!("{call:?}");
        let allowed = match known.get(&name) {
            Some(allowed) => *allowed,
            None => raw
                .may(keys, &call)
                .await
                .with_context(|| format!("row {}: {} asks {}", ask.row, ask.who, ask.action))?,
        };
        known.insert(name, allowed);
        all.push((ask, allowed));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_is_taken_out_of_a_policy() {
        let policy =
            json!({"Statement": [{"Action": ["a:B", "a:C"]}, {"Action": ["a:C"]}, {"Action": "a:C"}]});
        assert_eq!(without(&policy, "a:C").unwrap(), json!({"Statement": [{"Action": ["a:B"]}]}));
        assert!(without(&policy, "a:D").is_err());
    }
}
